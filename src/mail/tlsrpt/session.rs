//! What one session is to a report: the policies that it was held against, and how it failed, within bounds.

use std::borrow::Cow;

use crate::model::domain::Domain;
use crate::model::escape::peer_text;
use crate::model::reason::Reason;
use crate::model::tlsa::Tlsa;

use super::report::{Failure, Policy, PolicyType};
use super::result_type::ResultType;

/// Lines of a policy, and patterns of MX hosts, that are kept.
pub const POLICY_LINES_MAX: usize = 128;
/// Octets of a policy's lines, and of its patterns, that are kept. Room for a whole certificate or two (`3 0 0`).
pub const POLICY_TEXT_BYTES_MAX: usize = 8 * 1024;
/// Octets of one text of a failure.
pub const FAILURE_TEXT_BYTES_MAX: usize = 255;

/// One session, or an attempt at one, with a mail host of a domain.
///
/// A session counts once under each policy that was found, as a success unless it failed. Where none was found it
/// counts under `no-policy-found` (RFC 8460 section 4), which is never used beside one that was. So a session that met
/// what the domain publishes and not what our operator asks for is a failure under the published policy: the domain's
/// mail was held up, and its report says so, with the reason in `failure-reason-code` ([`Failure::new`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionResult {
    /// The policies that were found, in any mode. Empty: none.
    pub applied: Vec<Applied>,
    /// Why the session failed, whatever the policy: no STARTTLS, no handshake, less than our operator asks for.
    pub failure: Option<Failure>,
}

/// A policy and what only it objects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub policy: Policy,
    /// Why the session is a failure under this policy. Of `testing` policies too: that is what they are for.
    pub failure: Option<Failure>,
}

impl Policy {
    /// The TLSA records of a base domain, usable or not. Their order in the answer does not matter.
    pub fn tlsa(base: Domain, records: &[Tlsa]) -> Self {
        let mut lines: Vec<_> = records.iter().map(ToString::to_string).collect();
        lines.sort_unstable();
        Self { policy_type: PolicyType::Tlsa, policy_string: lines, policy_domain: base, mx_host: Vec::new() }
    }

    /// The text of an MTA-STS policy, with any errors in it, and the patterns that were read from it. Both are empty if
    /// the policy could not be had.
    pub fn sts(domain: Domain, text: &str, mx: Vec<String>) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let policy_string = lines.map(ToOwned::to_owned).collect();
        Self { policy_type: PolicyType::Sts, policy_string, policy_domain: domain, mx_host: mx }
    }

    /// That a domain publishes neither.
    pub fn none(domain: Domain) -> Self {
        Self::bare(PolicyType::NoPolicyFound, domain)
    }

    /// A policy of which no more is known or told than its kind.
    pub(super) fn bare(policy_type: PolicyType, domain: Domain) -> Self {
        Self { policy_type, policy_string: Vec::new(), policy_domain: domain, mx_host: Vec::new() }
    }

    /// The same within the bounds: printable, and no more lines and octets than are kept.
    pub(super) fn bounded(&self) -> Self {
        Self {
            policy_type: self.policy_type,
            policy_string: bounded_lines(&self.policy_string),
            policy_domain: self.policy_domain.clone(),
            mx_host: bounded_lines(&self.mx_host),
        }
    }
}

impl Failure {
    /// A failure for this reason. `None`: the reason is none that is reported. See [`ResultType::of`]. What is known of
    /// the session is filled in by the caller, and text of peers is made printable when it is counted.
    pub fn new(reason: Reason) -> Option<Self> {
        let result_type = ResultType::of(reason)?;
        let is_ours = result_type.as_str() != reason.as_str();
        let failure_reason_code = is_ours.then(|| format!("{} (policy of the sender)", reason.as_str()));
        Some(Self { failure_reason_code, ..Self::bare(result_type) })
    }

    /// A failure of which no more is told than its type.
    pub(super) fn bare(result_type: ResultType) -> Self {
        Self {
            result_type,
            sending_mta_ip: None,
            receiving_mx_hostname: None,
            receiving_mx_helo: None,
            receiving_ip: None,
            additional_information: None,
            failure_reason_code: None,
        }
    }

    /// The same within the bounds.
    pub(super) fn bounded(&self) -> Self {
        let text = |text: &Option<String>| {
            let printable = printable(text.as_deref()?, FAILURE_TEXT_BYTES_MAX).into_owned();
            Some(printable).filter(|text| !text.is_empty())
        };
        Self {
            result_type: self.result_type,
            sending_mta_ip: self.sending_mta_ip,
            receiving_mx_hostname: text(&self.receiving_mx_hostname),
            receiving_mx_helo: text(&self.receiving_mx_helo),
            receiving_ip: self.receiving_ip,
            additional_information: None,
            failure_reason_code: text(&self.failure_reason_code),
        }
    }
}

fn bounded_lines(lines: &[String]) -> Vec<String> {
    let mut room = POLICY_TEXT_BYTES_MAX;
    let mut fits = |line: &String| {
        let left = room.checked_sub(line.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    let lines = lines.iter().take(POLICY_LINES_MAX).map(|line| printable(line, POLICY_TEXT_BYTES_MAX).into_owned());
    lines.take_while(|line| fits(line)).collect()
}

/// Text of peers that is safe to show and not too long. Text that already is stays as it is, so that nothing is escaped
/// twice.
fn printable(text: &str, bytes_max: usize) -> Cow<'_, str> {
    let is_printable = text.len() <= bytes_max && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_printable { Cow::Borrowed(text) } else { peer_text(text, bytes_max.saturating_sub(CUT_MARK_BYTES)) }
}

/// Octets of the mark that [`peer_text`] puts behind a text that it cuts.
const CUT_MARK_BYTES: usize = 3;
