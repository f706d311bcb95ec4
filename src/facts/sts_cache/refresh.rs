//! Fetches kept policies again long before they expire, so that nobody who hinders one fetch hinders the policy
//! (RFC 8461 sections 3.3 and 10.2), and forgets those that are over.

use std::time::Duration;

use tokio::task::{JoinSet, yield_now};

use crate::memory::Table;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::sts_policy::Mode;

use super::{CachedPolicy, Kept, Published, StsCache, landed};

/// How long after it was fetched a policy is fetched again; half of its `max_age` if that is shorter.
pub const REFRESH_AFTER: Duration = Duration::from_secs(86_400);
/// A policy that mail has not asked for during this time is left to expire.
pub const REFRESH_IF_USED_WITHIN: Duration = Duration::from_secs(60 * 86_400);
/// How long a policy that is over is kept all the same: a clock that runs ahead for a while takes none away.
pub const EXPIRED_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Policies that are refreshed in one round; those that were fetched the longest time ago go first.
pub const REFRESHES_MAX: usize = 5000;
/// Refreshes that run at once.
pub const REFRESHES_AT_ONCE_MAX: usize = 8;
/// Policies that are looked at before others have their turn.
const ENTRIES_IN_A_ROW_MAX: usize = 256;

/// What one round came to, in policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    pub refreshed: usize,
    pub failed: usize,
    /// They were over, or could not be read.
    pub forgotten: usize,
}

impl StsCache {
    /// One round, to be run about every hour. It may be dropped at any time.
    pub async fn refresh_due(&self, now: Timestamp) -> Refreshed {
        let mut round = Refreshed::default();
        let mut due = Vec::new();
        for (number, (key, value)) in self.0.memory.entries(Table::Sts).enumerate() {
            if number % ENTRIES_IN_A_ROW_MAX == 0 {
                yield_now().await;
            }
            let kept = serde_json::from_slice(&value).ok().map(|kept: Kept| (kept.used, kept.cached()));
            let (Ok(domain), Some((used, Some(cached)))) = (Domain::parse(&key), kept) else {
                self.0.forget(&key);
                round.forgotten += 1;
                continue;
            };
            if now.saturating_since(cached.expires()) > EXPIRED_KEPT {
                self.0.forget(&key);
                round.forgotten += 1;
            } else if is_due(&cached, now) && now.saturating_since(used) <= REFRESH_IF_USED_WITHIN {
                due.push((domain, cached));
            }
        }
        // In turn, so that nobody's policies are always in front of others'.
        due.sort_by_key(|(_, cached)| cached.fetched);
        due.truncate(REFRESHES_MAX);
        let mut due = due.into_iter();
        let mut tasks = JoinSet::new();
        loop {
            while tasks.len() < REFRESHES_AT_ONCE_MAX
                && let Some((domain, cached)) = due.next()
            {
                let cache = self.clone();
                tasks.spawn(async move { cache.refresh(&domain, &cached, now).await });
            }
            match tasks.join_next().await {
                None => return round,
                Some(Ok(true)) => round.refreshed += 1,
                Some(_) => round.failed += 1,
            }
        }
    }

    /// Whatever the TXT record says, and even if there is none: the web server is asked.
    async fn refresh(&self, domain: &Domain, cached: &CachedPolicy, now: Timestamp) -> bool {
        let id = match self.published(domain, None).await {
            Published::Policy(id) => id,
            Published::Nothing | Published::Invalid(_) | Published::Unknown(_) => cached.id.clone(),
        };
        let result = match self.fetch(domain, id, now) {
            Ok(landing) => landed(landing).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            let until = cached.expires().brief();
            tracing::warn!(%domain, %error, until, "an MTA-STS policy that is kept cannot be refreshed");
        }
        result.is_ok()
    }
}

/// A policy of mode `none` is left to expire: without it there is none either. A fetch in the future is one of a clock
/// that was set back.
fn is_due(cached: &CachedPolicy, now: Timestamp) -> bool {
    let after = REFRESH_AFTER.min(cached.policy.max_age / 2);
    let is_old = now.saturating_since(cached.fetched) >= after || cached.fetched > now;
    cached.policy.mode != Mode::None && cached.holds(now) && is_old
}
