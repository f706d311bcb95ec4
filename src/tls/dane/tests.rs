//! Chains against records, as tables; and that nothing fed in does harm.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::tls::PeerCertificate;
use crate::policy::tlsa::{TLSA_RECORDS_MAX, TlsaSet, classify};
use crate::tls::client::Peer;

mod pki;

use pki::{NOW, certificate, chain, record};

const MATCH: Option<Reason> = None;
const NONE: Option<Reason> = Some(Reason::TlsaInvalid);
const EXPIRED: Option<Reason> = Some(Reason::CertificateExpired);
const MISMATCH: Option<Reason> = Some(Reason::CertificateHostMismatch);
const UNTRUSTED: Option<Reason> = Some(Reason::CertificateNotTrusted);
const INVALID: Option<Reason> = Some(Reason::ValidationFailure);

fn usable(records: &[Tlsa]) -> Arc<UsableTlsa> {
    match classify(records) {
        Some(TlsaSet::Usable(usable)) => usable,
        other => panic!("{other:?}"),
    }
}

fn judge(chain: &[CertificateDer<'_>], records: &[Tlsa]) -> Evaluation {
    evaluate_dane(chain, &usable(records), &[Domain::parse("mx.example").unwrap()], NOW)
}

/// Certificates and records by their names in [`pki`].
#[track_caller]
fn check(shown: &str, records: &[&str], expected: Option<Reason>) {
    let records: Vec<Tlsa> = records.iter().map(|text| record(text)).collect();
    let evaluation = judge(&chain(shown), &records);
    assert_eq!(evaluation.error, expected, "{shown}: {}", evaluation.detail);
    let verified = if expected.is_none() { Verified::Dane } else { Verified::None };
    assert_eq!((evaluation.verified, evaluation.chain), (verified, ChainTrust::Unknown), "{shown}");
    assert_eq!(evaluation.detail.is_empty(), expected.is_none(), "{shown}: {}", evaluation.detail);
    let result = match expected {
        None => DaneResult::Match,
        NONE => DaneResult::NoMatch,
        INVALID if shown.is_empty() => DaneResult::NoMatch,
        Some(_) => DaneResult::Refused,
    };
    assert_eq!(evaluation.dane.unwrap().result, result, "{shown}");
}

/// RFC 7672 section 3.1.1.
#[test]
fn usage_3_looks_at_the_servers_own_certificate_or_key_and_at_nothing_else() {
    for form in ["3 0 0", "3 0 1", "3 0 2", "3 1 0", "3 1 1", "3 1 2"] {
        for own in ["leaf", "alien", "old", "early", "lonely", "subject", "of-stale"] {
            check(own, &[&format!("{form} {own}")], MATCH);
            check(&format!("{own} garbage inter"), &[&format!("{form} {own}")], MATCH);
            check(own, &[&format!("{form} other")], NONE);
        }
        check("leaf inter root", &[&format!("{form} inter")], NONE);
        check("inter leaf", &[&format!("{form} leaf")], NONE);
    }
}

/// RFC 7672 section 3.1.2, RFC 7671 sections 5.2.2 and 5.2.3.
#[test]
fn usage_2_trusts_the_issuer_that_it_names_and_no_other() {
    for form in ["2 0 1", "2 0 2", "2 1 1", "2 1 2", "2 0 0", "2 1 0"] {
        let in_record = form.ends_with('0');
        let unless_sent = if in_record { MATCH } else { NONE };
        for (shown, anchor, expected) in [
            ("leaf inter", "inter", MATCH),
            ("leaf inter root", "inter", MATCH),
            ("leaf inter root", "root", MATCH),
            ("leaf root inter", "root", MATCH),
            ("leaf other garbage inter root", "root", MATCH),
            ("leaf inter", "root", unless_sent),
            ("leaf", "inter", unless_sent),
            ("of-faded", "faded", unless_sent),
            ("leaf other", "other", UNTRUSTED),
            ("leaf root", "root", UNTRUSTED),
            ("leaf inter other", "other", UNTRUSTED),
        ] {
            check(shown, &[&format!("{form} {anchor}")], expected);
        }
    }
    check("leaf", &["2 0 0 root"], NONE);
    check("leaf", &["2 1 0 root"], NONE);
    check("leaf inter", &["2 0 0 other"], NONE);
    check("leaf inter", &["2 1 0 other"], NONE);
    check("alien inter", &["2 1 0 other"], NONE);
}

/// Records of usage 2 are for what stands above the server in the chain (RFC 7671 section 5.2).
#[test]
fn a_server_is_never_its_own_issuer() {
    for form in ["2 0 0", "2 0 1", "2 0 2", "2 1 0", "2 1 1", "2 1 2"] {
        for shown in ["lonely", "lonely lonely", "lonely inter"] {
            check(shown, &[&format!("{form} lonely")], NONE);
        }
        check("leaf inter root", &[&format!("{form} leaf")], NONE);
    }
}

#[test]
fn usage_2_asks_for_a_name_and_for_dates_below_the_issuer() {
    for form in ["2 0 1", "2 1 1", "2 0 0", "2 1 0"] {
        for (shown, anchor, expected) in [
            ("alien inter", "inter", MISMATCH),
            ("star inter", "inter", MISMATCH),
            ("old inter", "inter", EXPIRED),
            ("early inter", "inter", EXPIRED),
            ("old-alien inter", "inter", EXPIRED),
            ("alien inter other", "other", MISMATCH),
            ("of-stale stale root", "root", EXPIRED),
            // An anchor is a name and a key: what else its certificate says does not count (RFC 5280 section 6.1.1).
            ("of-stale stale root", "stale", MATCH),
            ("of-faded faded", "faded", MATCH),
        ] {
            check(shown, &[&format!("{form} {anchor}")], expected);
        }
    }
}

/// RFC 7672 section 3.2.3.
#[test]
fn a_name_in_the_subject_counts_where_there_is_no_other() {
    check("subject inter", &["2 0 1 inter"], MATCH);
    check("subject-and-other inter", &["2 0 1 inter"], MISMATCH);
    check("subject-of-bound bound", &["2 0 1 bound"], MISMATCH);
}

#[test]
fn an_issuer_that_is_bound_to_names_stays_bound() {
    for form in ["2 0 1", "2 1 1", "2 0 0"] {
        check("of-bound bound", &[&format!("{form} bound")], MATCH);
        check("out-of-bounds bound", &[&format!("{form} bound")], UNTRUSTED);
    }
}

/// RFC 7672 section 3.1.2, RFC 7671 section 5.2.1. What an authority issued itself counts as none (RFC 5280 section
/// 6.1.4).
#[test]
fn no_more_authorities_stand_below_an_issuer_than_its_certificate_permits() {
    for form in ["2 0 1", "2 0 2", "2 1 1", "2 0 0", "2 1 0"] {
        for (shown, anchor, expected) in [
            ("of-short short", "short", MATCH),
            ("of-sub sub short", "short", UNTRUSTED),
            ("of-sub short sub", "short", UNTRUSTED),
            ("of-sub sub", "sub", MATCH),
            ("of-sub sub short", "sub", MATCH),
            ("of-twin twin short", "short", MATCH),
            ("of-short sub other short", "short", MATCH),
            ("of-mid mid wide", "wide", MATCH),
            ("of-mid low mid wide", "wide", MATCH),
            ("of-low low mid wide", "wide", UNTRUSTED),
            ("of-low wide mid inter low", "wide", UNTRUSTED),
        ] {
            check(shown, &[&format!("{form} {anchor}")], expected);
        }
    }
    check("of-sub sub", &["2 0 0 short"], UNTRUSTED);
    // Of a bare key nobody knows what it permits.
    check("of-sub sub", &["2 1 0 short"], MATCH);
    check("of-sub sub short", &["2 0 1 short", "2 0 1 sub"], MATCH);
    let detail = judge(&chain("of-sub sub short"), &[record("2 0 1 short")]).detail;
    assert!(detail.ends_with("but more authorities stand between it and the server than it permits"), "{detail}");
}

#[test]
fn any_one_of_the_names_suffices() {
    let names = |text: &str| -> Vec<Domain> { text.split_whitespace().map(|n| Domain::parse(n).unwrap()).collect() };
    for (shown, wanted, expected) in [
        ("leaf inter", "mx.example", MATCH),
        ("leaf inter", "next.example MX.Example", MATCH),
        ("star inter", "a.mx.example", MATCH),
        ("star inter", "a.b.mx.example", MISMATCH),
        ("leaf inter", "next.example", MISMATCH),
        ("leaf inter", "", MISMATCH),
    ] {
        let evaluation = evaluate_dane(&chain(shown), &usable(&[record("2 1 1 inter")]), &names(wanted), NOW);
        assert_eq!(evaluation.error, expected, "{shown} {wanted}");
    }
}

/// RFC 7671 section 8.1.
#[test]
fn any_one_record_suffices_so_that_keys_can_change() {
    for (shown, records, expected) in [
        ("leaf inter", &["3 1 1 leaf", "3 1 1 other"][..], MATCH),
        ("leaf inter", &["3 1 1 other", "3 1 1 alien"], NONE),
        ("leaf inter", &["3 1 1 other", "2 0 1 inter"], MATCH),
        ("leaf inter", &["3 1 1 leaf", "2 0 1 other"], MATCH),
        ("old inter", &["3 1 1 old", "2 0 1 inter"], MATCH),
        ("leaf inter other", &["2 0 1 other", "2 0 1 inter"], MATCH),
        ("leaf inter", &["2 0 0 other", "2 1 1 inter"], MATCH),
        ("alien inter other", &["2 0 1 other", "2 1 1 inter"], MISMATCH),
        ("old inter", &["3 1 1 other", "2 1 1 inter"], EXPIRED),
        ("leaf inter", &["1 1 1 leaf", "3 1 1 other"], NONE),
    ] {
        check(shown, records, expected);
    }
}

/// RFC 7671 section 9.
#[test]
fn a_weaker_digest_that_matches_does_not_help_where_a_stronger_one_does_not() {
    for (records, expected) in [
        (&["3 1 1 leaf", "3 1 2 other"][..], NONE),
        (&["3 1 1 other", "3 1 2 leaf"], MATCH),
        (&["3 1 1 leaf", "3 0 2 other"], MATCH),
        (&["3 1 1 leaf", "2 1 2 other"], MATCH),
        (&["2 0 1 inter", "2 0 2 other"], NONE),
        (&["3 1 0 leaf", "3 1 2 other"], MATCH),
    ] {
        check("leaf inter", records, expected);
    }
}

#[test]
fn many_records_and_long_chains_are_looked_at_within_a_bound() {
    let crowd = |usage: u8| (0..99_u8).map(move |i| Tlsa { usage, selector: 1, matching: 1, data: vec![i; 32] });
    for usage in [2, 3] {
        let with = |text: &str| crowd(usage).chain([record(text)]).collect::<Vec<_>>();
        assert_eq!(with("3 1 1 leaf").len(), TLSA_RECORDS_MAX);
        assert_eq!(judge(&chain("leaf inter"), &with("3 1 1 leaf")).error, MATCH);
        assert_eq!(judge(&chain("leaf inter"), &with("2 1 1 inter")).error, MATCH);
        assert_eq!(judge(&chain("leaf inter"), &with("3 1 1 other")).error, NONE);
    }
    let padded = |fillers: usize| format!("leaf {}inter", "other ".repeat(fillers));
    check(&padded(DANE_CHAIN_CERTIFICATES_MAX - 2), &["2 1 1 inter"], MATCH);
    check(&padded(DANE_CHAIN_CERTIFICATES_MAX - 1), &["2 1 1 inter"], NONE);
    check(&padded(DANE_CHAIN_CERTIFICATES_MAX), &["3 1 1 leaf"], MATCH);
}

#[test]
fn what_is_no_certificate_matches_nothing_but_its_own_digest() {
    check("", &["3 1 1 leaf"], INVALID);
    for shown in ["garbage", "empty", "garbage inter", "empty garbage leaf"] {
        for form in ["3 0 1", "3 1 1", "2 0 1", "2 1 1", "2 1 0"] {
            check(shown, &[&format!("{form} root")], NONE);
        }
    }
    check("garbage", &["3 0 1 garbage"], MATCH);
    check("garbage inter", &["2 1 1 inter"], INVALID);
}

#[test]
fn the_detail_says_what_was_compared_and_which_slip_it_may_be() {
    let key = |name: &str| record(&format!("3 1 1 {name}")).to_string();
    let short = |text: &str| record(text).shortened(DETAIL_DATA_BYTES_MAX);
    for (shown, published, expected) in [
        (
            "leaf inter",
            "3 1 1 other",
            format!(
                "no TLSA record matches what the server showed: {}; the server's key would be {}",
                short("3 1 1 other"),
                key("leaf")
            ),
        ),
        (
            "leaf inter",
            "3 1 1 inter",
            format!(
                "no TLSA record matches what the server showed: {0}; the server's key would be {1}; {0} is an \
                 issuer's, but usage 3 names the server's own",
                short("3 1 1 inter"),
                key("leaf")
            ),
        ),
        (
            "leaf inter",
            "2 1 1 leaf",
            format!(
                "no TLSA record matches what the server showed: {0}; the server's key would be {1}; {0} is the \
                 server's own, but usage 2 names its issuer",
                short("2 1 1 leaf"),
                key("leaf")
            ),
        ),
        (
            "alien inter other",
            "2 1 1 other",
            format!(
                "the TLSA record {} names an issuer, but the certificate is for other.example, not for mx.example; \
                 also the server's certificate does not lead to it",
                short("2 1 1 other")
            ),
        ),
        (
            "old inter",
            "2 1 1 inter",
            format!(
                "the TLSA record {} names an issuer, but a certificate of the chain expired on 2023-11-14",
                short("2 1 1 inter")
            ),
        ),
    ] {
        assert_eq!(judge(&chain(shown), &[record(published)]).detail, expected);
    }
}

#[test]
fn the_record_that_matched_is_told_whole_unless_it_is_a_certificate() {
    let told = |shown: &str, text: &str| judge(&chain(shown), &[record(text)]).dane.unwrap();
    for text in ["3 1 1 leaf", "3 1 2 leaf", "2 0 1 inter"] {
        let expected = DaneMatch { result: DaneResult::Match, record: Some(record(text).to_string()) };
        assert_eq!(told("leaf inter", text), expected);
    }
    let long = told("leaf inter", "2 0 0 root").record.unwrap();
    assert!(long.starts_with("2 0 0 3082") && long.ends_with("...") && long.len() < 140, "{long}");
    assert_eq!(told("alien inter", "2 0 1 inter").record, Some(record("2 0 1 inter").to_string()));
    assert_eq!(told("leaf inter", "3 1 1 other"), DaneMatch { result: DaneResult::NoMatch, record: None });
}

#[test]
fn a_certificates_record_says_by_what_it_was_verified_and_older_ones_can_be_read() {
    let leaf = certificate("leaf");
    let evaluation = judge(&chain("leaf"), &[record("3 1 1 leaf")]);
    let told =
        PeerCertificate { verified: evaluation.verified, dane: evaluation.dane, ..peer::peer_certificate(&leaf) };
    let mut json = serde_json::to_value(&told).unwrap();
    let record = record("3 1 1 leaf").to_string();
    assert_eq!(json["dane"], serde_json::json!({"result": "match", "record": record}));
    assert_eq!(serde_json::from_value::<PeerCertificate>(json.clone()).unwrap(), told);
    json.as_object_mut().unwrap().remove("dane");
    assert_eq!(serde_json::from_value::<PeerCertificate>(json).unwrap(), PeerCertificate { dane: None, ..told });
}

#[test]
fn a_judgement_by_records_leaves_alone_what_the_chain_is_worth() {
    use crate::model::cipher::CipherSuite;
    use crate::model::tls::{ProtocolVersion, TlsFacts};
    let suite = CipherSuite::by_name("TLS_AES_128_GCM_SHA256").unwrap();
    let facts = TlsFacts::assumed(ProtocolVersion::Tls1_3, suite);
    let shown = Some(peer::peer_certificate(&certificate("old")));
    let mut peer = Peer { facts: TlsFacts { peer: shown, ..facts }, chain: chain("old") };
    peer.record_chain(ChainTrust::Expired);
    let evaluation = judge(&peer.chain, &[record("3 1 1 old")]);
    peer.record(&evaluation);
    let told = peer.facts.peer.unwrap();
    let expected = (ChainTrust::Expired, Verified::Dane, None, evaluation.dane);
    assert_eq!((told.chain, told.verified, told.error, told.dane), expected);
}

#[cfg(feature = "legacy-tls")]
#[test]
fn old_certificates_and_short_keys_do_for_usage_3_alone() {
    use crate::tls::old_server::{Kind, self_signed};
    for kind in [Kind::RsaV1, Kind::Rsa(1024), Kind::Rsa(2048), Kind::P256] {
        let shown = [CertificateDer::from(self_signed(kind).0.to_der().unwrap())];
        for selector in [0, 1] {
            for matching in [0, 1, 2] {
                let own = pki::record_of([3, selector, matching], &shown[0]);
                assert_eq!(judge(&shown, &[own]).error, MATCH, "{kind:?} 3 {selector} {matching}");
                let own = pki::record_of([2, selector, matching], &shown[0]);
                assert_eq!(judge(&shown, &[own]).error, NONE, "{kind:?} 2 {selector} {matching}");
            }
        }
    }
}

const NAMES: [&str; 14] = [
    "leaf", "alien", "old", "of-stale", "of-faded", "lonely", "root", "inter", "stale", "faded", "other", "bound",
    "subject", "garbage",
];

fn any_chain() -> impl Strategy<Value = Vec<CertificateDer<'static>>> {
    let name = prop::sample::select(NAMES.to_vec());
    prop::collection::vec(name, 0..5).prop_map(|names| names.into_iter().map(certificate).collect())
}

/// Of a certificate that has no namesake in any chain.
fn unrelated() -> impl Strategy<Value = Tlsa> {
    let digest = |bytes: usize| prop::collection::vec(any::<u8>(), bytes);
    let digests = prop_oneof![digest(32).prop_map(|data| (1, data)), digest(64).prop_map(|data| (2, data))];
    let any_digest = (2..4_u8, 0..2_u8, digests).prop_map(|(usage, selector, (matching, data))| Tlsa {
        usage,
        selector,
        matching,
        data,
    });
    let strange = prop::sample::select(vec!["2 0 0 early", "2 1 0 early", "3 0 0 early", "3 1 0 early"]);
    prop_oneof![any_digest, strange.prop_map(record)]
}

fn related() -> impl Strategy<Value = Tlsa> {
    let name = prop::sample::select(NAMES[..13].to_vec());
    (2..4_u8, 0..2_u8, 0..3_u8, name)
        .prop_map(|(usage, selector, matching, name)| pki::record_of([usage, selector, matching], &certificate(name)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_unrelated_record_never_lets_a_chain_pass(
        shown in any_chain(),
        records in prop::collection::vec(related(), 1..4),
        more in unrelated(),
    ) {
        let before = judge(&shown, &records);
        let after = judge(&shown, &[records, vec![more]].concat());
        prop_assert!(before.error.is_none() || after.error.is_some(), "{} {}", before.detail, after.detail);
    }

    #[test]
    fn a_chain_passes_by_one_record_at_least(shown in any_chain(), records in prop::collection::vec(related(), 1..4)) {
        let together = judge(&shown, &records).error.is_none();
        let by_one = records.iter().any(|one| judge(&shown, std::slice::from_ref(one)).error.is_none());
        prop_assert!(by_one || !together);
    }

    #[test]
    fn bytes_of_any_kind_verify_nothing_and_break_nothing(
        shown in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4),
        name in prop::sample::select(NAMES.to_vec()),
        flip in (any::<prop::sample::Index>(), 1..=255_u8),
        records in prop::collection::vec(related(), 1..4),
    ) {
        let noise: Vec<CertificateDer<'_>> = shown.iter().map(|bytes| CertificateDer::from(bytes.as_slice())).collect();
        prop_assert!(judge(&noise, &records).error.is_some());
        let mut damaged = certificate(name).to_vec();
        let at = flip.0.index(damaged.len());
        damaged[at] ^= flip.1;
        let with_damage = [vec![CertificateDer::from(damaged)], noise].concat();
        let evaluation = judge(&with_damage, &records);
        // The key alone may have been left whole.
        let by_key = |record: &Tlsa| record.usage == 3 && record.selector == 1;
        prop_assert!(evaluation.error.is_some() || records.iter().any(by_key), "{:?}", evaluation.dane);
    }
}
