//! The ways as words: `R` and `O` are the libraries, `+` and `-` with and without a server name, `P` plaintext.

use super::*;
use crate::model::address::ReversePath;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::host_requirement::require;
use crate::policy::outbound::{HostIdentity, decide};
use crate::policy::published::{Asks, Dane, Learned, MtaSts, Published, UsableRecords};
use crate::policy::rules::PolicySet;
use crate::policy::settings::{Learn, OutboundTls, Sourced};
use crate::policy::timed::Asker;

use FailureKind::*;
use ProtocolVersion::*;

fn requirement(tls: OutboundTls, min: Option<ProtocolVersion>, cipher: CipherGrade) -> Requirement {
    Requirement {
        tls: Sourced::built_in(tls),
        min_version: min.map(Sourced::built_in),
        cipher: Sourced::built_in(cipher),
        match_names: Sourced::built_in(Vec::new()),
        fingerprints: None,
        ca: None,
    }
}

fn opportunistic() -> Requirement {
    requirement(OutboundTls::Opportunistic, None, CipherGrade::Any)
}

fn encrypt() -> Requirement {
    requirement(OutboundTls::Encrypt, None, CipherGrade::Any)
}

#[cfg(feature = "legacy-tls")]
fn verify() -> Requirement {
    requirement(OutboundTls::Verify, None, CipherGrade::Any)
}

fn minimum(version: ProtocolVersion) -> Requirement {
    requirement(OutboundTls::Encrypt, Some(version), CipherGrade::Any)
}

fn grade(grade: CipherGrade) -> Requirement {
    requirement(OutboundTls::Encrypt, None, grade)
}

fn word(way: Way) -> &'static str {
    match way {
        Way::Tls(TlsWay { stack: Stack::Rustls, sni: true }) => "R+",
        Way::Tls(TlsWay { stack: Stack::Rustls, sni: false }) => "R-",
        Way::Tls(TlsWay { stack: Stack::Openssl, sni: true }) => "O+",
        Way::Tls(TlsWay { stack: Stack::Openssl, sni: false }) => "O-",
        Way::Plaintext => "P",
    }
}

fn known(word: &str, version: ProtocolVersion, grade: CipherGrade) -> Option<Worked> {
    let stack = if word.starts_with('R') { Stack::Rustls } else { Stack::Openssl };
    Some(Worked { way: TlsWay { stack, sni: word.ends_with('+') }, version, grade })
}

/// The ways in order, each failing as given, until there is none left.
fn walk(mut ladder: Ladder<'_>, failures: &[FailureKind]) -> String {
    let mut words = vec![word(ladder.way())];
    for kind in failures {
        let next = ladder.failed(TlsFailure::Handshake(*kind));
        words.push(next.map_or("end", word));
        if next.is_none() {
            break;
        }
    }
    words.join(" ")
}

#[test]
#[cfg(feature = "legacy-tls")]
fn each_failure_leads_to_the_way_that_may_mend_it() {
    let (any, must) = (opportunistic(), encrypt());
    for (failures, expected) in [
        (&[NoCommonVersion][..], "R+ O+"),
        (&[NoCommonCipher], "R+ O+"),
        (&[BadCertificate], "R+ O+"),
        (&[Protocol], "R+ O+"),
        (&[Closed], "R+ O+"),
        (&[Alert(10)], "R+ O+"),
        (&[Alert(40)], "R+ O+"),
        (&[Alert(47)], "R+ O+"),
        (&[Alert(50)], "R+ O+"),
        (&[Alert(51)], "R+ O+"),
        (&[Alert(80)], "R+ O+"),
        (&[Alert(109)], "R+ O+"),
        (&[Alert(112)], "R+ R-"),
        (&[Alert(112), Alert(40)], "R+ R- O-"),
        (&[Alert(112), Alert(112)], "R+ R- O-"),
        (&[Alert(40), Alert(112)], "R+ O+ O-"),
        (&[Alert(42)], "R+ P"),
        (&[Alert(48)], "R+ P"),
        (&[Alert(116)], "R+ P"),
        (&[Alert(86)], "R+ P"),
        (&[Alert(90)], "R+ P"),
        (&[NotTls], "R+ P"),
        (&[Timeout], "R+ P"),
        (&[FailureKind::Io(std::io::ErrorKind::NetworkUnreachable)], "R+ P"),
        (&[FailureKind::Other], "R+ P"),
        (&[Alert(40), Alert(40)], "R+ O+ P"),
        (&[Closed, Timeout], "R+ O+ P"),
        (&[Alert(112), Alert(40), Closed, Closed], "R+ R- O- P end"),
        (&[Alert(40), Alert(112), Closed, Closed], "R+ O+ O- P end"),
    ] {
        assert_eq!(walk(Ladder::new(&any, true, None), failures), expected);
        assert_eq!(
            walk(Ladder::new(&must, true, None), failures),
            expected.replace(" P end", " P").replace('P', "end")
        );
    }
    assert_eq!(walk(Ladder::new(&any, false, None), &[Alert(40), Alert(40)]), "R- O- P");
    assert_eq!(walk(Ladder::new(&any, false, None), &[Alert(112)]), "R- O-");
}

#[test]
fn starttls_that_is_refused_leads_to_plaintext_alone_and_no_tls_to_nothing_else() {
    let refused = |requirement: &Requirement| Ladder::new(requirement, true, None).failed(TlsFailure::StartTls);
    assert_eq!(refused(&opportunistic()), Some(Way::Plaintext));
    assert_eq!(refused(&encrypt()), None);
    let off = requirement(OutboundTls::Off, None, CipherGrade::Any);
    assert_eq!(walk(Ladder::new(&off, true, known("O+", Tls1_0, CipherGrade::Any)), &[Closed]), "P end");
}

#[test]
#[cfg(feature = "legacy-tls")]
fn openssl_is_left_out_where_the_requirement_excludes_what_it_could_mend() {
    for (requirement, failure, expected) in [
        (minimum(Tls1_0), NoCommonVersion, "R+ O+"),
        (minimum(Tls1_2), NoCommonVersion, "R+ end"),
        (minimum(Tls1_3), NoCommonVersion, "R+ end"),
        // It still has groups, keys and suites that rustls lacks.
        (minimum(Tls1_3), Alert(40), "R+ O+"),
        (minimum(Tls1_2), BadCertificate, "R+ O+"),
        (grade(CipherGrade::Aead), NoCommonVersion, "R+ end"),
        (grade(CipherGrade::Aead), Alert(40), "R+ O+"),
        (grade(CipherGrade::ForwardSecret), NoCommonVersion, "R+ O+"),
        // A minimum excludes plaintext, whatever the level.
        (requirement(OutboundTls::Opportunistic, Some(Tls1_2), CipherGrade::Any), NoCommonVersion, "R+ end"),
        (requirement(OutboundTls::Opportunistic, None, CipherGrade::Strong), NotTls, "R+ end"),
    ] {
        assert_eq!(walk(Ladder::new(&requirement, true, None), &[failure]), expected, "{requirement:?} {failure:?}");
    }
}

#[test]
#[cfg(feature = "legacy-tls")]
fn what_worked_before_comes_first_unless_the_requirement_excludes_it() {
    let strong = CipherGrade::Strong;
    for (requirement, named, known, failures, expected) in [
        (opportunistic(), true, known("O+", Tls1_0, strong), &[][..], "O+"),
        (encrypt(), true, known("R-", Tls1_3, strong), &[], "R-"),
        (minimum(Tls1_2), true, known("O+", Tls1_0, strong), &[], "R+"),
        (minimum(Tls1_2), true, known("O+", Tls1_2, strong), &[], "O+"),
        (grade(CipherGrade::Aead), true, known("O+", Tls1_2, strong), &[], "R+"),
        (grade(CipherGrade::Strong), true, known("O+", Tls1_2, strong), &[], "O+"),
        (opportunistic(), false, known("O+", Tls1_0, strong), &[], "R-"),
        // Out of date: the usual way is next, and nothing is tried twice.
        (opportunistic(), true, known("O+", Tls1_0, strong), &[NoCommonVersion, Alert(40)], "O+ R+ P"),
        (opportunistic(), true, known("R-", Tls1_3, strong), &[Alert(40), Alert(40)], "R- R+ O+"),
        (opportunistic(), true, known("O-", Tls1_0, strong), &[Closed, Alert(112), Closed, Closed], "O- R+ R- P end"),
        (
            opportunistic(),
            true,
            known("O+", Tls1_0, strong),
            &[Alert(112), Alert(40), Alert(112), Alert(112), Alert(40)],
            "O+ O- R+ R- P end",
        ),
        (encrypt(), true, known("O+", Tls1_0, strong), &[Timeout], "O+ end"),
        // Whoever must prove who it is, is asked for its name, whatever somebody made of that before.
        (verify(), true, known("R-", Tls1_3, strong), &[], "R+"),
        (verify(), true, known("O-", Tls1_0, strong), &[Alert(112), Alert(40)], "R+ R- O-"),
        (verify(), true, known("O+", Tls1_0, strong), &[], "O+"),
        (verify(), false, known("O-", Tls1_0, strong), &[], "O-"),
    ] {
        assert_eq!(walk(Ladder::new(&requirement, named, known), failures), expected, "{requirement:?} {known:?}");
    }
}

#[test]
#[cfg(not(feature = "legacy-tls"))]
fn without_openssl_there_are_fewer_ways() {
    let known = known("O+", Tls1_0, CipherGrade::Any);
    assert_eq!(walk(Ladder::new(&opportunistic(), true, known), &[Alert(40)]), "R+ P");
    assert_eq!(walk(Ladder::new(&encrypt(), true, None), &[Alert(112), Alert(40)]), "R+ R- end");
}

#[test]
#[cfg(feature = "legacy-tls")]
fn the_try_that_names_a_cause_and_that_of_openssl_tell_most() {
    for (failures, expected) in [
        (&[NoCommonVersion, NoCommonCipher][..], 1),
        (&[NoCommonVersion, Closed], 0),
        (&[Closed, Timeout], 1),
        (&[Alert(112), Alert(40), Closed], 1),
        (&[BadCertificate], 0),
    ] {
        let must = encrypt();
        let mut ladder = Ladder::new(&must, true, None);
        for kind in failures {
            ladder.failed(TlsFailure::Handshake(*kind));
        }
        assert_eq!(ladder.most_telling(), expected, "{failures:?}");
    }
}

#[test]
fn a_failure_goes_by_what_the_requirement_asks_for() {
    use Reason::{CipherBelowMinimum, ValidationFailure, VersionBelowMinimum};
    let both = requirement(OutboundTls::Verify, Some(Tls1_2), CipherGrade::Aead);
    for (requirement, kind, expected) in [
        (opportunistic(), NoCommonVersion, ValidationFailure),
        (encrypt(), Alert(40), ValidationFailure),
        (minimum(Tls1_2), NoCommonVersion, VersionBelowMinimum),
        (minimum(Tls1_2), NoCommonCipher, ValidationFailure),
        (minimum(Tls1_2), Closed, ValidationFailure),
        (grade(CipherGrade::Aead), NoCommonVersion, CipherBelowMinimum),
        (grade(CipherGrade::Strong), NoCommonCipher, CipherBelowMinimum),
        (grade(CipherGrade::Strong), Alert(40), CipherBelowMinimum),
        (grade(CipherGrade::Strong), BadCertificate, ValidationFailure),
        (both.clone(), NoCommonVersion, VersionBelowMinimum),
        (both.clone(), Alert(40), CipherBelowMinimum),
        (both, Timeout, ValidationFailure),
    ] {
        assert_eq!(reason(&requirement, kind), expected, "{requirement:?} {kind:?}");
    }
}

/// Follows every sequence of failures from here on; gives how many ways were walked.
fn walk_all(failed: &mut Vec<TlsFailure>, known: Option<Worked>, requirement: &Requirement) -> usize {
    const FAILURES: [TlsFailure; 5] = [
        TlsFailure::StartTls,
        TlsFailure::Handshake(Alert(112)),
        TlsFailure::Handshake(Alert(40)),
        TlsFailure::Handshake(NoCommonVersion),
        TlsFailure::Handshake(Closed),
    ];
    let mut ladder = Ladder::new(requirement, true, known);
    let mut way = Some(ladder.way());
    for failure in failed.iter() {
        way = ladder.failed(*failure);
    }
    let Some(way) = way else { return 0 };
    assert!(way != Way::Plaintext, "after {failed:?} under {requirement:?}");
    let mut walked = 1;
    for failure in FAILURES {
        failed.push(failure);
        walked += walk_all(failed, known, requirement);
        failed.pop();
    }
    walked
}

/// The requirements of all facts there are, and of every level; a host whose facts are not known has none and is not
/// connected to.
#[test]
fn no_sequence_of_failures_leads_to_plaintext_under_what_is_published_learned_or_asked_for() {
    let (recipient, mx) = (Domain::parse("bank.example").unwrap(), Domain::parse("mx.example").unwrap());
    let asker = Asker { at: Timestamp::from_secs(0), client: None, sender: &ReversePath::Null };
    let written = decide(&PolicySet::default(), Some(&recipient), &asker);
    let usable = || UsableRecords { records: None, base: None, names: Vec::new() };
    let danes = [Dane::Inapplicable, Dane::Absent, Dane::Unusable(Default::default()), Dane::Usable(usable().into())];
    let policies = [None, Some((false, true)), Some((true, true)), Some((true, false))];
    let levels = [None, Some(Learned::Encrypt), Some(Learned::Verify(vec![mx.clone()]))];
    // What a host without TLS was last reached by, and one with it.
    let by = |way, version| Some(Worked { way, version, grade: CipherGrade::Any });
    let old = TlsWay { stack: Stack::Openssl, sni: false };
    let known = [None, by(old, Tls1_0), by(TlsWay { stack: Stack::Rustls, sni: true }, Tls1_3)];
    let mut walked = 0;
    for tls in OutboundTls::ALL {
        for (dane, policy) in danes.iter().flat_map(|dane| policies.map(|policy| (dane, policy))) {
            for (learned, require_tls) in levels.iter().flat_map(|level| [(level, false), (level, true)]) {
                let mut decision = written.clone();
                decision.requirement.tls = Sourced::built_in(tls);
                decision.following.learn = Sourced::built_in(Learn::Enforce);
                let published = Published {
                    dane: dane.clone(),
                    mta_sts: policy.map(|(is_enforced, lists_host)| MtaSts { is_enforced, lists_host }),
                    learned: learned.clone(),
                    asks: Asks { require_tls, ..Asks::default() },
                    ..Published::default()
                };
                let host = HostIdentity { recipient_domain: Some(&recipient), name: Some(&mx), name_is_trusted: false };
                let is_protected = tls >= OutboundTls::Encrypt
                    || matches!(dane, Dane::Unusable(_) | Dane::Usable(_))
                    || policy.is_some_and(|(is_enforced, _)| is_enforced)
                    || learned.is_some()
                    || require_tls;
                let built = require(&decision, &host, &published).ok().filter(|_| is_protected);
                for (requirement, known) in built.iter().flat_map(|built| known.map(|known| (&built.session, known))) {
                    walked += walk_all(&mut Vec::new(), known, requirement);
                }
            }
        }
    }
    assert!(walked > 1_000, "the sequences are walked: {walked}");
}
