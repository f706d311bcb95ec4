//! The whole relay on loopback, between clients and next hops that the tests bring along.

#[cfg(feature = "legacy-tls")]
mod old_next_hops;
mod own_decisions;
mod own_reports;
mod steering;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::dns::fake::FakeResolver;
use crate::smtp::client::Timeouts;
use crate::tls::roots::Roots;

use super::{Environment, Options, Prepared, Running, Sockets, load};

/// Old handshakes take their time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const GREETING: &[u8] = b"220 hop ESMTP\r\n";

/// Writes a configuration that hosts the domain `NAME.test` for each file, the first of which has the postmaster.
/// `main` is what the main file says besides.
fn write_files(folder: &Path, main: &str, files: &[(&str, String)]) {
    let main = format!(
        "hostname = \"relay.test\"\npostmaster = \"postmaster@{}.test\"\ndomains = \"domains.d\"\n\
        [spool]\npath = \"spool\"\nmin_free_space = \"10MB\"\nretry = [\"1h\"]\n\
        [[listener]]\nname = \"mx\"\nbind = [\"127.0.0.1:0\"]\nrole = \"mx\"\ntls = \"off\"\n\
        [audit]\npath = \"audit\"\nkey = \"audit.key\"\n[metrics]\nbind = \"off\"\n\
        [admin]\nbind = \"off\"\nsocket = \"control.sock\"\n{main}",
        files[0].0
    );
    std::fs::create_dir(folder.join("domains.d")).unwrap();
    std::fs::write(folder.join("gatepost.toml"), main).unwrap();
    for (name, keys) in files {
        let text = format!("domains = [\"{name}.test\"]\nhosted = true\nrecipients = \"any\"\n{keys}");
        std::fs::write(folder.join(format!("domains.d/{name}.toml")), text).unwrap();
    }
}

/// The relay of the configuration in the folder.
async fn relay(folder: &Path, resolver: FakeResolver) -> Running {
    let config = load(&Options { config: folder.join("gatepost.toml"), accept_damage: false }).unwrap();
    let sockets = Sockets::bind(&config).unwrap();
    let environment =
        Environment { resolver: Arc::new(resolver), roots: Roots::from_der([]), timeouts: Timeouts::default() };
    Running::start(Prepared::new(config).unwrap(), sockets, environment, false).await.unwrap()
}

/// Hands in one message. Its sender is told nothing, so that nothing else comes to the hop.
async fn send(running: &Running, domains: &[&str]) {
    let mut stream = BufReader::new(TcpStream::connect(running.addresses().smtp[0].1).await.unwrap());
    let recipients = domains.iter().map(|domain| format!("RCPT TO:<a@{domain}.test> NOTIFY=NEVER"));
    let before = ["", "EHLO x.test", "MAIL FROM:<a@x.test>"].map(str::to_owned);
    let after = ["DATA", "Subject: x\r\n\r\nx\r\n.", "QUIT"].map(str::to_owned);
    for say in before.into_iter().chain(recipients).chain(after) {
        if !say.is_empty() {
            stream.write_all(format!("{say}\r\n").as_bytes()).await.unwrap();
        }
        let mut line = String::new();
        while line.get(3..4).is_none_or(|mark| mark == "-") {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            assert!(line.starts_with(['2', '3']), "{say}: {line}");
        }
    }
}

/// What happened at a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Connection,
    /// TLS was asked for, and refused.
    StartTls,
    Message(String),
}

/// A hop that has no TLS, but may say that it has.
struct Hop {
    address: SocketAddr,
    reports: mpsc::UnboundedReceiver<Seen>,
    _task: JoinSet<()>,
}

impl Hop {
    async fn start(ehlo: &'static str) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let (report, reports) = mpsc::unbounded_channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = socket.accept().await {
                sessions.spawn(serve(stream, ehlo, report.clone()));
            }
        });
        Self { address, reports, _task: task }
    }

    async fn next(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.reports.recv()).await.expect("nothing more came to the hop").unwrap()
    }

    async fn next_message(&mut self) -> String {
        loop {
            if let Seen::Message(content) = self.next().await {
                return content;
            }
        }
    }
}

async fn serve(stream: TcpStream, ehlo: &str, seen: mpsc::UnboundedSender<Seen>) {
    _ = seen.send(Seen::Connection);
    let mut stream = BufReader::new(stream);
    _ = stream.write_all(GREETING).await;
    loop {
        match converse(&mut stream, ehlo).await {
            Said::StartTls => {
                _ = seen.send(Seen::StartTls);
                _ = stream.write_all(b"454 4.7.0 Not now\r\n").await;
            }
            Said::Message(content) => _ = seen.send(Seen::Message(content)),
            Said::Nothing => return,
        }
    }
}

/// Where a hop stops to answer by itself.
enum Said {
    /// What to answer is left open.
    StartTls,
    /// It was taken.
    Message(String),
    /// The client left.
    Nothing,
}

/// Answers one command after the other, the greeting aside.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, ehlo: &str) -> Said {
    let (mut line, mut content) = (String::new(), None::<String>);
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return Said::Nothing;
        }
        let answer = match (line.trim_end_matches("\r\n"), &mut content) {
            (".", Some(whole)) => {
                let whole = std::mem::take(whole);
                _ = stream.write_all(b"250 Ok\r\n").await;
                _ = stream.flush().await;
                return Said::Message(whole);
            }
            (_, Some(whole)) => {
                whole.push_str(&line);
                continue;
            }
            ("STARTTLS", None) => return Said::StartTls,
            ("DATA", None) => {
                content = Some(String::new());
                "354 go\r\n"
            }
            (line, None) if line.starts_with("EHLO") => ehlo,
            (_, None) => "250 Ok\r\n",
        };
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return Said::Nothing;
        }
    }
}
