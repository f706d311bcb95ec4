//! The running count of one domain on one day: bounded, mergeable in any order, and made for storage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::domain::Domain;
use crate::model::id::MessageId;

use super::day::Day;
use super::message::Submitter;
use super::report::{DateRange, Failure, FailureDetails, Policy, PolicyReport, PolicyType, Report, Summary};
use super::result_type::ResultType;
use super::session::SessionResult;

/// Policies of one tally that are told apart: a domain may change its policy during a day, and each MX host has TLSA
/// records of its own. The sessions of those above the bound are counted by the kind of policy.
pub const POLICIES_MAX: usize = 8;
/// Ways to fail under one policy that are told apart. Those above the bound are counted by their result type.
pub const FAILURES_MAX: usize = 32;
/// Greatest count: what every reader of JSON can hold (RFC 7493 section 2.2).
pub const COUNT_MAX: u64 = (1 << 53) - 1;
/// No tally is larger than this as JSON.
pub const TALLY_BYTES_MAX: usize = 1024 * 1024;

/// Version of the stored form.
const FORMAT: u8 = 1;

/// What the sessions of one day have shown, for the report to one domain.
///
/// Of too many keys the smallest by their order stay, so that the same sessions give the same tally in whatever order
/// and in however many parts they were counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Tally {
    domain: Domain,
    day: Day,
    policies: BTreeMap<Policy, Counts>,
    /// Sessions under policies above the bound.
    others: BTreeMap<PolicyType, Counts>,
}

/// Two tallies that cannot be merged: of different domains or days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tallies of different domains or days are not one")]
pub struct TallyMismatch;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    successes: u64,
    failures: u64,
    details: BTreeMap<Failure, u64>,
    /// Failures above the bound.
    others: BTreeMap<ResultType, u64>,
}

impl Tally {
    /// An empty count. `domain` is the one whose mail is delivered and that asks for reports.
    pub fn new(domain: Domain, day: Day) -> Self {
        Self { domain, day, policies: BTreeMap::new(), others: BTreeMap::new() }
    }

    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    pub fn day(&self) -> Day {
        self.day
    }

    /// Whether nothing was counted: then there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.others.is_empty()
    }

    /// The sums over all policies.
    pub fn totals(&self) -> Summary {
        let mut totals = Summary::default();
        for counts in self.policies.values().chain(self.others.values()) {
            totals.successes = sum(totals.successes, counts.successes);
            totals.failures = sum(totals.failures, counts.failures);
        }
        totals
    }

    /// Counts a session, once under each policy that it was held against.
    pub fn add(&mut self, session: &SessionResult) {
        if session.applied.is_empty() {
            self.count(Policy::none(self.domain.clone()), Counts::one(session.failure.as_ref()));
        }
        for applied in &session.applied {
            let failure = applied.failure.as_ref().or(session.failure.as_ref());
            self.count(applied.policy.bounded(), Counts::one(failure));
        }
    }

    /// Adds what another tally of the same domain and day has counted.
    ///
    /// # Errors
    /// It is of another domain or day; nothing was added.
    pub fn merge(&mut self, other: &Self) -> Result<(), TallyMismatch> {
        if (&self.domain, self.day) != (&other.domain, other.day) {
            return Err(TallyMismatch);
        }
        for (policy, counts) in &other.policies {
            self.count(policy.clone(), counts.clone());
        }
        for (kind, counts) in &other.others {
            self.others.entry(*kind).or_default().merge(counts);
        }
        Ok(())
    }

    /// The report. `id` is new for each report and stays the same in all copies of it.
    pub fn report(&self, submitter: &Submitter, id: MessageId) -> Report {
        let mut policies = self.policies.clone();
        for (kind, counts) in &self.others {
            policies.entry(Policy::bare(*kind, self.domain.clone())).or_default().merge(counts);
        }
        Report {
            organization_name: submitter.organization().to_owned(),
            date_range: DateRange { start_datetime: self.day.start(), end_datetime: self.day.last_second() },
            contact_info: submitter.contact().clone(),
            report_id: format!("{}.{id}@{}", self.day, submitter.domain()),
            policies: policies.into_iter().map(|(policy, counts)| counts.report(policy)).collect(),
        }
    }

    fn count(&mut self, policy: Policy, counts: Counts) {
        self.policies.entry(policy).or_default().merge(&counts);
        if self.policies.len() > POLICIES_MAX
            && let Some((policy, counts)) = self.policies.pop_last()
        {
            self.others.entry(policy.policy_type).or_default().merge(&counts);
        }
    }
}

impl Counts {
    fn one(failure: Option<&Failure>) -> Self {
        let mut counts = Self::default();
        match failure {
            None => counts.successes = 1,
            Some(failure) => {
                counts.failures = 1;
                counts.details.insert(failure.bounded(), 1);
            }
        }
        counts
    }

    fn merge(&mut self, other: &Self) {
        self.successes = sum(self.successes, other.successes);
        self.failures = sum(self.failures, other.failures);
        for (failure, count) in &other.details {
            add(&mut self.details, failure.clone(), *count);
            if self.details.len() > FAILURES_MAX
                && let Some((failure, count)) = self.details.pop_last()
            {
                add(&mut self.others, failure.result_type, count);
            }
        }
        for (result, count) in &other.others {
            add(&mut self.others, *result, *count);
        }
    }

    fn report(mut self, policy: Policy) -> PolicyReport {
        for (result, count) in &self.others {
            add(&mut self.details, Failure::bare(*result), *count);
        }
        let detail = |(failure, failed_session_count)| FailureDetails { failure, failed_session_count };
        PolicyReport {
            policy,
            summary: Summary { successes: self.successes, failures: self.failures },
            failure_details: self.details.into_iter().map(detail).collect(),
        }
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, count: u64) {
    let entry = counts.entry(key).or_default();
    *entry = sum(*entry, count);
}

fn sum(one: u64, other: u64) -> u64 {
    one.saturating_add(other).min(COUNT_MAX)
}

/// The stored form. Lists of pairs, because keys of JSON objects are texts.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: u8,
    domain: Domain,
    day: Day,
    policies: Vec<(Policy, StoredCounts)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<(PolicyType, StoredCounts)>,
}

#[derive(Serialize, Deserialize)]
struct StoredCounts {
    successes: u64,
    failures: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    details: Vec<FailureDetails>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<(ResultType, u64)>,
}

impl From<Tally> for Stored {
    fn from(tally: Tally) -> Self {
        let policies = tally.policies.into_iter().map(|(policy, counts)| (policy, counts.into())).collect();
        let others = tally.others.into_iter().map(|(kind, counts)| (kind, counts.into())).collect();
        Self { format: FORMAT, domain: tally.domain, day: tally.day, policies, others }
    }
}

impl From<Counts> for StoredCounts {
    fn from(counts: Counts) -> Self {
        let detail = |(failure, failed_session_count)| FailureDetails { failure, failed_session_count };
        Self {
            successes: counts.successes,
            failures: counts.failures,
            details: counts.details.into_iter().map(detail).collect(),
            others: counts.others.into_iter().collect(),
        }
    }
}

/// A tally that a later version has stored.
#[derive(Debug, thiserror::Error)]
#[error("format {0} of a tally is not known")]
struct UnknownFormat(u8);

impl TryFrom<Stored> for Tally {
    type Error = UnknownFormat;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        if stored.format != FORMAT {
            return Err(UnknownFormat(stored.format));
        }
        let mut tally = Self::new(stored.domain, stored.day);
        for (policy, counts) in stored.policies {
            tally.count(policy, counts.into());
        }
        for (kind, counts) in stored.others {
            tally.others.entry(kind).or_default().merge(&counts.into());
        }
        Ok(tally)
    }
}

impl From<StoredCounts> for Counts {
    fn from(stored: StoredCounts) -> Self {
        let details = stored.details.into_iter().map(|detail| (detail.failure, detail.failed_session_count)).collect();
        let others = stored.others.into_iter().collect();
        Self { successes: stored.successes, failures: stored.failures, details, others }
    }
}
