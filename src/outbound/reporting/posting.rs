//! A report as the body of a POST (RFC 8460 section 5.4).
//!
//! Strangers choose the web server: its addresses come from our resolver and must be permitted targets, nothing that it
//! says leads elsewhere, its answer's body is not read, and time is bounded. Its certificate must be valid; RFC 8460
//! section 3 permits to ignore that, but what we know of a domain's mail is not for whoever stands in between.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::dns::targets::TargetRule;
use crate::dns::{LookupError, Resolver};
use crate::mail::tlsrpt::CONTENT_TYPE_GZIP;
use crate::model::address::Host;
use crate::model::destination::WebhookUrl;
use crate::model::escape::peer_text;
use crate::net::bounded::Bounded;
use crate::net::dial::{DialError, dial};
use crate::policy::settings::IpChoice;

/// The time for all of it.
const POST_TIMEOUT: Duration = Duration::from_secs(45);
/// The time for one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of the web server that are tried.
const ADDRESSES_TRIED_MAX: usize = 4;
/// The head of the answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// All that the web server may send, certificates and interim answers included.
const EXCHANGE_BYTES_MAX: usize = 256 * 1024;
/// Longest text of an error, in bytes of the escaped form.
const DETAIL_BYTES_MAX: usize = 200;

/// Why a web server did not take the report. Each is tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PostError {
    #[error("the addresses of the web server cannot be looked up: {0}")]
    Lookup(LookupError),
    #[error("the web server has no address that may be connected to")]
    Forbidden,
    #[error("{0}")]
    Connect(DialError),
    #[error("TLS with the web server fails: {0}")]
    Tls(String),
    #[error("the web server breaks HTTP or ends early: {0}")]
    Http(String),
    #[error("the web server answers with status {0}")]
    Status(u16),
    #[error("the web server has not answered in time")]
    Timeout,
}

/// How web servers are reached.
#[derive(Clone, Debug)]
pub(super) struct Poster<'a> {
    pub(super) resolver: &'a dyn Resolver,
    pub(super) targets: &'a TargetRule,
    pub(super) tls: Arc<ClientConfig>,
}

impl Poster<'_> {
    /// Success is any 2xx (RFC 8460 section 5.4).
    pub(super) async fn post(&self, url: &WebhookUrl, gzipped: &[u8]) -> Result<(), PostError> {
        timeout(POST_TIMEOUT, self.post_unbounded(url, gzipped)).await.unwrap_or(Err(PostError::Timeout))
    }

    async fn post_unbounded(&self, url: &WebhookUrl, gzipped: &[u8]) -> Result<(), PostError> {
        let stream = Bounded::new(self.connect(url).await?, EXCHANGE_BYTES_MAX);
        let name = match url.host() {
            Host::Literal(ip) => ServerName::from(*ip),
            Host::Name(name) => ServerName::try_from(name.as_str().to_owned()).map_err(|e| tls_error(&e))?,
        };
        let stream =
            TlsConnector::from(self.tls.clone()).connect(name, stream).await.map_err(|error| tls_error(&error))?;
        let request = Request::post(url.target())
            .header(HOST, url.authority())
            .header(CONTENT_TYPE, CONTENT_TYPE_GZIP)
            .header(CONTENT_LENGTH, gzipped.len())
            .header(USER_AGENT, concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Whole(Some(Bytes::copy_from_slice(gzipped))))
            .map_err(|error| PostError::Http(text(&error.to_string())))?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(ANSWER_BYTES_MAX);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|e| http_error(&e))?;
        let answer = sender.send_request(request);
        tokio::pin!(answer, connection);
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            // It has handed out what came before it ended.
            _ = &mut connection => answer.await,
        };
        check(answer.map_err(|e| http_error(&e))?.status())
    }

    async fn connect(&self, url: &WebhookUrl) -> Result<TcpStream, PostError> {
        let addresses: Vec<IpAddr> = match url.host() {
            Host::Literal(ip) => vec![*ip],
            Host::Name(name) => self.resolver.addresses(name, IpChoice::Any).await.map_err(PostError::Lookup)?.records,
        };
        let permitted = addresses.into_iter().filter(|ip| self.targets.permits(*ip));
        let mut result = Err(PostError::Forbidden);
        for ip in permitted.take(ADDRESSES_TRIED_MAX) {
            match dial(SocketAddr::new(ip, url.port()), None, CONNECT_TIMEOUT).await {
                Ok(stream) => return Ok(stream),
                Err(error) => result = Err(PostError::Connect(error)),
            }
        }
        result
    }
}

fn check(status: StatusCode) -> Result<(), PostError> {
    if status.is_success() { Ok(()) } else { Err(PostError::Status(status.as_u16())) }
}

/// A body in one piece.
struct Whole(Option<Bytes>);

impl hyper::body::Body for Whole {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn tls_error(error: &dyn std::error::Error) -> PostError {
    PostError::Tls(text(&error.to_string()))
}

fn http_error(error: &hyper::Error) -> PostError {
    PostError::Http(text(&error.to_string()))
}

fn text(text: &str) -> String {
    peer_text(text, DETAIL_BYTES_MAX).into_owned()
}
