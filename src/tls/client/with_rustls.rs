//! The client side of rustls: takes any certificate that the server proves to own, and hands it out to be judged.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::model::domain::Domain;
use crate::tls::facts::facts;
use crate::tls::failure::{HandshakeFailure, SetupError};
use crate::tls::peer::peer_certificate;
use crate::tls::stream::TlsStream;

use super::certificate::ClientCertificate;
use super::{Peer, SESSIONS_MAX};

/// The same offer with and without a name in it.
#[derive(Clone, Debug)]
pub(in crate::tls) struct Offer {
    named: Arc<ClientConfig>,
    nameless: Arc<ClientConfig>,
}

impl Offer {
    pub(in crate::tls) fn new(
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
        certificate: Option<&ClientCertificate>,
    ) -> Result<Self, SetupError> {
        let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
        Self::judging(verifier, provider, versions, certificate)
    }

    /// The same with a verifier of the caller's.
    pub(super) fn judging(
        verifier: Arc<dyn ServerCertVerifier>,
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
        certificate: Option<&ClientCertificate>,
    ) -> Result<Self, SetupError> {
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut named = match certificate {
            Some(own) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified()))),
            None => config.with_no_client_auth(),
        };
        let mut nameless = named.clone();
        // At most eight tickets of TLS 1.3 for one name; each is used once.
        named.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        nameless.enable_sni = false;
        nameless.resumption = Resumption::disabled();
        Ok(Self { named: Arc::new(named), nameless: Arc::new(nameless) })
    }

    /// Shakes hands within the timeout.
    pub(in crate::tls) async fn connect<S>(
        &self,
        stream: S,
        server_name: Option<&Domain>,
        timeout: Duration,
    ) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let sni = server_name.map(Domain::as_str);
        let name = sni.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let (config, name) = match name {
            Some(name) => (&self.named, name),
            // The nameless configuration neither sends nor keeps this stand-in.
            None => (&self.nameless, ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
        };
        let connect = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        let stream = match tokio::time::timeout(timeout, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(HandshakeFailure::from_io(&error)),
            Err(_) => return Err(HandshakeFailure::timeout(timeout)),
        };
        let (_, connection) = stream.get_ref();
        let chain: Vec<_> = connection.peer_certificates().unwrap_or_default().to_vec();
        let mut facts = facts(connection, sni).ok_or_else(HandshakeFailure::without_facts)?;
        facts.peer = chain.first().map(peer_certificate);
        Ok((TlsStream::RustlsClient(Box::new(stream)), Peer { facts, chain }))
    }
}

/// Takes every certificate, because who may be the server is judged after the handshake; whether the server holds the
/// key of its certificate is checked here.
#[derive(Debug)]
pub(in crate::tls) struct AnyCertificate(pub(in crate::tls) WebPkiSupportedAlgorithms);

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
