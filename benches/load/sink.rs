//! The sink: an SMTP server behind the relay that takes everything, unless it is told to be slow, full or broken.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::message::Mark;
use crate::tally::Tally;
use crate::tls;
use crate::wire::Wire;

const BACKLOG: u32 = 4096;
const GREETING: &[u8] = b"220 sink.load.example ESMTP\r\n";
const EXTENSIONS: &str = "250-sink.load.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n";

#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// 0 takes a free one. The first line of output says which.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Listen on every address of the loopback interface, 127.1.2.3 as well: each is a destination of its own.
    #[arg(long)]
    whole_loopback: bool,
    /// Offer STARTTLS with this certificate chain.
    #[arg(long, requires = "key")]
    chain: Option<PathBuf>,
    #[arg(long, requires = "chain")]
    key: Option<PathBuf>,
    /// Wait before the reply to a message.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// So many messages of a hundred are answered 451.
    #[arg(long, default_value_t = 0)]
    defer_percent: u64,
    /// So many messages of a hundred get no answer at all.
    #[arg(long, default_value_t = 0)]
    hang_percent: u64,
    /// More connections than these are answered 421.
    #[arg(long)]
    connections_max: Option<u64>,
}

struct Sink {
    plan: Plan,
    acceptor: Option<TlsAcceptor>,
    tally: Mutex<Tally>,
}

/// What a session does about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Take,
    Defer,
    Hang,
}

pub async fn run(plan: Plan) -> Result<(), Box<dyn Error>> {
    let acceptor = match (&plan.chain, &plan.key) {
        (Some(chain), Some(key)) => Some(tls::acceptor(chain, key)?),
        _ => None,
    };
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    let address = if plan.whole_loopback {
        socket.bind_device(Some(b"lo"))?;
        Ipv4Addr::UNSPECIFIED
    } else {
        Ipv4Addr::LOCALHOST
    };
    socket.bind(SocketAddr::new(IpAddr::V4(address), plan.port))?;
    let listener = socket.listen(BACKLOG)?;
    say(&json!({ "port": listener.local_addr()?.port() }));
    let sink = Arc::new(Sink { plan, acceptor, tally: Mutex::default() });
    let asked = Arc::clone(&sink);
    thread::spawn(move || answer_questions(&asked));
    loop {
        let (stream, peer) = listener.accept().await?;
        if peer.ip().is_loopback() {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move { sink.serve(stream).await });
        }
    }
}

/// Until the standard input ends; then the sink ends too.
fn answer_questions(sink: &Sink) {
    for line in io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| words.get(place).and_then(|word| word.parse().ok()).unwrap_or(0);
        match words.first() {
            Some(&"count") => say(&sink.tally().count(number(1))),
            Some(&"report") => say(&sink.tally().report(number(1), number(2))),
            _ => say(&json!({ "error": "count RUN, or report RUN MESSAGES" })),
        }
    }
    std::process::exit(0);
}

fn say(value: &Value) {
    println!("{value}");
}

impl Sink {
    async fn serve(&self, stream: TcpStream) {
        let is_full = {
            let mut tally = self.tally();
            tally.connections += 1;
            tally.open += 1;
            tally.open_max = tally.open_max.max(tally.open);
            self.plan.connections_max.is_some_and(|max| tally.open > max)
        };
        // How a connection ends is the relay's affair: what it lost is seen by what is missing.
        let _ = self.talk(stream, is_full).await;
        self.tally().open -= 1;
    }

    async fn talk(&self, stream: TcpStream, is_full: bool) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut wire = Wire::new(stream);
        if is_full {
            return wire.send(b"421 4.3.2 Too many connections\r\n").await;
        }
        let (mut is_secure, mut replies) = (false, GREETING.to_vec());
        loop {
            // Replies to commands that came together go together.
            if !replies.is_empty() && !wire.has_line() {
                wire.send(&replies).await?;
                replies.clear();
            }
            let Some(line) = wire.line().await? else { return Ok(()) };
            match line.get(..4).unwrap_or("").to_ascii_uppercase().as_str() {
                "EHLO" => replies.extend_from_slice(self.extensions(is_secure).as_bytes()),
                "DATA" => {
                    replies.extend_from_slice(b"354 Go ahead\r\n");
                    wire.send(&std::mem::take(&mut replies)).await?;
                    let Some(head) = wire.content().await? else { return Ok(()) };
                    replies.extend_from_slice(self.take(&head).await);
                }
                "STAR" => {
                    wire.send(b"220 2.0.0 Go ahead\r\n").await?;
                    let Some(acceptor) = self.acceptor.as_ref().filter(|_| !is_secure) else { return Ok(()) };
                    wire = Wire::new(acceptor.accept(wire.into_stream()?).await?);
                    is_secure = true;
                }
                "QUIT" => {
                    replies.extend_from_slice(b"221 2.0.0 Bye\r\n");
                    wire.send(&replies).await?;
                    wire.close().await;
                    return Ok(());
                }
                "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => replies.extend_from_slice(b"250 2.0.0 Ok\r\n"),
                _ => replies.extend_from_slice(b"500 5.5.1 What?\r\n"),
            }
        }
    }

    fn extensions(&self, is_secure: bool) -> String {
        let starttls = if self.acceptor.is_some() && !is_secure { "250-STARTTLS\r\n" } else { "" };
        format!("{EXTENSIONS}{starttls}250 ENHANCEDSTATUSCODES\r\n")
    }

    async fn take(&self, head: &[u8]) -> &'static [u8] {
        let mark = Mark::find(head);
        if self.plan.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.plan.delay_ms)).await;
        }
        match self.fate(mark) {
            Fate::Take => {
                self.tally().add(mark);
                b"250 2.0.0 Taken\r\n"
            }
            Fate::Defer => b"451 4.3.0 Later\r\n",
            Fate::Hang => std::future::pending().await,
        }
    }

    /// By the number of the message, so that the same ones meet with it whichever relay brings them.
    fn fate(&self, mark: Option<Mark>) -> Fate {
        let place = mark.map_or(100, |mark| mark.number % 100);
        if place < self.plan.defer_percent {
            Fate::Defer
        } else if place < self.plan.defer_percent + self.plan.hang_percent {
            Fate::Hang
        } else {
            Fate::Take
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
