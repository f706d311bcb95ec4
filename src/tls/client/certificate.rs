//! The certificate that we show to servers that ask for one, ready for both libraries.

use std::sync::Arc;

use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::model::time::Timestamp;
use crate::policy::names::Fingerprint;
use crate::policy::settings::KeyPair;
use crate::tls::certificates::{CertificateError, CertificatePaths, CertificateWarning, ServerCertificate};
use crate::tls::peer::sha256;
use crate::tls::pem;

/// A chain and its key that belong together.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// What a server's pair must fulfil, ours as a client must too.
    checked: ServerCertificate,
    fingerprint: Fingerprint,
    #[cfg(feature = "legacy-tls")]
    pub(super) for_openssl: ForOpenssl,
}

/// The same in the forms of OpenSSL.
#[cfg(feature = "legacy-tls")]
#[derive(Clone, Debug)]
pub(super) struct ForOpenssl {
    pub(super) leaf: openssl::x509::X509,
    pub(super) intermediates: Vec<openssl::x509::X509>,
    pub(super) key: openssl::pkey::PKey<openssl::pkey::Private>,
}

impl ClientCertificate {
    /// Reads both files and checks that they fit. Errors name the file.
    pub fn read(pair: &KeyPair) -> Result<Self, CertificateError> {
        let chain = pem::read_file(&pair.chain)?;
        let key = Zeroizing::new(pem::read_file(&pair.key)?);
        Self::from_pem(pair, &chain, &key)
    }

    /// The same for PEM texts in memory; `pair` is their names in errors.
    pub fn from_pem(pair: &KeyPair, chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let checked = ServerCertificate::from_pem(&CertificatePaths::new(&pair.chain, &pair.key), chain, key)?;
        let not_a_certificate = || CertificateError::NotACertificate { chain: pair.chain.clone() };
        let fingerprint = checked.chain().first().map(|leaf| sha256(leaf)).ok_or_else(not_a_certificate)?;
        #[cfg(feature = "legacy-tls")]
        let for_openssl = ForOpenssl::new(&checked, pair)?;
        Ok(Self {
            checked,
            fingerprint,
            #[cfg(feature = "legacy-tls")]
            for_openssl,
        })
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        self.checked.key.clone()
    }

    /// The SHA-256 of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Its first DNS name, or its subject, and when it ends.
    pub fn name_and_expiry(&self) -> (String, Timestamp) {
        (self.checked.first_name().to_owned(), self.checked.not_after())
    }

    /// Servers may refuse it for its dates; names it needs none.
    pub fn warnings(&self, now: Timestamp) -> Vec<CertificateWarning> {
        let mut warnings = self.checked.warnings(now);
        warnings.retain(|warning| !matches!(warning, CertificateWarning::NoNames { .. }));
        warnings
    }
}

#[cfg(feature = "legacy-tls")]
impl ForOpenssl {
    fn new(checked: &ServerCertificate, pair: &KeyPair) -> Result<Self, CertificateError> {
        let not_a_certificate = || CertificateError::NotACertificate { chain: pair.chain.clone() };
        let chain = checked.chain().iter().map(|der| openssl::x509::X509::from_der(der));
        let mut chain = chain.collect::<Result<Vec<_>, _>>().map_err(|_| not_a_certificate())?.into_iter();
        let leaf = chain.next().ok_or_else(not_a_certificate)?;
        let key = openssl::pkey::PKey::private_key_from_der(checked.key_der().secret_der())
            .map_err(|_| CertificateError::UnusableKey { key: pair.key.clone() })?;
        Ok(Self { leaf, intermediates: chain.collect(), key })
    }
}
