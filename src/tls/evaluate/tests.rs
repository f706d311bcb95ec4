//! Who is taken for whom, as tables.

use std::sync::Arc;

use super::*;
use crate::model::domain::Domain;
use crate::model::tls::DaneResult;
use crate::policy::names::Fingerprint;
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

fn judge(issued: &IssuedCertificate, identity: &Identity, roots: &Roots) -> Evaluation {
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
            judge(&issued, &Identity { names: domains(wanted), ..Identity::default() }, &authority.roots());
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
        let identity = Identity { one_below: domains(&["filter.example"]), ..Identity::default() };
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
        let evaluation = judge(&issued, &Identity { names, ..Identity::default() }, roots);
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
        (vec![certificate], vec![], Verified::Fingerprint, None),
        (vec![key], vec![], Verified::Fingerprint, None),
        (vec![other, key], names.clone(), Verified::Fingerprint, None),
        (vec![other], vec![], Verified::None, INVALID),
        (vec![other], names, Verified::None, EXPIRED),
    ] {
        let identity = Identity { fingerprints, names, one_below: Vec::new() };
        let evaluation = judge(&issued, &identity, &Roots::empty());
        assert_eq!((evaluation.verified, evaluation.error), (verified, error), "{identity:?}");
    }
}

#[test]
fn a_self_signed_certificate_is_trusted_only_as_a_root_or_by_fingerprint() {
    let names = domains(&["mx.example"]);
    let issued = self_signed(&names, NOW).unwrap();
    let identity = Identity { names, ..Identity::default() };
    assert_eq!(judge(&issued, &identity, &Roots::empty()).error, UNTRUSTED);
    assert_eq!(judge(&issued, &identity, &Roots::from_der([issued.certificate_der.clone()])).error, None);
}

#[test]
fn the_moment_is_the_one_handed_in() {
    let authority = DemoAuthority::new(NOW).unwrap();
    let validity = Validity { not_before: NOW - DAY, not_after: NOW + DAY };
    let issued = authority.issue(&["mx.example"], KeyKind::P256, validity).unwrap();
    let identity = Identity { names: domains(&["mx.example"]), ..Identity::default() };
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
    let identity = Identity { names: names.clone(), one_below: names, ..Identity::default() };
    for chain in [vec![], vec![CertificateDer::from(vec![])], vec![CertificateDer::from(vec![0x30; 40])]] {
        let evaluation = evaluate(&chain, &identity, &Roots::empty(), NOW);
        assert_eq!((evaluation.verified, evaluation.error), (Verified::None, INVALID), "{chain:?}");
    }
}

#[test]
fn what_a_chain_is_worth_does_not_depend_on_who_is_expected() {
    let authority = DemoAuthority::new(NOW).unwrap();
    let (trusted, empty) = (authority.roots(), Roots::empty());
    for (validity, roots, expected) in [
        (VALID, &trusted, ChainTrust::Trusted),
        (PAST, &trusted, ChainTrust::Expired),
        (FUTURE, &trusted, ChainTrust::Expired),
        (VALID, &empty, ChainTrust::NotTrusted),
    ] {
        let issued = authority.issue(&["mx.example"], KeyKind::P256, validity).unwrap();
        let chain = std::slice::from_ref(&issued.certificate_der);
        let pinned = vec![peer::sha256(&issued.certificate_der)];
        for identity in [
            Identity::default(),
            Identity { names: domains(&["mx.example"]), ..Identity::default() },
            Identity { names: domains(&["no.example"]), ..Identity::default() },
            Identity { fingerprints: pinned, ..Identity::default() },
        ] {
            assert_eq!(evaluate(chain, &identity, roots, NOW).chain, expected, "{identity:?} {validity:?}");
        }
        assert_eq!(evaluate_client(chain, roots, NOW).chain, expected, "{validity:?}");
    }
    let damaged = [CertificateDer::from(vec![0x30; 40])];
    assert_eq!(evaluate(&damaged, &Identity::default(), &trusted, NOW).chain, ChainTrust::Invalid);
    assert_eq!(evaluate_client(&damaged, &trusted, NOW).chain, ChainTrust::Invalid);
}

/// What goes on record of a chain: the certificate as far as it is kept, through its JSON.
fn on_record(chain: &[CertificateDer<'_>], evaluation: &Evaluation) -> Option<PeerCertificate> {
    let recorded = PeerCertificate {
        chain: evaluation.chain,
        verified: evaluation.verified,
        ..peer::peer_certificate(chain.first()?)
    };
    Some(serde_json::from_str(&serde_json::to_string(&recorded).unwrap()).unwrap())
}

#[test]
fn a_record_of_a_chain_identifies_as_the_chain_itself_did() {
    let authority = DemoAuthority::new(NOW).unwrap();
    let (trusted, empty) = (authority.roots(), Roots::empty());
    let many: Vec<String> = (0..peer::NAMES_MAX + 1).map(|i| format!("n{i}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = format!("{}.example", "a.".repeat(130));
    let sets: &[&[&str]] = &[
        &["mx.example"],
        &["*.a.example", "MX.Example"],
        &["*.example"],
        &["a\r\n.example", "m\\x78.example", &long],
        &[],
        &many,
    ];
    let mut left_open = 0;
    for (set, validity) in sets.iter().flat_map(|set| [VALID, PAST].map(|validity| (set, validity))) {
        let issued = authority.issue(set, KeyKind::P256, validity).unwrap();
        let pinned = vec![peer::sha256(&issued.certificate_der)];
        let damaged = vec![CertificateDer::from(issued.certificate_der.get(..90).unwrap().to_vec())];
        let chains = [vec![issued.certificate_der], damaged, vec![]];
        let identities = [
            Identity::default(),
            Identity { names: domains(&["mx.example"]), ..Identity::default() },
            Identity { names: domains(&["mx.a.example", "n100.example"]), ..Identity::default() },
            Identity { one_below: domains(&["example"]), ..Identity::default() },
            Identity { names: domains(&["n3.example"]), fingerprints: pinned, ..Identity::default() },
        ];
        for (chain, identity) in chains.iter().flat_map(|chain| identities.each_ref().map(|identity| (chain, identity)))
        {
            for roots in [&trusted, &empty] {
                let evaluation = evaluate(chain, identity, roots, NOW);
                let expected = match evaluation.error {
                    None => IdentityCheck::Verified(evaluation.verified),
                    Some(reason) => IdentityCheck::Failed(reason),
                };
                let recorded = on_record(chain, &evaluation);
                let replayed = identify(identity, recorded.as_ref());
                let tells_all = recorded.is_none_or(|recorded| recorded.names_omitted == 0);
                left_open += usize::from(replayed == IdentityCheck::Unknown);
                let is_open = replayed == IdentityCheck::Unknown && !tells_all;
                assert!(replayed == expected || is_open, "{set:?} {identity:?} {expected:?} {replayed:?}");
            }
        }
    }
    assert_eq!(left_open, 4, "only a certificate with more names than are recorded leaves anything open");
}

mod compared_with_webpki {
    use proptest::prelude::*;
    use rustls::client::verify_server_name;
    use rustls::pki_types::ServerName;

    use super::*;
    use crate::policy::names::is_valid_for;

    /// One authority for all cases: keys are what takes the time.
    fn judged_by_webpki(authority: &DemoAuthority, presented: &str, host: &Domain) -> bool {
        let Ok(issued) = authority.issue(&[presented], KeyKind::P256, VALID) else { return false };
        let parsed = ParsedCertificate::try_from(&issued.certificate_der).unwrap();
        ServerName::try_from(host.as_str()).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    }

    fn label() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => "[ab]{1,2}",
            1 => "[abAB1_-]{0,4}",
            4 => Just("*".to_owned()),
            1 => Just("a*".to_owned()),
            1 => Just("example".to_owned()),
        ]
    }

    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec(label(), 1..5).prop_map(|labels| labels.join("."))
    }

    /// A name, and another that is often alike: the same in capitals, or below it, or with a wildcard.
    fn pair() -> impl Strategy<Value = (String, String)> {
        (name(), name(), label(), 0..5_u8).prop_map(|(one, other, label, how)| match how {
            0 => (one.to_uppercase(), one),
            1 => (format!("*.{one}"), format!("{label}.{one}")),
            2 => (one.clone(), format!("{label}.{one}")),
            3 => (format!("{one}."), one),
            _ => (one, other),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn names_are_matched_as_webpki_does((presented, host) in pair()) {
            let authority = AUTHORITY.with(std::rc::Rc::clone);
            if let Ok(host) = Domain::parse(&host) {
                prop_assert_eq!(is_valid_for(&presented, &host), judged_by_webpki(&authority, &presented, &host));
            }
        }
    }

    thread_local! {
        static AUTHORITY: std::rc::Rc<DemoAuthority> = std::rc::Rc::new(DemoAuthority::new(NOW).unwrap());
    }
}

#[test]
fn the_detail_names_both_sides_escaped_and_within_a_bound() {
    let authority = DemoAuthority::new(NOW).unwrap();
    let has: Vec<String> = (0..8).map(|i| format!("n{i}.example")).collect();
    let has: Vec<&str> = has.iter().map(String::as_str).collect();
    let issued = authority.issue(&has, KeyKind::P256, VALID).unwrap();
    let identity =
        Identity { names: domains(&["mx.example"]), one_below: domains(&["filter.example"]), ..Identity::default() };
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
        let pinned = Identity { fingerprints: vec![peer::sha256(&der)], ..Identity::default() };
        assert_eq!(evaluate(&[der], &pinned, &Roots::empty(), NOW).verified, Verified::Fingerprint);
    }
}

/// The judgement of a certificate for `mx.example` by these proofs: by what, why not, chain, and what DANE found.
fn by_proofs(proofs: &[&str], trusted: bool) -> (Verified, Option<Reason>, ChainTrust, Option<DaneResult>) {
    use crate::model::tlsa::Tlsa;
    use crate::policy::host_requirement::Proof;
    use crate::policy::outbound::Requirement;
    use crate::policy::settings::{Fact, Source};
    use crate::policy::tlsa::{TlsaSet, classify};
    let authority = DemoAuthority::new(NOW).unwrap();
    let issued = authority.issue(&["mx.example"], KeyKind::P256, VALID).unwrap();
    let named = |name: &str| Identity { names: domains(&[name]), ..Identity::default() };
    let published = |key: Option<Fingerprint>| {
        let record = |key: Fingerprint| Tlsa { usage: 3, selector: 1, matching: 1, data: key.as_bytes().to_vec() };
        let set = key.and_then(|key| classify(&[record(key)]));
        let records = set.as_ref().and_then(TlsaSet::usable).cloned();
        Evidence::Tlsa(Arc::new(UsableRecords { records, base: None, names: domains(&["mx.example"]) }))
    };
    let evidence = |proof: &&str| match *proof {
        "own record" => published(Some(peer::key_fingerprint(&peer::parse(&issued.certificate_der).unwrap()))),
        "other record" => published(Some(Fingerprint::from_bytes([7; 32]))),
        "lost record" => published(None),
        name => Evidence::Names(named(name)),
    };
    let requirement = HostRequirement {
        session: Requirement::of(&[]),
        proofs: proofs.iter().map(|of| Proof { of: evidence(of), source: Source::Fact(Fact::Tlsa) }).collect(),
        usual: named("no.example"),
        require_tls_above: None,
    };
    let roots = if trusted { authority.roots() } else { Roots::empty() };
    let found = evaluate_all(std::slice::from_ref(&issued.certificate_der), &requirement, &roots, NOW);
    (found.verified, found.error, found.chain, found.dane.map(|dane| dane.result))
}

#[test]
fn every_proof_must_hold_and_what_each_found_is_told() {
    use ChainTrust::{NotTrusted, Trusted};
    use DaneResult::{Match, NoMatch};
    let no_record = Some(Reason::TlsaInvalid);
    for (proofs, trusted, expected) in [
        (&["own record"][..], false, (Verified::Dane, None, NotTrusted, Some(Match))),
        (&["other record"], true, (Verified::None, no_record, Trusted, Some(NoMatch))),
        (&["lost record"], true, (Verified::None, no_record, Trusted, None)),
        (&["mx.example"], true, (Verified::Webpki, None, Trusted, None)),
        (&["mx.example", "own record"], true, (Verified::Dane, None, Trusted, Some(Match))),
        (&["own record", "mx.example"], true, (Verified::Dane, None, Trusted, Some(Match))),
        (&["mx.example", "own record"], false, (Verified::None, UNTRUSTED, NotTrusted, None)),
        (&["mx.example", "other record"], true, (Verified::None, no_record, Trusted, Some(NoMatch))),
        (&["own record", "no.example"], true, (Verified::None, MISMATCH, Trusted, Some(Match))),
        (&[], true, (Verified::None, MISMATCH, Trusted, None)),
    ] {
        assert_eq!(by_proofs(proofs, trusted), expected, "{proofs:?} {trusted}");
    }
}
