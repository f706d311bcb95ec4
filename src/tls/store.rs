//! The certificates of the server and the choice among them: by the name that the client asks for, then by kind of key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, NamedGroup, SignatureAlgorithm, SignatureScheme};

use crate::model::time::Timestamp;

use super::certificates::{CertificateError, CertificatePaths, CertificateWarning, ServerCertificate};

/// Certificates for several names and kinds of key. Never changes; a reload makes a new one.
#[derive(Debug)]
pub struct CertificateStore {
    /// In the order of the configuration, never empty.
    certificates: Vec<ServerCertificate>,
    /// By DNS name (`*.example` for a wildcard), the preferred kind of key first.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// The first certificate and those that share a name with it, the preferred kind of key first.
    default: Vec<Arc<CertifiedKey>>,
}

impl CertificateStore {
    /// Reads all pairs and tells all errors at once.
    pub fn load(paths: &[CertificatePaths]) -> Result<Self, Vec<CertificateError>> {
        let mut certificates = Vec::new();
        let mut errors = Vec::new();
        for pair in paths {
            match ServerCertificate::read(pair) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Self::new(certificates).map_err(|error| vec![error]) } else { Err(errors) }
    }

    /// The first certificate is the default.
    pub fn new(certificates: Vec<ServerCertificate>) -> Result<Self, CertificateError> {
        let first = certificates.first().ok_or(CertificateError::NoneConfigured)?;
        let is_default = |other: &&ServerCertificate| {
            Arc::ptr_eq(&other.key, &first.key) || other.names().iter().any(|name| first.names().contains(name))
        };
        let default = by_preference(certificates.iter().filter(is_default));
        let mut named: HashMap<String, Vec<&ServerCertificate>> = HashMap::new();
        for certificate in &certificates {
            for name in certificate.names() {
                named.entry(name.clone()).or_default().push(certificate);
            }
        }
        let by_name = named.into_iter().map(|(name, group)| (name, by_preference(group))).collect();
        Ok(Self { certificates, by_name, default })
    }

    pub fn certificates(&self) -> &[ServerCertificate] {
        &self.certificates
    }

    pub fn warnings(&self, now: Timestamp) -> Vec<CertificateWarning> {
        self.certificates.iter().flat_map(|certificate| certificate.warnings(now)).collect()
    }

    /// The first name of each certificate and when it expires; of several with one name the earliest.
    pub fn names_and_expiry(&self) -> Vec<(String, Timestamp)> {
        let mut expiry: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for certificate in &self.certificates {
            let known = expiry.entry(certificate.first_name()).or_insert(certificate.not_after());
            *known = certificate.not_after().min(*known);
        }
        expiry.into_iter().map(|(name, not_after)| (name.to_owned(), not_after)).collect()
    }
}

/// ECDSA first: its handshakes cost a quarter of those of RSA, which remains for clients that cannot do it.
fn by_preference<'a>(certificates: impl IntoIterator<Item = &'a ServerCertificate>) -> Vec<Arc<CertifiedKey>> {
    let mut sorted: Vec<&ServerCertificate> = certificates.into_iter().collect();
    sorted.sort_by_key(|certificate| match certificate.key_algorithm() {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::ED25519 => 1,
        _ => 2,
    });
    sorted.into_iter().map(|certificate| Arc::clone(&certificate.key)).collect()
}

impl ResolvesServerCert for CertificateStore {
    /// The exact name goes before a wildcard, that before the default. A certificate of another name that the client
    /// can use is better than none: most clients that relay mail check no name.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase).unwrap_or_default();
        let exact = self.by_name.get(&name);
        let wildcard = name.split_once('.').and_then(|(_, rest)| self.by_name.get(&format!("*.{rest}")));
        let candidates = || exact.into_iter().chain(wildcard).chain([&self.default]).flatten();
        candidates().find(|key| fits(key, &hello)).or_else(|| candidates().next()).cloned()
    }
}

/// The suites of TLS 1.2 that go with ECDSA and EdDSA keys.
const ECDSA_SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
];
const RSA_SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// Whether the client can use a key. A hello does not tell here which version it will come to, and a client without
/// TLS 1.3 may list suites of it; so a key must do for TLS 1.2 too where an RSA key would.
fn fits(key: &CertifiedKey, hello: &ClientHello<'_>) -> bool {
    let Some(signer) = key.key.choose_scheme(hello.signature_schemes()) else { return false };
    let curve = match signer.scheme() {
        SignatureScheme::ECDSA_NISTP256_SHA256 => Some(NamedGroup::secp256r1),
        SignatureScheme::ECDSA_NISTP384_SHA384 => Some(NamedGroup::secp384r1),
        SignatureScheme::ECDSA_NISTP521_SHA512 => Some(NamedGroup::secp521r1),
        SignatureScheme::ED25519 => None,
        _ => return true,
    };
    // Before TLS 1.3 the list of groups also rules the curve of the certificate (RFC 8422 section 5.1).
    let knows_curve = || curve.is_none_or(|curve| hello.named_groups().is_none_or(|groups| groups.contains(&curve)));
    let offers = |suites: &[CipherSuite]| hello.cipher_suites().iter().any(|suite| suites.contains(suite));
    !offers(&RSA_SUITES) || (offers(&ECDSA_SUITES) && knows_curve())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tls::demo_authority::{DemoAuthority, KeyKind};
    use crate::tls::self_signed::Validity;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn names_are_told_once_with_the_earliest_expiry() {
        let authority = DemoAuthority::new(NOW).unwrap();
        let certificate = |name: &str, days: u64| {
            let validity = Validity::starting(NOW, Duration::from_secs(days * 86_400));
            let pair = authority.issue(&[name, "also.example"], KeyKind::P256, validity).unwrap();
            let paths = CertificatePaths::new("c", "k");
            ServerCertificate::from_pem(&paths, pair.certificate_pem.as_bytes(), pair.key_pem.as_bytes()).unwrap()
        };
        let store = CertificateStore::new(vec![
            certificate("b.example", 9),
            certificate("a.example", 5),
            certificate("b.example", 3),
        ]);
        let days = |days: u64| NOW + Duration::from_secs(days * 86_400);
        assert_eq!(
            store.unwrap().names_and_expiry(),
            [("a.example".to_owned(), days(5)), ("b.example".to_owned(), days(3))]
        );
    }

    #[test]
    fn loading_tells_every_error_and_no_certificate_is_one() {
        let pair = |n| CertificatePaths::new(format!("/nonexistent/{n}.pem"), "k");
        let unreadable = |n| {
            let file = format!("/nonexistent/{n}.pem").into();
            CertificateError::Pem(crate::tls::pem::PemError::Unreadable { file, kind: std::io::ErrorKind::NotFound })
        };
        assert_eq!(CertificateStore::load(&[pair(1), pair(2)]).unwrap_err(), [unreadable(1), unreadable(2)]);
        assert_eq!(CertificateStore::load(&[]).unwrap_err(), [CertificateError::NoneConfigured]);
    }
}
