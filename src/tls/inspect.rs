//! What a certificate tells to somebody who looks at it, beyond what a record of a session needs.

use rustls::pki_types::CertificateDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_text};
use crate::model::time::Timestamp;

use super::peer;

/// RFC 8410 section 3.
const ED25519: &str = "1.3.101.112";
const ED448: &str = "1.3.101.113";

/// What is read of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Escaped and bounded.
    pub subject: String,
    /// Escaped and bounded.
    pub issuer: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// The kind and size of the key: `RSA 2048`, `EC 256`, `Ed25519`.
    pub key: String,
    /// Whoever has the certificate issued it to himself.
    pub is_self_issued: bool,
}

/// Reads a certificate; `None` if its DER cannot be read.
pub fn inspect(der: &CertificateDer<'_>) -> Option<Inspected> {
    let certificate = peer::parse(der)?;
    let validity = certificate.validity();
    Some(Inspected {
        subject: peer::subject(&certificate),
        issuer: peer_text(&certificate.issuer().to_string(), PEER_TEXT_BYTES_MAX).into_owned(),
        not_before: Timestamp::from_secs(validity.not_before.timestamp()),
        not_after: peer::not_after(&certificate),
        key: key_in_words(certificate.public_key()),
        is_self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
    })
}

fn key_in_words(key: &SubjectPublicKeyInfo<'_>) -> String {
    match key.parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        // The coordinates of P-521 fill whole octets.
        Ok(PublicKey::EC(point)) => format!("EC {}", point.key_size().min(521)),
        _ => match key.algorithm.algorithm.to_id_string().as_str() {
            ED25519 => "Ed25519".to_owned(),
            ED448 => "Ed448".to_owned(),
            _ => "of another kind".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::demo_authority::{DemoAuthority, KeyKind};
    use crate::tls::self_signed::Validity;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn a_certificate_tells_issuer_dates_and_key() {
        let validity = Validity { not_before: NOW, not_after: Timestamp::from_secs(1_900_000_000) };
        let issued = DemoAuthority::new(NOW).unwrap().issue(&["mx.example"], KeyKind::P256, validity).unwrap();
        let seen = inspect(&issued.certificate_der).unwrap();
        assert_eq!((seen.subject.as_str(), seen.key.as_str()), ("CN=mx.example", "EC 256"));
        assert!(!seen.is_self_issued && seen.issuer.starts_with("CN="), "{seen:?}");
        assert_eq!((seen.not_before, seen.not_after), (validity.not_before, validity.not_after));
        assert_eq!(inspect(&CertificateDer::from(vec![0x30, 0])), None);
    }
}
