//! The records of the log as typed values, and their JSON.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::model::client_offer::ClientOffer;
use crate::model::id::{MessageId, RecordId, SessionId};
use crate::model::reason::Reason;
use crate::model::record::AuditEntry;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::host_requirement::HostRequirement;
use crate::policy::in_force::Because;
use crate::policy::inbound::{Judgement, ReportedBy};
use crate::policy::outbound::Decision;
use crate::policy::timed::Terms;
use crate::random;

use super::bounds::{fit, spread};
use super::checkpoint::Statement;
use super::published::PublishedRecord;

/// Room for the text of most records, so that it need not grow.
const RECORD_BYTES_USUAL: usize = 2 << 10;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    InboundRefused,
    InboundAccepted,
    InboundHandshakeFailed,
    OutboundAttempt,
    OutboundDelivered,
    OutboundDeferred,
    OutboundBounced,
    /// Sent to the alternate route, because the first one did not meet the policy for too long.
    OutboundRerouted,
    QueueAdmin,
    ConfigLoaded,
    /// More is asked of a destination from now on, as it has shown that it can.
    LearnedRaised,
    /// A destination offers less than what was learned of it.
    LearnedViolation,
    /// Somebody on the way seems to take TLS out of sessions.
    PathInterference,
    /// Records that were counted instead of written.
    AuditSummary,
    /// Something that the log cannot vouch for.
    AuditGap,
    /// All before this line is vouched for by a signature.
    Checkpoint,
}

impl Event {
    pub const ALL: [Self; 16] = [
        Self::InboundRefused,
        Self::InboundAccepted,
        Self::InboundHandshakeFailed,
        Self::OutboundAttempt,
        Self::OutboundDelivered,
        Self::OutboundDeferred,
        Self::OutboundBounced,
        Self::OutboundRerouted,
        Self::QueueAdmin,
        Self::ConfigLoaded,
        Self::LearnedRaised,
        Self::LearnedViolation,
        Self::PathInterference,
        Self::AuditSummary,
        Self::AuditGap,
        Self::Checkpoint,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InboundRefused => "inbound.refused",
            Self::InboundAccepted => "inbound.accepted",
            Self::InboundHandshakeFailed => "inbound.handshake_failed",
            Self::OutboundAttempt => "outbound.attempt",
            Self::OutboundDelivered => "outbound.delivered",
            Self::OutboundDeferred => "outbound.deferred",
            Self::OutboundBounced => "outbound.bounced",
            Self::OutboundRerouted => "outbound.rerouted",
            Self::QueueAdmin => "queue.admin",
            Self::ConfigLoaded => "config.loaded",
            Self::LearnedRaised => "learned.raised",
            Self::LearnedViolation => "learned.violation",
            Self::PathInterference => "path.interference",
            Self::AuditSummary => "audit.summary",
            Self::AuditGap => "audit.gap",
            Self::Checkpoint => "checkpoint",
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The node that writes and the configuration that it runs under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub node: Arc<str>,
    pub config: Arc<str>,
}

/// The client of an inbound session, or the one that brought a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client<'a> {
    pub ip: IpAddr,
    pub port: u16,
    pub helo: Option<&'a str>,
}

/// The verdict of the inbound policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    pub verdict: &'static str,
    pub stage: &'static str,
    /// `domains.d/bank.toml:12`.
    pub rule: String,
    pub tls: &'static str,
    pub min_version: Option<&'static str>,
    pub cipher: &'static str,
    /// Only where one is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    pub reason: Option<Reason>,
    /// Of a `would_refuse`: why it is not enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_by: Option<&'static str>,
    /// The exception that holds for this client and sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExceptionRecord>,
    pub because: Vec<String>,
}

/// An exception that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExceptionRecord {
    /// `domains.d/bank.toml:17`.
    pub rule: String,
    pub owner: String,
    pub reason: String,
    pub expires: Timestamp,
}

impl ExceptionRecord {
    pub fn of(terms: &Terms) -> Self {
        let Terms { source, owner, reason, expires, .. } = terms;
        Self { rule: source.to_string(), owner: owner.clone(), reason: reason.clone(), expires: *expires }
    }
}

impl Policy {
    /// Explains refusals and would-be refusals in full; of an acceptance, names the rule that decided.
    pub fn of(judgement: &Judgement) -> Self {
        let in_force = judgement.unmet();
        let because = match judgement.reason {
            Some(_) => in_force.because().iter().map(because_line).collect(),
            None => judgement.exempt.map(|exempt| exempt.as_str().to_owned()).into_iter().collect(),
        };
        Self {
            verdict: judgement.verdict.as_str(),
            stage: judgement.stage.as_str(),
            rule: judgement.rule.to_string(),
            tls: in_force.effective_tls().as_str(),
            min_version: in_force.min_version.as_ref().map(|version| version.value.as_str()),
            cipher: in_force.cipher.value.as_str(),
            client_certificate: in_force.certificate_asked_for().map(ToString::to_string),
            reason: judgement.reason,
            reported_by: judgement.reported_by.map(ReportedBy::as_str),
            exception: judgement.exception.as_deref().map(ExceptionRecord::of),
            because,
        }
    }

    /// A refusal for another reason than TLS.
    pub fn other(stage: &'static str, verdict: &'static str, reason: Reason) -> Self {
        Self {
            verdict,
            stage,
            rule: "built-in".to_owned(),
            tls: "optional",
            min_version: None,
            cipher: "any",
            client_certificate: None,
            reason: Some(reason),
            reported_by: None,
            exception: None,
            because: Vec::new(),
        }
    }
}

/// `min_version = TLSv1.2 (domains.d/bank.toml:12)`.
fn because_line(because: &Because) -> String {
    format!("{} = {} ({})", because.key, because.value, because.source)
}

/// What a delivery had to meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequirementRecord {
    pub tls: &'static str,
    pub min_version: Option<&'static str>,
    pub cipher: &'static str,
    /// The exception that holds for this client and sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExceptionRecord>,
    pub because: Vec<String>,
}

impl RequirementRecord {
    /// `host` is what a session with one host had to be; without it, what is written counts.
    pub fn of(decision: &Decision, host: Option<&HostRequirement>) -> Self {
        let requirement = host.map_or(&decision.requirement, |host| &host.session);
        let because = host.map_or_else(|| decision.requirement.because(), HostRequirement::because);
        Self {
            tls: requirement.level().as_str(),
            min_version: requirement.min_version.as_ref().map(|version| version.value.as_str()),
            cipher: requirement.cipher.value.as_str(),
            exception: decision.exception.as_deref().map(ExceptionRecord::of),
            because: because.iter().map(because_line).collect(),
        }
    }
}

/// How a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Handshake<'a> {
    /// The word that the metric counts by.
    pub reason: &'static str,
    /// The alert by which the client gave up (RFC 8446 section 6), such as `unknown_ca`.
    pub alert: Option<String>,
    /// `None` if no whole hello came.
    pub offered: Option<&'a ClientOffer>,
}

/// The part of a record that only deliveries have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outbound {
    /// The name of the route, `None` where the mail hosts of the domain are looked up.
    pub route: Option<String>,
    /// The name of the next hop, or its address in brackets; `None` if none was found.
    pub mx: Option<String>,
    /// The name was written by the operator, not taken from unsigned DNS.
    pub mx_trusted: bool,
    /// Its address and port.
    pub remote: Option<String>,
    /// The DNSSEC state of the look-up that led there.
    pub dnssec: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedRecord>,
    pub requirement: RequirementRecord,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    pub reason: Option<Reason>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<Timestamp>,
    /// Given up because the lifetime is over; `reason` is why the last attempt failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// The name of the route that the mail goes by from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerouted_to: Option<String>,
    /// Milliseconds from the start of the attempt.
    pub duration_ms: u64,
}

/// One record. `None` is written as `null` where the schema always has the field, and left out elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record<'a> {
    pub time: Timestamp,
    pub id: RecordId,
    pub event: Event,
    node: &'a str,
    config: &'a str,
    pub session: Option<SessionId>,
    pub message: Option<MessageId>,
    pub listener: Option<&'a str>,
    pub client: Option<Client<'a>>,
    pub from: Option<&'a str>,
    pub to: Vec<&'a str>,
    /// The record with the first recipients, where one record has no room for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<RecordId>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Outbound>,
    pub tls: Option<&'a TlsFacts>,
    /// The message demands TLS on every hop (RFC 8689).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub requiretls: bool,
    /// Its header says `TLS-Required: No` (RFC 8689 section 3).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_required_no: bool,
    /// Of a failed handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake: Option<Handshake<'a>>,
    pub policy: Option<Policy>,
    pub reply: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Anything else that a reader should know, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// For summaries: how many events this line stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Of a checkpoint. The last field: the place of its signature is told by what stands behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Statement>,
}

impl<'a> Record<'a> {
    /// A record with nothing but its head.
    pub fn new(stamp: &'a Stamp, time: Timestamp, id: RecordId, event: Event) -> Self {
        Self {
            time,
            id,
            event,
            node: &stamp.node,
            config: &stamp.config,
            session: None,
            message: None,
            listener: None,
            client: None,
            from: None,
            to: Vec::new(),
            part_of: None,
            outbound: None,
            tls: None,
            requiretls: false,
            tls_required_no: false,
            handshake: None,
            policy: None,
            reply: None,
            size: None,
            detail: None,
            count: None,
            checkpoint: None,
        }
    }

    /// The entry that rides in the journal.
    pub fn entry(&self) -> AuditEntry {
        // Strings, numbers and string-keyed fields only: serialisation of these cannot fail.
        let mut json = Vec::with_capacity(RECORD_BYTES_USUAL);
        let written = serde_json::to_writer(&mut json, self).map_err(|error| error.to_string());
        let text = written.and_then(|()| String::from_utf8(json).map_err(|error| error.to_string()));
        let json = text.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
        AuditEntry { id: self.id, json: fit(json).into() }
    }

    /// The same of a record whose recipients may be more than one record has room for: each entry has a part of them
    /// and all else. The first one has the record's id, by which the others name it.
    pub fn entries(mut self) -> Vec<AuditEntry> {
        let first = self.id;
        let lists = spread(&self.to).into_iter();
        let entries = lists.map(|list| {
            self.to = list;
            let entry = self.entry();
            (self.id, self.part_of) = (random::record_id(self.time), Some(first));
            entry
        });
        entries.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_fields_of_the_contract_and_no_line_end() {
        let stamp = Stamp { node: "mx1".into(), config: "abc".into() };
        let id = RecordId::from_u128(7);
        let mut record = Record::new(&stamp, Timestamp::from_secs(0), id, Event::InboundRefused);
        record.client = Some(Client { ip: [192, 0, 2, 1].into(), port: 4242, helo: Some("a\nb") });
        record.from = Some("a@partner.example");
        record.to = vec!["b@bank.example"];
        record.reply = Some("550 5.7.10 no".to_owned());
        let entry = record.entry();
        assert!(!entry.json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&entry.json).unwrap();
        assert_eq!(value["event"], "inbound.refused");
        assert_eq!(value["time"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(value["client"]["ip"], "192.0.2.1");
        assert_eq!(value["to"][0], "b@bank.example");
        assert!(value["tls"].is_null() && value["message"].is_null() && value.get("mx").is_none());
    }
}
