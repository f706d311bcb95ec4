//! Pairs that fit, pairs that do not, and what is odd about certificates.

use super::*;
use crate::model::domain::Domain;
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::ocsp::tests::good_response;
use crate::tls::self_signed::{Validity, self_signed_rsa};

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
    let not_after = NOW + 60 * DAY;
    let valid = Validity { not_before: NOW - DAY, not_after };
    let expired = CertificateWarning::Expired { chain: chain.clone(), not_after };
    let soon = |left| CertificateWarning::ExpiresSoon { chain: chain.clone(), not_after, left };
    let early = CertificateWarning::NotYetValid { chain: chain.clone(), not_before: NOW - DAY };
    for (names, at, expected) in [
        (&["mx.example"][..], NOW, vec![]),
        (&["mx.example"], not_after - 14 * DAY, vec![]),
        (&["mx.example"], not_after - 13 * DAY, vec![soon(13 * DAY)]),
        (&["mx.example"], not_after + DAY, vec![expired]),
        (&["mx.example"], NOW - 2 * DAY, vec![early]),
        (&[], NOW, vec![CertificateWarning::NoNames { chain: chain.clone() }]),
    ] {
        let pair = authority.issue(names, KeyKind::P256, valid).unwrap();
        let read = ServerCertificate::from_pem(&paths(), pair.certificate_pem.as_bytes(), pair.key_pem.as_bytes());
        assert_eq!(read.unwrap().warnings(at), expected);
    }
    let told = soon(3 * DAY + DAY / 2).to_string();
    assert_eq!(told, "the certificate in mx.pem expires on 2027-03-16, in 3 days; renew it");
}

#[test]
fn a_certificate_that_an_authority_signed_with_sha_1_gives_a_warning() {
    const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    let made = self_signed_rsa(&[Domain::parse("mx.example").unwrap()], NOW).unwrap();
    let places = |part: &[u8]| {
        let der = &made.certificate_der;
        (0..der.len()).filter(|at| der[*at..].starts_with(part)).collect::<Vec<_>>()
    };
    let mut by_itself = made.certificate_der.to_vec();
    places(SHA256_WITH_RSA).into_iter().for_each(|at| by_itself[at + 8] = 0x05);
    // The issuer stands before the subject.
    let mut by_authority = by_itself.clone();
    by_authority[places(b"mx.example")[0]] = b'c';

    let expected = CertificateWarning::Sha1Signature { chain: "mx.pem".into() };
    for (certificate, expected) in [(by_itself, vec![]), (by_authority, vec![expected])] {
        let key = provider().key_provider.load_private_key(made.private_key().clone_key().into()).unwrap();
        let certified = CertifiedKey::new(vec![certificate.into()], key);
        let key_der = Arc::new(Zeroizing::new(made.private_key().clone_key().into()));
        let described = ServerCertificate::describe(&paths(), certified, key_der).unwrap();
        assert_eq!(described.warnings(NOW), expected);
    }
}

/// A certificate on disk whose OCSP response is what the test writes into `mx.ocsp`.
fn with_ocsp_file(folder: &Path) -> CertificatePaths {
    let pair = DemoAuthority::new(NOW).unwrap();
    let pair = pair.issue(&["mx.example"], KeyKind::P256, Validity::starting(NOW, 90 * DAY)).unwrap();
    let paths = CertificatePaths::new(folder.join("mx.pem"), folder.join("mx.key"));
    std::fs::write(&paths.chain, &pair.certificate_pem).unwrap();
    std::fs::write(&paths.key, &pair.key_pem).unwrap();
    CertificatePaths { ocsp: Some(folder.join("mx.ocsp")), ..paths }
}

#[test]
fn an_ocsp_response_is_sent_along_while_it_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let paths = with_ocsp_file(folder.path());
    let ocsp = paths.ocsp.clone().unwrap();
    let pair = ServerCertificate::read_pair(&paths).unwrap();
    let missing = OcspError::Unreadable { file: ocsp.clone(), kind: std::io::ErrorKind::NotFound };
    assert_eq!(pair.read_ocsp(NOW).unwrap_err(), missing);

    let response = good_response(&pair.description.serial, NOW, NOW + 4 * DAY);
    std::fs::write(&ocsp, &response).unwrap();
    let stapled = pair.read_ocsp(NOW + DAY).unwrap();
    assert_eq!((stapled.ocsp(), stapled.warnings(NOW + DAY)), (Some(&response[..]), vec![]));
    assert!(!stapled.is_outdated(NOW + DAY) && stapled.is_outdated(NOW + 5 * DAY));

    let stale = stapled.as_of(NOW + 5 * DAY);
    assert!(!stale.is_outdated(NOW + 5 * DAY));
    let state = OcspState::Stale { since: NOW + 4 * DAY };
    let expected = vec![CertificateWarning::OcspNotSent { ocsp: ocsp.clone(), state }];
    assert_eq!((stale.ocsp(), stale.warnings(NOW + 5 * DAY)), (None, expected));

    let other = ServerCertificate::read_pair(&with_ocsp_file(folder.path())).unwrap();
    assert_eq!(other.read_ocsp(NOW).unwrap_err(), OcspError::OtherCertificate { file: ocsp });
    assert_eq!(other.with_ocsp_of(&stapled, NOW).ocsp(), None);
    assert_eq!(pair.with_ocsp_of(&stapled, NOW).ocsp(), Some(&response[..]));
}

#[test]
fn the_key_is_told_by_kind_and_hash_and_never_shown() {
    let authority = DemoAuthority::new(NOW).unwrap();
    for (kind, expected) in [(KeyKind::P256, "ECDSA P-256"), (KeyKind::Rsa2048, "RSA 2048")] {
        let pair = authority.issue(&["mx.example"], kind, Validity::starting(NOW, 90 * DAY)).unwrap();
        let read = ServerCertificate::from_pem(&paths(), pair.certificate_pem.as_bytes(), pair.key_pem.as_bytes());
        let read = read.unwrap();
        let told = peer::peer_certificate(&pair.certificate_der);
        assert_eq!((read.key_type(), read.key_sha256()), (expected, told.key_sha256.as_str()));
        assert_eq!(read.key_der().secret_der(), pair.key_der);
        // Part of the secret number of either kind.
        let secret = if kind == KeyKind::P256 { 40..48 } else { 400..408 };
        let secret = format!("{:?}", &pair.key_der[secret]);
        assert!(!format!("{read:?}").contains(secret.trim_matches(['[', ']'])));
    }
}
