//! The server side of rustls: a configuration for each of our keys, all with the same tickets and sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::model::tls::{ProtocolVersion, RSA_BITS_MIN, SignatureHash};
use crate::tls::facts::facts;
use crate::tls::failure::{HandshakeFailure, SetupError};
use crate::tls::peer::rsa_bits;
use crate::tls::provider::provider;
use crate::tls::rewind::Rewind;
use crate::tls::store::CertificateStore;
use crate::tls::stream::TlsStream;

use super::route::{Abilities, KeyAbilities};
use super::{Accepted, ServerTlsOptions};

/// Sessions kept for clients that resume without tickets: of one listener and one library.
pub(super) const SESSIONS_MAX: usize = 4096;

/// The longest RSA key whose signatures rustls takes.
const RSA_BITS_MAX: u32 = 8192;

#[derive(Debug)]
pub(super) struct Modern {
    pub(super) abilities: Abilities,
    provider: Arc<CryptoProvider>,
    lowest: ProtocolVersion,
    /// By place in the store.
    keys: Vec<Served>,
}

#[derive(Debug)]
struct Served {
    abilities: KeyAbilities,
    key: Arc<CertifiedKey>,
    /// `None` where clients are asked for a certificate: there each handshake has a configuration of its own.
    config: Option<Arc<ServerConfig>>,
}

impl Modern {
    pub(super) fn new(store: &CertificateStore, options: &ServerTlsOptions) -> Result<Self, SetupError> {
        let provider = provider();
        let shared = match options.client_certificates {
            Some(_) => None,
            None => Some(resuming(&provider, options.lowest)?),
        };
        let serve = |key: &Arc<CertifiedKey>| {
            let config = shared.clone().map(|config| Arc::new(with_key(config, key)));
            Served { abilities: KeyAbilities::of(key.key.as_ref()), key: Arc::clone(key), config }
        };
        let keys = store.certificates().iter().map(|certificate| serve(&certificate.key)).collect();
        Ok(Self { abilities: Abilities::of(&provider), provider, lowest: options.lowest, keys })
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
        let proof = Arc::new(Proof::default());
        let config = match &served.config {
            Some(config) => Arc::clone(config),
            None => Arc::new(with_key(
                asking(&self.provider, self.lowest, &proof).map_err(|error| HandshakeFailure::of_setup(&error))?,
                &served.key,
            )),
        };
        let handshake = TlsAcceptor::from(config).accept(stream);
        let stream = handshake.await.map_err(|error| HandshakeFailure::from_io(&error))?;
        let (_, connection) = stream.get_ref();
        let facts = facts(connection, connection.server_name()).ok_or_else(HandshakeFailure::without_facts)?;
        let chain = connection.peer_certificates().unwrap_or_default().to_vec();
        // This stack knows no other hashes; in a resumed session nothing was signed.
        let is_proved = !chain.is_empty() && !facts.resumed && !proof.is_missing.load(Ordering::Relaxed);
        let signature = is_proved.then_some(SignatureHash::Sha2);
        Ok(Accepted { stream: TlsStream::RustlsServer(Box::new(stream)), facts, chain, signature })
    }
}

/// For listeners that ask for no certificate: tickets and sessions for all keys together.
fn resuming(provider: &Arc<CryptoProvider>, lowest: ProtocolVersion) -> Result<ServerConfig, SetupError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(versions(lowest))?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(NoKey));
    config.ignore_client_order = true;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

/// For one handshake that asks for a certificate. A resumed session proves nobody's key, so a client that needs its
/// certificate to count must not get one.
fn asking(
    provider: &Arc<CryptoProvider>,
    lowest: ProtocolVersion,
    proof: &Arc<Proof>,
) -> Result<ServerConfig, SetupError> {
    let verifier =
        AnyClientCertificate { algorithms: provider.signature_verification_algorithms, proof: Arc::clone(proof) };
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(versions(lowest))?;
    let mut config = builder.with_client_cert_verifier(Arc::new(verifier)).with_cert_resolver(Arc::new(NoKey));
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn with_key(mut config: ServerConfig, key: &Arc<CertifiedKey>) -> ServerConfig {
    config.cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(key)));
    config
}

fn versions(lowest: ProtocolVersion) -> &'static [&'static SupportedProtocolVersion] {
    const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    const TLS13_AND_TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    if lowest == ProtocolVersion::Tls1_3 { TLS13 } else { TLS13_AND_TLS12 }
}

/// Stands where each configuration has its key.
#[derive(Debug)]
struct NoKey;

impl rustls::server::ResolvesServerCert for NoKey {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// Whether a client has proved that it holds the key of its certificate.
#[derive(Debug, Default)]
struct Proof {
    is_missing: AtomicBool,
}

/// Asks for a certificate and takes every one, or none: what it is worth is judged after the handshake. One that this
/// library cannot check counts for nothing, and does not cost the client its TLS.
#[derive(Debug)]
struct AnyClientCertificate {
    algorithms: WebPkiSupportedAlgorithms,
    proof: Arc<Proof>,
}

impl AnyClientCertificate {
    fn proved_or_unreadable(
        &self,
        cert: &CertificateDer<'_>,
        checked: Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // The library says the same of a wrong signature and of a key whose size it does not take.
        let is_wrong = matches!(checked, Err(rustls::Error::InvalidCertificate(CertificateError::BadSignature)));
        let has_odd_size = rsa_bits(cert).is_some_and(|bits| !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits));
        match checked {
            Err(_) if !is_wrong || has_odd_size => {
                self.proof.is_missing.store(true, Ordering::Relaxed);
                Ok(HandshakeSignatureValid::assertion())
            }
            checked => checked,
        }
    }
}

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
        self.proved_or_unreadable(cert, verify_tls12_signature(message, cert, dss, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.proved_or_unreadable(cert, verify_tls13_signature(message, cert, dss, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
