//! A web server for policies on loopback, for tests: it says what it is told to say.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::dns::fake::FakeResolver;
use crate::dns::targets::TargetRule;
use crate::dns::{LookupError, Service};
use crate::model::domain::Domain;
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::https::https_client;
use crate::tls::roots::Roots;
use crate::tls::self_signed::Validity;

use super::sts_fetch::StsFetcher;

pub(crate) const DOMAIN: &str = "bank.example";
pub(crate) const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mx.bank.example\nmax_age: 604800\n";

pub(crate) fn domain() -> Domain {
    Domain::parse(DOMAIN).unwrap()
}

/// What happens after a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This, and an orderly end.
    Octets(Vec<u8>),
    /// This, and the connection is cut.
    Cut(Vec<u8>),
    /// This, and nothing more.
    Hangs(Vec<u8>),
}

impl Answer {
    pub(crate) fn new(head: &str, body: &str) -> Self {
        Self::Octets(octets(head, body))
    }

    pub(crate) fn policy(text: &str) -> Self {
        Self::new(&format!("HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: {}", text.len()), text)
    }
}

pub(crate) fn octets(head: &str, body: &str) -> Vec<u8> {
    format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n")).into_bytes()
}

/// The server, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct PolicyHost {
    pub(crate) address: SocketAddr,
    pub(crate) roots: Roots,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
    _task: JoinSet<()>,
}

impl PolicyHost {
    /// With a certificate for the policy host of [`DOMAIN`].
    pub(crate) async fn start(answer: Answer) -> Self {
        let day = Validity::starting(clock::timestamp(), Duration::from_secs(86_400));
        Self::start_as("mta-sts.bank.example", day, answer).await
    }

    pub(crate) async fn start_as(name: &str, validity: Validity, answer: Answer) -> Self {
        let authority = DemoAuthority::new(clock::timestamp()).unwrap();
        let issued = authority.issue(&[name], KeyKind::P256, validity).unwrap();
        let provider = https_client(&Roots::empty()).unwrap().crypto_provider().clone();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![issued.certificate_der.clone()],
                PrivateKeyDer::from(issued.private_key()).clone_key(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (counter, count) = watch::channel(0);
        let (answer, requests) = (Arc::new(Mutex::new(answer)), Arc::new(Mutex::new(Vec::new())));
        let mut task = JoinSet::new();
        let (answers, seen) = (answer.clone(), requests.clone());
        task.spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answers, seen, counter) =
                    (acceptor.clone(), answers.clone(), seen.clone(), counter.clone());
                talks.spawn(async move {
                    let Some((mut stream, request)) = read_request(&acceptor, stream).await else { return };
                    seen.lock().unwrap().push(request);
                    let answer = answers.lock().unwrap().clone();
                    counter.send_modify(|count| *count += 1);
                    match answer {
                        Answer::Octets(octets) => {
                            // The client may have heard enough before the end.
                            let _ = stream.write_all(&octets).await;
                            let _ = stream.shutdown().await;
                        }
                        Answer::Cut(octets) => {
                            let _ = stream.write_all(&octets).await;
                            let _ = stream.flush().await;
                        }
                        Answer::Hangs(octets) => {
                            let _ = stream.write_all(&octets).await;
                            let _ = stream.flush().await;
                            std::future::pending().await
                        }
                    }
                });
            }
        });
        Self { address, roots: authority.roots(), answer, requests, count, _task: task }
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn asked(&self, times: usize) {
        let mut count = self.count.clone();
        count.wait_for(|count| *count >= times).await.unwrap();
    }

    /// DNS in which the policy host of [`DOMAIN`] is this server.
    pub(crate) fn dns(&self) -> FakeResolver {
        FakeResolver::new().with_addresses(Domain::parse("mta-sts.bank.example").unwrap(), [self.address.ip()])
    }

    /// DNS in which [`DOMAIN`] has one TXT record, or an error.
    pub(crate) fn dns_with_record(&self, record: Result<&str, LookupError>) -> FakeResolver {
        self.dns().with_text(Service::MtaSts, domain(), record.map(|record| vec![record.as_bytes().to_vec()]))
    }

    /// Asks this DNS, and trusts this server on this host.
    pub(crate) fn fetcher(&self, dns: FakeResolver) -> StsFetcher {
        let targets = TargetRule { allow: vec!["127.0.0.0/8".parse().unwrap()] };
        StsFetcher::new(Arc::new(dns), targets, &self.roots).unwrap().with_port(self.address.port())
    }
}

async fn read_request(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> Option<(tokio_rustls::server::TlsStream<TcpStream>, String)> {
    let mut stream = acceptor.accept(stream).await.ok()?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    Some((stream, String::from_utf8(request).unwrap()))
}
