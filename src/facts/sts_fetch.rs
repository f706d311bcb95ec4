//! Fetches the MTA-STS policy of a domain from its web server (RFC 8461 section 3.3).
//!
//! The web server is a stranger's: its addresses come from our resolver and must be permitted targets, nothing that it
//! says leads elsewhere, and time and size are bounded.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Buf, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::dns::targets::TargetRule;
use crate::dns::{LookupError, Resolver};
use crate::model::domain::Domain;
use crate::model::escape::peer_text;
use crate::model::reason::Reason;
use crate::net::bounded::Bounded;
use crate::net::dial::{DialErrorKind, dial};
use crate::policy::settings::IpChoice;
use crate::policy::sts_policy::{STS_POLICY_BYTES_MAX, StsPolicy, StsPolicyError};
use crate::tls::failure::SetupError;
use crate::tls::https::https_client;
use crate::tls::roots::Roots;

/// The time for all of a fetch, from the look-up of the web server on (RFC 8461 section 3.3).
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// The time for one connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of the web server that are tried.
pub const ADDRESSES_TRIED_MAX: usize = 4;
/// The head of the answer.
const ANSWER_HEAD_BYTES_MAX: usize = 16 * 1024;
/// All that the web server may send, certificates and interim answers included.
const EXCHANGE_BYTES_MAX: usize = 256 * 1024;
/// Longest text of an error, in bytes of the escaped form.
const DETAIL_BYTES_MAX: usize = 256;
/// The label before the policy's domain (RFC 8461 section 3.2).
const POLICY_HOST_LABEL: &str = "mta-sts";
const TARGET: &str = "/.well-known/mta-sts.txt";
const HTTPS_PORT: u16 = 443;

/// Why a policy that is announced cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The domain is so long that no web server can have the name.
    #[error("there can be no web server mta-sts.{0}")]
    Name(Domain),
    #[error("the addresses of the web server cannot be looked up: {0}")]
    Lookup(LookupError),
    #[error("the web server has no address that may be connected to")]
    Forbidden,
    #[error("cannot connect to the web server {target}: {kind}")]
    Connect { target: SocketAddr, kind: DialErrorKind },
    #[error("the web server's certificate is not valid: {0}")]
    Certificate(String),
    #[error("TLS with the web server fails: {0}")]
    Tls(String),
    #[error("the web server breaks HTTP or ends early: {0}")]
    Http(String),
    #[error("the web server redirects (status {0}), which is not followed")]
    Redirect(u16),
    #[error("the web server answers with status {0}")]
    Status(u16),
    #[error("the policy is not served as text/plain but as {0}")]
    ContentType(String),
    #[error("the web server has not answered in time")]
    Timeout,
    #[error("{0}")]
    Policy(#[from] StsPolicyError),
    /// Our own fault: more policies are wanted at once than are fetched.
    #[error("too many policies are being fetched")]
    Busy,
}

impl FetchError {
    /// The word of RFC 8460 section 4.3.2.2: what was served and is no policy is invalid, a certificate that does not
    /// hold has a word of its own, all else is a failure to fetch.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Certificate(_) => Reason::StsWebpkiInvalid,
            Self::ContentType(_) | Self::Policy(_) => Reason::StsPolicyInvalid,
            Self::Name(_)
            | Self::Lookup(_)
            | Self::Forbidden
            | Self::Connect { .. }
            | Self::Tls(_)
            | Self::Http(_)
            | Self::Redirect(_)
            | Self::Status(_)
            | Self::Timeout
            | Self::Busy => Reason::StsPolicyFetchError,
        }
    }
}

/// How policies are fetched.
#[derive(Clone, Debug)]
pub struct StsFetcher {
    resolver: Arc<dyn Resolver>,
    targets: TargetRule,
    tls: Arc<ClientConfig>,
    port: u16,
    timeout: Duration,
}

impl StsFetcher {
    /// Fetches from port 443 of web servers that `roots` vouch for.
    pub fn new(resolver: Arc<dyn Resolver>, targets: TargetRule, roots: &Roots) -> Result<Self, SetupError> {
        let tls = https_client(roots)?;
        Ok(Self { resolver, targets, tls, port: HTTPS_PORT, timeout: FETCH_TIMEOUT })
    }

    /// Another port, for web servers of tests.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Another bound than [`FETCH_TIMEOUT`].
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(super) fn resolver(&self) -> &dyn Resolver {
        self.resolver.as_ref()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The policy that the web server of `domain` has now. Nothing of HTTP caching applies.
    pub async fn fetch(&self, domain: &Domain) -> Result<StsPolicy, FetchError> {
        let fetched = timeout(self.timeout, self.fetch_unbounded(domain)).await;
        fetched.unwrap_or(Err(FetchError::Timeout))
    }

    async fn fetch_unbounded(&self, domain: &Domain) -> Result<StsPolicy, FetchError> {
        let host =
            Domain::parse(&format!("{POLICY_HOST_LABEL}.{domain}")).map_err(|_| FetchError::Name(domain.clone()))?;
        let name = ServerName::try_from(host.as_str().to_owned()).map_err(|_| FetchError::Name(domain.clone()))?;
        let stream = Bounded::new(self.connect(&host).await?, EXCHANGE_BYTES_MAX);
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await.map_err(|e| tls_error(&e))?;
        let authority = match self.port {
            HTTPS_PORT => host.to_string(),
            port => format!("{host}:{port}"),
        };
        let request = Request::get(TARGET)
            .header(HOST, authority)
            .header(ACCEPT, "text/plain")
            .header(USER_AGENT, concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(String::new())
            .map_err(|error| FetchError::Http(text(&error.to_string())))?;
        let body = exchange(stream, request).await?;
        Ok(StsPolicy::parse(&body)?)
    }

    async fn connect(&self, host: &Domain) -> Result<TcpStream, FetchError> {
        let answer = self.resolver.addresses(host, IpChoice::Any).await.map_err(FetchError::Lookup)?;
        let permitted = answer.records.into_iter().filter(|ip| self.targets.permits(*ip));
        let mut result = Err(FetchError::Forbidden);
        for ip in permitted.take(ADDRESSES_TRIED_MAX) {
            match dial(SocketAddr::new(ip, self.port), None, CONNECT_TIMEOUT).await {
                Ok(stream) => return Ok(stream),
                Err(error) => result = Err(FetchError::Connect { target: error.target, kind: error.kind }),
            }
        }
        result
    }
}

/// Sends the request and gives the body of an answer that may be a policy.
async fn exchange<S>(stream: S, request: Request<String>) -> Result<Vec<u8>, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(ANSWER_HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|e| http_error(&e))?;
    let answer = async move {
        let answer = sender.send_request(request).await.map_err(|e| http_error(&e))?;
        check_head(&answer)?;
        read(answer.into_body()).await
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It has handed out what came before it ended.
        _ = &mut connection => answer.await,
    }
}

fn check_head(answer: &Response<Incoming>) -> Result<(), FetchError> {
    let status = answer.status();
    if status.is_redirection() {
        return Err(FetchError::Redirect(status.as_u16()));
    }
    if status != StatusCode::OK {
        return Err(FetchError::Status(status.as_u16()));
    }
    let Some(kind) = answer.headers().get(CONTENT_TYPE) else {
        return Err(FetchError::ContentType("nothing".to_owned()));
    };
    let kind = String::from_utf8_lossy(kind.as_bytes());
    // Parameters are ignored.
    let essence = kind.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
    if essence.eq_ignore_ascii_case("text/plain") { Ok(()) } else { Err(FetchError::ContentType(text(&kind))) }
}

/// The body, read no further than a policy may be long.
async fn read(mut body: Incoming) -> Result<Vec<u8>, FetchError> {
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|e| http_error(&e))?.into_data() else { continue };
        if content.len() + data.remaining() > STS_POLICY_BYTES_MAX {
            return Err(StsPolicyError::TooLong.into());
        }
        content.extend_from_slice(&data);
    }
    Ok(content)
}

fn tls_error(error: &io::Error) -> FetchError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error @ rustls::Error::InvalidCertificate(_)) => FetchError::Certificate(text(&error.to_string())),
        Some(rustls::Error::NoCertificatesPresented) => FetchError::Certificate("there is none".to_owned()),
        Some(error) => FetchError::Tls(text(&error.to_string())),
        None => FetchError::Tls(text(&error.to_string())),
    }
}

fn http_error(error: &hyper::Error) -> FetchError {
    FetchError::Http(text(&error.to_string()))
}

fn text(text: &str) -> String {
    peer_text(text, DETAIL_BYTES_MAX).into_owned()
}

#[cfg(test)]
mod tests;
