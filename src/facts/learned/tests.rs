//! Whole stories of destinations, through restarts and kills.

use std::time::Duration;

use super::*;
use crate::policy::learned::Proved;

const DAY_SECS: i64 = 86_400;
const HOUR_SECS: i64 = 3_600;
const ADDRESS: &str = "192.0.2.1";

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn at(day: i64, second: i64) -> Timestamp {
    Timestamp::from_secs(20_000 * DAY_SECS + day * DAY_SECS + second)
}

/// Two deliveries on two days are enough here.
fn terms() -> LearnTerms {
    let thresholds = Thresholds { deliveries: 2, days: 2, ..Thresholds::default() };
    LearnTerms { thresholds, ..LearnTerms::default() }
}

/// A daemon's memory, and what it makes of it.
struct World {
    memory: Memory,
    store: LearnedStore,
    hosts: Vec<Domain>,
    learn: Learn,
}

impl World {
    fn new(learn: Learn) -> Self {
        let memory = Memory::ephemeral();
        let store = LearnedStore::open(memory.clone(), terms());
        Self { memory, store, hosts: vec![domain("mx.bank.example")], learn }
    }

    /// The process ends without a word.
    fn kill(&mut self) {
        self.store = LearnedStore::open(self.memory.clone(), terms());
    }

    fn destination<'a>(&'a self, domain: &'a Domain) -> Destination<'a> {
        Destination { domain, hosts: &self.hosts, learn: self.learn }
    }

    fn see(&self, name: &str, now: Timestamp, change: impl FnOnce(&mut Session<'_>)) -> Vec<String> {
        let (domain, mx) = (domain(name), domain(&format!("mx.{name}")));
        let mut session = Session { mx: &mx, ..plain_session(self, &domain) };
        change(&mut session);
        told(self.store.see(&session, now))
    }

    /// A session, and one message over it.
    fn deliver(&self, name: &str, shown: Shown, now: Timestamp) -> Vec<String> {
        let path = shown.level().map(|_| Sign::Met);
        let mut news = self.see(name, now, |session| (session.shown, session.path) = (Some(shown), path));
        news.extend(self.see(name, now, |session| (session.shown, session.deliveries) = (Some(shown), 1)));
        news
    }

    /// A session without TLS where a learned level asks for it.
    fn violate(&self, name: &str, now: Timestamp) -> Vec<String> {
        self.see(name, now, |session| {
            session.shown = Some(Shown::Plaintext);
            session.asked = Some(Level::Encrypt);
            session.violation = Some(Reason::StarttlsNotSupported);
            session.path = Some(Sign::Stripped);
        })
    }

    fn requirement(&self, name: &str) -> Option<published::Learned> {
        self.store.requirement(&domain(name))
    }

    /// A tick after so many hours of the process.
    fn tick(&self, now: Timestamp, hours: u64) -> Vec<String> {
        told(self.store.tick(now, Instant::from_start(Duration::from_secs(hours * 3600))))
    }
}

fn told(news: Vec<News>) -> Vec<String> {
    let word = |news| match news {
        News::Raised { domain, raised } => format!("{domain} raised to {}", raised.evidence.level),
        News::Lapsed { domain, lapsed } => format!("{domain} lapsed from {}", lapsed.level),
        News::Alarm(Notice::Raised(violation)) => format!("alarm: {violation}"),
        News::Alarm(Notice::Reminder { violations, .. }) => format!("reminder of {violations}"),
        News::Alarm(Notice::Crowded { .. }) => "crowded".to_owned(),
        News::Alarm(Notice::Cleared { violations, .. }) => format!("cleared after {violations}"),
        News::Fallen(fallen) => format!("{} fell from {} to {:?}", fallen.domain, fallen.evidence.level, fallen.shown),
        News::Path(Change::Suspected(suspicion)) => format!("path suspected by {}", suspicion.count),
        News::Unseen(hosts) => format!("unseen: {}", hosts.iter().map(Domain::as_str).collect::<Vec<_>>().join(" ")),
        News::Path(Change::Cleared { relief, .. }) => format!("path cleared: {relief:?}"),
    };
    news.into_iter().map(word).collect()
}

const NOTHING: [&str; 0] = [];
const BANK: &str = "bank.example";

fn raised() -> World {
    let world = World::new(Learn::Enforce);
    assert_eq!(world.deliver(BANK, Shown::Encrypted, at(0, 0)), NOTHING);
    assert_eq!(world.requirement(BANK), None);
    assert_eq!(world.deliver(BANK, Shown::Encrypted, at(1, 0)), ["bank.example raised to encrypt"]);
    world
}

#[test]
fn what_was_shown_long_enough_is_required_from_then_on_and_after_a_kill() {
    let mut world = raised();
    for _ in 0..2 {
        assert_eq!(world.requirement(BANK), Some(published::Learned::Encrypt));
        assert_eq!(world.store.standing().levels, Levels { encrypt: 1, verify: 0 });
        world.kill();
    }
    let verified = Shown::Verified(Proved::OwnName);
    assert_eq!(world.deliver(BANK, verified, at(2, 0)), NOTHING);
    let hosts = vec![domain("mx.bank.example")];
    // The days on which nothing but encryption was shown are over.
    assert_eq!(world.deliver(BANK, verified, at(31, 0)), ["bank.example raised to verify"]);
    assert_eq!(world.requirement(BANK), Some(published::Learned::Verify(hosts)));
    assert_eq!(world.store.standing().levels, Levels { encrypt: 0, verify: 1 });
}

#[test]
fn one_alarm_stands_until_deliveries_meet_what_was_learned_whatever_ends_in_between() {
    let mut world = raised();
    let expected = "alarm: bank.example: mx.bank.example does not meet tls = encrypt (starttls-not-supported)";
    assert_eq!(world.violate(BANK, at(2, 0)), [expected]);
    for second in 1..10 {
        world.kill();
        assert_eq!(world.violate(BANK, at(2, second)), NOTHING);
        world.store.write();
    }
    assert_eq!(world.store.standing().alarms, [(domain(BANK), at(2, 0))]);
    assert_eq!(world.violate(BANK, at(3, 0)), ["reminder of 11"]);
    // It holds on, however often it is not met.
    assert_eq!(world.requirement(BANK), Some(published::Learned::Encrypt));
    let again = at(3, 2 * HOUR_SECS);
    assert_eq!(world.deliver(BANK, Shown::Encrypted, again), NOTHING);
    world.store.write();
    world.kill();
    assert_eq!(world.deliver(BANK, Shown::Encrypted, again), NOTHING);
    assert_eq!(world.deliver(BANK, Shown::Encrypted, again), ["cleared after 11"]);
    assert_eq!(world.store.standing().alarms, []);
    assert_eq!(world.violate(BANK, at(4, 0)).len(), 1);
}

#[test]
fn what_is_only_proposed_holds_nothing_back_and_its_loss_is_told_once() {
    let mut world = World::new(Learn::Propose);
    for day in 0..3 {
        assert_eq!(world.deliver(BANK, Shown::Encrypted, at(day, 0)), NOTHING);
    }
    assert_eq!(world.requirement(BANK), None);
    let fell = ["bank.example fell from encrypt to None"];
    assert_eq!(world.deliver(BANK, Shown::Plaintext, at(3, 0)), fell);
    assert_eq!(world.deliver(BANK, Shown::Plaintext, at(3, 1)), NOTHING);
    // One day without TLS in the window, and nothing is learned.
    world.learn = Learn::Enforce;
    assert_eq!(world.deliver(BANK, Shown::Encrypted, at(4, 0)), NOTHING);
}

#[test]
fn a_domain_that_is_enforced_later_is_held_to_what_it_has_shown_before_the_first_session() {
    let mut world = World::new(Learn::Propose);
    for day in 0..3 {
        world.deliver(BANK, Shown::Encrypted, at(day, 0));
    }
    world.learn = Learn::Enforce;
    let bank = domain(BANK);
    let news = told(world.store.attempted(&world.destination(&bank), at(3, 0)));
    assert_eq!(news, ["bank.example raised to encrypt"]);
    assert_eq!(world.requirement(BANK), Some(published::Learned::Encrypt));
    // Not while one of its hosts was never seen.
    let mut other = World::new(Learn::Propose);
    other.hosts.push(domain("mx.backup.example"));
    assert_eq!(other.deliver(BANK, Shown::Encrypted, at(0, 0)), NOTHING);
    // It takes no mail, so somebody has to look there.
    assert_eq!(other.deliver(BANK, Shown::Encrypted, at(1, 0)), ["unseen: mx.backup.example"]);
    assert_eq!(other.deliver(BANK, Shown::Encrypted, at(1, HOUR_SECS)), NOTHING);
    assert_eq!(other.deliver(BANK, Shown::Encrypted, at(2, 0)), ["unseen: mx.backup.example"]);
    other.learn = Learn::Enforce;
    assert_eq!(told(other.store.attempted(&other.destination(&bank), at(3, 0))), NOTHING);
    let backup = domain("mx.backup.example");
    let look = Session { mx: &backup, shown: Some(Shown::Encrypted), ..plain_session(&other, &bank) };
    assert_eq!(told(other.store.see(&look, at(3, 0))), NOTHING);
    assert_eq!(told(other.store.attempted(&other.destination(&bank), at(3, 1))), ["bank.example raised to encrypt"]);
}

/// A session of which nothing is known, with the first of the hosts.
fn plain_session<'a>(world: &'a World, domain: &'a Domain) -> Session<'a> {
    Session {
        to: world.destination(domain),
        mx: &world.hosts[0],
        address: ADDRESS.parse().unwrap(),
        shown: None,
        deliveries: 0,
        is_enforced: false,
        asked: None,
        violation: None,
        path: None,
        record: None,
    }
}

#[test]
fn where_nothing_is_learned_nothing_is_kept() {
    let world = World::new(Learn::Off);
    world.deliver(BANK, Shown::Encrypted, at(0, 0));
    let plain = World::new(Learn::Enforce);
    plain.deliver(BANK, Shown::Plaintext, at(0, 0));
    plain.see(BANK, at(0, 0), |_| {});
    for world in [world, plain] {
        world.store.write();
        assert!(world.memory.is_empty(Table::Learned));
    }
}

#[test]
fn forgetting_leaves_neither_a_level_nor_an_alarm_nor_evidence() {
    let mut world = raised();
    world.violate(BANK, at(2, 0));
    assert!(world.store.forget(&domain(BANK)));
    assert!(!world.store.forget(&domain(BANK)));
    for _ in 0..2 {
        assert_eq!((world.requirement(BANK), world.store.list(None, 9)), (None, vec![]));
        assert_eq!(world.store.standing(), Standing::default());
        world.kill();
    }
    assert_eq!(world.deliver(BANK, Shown::Encrypted, at(3, 0)), NOTHING);
}

#[test]
fn a_level_that_nobody_needs_ends_and_its_place_is_given_up() {
    let world = raised();
    world.deliver("new.example", Shown::Encrypted, at(20, 0));
    assert_eq!(world.tick(at(30, 0), 0), NOTHING);
    assert_eq!(world.tick(at(30, 6 * HOUR_SECS), 6), NOTHING);
    assert_eq!(world.tick(at(31, 0), 24), ["bank.example lapsed from encrypt"]);
    let left: Vec<Domain> = world.store.list(None, 9).into_iter().map(|(domain, _)| domain).collect();
    assert_eq!((left, world.store.standing().levels), (vec![domain("new.example")], Levels::default()));
}

#[test]
fn a_clock_that_jumps_takes_no_level_away_and_keeps_none_for_ever() {
    let bank = domain(BANK);
    for wrong in [41, 4000, -40] {
        // Right, wrong for a while, and right again.
        let mut world = raised();
        world.violate(BANK, at(1, 1));
        world.tick(at(1, 0), 0);
        assert_eq!(world.tick(at(wrong, 1), 1), NOTHING);
        world.store.attempted(&world.destination(&bank), at(wrong, 2));
        world.violate(BANK, at(wrong, 3));
        assert_eq!(world.tick(at(1, 2 * HOUR_SECS), 2), NOTHING);
        // A start with a clock that is wrong.
        world.store.write();
        world.kill();
        assert_eq!(world.tick(at(wrong, 0), 0), NOTHING);
        assert_eq!(world.requirement(BANK), Some(published::Learned::Encrypt), "{wrong}");
        assert_eq!(world.store.standing().alarms.len(), 1);
        // Nobody tries it any more.
        assert_eq!(world.tick(at(2, 0), 1), NOTHING);
        assert_eq!(world.tick(at(2, 6 * HOUR_SECS), 7), NOTHING);
        assert_eq!(world.tick(at(31, 0), 30 * 24), NOTHING);
        assert_eq!(world.tick(at(33, 0), 32 * 24).len(), 1, "{wrong}");
    }
}

/// Takes all the room that the table has: by domains in this state.
fn fill(memory: &Memory, state: &str) {
    let mut spaces = crate::memory::VALUE_BYTES_MAX;
    for n in 0.. {
        let key = format!("full{n}.example");
        while memory.put(Table::Learned, &key, format!("{state}{}", " ".repeat(spaces)).as_bytes()).is_err() {
            if spaces == 0 {
                return;
            }
            spaces /= 2;
        }
    }
}

#[test]
fn a_level_in_force_is_never_lost_for_want_of_room() {
    let other = raised();
    other.store.write();
    let state = other.memory.get(Table::Learned, BANK).unwrap();
    for state in ["", std::str::from_utf8(&state).unwrap()] {
        let mut world = World::new(Learn::Enforce);
        assert_eq!(world.deliver(BANK, Shown::Encrypted, at(0, 0)), NOTHING);
        world.store.write();
        fill(&world.memory, state);
        world.kill();
        assert_eq!(world.deliver(BANK, Shown::Encrypted, at(1, 0)), ["bank.example raised to encrypt"]);
        for day in 2..6 {
            world.store.write();
            assert_eq!(world.requirement(BANK), Some(published::Learned::Encrypt), "{state}");
            assert_eq!(world.deliver(BANK, Shown::Encrypted, at(day, 0)), NOTHING);
        }
        // Others have no place.
        world.deliver("new.example", Shown::Encrypted, at(6, 0));
        world.store.write();
        assert_eq!(world.store.find(&domain("new.example")).is_some(), state.is_empty());
        if state.is_empty() {
            world.kill();
            assert_eq!(world.requirement(BANK), Some(published::Learned::Encrypt));
        }
    }
}

#[test]
fn what_finds_no_room_is_forgotten_rather_than_kept_as_it_was() {
    let mut world = World::new(Learn::Enforce);
    assert_eq!(world.deliver(BANK, Shown::Encrypted, at(0, 0)), NOTHING);
    world.store.write();
    fill(&world.memory, "");
    assert_eq!(world.deliver(BANK, Shown::Plaintext, at(0, 1)), NOTHING);
    world.store.write();
    world.kill();
    assert_eq!(world.deliver(BANK, Shown::Encrypted, at(1, 0)), NOTHING);
}

#[test]
fn more_domains_than_are_at_hand_are_all_kept_and_listed_in_order() {
    let world = World::new(Learn::Propose);
    let name = |n: usize| format!("d{n:05}.example");
    for n in 0..5000 {
        world.see(&name(n), at(0, 0), |session| (session.shown, session.deliveries) = (Some(Shown::Encrypted), 1));
    }
    let mut found: Vec<String> = Vec::new();
    while found.len() < 5000 {
        let after = found.last().map(|last| domain(last));
        let page = world.store.list(after.as_ref(), 999);
        assert!(!page.is_empty());
        found.extend(page.into_iter().map(|(domain, _)| domain.to_string()));
    }
    assert_eq!(found, (0..5000).map(name).collect::<Vec<_>>());
}

/// A session of destination `n`, whose host stands in a place of its own.
fn elsewhere(world: &World, n: u8, second: i64, sign: Sign) -> Vec<String> {
    let (domain, mx) = (domain(&format!("d{n}.example")), domain(&format!("mx.host{n}.example")));
    let session = Session {
        to: world.destination(&domain),
        mx: &mx,
        address: [198, 51, n, 1].into(),
        shown: Some(if sign == Sign::Stripped { Shown::Plaintext } else { Shown::Encrypted }),
        deliveries: 0,
        is_enforced: true,
        asked: None,
        violation: None,
        path: Some(sign),
        record: None,
    };
    told(world.store.see(&session, at(0, second)))
}

#[test]
fn the_path_is_suspected_if_many_lose_what_they_had_and_cleared_when_they_have_it_again() {
    for learn in [Learn::Propose, Learn::Off] {
        let mut world = World::new(learn);
        let all = |world: &World, second, sign| (0..5).flat_map(|n| elsewhere(world, n, second, sign)).collect();
        let news: Vec<String> = all(&world, 0, Sign::Stripped);
        assert_eq!(news, NOTHING, "who never had TLS has not lost it");
        let news: Vec<String> = all(&world, 1, Sign::Met);
        assert_eq!(news, NOTHING);
        let news: Vec<String> = all(&world, 1, Sign::Strange);
        assert_eq!(news, NOTHING, "who never showed a certificate for itself has not lost it");
        let news: Vec<String> = all(&world, 2, Sign::Stripped);
        assert_eq!(news, ["path suspected by 5"], "{learn:?}");
        world.store.write();
        world.kill();
        assert_eq!(world.store.standing().suspicion.map(|suspicion| suspicion.count), Some(5));
        let news: Vec<String> = all(&world, 3, Sign::Met);
        assert_eq!(news, ["path cleared: Recovered"], "{learn:?}");
    }
}

#[test]
fn what_cannot_be_read_is_learned_anew() {
    let mut world = raised();
    world.memory.put(Table::Learned, BANK, *b"{\"format\":9}").unwrap();
    world.memory.put(Table::Alerts, "alarm", *b"[]").unwrap();
    world.kill();
    assert_eq!((world.requirement(BANK), world.store.standing()), (None, Standing::default()));
    assert_eq!(world.deliver(BANK, Shown::Encrypted, at(2, 0)), NOTHING);
    assert_eq!(world.deliver(BANK, Shown::Encrypted, at(3, 0)), ["bank.example raised to encrypt"]);
}
