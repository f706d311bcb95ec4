//! The server side of rustls: a configuration for each of our keys, all with the same tickets and sessions.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::model::tls::{ProtocolVersion, SignatureHash, TlsFacts};
use crate::tls::facts::facts;
use crate::tls::failure::{HandshakeFailure, SetupError};
use crate::tls::provider::provider;
use crate::tls::rewind::Rewind;
use crate::tls::store::CertificateStore;
use crate::tls::stream::TlsStream;

use super::route::{Abilities, KeyAbilities};
use super::{Accepted, ServerTlsOptions};

/// Sessions kept for clients that resume without tickets.
pub(super) const SESSIONS_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Modern {
    pub(super) abilities: Abilities,
    /// By place in the store.
    keys: Vec<Served>,
}

#[derive(Debug)]
struct Served {
    abilities: KeyAbilities,
    config: Arc<ServerConfig>,
}

impl Modern {
    pub(super) fn new(store: &CertificateStore, options: &ServerTlsOptions) -> Result<Self, SetupError> {
        let base = base(options)?;
        let serve = |key: &Arc<CertifiedKey>| {
            let mut config = base.clone();
            config.cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(key)));
            Served { abilities: KeyAbilities::of(key.key.as_ref()), config: Arc::new(config) }
        };
        let keys = store.certificates().iter().map(|certificate| serve(&certificate.key)).collect();
        Ok(Self { abilities: Abilities::of(&provider()), keys })
    }

    /// What the key at this place of the store can do.
    pub(super) fn key(&self, place: usize) -> Option<&KeyAbilities> {
        self.keys.get(place).map(|served| &served.abilities)
    }

    /// Shakes hands with the key at this place of the store.
    pub(super) async fn accept<S>(&self, stream: Rewind<S>, place: usize) -> Result<Accepted<S>, HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let served = self.keys.get(place).ok_or_else(HandshakeFailure::without_facts)?;
        let handshake = TlsAcceptor::from(Arc::clone(&served.config)).accept(stream);
        let stream = handshake.await.map_err(|error| HandshakeFailure::from_io(&error))?;
        let (_, connection) = stream.get_ref();
        let facts: TlsFacts =
            facts(connection, connection.server_name()).ok_or_else(HandshakeFailure::without_facts)?;
        let chain = connection.peer_certificates().unwrap_or_default().to_vec();
        // This stack knows no other hashes; in a resumed session nothing was signed.
        let signature = (!chain.is_empty() && !facts.resumed).then_some(SignatureHash::Sha2);
        Ok(Accepted { stream: TlsStream::RustlsServer(Box::new(stream)), facts, chain, signature })
    }
}

/// Everything but the key.
fn base(options: &ServerTlsOptions) -> Result<ServerConfig, SetupError> {
    let versions: &[_] = match options.lowest {
        ProtocolVersion::Tls1_3 => &[&rustls::version::TLS13],
        _ => &[&rustls::version::TLS13, &rustls::version::TLS12],
    };
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = match options.client_certificates {
        Some(_) => builder.with_client_cert_verifier(Arc::new(AnyClientCertificate(algorithms))),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(NoKey));
    config.ignore_client_order = true;
    if options.client_certificates.is_some() {
        // A resumed session proves nobody's key, so a client that needs its certificate to count must not get one.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    }
    Ok(config)
}

/// Stands where each configuration has its key.
#[derive(Debug)]
struct NoKey;

impl rustls::server::ResolvesServerCert for NoKey {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// Asks for a certificate and takes every one whose key the client proves to hold, or none: what it is worth is judged
/// after the handshake.
#[derive(Debug)]
struct AnyClientCertificate(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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
