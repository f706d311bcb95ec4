//! What was learned of destinations and is kept of them, in the words of the control socket.

use serde::{Deserialize, Serialize};

use crate::facts::sts_plan::CachedPolicy;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::learned::evidence::Evidence;
use crate::policy::sts_policy::StsPolicy;
use crate::policy::sts_record::StsId;

/// What was learned of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedDomain {
    pub domain: Domain,
    /// What the policy makes of it: `off`, `propose`, `enforce`.
    pub learn: String,
    /// What was raised; it holds where `learn` is `enforce`.
    pub in_force: Option<LearnedLevel>,
    /// The highest level that it has shown for long enough.
    pub evidence: Option<Evidence>,
    /// What stands in the way of the next one.
    pub lacking: Option<String>,
    pub hosts: Vec<LearnedHost>,
    pub last_tried: Timestamp,
    /// It does not meet what is in force.
    pub alarm_since: Option<Timestamp>,
    /// The domain file that names exactly this domain.
    pub file: Option<String>,
    /// A domain file that asks for what it has shown.
    #[serde(default)]
    pub candidate: Option<String>,
    /// Why there is none, though it has shown enough for a level.
    #[serde(default)]
    pub no_candidate: Option<String>,
}

/// A level in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedLevel {
    /// `encrypt`, `verify`.
    pub level: String,
    pub since: Timestamp,
    /// Of the day when it was raised.
    pub evidence: Evidence,
}

/// When a mail host last showed what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedHost {
    pub name: Domain,
    pub plaintext: Option<Timestamp>,
    pub encrypt: Option<Timestamp>,
    pub verify: Option<Timestamp>,
}

/// An MTA-STS policy as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPolicy {
    pub id: StsId,
    /// In its own grammar.
    pub policy: String,
    pub fetched: Timestamp,
}

impl KeptPolicy {
    pub fn of(cached: &CachedPolicy) -> Self {
        Self { id: cached.id.clone(), policy: cached.policy.to_string(), fetched: cached.fetched }
    }

    /// `None` if the text is no policy to this release.
    pub fn cached(&self) -> Option<CachedPolicy> {
        let policy = StsPolicy::parse(self.policy.as_bytes()).ok()?;
        Some(CachedPolicy { id: self.id.clone(), policy, fetched: self.fetched })
    }
}
