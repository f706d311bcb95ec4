//! The client side of rustls: takes any certificate that the server proves to own, and hands it out to be judged.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::model::domain::Domain;
use crate::tls::facts::facts;
use crate::tls::failure::{HandshakeFailure, SetupError};
use crate::tls::peer::peer_certificate;
use crate::tls::stream::TlsStream;

use super::Peer;
use super::certificate::ClientCertificate;

/// Servers whose sessions are kept. A server chooses how much a session takes here, 128 KiB with ticket and chain at
/// most, and the library does not tell: with so few servers that makes 24 MiB.
const SERVERS_KEPT_MAX: usize = 64;
/// Tickets of TLS 1.3 kept for one server: as many as servers send at once. Each is used once. Beside them there is one
/// session of TLS 1.2.
const TICKETS_PER_SERVER_MAX: usize = 2;
/// What the library keeps for one server unless it is held to less.
const LIBRARY_TICKETS_PER_SERVER: usize = 8;

/// The same offer in three forms.
#[derive(Clone, Debug)]
pub(in crate::tls) struct Offer {
    /// With a name, and the session of an earlier connection.
    resuming: Arc<ClientConfig>,
    named: Arc<ClientConfig>,
    nameless: Arc<ClientConfig>,
}

/// What is different from one handshake to the next.
#[derive(Clone, Copy, Debug)]
pub(in crate::tls) struct Hello<'a> {
    /// The name to ask for (SNI) and to resume sessions by.
    pub(in crate::tls) server_name: Option<&'a Domain>,
    pub(in crate::tls) resumes: bool,
    pub(in crate::tls) timeout: Duration,
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
        named.resumption = Resumption::disabled();
        let (mut resuming, mut nameless) = (named.clone(), named.clone());
        resuming.resumption = Resumption::store(Arc::new(FewSessions::default()));
        nameless.enable_sni = false;
        Ok(Self { resuming: Arc::new(resuming), named: Arc::new(named), nameless: Arc::new(nameless) })
    }

    /// Shakes hands within the timeout.
    pub(in crate::tls) async fn connect<S>(
        &self,
        stream: S,
        hello: Hello<'_>,
    ) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Hello { server_name, resumes, timeout } = hello;
        let sni = server_name.map(Domain::as_str);
        let name = sni.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let (config, name) = match name {
            Some(name) => (if resumes { &self.resuming } else { &self.named }, name),
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

/// Sessions to be resumed, within a bound for what they take.
#[derive(Debug)]
struct FewSessions(ClientSessionMemoryCache);

impl Default for FewSessions {
    fn default() -> Self {
        Self(ClientSessionMemoryCache::new(SERVERS_KEPT_MAX * LIBRARY_TICKETS_PER_SERVER))
    }
}

impl ClientSessionStore for FewSessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.0.remove_tls12_session(server);
    }

    /// The newest ones stay.
    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let kept: Vec<_> = std::iter::from_fn(|| self.0.take_tls13_ticket(&server)).collect();
        for before in kept.into_iter().take(TICKETS_PER_SERVER_MAX - 1).rev() {
            self.0.insert_tls13_ticket(server.clone(), before);
        }
        self.0.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(server)
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

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::clock;
    use crate::tls::demo_authority::{DemoAuthority, KeyKind};
    use crate::tls::provider::provider;
    use crate::tls::self_signed::Validity;

    /// A server that sends so many tickets.
    fn sending(config: &ServerConfig, tickets: usize) -> TlsAcceptor {
        let mut config = config.clone();
        config.send_tls13_tickets = tickets;
        TlsAcceptor::from(Arc::new(config))
    }

    async fn resumes(server: &TlsAcceptor, offer: &Offer, name: &str) -> bool {
        let (near, far) = duplex(1 << 16);
        let name = Domain::parse(name).unwrap();
        let hello = Hello { server_name: Some(&name), resumes: true, timeout: Duration::from_secs(30) };
        let (accepted, connected) = tokio::join!(server.accept(far), offer.connect(near, hello));
        let (mut accepted, (mut connected, peer)) = (accepted.unwrap(), connected.unwrap());
        // The tickets come before it.
        accepted.write_all(b"!").await.unwrap();
        accepted.flush().await.unwrap();
        assert_eq!(connected.read_u8().await.unwrap(), b'!');
        peer.facts.resumed
    }

    #[tokio::test]
    async fn few_sessions_are_kept_however_many_servers_send_and_however_many_there_are() {
        let now = clock::timestamp();
        let validity = Validity::starting(now, Duration::from_secs(3600));
        let pair = DemoAuthority::new(now).unwrap().issue(&["mx.example"], KeyKind::P256, validity).unwrap();
        let versions = [&rustls::version::TLS13];
        let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&versions).unwrap();
        let key = pair.private_key().clone_key().into();
        let config = config.with_no_client_auth().with_single_cert(vec![pair.certificate_der.clone()], key).unwrap();
        let (generous, one, silent) = (sending(&config, 8), sending(&config, 1), sending(&config, 0));
        let offer = Offer::new(provider(), &versions, None).unwrap();
        assert!(!resumes(&generous, &offer, "mx.example").await);
        for expected in [true, true, false] {
            assert_eq!(resumes(&silent, &offer, "mx.example").await, expected);
        }
        for n in 0..=SERVERS_KEPT_MAX {
            assert!(!resumes(&one, &offer, &format!("mx{n}.example")).await, "{n}");
        }
        for (n, expected) in [(1, true), (SERVERS_KEPT_MAX, true), (0, false)] {
            assert_eq!(resumes(&silent, &offer, &format!("mx{n}.example")).await, expected, "{n}");
        }
    }
}
