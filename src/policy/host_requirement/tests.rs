//! The requirement under every mixture of what is written, published, learned and asked for.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::address::ReversePath;
use crate::model::cipher::{CipherGrade, CipherSuite};
use crate::model::time::Timestamp;
use crate::model::tls::{ChainTrust, DaneMatch, DaneResult, PeerCertificate, TlsFacts, Verified};
use crate::model::tlsa::Tlsa;
use crate::policy::names::NamePattern;
use crate::policy::outbound::decide;
use crate::policy::published::{Asks, MtaSts};
use crate::policy::rules::PolicySet;
use crate::policy::session_check::{IdentityCheck, all, prove, verify};
use crate::policy::timed::Asker;
use crate::policy::tlsa::{TlsaSet, classify};

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// What holds where nobody wrote anything, at this level.
fn written(tls: OutboundTls) -> Decision {
    let asker = Asker { at: Timestamp::from_secs(0), client: None, sender: &ReversePath::Null };
    let decision = decide(&PolicySet::default(), Some(&domain("bank.example")), &asker);
    let requirement = Requirement { tls: Sourced::built_in(tls), ..decision.requirement };
    let learn = Sourced::built_in(Learn::Enforce);
    Decision { requirement, following: crate::policy::outbound::Following { learn, ..decision.following }, ..decision }
}

fn usable() -> Dane {
    let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    let Some(TlsaSet::Usable(records)) = classify(&[record]) else { panic!("it can be used") };
    let base = Some(domain("mx.example"));
    Dane::Usable(Arc::new(UsableRecords { records: Some(records), base, names: vec![domain("mx.example")] }))
}

fn unusable() -> Dane {
    Dane::Unusable(Arc::default())
}

fn sts(is_enforced: bool, lists_host: bool) -> Option<MtaSts> {
    Some(MtaSts { is_enforced, lists_host })
}

/// The requirement in words: level, version, then each proof; or the reason for which there is none.
fn describe(decision: &Decision, is_trusted: bool, published: &Published) -> String {
    let (recipient, mx) = (domain("bank.example"), domain("mx.example"));
    let host = HostIdentity { recipient_domain: Some(&recipient), name: Some(&mx), name_is_trusted: is_trusted };
    match require(decision, &host, published) {
        Err(unmet) => format!("unmet {}", unmet.reason),
        Ok(built) => {
            let version = built.session.min_version.as_ref().map(|minimum| format!(" {}", minimum.value));
            let proofs = built.proofs.iter().map(|proof| format!(" [{}: {}]", proof.source, proof.of.in_words()));
            let level = built.session.level().as_str();
            format!("{level}{}{}", version.unwrap_or_default(), proofs.collect::<String>())
        }
    }
}

#[test]
fn what_is_published_learned_and_asked_for_raises_what_is_written() {
    use OutboundTls::{Encrypt, Opportunistic, Verify};
    const TLSA: &str = "[DANE: TLSA of mx.example (3 1 1)]";
    let nothing = Published::default;
    let dane = |dane| Published { dane, ..Published::default() };
    let policy = |mta_sts| Published { mta_sts, ..Published::default() };
    let learned = |learned| Published { learned: Some(learned), ..Published::default() };
    let asks = |asks| Published { asks, ..Published::default() };
    let require_tls = Asks { require_tls: true, ..Asks::default() };
    let notice = Asks { is_protected_notice: true, ..Asks::default() };
    let mx = || vec![domain("mx.example")];
    for (level, is_trusted, published, expected) in [
        (Opportunistic, false, nothing(), "opportunistic"),
        (Verify, false, nothing(), "verify [built-in: bank.example]"),
        (Verify, true, nothing(), "verify [built-in: bank.example, mx.example]"),
        (Opportunistic, true, dane(Dane::Absent), "opportunistic"),
        // RFC 7672 section 2.2: TLS with whomever.
        (Opportunistic, true, dane(unusable()), "encrypt"),
        (Opportunistic, true, dane(usable()), &format!("verify {TLSA}")),
        // It takes the place of names that nobody wrote, if the host was found securely.
        (Verify, true, dane(usable()), &format!("verify {TLSA}")),
        (Verify, false, dane(usable()), &format!("verify [built-in: bank.example] {TLSA}")),
        (Opportunistic, false, policy(sts(true, true)), "verify TLSv1.2 [MTA-STS: mx.example]"),
        (Opportunistic, false, policy(sts(true, false)), "unmet validation-failure"),
        (
            Verify,
            false,
            policy(sts(true, true)),
            "verify TLSv1.2 [built-in: bank.example, mx.example] [MTA-STS: mx.example]",
        ),
        (Opportunistic, false, learned(Learned::Encrypt), "encrypt"),
        (Opportunistic, false, learned(Learned::Verify(Vec::new())), "verify [learned: bank.example]"),
        (Opportunistic, false, learned(Learned::Verify(mx())), "verify [learned: bank.example, mx.example]"),
        (Opportunistic, false, asks(require_tls), "verify [REQUIRETLS: bank.example]"),
        (Opportunistic, true, asks(require_tls), "verify [REQUIRETLS: bank.example, mx.example]"),
        (Encrypt, true, Published { asks: require_tls, ..dane(usable()) }, &format!("verify {TLSA}")),
        (
            Opportunistic,
            false,
            Published { asks: require_tls, ..dane(usable()) },
            &format!("verify {TLSA} [REQUIRETLS: bank.example]"),
        ),
        (Opportunistic, false, asks(notice), "verify [REQUIRETLS: bank.example]"),
    ] {
        assert_eq!(describe(&written(level), is_trusted, &published), expected, "{level:?} {is_trusted} {published:?}");
    }
}

#[test]
fn what_nothing_could_meet_is_told_with_its_source_beside_all_else() {
    let mut required = written(OutboundTls::Encrypt);
    let source = Source::File { file: "domains.d/bank.toml".into(), line: 7 };
    required.following.dane = Sourced { value: DaneUse::Required, source };
    let unlisted = Published { mta_sts: sts(true, false), ..Published::default() };
    for (decision, published, expected) in [
        (&required, Published::default(), "tls=verify identity=a TLSA record"),
        (
            &required,
            unlisted.clone(),
            "tls=verify min_version=TLSv1.2 identity=a TLSA record identity=no name is acceptable",
        ),
        (
            &written(OutboundTls::Opportunistic),
            unlisted,
            "tls=verify min_version=TLSv1.2 identity=no name is acceptable",
        ),
    ] {
        let (mx, recipient) = (domain("mx.example"), domain("bank.example"));
        let host = HostIdentity { recipient_domain: Some(&recipient), name: Some(&mx), name_is_trusted: true };
        assert!(require(decision, &host, &published).is_err());
        let told = asked(decision, &host, &published).because();
        let told = told.iter().filter(|row| row.key != "cipher").map(|row| format!("{}={}", row.key, row.value));
        assert_eq!(told.collect::<Vec<_>>().join(" "), expected);
    }
    let host = HostIdentity { recipient_domain: None, name: None, name_is_trusted: true };
    let told = asked(&required, &host, &Published::default()).because();
    assert_eq!(told.last().unwrap().source, required.following.dane.source);
}

#[test]
fn testing_mode_is_never_enforced() {
    for lists_host in [false, true] {
        let published = Published { mta_sts: sts(false, lists_host), ..Published::default() };
        assert_eq!(describe(&written(OutboundTls::Opportunistic), false, &published), "opportunistic");
        assert_eq!(describe(&written(OutboundTls::Encrypt), false, &published), "encrypt");
    }
}

#[test]
fn dane_goes_before_mta_sts_only_where_the_host_was_found_securely() {
    let both = |lists_host| Published { dane: usable(), mta_sts: sts(true, lists_host), ..Published::default() };
    let level = || written(OutboundTls::Opportunistic);
    assert_eq!(describe(&level(), true, &both(false)), "verify TLSv1.2 [DANE: TLSA of mx.example (3 1 1)]");
    assert_eq!(describe(&level(), false, &both(false)), "unmet validation-failure");
    let expected = "verify TLSv1.2 [DANE: TLSA of mx.example (3 1 1)] [MTA-STS: mx.example]";
    assert_eq!(describe(&level(), false, &both(true)), expected);
}

#[test]
fn names_that_are_written_hold_beside_tlsa_records() {
    let mut decision = written(OutboundTls::Verify);
    let source = Source::File { file: "domains.d/bank.toml".into(), line: 4 };
    decision.requirement.match_names = Sourced { value: vec![NamePattern::Domain], source };
    let published = Published { dane: usable(), ..Published::default() };
    let expected = "verify [built-in: bank.example] [DANE: TLSA of mx.example (3 1 1)]";
    assert_eq!(describe(&decision, true, &published), expected);
}

#[test]
fn required_dane_needs_records_that_can_be_used_of_a_host_that_was_found_securely() {
    let mut decision = written(OutboundTls::Opportunistic);
    decision.following.dane = Sourced::built_in(DaneUse::Required);
    for (dane, is_trusted, expected) in [
        (Dane::Inapplicable, true, "unmet dane-required"),
        (Dane::Absent, true, "unmet dane-required"),
        (unusable(), true, "unmet dane-required"),
        (usable(), false, "unmet dane-required"),
        (usable(), true, "verify [DANE: TLSA of mx.example (3 1 1)]"),
    ] {
        let published = Published { dane, ..Published::default() };
        assert_eq!(describe(&decision, is_trusted, &published), expected);
    }
}

/// RFC 8460 section 3: the second of the two exceptions.
#[test]
fn what_only_the_message_asks_for_ends_with_the_message() {
    use OutboundTls::{Encrypt, Opportunistic, Verify};
    use Reason::{CertificateHostMismatch, StarttlsNotSupported, VersionBelowMinimum};
    let (require_tls, notice) =
        (Asks { require_tls: true, ..Asks::default() }, Asks { is_protected_notice: true, ..Asks::default() });
    for (level, asks, dane, lacking, expected) in [
        (Opportunistic, require_tls, Dane::Absent, StarttlsNotSupported, true),
        (Opportunistic, require_tls, Dane::Absent, CertificateHostMismatch, true),
        (Opportunistic, require_tls, Dane::Absent, VersionBelowMinimum, false),
        // Somebody else asks for it too.
        (Encrypt, require_tls, Dane::Absent, StarttlsNotSupported, false),
        (Verify, require_tls, Dane::Absent, CertificateHostMismatch, false),
        (Opportunistic, require_tls, usable(), StarttlsNotSupported, false),
        // A notice has nobody to go back to.
        (Opportunistic, notice, Dane::Absent, StarttlsNotSupported, false),
        (Opportunistic, Asks::default(), Dane::Absent, StarttlsNotSupported, false),
    ] {
        let built = built(&written(level), false, &Published { dane, asks, ..Published::default() }).unwrap();
        assert_eq!(built.is_for_message_alone(lacking), expected, "{level:?} {asks:?} {lacking}");
    }
}

#[test]
fn a_tls_report_goes_out_whatever_is_written_published_or_learned() {
    let asks = Asks { tls_report: true, ..Asks::default() };
    let learned = Some(Learned::Verify(Vec::new()));
    for level in OutboundTls::ALL {
        let mut decision = written(level);
        decision.requirement.min_version = Some(Sourced::built_in(ProtocolVersion::Tls1_3));
        decision.requirement.cipher = Sourced::built_in(CipherGrade::Aead);
        decision.following.dane = Sourced::built_in(DaneUse::Required);
        for dane in [Dane::Absent, unusable(), usable()] {
            let published =
                Published { dane, mta_sts: sts(true, false), learned: learned.clone(), asks, ..Published::default() };
            assert_eq!(describe(&decision, true, &published), "opportunistic", "{published:?}");
        }
    }
}

#[test]
fn tls_required_no_waives_what_is_published_and_nothing_that_is_written() {
    let asks = Asks { tls_required_no: true, ..Asks::default() };
    let published = Published { dane: usable(), mta_sts: sts(true, false), asks, ..Published::default() };
    for (level, expected) in [(OutboundTls::Opportunistic, "opportunistic"), (OutboundTls::Encrypt, "encrypt")] {
        let mut decision = written(level);
        assert_ne!(describe(&decision, true, &published), expected, "it is ignored unless it is to be honoured");
        decision.following.tls_required_no = Sourced::built_in(TlsRequiredNo::Honour);
        assert_eq!(describe(&decision, true, &published), expected);
        // REQUIRETLS goes before the header field (RFC 8689 section 4.1).
        let both = Published { asks: Asks { require_tls: true, ..asks }, ..published.clone() };
        assert_ne!(describe(&decision, true, &both), expected);
        decision.following.dane = Sourced::built_in(DaneUse::Required);
        let unlisted = Published { dane: Dane::Absent, ..published.clone() };
        assert_eq!(describe(&decision, true, &unlisted), "unmet dane-required");
    }
}

/// How much a requirement asks for, key by key. `None` is more than anything: nothing can meet it.
fn strength(built: &Result<HostRequirement, Unmet>) -> Option<(bool, Option<ProtocolVersion>, CipherGrade, bool)> {
    let built = built.as_ref().ok()?;
    let session = &built.session;
    let min_version = session.min_version.as_ref().map(|minimum| minimum.value);
    Some((!session.permits_plaintext(), min_version, session.cipher.value, !built.proofs.is_empty()))
}

fn decisions() -> impl Strategy<Value = Decision> {
    let versions = option::of(select(vec![ProtocolVersion::Tls1_0, ProtocolVersion::Tls1_2, ProtocolVersion::Tls1_3]));
    let uses = select(vec![DaneUse::Off, DaneUse::Auto, DaneUse::Required]);
    let learn = select(vec![Learn::Off, Learn::Propose, Learn::Enforce]);
    let names = option::of(Just(vec![NamePattern::Domain]));
    let keys = (select(&OutboundTls::ALL), versions, select(&CipherGrade::ALL), uses, any::<bool>(), learn, names);
    keys.prop_map(|(tls, min_version, cipher, dane, sts, learn, names)| {
        let mut decision = written(tls);
        // Without TLS nothing more is written (the configuration is refused).
        if tls != OutboundTls::Off {
            decision.requirement.min_version = min_version.map(Sourced::built_in);
            decision.requirement.cipher = Sourced::built_in(cipher);
        }
        if let Some(value) = names {
            let source = Source::File { file: "f".into(), line: 1 };
            decision.requirement.match_names = Sourced { value, source };
        }
        decision.following.dane = Sourced::built_in(dane);
        decision.following.mta_sts = Sourced::built_in(if sts { StsUse::Auto } else { StsUse::Off });
        decision.following.learn = Sourced::built_in(learn);
        decision
    })
}

fn facts() -> impl Strategy<Value = Published> {
    let dane = select(vec![Dane::Inapplicable, Dane::Absent, unusable(), usable()]);
    let policy = option::of((any::<bool>(), any::<bool>()));
    let learned = option::of(select(vec![
        Learned::Encrypt,
        Learned::Verify(Vec::new()),
        Learned::Verify(vec![domain("mx.example")]),
    ]));
    (dane, policy, learned, any::<bool>()).prop_map(|(dane, policy, learned, require_tls)| Published {
        dane,
        mta_sts: policy.and_then(|(is_enforced, lists_host)| sts(is_enforced, lists_host)),
        sts_trouble: None,
        learned,
        asks: Asks { require_tls, ..Asks::default() },
    })
}

/// A session as it may stand: none, or with a version, a suite and a certificate of any worth.
fn sessions() -> impl Strategy<Value = Option<TlsFacts>> {
    let versions = select(vec![ProtocolVersion::Tls1_0, ProtocolVersion::Tls1_2, ProtocolVersion::Tls1_3]);
    let suites = select(vec!["AES128-SHA", "ECDHE-RSA-AES128-GCM-SHA256", "DES-CBC3-SHA"]);
    let chains = select(vec![ChainTrust::Trusted, ChainTrust::NotTrusted, ChainTrust::Expired]);
    let names = select(vec!["bank.example", "mx.example", "other.example"]);
    let dane = option::of(select(vec![DaneResult::Match, DaneResult::NoMatch]));
    option::of((versions, suites, chains, names, dane).prop_map(|(version, suite, chain, name, dane)| {
        let peer = PeerCertificate {
            names: vec![name.to_owned()],
            chain,
            dane: dane.map(|result| DaneMatch { result, record: None }),
            ..PeerCertificate::assumed(String::new())
        };
        TlsFacts { peer: Some(peer), ..TlsFacts::assumed(version, CipherSuite::by_name(suite).unwrap()) }
    }))
}

fn built(decision: &Decision, is_trusted: bool, published: &Published) -> Result<HostRequirement, Unmet> {
    let (recipient, mx) = (domain("bank.example"), domain("mx.example"));
    let host = HostIdentity { recipient_domain: Some(&recipient), name: Some(&mx), name_is_trusted: is_trusted };
    require(decision, &host, published)
}

/// Whether a message goes over the session.
fn passes(built: &Result<HostRequirement, Unmet>, session: Option<&TlsFacts>) -> bool {
    let Ok(requirement) = built else { return false };
    let peer = session.and_then(|facts| facts.peer.as_ref());
    verify(requirement, session, all(requirement.proofs.iter().map(|proof| prove(&proof.of, peer)))).is_ok()
}

proptest! {
    /// Each fact alone, added to any mixture of the others.
    #[test]
    fn a_fact_more_never_lowers_the_requirement(
        decision in decisions(), is_trusted in any::<bool>(), facts in facts(),
    ) {
        let with = strength(&built(&decision, is_trusted, &facts));
        let without = [
            Published { dane: Dane::Absent, ..facts.clone() },
            Published { mta_sts: None, ..facts.clone() },
            Published { learned: None, ..facts.clone() },
            Published { asks: Asks::default(), ..facts.clone() },
            Published::default(),
        ];
        // DANE that is required and missing is more than anything, and records are what it asks for.
        prop_assume!(decision.following.dane.value != DaneUse::Required);
        for fewer in without {
            let less = strength(&built(&decision, is_trusted, &fewer));
            let is_kept = match (less, with) {
                (_, None) => true,
                // A host that the policy of MTA-STS does not list is told right by its TLSA records.
                (None, Some((tls, version, _, proof))) => tls && proof && version >= Some(STS_VERSION_MIN),
                (Some(less), Some(with)) => {
                    less.0 <= with.0 && less.1 <= with.1 && less.2 <= with.2 && less.3 <= with.3
                }
            };
            prop_assert!(is_kept, "{fewer:?} asks for {less:?}, and {facts:?} for {with:?}");
        }
    }

    #[test]
    fn no_session_in_the_clear_or_of_nobody_known_carries_what_is_protected(
        decision in decisions(), is_trusted in any::<bool>(), facts in facts(), session in sessions(),
    ) {
        let built = built(&decision, is_trusted, &facts);
        if !passes(&built, session.as_ref()) {
            return Ok(());
        }
        let following = &decision.following;
        let is_enforced = facts.mta_sts.is_some_and(|sts| sts.is_enforced) && following.mta_sts.value == StsUse::Auto;
        let dane = if following.dane.value == DaneUse::Off { &Dane::Absent } else { &facts.dane };
        let is_learned = facts.learned.is_some() && following.learn.value == Learn::Enforce;
        let is_protected = is_enforced
            || matches!(dane, Dane::Unusable(_) | Dane::Usable(_))
            || is_learned
            || facts.asks.require_tls
            || decision.requirement.tls.value >= OutboundTls::Encrypt;
        let Some(session) = &session else {
            prop_assert!(!is_protected, "plaintext under {built:?}");
            return Ok(());
        };
        let peer = session.peer.as_ref().unwrap();
        let matches = peer.dane.as_ref().is_some_and(|dane| dane.result == DaneResult::Match);
        if matches!(dane, Dane::Usable(_)) {
            prop_assert!(matches, "no TLSA record matches under {built:?}");
        } else if is_enforced {
            prop_assert!(peer.chain == ChainTrust::Trusted && peer.names == ["mx.example"], "{peer:?} under {built:?}");
            prop_assert!(session.version >= ProtocolVersion::Tls1_2);
        }
        if facts.asks.require_tls {
            prop_assert!(matches || peer.chain == ChainTrust::Trusted, "{peer:?} under {built:?}");
        }
    }

    #[test]
    fn no_session_meets_what_is_out_of_reach(decision in decisions(), session in sessions()) {
        let built = HostRequirement::out_of_reach(&decision);
        prop_assert!(!built.session.permits_plaintext());
        prop_assert!(!passes(&Ok(built), session.as_ref()));
    }

    #[test]
    fn all_proofs_must_hold_and_the_strongest_is_told(checks in prop::collection::vec(
        select(vec![
            IdentityCheck::Verified(Verified::Webpki),
            IdentityCheck::Verified(Verified::Dane),
            IdentityCheck::Verified(Verified::None),
            IdentityCheck::Failed(Reason::CertificateExpired),
            IdentityCheck::Unknown,
        ]), 1..5)
    ) {
        let verified = |by| IdentityCheck::Verified(by);
        let is_good = |check: &IdentityCheck| [verified(Verified::Webpki), verified(Verified::Dane)].contains(check);
        let found = all(checks.iter().copied());
        prop_assert_eq!(is_good(&found), checks.iter().all(is_good), "{:?} of {:?}", found, checks);
        if is_good(&found) && checks.contains(&verified(Verified::Dane)) {
            prop_assert_eq!(found, verified(Verified::Dane));
        }
        if checks.iter().any(|check| matches!(check, IdentityCheck::Failed(_))) {
            prop_assert!(matches!(found, IdentityCheck::Failed(_)));
        }
    }
}
