//! A certificate of ours with its key: read from PEM files, checked, and described.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureAlgorithm};
use zeroize::Zeroizing;

use crate::model::time::Timestamp;
use crate::model::tls::CertificateStack;

use super::peer;
use super::pem::{self, PemError};
use super::provider::provider;

/// The most certificates of one chain that are sent to clients.
pub const CHAIN_CERTIFICATES_MAX: usize = 16;

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
    #[error("the certificate in {} expired on {}", chain.display(), not_after.day())]
    Expired { chain: PathBuf, not_after: Timestamp },
    #[error("the certificate in {} is not valid before {}", chain.display(), not_before.day())]
    NotYetValid { chain: PathBuf, not_before: Timestamp },
    #[error("the certificate in {} has no DNS name, so no client can verify it", chain.display())]
    NoNames { chain: PathBuf },
}

/// A chain and its key that belong together.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    paths: CertificatePaths,
    pub(super) key: Arc<CertifiedKey>,
    key_der: Arc<Zeroizing<PrivateKeyDer<'static>>>,
    /// DNS names, lower case, wildcards as `*.example`.
    names: Vec<String>,
    subject: String,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl ServerCertificate {
    /// Reads both files and checks that they fit.
    pub fn read(paths: &CertificatePaths) -> Result<Self, CertificateError> {
        let chain = pem::read_file(&paths.chain)?;
        let key = pem::read_file(&paths.key)?;
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
        let names = peer::dns_names(&leaf).map(str::to_ascii_lowercase).collect();
        let (subject, not_after) = (peer::subject(&leaf), peer::not_after(&leaf));
        let not_before = Timestamp::from_secs(leaf.validity().not_before.timestamp());
        drop(leaf);
        Ok(Self { paths: paths.clone(), key: Arc::new(certified), key_der, names, subject, not_before, not_after })
    }

    pub fn paths(&self) -> &CertificatePaths {
        &self.paths
    }

    /// The DNS names, lower case; a wildcard is written `*.example`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The first DNS name, or the subject if there is none.
    pub fn first_name(&self) -> &str {
        self.names.first().unwrap_or(&self.subject)
    }

    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub fn key_algorithm(&self) -> SignatureAlgorithm {
        self.key.key.algorithm()
    }

    /// The certificate and its intermediates, as they are sent.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// The private key as it stands in its file: PKCS #8, PKCS #1 or SEC 1. Its memory is overwritten when it is dropped.
    pub(super) fn key_der(&self) -> &PrivateKeyDer<'static> {
        &self.key_der
    }

    /// The OCSP response that is sent along (RFC 6066 section 8), in DER.
    pub(super) fn ocsp(&self) -> Option<&[u8]> {
        self.key.ocsp.as_deref()
    }

    pub fn warnings(&self, now: Timestamp) -> Vec<CertificateWarning> {
        let chain = self.paths.chain.clone();
        let mut warnings = Vec::new();
        if self.not_after < now {
            warnings.push(CertificateWarning::Expired { chain: chain.clone(), not_after: self.not_after });
        }
        if self.not_before > now {
            warnings.push(CertificateWarning::NotYetValid { chain: chain.clone(), not_before: self.not_before });
        }
        if self.names.is_empty() {
            warnings.push(CertificateWarning::NoNames { chain });
        }
        warnings
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
mod tests {
    use super::*;
    use crate::tls::demo_authority::{DemoAuthority, KeyKind};
    use crate::tls::self_signed::Validity;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

    fn paths() -> CertificatePaths {
        CertificatePaths::new("mx.pem", "mx.key")
    }

    #[track_caller]
    fn check(chain: &str, key: &str, expected: CertificateError) {
        let error = ServerCertificate::from_pem(&paths(), chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error, expected);
    }

    #[test]
    fn chain_and_key_are_taken_only_if_they_belong_together() {
        let authority = DemoAuthority::new(NOW).unwrap();
        let issue = |key| authority.issue(&["MX.example", "*.example"], key, Validity::starting(NOW, DAY)).unwrap();
        let (one, other, rsa) = (issue(KeyKind::P256), issue(KeyKind::P256), issue(KeyKind::Rsa2048));
        let CertificatePaths { chain, key, .. } = paths();

        for (pair, algorithm) in [(&one, SignatureAlgorithm::ECDSA), (&rsa, SignatureAlgorithm::RSA)] {
            let text = format!("{}{}", pair.certificate_pem, authority.certificate_pem());
            let read = ServerCertificate::from_pem(&paths(), text.as_bytes(), pair.key_pem.as_bytes()).unwrap();
            assert_eq!(read.names(), ["mx.example", "*.example"]);
            assert_eq!((read.chain().len(), read.key_algorithm()), (2, algorithm));
        }

        let mismatch = CertificateError::Mismatch { chain: chain.clone(), key: key.clone() };
        check(&one.certificate_pem, &other.key_pem, mismatch.clone());
        check(&one.certificate_pem, &rsa.key_pem, mismatch);
        check(
            &format!("{}{}", authority.certificate_pem(), one.certificate_pem),
            &one.key_pem,
            CertificateError::LeafNotFirst { chain: chain.clone(), key: key.clone() },
        );
        check(&one.certificate_pem.repeat(17), &one.key_pem, CertificateError::ChainTooLong { chain: chain.clone() });
        check("", &one.key_pem, PemError::NoCertificate { file: chain.clone() }.into());
        check(&one.certificate_pem, &one.certificate_pem, PemError::NoKey { file: key.clone() }.into());
        let empty_key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        check(&one.certificate_pem, empty_key, CertificateError::UnusableKey { key });
        let empty_certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        check(empty_certificate, &one.key_pem, CertificateError::NotACertificate { chain });
    }

    #[test]
    fn the_files_are_read_and_an_error_names_the_one_that_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let paths = CertificatePaths::new(folder.path().join("c.pem"), folder.path().join("k.pem"));
        let pair = DemoAuthority::new(NOW).unwrap();
        let pair = pair.issue(&["mx.example"], KeyKind::P256, Validity::starting(NOW, DAY)).unwrap();
        std::fs::write(&paths.chain, &pair.certificate_pem).unwrap();
        let missing = PemError::Unreadable { file: paths.key.clone(), kind: std::io::ErrorKind::NotFound };
        assert_eq!(ServerCertificate::read(&paths).unwrap_err(), missing.into());
        std::fs::write(&paths.key, &pair.key_pem).unwrap();
        assert_eq!(ServerCertificate::read(&paths).unwrap().first_name(), "mx.example");
    }

    #[test]
    fn a_certificate_that_clients_will_not_verify_gives_a_warning() {
        let authority = DemoAuthority::new(NOW).unwrap();
        let chain = PathBuf::from("mx.pem");
        let valid = Validity { not_before: NOW - DAY, not_after: NOW + DAY };
        let expired = CertificateWarning::Expired { chain: chain.clone(), not_after: NOW + DAY };
        let early = CertificateWarning::NotYetValid { chain: chain.clone(), not_before: NOW - DAY };
        for (names, at, expected) in [
            (&["mx.example"][..], NOW, vec![]),
            (&["mx.example"], NOW + 2 * DAY, vec![expired]),
            (&["mx.example"], NOW - 2 * DAY, vec![early]),
            (&[], NOW, vec![CertificateWarning::NoNames { chain }]),
        ] {
            let pair = authority.issue(names, KeyKind::P256, valid).unwrap();
            let read = ServerCertificate::from_pem(&paths(), pair.certificate_pem.as_bytes(), pair.key_pem.as_bytes());
            assert_eq!(read.unwrap().warnings(at), expected);
        }
    }
}
