//! The whole relay with domains that share a next hop and want different things: each gets what its own file says.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::dns::fake::FakeResolver;
use crate::smtp::client::Timeouts;
use crate::tls::roots::Roots;

use super::{Environment, Options, Prepared, Running, Sockets, load};

const PATIENCE: Duration = Duration::from_secs(30);

/// What happened at the hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Connection,
    /// TLS was asked for, and refused.
    StartTls,
    Message,
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
                sessions.spawn(converse(stream, ehlo, report.clone()));
            }
        });
        Self { address, reports, _task: task }
    }

    async fn next(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.reports.recv()).await.expect("nothing more came to the hop").unwrap()
    }
}

async fn converse(stream: TcpStream, ehlo: &str, seen: mpsc::UnboundedSender<Seen>) {
    _ = seen.send(Seen::Connection);
    let mut stream = BufReader::new(stream);
    let (mut line, mut is_content, mut answer) = (String::new(), false, "220 hop ESMTP\r\n");
    loop {
        if !answer.is_empty() && stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        line.clear();
        answer = match stream.read_line(&mut line).await.map(|_| line.trim_end_matches("\r\n")) {
            Ok("") if line.is_empty() => return,
            Ok(".") => {
                is_content = false;
                _ = seen.send(Seen::Message);
                "250 Ok\r\n"
            }
            Ok(_) if is_content => "",
            Ok("STARTTLS") => {
                _ = seen.send(Seen::StartTls);
                "454 4.7.0 Not now\r\n"
            }
            Ok("DATA") => {
                is_content = true;
                "354 go\r\n"
            }
            Ok(line) if line.starts_with("EHLO") => ehlo,
            Ok(_) => "250 Ok\r\n",
            Err(_) => return,
        };
    }
}

/// A relay that hosts the domain `NAME.test` for each file.
async fn relay(folder: &Path, main: &str, files: &[(&str, String)]) -> Running {
    let main = format!(
        "hostname = \"relay.test\"\npostmaster = \"postmaster@{}.test\"\ndomains = \"domains.d\"\n\
        [spool]\npath = \"spool\"\nmin_free_space = \"10MB\"\nretry = [\"1h\"]\n\
        [[listener]]\nname = \"mx\"\nbind = [\"127.0.0.1:0\"]\nrole = \"mx\"\ntls = \"off\"\n\
        [audit]\npath = \"audit\"\nkey = \"audit.key\"\n[metrics]\nbind = \"off\"\n\
        [admin]\nsocket = \"control.sock\"\n{main}",
        files[0].0
    );
    std::fs::create_dir(folder.join("domains.d")).unwrap();
    std::fs::write(folder.join("gatepost.toml"), main).unwrap();
    for (name, keys) in files {
        let text = format!("domains = [\"{name}.test\"]\nhosted = true\nrecipients = \"any\"\n{keys}");
        std::fs::write(folder.join(format!("domains.d/{name}.toml")), text).unwrap();
    }
    let config = load(&Options { config: folder.join("gatepost.toml"), accept_damage: false }).unwrap();
    let sockets = Sockets::bind(&config).unwrap();
    let environment = Environment {
        resolver: Arc::new(FakeResolver::default()),
        roots: Roots::from_der([]),
        timeouts: Timeouts::default(),
    };
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

/// The ends of attempts that are on record, each as the event with its recipients.
fn recorded(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder.join("audit")).unwrap();
    let log: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default()).collect();
    let records = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let end = |record: serde_json::Value| {
        let event = record["event"].as_str()?.strip_prefix("outbound.").filter(|event| *event != "attempt")?;
        let expired = if record["expired"] == true { " expired" } else { "" };
        let to: Vec<&str> = record["to"].as_array()?.iter().filter_map(|to| to.as_str()).collect();
        Some(format!("{event}{expired} {}", to.join(" ")))
    };
    let mut ends: Vec<String> = records.filter_map(end).collect();
    ends.sort();
    ends
}

/// One message for all these domains over one route that asks for TLS, to a hop without it. Stops after as many
/// connections.
async fn check(files: &[(&str, &str)], connections: usize, expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut hop = Hop::start("250 hop\r\n").await;
    let route = format!("[default.route]\nhosts = [\"{}\"]\ntls = \"encrypt\"\n", hop.address);
    let written: Vec<(&str, String)> =
        files.iter().map(|(name, keys)| (*name, format!("[outbound]\n{keys}\n"))).collect();
    let running = relay(folder.path(), &route, &written).await;
    let domains: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    send(&running, &domains).await;
    for _ in 0..connections {
        assert_eq!(hop.next().await, Seen::Connection, "{files:?}");
    }
    running.stop().await;
    assert_eq!(recorded(folder.path()), expected, "{files:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recipient_ends_as_its_own_domain_says_whoever_is_beside_it() {
    let keep = ("keep", "on_tls_failure = \"defer\"");
    let drop = ("drop", "on_tls_failure = \"bounce\"");
    let (long, short) = (("long", "lifetime = \"2d\""), ("short", "lifetime = \"1s\""));
    let ends = ["bounced a@drop.test", "deferred a@keep.test"];
    check(&[keep, drop], 2, &ends).await;
    check(&[drop, keep], 2, &ends).await;
    let ends = ["bounced expired a@short.test", "deferred a@long.test", "deferred a@short.test"];
    check(&[long, short], 3, &ends).await;
    check(&[short, long], 3, &ends).await;
    check(&[keep, ("keep-too", keep.1)], 1, &["deferred a@keep.test a@keep-too.test"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plaintext_that_one_domain_wants_is_not_used_for_another_that_takes_tls_where_offered() {
    let folder = tempfile::tempdir().unwrap();
    let mut hop = Hop::start("250-hop\r\n250 STARTTLS\r\n").await;
    let keys = |tls| format!("[route]\nhosts = [\"{}\"]\ntls = \"{tls}\"\n", hop.address);
    let files = [("off", keys("off")), ("offered", keys("opportunistic"))];
    let running = relay(folder.path(), "", &files).await;
    let mut found = Vec::new();
    for domain in ["off", "offered"] {
        send(&running, &[domain]).await;
        loop {
            found.push(hop.next().await);
            if found.last() == Some(&Seen::Message) {
                break;
            }
        }
    }
    running.stop().await;
    use Seen::{Connection, Message, StartTls};
    assert_eq!(found, [Connection, Message, Connection, StartTls, Connection, Message]);
}
