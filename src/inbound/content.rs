//! The content of one message on its way in: trace field, header scan, spool; then envelope, record and commit.

use std::sync::Arc;

use bytes::Bytes;

use crate::audit::event::{Client as ClientRecord, Event, Policy, Record};
use crate::clock;
use crate::mail::headers::HeaderScan;
use crate::mail::received::{self, Greeting, Protocol, Trace};
use crate::model::envelope::{Envelope, Origin, Trust};
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::record::AuditEntry;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::time::Timestamp;
use crate::model::tls::{TlsFacts, TlsOrNone};
use crate::policy;
use crate::policy::inbound::{Judgement, Verdict};
use crate::random;
use crate::smtp::server;
use crate::spool::{Fault, Intake, NewMessage};

use super::judge::{Context, Transaction, ready, shown};

/// Content that is coming in.
#[derive(Debug)]
pub(super) struct Content {
    id: MessageId,
    began: Timestamp,
    envelope: server::Transaction,
    intake: Option<Intake>,
    scan: HeaderScan,
    /// The spool gave up; the rest is read and dropped.
    fault: Option<Fault>,
}

impl Content {
    /// Opens a place in the spool and writes the trace field.
    pub(super) async fn begin(
        context: &Context,
        transaction: &Transaction,
        envelope: server::Transaction,
        tls: Option<&TlsFacts>,
    ) -> Result<Self, Reply> {
        ready(context, &transaction.snapshot)?;
        let began = clock::timestamp();
        let id = random::message_id(began);
        let intake = context.inbound.spool.begin(id).map_err(|fault| context.fault_reply(fault))?;
        let trace = trace_field(context, &envelope, tls, id, began);
        let mut content = Self { id, began, envelope, intake: Some(intake), scan: HeaderScan::default(), fault: None };
        content.store(trace.into()).await;
        Ok(content)
    }

    /// The next octets. A fault of the spool is told at the end, as SMTP has no way to tell it here.
    pub(super) async fn push(&mut self, chunk: Vec<u8>) {
        self.scan.push(&chunk);
        self.store(chunk.into()).await;
    }

    async fn store(&mut self, chunk: Bytes) {
        let Some(intake) = &mut self.intake else { return };
        if let Err(fault) = intake.push(chunk).await {
            self.fault = Some(fault);
            self.intake = None;
        }
    }

    /// Makes the message durable. Only after `Ok` may the client be told so.
    pub(super) async fn commit(
        mut self,
        context: &Context,
        transaction: &Transaction,
        tls: Option<&TlsFacts>,
    ) -> Result<MessageId, Reply> {
        if self.scan.received_count() >= transaction.snapshot.hops_max {
            return Err(self.looping(context, transaction, tls));
        }
        let sealed = match (self.fault, self.intake.take()) {
            (None, Some(intake)) => {
                let size = intake.length();
                intake.seal().await.map(|sealed| (sealed, size))
            }
            (fault, _) => Err(fault.unwrap_or(Fault::Unavailable)),
        };
        let (content, size) = sealed.map_err(|fault| self.not_stored(context, fault))?;
        let envelope = Arc::new(self.envelope(context, transaction, tls, size));
        let records = self.accepted_records(context, transaction, &envelope);
        let message = NewMessage { envelope: envelope.clone(), content };
        context.inbound.spool.accept(message, records).await.map_err(|fault| self.not_stored(context, fault))?;
        context.inbound.metrics.message_accepted(&context.listener.name, tls);
        tracing::info!(
            id = %self.id, session = %context.session, client = %context.address.ip(),
            from = %shown(envelope.sender.path.as_str()), recipients = envelope.recipients.len(), size,
            tls = %TlsOrNone(tls), "accepted"
        );
        Ok(self.id)
    }

    fn envelope(&self, context: &Context, transaction: &Transaction, tls: Option<&TlsFacts>, size: u64) -> Envelope {
        let trust = match transaction.trust {
            policy::relay::Trust::Stranger => Trust::Stranger,
            policy::relay::Trust::Network | policy::relay::Trust::Certificate => Trust::Trusted,
        };
        Envelope {
            id: self.id,
            received_at: self.began,
            sender: self.envelope.sender.clone(),
            recipients: self.envelope.recipients.clone(),
            origin: Origin {
                session: context.session,
                listener: context.listener.name.to_string(),
                ip: Some(context.address.ip()),
                port: context.address.port(),
                helo: self.envelope.helo.clone(),
                trust,
                tls: tls.map(|facts| transaction.recorded(facts)),
            },
            size,
            eight_bit: self.scan.eight_bit(),
            // RFC 8689 section 4.1: REQUIRETLS overrules the field.
            tls_required_no: self.scan.tls_required_no() && !self.envelope.sender.require_tls,
            tls_report: false,
        }
    }

    /// A record for each verdict that the recipients got, or several if they are too many for one.
    fn accepted_records(&self, context: &Context, transaction: &Transaction, envelope: &Envelope) -> Vec<AuditEntry> {
        let verdicts = transaction.verdicts();
        let record = |(judgement, to): (&Judgement, Vec<&str>)| {
            let time = clock::timestamp();
            let mut record =
                Record::new(&transaction.snapshot.stamp, time, random::record_id(time), Event::InboundAccepted);
            let id = record.id.to_string();
            self.describe(&mut record, context, envelope.sender.path.as_str());
            record.to = to;
            record.tls = envelope.origin.tls.as_ref();
            record.reply = Some(format!("250 2.0.0 Ok: queued as {}", self.id));
            record.size = Some(envelope.size);
            record.tls_required_no = envelope.tls_required_no;
            record.policy = Some(Policy::of(judgement));
            if judgement.verdict == Verdict::WouldRefuse {
                let reply = judgement.would_be_reply(envelope.origin.tls.as_ref(), &id);
                record.detail = Some(format!("in mode \"enforce\" the reply would be: {reply}"));
            }
            record.entries()
        };
        verdicts.into_iter().flat_map(record).collect()
    }

    fn describe<'a>(&'a self, record: &mut Record<'a>, context: &'a Context, from: &'a str) {
        record.session = Some(context.session);
        record.message = Some(self.id);
        record.listener = Some(&context.listener.name);
        let (ip, port) = (context.address.ip(), context.address.port());
        record.client = Some(ClientRecord { ip, port, helo: Some(&self.envelope.helo) });
        record.from = Some(from);
        record.requiretls = self.envelope.sender.require_tls;
    }

    /// RFC 5321 section 6.3.
    fn looping(&self, context: &Context, transaction: &Transaction, tls: Option<&TlsFacts>) -> Reply {
        let text = format!("Mail loop: more than {} Received fields", transaction.snapshot.hops_max);
        let reply = Reply::new(Code::FAILED, EnhancedCode::new(5, 4, 6), text);
        self.refused(context, transaction, tls, (Reason::Loop, Some(&reply)));
        reply
    }

    /// Records that content was not taken.
    pub(super) fn refused(
        &self,
        context: &Context,
        transaction: &Transaction,
        tls: Option<&TlsFacts>,
        why: (Reason, Option<&Reply>),
    ) {
        let (reason, reply) = why;
        tracing::info!(session = %context.session, client = %context.address.ip(), %reason, "content refused");
        context.refused(reason);
        if !context.inbound.may_record(context.address.ip()) {
            return;
        }
        let time = clock::timestamp();
        let mut record = Record::new(&transaction.snapshot.stamp, time, random::record_id(time), Event::InboundRefused);
        self.describe(&mut record, context, self.envelope.sender.path.as_str());
        record.to = self.envelope.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
        record.tls = tls;
        record.policy = Some(Policy::other("data", Verdict::Refuse.as_str(), reason));
        record.reply = reply.map(Reply::to_string);
        if let Err(fault) = context.inbound.spool.record_lazily(None, record.entries()) {
            tracing::warn!(%fault, "a refusal could not be recorded");
        }
    }

    fn not_stored(&self, context: &Context, fault: Fault) -> Reply {
        tracing::error!(session = %context.session, id = %self.id, %fault, "a message was not stored and not accepted");
        context.fault_reply(fault)
    }
}

fn trace_field(
    context: &Context,
    envelope: &server::Transaction,
    tls: Option<&TlsFacts>,
    id: MessageId,
    at: Timestamp,
) -> String {
    let greeting = if envelope.esmtp { Greeting::Ehlo } else { Greeting::Helo };
    let protocol = Protocol { greeting, authenticated: false, smtputf8: envelope.sender.smtputf8 };
    let client = received::Client { helo: &envelope.helo, ip: context.address.ip().to_canonical(), protocol, tls };
    let recipient = match envelope.recipients.as_slice() {
        [one] => Some(&one.address),
        _ => None,
    };
    let hostname = context.listener.session.hostname.as_str();
    Trace { client: Some(client), hostname, id, recipient, at }.field()
}
