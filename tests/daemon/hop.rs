//! A next hop that takes everything and hands the contents over.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::process::PATIENCE;

/// A next hop on loopback.
pub struct Hop {
    pub port: u16,
    contents: Receiver<String>,
}

impl Hop {
    pub fn start() -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Serves on a socket that listens already.
    pub fn serve(socket: TcpListener) -> Self {
        let port = socket.local_addr().unwrap().port();
        let (sender, contents) = channel();
        thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                // A peer that goes away ends its session, that is all.
                thread::spawn(move || _ = session(&stream, &sender));
            }
        });
        Self { port, contents }
    }

    /// The next content that arrives, its stuffing undone.
    pub fn next(&self) -> String {
        self.contents.recv_timeout(PATIENCE).expect("no mail came")
    }
}

fn session(mut stream: &TcpStream, contents: &Sender<String>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 hop.test ESMTP\r\n")?;
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        match line.trim_end() {
            "DATA" => {
                stream.write_all(b"354 go\r\n")?;
                let content = content(&mut lines)?;
                stream.write_all(b"250 2.0.0 Ok\r\n")?;
                _ = contents.send(content);
            }
            "QUIT" => return stream.write_all(b"221 2.0.0 Bye\r\n"),
            _ => stream.write_all(b"250 2.0.0 Ok\r\n")?,
        }
        line.clear();
    }
    Ok(())
}

fn content(lines: &mut impl BufRead) -> std::io::Result<String> {
    let mut content = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(content);
        }
        content.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
