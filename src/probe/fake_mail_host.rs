//! Mail hosts on loopback for tests: each says what it is told to say, and remembers what it heard.

use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::dns::fake::FakeResolver;
use crate::dns::targets::TargetRule;
use crate::dns::{Exchange, Resolver, Security};
use crate::facts::sts_fetch::StsFetcher;
use crate::model::domain::Domain;
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::https::https_client;
use crate::tls::roots::Roots;
use crate::tls::self_signed::{IssuedCertificate, Validity};

use super::pace::Pace;
use super::{Patience, Prober};

pub(crate) const BANK: &str = "bank.example";
pub(crate) const MX: &str = "mx.bank.example";
const PATIENCE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// DNS in which [`MX`], on this host, takes the mail for [`BANK`].
pub(crate) fn dns(security: Security) -> FakeResolver {
    let ip: IpAddr = "127.0.0.1".parse().unwrap();
    FakeResolver::new()
        .with_mx_answer(domain(BANK), [(10, Exchange::Host(domain(MX)))], security)
        .with_addresses_answer(domain(MX), [ip], security)
}

/// Asks this DNS, and hosts on the port of `host`.
pub(crate) fn prober(dns: FakeResolver, host: &Running, roots: &Roots) -> Prober {
    let resolver: Arc<dyn Resolver> = Arc::new(dns);
    let targets = TargetRule { allow: vec!["127.0.0.0/8".parse().unwrap()] };
    Prober {
        sts: StsFetcher::new(resolver.clone(), targets.clone(), roots).unwrap(),
        resolver,
        targets,
        roots: roots.clone(),
        hostname: domain("probe.example"),
        patience: Patience { connect: PATIENCE, reply: PATIENCE, handshake: PATIENCE },
        pace: Pace::new(Duration::ZERO),
        port: host.address.port(),
    }
}

/// What a host does at STARTTLS.
#[derive(Clone)]
pub(crate) enum Tls {
    /// It is not offered.
    None,
    Rustls(Arc<ServerConfig>),
    #[cfg(feature = "legacy-tls")]
    Openssl(openssl::ssl::SslContext),
    /// It is offered and refused.
    Refused,
    /// Something follows its 220.
    Injected,
}

/// A host before it runs.
#[derive(Clone)]
pub(crate) struct MailHost {
    pub(crate) greeting: &'static str,
    pub(crate) tls: Tls,
    /// Offered in clear and under TLS, STARTTLS aside.
    pub(crate) keywords: &'static [&'static str],
    /// Offered under TLS alone.
    pub(crate) keywords_under_tls: &'static [&'static str],
    /// The answer to RCPT.
    pub(crate) rcpt: &'static str,
}

impl Default for MailHost {
    fn default() -> Self {
        Self {
            greeting: "220 mx.bank.example ESMTP",
            tls: Tls::None,
            keywords: &["SIZE 1000", "DSN"],
            keywords_under_tls: &["REQUIRETLS"],
            rcpt: "250 2.1.5 Ok",
        }
    }
}

/// A host that runs until the process ends.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    /// The first words of all commands, in the order in which they came.
    pub(crate) fn heard(&self) -> String {
        self.said.lock().unwrap().join(" ")
    }
}

/// Authority, certificate and handshakes of a host with these names.
pub(crate) struct Identity {
    authority: DemoAuthority,
    pub(crate) roots: Roots,
    pub(crate) issued: IssuedCertificate,
}

impl Identity {
    pub(crate) fn new(names: &[&str]) -> Self {
        let now = clock::timestamp();
        let authority = DemoAuthority::new(now).unwrap();
        let issued = authority.issue(names, KeyKind::P256, Validity::starting(now, 90 * DAY)).unwrap();
        Self { roots: authority.roots(), issued, authority }
    }

    /// As [`Identity::tls`], and to those who do not take its key, a certificate of the same authority with an RSA key.
    pub(crate) fn tls_with_two(&self, names: &[&str]) -> Tls {
        let validity = Validity::starting(clock::timestamp(), 90 * DAY);
        let rsa = self.authority.issue(names, KeyKind::Rsa2048, validity).unwrap();
        let provider = https_client(&Roots::empty()).unwrap().crypto_provider().clone();
        let certified = |issued: &IssuedCertificate| {
            let key = PrivateKeyDer::from(issued.private_key()).clone_key();
            let key = provider.key_provider.load_private_key(key).unwrap();
            Arc::new(CertifiedKey::new(vec![issued.certificate_der.clone()], key))
        };
        let both = ByKey(vec![certified(&self.issued), certified(&rsa)]);
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(both));
        Tls::Rustls(Arc::new(config))
    }

    /// TLS 1.2 and 1.3.
    pub(crate) fn tls(&self) -> Tls {
        let provider = https_client(&Roots::empty()).unwrap().crypto_provider().clone();
        let key = PrivateKeyDer::from(self.issued.private_key()).clone_key();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.issued.certificate_der.clone()], key);
        Tls::Rustls(Arc::new(config.unwrap()))
    }
}

/// The first that the client takes.
#[derive(Debug)]
struct ByKey(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByKey {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_taken = |own: &&Arc<CertifiedKey>| own.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(is_taken).cloned()
    }
}

impl MailHost {
    /// Listens on a free port of `ip`.
    pub(crate) fn start(self, ip: &str) -> Running {
        self.serve(StdListener::bind((ip, 0)).unwrap())
    }

    pub(crate) fn serve(self, socket: StdListener) -> Running {
        let address = socket.local_addr().unwrap();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = said.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                socket.set_nonblocking(true).unwrap();
                let socket = TcpListener::from_std(socket).unwrap();
                while let Ok((stream, _)) = socket.accept().await {
                    let (host, heard) = (self.clone(), heard.clone());
                    // Whoever hangs up ends his session, that is all.
                    tokio::spawn(async move { _ = host.session(stream, &heard).await });
                }
            });
        });
        Running { address, said }
    }

    async fn session(&self, stream: TcpStream, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
        let mut clear = BufReader::new(stream);
        say(&mut clear, self.greeting).await?;
        if !self.talk(&mut clear, heard, false).await? {
            return Ok(());
        }
        match &self.tls {
            Tls::None | Tls::Refused => Ok(()),
            Tls::Injected => say(&mut clear, "220 go\r\n250 Ok").await,
            Tls::Rustls(config) => {
                say(&mut clear, "220 go").await?;
                let stream = TlsAcceptor::from(config.clone()).accept(clear.into_inner()).await?;
                self.talk(&mut BufReader::new(stream), heard, true).await.map(|_| ())
            }
            #[cfg(feature = "legacy-tls")]
            Tls::Openssl(context) => {
                say(&mut clear, "220 go").await?;
                let ssl = openssl::ssl::Ssl::new(context)?;
                let mut stream = tokio_openssl::SslStream::new(ssl, clear.into_inner())?;
                std::pin::Pin::new(&mut stream).accept().await.map_err(std::io::Error::other)?;
                self.talk(&mut BufReader::new(stream), heard, true).await.map(|_| ())
            }
        }
    }

    /// Gives whether TLS is to begin.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        heard: &Mutex<Vec<String>>,
        is_tls: bool,
    ) -> std::io::Result<bool> {
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let word = line.split([' ', '\r']).next().unwrap_or_default().to_owned();
            heard.lock().unwrap().push(word.clone());
            let reply = match word.as_str() {
                "EHLO" => self.hello(is_tls),
                "STARTTLS" if matches!(self.tls, Tls::Refused) => "454 4.7.0 not now".to_owned(),
                "STARTTLS" => return Ok(true),
                "RCPT" => self.rcpt.to_owned(),
                "QUIT" => "221 2.0.0 Bye".to_owned(),
                _ => "250 2.0.0 Ok".to_owned(),
            };
            say(stream, &reply).await?;
            if word == "QUIT" {
                return Ok(false);
            }
            line.clear();
        }
        Ok(false)
    }

    fn hello(&self, is_tls: bool) -> String {
        let mut lines = vec!["mx.bank.example"];
        lines.extend(self.keywords);
        match (is_tls, &self.tls) {
            (true, _) => lines.extend(self.keywords_under_tls),
            (false, Tls::None) => {}
            (false, _) => lines.push("STARTTLS"),
        }
        let last = lines.len() - 1;
        let line = |(index, line): (usize, &&str)| format!("250{}{line}", if index < last { '-' } else { ' ' });
        lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\r\n")
    }
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, reply: &str) -> std::io::Result<()> {
    stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    stream.flush().await
}
