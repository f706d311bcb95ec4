//! Keeps answers for as long as they hold, within a bound for their number and one for their size. Failures are kept
//! for a moment only.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::model::domain::Domain;
use crate::model::time::Instant;
use crate::model::tlsa::Tlsa;
use crate::policy::settings::IpChoice;

use super::families::merge;
use super::hickory::HickoryResolver;
use super::{Answer, Exchange, Lookup, LookupError, Miss, Mx, Resolver, Service};

/// Entries for each kind of question.
pub const CACHE_ENTRIES_MAX: usize = 8192;
/// What the answers to one kind of question may take together.
pub const CACHE_BYTES_MAX: usize = 8 << 20;
/// An answer is kept so long even if its owner says less: one message asks for the same name many times.
pub const TTL_MIN: Duration = Duration::from_secs(5);
/// No answer is kept longer, whatever its owner says.
pub const TTL_MAX: Duration = Duration::from_secs(86_400);
/// How long a "no" is kept of which its owner does not say how long it holds. Short, because it makes mail bounce.
pub const NEGATIVE_TTL: Duration = Duration::from_secs(60);
/// No "no" is kept longer, whatever its owner says (RFC 2308 section 5).
pub const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(3600);
/// How long a failure is kept: one message with many recipients asks a server once that does not answer.
pub const FAILURE_TTL: Duration = Duration::from_secs(1);
/// What an entry takes besides what it holds.
const ENTRY_BYTES: usize = 128;

/// A resolver that remembers what the other one said.
#[derive(Debug)]
pub struct CachingResolver {
    inner: HickoryResolver,
    mx: Mutex<Shelf<Domain, Vec<Mx>>>,
    addresses: Mutex<Shelf<(Domain, IpChoice), Vec<IpAddr>>>,
    tlsa: Mutex<Shelf<(u16, Domain), Vec<Tlsa>>>,
    texts: Mutex<Shelf<(Service, Domain), Texts>>,
}

type Texts = Vec<Vec<u8>>;

impl CachingResolver {
    pub fn new(inner: HickoryResolver) -> Self {
        Self {
            inner,
            mx: Mutex::new(Shelf::new(BOUNDS)),
            addresses: Mutex::new(Shelf::new(BOUNDS)),
            tlsa: Mutex::new(Shelf::new(BOUNDS)),
            texts: Mutex::new(Shelf::new(BOUNDS)),
        }
    }

    async fn addresses_of_one_version(&self, name: &Domain, ip: IpChoice) -> Result<Answer<Vec<IpAddr>>, LookupError> {
        let look_up = async {
            match ip {
                IpChoice::V4 => self.inner.v4(name).await,
                _ => self.inner.v6(name).await,
            }
        };
        through(&self.addresses, (name.clone(), ip), look_up).await
    }
}

impl Resolver for CachingResolver {
    fn mx<'a>(&'a self, domain: &'a Domain) -> Lookup<'a, Vec<Mx>> {
        Box::pin(through(&self.mx, domain.clone(), self.inner.mx(domain)))
    }

    fn addresses<'a>(&'a self, name: &'a Domain, ip: IpChoice) -> Lookup<'a, Vec<IpAddr>> {
        Box::pin(async move {
            if ip != IpChoice::Any {
                return self.addresses_of_one_version(name, ip).await;
            }
            // Kept apart: the failure of one version must not be kept with the answer of the other.
            let v6 = self.addresses_of_one_version(name, IpChoice::V6);
            let (v6, v4) = tokio::join!(v6, self.addresses_of_one_version(name, IpChoice::V4));
            merge(v6, v4)
        })
    }

    fn tlsa<'a>(&'a self, port: u16, base: &'a Domain) -> Lookup<'a, Vec<Tlsa>> {
        Box::pin(through(&self.tlsa, (port, base.clone()), self.inner.tlsa(port, base)))
    }

    fn text<'a>(&'a self, service: Service, domain: &'a Domain) -> Lookup<'a, Vec<Vec<u8>>> {
        Box::pin(through(&self.texts, (service, domain.clone()), self.inner.text(service, domain)))
    }

    fn look_round<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.inner.look_round())
    }
}

/// What is known, else what the look-up finds.
async fn through<K: Eq + Hash, T: Clone + Weigh>(
    shelf: &Mutex<Shelf<K, T>>,
    key: K,
    look_up: impl Future<Output = Result<Answer<T>, Miss>>,
) -> Result<Answer<T>, LookupError> {
    if let Some(known) = lock(shelf).get(&key, clock::now()) {
        return known;
    }
    let result = look_up.await;
    lock(shelf).put(key, &result, clock::now());
    result.map_err(|miss| miss.error)
}

/// A panic of another holder cannot leave the map half changed in a way that matters: the worst is a lost entry.
fn lock<T>(shelf: &Mutex<T>) -> MutexGuard<'_, T> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much memory an answer takes, about.
trait Weigh {
    fn bytes(&self) -> usize;
}

impl Weigh for Vec<Mx> {
    fn bytes(&self) -> usize {
        let name = |mx: &Mx| match &mx.exchange {
            Exchange::Host(name) => name.as_str().len(),
            Exchange::Root | Exchange::Invalid => 0,
        };
        self.iter().map(|mx| size_of::<Mx>() + name(mx)).sum()
    }
}

impl Weigh for Vec<IpAddr> {
    fn bytes(&self) -> usize {
        self.len() * size_of::<IpAddr>()
    }
}

impl Weigh for Vec<Tlsa> {
    fn bytes(&self) -> usize {
        self.iter().map(|tlsa| size_of::<Tlsa>() + tlsa.data.len()).sum()
    }
}

impl Weigh for Texts {
    fn bytes(&self) -> usize {
        self.iter().map(|text| size_of::<Vec<u8>>() + text.len()).sum()
    }
}

/// The answers to one kind of question.
#[derive(Debug)]
struct Shelf<K, T> {
    bounds: Bounds,
    entries: HashMap<K, Kept<T>>,
    /// Of all entries.
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    entries_max: usize,
    bytes_max: usize,
}

const BOUNDS: Bounds = Bounds { entries_max: CACHE_ENTRIES_MAX, bytes_max: CACHE_BYTES_MAX };

#[derive(Debug)]
struct Kept<T> {
    result: Result<Answer<T>, LookupError>,
    until: Instant,
    bytes: usize,
}

impl<K: Eq + Hash, T: Clone + Weigh> Shelf<K, T> {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: HashMap::new(), bytes: 0 }
    }

    fn get(&self, key: &K, now: Instant) -> Option<Result<Answer<T>, LookupError>> {
        let kept = self.entries.get(key).filter(|kept| now < kept.until)?;
        let left = kept.until.saturating_since(now);
        Some(kept.result.clone().map(|answer| Answer { ttl: left, ..answer }))
    }

    fn put(&mut self, key: K, result: &Result<Answer<T>, Miss>, now: Instant) {
        let ttl = match result {
            Ok(answer) => answer.ttl.clamp(TTL_MIN, TTL_MAX),
            Err(miss) if miss.error.is_temporary() => FAILURE_TTL,
            Err(miss) => miss.ttl.unwrap_or(NEGATIVE_TTL).clamp(TTL_MIN, NEGATIVE_TTL_MAX),
        };
        let bytes = ENTRY_BYTES + result.as_ref().map_or(0, |answer| answer.records.bytes());
        if let Some(before) = self.entries.remove(&key) {
            self.bytes = self.bytes.saturating_sub(before.bytes);
        }
        self.make_room(bytes, now);
        let result = result.clone().map_err(|miss| miss.error);
        self.entries.insert(key, Kept { result, until: now + ttl, bytes });
        self.bytes += bytes;
    }

    /// Drops what is over; if that is not enough, every second entry, so that the work is spread over many insertions.
    fn make_room(&mut self, bytes: usize, now: Instant) {
        if self.has_room(bytes) {
            return;
        }
        self.retain(|kept| now < kept.until);
        while !self.has_room(bytes) && !self.entries.is_empty() {
            let mut keep = true;
            self.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.entries.len() < self.bounds.entries_max && self.bytes + bytes <= self.bounds.bytes_max
    }

    fn retain(&mut self, mut wanted: impl FnMut(&Kept<T>) -> bool) {
        self.entries.retain(|_, kept| wanted(kept));
        self.bytes = self.entries.values().map(|kept| kept.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Security;
    use super::*;

    type Result8 = Result<Answer<Vec<Vec<u8>>>, Miss>;

    const SMALL: Bounds = Bounds { entries_max: 10, bytes_max: CACHE_BYTES_MAX };

    fn at(secs: u64) -> Instant {
        Instant::from_start(Duration::from_secs(secs))
    }

    fn answer(ttl_secs: u64) -> Result8 {
        let ttl = Duration::from_secs(ttl_secs);
        Ok(Answer { records: vec![vec![7]], security: Security::Secure, alias: None, ttl })
    }

    fn no(error: LookupError, ttl_secs: Option<u64>) -> Result8 {
        Err(Miss { error, ttl: ttl_secs.map(Duration::from_secs) })
    }

    #[test]
    fn answers_and_noes_are_kept_for_their_time_and_failures_for_a_moment() {
        for (result, last_secs) in [
            (answer(100), 99),
            (answer(0), 4),
            (answer(10_000_000), 86_399),
            (no(LookupError::NoSuchName, None), 59),
            (no(LookupError::NoSuchName, Some(900)), 899),
            (no(LookupError::NoData, Some(0)), 4),
            (no(LookupError::NoData, Some(10_000_000)), 3599),
            (no(LookupError::ServFail, Some(900)), 0),
            (no(LookupError::Timeout, None), 0),
            (no(LookupError::Bogus, None), 0),
        ] {
            let mut shelf = Shelf::new(SMALL);
            shelf.put("a", &result, at(1000));
            let kept = shelf.get(&"a", at(1000 + last_secs));
            let aged = result.map(|answer| Answer { ttl: Duration::from_secs(1), ..answer }).map_err(|miss| miss.error);
            assert_eq!(kept, Some(aged));
            assert_eq!(shelf.get(&"a", at(1001 + last_secs)), None);
        }
    }

    #[test]
    fn the_number_of_entries_is_bounded_and_the_newest_is_kept() {
        let mut shelf = Shelf::new(SMALL);
        for key in 0..1000 {
            shelf.put(key, &answer(100), at(0));
            assert!(shelf.entries.len() <= 10);
            assert!(shelf.get(&key, at(0)).is_some());
        }
    }

    #[test]
    fn the_size_of_all_entries_is_bounded() {
        let mut shelf = Shelf::new(Bounds { entries_max: 1000, bytes_max: 10_000 });
        for (key, length) in [1, 50, 3000, 9000, 20, 4000, 4000, 9800].into_iter().cycle().take(100).enumerate() {
            let records = vec![vec![0; length]];
            let result = answer(100).map(|answer| Answer { records, ..answer });
            // The same key now and then.
            shelf.put(key % 30, &result, at(0));
            let held: usize = shelf.entries.values().map(|kept| kept.bytes).sum();
            assert_eq!(shelf.bytes, held);
            assert!(held <= 10_000, "{held}");
            assert!(shelf.get(&(key % 30), at(0)).is_some());
        }
    }

    #[test]
    fn entries_whose_time_is_over_make_room_first() {
        let mut shelf = Shelf::new(Bounds { entries_max: 4, ..SMALL });
        for key in 0..3 {
            shelf.put(key, &answer(10), at(0));
        }
        shelf.put(3, &answer(1000), at(0));
        shelf.put(4, &answer(1000), at(20));
        assert_eq!(shelf.entries.len(), 2);
        assert!(shelf.get(&3, at(20)).is_some());
    }
}
