//! Who is taken for whom, as tables.

use super::*;
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::self_signed::{IssuedCertificate, Validity, self_signed};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const VALID: Validity =
    Validity { not_before: Timestamp::from_secs(0), not_after: Timestamp::from_secs(1_900_000_000) };
const PAST: Validity = Validity { not_before: Timestamp::from_secs(0), not_after: Timestamp::from_secs(1_700_000_000) };
const FUTURE: Validity =
    Validity { not_before: Timestamp::from_secs(1_850_000_000), not_after: Timestamp::from_secs(1_900_000_000) };

const EXPIRED: Option<Reason> = Some(Reason::CertificateExpired);
const MISMATCH: Option<Reason> = Some(Reason::CertificateHostMismatch);
const UNTRUSTED: Option<Reason> = Some(Reason::CertificateNotTrusted);
const INVALID: Option<Reason> = Some(Reason::ValidationFailure);

fn domains(names: &[&str]) -> Vec<Domain> {
    names.iter().map(|name| Domain::parse(name).unwrap()).collect()
}

fn judge(issued: &IssuedCertificate, identity: &Identity<'_>, roots: &Roots) -> Evaluation {
    evaluate(std::slice::from_ref(&issued.certificate_der), identity, roots, NOW)
}

#[test]
fn a_trusted_certificate_is_taken_for_the_names_that_it_has() {
    let authority = DemoAuthority::new(NOW).unwrap();
    for (has, wanted, expected) in [
        (&["mx.example"][..], &["mx.example"][..], None),
        (&["mx.example"], &["MX.Example."], None),
        (&["a.example", "mx.example"], &["mx.example"], None),
        (&["mx.example"], &["other.example", "mx.example"], None),
        (&["*.example.org"], &["mx.example.org"], None),
        (&["*.example.org"], &["a.mx.example.org"], MISMATCH),
        (&["*.example.org"], &["example.org"], MISMATCH),
        (&["mx.example"], &["example"], MISMATCH),
        (&["mx.example"], &["notmx.example"], MISMATCH),
        (&[], &["mx.example"], MISMATCH),
        (&["mx.example"], &[], MISMATCH),
    ] {
        let issued = authority.issue(has, KeyKind::P256, VALID).unwrap();
        let evaluation =
            judge(&issued, &Identity { names: &domains(wanted), ..Identity::default() }, &authority.roots());
        let verified = if expected.is_none() { Verified::Webpki } else { Verified::None };
        assert_eq!((evaluation.verified, evaluation.error), (verified, expected), "{has:?} {wanted:?}");
        assert_eq!(evaluation.detail.is_empty(), expected.is_none(), "{has:?} {wanted:?}");
    }
}

#[test]
fn a_pattern_takes_one_label_below_and_the_wildcard_itself() {
    let authority = DemoAuthority::new(NOW).unwrap();
    for (has, expected) in [
        (&["a.filter.example"][..], None),
        (&["A.Filter.Example"], None),
        (&["other.example", "a.filter.example"], None),
        (&["*.filter.example"], None),
        (&["filter.example"], MISMATCH),
        (&["a.b.filter.example"], MISMATCH),
        (&["*.b.filter.example"], MISMATCH),
        (&["notfilter.example"], MISMATCH),
        (&["a.notfilter.example"], MISMATCH),
        (&["f*.filter.example"], MISMATCH),
        (&["*"], MISMATCH),
    ] {
        let issued = authority.issue(has, KeyKind::P256, VALID).unwrap();
        let pattern = domains(&["filter.example"]);
        let identity = Identity { one_below: &pattern, ..Identity::default() };
        assert_eq!(judge(&issued, &identity, &authority.roots()).error, expected, "{has:?}");
        assert_eq!(judge(&issued, &identity, &Roots::empty()).error, expected.or(UNTRUSTED), "{has:?}, no roots");
    }
}

#[test]
fn a_date_goes_before_a_name_and_a_name_before_trust() {
    let authority = DemoAuthority::new(NOW).unwrap();
    let (trusted, untrusted) = (authority.roots(), DemoAuthority::new(NOW).unwrap().roots());
    let empty = Roots::empty();
    for (has, validity, roots, expected) in [
        ("mx.example", VALID, &trusted, None),
        ("mx.example", PAST, &trusted, EXPIRED),
        ("mx.example", FUTURE, &trusted, EXPIRED),
        ("mx.example", VALID, &untrusted, UNTRUSTED),
        ("mx.example", VALID, &empty, UNTRUSTED),
        ("no.example", VALID, &trusted, MISMATCH),
        ("no.example", VALID, &untrusted, MISMATCH),
        ("no.example", PAST, &trusted, EXPIRED),
        ("no.example", PAST, &empty, EXPIRED),
    ] {
        let issued = authority.issue(&[has], KeyKind::P256, validity).unwrap();
        let names = domains(&["mx.example"]);
        let evaluation = judge(&issued, &Identity { names: &names, ..Identity::default() }, roots);
        assert_eq!(evaluation.error, expected, "{has} {validity:?} {}", evaluation.detail);
    }
}

#[test]
fn a_fingerprint_of_certificate_or_key_suffices_whatever_else_is_wrong() {
    let authority = DemoAuthority::new(NOW).unwrap();
    let issued = authority.issue(&["no.example"], KeyKind::P256, PAST).unwrap();
    let certificate = peer::sha256(&issued.certificate_der);
    let key = peer::key_fingerprint(&peer::parse(&issued.certificate_der).unwrap());
    let other = Fingerprint::from_bytes([7; 32]);
    let names = domains(&["mx.example"]);
    for (fingerprints, names, verified, error) in [
        (&[certificate][..], &[][..], Verified::Fingerprint, None),
        (&[key], &[], Verified::Fingerprint, None),
        (&[other, key], &names, Verified::Fingerprint, None),
        (&[other], &[], Verified::None, INVALID),
        (&[other], &names, Verified::None, EXPIRED),
    ] {
        let evaluation = judge(&issued, &Identity { fingerprints, names, one_below: &[] }, &Roots::empty());
        assert_eq!((evaluation.verified, evaluation.error), (verified, error), "{fingerprints:?}");
    }
}

#[test]
fn a_self_signed_certificate_is_trusted_only_as_a_root_or_by_fingerprint() {
    let names = domains(&["mx.example"]);
    let issued = self_signed(&names, NOW).unwrap();
    let identity = Identity { names: &names, ..Identity::default() };
    assert_eq!(judge(&issued, &identity, &Roots::empty()).error, UNTRUSTED);
    assert_eq!(judge(&issued, &identity, &Roots::from_der([issued.certificate_der.clone()])).error, None);
}

#[test]
fn the_moment_is_the_one_handed_in() {
    let authority = DemoAuthority::new(NOW).unwrap();
    let validity = Validity { not_before: NOW - DAY, not_after: NOW + DAY };
    let issued = authority.issue(&["mx.example"], KeyKind::P256, validity).unwrap();
    let names = domains(&["mx.example"]);
    let identity = Identity { names: &names, ..Identity::default() };
    for (at, expected) in [
        (NOW, None),
        (NOW + DAY, None),
        (NOW + 2 * DAY, EXPIRED),
        (NOW - 2 * DAY, EXPIRED),
        (Timestamp::from_micros(i64::MIN), EXPIRED),
        (Timestamp::from_micros(i64::MAX), EXPIRED),
    ] {
        let chain = std::slice::from_ref(&issued.certificate_der);
        assert_eq!(evaluate(chain, &identity, &authority.roots(), at).error, expected, "{at}");
    }
}

#[test]
fn what_is_no_certificate_verifies_nothing() {
    let names = domains(&["mx.example"]);
    let identity = Identity { names: &names, one_below: &names, ..Identity::default() };
    for chain in [vec![], vec![CertificateDer::from(vec![])], vec![CertificateDer::from(vec![0x30; 40])]] {
        let evaluation = evaluate(&chain, &identity, &Roots::empty(), NOW);
        assert_eq!((evaluation.verified, evaluation.error), (Verified::None, INVALID), "{chain:?}");
    }
}

#[test]
fn the_detail_names_both_sides_escaped_and_within_a_bound() {
    let authority = DemoAuthority::new(NOW).unwrap();
    let has: Vec<String> = (0..8).map(|i| format!("n{i}.example")).collect();
    let has: Vec<&str> = has.iter().map(String::as_str).collect();
    let issued = authority.issue(&has, KeyKind::P256, VALID).unwrap();
    let names = domains(&["mx.example"]);
    let identity = Identity { names: &names, one_below: &domains(&["filter.example"]), ..Identity::default() };
    assert_eq!(
        judge(&issued, &identity, &Roots::empty()).detail,
        "the certificate is for n0.example, n1.example, n2.example, n3.example, n4.example and 3 more, not for \
         mx.example, *.filter.example; also the certificate leads to no trusted root"
    );
    let long = "a.".repeat(100) + "example";
    let odd = authority.issue(&["a\r\n\u{7f}.example", &long, &long, &long], KeyKind::P256, VALID).unwrap();
    let detail = judge(&odd, &identity, &authority.roots()).detail;
    assert!(detail.starts_with("the certificate is for a\\x0d\\x0a"), "{detail}");
    assert!(detail.len() <= EVALUATION_DETAIL_BYTES_MAX + 3, "{detail}");
}

#[cfg(feature = "legacy-tls")]
#[test]
fn a_short_rsa_key_identifies_nobody_but_by_fingerprint() {
    use crate::tls::old_server::{Kind, self_signed};
    for (kind, expected) in [(Kind::Rsa(1024), UNTRUSTED), (Kind::Rsa(2048), None), (Kind::P256, None)] {
        let der = CertificateDer::from(self_signed(kind).0.to_der().unwrap());
        assert_eq!(has_strong_key(&der).err().map(|fault| fault.reason), expected, "{kind:?}");
        let pinned = Identity { fingerprints: &[peer::sha256(&der)], ..Identity::default() };
        assert_eq!(evaluate(&[der], &pinned, &Roots::empty(), NOW).verified, Verified::Fingerprint);
    }
}
