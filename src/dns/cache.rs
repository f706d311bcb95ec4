//! Keeps answers for as long as they hold: a fixed number of entries, each of bounded size. Temporary failures are
//! not kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::model::domain::Domain;
use crate::model::time::Instant;
use crate::model::tlsa::Tlsa;
use crate::policy::settings::IpChoice;

use super::families::merge;
use super::{Answer, Lookup, LookupError, Mx, Resolver, Service};

/// Entries for MX records, and as many for addresses of either IP version.
pub const CACHE_ENTRIES_MAX: usize = 8192;
/// An answer is kept so long even if its owner says less: one message asks for the same name many times.
pub const TTL_MIN: Duration = Duration::from_secs(5);
/// No answer is kept longer, whatever its owner says.
pub const TTL_MAX: Duration = Duration::from_secs(86_400);
/// How long a "no" is kept. Short, because it makes mail bounce.
pub const NEGATIVE_TTL: Duration = Duration::from_secs(60);

/// A resolver that remembers what another one said.
#[derive(Debug)]
pub struct CachingResolver<R> {
    inner: R,
    mx: Mutex<Shelf<Domain, Vec<Mx>>>,
    addresses: Mutex<Shelf<(Domain, IpChoice), Vec<IpAddr>>>,
}

impl<R> CachingResolver<R> {
    pub fn new(inner: R) -> Self {
        let mx = Mutex::new(Shelf::new(CACHE_ENTRIES_MAX));
        Self { inner, mx, addresses: Mutex::new(Shelf::new(CACHE_ENTRIES_MAX)) }
    }
}

impl<R: Resolver> Resolver for CachingResolver<R> {
    fn mx<'a>(&'a self, domain: &'a Domain) -> Lookup<'a, Vec<Mx>> {
        Box::pin(async move {
            if let Some(known) = lock(&self.mx).get(domain, clock::now()) {
                return known;
            }
            let result = self.inner.mx(domain).await;
            lock(&self.mx).put(domain.clone(), &result, clock::now());
            result
        })
    }

    fn addresses<'a>(&'a self, name: &'a Domain, ip: IpChoice) -> Lookup<'a, Vec<IpAddr>> {
        Box::pin(async move {
            if ip == IpChoice::Any {
                // Kept apart: the failure of one version must not be kept with the answer of the other.
                let (v6, v4) = tokio::join!(self.addresses(name, IpChoice::V6), self.addresses(name, IpChoice::V4));
                return merge(v6, v4);
            }
            let key = (name.clone(), ip);
            if let Some(known) = lock(&self.addresses).get(&key, clock::now()) {
                return known;
            }
            let result = self.inner.addresses(name, ip).await;
            lock(&self.addresses).put(key, &result, clock::now());
            result
        })
    }

    fn tlsa<'a>(&'a self, port: u16, base: &'a Domain) -> Lookup<'a, Vec<Tlsa>> {
        self.inner.tlsa(port, base)
    }

    fn text<'a>(&'a self, service: Service, domain: &'a Domain) -> Lookup<'a, Vec<Vec<u8>>> {
        self.inner.text(service, domain)
    }
}

/// A panic of another holder cannot leave the map half changed in a way that matters: the worst is a lost entry.
fn lock<T>(shelf: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answers to one kind of question.
#[derive(Debug)]
struct Shelf<K, T> {
    entries_max: usize,
    entries: HashMap<K, Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    result: Result<Answer<T>, LookupError>,
    until: Instant,
}

impl<K: Eq + Hash, T: Clone> Shelf<K, T> {
    fn new(entries_max: usize) -> Self {
        Self { entries_max, entries: HashMap::new() }
    }

    fn get(&self, key: &K, now: Instant) -> Option<Result<Answer<T>, LookupError>> {
        let kept = self.entries.get(key).filter(|kept| now < kept.until)?;
        let left = kept.until.saturating_since(now);
        Some(kept.result.clone().map(|answer| Answer { ttl: left, ..answer }))
    }

    fn put(&mut self, key: K, result: &Result<Answer<T>, LookupError>, now: Instant) {
        let ttl = match result {
            Ok(answer) => answer.ttl.clamp(TTL_MIN, TTL_MAX),
            Err(error) if error.is_temporary() => return,
            Err(_) => NEGATIVE_TTL,
        };
        if self.entries.len() >= self.entries_max && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.entries.insert(key, Kept { result: result.clone(), until: now + ttl });
    }

    /// Drops what is over; if that is not enough, every second entry, so that the work is spread over many insertions.
    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|_, kept| now < kept.until);
        if self.entries.len() >= self.entries_max {
            let mut keep = true;
            self.entries.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Security;
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_start(Duration::from_secs(secs))
    }

    fn answer(ttl_secs: u64) -> Result<Answer<u8>, LookupError> {
        Ok(Answer { records: 7, security: Security::Secure, alias: None, ttl: Duration::from_secs(ttl_secs) })
    }

    #[test]
    fn answers_are_kept_for_their_time_and_failures_are_not() {
        for (result, last_secs) in [
            (answer(100), Some(99)),
            (answer(0), Some(4)),
            (answer(10_000_000), Some(86_399)),
            (Err(LookupError::NoSuchName), Some(59)),
            (Err(LookupError::NoData), Some(59)),
            (Err(LookupError::ServFail), None),
            (Err(LookupError::Timeout), None),
            (Err(LookupError::Bogus), None),
        ] {
            let mut shelf = Shelf::new(4);
            shelf.put("a", &result, at(1000));
            let Some(last_secs) = last_secs else {
                assert_eq!(shelf.get(&"a", at(1000)), None, "{result:?}");
                continue;
            };
            let kept = shelf.get(&"a", at(1000 + last_secs));
            let aged = result.map(|answer| Answer { ttl: Duration::from_secs(1), ..answer });
            assert_eq!(kept, Some(aged));
            assert_eq!(shelf.get(&"a", at(1001 + last_secs)), None);
        }
    }

    #[test]
    fn the_number_of_entries_is_bounded_and_the_newest_is_kept() {
        let mut shelf = Shelf::new(10);
        for key in 0..1000 {
            shelf.put(key, &answer(100), at(0));
            assert!(shelf.entries.len() <= 10);
            assert!(shelf.get(&key, at(0)).is_some());
        }
    }

    #[test]
    fn entries_whose_time_is_over_make_room_first() {
        let mut shelf = Shelf::new(4);
        for key in 0..3 {
            shelf.put(key, &answer(10), at(0));
        }
        shelf.put(3, &answer(1000), at(0));
        shelf.put(4, &answer(1000), at(20));
        assert_eq!(shelf.entries.len(), 2);
        assert!(shelf.get(&3, at(20)).is_some());
    }
}
