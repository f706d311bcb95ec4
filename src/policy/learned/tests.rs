//! What is learned from which sessions, day by day.

use super::*;
use crate::model::cipher::CipherSuite;
use crate::model::tls::{ChainTrust, PeerCertificate, ProtocolVersion};
use crate::policy::learned::history::DAYS_MAX;

const PLAIN: Shown = Shown::Plaintext;
const TLS: Shown = Shown::Encrypted;
const OWN: Shown = Shown::Verified(Proved::OwnName);
const DOMAIN: Shown = Shown::Verified(Proved::Domain);
const BOTH: Shown = Shown::Verified(Proved::Both);

const DEFAULTS: Thresholds = Thresholds { deliveries: 20, days: 7, expiry_days: 30 };
const SEEN: Terms<'static> = Terms { thresholds: &DEFAULTS, current: None };

pub(super) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// Noon of a day of November 2026 and the time after.
pub(super) fn noon(day: i64) -> Timestamp {
    Timestamp::from_secs(1_793_491_200 - 43_200 + 86_400 * day)
}

fn observe(learned: &mut Learned, day: i64, mx: &str, shown: Shown, deliveries: u32) {
    let mx = domain(mx);
    learned.observe(&Observation { mx: &mx, shown, deliveries, record: None }, noon(day));
}

/// The same session on every day from the first to the last.
type Stretch<'a> = (i64, i64, &'a str, Shown, u32);

fn after(stretches: &[Stretch<'_>]) -> Learned {
    let mut learned = Learned::default();
    let mut sessions: Vec<_> = stretches.iter().flat_map(|s| (s.0..=s.1).map(move |day| (day, s))).collect();
    sessions.sort_by_key(|(day, _)| *day);
    for (day, (_, _, mx, shown, deliveries)) in sessions {
        observe(&mut learned, day, mx, *shown, *deliveries);
    }
    learned
}

#[test]
fn the_calendar_of_these_tests_is_right() {
    assert_eq!(noon(1).to_string(), "2026-11-01T12:00:00.000000Z");
}

#[test]
fn a_level_is_what_every_host_has_met_often_enough() {
    let check = |stretches: &[Stretch<'_>], day, expected: &str| {
        let learned = after(stretches);
        let found = match (learned.proposal(&SEEN, noon(day)), learned.evidence(Level::Encrypt, &SEEN, noon(day))) {
            (Some(evidence), _) => evidence.to_string(),
            (None, Err(lacking)) => lacking.to_string(),
            (None, Ok(_)) => "less than what was met".to_owned(),
        };
        assert_eq!(found, expected, "{stretches:?}");
    };
    check(&[], 1, "0 of 20 deliveries");
    check(&[(1, 1, "a.x", OWN, 100)], 1, "deliveries on 1 of 7 days");
    check(&[(1, 9, "a.x", OWN, 2)], 9, "18 of 20 deliveries");
    check(&[(1, 7, "a.x", OWN, 3)], 7, "verify: 21 deliveries on 7 days from 2026-11-01 to 2026-11-07, by a.x");
    check(&[(1, 7, "a.x", TLS, 3)], 7, "encrypt: 21 deliveries on 7 days from 2026-11-01 to 2026-11-07, by a.x");
    check(&[(1, 7, "a.x", PLAIN, 3)], 7, "a.x showed plaintext on 2026-11-07");
    // Hosts count together, and one of them below the level is enough to miss it.
    check(
        &[(1, 7, "a.x", OWN, 3), (2, 2, "b.x", DOMAIN, 1)],
        7,
        "verify: 22 deliveries on 7 days from 2026-11-01 to 2026-11-07, by a.x, b.x",
    );
    check(
        &[(1, 7, "a.x", OWN, 3), (2, 2, "b.x", TLS, 1)],
        7,
        "encrypt: 22 deliveries on 7 days from 2026-11-01 to 2026-11-07, by a.x, b.x",
    );
    check(&[(1, 7, "a.x", OWN, 3), (2, 2, "b.x", PLAIN, 1)], 7, "b.x showed plaintext on 2026-11-02");
    // A session shows what it shows even if it took no mail.
    check(&[(1, 7, "a.x", OWN, 3), (2, 2, "b.x", PLAIN, 0)], 7, "b.x showed plaintext on 2026-11-02");
    check(
        &[(1, 7, "a.x", OWN, 3), (2, 9, "a.x", OWN, 0)],
        9,
        "verify: 21 deliveries on 7 days from 2026-11-01 to 2026-11-07, by a.x",
    );
    check(&[(1, 3, "a.x", OWN, 9), (4, 9, "a.x", OWN, 0)], 9, "deliveries on 3 of 7 days");
    // The weakest session of a day counts, whichever came first.
    check(&[(1, 7, "a.x", OWN, 3), (5, 5, "a.x", PLAIN, 1)], 7, "a.x showed plaintext on 2026-11-05");
    // After thirty days it counts no more, for better or worse.
    check(&[(1, 1, "a.x", PLAIN, 3), (2, 29, "a.x", TLS, 3)], 30, "a.x showed plaintext on 2026-11-01");
    check(
        &[(1, 1, "a.x", PLAIN, 3), (2, 29, "a.x", TLS, 3)],
        31,
        "encrypt: 84 deliveries on 28 days from 2026-11-02 to 2026-11-29, by a.x",
    );
    check(&[(1, 7, "a.x", OWN, 3)], 31, "18 of 20 deliveries");
    check(&[(1, 7, "a.x", OWN, 3)], 40, "0 of 20 deliveries");
    check(
        &[(1, 1, "b.x", PLAIN, 1), (10, 40, "a.x", OWN, 1)],
        40,
        "verify: 30 deliveries on 30 days from 2026-11-11 to 2026-12-10, by a.x",
    );
}

#[test]
fn a_host_of_the_mx_records_that_was_not_seen_holds_its_domain_back() {
    let mut learned = after(&[(1, 7, "a.x", OWN, 3), (1, 7, "c.x", OWN, 3)]);
    let current = [domain("a.x"), domain("b.x")];
    let terms = Terms { current: Some(&current), ..SEEN };
    let lacking = learned.evidence(Level::Encrypt, &terms, noon(7)).unwrap_err();
    assert_eq!(lacking.to_string(), "b.x was not seen yet");
    // A probe suffices; one that is below the level does not.
    observe(&mut learned, 8, "b.x", TLS, 0);
    assert_eq!(learned.level(&terms, noon(8)), Some(Level::Encrypt));
}

#[test]
fn a_level_in_force_rises_and_ends_only_by_silence_or_by_the_operator() {
    let mut learned = after(&[(1, 7, "a.x", TLS, 3)]);
    assert_eq!(learned.requirement(), None);
    let raised = learned.raise(&SEEN, noon(7)).unwrap();
    assert_eq!((raised.from, raised.evidence.level, raised.evidence.deliveries), (None, Level::Encrypt, 21));
    assert_eq!(learned.raise(&SEEN, noon(7)), None);
    let requirement = published::Learned::Encrypt;
    assert_eq!(learned.requirement(), Some(requirement.clone()));

    // What was met is gone, what is in force is not.
    observe(&mut learned, 8, "a.x", PLAIN, 0);
    assert_eq!((learned.level(&SEEN, noon(8)), learned.raise(&SEEN, noon(8))), (None, None));
    assert_eq!(learned.requirement(), Some(requirement.clone()));

    // Months of failures hold it, and so does a month of silence until somebody ends it.
    for day in 9..200 {
        learned.attempted(noon(day));
        assert_eq!(learned.lapse(&DEFAULTS, noon(day)), None);
    }
    assert_eq!((learned.lapse(&DEFAULTS, noon(228)), learned.requirement()), (None, Some(requirement)));
    let lapsed = Lapsed { level: Level::Encrypt, since: noon(7), last_tried: noon(199) };
    assert_eq!(learned.lapse(&DEFAULTS, noon(229)), Some(lapsed));
    assert_eq!(learned.requirement(), None);
}

#[test]
fn neither_mail_nor_a_question_ends_a_level_whatever_the_clock_says() {
    for day in [-4000, 229, 4000] {
        let mut learned = after(&[(1, 7, "a.x", TLS, 3)]);
        learned.raise(&SEEN, noon(7)).unwrap();
        observe(&mut learned, day, "a.x", PLAIN, 1);
        learned.attempted(noon(day));
        assert_eq!(learned.raise(&SEEN, noon(day)), None);
        assert_eq!(learned.requirement(), Some(published::Learned::Encrypt), "{day}");
        // A moment before which somebody has tried ends nothing.
        assert_eq!(learned.lapse(&DEFAULTS, noon(8)), None);
        assert_eq!((learned.settle(noon(8)), learned.last_tried()), (day > 8, noon(if day > 8 { 8 } else { 7 })));
    }
}

#[test]
fn encryption_rises_to_verification_and_not_back() {
    let mut learned = after(&[(1, 7, "a.x", TLS, 3)]);
    learned.raise(&SEEN, noon(7)).unwrap();
    for day in 8..=60 {
        observe(&mut learned, day, "a.x", OWN, 1);
    }
    let raised = learned.raise(&SEEN, noon(60)).unwrap();
    assert_eq!((raised.from, raised.evidence.level), (Some(Level::Encrypt), Level::Verify));
    for day in 61..=120 {
        observe(&mut learned, day, "a.x", TLS, 1);
    }
    assert_eq!((learned.level(&SEEN, noon(120)), learned.raise(&SEEN, noon(120))), (Some(Level::Encrypt), None));
    assert_eq!(learned.level_in_force(), Some(Level::Verify));
}

#[test]
fn forgetting_leaves_nothing_to_rise_from() {
    let mut learned = after(&[(1, 7, "a.x", OWN, 3)]);
    learned.raise(&SEEN, noon(7)).unwrap();
    learned.forget();
    assert_eq!(learned, Learned::default());
    assert_eq!(learned.raise(&SEEN, noon(7)), None);
    assert!(!learned.has_shown_tls());
}

#[test]
fn verification_is_required_by_the_names_that_were_proved() {
    let check = |stretches: &[Stretch<'_>], expected: &[&str]| {
        let mut learned = after(stretches);
        learned.raise(&SEEN, noon(7)).unwrap();
        let requirement = learned.requirement().unwrap();
        let hosts = expected.iter().map(|host| domain(host)).collect();
        assert_eq!(requirement, published::Learned::Verify(hosts), "{stretches:?}");
        // A host that comes later is not taken in, whatever it proves.
        observe(&mut learned, 8, "new.x", OWN, 1);
        learned.raise(&SEEN, noon(8));
        assert_eq!(learned.requirement(), Some(requirement));
    };
    check(&[(1, 7, "a.x", OWN, 3)], &["a.x"]);
    check(&[(1, 7, "a.x", DOMAIN, 3)], &[]);
    check(&[(1, 7, "a.x", BOTH, 3)], &["a.x"]);
    check(&[(1, 7, "b.x", OWN, 3), (1, 7, "a.x", OWN, 3), (3, 3, "c.x", DOMAIN, 1)], &["a.x", "b.x"]);
    // A name that was shown on a few days alone does not count, be it by a look or with mail.
    check(&[(1, 7, "a.x", DOMAIN, 3), (3, 3, "a.x", OWN, 1)], &[]);
    check(&[(1, 7, "a.x", OWN, 3), (3, 3, "evil.x", OWN, 1)], &["a.x"]);
    check(&[(1, 7, "a.x", OWN, 3), (2, 7, "evil.x", BOTH, 0)], &["a.x"]);
    check(&[(1, 7, "a.x", OWN, 3), (1, 7, "b.x", OWN, 0)], &["a.x", "b.x"]);
}

#[test]
fn a_name_counts_if_its_host_is_a_mail_host_still_and_verification_waits_for_all_of_them() {
    let check = |current: &[&str], expected: Result<&[&str], &str>, unseen: &[&str]| {
        let mut learned = after(&[
            (1, 7, "a.x", OWN, 3),
            (1, 7, "former.x", OWN, 1),
            (1, 3, "few.x", OWN, 0),
            (7, 7, "today.x", OWN, 0),
            (2, 2, "domain.x", DOMAIN, 1),
        ]);
        let current: Vec<Domain> = current.iter().map(|host| domain(host)).collect();
        let hosts = |hosts: &[&str]| hosts.iter().map(|host| domain(host)).collect::<Vec<_>>();
        assert_eq!(learned.unseen(&current, &DEFAULTS, noon(7)), hosts(unseen), "{current:?}");
        let terms = Terms { current: Some(&current), ..SEEN };
        let lacking = learned.evidence(Level::Verify, &terms, noon(7)).map_err(|lacking| lacking.to_string());
        learned.raise(&terms, noon(7));
        let expected = expected.map(|names| published::Learned::Verify(hosts(names)));
        assert_eq!(lacking.map(|_| learned.requirement().unwrap()), expected.map_err(str::to_owned), "{current:?}");
    };
    check(&["a.x"], Ok(&["a.x"]), &[]);
    check(&["a.x", "domain.x"], Ok(&["a.x"]), &[]);
    check(&["former.x"], Ok(&["former.x"]), &[]);
    check(&["a.x", "few.x"], Err("few.x showed its own name on 3 of 7 days"), &["few.x"]);
    check(&["a.x", "today.x"], Err("today.x showed its own name on 1 of 7 days"), &[]);
    check(&["new.x", "a.x", "few.x"], Err("new.x was not seen yet"), &["new.x", "few.x"]);
}

#[test]
fn what_is_seen_and_what_is_unseen_are_measured_by_the_same_days() {
    // Late on its last day, and early on the next one.
    for (day, seconds, is_seen) in [(30, 43_000, true), (31, -43_000, false)] {
        let learned = after(&[(1, 1, "a.x", TLS, 30)]);
        let now = Timestamp::from_secs(noon(day).micros() / 1_000_000 + seconds);
        let current = [domain("a.x")];
        let terms = Terms { thresholds: &Thresholds { days: 1, ..DEFAULTS }, current: Some(&current) };
        assert_eq!(learned.unseen(&current, terms.thresholds, now).is_empty(), is_seen);
        assert_eq!(learned.level(&terms, now).is_some(), is_seen);
        assert_eq!(learned.is_idle(terms.thresholds, now), !is_seen);
    }
}

#[test]
fn hosts_beyond_the_bound_count_without_their_names() {
    let names: Vec<String> = (0..HOSTS_MAX + 3).map(|n| format!("mx{n:02}.x")).collect();
    let check = |shown_by_the_last: Shown, expected: Result<Level, &str>| {
        let mut learned = Learned::default();
        for day in 1..=7 {
            for name in &names {
                let is_last = Some(name) == names.last();
                observe(&mut learned, day, name, if is_last { shown_by_the_last } else { BOTH }, 1);
            }
        }
        assert_eq!(learned.hosts().count(), HOSTS_MAX);
        let lacking = learned.evidence(Level::Encrypt, &SEEN, noon(7)).map_err(|lacking| lacking.to_string());
        let found = learned.level(&SEEN, noon(7)).ok_or_else(|| lacking.unwrap_err());
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e), "{shown_by_the_last:?}");
        if let Some(evidence) = learned.proposal(&SEEN, noon(7)) {
            assert_eq!((evidence.deliveries, evidence.hosts.len()), (7 * 35, HOSTS_MAX));
            assert!(evidence.to_string().ends_with("mx06.x, mx07.x and 24 more"), "{evidence}");
        }
    };
    check(BOTH, Ok(Level::Verify));
    check(DOMAIN, Ok(Level::Verify));
    // Nobody could ask for its name later.
    check(OWN, Ok(Level::Encrypt));
    check(TLS, Ok(Level::Encrypt));
    check(PLAIN, Err("a host of many showed plaintext on 2026-11-07"));
}

#[test]
fn a_host_that_is_gone_makes_room() {
    let mut learned = Learned::default();
    for n in 0..HOSTS_MAX {
        observe(&mut learned, 1, &format!("old{n}.x"), TLS, 1);
    }
    observe(&mut learned, 1 + i64::from(DAYS_MAX), "new.x", TLS, 1);
    assert_eq!(learned.hosts().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["new.x"]);
}

#[test]
fn a_clock_that_was_ahead_leaves_nothing_in_the_future() {
    let mut learned = after(&[(1, 7, "a.x", TLS, 3), (3650, 3650, "a.x", PLAIN, 1)]);
    assert_eq!(learned.last_tried(), noon(3650));
    observe(&mut learned, 8, "a.x", TLS, 1);
    assert!(learned.settle(noon(8)));
    let lacking = learned.evidence(Level::Encrypt, &SEEN, noon(8)).unwrap_err();
    assert_eq!((learned.last_tried(), lacking.to_string().as_str()), (noon(8), "a.x showed plaintext on 2026-11-08"));
    assert!(learned.hosts().all(|(_, sights)| sights.last() == Some(noon(8))));
    assert!(learned.is_idle(&DEFAULTS, noon(38)));
}

#[test]
fn a_loss_of_tls_needs_tls_that_was_seen() {
    for (shown, expected) in [(PLAIN, false), (TLS, true), (DOMAIN, true)] {
        assert_eq!(after(&[(1, 1, "a.x", shown, 1)]).has_shown_tls(), expected, "{shown:?}");
    }
}

#[test]
fn every_host_tells_when_it_last_showed_what() {
    let mut learned = after(&[(1, 3, "a.x", PLAIN, 1), (2, 4, "a.x", TLS, 1)]);
    let record = Some(RecordId::from_u128(7));
    let mx = domain("a.x");
    learned.observe(&Observation { mx: &mx, shown: OWN, deliveries: 1, record }, noon(5));
    let (name, sights) = learned.hosts().next().unwrap();
    assert_eq!((name, sights.last()), (&mx, Some(noon(5))));
    let sight = |day| Some(history::Sight { at: noon(day), record: None });
    let verify = Some(history::Sight { at: noon(5), record });
    assert_eq!((sights.plaintext, sights.encrypt, sights.verify), (sight(3), sight(4), verify));
}

#[test]
fn sessions_are_read_for_what_they_prove() {
    let check = |chain: Option<ChainTrust>, names: &[&str], expected: Shown| {
        let suite = CipherSuite::by_name("TLS_AES_128_GCM_SHA256").unwrap();
        let mut tls = TlsFacts::assumed(ProtocolVersion::Tls1_3, suite);
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        tls.peer = chain.map(|chain| PeerCertificate { chain, names, ..PeerCertificate::assumed(String::new()) });
        assert_eq!(Shown::of(Some(&tls), &domain("bank.example"), &domain("mx.host.example")), expected, "{tls:?}");
    };
    let trusted = Some(ChainTrust::Trusted);
    check(trusted, &["bank.example"], DOMAIN);
    check(trusted, &["*.host.example"], OWN);
    check(trusted, &["mx.host.example", "bank.example"], BOTH);
    check(trusted, &["other.example"], TLS);
    check(trusted, &[], TLS);
    check(None, &[], TLS);
    for chain in [ChainTrust::Unknown, ChainTrust::Expired, ChainTrust::NotTrusted, ChainTrust::Invalid] {
        check(Some(chain), &["mx.host.example", "bank.example"], TLS);
    }
    assert_eq!(Shown::of(None, &domain("bank.example"), &domain("mx.host.example")), PLAIN);
}

#[test]
fn the_longest_stored_form_is_bounded() {
    let mut learned = Learned::default();
    let long = ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(57)].join(".");
    for day in 1..=i64::from(DAYS_MAX) {
        for n in 0..HOSTS_MAX + 1 {
            let mx = domain(&format!("{n:03}.{long}"));
            let record = Some(RecordId::from_u128(u128::MAX));
            learned.observe(&Observation { mx: &mx, shown: BOTH, deliveries: u32::MAX, record }, noon(day));
        }
    }
    learned.raise(&SEEN, noon(i64::from(DAYS_MAX))).unwrap();
    let stored = serde_json::to_string(&learned).unwrap();
    assert!(stored.len() < 96 * 1024, "{}", stored.len());
    assert_eq!(serde_json::from_str::<Learned>(&stored).unwrap(), learned);
}

#[test]
fn the_stored_form_is_short_and_says_its_format() {
    let mut learned = after(&[(1, 2, "a.x", OWN, 3), (2, 2, "a.x", PLAIN, 0)]);
    let stored = serde_json::to_string(&learned).unwrap();
    let expected = concat!(
        r#"{"format":1,"hosts":{"a.x":{"days":{"20758":[3,"verify",true],"20759":[3,null,true]},"#,
        r#""sights":{"plaintext":{"at":"2026-11-02T12:00:00.000000Z"},"#,
        r#""verify":{"at":"2026-11-02T12:00:00.000000Z"}}}},"others":{},"#,
        r#""last_tried":"2026-11-02T12:00:00.000000Z","in_force":null}"#
    );
    assert_eq!(stored, expected);
    let unreadable = [stored.replace("\"format\":1", "\"format\":2"), stored.replace("\"format\":1,", "")];
    for text in unreadable {
        assert!(serde_json::from_str::<Learned>(&text).is_err(), "{text}");
    }
    for day in 3..=40 {
        observe(&mut learned, day, "a.x", OWN, 3);
    }
    learned.raise(&SEEN, noon(40)).unwrap();
    let stored = serde_json::to_string(&learned).unwrap();
    assert_eq!(serde_json::from_str::<Learned>(&stored).unwrap(), learned);
}
