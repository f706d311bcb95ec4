//! The whole relay with next hops that rustls cannot speak to: what is delivered, how, and what is on record.

use std::net::Ipv4Addr;
use std::pin::Pin;

use openssl::ssl::{Ssl, SslContext};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_openssl::SslStream;

use crate::dns::fake::FakeResolver;
use crate::model::tls::ProtocolVersion::{Ssl3, Tls1_0, Tls1_2};
use crate::tls::old_server::OldServer;

use super::{GREETING, PATIENCE, Said, converse, relay, send, write_files};

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
        let mut stream = BufReader::new(socket.accept().await.unwrap().0);
        stream.write_all(GREETING).await.unwrap();
        match converse(&mut stream, "250-hop\r\n250 STARTTLS\r\n").await {
            Said::StartTls => stream.write_all(b"220 go\r\n").await.unwrap(),
            Said::Message(_) => {
                _ = seen.send(Seen::Message(None));
                continue;
            }
            Said::Nothing => continue,
        }
        let mut stream = SslStream::new(Ssl::new(&tls).unwrap(), stream.into_inner()).unwrap();
        if Pin::new(&mut stream).accept().await.is_err() {
            _ = seen.send(Seen::HandshakeFailed);
            continue;
        }
        let version = stream.ssl().version_str();
        if let Said::Message(_) = converse(&mut BufReader::new(stream), "250 hop\r\n").await {
            _ = seen.send(Seen::Message(Some(version)));
        }
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
    let route = format!("[route]\nhosts = [\"{address}\"]\n{keys}\n");
    write_files(folder.path(), "", &[("old", route)]);
    let running = relay(folder.path(), FakeResolver::default()).await;
    let mut found = Vec::new();
    while found.len() < seen.len() {
        if found.is_empty() || matches!(found.last(), Some(Seen::Message(_))) {
            send(&running, &["old"]).await;
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
