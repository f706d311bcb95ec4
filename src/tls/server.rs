//! The server side of rustls: TLS 1.2 and 1.3, our order of suites, resumption by tickets.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::ServerSessionMemoryCache;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::model::tls::{ProtocolVersion, TlsFacts};

use super::facts::facts;
use super::failure::{HandshakeFailure, SetupError};
use super::provider::provider;
use super::rewind::Rewind;
use super::store::CertificateStore;
use super::stream::TlsStream;

/// Sessions kept for clients that resume without tickets.
const SESSIONS_MAX: usize = 4096;

/// What a listener offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerTlsOptions {
    /// The lowest version; what this stack lacks is served by none.
    pub lowest: ProtocolVersion,
    /// Clients are asked for a certificate; none need show one.
    pub request_client_certificate: bool,
}

impl Default for ServerTlsOptions {
    fn default() -> Self {
        Self { lowest: ProtocolVersion::Tls1_2, request_client_certificate: false }
    }
}

/// One listener's TLS. Its ticket keys are its own, so sessions do not cross listeners, and end with a reload. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
}

impl ServerTls {
    pub fn new(store: Arc<CertificateStore>, options: ServerTlsOptions) -> Result<Self, SetupError> {
        let versions: &[_] = match options.lowest {
            ProtocolVersion::Tls1_3 => &[&rustls::version::TLS13],
            _ => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(store);
        config.ignore_client_order = true;
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        Ok(Self { config: Arc::new(config) })
    }

    /// Shakes hands within `deadline`. On failure the peer has been sent an alert where there is one to send, and the
    /// stream is gone.
    pub async fn accept<S>(&self, stream: S, deadline: Duration) -> Result<(TlsStream<S>, TlsFacts), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = TlsAcceptor::from(Arc::clone(&self.config)).accept(Rewind::new(Vec::new(), stream));
        let stream = match tokio::time::timeout(deadline, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(HandshakeFailure::from_io(&error)),
            Err(_) => return Err(HandshakeFailure::timeout(deadline)),
        };
        let (_, connection) = stream.get_ref();
        let facts = facts(connection, connection.server_name()).ok_or_else(HandshakeFailure::without_facts)?;
        Ok((TlsStream::RustlsServer(Box::new(stream)), facts))
    }
}
