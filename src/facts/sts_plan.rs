//! What is to be done about the MTA-STS policy of a domain: from what is kept, what the DNS says, and the moment.
//! Values in, values out.

use std::time::Duration;

use crate::dns::LookupError;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::policy::sts_policy::{Mode, StsPolicy};
use crate::policy::sts_record::{StsId, StsRecordError};

use super::sts_fetch::FetchError;

/// How long a failed fetch is not repeated for the same id (RFC 8461 section 3.3: five minutes or longer).
pub const FAILED_FETCH_HOLDS: Duration = Duration::from_secs(5 * 60);
/// How long a policy is used at least, however short its `max_age`: it is not fetched for each message.
pub const POLICY_HOLDS_MIN: Duration = Duration::from_secs(5 * 60);

/// A policy with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedPolicy {
    /// What the TXT record said when the policy was fetched.
    pub id: StsId,
    pub policy: StsPolicy,
    /// The last moment at which the web server had it.
    pub fetched: Timestamp,
}

impl CachedPolicy {
    /// The first moment at which the policy holds no more, unless it is fetched again.
    pub fn expires(&self) -> Timestamp {
        self.fetched + self.policy.max_age.max(POLICY_HOLDS_MIN)
    }

    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.expires()
    }
}

/// Why what a domain publishes could not be had or not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StsFault {
    #[error("the MTA-STS record cannot be looked up: {0}")]
    Lookup(LookupError),
    #[error("the MTA-STS record is gone, and the policy did not say that it would be")]
    RecordGone,
    #[error("{0}")]
    Record(StsRecordError),
    #[error("{0}")]
    Fetch(FetchError),
    #[error("the MTA-STS policy is still being fetched")]
    UnderWay,
}

impl StsFault {
    /// The word of RFC 8460 section 4.3.2.2.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Lookup(_) | Self::RecordGone | Self::UnderWay => Reason::StsPolicyFetchError,
            Self::Record(_) => Reason::StsPolicyInvalid,
            Self::Fetch(error) => error.reason(),
        }
    }

    /// Why it is not known whether there is a newer policy (RFC 8461 section 5.1). A record that the DNS says is gone
    /// announces none.
    pub fn trouble(&self) -> Option<Reason> {
        (*self != Self::RecordGone).then(|| self.reason())
    }
}

/// A fault, and whom to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsProblem {
    pub fault: StsFault,
    /// Whether RFC 8461 section 6 wants it in the domain's TLS report: a fetch failed although a valid record announces
    /// a policy, or anything failed while a policy is kept that is not `none`.
    pub report: bool,
}

/// What the DNS says of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    Policy(StsId),
    /// The DNS stands by it that there is no record.
    Nothing,
    Invalid(StsRecordError),
    /// The DNS does not say.
    Unknown(LookupError),
}

/// A fetch that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedFetch {
    pub id: StsId,
    pub error: FetchError,
    pub at: Timestamp,
}

impl FailedFetch {
    /// Whether it is too early to try again. A moment in the future is one of a clock that was set back: it holds
    /// nothing up.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.at <= now && now.saturating_since(self.at) < FAILED_FETCH_HOLDS
    }
}

/// What is known of a domain.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub cached: Option<&'a CachedPolicy>,
    pub failed: Option<&'a FailedFetch>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// What is kept applies: the policy if it holds, else none.
    Keep { holds: bool, problem: Option<StsProblem> },
    /// Fetch the policy of this id. Until it is there, and if it does not come, what is kept applies.
    Fetch { id: StsId, holds: bool },
}

/// RFC 8461 sections 3.1, 3.3 and 5.1: a live policy if there is one, else the kept one until it expires. A record that
/// is gone ends nothing: a domain takes its policy back by one of mode `none` (section 8.3).
pub fn plan(known: Known<'_>, published: Published, now: Timestamp) -> Plan {
    let cached = known.cached.filter(|cached| cached.holds(now));
    let holds = cached.is_some();
    let keep = |fault: Option<StsFault>| Plan::Keep { holds, problem: fault.map(|fault| problem(fault, cached)) };
    match published {
        Published::Policy(id) if cached.is_some_and(|cached| cached.id == id) => keep(None),
        Published::Policy(id) => match known.failed.filter(|failed| failed.id == id && failed.holds(now)) {
            Some(failed) => keep(Some(StsFault::Fetch(failed.error.clone()))),
            None => Plan::Fetch { id, holds },
        },
        Published::Nothing if cached.is_none_or(|cached| cached.policy.mode == Mode::None) => keep(None),
        Published::Nothing => keep(Some(StsFault::RecordGone)),
        Published::Invalid(error) => keep(Some(StsFault::Record(error))),
        Published::Unknown(error) => keep(Some(StsFault::Lookup(error))),
    }
}

/// The fault, seen from a domain of which this policy is kept.
pub fn problem(fault: StsFault, cached: Option<&CachedPolicy>) -> StsProblem {
    let keeps_promise = cached.is_some_and(|cached| cached.policy.mode != Mode::None);
    let report = matches!(fault, StsFault::Fetch(_)) || keeps_promise;
    StsProblem { fault, report }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_SECS: i64 = 86_400;

    fn id(text: &str) -> StsId {
        StsId::parse(text).unwrap()
    }

    fn cached(mode: &str, max_age_secs: u32) -> CachedPolicy {
        let text = format!("version: STSv1\nmode: {mode}\nmx: a.example\nmax_age: {max_age_secs}\n");
        let policy = StsPolicy::parse(text.as_bytes()).unwrap();
        CachedPolicy { id: id("old"), policy, fetched: Timestamp::from_secs(0) }
    }

    fn failed(id_text: &str, at: i64) -> FailedFetch {
        FailedFetch { id: id(id_text), error: FetchError::Timeout, at: Timestamp::from_secs(at) }
    }

    fn keep(holds: bool, fault: StsFault, report: bool) -> Plan {
        Plan::Keep { holds, problem: Some(StsProblem { fault, report }) }
    }

    const QUIET: fn(bool) -> Plan = |holds| Plan::Keep { holds, problem: None };

    #[test]
    fn what_is_kept_what_is_published_and_the_moment_say_what_to_do() {
        let day = u32::try_from(DAY_SECS).unwrap();
        let enforced = cached("enforce", day);
        let testing = cached("testing", day);
        let none = cached("none", day);
        let fetch = |text: &str, holds| Plan::Fetch { id: id(text), holds };
        let published = |text: &str| Published::Policy(id(text));
        let several = || Published::Invalid(StsRecordError::Several);
        let servfail = || Published::Unknown(LookupError::ServFail);
        let record = || StsFault::Record(StsRecordError::Several);
        let lookup = || StsFault::Lookup(LookupError::ServFail);
        let late = DAY_SECS;
        for (cached, published, now, expected) in [
            // Nothing is kept.
            (None, published("new"), 0, fetch("new", false)),
            (None, Published::Nothing, 0, QUIET(false)),
            (None, several(), 0, keep(false, record(), false)),
            (None, servfail(), 0, keep(false, lookup(), false)),
            // A policy is kept and holds.
            (Some(&enforced), published("old"), late - 1, QUIET(true)),
            (Some(&enforced), published("new"), late - 1, fetch("new", true)),
            (Some(&enforced), Published::Nothing, late - 1, keep(true, StsFault::RecordGone, true)),
            (Some(&enforced), several(), late - 1, keep(true, record(), true)),
            (Some(&enforced), servfail(), late - 1, keep(true, lookup(), true)),
            (Some(&testing), Published::Nothing, 1, keep(true, StsFault::RecordGone, true)),
            // It says that there is none any more, so that nobody misses it.
            (Some(&none), Published::Nothing, 1, QUIET(true)),
            (Some(&none), servfail(), 1, keep(true, lookup(), false)),
            (Some(&none), published("new"), 1, fetch("new", true)),
            // It is kept and over.
            (Some(&enforced), published("old"), late, fetch("old", false)),
            (Some(&enforced), Published::Nothing, late, QUIET(false)),
            (Some(&enforced), servfail(), late, keep(false, lookup(), false)),
            // The clock was set back behind the fetch.
            (Some(&enforced), published("old"), -late, QUIET(true)),
        ] {
            let told = format!("{cached:?} {published:?} {now}");
            let known = Known { cached, failed: None };
            assert_eq!(plan(known, published, Timestamp::from_secs(now)), expected, "{told}");
        }
    }

    #[test]
    fn a_failed_fetch_is_not_repeated_for_five_minutes_unless_there_is_a_new_id() {
        let enforced = cached("enforce", 604_800);
        let none = cached("none", 604_800);
        let timeout = || StsFault::Fetch(FetchError::Timeout);
        for (cached, failed, now, expected) in [
            (None, failed("new", 1000), 1000, keep(false, timeout(), true)),
            (None, failed("new", 1000), 1299, keep(false, timeout(), true)),
            (None, failed("new", 1000), 1300, Plan::Fetch { id: id("new"), holds: false }),
            (None, failed("older", 1000), 1000, Plan::Fetch { id: id("new"), holds: false }),
            // The clock was set back.
            (None, failed("new", 1000), 999, Plan::Fetch { id: id("new"), holds: false }),
            (Some(&enforced), failed("new", 1000), 1001, keep(true, timeout(), true)),
            (Some(&none), failed("new", 1000), 1001, keep(true, timeout(), true)),
        ] {
            let known = Known { cached, failed: Some(&failed) };
            let result = plan(known, Published::Policy(id("new")), Timestamp::from_secs(now));
            assert_eq!(result, expected, "{cached:?} {failed:?} {now}");
        }
    }

    #[test]
    fn a_policy_holds_for_its_max_age_and_at_least_five_minutes() {
        for (max_age, last) in [(0, 299), (60, 299), (300, 299), (301, 300), (31_557_600, 31_557_599)] {
            let cached = cached("enforce", max_age);
            assert!(cached.holds(Timestamp::from_secs(last)), "{max_age}");
            assert!(!cached.holds(Timestamp::from_secs(last + 1)), "{max_age}");
        }
    }

    #[test]
    fn faults_have_the_words_of_tls_reports_and_may_hide_a_newer_policy() {
        for (fault, word, hides_newer) in [
            (StsFault::Lookup(LookupError::Timeout), "sts-policy-fetch-error", true),
            (StsFault::RecordGone, "sts-policy-fetch-error", false),
            (StsFault::Record(StsRecordError::NoId), "sts-policy-invalid", true),
            (StsFault::Fetch(FetchError::Redirect(301)), "sts-policy-fetch-error", true),
            (StsFault::Fetch(FetchError::Certificate(String::new())), "sts-webpki-invalid", true),
            (StsFault::Fetch(FetchError::ContentType(String::new())), "sts-policy-invalid", true),
            (StsFault::UnderWay, "sts-policy-fetch-error", true),
        ] {
            assert_eq!(fault.reason().as_str(), word, "{fault}");
            assert_eq!(fault.trouble(), hides_newer.then_some(fault.reason()), "{fault}");
        }
    }
}
