//! The audit records of a delivery.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::event::{Event, Outbound as OutboundRecord, Record, RequirementRecord, Stamp};
use crate::clock;
use crate::dns::Security;
use crate::model::envelope::Envelope;
use crate::model::id::SessionId;
use crate::model::reason::Reason;
use crate::model::record::AuditEntry;
use crate::model::reply::Reply;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::outbound::Requirement;
use crate::random;

use super::targets::Target;

/// What all records of one attempt share.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) stamp: Stamp,
    pub(super) session: SessionId,
    pub(super) envelope: Arc<Envelope>,
    pub(super) requirement: Requirement,
    pub(super) attempt: u32,
}

/// Where the attempt stands when the record is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Situation {
    pub(super) target: Option<Target>,
    pub(super) tls: Option<TlsFacts>,
    pub(super) reason: Option<Reason>,
    pub(super) reply: Option<Reply>,
    pub(super) detail: Option<String>,
    pub(super) next_attempt: Option<Timestamp>,
    /// The lifetime is over; `reason` is why the last attempt failed.
    pub(super) expired: bool,
    pub(super) took: Duration,
}

impl Subject {
    /// One record about the recipients at `places`.
    pub(super) fn record(&self, event: Event, places: &[u32], situation: &Situation) -> AuditEntry {
        let time = clock::timestamp();
        let mut record = Record::new(&self.stamp, time, random::record_id(time), event);
        record.session = Some(self.session);
        record.message = Some(self.envelope.id);
        record.from = Some(self.envelope.sender.path.as_str());
        record.to = addresses(&self.envelope, places);
        record.tls = situation.tls.as_ref();
        record.reply = situation.reply.as_ref().map(Reply::to_string);
        record.detail.clone_from(&situation.detail);
        record.outbound = Some(OutboundRecord {
            mx: situation.target.as_ref().map(Target::shown),
            remote: situation.target.as_ref().map(|target| target.address.to_string()),
            dnssec: dnssec(situation.target.as_ref().map(|target| target.security)),
            requirement: RequirementRecord::of(&self.requirement),
            attempt: self.attempt,
            reason: situation.reason,
            next_attempt: situation.next_attempt,
            expired: situation.expired,
            duration_ms: u64::try_from(situation.took.as_millis()).unwrap_or(u64::MAX),
        });
        record.entry()
    }
}

pub(super) fn addresses<'a>(envelope: &'a Envelope, places: &[u32]) -> Vec<&'a str> {
    let recipient = |place: &u32| envelope.recipients.get(usize::try_from(*place).ok()?);
    places.iter().filter_map(recipient).map(|recipient| recipient.address.as_str()).collect()
}

fn dnssec(security: Option<Security>) -> &'static str {
    match security {
        Some(Security::Secure) => "secure",
        Some(Security::Insecure) => "insecure",
        Some(Security::Unknown) | None => "unknown",
    }
}
