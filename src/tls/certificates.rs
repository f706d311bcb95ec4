//! A certificate of ours with its key and OCSP response: read from files, checked, and described.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

use crate::clock;
use crate::model::time::Timestamp;
use crate::model::tls::CertificateStack;

use super::ocsp::{OcspError, OcspResponse, OcspState};
use super::peer;
use super::pem::{self, PemError};
use super::provider::provider;

/// The most certificates of one chain that are sent to clients.
pub const CHAIN_CERTIFICATES_MAX: usize = 16;
/// A certificate that expires within this is worth a warning.
pub const EXPIRY_NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// sha1WithRSAEncryption and ecdsa-with-SHA1.
const SHA1_SIGNATURES: [&str; 2] = ["1.2.840.113549.1.1.5", "1.2.840.10045.4.1"];

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePaths {
    /// PEM: the certificate first, then its intermediates.
    pub chain: PathBuf,
    /// PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
    /// DER: the OCSP response that is sent along (RFC 6066 section 8).
    pub ocsp: Option<PathBuf>,
    pub stack: CertificateStack,
}

impl CertificatePaths {
    /// For all clients, without an OCSP response.
    pub fn new(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { chain: chain.into(), key: key.into(), ocsp: None, stack: CertificateStack::Any }
    }
}

/// Why a certificate cannot be used. Each is the operator's to mend; trying again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error(transparent)]
    Ocsp(#[from] OcspError),
    #[error("a certificate in {} cannot be read; write it anew as PEM, version 3", chain.display())]
    NotACertificate { chain: PathBuf },
    #[error("{} holds more than {CHAIN_CERTIFICATES_MAX} certificates; a chain is the certificate and its \
             intermediates, not a bundle of roots", chain.display())]
    ChainTooLong { chain: PathBuf },
    #[error("the key in {} cannot be used; it must be ECDSA (P-256, P-384, P-521), Ed25519 or RSA of 2048 bits or more",
            key.display())]
    UnusableKey { key: PathBuf },
    #[error("key and certificate do not match: the public key of {} is not that of the first certificate in {}; \
             name the key that the certificate was issued for", key.display(), chain.display())]
    Mismatch { chain: PathBuf, key: PathBuf },
    #[error("the certificate for {} is not the first in {}; put it before its intermediates",
            key.display(), chain.display())]
    LeafNotFirst { chain: PathBuf, key: PathBuf },
    #[error("every [[certificate]] has stack = \"legacy\"; clients of today need one for \"any\"")]
    OnlyLegacy,
    #[error("no [[certificate]] is configured; TLS needs at least one")]
    NoneConfigured,
}

/// What is odd about a usable certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateWarning {
    #[error("the certificate in {} expired on {}; renew it", chain.display(), not_after.day())]
    Expired { chain: PathBuf, not_after: Timestamp },
    #[error("the certificate in {} is not valid before {}", chain.display(), not_before.day())]
    NotYetValid { chain: PathBuf, not_before: Timestamp },
    #[error("the certificate in {} expires on {}, in {}; renew it", chain.display(), not_after.day(), span(*left))]
    ExpiresSoon { chain: PathBuf, not_after: Timestamp, left: Duration },
    #[error("the certificate in {} has no DNS name, so no client can verify it", chain.display())]
    NoNames { chain: PathBuf },
    #[error("the certificate in {} is signed with SHA-1, which clients of today refuse; have it issued anew",
            chain.display())]
    Sha1Signature { chain: PathBuf },
    #[error("the OCSP response in {} is not sent along: {state}; {}", ocsp.display(), remedy(*state))]
    OcspNotSent { ocsp: PathBuf, state: OcspState },
}

impl CertificateWarning {
    /// What the end of the validity is worth: nothing, as long as it is far away.
    pub fn of_expiry(chain: &Path, not_after: Timestamp, now: Timestamp) -> Option<Self> {
        let (chain, left) = (chain.to_owned(), not_after.saturating_since(now));
        if not_after < now {
            return Some(Self::Expired { chain, not_after });
        }
        (left < EXPIRY_NOTICE).then_some(Self::ExpiresSoon { chain, not_after, left })
    }

    /// Whether it is about the end of the validity: what only time brings.
    pub fn is_expiry(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::ExpiresSoon { .. })
    }
}

/// `3 days`, below two days in hours.
fn span(left: Duration) -> String {
    match left.as_secs() / 3600 {
        1 => "1 hour".to_owned(),
        hours @ 0..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

fn remedy(state: OcspState) -> &'static str {
    match state {
        OcspState::Revoked => "have a new certificate issued",
        OcspState::Unknown => "ask the authority that issued the certificate",
        OcspState::NotYetValid { .. } => "set the clock of this host",
        OcspState::Stapled { .. } | OcspState::Stale { .. } => "fetch a new one",
    }
}

/// A chain and its key that belong together, with the OCSP response that fits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    paths: CertificatePaths,
    pub(super) key: Arc<CertifiedKey>,
    #[cfg_attr(not(feature = "legacy-tls"), allow(dead_code, reason = "OpenSSL alone reads it"))]
    key_der: Arc<Zeroizing<PrivateKeyDer<'static>>>,
    /// What was read from the file; it is sent along while it is valid.
    response: Option<Arc<OcspResponse>>,
    description: Arc<Description>,
}

/// What a certificate says.
#[derive(Debug)]
struct Description {
    /// DNS names, lower case, wildcards as `*.example`.
    names: Vec<String>,
    subject: String,
    serial: Vec<u8>,
    key_type: String,
    key_sha256: String,
    has_sha1_signature: bool,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl ServerCertificate {
    /// Reads all files and checks that they fit.
    pub fn read(paths: &CertificatePaths) -> Result<Self, CertificateError> {
        Ok(Self::read_pair(paths)?.read_ocsp(clock::timestamp())?)
    }

    /// Reads chain and key alone.
    pub fn read_pair(paths: &CertificatePaths) -> Result<Self, CertificateError> {
        let chain = pem::read_file(&paths.chain)?;
        let key = Zeroizing::new(pem::read_file(&paths.key)?);
        Self::from_pem(paths, &chain, &key)
    }

    /// The same for PEM texts in memory; `paths` are their names in errors and warnings.
    pub fn from_pem(paths: &CertificatePaths, chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain = pem::certificates(&paths.chain, chain)?;
        if chain.len() > CHAIN_CERTIFICATES_MAX {
            return Err(CertificateError::ChainTooLong { chain: paths.chain.clone() });
        }
        let key_der = Arc::new(Zeroizing::new(pem::private_key(&paths.key, key)?));
        let key = provider()
            .key_provider
            .load_private_key(key_der.clone_key())
            .map_err(|_| CertificateError::UnusableKey { key: paths.key.clone() })?;
        let certified = CertifiedKey::new(chain, key);
        check_keys_match(paths, &certified)?;
        Self::describe(paths, certified, key_der)
    }

    fn describe(
        paths: &CertificatePaths,
        certified: CertifiedKey,
        key_der: Arc<Zeroizing<PrivateKeyDer<'static>>>,
    ) -> Result<Self, CertificateError> {
        let leaf = certified.cert.first().and_then(peer::parse).ok_or_else(|| not_a_certificate(&paths.chain))?;
        let signature = leaf.signature_algorithm.algorithm.to_id_string();
        let description = Description {
            names: peer::dns_names(&leaf).map(str::to_ascii_lowercase).collect(),
            subject: peer::subject(&leaf),
            serial: leaf.raw_serial().to_vec(),
            key_type: key_type(&leaf, certified.key.algorithm()),
            key_sha256: peer::key_fingerprint(&leaf).hex(),
            // Nobody looks at the signature of a certificate by itself.
            has_sha1_signature: leaf.subject() != leaf.issuer() && SHA1_SIGNATURES.contains(&signature.as_str()),
            not_before: Timestamp::from_secs(leaf.validity().not_before.timestamp()),
            not_after: peer::not_after(&leaf),
        };
        drop(leaf);
        let description = Arc::new(description);
        Ok(Self { paths: paths.clone(), key: Arc::new(certified), key_der, response: None, description })
    }

    /// The same with the OCSP response that its file holds now, or without one if none is named.
    pub fn read_ocsp(&self, now: Timestamp) -> Result<Self, OcspError> {
        let read = |file: &PathBuf| OcspResponse::read(file, &self.description.serial);
        let response = self.paths.ocsp.as_ref().map(read).transpose()?;
        Ok(self.with_response(response.map(Arc::new), now))
    }

    /// The same with the OCSP response of `other`, if that is for this certificate too.
    pub fn with_ocsp_of(&self, other: &Self, now: Timestamp) -> Self {
        let is_same = self.description.serial == other.description.serial;
        self.with_response(other.response.clone().filter(|_| is_same), now)
    }

    /// The same with its OCSP response sent along only if that is valid now.
    pub fn as_of(&self, now: Timestamp) -> Self {
        self.with_response(self.response.clone(), now)
    }

    /// Whether [`Self::as_of`] would change what is sent along.
    pub fn is_outdated(&self, now: Timestamp) -> bool {
        self.key.ocsp.is_some() != matches!(self.ocsp_state(now), Some(OcspState::Stapled { .. }))
    }

    fn with_response(&self, response: Option<Arc<OcspResponse>>, now: Timestamp) -> Self {
        let valid = response.as_ref().filter(|response| matches!(response.state(now), OcspState::Stapled { .. }));
        let mut certified = CertifiedKey::clone(&self.key);
        certified.ocsp = valid.map(|response| response.der().to_vec());
        Self { key: Arc::new(certified), response, ..self.clone() }
    }

    pub fn paths(&self) -> &CertificatePaths {
        &self.paths
    }

    /// The DNS names, lower case; a wildcard is written `*.example`.
    pub fn names(&self) -> &[String] {
        &self.description.names
    }

    /// The first DNS name, or the subject if there is none.
    pub fn first_name(&self) -> &str {
        self.names().first().unwrap_or(&self.description.subject)
    }

    pub fn not_after(&self) -> Timestamp {
        self.description.not_after
    }

    /// `ECDSA P-256`, `RSA 2048`, `Ed25519`.
    pub fn key_type(&self) -> &str {
        &self.description.key_type
    }

    /// The SHA-256 of the public key in hexadecimal: what a TLSA record 3 1 1 lists (RFC 7671 section 5.1).
    pub fn key_sha256(&self) -> &str {
        &self.description.key_sha256
    }

    /// `None`: no OCSP response is configured, or none that fits was found.
    pub fn ocsp_state(&self, now: Timestamp) -> Option<OcspState> {
        self.response.as_ref().map(|response| response.state(now))
    }

    pub fn key_algorithm(&self) -> SignatureAlgorithm {
        self.key.key.algorithm()
    }

    /// The certificate and its intermediates, as they are sent.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// The private key as it stands in its file: PKCS #8, PKCS #1 or SEC 1. Its memory is overwritten at the end.
    #[cfg_attr(not(feature = "legacy-tls"), allow(dead_code, reason = "OpenSSL alone reads it"))]
    pub(super) fn key_der(&self) -> &PrivateKeyDer<'static> {
        &self.key_der
    }

    /// The OCSP response that is sent along (RFC 6066 section 8), in DER.
    #[cfg_attr(not(feature = "legacy-tls"), allow(dead_code, reason = "OpenSSL alone reads it"))]
    pub(super) fn ocsp(&self) -> Option<&[u8]> {
        self.key.ocsp.as_deref()
    }

    pub fn warnings(&self, now: Timestamp) -> Vec<CertificateWarning> {
        let chain = || self.paths.chain.clone();
        let Description { names, not_before, not_after, has_sha1_signature, .. } = &*self.description;
        let (not_before, not_after) = (*not_before, *not_after);
        let mut warnings = Vec::from_iter(CertificateWarning::of_expiry(&self.paths.chain, not_after, now));
        if not_before > now {
            warnings.push(CertificateWarning::NotYetValid { chain: chain(), not_before });
        }
        if names.is_empty() {
            warnings.push(CertificateWarning::NoNames { chain: chain() });
        }
        if *has_sha1_signature {
            warnings.push(CertificateWarning::Sha1Signature { chain: chain() });
        }
        let state = self.ocsp_state(now).filter(|state| !matches!(state, OcspState::Stapled { .. }));
        if let (Some(ocsp), Some(state)) = (self.paths.ocsp.clone(), state) {
            warnings.push(CertificateWarning::OcspNotSent { ocsp, state });
        }
        warnings
    }
}

/// The size of a point is told in whole octets: P-521 has 528 bits there.
fn key_type(leaf: &X509Certificate<'_>, algorithm: SignatureAlgorithm) -> String {
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(key)) => format!("ECDSA P-{}", if key.key_size() == 528 { 521 } else { key.key_size() }),
        _ if algorithm == SignatureAlgorithm::ED25519 => "Ed25519".to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn check_keys_match(paths: &CertificatePaths, certified: &CertifiedKey) -> Result<(), CertificateError> {
    let (chain, key) = (paths.chain.clone(), paths.key.clone());
    match certified.keys_match() {
        Ok(()) => Ok(()),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            let elsewhere = certified.cert.iter().skip(1).any(|certificate| {
                CertifiedKey::new(vec![certificate.clone()], Arc::clone(&certified.key)).keys_match().is_ok()
            });
            Err(if elsewhere {
                CertificateError::LeafNotFirst { chain, key }
            } else {
                CertificateError::Mismatch { chain, key }
            })
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::UnusableKey { key }),
        Err(_) => Err(not_a_certificate(&paths.chain)),
    }
}

fn not_a_certificate(chain: &Path) -> CertificateError {
    CertificateError::NotACertificate { chain: chain.to_owned() }
}

#[cfg(test)]
mod tests;
