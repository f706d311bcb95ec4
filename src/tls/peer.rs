//! What a certificate tells about itself: hashes, subject, names and last day, made safe to record.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::public_key::PublicKey;

use crate::model::domain::DOMAIN_BYTES_MAX;
use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_text};
use crate::model::time::Timestamp;
use crate::model::tls::{ChainTrust, PeerCertificate, Verified};
use crate::policy::names::Fingerprint;

/// How many DNS names of a certificate are recorded, and the bytes of all of them: whoever connects may show any
/// certificate, and each record of the session holds it.
pub const NAMES_MAX: usize = 100;
pub const NAMES_BYTES_MAX: usize = 4096;

/// Reads a certificate for the record, not yet held against anything. DER that cannot be read leaves all but the first
/// hash empty.
pub fn peer_certificate(der: &CertificateDer<'_>) -> PeerCertificate {
    let parsed = parse(der);
    let (names, names_omitted) = parsed.as_ref().map(recorded_names).unwrap_or_default();
    PeerCertificate {
        sha256: sha256(der).hex(),
        key_sha256: parsed.as_ref().map(|cert| key_fingerprint(cert).hex()).unwrap_or_default(),
        subject: parsed.as_ref().map(subject).unwrap_or_default(),
        names,
        names_omitted,
        not_after: parsed.as_ref().map(not_after),
        signature: None,
        rsa_bits: rsa_bits(der),
        chain: ChainTrust::Unknown,
        dane: None,
        verified: Verified::None,
        error: None,
    }
}

/// The first names, and how many more there are.
fn recorded_names(cert: &X509Certificate<'_>) -> (Vec<String>, u32) {
    let mut bytes = 0;
    let shown = dns_names(cert).take(NAMES_MAX).map(|name| peer_text(name, DOMAIN_BYTES_MAX).into_owned());
    let recorded: Vec<String> = shown
        .take_while(|name| {
            bytes += name.len();
            bytes <= NAMES_BYTES_MAX
        })
        .collect();
    let omitted = dns_names(cert).count() - recorded.len();
    (recorded, u32::try_from(omitted).unwrap_or(u32::MAX))
}

/// The same with every name as it stands there, for the judgement; there are no more than TLS lets through.
pub(super) fn with_all_names(der: &CertificateDer<'_>) -> PeerCertificate {
    let names = parse(der).iter().flat_map(dns_names).map(str::to_owned).collect();
    PeerCertificate { names, names_omitted: 0, ..peer_certificate(der) }
}

pub(super) fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    x509_parser::parse_x509_certificate(der).ok().map(|(_, cert)| cert)
}

/// The SHA-256 of the SubjectPublicKeyInfo, as in a TLSA record with selector 1 (RFC 6698 section 2.1.2).
pub(super) fn key_fingerprint(cert: &X509Certificate<'_>) -> Fingerprint {
    sha256(cert.public_key().raw)
}

/// The size of the modulus; `None` for keys of other kinds.
pub(super) fn rsa_bits(der: &CertificateDer<'_>) -> Option<u32> {
    match parse(der)?.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => u32::try_from(key.key_size()).ok(),
        _ => None,
    }
}

pub(super) fn sha256(bytes: &[u8]) -> Fingerprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    Fingerprint::from_bytes(hash)
}

/// The DNS names of the subjectAltName extension as they stand there; none if it cannot be read. The common name of the
/// subject is no name of the certificate (RFC 9525 section 2).
pub(super) fn dns_names<'a>(cert: &'a X509Certificate<'a>) -> impl Iterator<Item = &'a str> {
    cert.subject_alternative_name().ok().flatten().into_iter().flat_map(|extension| {
        extension.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
    })
}

pub(super) fn subject(cert: &X509Certificate<'_>) -> String {
    peer_text(&cert.subject().to_string(), PEER_TEXT_BYTES_MAX).into_owned()
}

pub(super) fn not_after(cert: &X509Certificate<'_>) -> Timestamp {
    Timestamp::from_secs(cert.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::demo_authority::{DemoAuthority, KeyKind};
    use crate::tls::self_signed::Validity;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn a_certificate_is_told_with_hashes_subject_names_and_last_day() {
        let names: Vec<String> = (0..NAMES_MAX + 30).map(|i| format!("n{i}.example")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let validity = Validity { not_before: NOW, not_after: Timestamp::from_secs(1_900_000_000) };
        let issued = DemoAuthority::new(NOW).unwrap().issue(&names, KeyKind::P256, validity).unwrap();
        let peer = peer_certificate(&issued.certificate_der);
        assert_eq!(peer.subject, "CN=n0.example");
        assert_eq!((peer.names == names[..NAMES_MAX], peer.names_omitted), (true, 30));
        assert_eq!(peer.not_after, Some(validity.not_after));
        assert_eq!(peer.sha256, sha256(&issued.certificate_der).hex());
        assert_eq!((peer.key_sha256.len(), peer.verified), (64, Verified::None));
        assert_ne!(peer.key_sha256, peer.sha256);
    }

    #[test]
    fn many_long_names_make_no_long_record() {
        let authority = DemoAuthority::new(NOW).unwrap();
        for (label, recorded) in [("a", 16), ("\"", 16), ("\u{1}", 16)] {
            let names: Vec<String> = (0..NAMES_MAX).map(|i| format!("{i:03}.{}", label.repeat(251))).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let validity = Validity { not_before: NOW, not_after: NOW };
            let issued = authority.issue(&names, KeyKind::P256, validity).unwrap();
            let peer = peer_certificate(&issued.certificate_der);
            assert_eq!((peer.names.len(), peer.names_omitted), (recorded, 84), "{label:?}");
            let json = serde_json::to_string(&peer).unwrap();
            assert!(json.len() < 3 * NAMES_BYTES_MAX, "{label:?}: {}", json.len());
        }
    }

    #[test]
    fn a_damaged_certificate_is_told_as_far_as_it_can_be_read() {
        let authority = DemoAuthority::new(NOW).unwrap();
        let validity = Validity { not_before: NOW, not_after: NOW };
        let good = authority.issue(&["a.example"], KeyKind::P256, validity).unwrap().certificate_der;
        for cut in 0..good.len() {
            let peer = peer_certificate(&CertificateDer::from(good[..cut].to_vec()));
            assert_eq!((peer.sha256.len(), peer.subject.as_str(), peer.not_after), (64, "", None), "{cut}");
        }
        for at in 0..good.len() {
            let mut odd = good.to_vec();
            odd[at] ^= 0xff;
            let peer = peer_certificate(&CertificateDer::from(odd));
            assert!(peer.subject.bytes().all(|b| (0x20..0x7f).contains(&b)), "{at}");
            assert!(peer.names.iter().all(|name| name.is_ascii()), "{at}");
        }
    }
}
