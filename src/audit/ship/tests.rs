//! Whole destinations: what a web server, a file or nobody at the other end does to a checkpoint.

use std::fs;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::https::https_client;
use crate::tls::roots::Roots;
use crate::tls::self_signed::Validity;

const LINE: &str = r#"{"seq":7,"event":"checkpoint"}"#;
const ANSWER_IN_TIME: Duration = Duration::from_secs(20);

fn shipment(seq: u64) -> Shipment {
    let line = LINE.replace('7', &seq.to_string()).into();
    Shipment { seq, time: Timestamp::from_secs(1_800_000_000), line }
}

fn sender(roots: &Roots, timeout: Duration) -> Sender {
    Sender { hostname: "mx1.example.org".into(), tls: https_client(roots).unwrap(), timeout }
}

/// What a web server does with one connection.
#[derive(Clone, Copy)]
enum Server {
    Answers(&'static str),
    Hangs,
    Leaves,
}

/// Serves every connection in the same way and gives what was read there.
async fn serve(listener: TcpListener, server: Server, tls: Option<TlsAcceptor>, seen: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        match &tls {
            None => talk(stream, server, &seen).await,
            Some(acceptor) => match acceptor.accept(stream).await {
                Ok(stream) => talk(stream, server, &seen).await,
                Err(_) => continue,
            },
        }
    }
}

async fn talk<S: AsyncReadExt + AsyncWriteExt + Unpin>(mut stream: S, server: Server, seen: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    seen.lock().unwrap().push(String::from_utf8(request).unwrap());
    match server {
        Server::Answers(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
        Server::Hangs => std::future::pending().await,
        Server::Leaves => {}
    }
}

/// Starts a web server, and gives its address and what it will have read.
async fn start(server: Server, tls: Option<TlsAcceptor>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(serve(listener, server, tls, seen.clone()));
    (address, seen)
}

/// What comes of one checkpoint.
async fn ship(sender: Sender, url: &str) -> Standing {
    let destination = Destination::Webhook(WebhookUrl::parse(url).unwrap());
    let shipper = Shipper::new(sender, vec![destination]);
    shipper.put(&shipment(7));
    let task = tokio::spawn(shipper.clone().run());
    timeout(ANSWER_IN_TIME, shipper.drained()).await.unwrap();
    task.abort();
    shipper.report().destinations.remove(0)
}

#[tokio::test]
async fn a_webhook_is_sent_the_line_and_any_2xx_takes_it() {
    let (address, seen) = start(Server::Answers("HTTP/1.1 204 No Content\r\n\r\n"), None).await;
    let standing = ship(sender(&Roots::empty(), SEND_TIMEOUT), &format!("http://{address}/hook?k=1")).await;
    assert_eq!((standing.sent.map(|(seq, _)| seq), standing.waiting, standing.trouble), (Some(7), 0, None));
    let request = seen.lock().unwrap().remove(0).to_ascii_lowercase();
    assert!(request.starts_with("post /hook?k=1 http/1.1\r\n"), "{request}");
    for field in [format!("host: {address}"), "content-type: application/json".into(), "content-length: 30".into()] {
        assert!(request.contains(&format!("\r\n{field}\r\n")), "{request}");
    }
    assert!(request.ends_with(&format!("\r\n\r\n{LINE}")), "{request}");
}

#[tokio::test]
async fn any_other_answer_is_a_failure_that_is_kept_for_the_next_try() {
    let short = Duration::from_millis(200);
    for (server, limit, expected) in [
        (Server::Answers("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"), SEND_TIMEOUT, "it answers with status 500"),
        (Server::Answers("HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\n\r\n"), SEND_TIMEOUT, "with status 307"),
        (Server::Answers("220 mx1.example.org ESMTP\r\n\r\n"), SEND_TIMEOUT, "HTTP: "),
        (Server::Leaves, SEND_TIMEOUT, "HTTP: "),
        (Server::Hangs, short, "no answer in time"),
    ] {
        let (address, _) = start(server, None).await;
        let standing = ship(sender(&Roots::empty(), limit), &format!("http://{address}/")).await;
        let error = standing.trouble.map(|trouble| trouble.error).unwrap_or_default();
        assert!(error.contains(expected), "{error}");
        assert_eq!((standing.sent, standing.waiting), (None, 1));
    }
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let standing = ship(sender(&Roots::empty(), SEND_TIMEOUT), &format!("http://{free}/")).await;
    assert!(standing.trouble.unwrap().error.contains("refused"));
}

#[tokio::test]
async fn over_tls_nothing_is_sent_to_a_server_that_nobody_vouches_for() {
    let now = clock::timestamp();
    let authority = DemoAuthority::new(now).unwrap();
    let day = Validity::starting(now, Duration::from_secs(86_400));
    for (names, roots, expected) in [
        (["localhost"], authority.roots(), None),
        (["elsewhere.example"], authority.roots(), Some("certificate")),
        (["localhost"], Roots::empty(), Some("certificate")),
    ] {
        let issued = authority.issue(&names, KeyKind::P256, day).unwrap();
        let chain = vec![issued.certificate_der.clone()];
        let config =
            rustls::ServerConfig::builder_with_provider(https_client(&roots).unwrap().crypto_provider().clone())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain, rustls::pki_types::PrivateKeyDer::from(issued.private_key()).clone_key())
                .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (address, seen) = start(Server::Answers("HTTP/1.1 200 OK\r\n\r\n"), Some(acceptor)).await;
        let url = format!("https://localhost:{}/", address.port());
        let standing = ship(sender(&roots, SEND_TIMEOUT), &url).await;
        match expected {
            None => assert_eq!((standing.sent.map(|(seq, _)| seq), standing.trouble), (Some(7), None)),
            Some(word) => assert!(standing.trouble.unwrap().error.contains(word)),
        }
        assert_eq!(seen.lock().unwrap().len(), usize::from(expected.is_none()));
    }
}

#[tokio::test]
async fn a_file_gets_every_checkpoint_while_another_destination_hangs() {
    let (address, _) = start(Server::Hangs, None).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoints.jsonl");
    let webhook = Destination::Webhook(WebhookUrl::parse(&format!("http://{address}/")).unwrap());
    let shipper = Shipper::new(
        sender(&Roots::empty(), Duration::from_millis(200)),
        vec![webhook.clone(), Destination::File(path.clone())],
    );
    (1..=3).for_each(|seq| shipper.put(&shipment(seq)));
    let task = tokio::spawn(shipper.clone().run());
    timeout(ANSWER_IN_TIME, shipper.drained()).await.unwrap();
    let lines: Vec<String> = (1..=3).map(|seq| format!("{}\n", shipment(seq).line)).collect();
    assert_eq!(fs::read_to_string(&path).unwrap(), lines.concat());

    // After a change of the configuration a new destination gets the newest, and one that is gone does not count.
    let other = folder.path().join("other.jsonl");
    shipper.configure(vec![Destination::File(other.clone())]);
    timeout(ANSWER_IN_TIME, shipper.drained()).await.unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), lines[2]);
    let report = shipper.report();
    assert_eq!((report.destinations.len(), report.behind()), (1, 0));
    task.abort();
}
