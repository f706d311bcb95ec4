//! The report as RFC 8460 section 4.4 has it: a value, and its JSON.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::address::Address;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;

use super::result_type::ResultType;

/// What a domain is told about the sessions of one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Who reports.
    pub organization_name: String,
    pub date_range: DateRange,
    /// Who answers questions. Its domain is the submitter (RFC 8460 section 5.3).
    pub contact_info: Address,
    /// Equal in all copies of a report, and in no other report. Of the form `left@right`.
    pub report_id: String,
    pub policies: Vec<PolicyReport>,
}

/// The span of time, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DateRange {
    #[serde(serialize_with = "in_seconds")]
    pub start_datetime: Timestamp,
    #[serde(serialize_with = "in_seconds")]
    pub end_datetime: Timestamp,
}

/// What came of the sessions under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyReport {
    pub policy: Policy,
    pub summary: Summary,
    #[serde(default)]
    pub failure_details: Vec<FailureDetails>,
}

/// A policy that sessions were held against.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    pub policy_type: PolicyType,
    /// The policy as it was published: TLSA records in presentation format, or the lines of the MTA-STS policy
    /// (RFC 8460 section 4.5). Empty where there was none to be read.
    #[serde(default)]
    pub policy_string: Vec<String>,
    /// The domain that published it. For DANE the TLSA base domain (RFC 8460 section 1.1).
    pub policy_domain: Domain,
    /// For MTA-STS the patterns of the policy. A plain text in the example of RFC 8460 appendix B, a list by
    /// section 4.4.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub mx_host: Vec<String>,
}

/// What kind of policy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyType {
    /// DANE (RFC 7672).
    Tlsa,
    /// MTA-STS (RFC 8461).
    Sts,
    /// Neither could be found.
    NoPolicyFound,
}

impl PolicyType {
    /// The word of the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
            Self::NoPolicyFound => "no-policy-found",
        }
    }
}

/// Counts of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    #[serde(rename = "total-successful-session-count")]
    pub successes: u64,
    #[serde(rename = "total-failure-session-count")]
    pub failures: u64,
}

/// Sessions that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureDetails {
    #[serde(flatten)]
    pub failure: Failure,
    pub failed_session_count: u64,
}

/// How a session failed. What is not known is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    pub result_type: ResultType,
    /// Our own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending_mta_ip: Option<IpAddr>,
    /// The name from the MX record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_hostname: Option<String>,
    /// What the host called itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_helo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<IpAddr>,
    /// A URI. We give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_information: Option<String>,
    /// An error of TLS in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason_code: Option<String>,
}

impl Report {
    /// The JSON text of the report (I-JSON, RFC 7493), on one line.
    ///
    /// # Errors
    /// None that a report can cause: the type is that of the writer.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// The name of the compressed file (RFC 8460 section 5.1), for a report to `domain`.
    pub fn file_name(&self, submitter: &Domain, domain: &Domain) -> String {
        let seconds = |moment: Timestamp| moment.micros().div_euclid(1_000_000);
        let (start, end) = (seconds(self.date_range.start_datetime), seconds(self.date_range.end_datetime));
        let unique = self.report_id.split('@').next().unwrap_or_default();
        let unique: String = unique.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{submitter}!{domain}!{start}!{end}!{unique}.json.gz")
    }
}

/// RFC 3339 without a fraction: `2027-01-02T03:04:05Z`.
fn in_seconds<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    let text = moment.to_string();
    let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
    serializer.collect_str(&format_args!("{whole}Z"))
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Patterns {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Patterns::deserialize(deserializer)? {
        Patterns::One(pattern) => vec![pattern],
        Patterns::Many(patterns) => patterns,
    })
}
