//! A next hop that takes everything and hands the contents over.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

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
        Self::with(socket, None)
    }

    /// A hop that offers STARTTLS, with a certificate of its own, and no other extension.
    pub fn under_tls() -> Self {
        let issued = rcgen::generate_simple_self_signed(vec!["hop.test".to_owned()]).unwrap();
        let key = issued.signing_key.serialize_der().try_into().unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![issued.cert.der().clone()], key).unwrap();
        Self::with(TcpListener::bind("127.0.0.1:0").unwrap(), Some(Arc::new(config)))
    }

    fn with(socket: TcpListener, tls: Option<Arc<ServerConfig>>) -> Self {
        let port = socket.local_addr().unwrap().port();
        let (sender, contents) = channel();
        thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                let (sender, tls) = (sender.clone(), tls.clone());
                // A peer that goes away ends its session, that is all.
                thread::spawn(move || _ = session(stream, tls, &sender));
            }
        });
        Self { port, contents }
    }

    /// The next content that arrives, its stuffing undone.
    pub fn next(&self) -> String {
        self.contents.recv_timeout(PATIENCE).expect("no mail came")
    }
}

fn session(stream: TcpStream, tls: Option<Arc<ServerConfig>>, contents: &Sender<String>) -> Result<()> {
    let mut clear = BufReader::new(stream);
    say(&mut clear, "220 hop.test ESMTP")?;
    if talk(&mut clear, tls.is_some(), contents)?
        && let Some(config) = tls
    {
        let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
        talk(&mut BufReader::new(StreamOwned::new(connection, clear.into_inner())), false, contents)?;
    }
    Ok(())
}

/// Gives whether the client is to be spoken to under TLS now.
fn talk<S: Read + Write>(stream: &mut BufReader<S>, starttls: bool, contents: &Sender<String>) -> Result<bool> {
    let mut line = String::new();
    while stream.read_line(&mut line)? > 0 {
        match line.trim_end() {
            "DATA" => {
                say(stream, "354 go")?;
                let content = content(stream)?;
                say(stream, "250 2.0.0 Ok")?;
                _ = contents.send(content);
            }
            "STARTTLS" if starttls => return say(stream, "220 2.0.0 go").map(|()| true),
            "QUIT" => return say(stream, "221 2.0.0 Bye").map(|()| false),
            word if starttls && word.starts_with("EHLO") => say(stream, "250-hop.test\r\n250 STARTTLS")?,
            _ => say(stream, "250 2.0.0 Ok")?,
        }
        line.clear();
    }
    Ok(false)
}

fn say<S: Write>(stream: &mut BufReader<S>, reply: &str) -> Result<()> {
    stream.get_mut().write_all(format!("{reply}\r\n").as_bytes())?;
    stream.get_mut().flush()
}

fn content(lines: &mut impl BufRead) -> Result<String> {
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
