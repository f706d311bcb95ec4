//! One alarm for each destination whose TLS requirement is violated: told when it begins, again once a day while it
//! lasts, and when it is over.
//!
//! Must not: tell of every violation. A destination that fails and succeeds in turn stays one alarm.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::address::Host;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

use super::learned::format::Format;
use super::settings::OutboundTls;

/// Alarms that stand at once. Of more only their being more is told: whoever has heard of so many knows enough, and one
/// that made room for another would be told again and again.
pub const DESTINATIONS_MAX: usize = 512;

/// A destination offered less than it is held to. The event `learned.violation` if that was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The recipient domain.
    pub domain: Domain,
    /// The host that was connected to.
    pub mx: Host,
    pub wanted: OutboundTls,
    /// What is wrong with what it showed.
    pub met: Reason,
    pub at: Timestamp,
}

/// `bank.example: mx1.bank.example does not meet tls = verify (certificate-host-mismatch)`.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, mx, wanted, met, at: _ } = self;
        write!(f, "{domain}: {mx} does not meet tls = {} ({met})", wanted.as_str())
    }
}

/// When an alarm is told again, and when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmTerms {
    /// Between two notices about one alarm, at least.
    pub reminder: Duration,
    /// Without a violation, before it is over.
    pub quiet: Duration,
    /// Deliveries at the level since the last violation, before it is over: silence alone is no recovery.
    pub deliveries: u32,
    /// Without anything heard, before it is dropped, untold: the mail has gone or was given up.
    pub stale: Duration,
}

impl Default for AlarmTerms {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self { reminder: 24 * HOUR, quiet: HOUR, deliveries: 3, stale: 7 * 24 * HOUR }
    }
}

/// What the administrator is to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The first violation.
    Raised(Violation),
    /// It still goes on; this is the newest violation.
    Reminder { violation: Violation, since: Timestamp, violations: u64 },
    /// There are more than [`DESTINATIONS_MAX`]; the others go untold until there is room.
    Crowded { violation: Violation },
    /// Deliveries succeed again.
    Cleared { domain: Domain, since: Timestamp, violations: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    since: Timestamp,
    last_violation: Timestamp,
    last_notice: Timestamp,
    violations: u64,
    /// Deliveries at the level since the last violation.
    deliveries: u32,
    last_heard: Timestamp,
}

/// The alarms that stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    format: Format<1>,
    destinations: BTreeMap<Domain, Standing>,
    /// It was told that there are too many.
    is_crowded: bool,
}

impl Alarm {
    /// A violation; mostly there is nothing to tell.
    pub fn violated(&mut self, violation: Violation, terms: &AlarmTerms) -> Option<Notice> {
        let at = violation.at;
        let Some(standing) = self.destinations.get_mut(&violation.domain) else {
            return self.begin(violation, terms);
        };
        standing.last_violation = at;
        standing.last_heard = at;
        standing.violations = standing.violations.saturating_add(1);
        standing.deliveries = 0;
        if !has_passed(terms.reminder, standing.last_notice, at) {
            return None;
        }
        standing.last_notice = at;
        Some(Notice::Reminder { violation, since: standing.since, violations: standing.violations })
    }

    /// Messages were delivered at the level that is asked for.
    pub fn met(&mut self, domain: &Domain, deliveries: u32, terms: &AlarmTerms, at: Timestamp) -> Option<Notice> {
        let standing = self.destinations.get_mut(domain)?;
        standing.last_heard = at;
        standing.deliveries = standing.deliveries.saturating_add(deliveries);
        if standing.deliveries < terms.deliveries || !has_passed(terms.quiet, standing.last_violation, at) {
            return None;
        }
        let Standing { since, violations, .. } = self.destinations.remove(domain)?;
        Some(Notice::Cleared { domain: domain.clone(), since, violations })
    }

    /// The operator has forgotten what was learned, or asks for less: there is nothing left to violate.
    pub fn forget(&mut self, domain: &Domain) {
        self.destinations.remove(domain);
    }

    /// Drops what nothing was heard of for long.
    pub fn sweep(&mut self, terms: &AlarmTerms, now: Timestamp) {
        self.destinations.retain(|_, standing| !has_passed(terms.stale, standing.last_heard, now));
    }

    pub fn is_standing(&self, domain: &Domain) -> bool {
        self.destinations.contains_key(domain)
    }

    /// The destinations in alarm, and since when.
    pub fn standing(&self) -> impl ExactSizeIterator<Item = (&Domain, Timestamp)> {
        self.destinations.iter().map(|(domain, standing)| (domain, standing.since))
    }

    fn begin(&mut self, violation: Violation, terms: &AlarmTerms) -> Option<Notice> {
        if self.destinations.len() >= DESTINATIONS_MAX {
            self.sweep(terms, violation.at);
        }
        if self.destinations.len() >= DESTINATIONS_MAX {
            let was_told = std::mem::replace(&mut self.is_crowded, true);
            return (!was_told).then_some(Notice::Crowded { violation });
        }
        self.is_crowded = false;
        self.destinations.insert(violation.domain.clone(), Standing::new(violation.at));
        Some(Notice::Raised(violation))
    }
}

impl Standing {
    const fn new(at: Timestamp) -> Self {
        Self { since: at, last_violation: at, last_notice: at, violations: 1, deliveries: 0, last_heard: at }
    }
}

/// A moment to come is the trace of a clock that was wrong: it does not hold anything up.
fn has_passed(span: Duration, since: Timestamp, now: Timestamp) -> bool {
    since > now || now.saturating_since(since) >= span
}
