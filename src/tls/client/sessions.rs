//! Sessions of earlier connections, to be resumed: bounded, expiring, each given out once.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::time::Instant;
use crate::model::tls::ProtocolVersion;

/// Kept in all. With `SESSION_BYTES_MAX` this makes 24 MiB at most.
const SESSIONS_MAX: usize = 1024;
/// Kept for one server: as many as servers of TLS 1.3 send tickets at once.
const SESSIONS_PER_SERVER_MAX: usize = 2;
/// However long the server says that a session lasts; the chain of its certificate lasts as long with us.
const SESSION_AGE_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// The least that a context of OpenSSL offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Floor {
    pub(super) version: ProtocolVersion,
    pub(super) grade: CipherGrade,
    /// No servers older than RFC 5746, which can be made to take our handshake for the second of an attacker's session.
    pub(super) renegotiates_safely: bool,
}

/// What must be the same for a session to be offered again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// A session belongs to the context that it was made with.
    pub(super) floor: Floor,
    pub(super) server_name: Domain,
    pub(super) port: u16,
}

#[derive(Debug)]
struct Kept<S> {
    session: S,
    since: Instant,
    lifetime: Duration,
}

impl<S> Kept<S> {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_since(self.since) >= self.lifetime
    }
}

/// The sessions of one identity of ours.
#[derive(Debug)]
pub(super) struct Sessions<S> {
    /// The oldest first; no list is empty.
    kept: HashMap<Key, VecDeque<Kept<S>>>,
    count: usize,
}

impl<S> Default for Sessions<S> {
    fn default() -> Self {
        Self { kept: HashMap::new(), count: 0 }
    }
}

impl<S> Sessions<S> {
    /// Keeps a session for at most `lifetime`. The oldest one goes where there is no room.
    pub(super) fn put(&mut self, key: Key, session: S, lifetime: Duration, now: Instant) {
        if self.count >= SESSIONS_MAX {
            self.make_room(now);
        }
        let of_server = self.kept.entry(key).or_default();
        of_server.push_back(Kept { session, since: now, lifetime: lifetime.min(SESSION_AGE_MAX) });
        self.count += 1;
        if of_server.len() > SESSIONS_PER_SERVER_MAX {
            of_server.pop_front();
            self.count -= 1;
        }
    }

    /// Takes the newest session out: tickets of TLS 1.3 should be used once (RFC 8446 appendix C.4).
    pub(super) fn take(&mut self, key: &Key, now: Instant) -> Option<S> {
        let of_server = self.kept.get_mut(key)?;
        let before = of_server.len();
        of_server.retain(|kept| !kept.is_over(now));
        let taken = of_server.pop_back();
        self.count -= before - of_server.len();
        if of_server.is_empty() {
            self.kept.remove(key);
        }
        taken.map(|kept| kept.session)
    }

    fn make_room(&mut self, now: Instant) {
        self.keep_where(|kept| !kept.is_over(now));
        if self.count >= SESSIONS_MAX
            && let Some(oldest) = self.kept.values().flatten().map(|kept| kept.since).min()
        {
            self.keep_where(|kept| kept.since > oldest);
        }
    }

    fn keep_where(&mut self, keep: impl Fn(&Kept<S>) -> bool) {
        self.kept.retain(|_, of_server| {
            of_server.retain(&keep);
            !of_server.is_empty()
        });
        self.count = self.kept.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn key(name: &str, port: u16, version: ProtocolVersion) -> Key {
        let floor = Floor { version, grade: CipherGrade::Any, renegotiates_safely: false };
        Key { floor, server_name: Domain::parse(name).unwrap(), port }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_session_is_given_out_once_to_the_server_and_floor_that_it_came_from_until_it_is_over() {
        let one = key("mx.example", 25, ProtocolVersion::Tls1_0);
        let mut sessions = Sessions::default();
        for number in 1..=3 {
            sessions.put(one.clone(), number, HOUR, at(number));
        }
        for other in [
            key("mx2.example", 25, ProtocolVersion::Tls1_0),
            key("mx.example", 587, ProtocolVersion::Tls1_0),
            key("mx.example", 25, ProtocolVersion::Tls1_2),
        ] {
            assert_eq!(sessions.take(&other, at(4)), None);
        }
        let taken: Vec<_> = std::iter::from_fn(|| sessions.take(&one, at(4))).collect();
        assert_eq!((taken, sessions.count, sessions.kept.len()), (vec![3, 2], 0, 0));
        for (lifetime, age, expected) in [(HOUR, 3599, Some(7)), (HOUR, 3600, None), (100 * HOUR, 2 * 3600, None)] {
            sessions.put(one.clone(), 7, lifetime, at(0));
            assert_eq!(sessions.take(&one, at(age)), expected, "{lifetime:?} {age}");
            assert_eq!(sessions.count, 0);
        }
    }

    #[test]
    fn a_full_store_gives_up_what_is_over_and_then_what_is_oldest() {
        let named = |n: u64| key(&format!("mx{n}.example"), 25, ProtocolVersion::Tls1_0);
        let max = SESSIONS_MAX as u64;
        let mut sessions = Sessions::default();
        let lifetime = |n: u64| if n < 2 { 2 * HOUR } else { HOUR };
        for n in 0..max {
            sessions.put(named(n), n, lifetime(n), at(n / 2));
        }
        // None is over yet: the two oldest make room.
        sessions.put(named(max), max, HOUR, at(3000));
        assert_eq!(sessions.count, SESSIONS_MAX - 1);
        assert_eq!([0, 1, 2].map(|n| sessions.take(&named(n), at(3000))), [None, None, Some(2)]);
        for n in 0..2 {
            sessions.put(named(n), n, lifetime(n), at(3000));
        }
        // All the first ones are over.
        sessions.put(named(max + 1), max, HOUR, at(6000));
        assert_eq!(sessions.count, 4);
        assert_eq!([0, 1, 3, max].map(|n| sessions.take(&named(n), at(6000))), [Some(0), Some(1), None, Some(max)]);
        assert_eq!((sessions.count, sessions.kept.len()), (1, 1));
    }
}
