//! What holds for any sessions.

use proptest::prelude::*;

use super::history::DAYS_MAX;
use super::tests::{domain, noon};
use super::*;

/// A session: a day, a second of it, a host, what it showed, and deliveries.
type Session = (i64, i64, usize, Shown, u32);

/// Low enough that random sessions reach them.
const THRESHOLDS: Thresholds = Thresholds { deliveries: 5, days: 3, expiry_days: 6 };
const TERMS: Terms<'static> = Terms { thresholds: &THRESHOLDS, current: None };
const DAYS: i64 = 8;

fn shown() -> impl Strategy<Value = Shown> {
    prop_oneof![
        1 => Just(Shown::Plaintext),
        2 => Just(Shown::Encrypted),
        8 => prop::sample::select(vec![Proved::Domain, Proved::OwnName, Proved::Both]).prop_map(Shown::Verified),
    ]
}

fn session(hosts: usize) -> impl Strategy<Value = Session> {
    (1..=DAYS, -40_000..40_000i64, 0..hosts, shown(), 0..4u32)
}

fn sessions(hosts: usize) -> impl Strategy<Value = Vec<Session>> {
    prop::collection::vec(session(hosts), 0..40)
}

fn moment(session: &Session) -> Timestamp {
    Timestamp::from_micros(noon(session.0).micros() + session.1 * 1_000_000)
}

fn observe(learned: &mut Learned, session: &Session) {
    let (_, _, host, shown, deliveries) = *session;
    let mx = domain(&format!("mx{host}.example"));
    learned.observe(&Observation { mx: &mx, shown, deliveries, record: None }, moment(session));
}

/// Day by day, within a day as they stand.
fn after(sessions: &[Session]) -> Learned {
    let mut sessions = sessions.to_vec();
    sessions.sort_by_key(|session| session.0);
    let mut learned = Learned::default();
    for session in &sessions {
        observe(&mut learned, session);
    }
    learned
}

fn level(sessions: &[Session]) -> Option<Level> {
    after(sessions).level(&TERMS, noon(DAYS))
}

proptest! {
    #[test]
    fn the_order_of_the_sessions_of_a_day_does_not_matter(
        (sessions, shuffled) in sessions(4).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
    ) {
        prop_assert_eq!(after(&sessions), after(&shuffled));
    }

    #[test]
    fn without_sessions_that_met_a_level_it_is_not_met_either(
        sessions in sessions(3),
        kept in prop::collection::vec(any::<bool>(), 40),
    ) {
        for wanted in Level::ALL {
            let is_kept = |(session, kept): &(&Session, &bool)| **kept || session.3.level() < Some(wanted);
            let fewer: Vec<_> = sessions.iter().zip(&kept).filter(is_kept).map(|(session, _)| *session).collect();
            prop_assert!(level(&fewer) < Some(wanted) || level(&sessions) >= Some(wanted));
        }
    }

    #[test]
    fn a_session_below_a_level_never_reaches_it(mut sessions in sessions(40), worse in session(40)) {
        let before = level(&sessions);
        sessions.push(worse);
        let after = level(&sessions);
        prop_assert!(after <= before.max(worse.3.level()), "{before:?} {after:?}");
        prop_assert!(worse.0 < 3 || after <= worse.3.level(), "{after:?}");
    }

    #[test]
    fn what_is_in_force_never_falls_while_the_domain_is_tried(sessions in sessions(4)) {
        let mut sessions = sessions;
        sessions.sort_by_key(|session| (session.0, session.1));
        let mut learned = Learned::default();
        let mut highest = None;
        for (session, day) in sessions.iter().zip((0..).step_by(3)) {
            let session = (day, session.1, session.2, session.3, 3);
            observe(&mut learned, &session);
            let terms = Terms { thresholds: &Thresholds { days: 1, ..THRESHOLDS }, current: None };
            highest = highest.max(learned.level(&terms, moment(&session)));
            learned.raise(&terms, moment(&session));
            let required = learned.requirement();
            let highest = highest.map(Level::as_str);
            prop_assert_eq!(required.as_ref().map(published::Learned::as_str), highest);
        }
    }

    #[test]
    fn the_state_stays_inside_its_bounds_and_reads_back(
        sessions in prop::collection::vec((0..100i64, -40_000..40_000i64, 0..40usize, shown(), any::<u32>()), 0..120),
    ) {
        let mut learned = Learned::default();
        // Days go up and down: the clock is wrong now and then.
        for session in &sessions {
            observe(&mut learned, session);
            prop_assert!(learned.hosts.len() <= HOSTS_MAX);
            let hosts = learned.hosts.values().map(|history| &history.days);
            prop_assert!(hosts.chain([&learned.others]).all(|days| days.count() <= DAYS_MAX as usize));
            learned.raise(&TERMS, moment(session));
        }
        let stored = serde_json::to_string(&learned).unwrap();
        prop_assert_eq!(serde_json::from_str::<Learned>(&stored).unwrap(), learned);
    }
}
