//! The whole relay with next hops that rustls cannot speak to: what is delivered, how, and what is on record.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openssl::ssl::{Ssl, SslContext};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_openssl::SslStream;

use crate::dns::fake::FakeResolver;
use crate::model::tls::ProtocolVersion::{Ssl3, Tls1_0, Tls1_2};
use crate::smtp::client::Timeouts;
use crate::tls::old_server::OldServer;
use crate::tls::roots::Roots;

use super::{Environment, Options, Prepared, Running, Sockets, load};

const PATIENCE: Duration = Duration::from_secs(60);

/// What happened at the hop.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    HandshakeFailed,
    /// A message came, under this version or none.
    Message(Option<&'static str>),
}

/// Serves one message a connection.
async fn hop(socket: TcpListener, tls: SslContext, seen: mpsc::UnboundedSender<Seen>) {
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        if !converse(&mut stream, "250-hop\r\n250 STARTTLS\r\n").await {
            _ = seen.send(Seen::Message(None));
            continue;
        }
        let mut stream = SslStream::new(Ssl::new(&tls).unwrap(), stream.into_inner()).unwrap();
        if Pin::new(&mut stream).accept().await.is_err() {
            _ = seen.send(Seen::HandshakeFailed);
            continue;
        }
        let version = stream.ssl().version_str();
        converse(&mut BufReader::new(stream), "250 hop\r\n").await;
        _ = seen.send(Seen::Message(Some(version)));
    }
}

/// Speaks until STARTTLS (true) or the end of the one message (false).
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, ehlo: &str) -> bool {
    if ehlo.contains("STARTTLS") {
        stream.write_all(b"220 hop ESMTP\r\n").await.unwrap();
    }
    let (mut line, mut is_content) = (String::new(), false);
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        let answer = match line.trim_end() {
            "." => return stream.write_all(b"250 Ok\r\n").await.is_err(),
            _ if is_content => continue,
            "STARTTLS" => {
                stream.write_all(b"220 go\r\n").await.unwrap();
                return true;
            }
            "DATA" => {
                is_content = true;
                "354 go\r\n"
            }
            line if line.starts_with("EHLO") => ehlo,
            "" => return false,
            _ => "250 Ok\r\n",
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
}

/// A relay whose one domain `old.test` is routed to the hop with these TLS keys.
async fn relay(folder: &Path, hop: SocketAddr, keys: &str) -> Running {
    let main = "hostname = \"relay.test\"\npostmaster = \"postmaster@old.test\"\ndomains = \"domains.d\"\n\
        [spool]\npath = \"spool\"\nmin_free_space = \"10MB\"\nretry = [\"1h\"]\n\
        [[listener]]\nname = \"mx\"\nbind = [\"127.0.0.1:0\"]\nrole = \"mx\"\ntls = \"off\"\n\
        [audit]\npath = \"audit\"\nkey = \"audit.key\"\n[metrics]\nbind = \"off\"\n\
        [admin]\nsocket = \"control.sock\"\n";
    let domain = format!(
        "domains = [\"old.test\"]\nhosted = true\nrecipients = \"any\"\n[route]\nhosts = [\"{hop}\"]\n{keys}\n"
    );
    std::fs::create_dir(folder.join("domains.d")).unwrap();
    std::fs::write(folder.join("gatepost.toml"), main).unwrap();
    std::fs::write(folder.join("domains.d/old.toml"), domain).unwrap();
    let config = load(&Options { config: folder.join("gatepost.toml"), accept_damage: false }).unwrap();
    let sockets = Sockets::bind(&config).unwrap();
    let environment = Environment {
        resolver: Arc::new(FakeResolver::default()),
        roots: Roots::from_der([]),
        timeouts: Timeouts::default(),
    };
    Running::start(Prepared::new(config).unwrap(), sockets, environment, false).await.unwrap()
}

async fn send(running: &Running) {
    let stream = TcpStream::connect(running.addresses().smtp[0].1).await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let content = "Subject: x\r\n\r\nx\r\n.";
    for say in ["", "HELO x.test", "MAIL FROM:<a@x.test>", "RCPT TO:<b@old.test>", "DATA", content, "QUIT"] {
        if !say.is_empty() {
            stream.write_all(format!("{say}\r\n").as_bytes()).await.unwrap();
        }
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        assert!(line.starts_with(['2', '3']), "{say}: {line}");
    }
}

/// Delivers two messages one after the other. Gives what the hop saw, and what is on record about each step.
async fn check(server: OldServer, keys: &str, seen: &[Seen], recorded: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(hop(socket, server.context(), report));
    let running = relay(folder.path(), address, keys).await;
    let mut found = Vec::new();
    while found.len() < seen.len() {
        if found.is_empty() || matches!(found.last(), Some(Seen::Message(_))) {
            send(&running).await;
        }
        found.push(tokio::time::timeout(PATIENCE, reports.recv()).await.expect(keys).unwrap());
    }
    running.stop().await;
    assert_eq!(found, seen, "{keys}");
    let mut log = String::new();
    for file in std::fs::read_dir(folder.path().join("audit")).unwrap() {
        log += &std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
    }
    for text in recorded {
        assert!(log.lines().any(|line| line.contains(text)), "{keys}: {text} is not in\n{log}");
    }
    assert!(reports.try_recv().is_err(), "{keys}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_next_hops_are_reached_as_far_as_the_policy_permits_and_remembered() {
    let cbc = OldServer { suites: "ECDHE-RSA-AES128-SHA", ..OldServer::only(Tls1_2) };
    let (failed, plain) = (Seen::HandshakeFailed, Seen::Message(None));
    let under = |version| Seen::Message(Some(version));
    let old = [failed.clone(), under("TLSv1"), under("TLSv1")];
    let next = "tried next with OpenSSL and no server name";
    check(OldServer::only(Tls1_0), "tls = \"opportunistic\"", &old, &[next, "outbound.delivered"]).await;
    check(OldServer::only(Tls1_0), "tls = \"encrypt\"", &old, &[next, "\"stack\":\"openssl\""]).await;
    let strong = [failed.clone(), under("TLSv1.2"), under("TLSv1.2")];
    check(cbc, "tls = \"encrypt\"\ncipher = \"forward-secret\"", &strong, &["outbound.delivered"]).await;
    let plaintext = [failed.clone(), failed.clone(), plain];
    let permitted = "plaintext is permitted and tried next";
    check(OldServer::only(Ssl3), "tls = \"opportunistic\"", &plaintext, &[next, permitted]).await;
    let once = [failed.clone()];
    check(OldServer::only(Tls1_0), "min_version = \"TLSv1.2\"", &once, &["version-below-minimum"]).await;
    let twice = [failed.clone(), failed];
    check(cbc, "cipher = \"aead\"", &twice, &["cipher-below-minimum", next]).await;
}
