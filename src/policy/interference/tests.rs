//! Scenarios: who was seen how at which minute, and what is said about the path.

use super::Outcome::{Lost, Met};
use super::*;

struct Session {
    minute: u32,
    destination: String,
    mx: String,
    address: String,
    outcome: Outcome,
}

/// Destination `n`, which has a host and a network of its own.
fn own(minute: u32, n: u32, outcome: Outcome) -> Session {
    Session {
        minute,
        destination: format!("d{n}.example"),
        mx: format!("mx.host{n}.example"),
        address: format!("198.51.{n}.1"),
        outcome,
    }
}

/// Destination `n` of a provider whose hosts are in many networks.
fn provided(minute: u32, n: u32, outcome: Outcome) -> Session {
    Session {
        destination: format!("customer{n}.example"),
        mx: format!("customer{n}.mail.provider.example"),
        address: format!("203.0.{n}.25"),
        ..own(minute, n, outcome)
    }
}

/// Destination `n` whose host has a name of its own in one network with all others.
fn housed(minute: u32, n: u32, outcome: Outcome) -> Session {
    Session { address: format!("192.0.2.{n}"), ..own(minute, n, outcome) }
}

fn at(minute: u32) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + 60 * i64::from(minute))
}

fn see(window: &mut Window, session: &Session) -> Option<String> {
    let (destination, mx) = (Domain::parse(&session.destination).unwrap(), Domain::parse(&session.mx).unwrap());
    let seen = Seen {
        destination: &destination,
        mx: Some(&mx),
        address: session.address.parse().unwrap(),
        outcome: session.outcome,
        at: at(session.minute),
    };
    let change = window.see(&seen, &WindowTerms::default());
    change.map(|change| format!("{}: {}", session.minute, told(&change)))
}

fn told(change: &Change) -> String {
    let minute = |moment: Timestamp| moment.saturating_since(at(0)).as_secs() / 60;
    match change {
        Change::Suspected(suspicion) => format!("suspected since {}, {}", minute(suspicion.since), suspicion.count),
        Change::Cleared { since, relief } => format!("cleared since {}, {relief:?}", minute(*since)),
    }
}

fn run(window: &mut Window, sessions: impl IntoIterator<Item = Session>) -> Vec<String> {
    sessions.into_iter().filter_map(|session| see(window, &session)).collect()
}

fn check(what: &str, sessions: impl IntoIterator<Item = Session>, expected: &[&str]) {
    let mut window = Window::default();
    let changes = run(&mut window, sessions);
    assert_eq!(changes, expected, "{what}");
    let is_suspected = expected.last().is_some_and(|change| change.contains("suspected"));
    assert_eq!(window.suspicion().is_some(), is_suspected, "{what}");
}

#[test]
fn the_path_is_suspected_only_if_many_unrelated_destinations_lose_tls_together() {
    check("one destination, a thousand times", (0..1000).map(|n| own(n / 100, 1, Lost)), &[]);
    check("four destinations", (0..400).map(|n| own(n / 100, n % 4, Lost)), &[]);
    check("fifty domains of one provider", (0..50).map(|n| provided(n / 5, n, Lost)), &[]);
    check("fifty hosts in one network", (0..50).map(|n| housed(n / 5, n, Lost)), &[]);
    let provider = (0..50).map(|n| provided(n / 5, n, Lost));
    check("one provider and one other", provider.chain([own(10, 60, Lost)]), &[]);
    check("six unrelated in ten minutes", (0..6).map(|n| own(2 * n, n, Lost)), &["8: suspected since 0, 5"]);
    check("five unrelated over an hour", (0..5).map(|n| own(12 * n, n, Lost)), &[]);
    let busy = (0..20).map(|n| own(1, 100 + n, Met));
    check("six of twenty-six tried", busy.chain((0..6).map(|n| own(2, n, Lost))), &[]);
    let busy = (0..10).map(|n| own(1, 100 + n, Met));
    check("five of fifteen tried", busy.chain((0..5).map(|n| own(2, n, Lost))), &["2: suspected since 2, 5"]);
    let earlier = (0..100).map(|n| own(1, 100 + n, Met));
    check(
        "six, and the good ones long before",
        earlier.chain((0..6).map(|n| own(20, n, Lost))),
        &["20: suspected since 20, 5"],
    );
}

#[test]
fn a_destination_that_has_been_without_tls_for_long_counts_no_more() {
    // Their losses lie an hour apart; then all are retried within one minute.
    let apart = (0..9).map(|n| own(60 * n, n, Lost));
    let together = (0..9).map(|n| own(600, n, Lost));
    check("nine old losses", apart.chain(together), &[]);

    // What gets TLS back can lose it again.
    let back = (0..9).map(|n| own(700, n, Met));
    let again = (0..9).map(|n| own(800, n, Lost));
    let apart = (0..9).map(|n| own(60 * n, n, Lost));
    check("lost again", apart.chain(back).chain(again), &["800: suspected since 800, 5"]);
}

#[test]
fn a_suspicion_ends_with_recoveries_or_with_silence() {
    let suspected = || (0..6).map(|n| own(0, n, Lost));
    let still = "0: suspected since 0, 5";
    let cleared = |minute: u32| format!("{minute}: cleared since 0, Recovered");

    let all_back = (0..6).map(|n| own(30 + n, n, Met));
    check("half of them have TLS again", suspected().chain(all_back), &[still, &cleared(32)]);

    let soon = (0..6).map(|n| own(5 + n, n, Met));
    check("as soon as too few are left", suspected().chain(soon), &[still, &cleared(7)]);

    let others = (0..50).map(|n| own(30, 100 + n, Met));
    check("others have TLS, these do not", suspected().chain(others), &[still]);

    let retries = (1..50).flat_map(|hour| (0..6).map(move |n| own(60 * hour, n, Lost)));
    check("retried in vain for two days", suspected().chain(retries), &[still]);

    let in_turn = (1..50).map(|n| own(n, 0, if n % 2 == 0 { Lost } else { Met }));
    check("one comes and goes", suspected().chain(in_turn), &[still]);

    let more = (6..40).map(|n| own(30, n, Lost));
    let some_back = (0..6).map(|n| own(40, n, Met));
    check("more were lost than came back", suspected().chain(more).chain(some_back), &[still]);
}

#[test]
fn a_suspicion_that_nothing_feeds_ends_after_two_hours() {
    let mut window = Window::default();
    run(&mut window, (0..6).map(|n| own(0, n, Lost)));
    let terms = WindowTerms::default();
    assert_eq!(window.tick(&terms, at(119)), None);
    assert_eq!(window.tick(&terms, at(120)).as_ref().map(told).as_deref(), Some("cleared since 0, Quiet"));
    assert_eq!((window.tick(&terms, at(121)), window.suspicion()), (None, None));
}

#[test]
fn an_old_loss_does_not_keep_a_new_suspicion_up() {
    let mut window = Window::default();
    run(&mut window, [own(0, 99, Lost)]);
    run(&mut window, (0..6).map(|n| own(300, n, Lost)));
    assert_eq!(run(&mut window, [own(419, 99, Lost)]), [""; 0]);
    assert!(window.tick(&WindowTerms::default(), at(420)).is_some());
}

#[test]
fn the_state_is_bounded_and_what_was_tried_last_stays() {
    let mut window = Window::default();
    let count = u32::try_from(DESTINATIONS_MAX).unwrap() + 1000;
    for n in 0..count {
        see(&mut window, &Session { address: "192.0.2.1".to_owned(), ..own(n, n, Met) });
        assert!(window.destinations.len() <= DESTINATIONS_MAX);
    }
    assert!(window.destinations.len() >= DESTINATIONS_MAX / 2);
    assert!(window.destinations.contains_key(&Domain::parse(&format!("d{}.example", count - 1)).unwrap()));
    assert!(!window.destinations.contains_key(&Domain::parse("d0.example").unwrap()));
}

#[test]
fn a_suspicion_names_a_bounded_number_of_destinations() {
    let mut window = Window::default();
    run(&mut window, (0..200).map(|n| own(0, n, Lost)));
    let suspicion = window.suspicion().unwrap();
    assert_eq!((suspicion.count, suspicion.destinations.len()), (200, DESTINATIONS_SHOWN_MAX));
}

#[test]
fn the_stored_state_is_bounded() {
    let mut window = Window::default();
    let long = ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(55)].join(".");
    for n in 0..1000 {
        let address = format!("2001:db8:{n:x}::1");
        see(
            &mut window,
            &Session { destination: format!("d{n}.{long}"), mx: format!("m{n}.{long}"), address, ..own(0, n, Lost) },
        );
    }
    assert_eq!(window.suspicion().map(|suspicion| suspicion.count), None);
    let short = (0..1000).map(|n| Session {
        address: format!("2001:db8:{n:x}::1"),
        destination: format!("e{n}.{long}"),
        ..own(1, n, Lost)
    });
    run(&mut window, short);
    assert_eq!(window.suspicion().map(|suspicion| suspicion.count), Some(LOST_MAX));
    let stored = serde_json::to_string(&window).unwrap();
    assert!(stored.len() < 256 * 1024, "{}", stored.len());
}

#[test]
fn the_state_reads_back_and_goes_on() {
    let mut window = Window::default();
    run(&mut window, (0..4).map(|n| own(0, n, Lost)));
    let stored = serde_json::to_string(&window).unwrap();
    let mut restored: Window = serde_json::from_str(&stored).unwrap();
    assert_eq!(restored, window);
    assert_eq!(run(&mut restored, [own(1, 5, Lost)]), ["1: suspected since 0, 5"]);
    run(&mut restored, (10..20).map(|n| own(2, n, Met)));
    assert_eq!(
        serde_json::from_str::<Window>(&serde_json::to_string(&restored).unwrap()).unwrap().destinations.len(),
        5
    );
    assert!(serde_json::from_str::<Window>(&stored.replace("\"format\":1", "\"format\":2")).is_err());
}
