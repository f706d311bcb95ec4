//! The client side of rustls: takes any certificate that the server proves to own, and hands it out to be judged.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::model::domain::Domain;
use crate::model::tls::{ProtocolVersion, TlsFacts};

use super::evaluate::Evaluation;
use super::facts::facts;
use super::failure::{HandshakeFailure, SetupError};
use super::peer::peer_certificate;
use super::provider::provider;
use super::stream::TlsStream;

/// TLS 1.3 tickets kept, eight at most for one server name.
const SESSIONS_MAX: usize = 4096;

/// What to ask of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHandshake {
    /// The name to ask for (SNI) and to resume sessions by; `None` for an address literal, which does neither.
    pub server_name: Option<Domain>,
    /// The lowest version to offer; below what this stack has it changes nothing.
    pub min_version: Option<ProtocolVersion>,
    pub timeout: Duration,
}

/// The other end of a finished handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// With the server's certificate, not yet verified.
    pub facts: TlsFacts,
    /// As the server sent it, or as it was when the resumed session began; its own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
}

impl Peer {
    /// Writes the judgement of the certificate into the facts.
    pub fn record(&mut self, evaluation: &Evaluation) {
        if let Some(certificate) = &mut self.facts.peer {
            certificate.verified = evaluation.verified;
            certificate.error = evaluation.error.map(|reason| format!("{reason}: {}", evaluation.detail));
        }
    }
}

/// TLS to servers. Sessions are kept per instance and server name. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientTls {
    tls12_and_13: Offer,
    tls13: Offer,
}

/// The same offer with and without a name in it.
#[derive(Clone, Debug)]
struct Offer {
    named: Arc<ClientConfig>,
    nameless: Arc<ClientConfig>,
}

impl ClientTls {
    pub fn new() -> Result<Self, SetupError> {
        Ok(Self {
            tls12_and_13: Offer::new(&[&rustls::version::TLS13, &rustls::version::TLS12])?,
            tls13: Offer::new(&[&rustls::version::TLS13])?,
        })
    }

    /// Shakes hands within the timeout. Success says nothing about who the server is: hold the chain against names with
    /// [`super::evaluate::evaluate`] before anything that must stay secret is sent.
    pub async fn connect<S>(
        &self,
        stream: S,
        handshake: ClientHandshake,
    ) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let offer = match handshake.min_version {
            Some(ProtocolVersion::Tls1_3) => &self.tls13,
            _ => &self.tls12_and_13,
        };
        let sni = handshake.server_name.as_ref().map(Domain::as_str);
        let name = sni.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let (config, name) = match name {
            Some(name) => (&offer.named, name),
            // The nameless configuration neither sends nor keeps this stand-in.
            None => (&offer.nameless, ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
        };
        let connect = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        let stream = match tokio::time::timeout(handshake.timeout, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(HandshakeFailure::from_io(&error)),
            Err(_) => return Err(HandshakeFailure::timeout(handshake.timeout)),
        };
        let (_, connection) = stream.get_ref();
        let chain: Vec<_> = connection.peer_certificates().unwrap_or_default().to_vec();
        let mut facts = facts(connection, sni).ok_or_else(HandshakeFailure::without_facts)?;
        facts.peer = chain.first().map(peer_certificate);
        Ok((TlsStream::RustlsClient(Box::new(stream)), Peer { facts, chain }))
    }
}

impl Offer {
    fn new(versions: &[&'static SupportedProtocolVersion]) -> Result<Self, SetupError> {
        let provider = provider();
        let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
        let mut named = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let mut nameless = named.clone();
        named.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        nameless.enable_sni = false;
        nameless.resumption = Resumption::disabled();
        Ok(Self { named: Arc::new(named), nameless: Arc::new(nameless) })
    }
}

/// Takes every certificate, because who may be the server is judged after the handshake; whether the server holds the
/// key of its certificate is checked here.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
