//! MTA-STS policies, fetched when they are wanted, kept until they expire, and refreshed before that.
//!
//! A policy that is kept outlives the web server, the TXT record and a restart of this process. One fetch at a time
//! runs for a domain; it goes on when those who wait for it give up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::dns::{LookupError, Service};
use crate::memory::{Memory, Refused, Table};
use crate::metrics::Metrics;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::sts_record::{self, StsId};

use super::sts_fetch::{FetchError, StsFetcher};
use super::sts_plan::{CachedPolicy, FailedFetch, Known, Plan, Published, StsFault, StsProblem, plan, problem};

mod kept;
pub mod refresh;
#[cfg(test)]
mod tests;

use kept::{Kept, Place, Places};

/// Longest that mail for a domain waits for DNS and for the web server, each, if a policy is kept that may be used.
pub const WAIT_WITH_POLICY_MAX: Duration = Duration::from_secs(5);
/// Fetches that run at once. Others wait, within the time that a fetch has.
pub const FETCHES_AT_ONCE_MAX: usize = 64;
/// Fetches that run or wait. A policy that is wanted beyond that is taken for one that cannot be fetched.
pub const FETCHES_WAITING_MAX: usize = 1024;
/// Failed fetches that are remembered.
pub const FAILED_FETCHES_MAX: usize = 4096;
/// What there is to know about a domain's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsAnswer {
    /// The policy that applies, of whatever mode.
    pub policy: Option<Arc<CachedPolicy>>,
    /// What went wrong on the way, whether or not there is a policy.
    pub problem: Option<StsProblem>,
}

/// All policies. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StsCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: Memory,
    fetcher: ArcSwap<StsFetcher>,
    permits: Semaphore,
    /// [`WAIT_WITH_POLICY_MAX`], but for tests.
    wait_with_policy: Duration,
    /// Held while a record of the table is read and written.
    places: Mutex<Places>,
    fetches: Mutex<Fetches>,
    metrics: OnceLock<Arc<Metrics>>,
}

#[derive(Debug, Default)]
struct Fetches {
    under_way: HashMap<Domain, Landing>,
    failed: HashMap<Domain, FailedFetch>,
    tasks: JoinSet<()>,
}

/// Where a fetch tells how it ended.
type Landing = watch::Receiver<Option<Landed>>;
type Landed = Result<Arc<CachedPolicy>, FetchError>;

impl StsCache {
    /// Reads what `memory` has, which may take a part of a second. Policies are kept there and fetched by `fetcher`,
    /// whose resolver also answers for the TXT records.
    pub fn new(memory: Memory, fetcher: StsFetcher) -> Self {
        Self::waiting(memory, fetcher, WAIT_WITH_POLICY_MAX)
    }

    fn waiting(memory: Memory, fetcher: StsFetcher, wait_with_policy: Duration) -> Self {
        Self(Arc::new(Inner {
            places: Mutex::new(Places::read(&memory)),
            memory,
            fetcher: ArcSwap::from_pointee(fetcher),
            permits: Semaphore::new(FETCHES_AT_ONCE_MAX),
            wait_with_policy,
            fetches: Mutex::default(),
            metrics: OnceLock::new(),
        }))
    }

    /// Fetches that fail from now on are counted there.
    pub fn count_in(&self, metrics: Arc<Metrics>) {
        // Twice the same.
        _ = self.0.metrics.set(metrics);
    }

    /// Look-ups and fetches that begin from now on are done by this one.
    pub fn set_fetcher(&self, fetcher: StsFetcher) {
        self.0.fetcher.store(Arc::new(fetcher));
    }

    /// The policy of a domain to which mail is about to go. Asks the DNS each time, so that a new policy is seen before
    /// mail bounces for an old one (RFC 8461 section 5). Runs inside a tokio runtime.
    pub async fn policy(&self, domain: &Domain, now: Timestamp) -> StsAnswer {
        let cached = self.0.use_kept(domain, now).map(Arc::new);
        let holds = cached.as_ref().is_some_and(|cached| cached.holds(now));
        let published = self.published(domain, holds.then_some(self.0.wait_with_policy)).await;
        let failed = self.0.fetches().failed.get(domain).cloned();
        let known = Known { cached: cached.as_deref(), failed: failed.as_ref() };
        match plan(known, published, now) {
            Plan::Keep { holds, problem } => StsAnswer { policy: cached.filter(|_| holds), problem },
            Plan::Fetch { id, holds } => {
                let cached = cached.filter(|_| holds);
                let landed = match self.fetch(domain, id, now) {
                    Ok(landing) if holds => timeout(self.0.wait_with_policy, landed(landing)).await.ok(),
                    Ok(landing) => Some(landed(landing).await),
                    Err(error) => Some(Err(error)),
                };
                match landed {
                    Some(Ok(policy)) => StsAnswer { policy: Some(policy), problem: None },
                    Some(Err(error)) => {
                        let problem = problem(StsFault::Fetch(error), cached.as_deref());
                        StsAnswer { policy: cached, problem: Some(problem) }
                    }
                    // Nothing is wrong yet.
                    None => {
                        let problem = StsProblem { fault: StsFault::UnderWay, report: false };
                        StsAnswer { policy: cached, problem: Some(problem) }
                    }
                }
            }
        }
    }

    /// What is kept of a domain, whether or not it holds. Asks nobody.
    pub fn cached(&self, domain: &Domain) -> Option<CachedPolicy> {
        self.0.kept(domain)?.cached()
    }

    /// Begins with a policy that somebody else keeps.
    pub fn know(&self, domain: &Domain, policy: &CachedPolicy, now: Timestamp) {
        self.0.keep(domain, policy, now);
    }

    async fn published(&self, domain: &Domain, limit: Option<Duration>) -> Published {
        let fetcher = self.0.fetcher.load_full();
        let lookup = fetcher.resolver().text(Service::MtaSts, domain);
        let result = match limit {
            Some(limit) => timeout(limit, lookup).await.unwrap_or(Err(LookupError::Timeout)),
            None => lookup.await,
        };
        match result.map(|answer| sts_record::parse(&answer.records)) {
            Ok(Ok(Some(id))) => Published::Policy(id),
            Ok(Ok(None)) => Published::Nothing,
            Ok(Err(error)) => Published::Invalid(error),
            Err(error) if error.is_temporary() => Published::Unknown(error),
            Err(_) => Published::Nothing,
        }
    }

    /// Joins the domain's fetch that is under way, or begins one.
    fn fetch(&self, domain: &Domain, id: StsId, now: Timestamp) -> Result<Landing, FetchError> {
        let mut fetches = self.0.fetches();
        if let Some(landing) = fetches.under_way.get(domain) {
            return Ok(landing.clone());
        }
        if fetches.under_way.len() >= FETCHES_WAITING_MAX {
            return Err(FetchError::Busy);
        }
        let (sender, landing) = watch::channel(None);
        fetches.under_way.insert(domain.clone(), landing.clone());
        while fetches.tasks.try_join_next().is_some() {}
        let under_way = UnderWay { inner: self.0.clone(), domain: domain.clone() };
        fetches.tasks.spawn(async move {
            let landed = under_way.inner.fetch(&under_way.domain, id, now).await;
            drop(under_way);
            sender.send_replace(Some(landed));
        });
        Ok(landing)
    }
}

/// What `memory` has of a domain, whether or not it holds. Asks nobody.
pub fn kept(memory: &Memory, domain: &Domain) -> Option<CachedPolicy> {
    Kept::read(memory, domain.as_str())?.cached()
}

async fn landed(mut landing: Landing) -> Landed {
    match landing.wait_for(Option::is_some).await.map(|landed| landed.clone()) {
        Ok(Some(landed)) => landed,
        // The task was ended before it came to an end.
        _ => Err(FetchError::Busy),
    }
}

/// A domain whose fetch runs, for as long as this value lives.
struct UnderWay {
    inner: Arc<Inner>,
    domain: Domain,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.inner.fetches().under_way.remove(&self.domain);
    }
}

impl Inner {
    async fn fetch(&self, domain: &Domain, id: StsId, now: Timestamp) -> Landed {
        let fetcher = self.fetcher.load_full();
        let fetched = timeout(fetcher.timeout(), async {
            let _permit = self.permits.acquire().await.map_err(|_| FetchError::Busy)?;
            fetcher.fetch(domain).await
        });
        match fetched.await.unwrap_or(Err(FetchError::Timeout)) {
            Ok(policy) => {
                let cached = CachedPolicy { id, policy, fetched: now };
                tracing::debug!(%domain, id = %cached.id, mode = %cached.policy.mode, "an MTA-STS policy was fetched");
                self.fetches().failed.remove(domain);
                self.keep(domain, &cached, now);
                Ok(Arc::new(cached))
            }
            Err(error) => {
                tracing::warn!(%domain, %id, %error, "the MTA-STS policy cannot be fetched");
                if let Some(metrics) = self.metrics.get() {
                    metrics.outbound_tls_failed(error.reason());
                }
                self.fetches().fail(domain, FailedFetch { id, error: error.clone(), at: now });
                Err(error)
            }
        }
    }

    fn kept(&self, domain: &Domain) -> Option<Kept> {
        Kept::read(&self.memory, domain.as_str())
    }

    /// What is kept, for mail that is about to go.
    fn use_kept(&self, domain: &Domain, now: Timestamp) -> Option<CachedPolicy> {
        let kept = self.kept(domain)?;
        if !kept.is_use_worth_noting(now) {
            return kept.cached();
        }
        let mut places = self.places();
        // It may have been fetched again meanwhile.
        let kept = Kept { used: now, used_again: true, ..self.kept(domain).unwrap_or(kept) };
        let cached = kept.clone().cached()?;
        self.write(&mut places, domain, (&kept, &cached), now);
        Some(cached)
    }

    /// Keeps a policy that was just fetched.
    fn keep(&self, domain: &Domain, cached: &CachedPolicy, now: Timestamp) {
        let mut places = self.places();
        let (used, used_again) = self.kept(domain).map_or((now, false), |kept| (kept.used, kept.used_again));
        let (id, policy) = (cached.id.clone(), cached.policy.to_string());
        let kept = Kept { id, policy, fetched: cached.fetched, used, used_again };
        self.write(&mut places, domain, (&kept, cached), now);
    }

    fn write(&self, places: &mut Places, domain: &Domain, (kept, cached): (&Kept, &CachedPolicy), now: Timestamp) {
        // It has no part that JSON cannot say.
        let Ok(value) = serde_json::to_vec(kept) else { return };
        let place = Place::of(kept, cached);
        let mut result = self.memory.put(Table::Sts, domain.as_str(), value.as_slice());
        if result == Err(Refused::Full) {
            for key in places.given_up_for(&place, now) {
                self.memory.remove(Table::Sts, &key);
                places.remove(&key);
            }
            result = self.memory.put(Table::Sts, domain.as_str(), value);
        }
        match result {
            Ok(()) => places.put(domain.as_str(), place),
            Err(error) => {
                tracing::warn!(%domain, %error, "an MTA-STS policy is not kept; it is fetched for each message");
            }
        }
    }

    fn forget(&self, key: &str) {
        let mut places = self.places();
        self.memory.remove(Table::Sts, key);
        places.remove(key);
    }

    /// Panics of other holders leave whole values behind, here and below.
    fn fetches(&self) -> MutexGuard<'_, Fetches> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetches {
    fn fail(&mut self, domain: &Domain, failed: FailedFetch) {
        let now = failed.at;
        self.failed.insert(domain.clone(), failed);
        if self.failed.len() > FAILED_FETCHES_MAX {
            self.failed.retain(|_, failed| failed.holds(now));
        }
        if self.failed.len() > FAILED_FETCHES_MAX {
            // Every second one, so that the work is spread over many failures.
            let mut stays = false;
            self.failed.retain(|_, _| {
                stays = !stays;
                stays
            });
        }
    }
}
