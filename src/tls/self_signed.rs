//! Certificates that sign themselves: for a first start, until the operator brings a real one.

use std::fmt;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::model::domain::Domain;
use crate::model::time::Timestamp;

use super::peer;

const SELF_SIGNED_VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// A clock that is a little behind ours should not find the certificate not yet valid.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);
/// The bound of a common name (RFC 5280 appendix A).
const COMMON_NAME_BYTES_MAX: usize = 64;
const LAST_SECOND_OF_YEAR_9999: u64 = 253_402_300_799;

/// A certificate made here, with its key.
#[derive(Clone, PartialEq)]
pub struct IssuedCertificate {
    pub certificate_pem: String,
    /// PKCS #8.
    pub key_pem: String,
    pub certificate_der: CertificateDer<'static>,
    pub key_der: Vec<u8>,
}

/// Shows no key.
impl fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCertificate").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

impl IssuedCertificate {
    pub(super) fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate_der: certificate.der().clone(),
            key_der: key.serialize_der(),
        }
    }

    /// The SHA-256 of the public key in hexadecimal: what a TLSA record 3 1 1 lists (RFC 7671 section 5.1).
    pub fn key_sha256(&self) -> String {
        peer::peer_certificate(&self.certificate_der).key_sha256
    }

    /// The key as rustls takes it.
    pub fn private_key(&self) -> PrivatePkcs8KeyDer<'_> {
        PrivatePkcs8KeyDer::from(self.key_der.as_slice())
    }
}

/// From when to when a certificate is valid, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Validity {
    /// From an hour ago for that long.
    pub fn starting(now: Timestamp, length: Duration) -> Self {
        Self { not_before: now - CLOCK_SKEW, not_after: now + length }
    }
}

/// The crypto library made no key or certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate cannot be made: {0}")]
pub struct IssueError(#[from] rcgen::Error);

/// A certificate for a server of these names, with a new ECDSA P-256 key, valid for a year.
pub fn self_signed(names: &[Domain], now: Timestamp) -> Result<IssuedCertificate, IssueError> {
    signed_by(KeyPair::generate()?, names, now)
}

/// The same with a new RSA key of 2048 bits, for clients that know no other.
pub fn self_signed_rsa(names: &[Domain], now: Timestamp) -> Result<IssuedCertificate, IssueError> {
    signed_by(KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)?, names, now)
}

fn signed_by(key: KeyPair, names: &[Domain], now: Timestamp) -> Result<IssuedCertificate, IssueError> {
    let names: Vec<&str> = names.iter().map(Domain::as_str).collect();
    let certificate = server_params(&names, Validity::starting(now, SELF_SIGNED_VALIDITY))?.self_signed(&key)?;
    Ok(IssuedCertificate::new(&certificate, &key))
}

/// What a server certificate of these names says.
pub(super) fn server_params(names: &[&str], validity: Validity) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    let short = names.iter().find(|name| name.len() <= COMMON_NAME_BYTES_MAX);
    params.distinguished_name = common_name(short.copied().unwrap_or("Gatepost"));
    params.is_ca = IsCa::ExplicitNoCa;
    // Key encipherment is what TLS 1.2 and older ask of an RSA key without a Diffie-Hellman exchange.
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    set_validity(&mut params, validity);
    Ok(params)
}

pub(super) fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

pub(super) fn set_validity(params: &mut CertificateParams, validity: Validity) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(validity.not_before);
    params.not_after = epoch + since_epoch(validity.not_after);
}

/// Whole seconds within what a certificate can say.
fn since_epoch(moment: Timestamp) -> Duration {
    let seconds = moment.saturating_since(Timestamp::from_secs(0)).as_secs();
    Duration::from_secs(seconds.min(LAST_SECOND_OF_YEAR_9999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_signed_certificate_names_its_hosts_for_a_year_and_hides_its_key() {
        let now = Timestamp::from_secs(1_800_000_000);
        let names = ["mx1.example.org", "mail.example.org"].map(|name| Domain::parse(name).unwrap());
        let made = self_signed(&names, now).unwrap();
        let told = peer::peer_certificate(&made.certificate_der);
        assert_eq!(told.names, ["mx1.example.org", "mail.example.org"]);
        assert_eq!(told.not_after, Some(now + SELF_SIGNED_VALIDITY));
        assert!(!format!("{made:?}").contains("PRIVATE KEY"));
    }

    #[test]
    fn moments_outside_of_what_a_certificate_can_say_become_the_nearest_one() {
        let names = [Domain::parse("a.example").unwrap()];
        let made = self_signed(&names, Timestamp::from_micros(i64::MAX)).unwrap();
        let end = Timestamp::from_secs(i64::try_from(LAST_SECOND_OF_YEAR_9999).unwrap());
        assert_eq!(peer::peer_certificate(&made.certificate_der).not_after, Some(end));
    }
}
