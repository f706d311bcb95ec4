//! What a delivery's record keeps of the facts that its requirement was made from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::policy::published::{Asks, Dane, Learned, MtaSts, Published, UsableRecords};

/// What was known of the host besides what is written: what its verdict can be asked again by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedRecord {
    /// `absent`, `unusable` or `usable`; not there if nobody asked, or no answer would have counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dane: Option<DaneRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mta_sts: Option<StsRecord>,
    /// Why it was not known which policy the domain has now, in a word of RFC 8460.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mta_sts_problem: Option<Reason>,
    /// The level that the domain's hosts have met so far, if it is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedRecord>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requiretls: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls_required_no: bool,
    /// The message is a TLS report of our own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls_report: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected_notice: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DaneRecord {
    Absent,
    Unusable,
    Usable,
}

/// An MTA-STS policy in force, and whether it lists the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StsRecord {
    pub enforced: bool,
    pub lists_host: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedRecord {
    pub verify: bool,
    /// Hosts that a certificate may be for, besides the domain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Domain>,
}

impl PublishedRecord {
    /// `None` where nothing is known.
    pub fn of(published: &Published) -> Option<Self> {
        let record = Self {
            dane: match published.dane {
                Dane::Inapplicable => None,
                Dane::Absent => Some(DaneRecord::Absent),
                Dane::Unusable(_) => Some(DaneRecord::Unusable),
                Dane::Usable(_) => Some(DaneRecord::Usable),
            },
            mta_sts: published.mta_sts.map(|sts| StsRecord { enforced: sts.is_enforced, lists_host: sts.lists_host }),
            mta_sts_problem: published.sts_trouble,
            learned: published.learned.as_ref().map(|learned| match learned {
                Learned::Encrypt => LearnedRecord { verify: false, hosts: Vec::new() },
                Learned::Verify(hosts) => LearnedRecord { verify: true, hosts: hosts.clone() },
            }),
            requiretls: published.asks.require_tls,
            tls_required_no: published.asks.tls_required_no,
            tls_report: published.asks.tls_report,
            protected_notice: published.asks.is_protected_notice,
        };
        (record != Self::default()).then_some(record)
    }

    /// The same for the engine. Which TLSA records there were is not kept: the certificate's record says whether they
    /// were met.
    pub fn published(&self) -> Published {
        let usable = || Arc::new(UsableRecords { records: None, base: None, names: Vec::new() });
        Published {
            dane: match self.dane {
                None => Dane::Inapplicable,
                Some(DaneRecord::Absent) => Dane::Absent,
                Some(DaneRecord::Unusable) => Dane::Unusable(Arc::default()),
                Some(DaneRecord::Usable) => Dane::Usable(usable()),
            },
            mta_sts: self.mta_sts.map(|sts| MtaSts { is_enforced: sts.enforced, lists_host: sts.lists_host }),
            sts_trouble: self.mta_sts_problem,
            learned: self.learned.as_ref().map(|learned| match learned.verify {
                false => Learned::Encrypt,
                true => Learned::Verify(learned.hosts.clone()),
            }),
            asks: Asks {
                require_tls: self.requiretls,
                tls_required_no: self.tls_required_no,
                tls_report: self.tls_report,
                is_protected_notice: self.protected_notice,
            },
        }
    }
}
