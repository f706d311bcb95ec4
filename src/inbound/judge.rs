//! MAIL and RCPT held against the policy: asks the engine, counts, records, and words the reply.

use std::borrow::Cow;
use std::sync::Arc;

use crate::audit::event::{Client as ClientRecord, Event, Policy, Record};
use crate::clock;
use crate::model::address::{Address, ReversePath};
use crate::model::envelope::{Recipient, Sender};
use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_text};
use crate::model::id::SessionId;
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::tls::{TlsFacts, TlsOrNone};
use crate::policy::inbound::{Client, Judgement, Question, Verdict, judge};
use crate::policy::relay::{Admission, Permission, admit};
use crate::random;
use crate::spool::Fault;

use super::{Inbound, Listener, Snapshot};

/// One connection, as judging and recording need it.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) inbound: Arc<Inbound>,
    pub(super) session: SessionId,
    pub(super) address: std::net::SocketAddr,
    pub(super) listener: Arc<Listener>,
}

/// A transaction under way: the configuration that it is judged by, and what was decided so far.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) snapshot: Arc<Snapshot>,
    /// The listener as this snapshot has it, which may be newer than the session.
    listener: Arc<Listener>,
    pub(super) trusted: bool,
    pub(super) sender: ReversePath,
    mail: Judgement,
    recipients: Vec<(Address, Judgement)>,
}

/// What is known of the session at the moment of a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) tls: Option<&'a TlsFacts>,
    pub(super) helo: Option<&'a str>,
}

/// What was refused, for the record.
struct Refusal<'a> {
    reason: Reason,
    policy: Policy,
    sender: &'a ReversePath,
    recipient: Option<&'a Address>,
}

impl Transaction {
    /// Judges MAIL. A transaction exists only if the sender is taken.
    pub(super) fn begin(context: &Context, sender: &Sender, standing: Standing<'_>) -> Result<Self, Reply> {
        let snapshot = context.inbound.snapshot.load_full();
        ready(&context.inbound, &snapshot)?;
        let trusted = snapshot.trusts(context.address.ip());
        let listener = snapshot.listeners.get(&context.listener.name).unwrap_or(&context.listener).clone();
        let question =
            Question { client: client(&listener, trusted), sender: &sender.path, recipient: None, tls: standing.tls };
        let mail = judge(&snapshot.policies, &question);
        let transaction =
            Self { snapshot, listener, trusted, sender: sender.path.clone(), mail, recipients: Vec::new() };
        transaction.settle(context, &transaction.mail, None, standing)?;
        Ok(transaction)
    }

    /// Judges RCPT.
    pub(super) fn recipient(
        &mut self,
        context: &Context,
        recipient: &Recipient,
        standing: Standing<'_>,
    ) -> Result<(), Reply> {
        let address = &recipient.address;
        let admission = admit(
            &self.snapshot.policies,
            Permission::of(self.listener.role, self.listener.relay, self.trusted),
            address,
        );
        if admission == Admission::RelayDenied {
            return self.not_admitted(context, admission, address, standing);
        }
        let question = Question {
            client: client(&self.listener, self.trusted),
            sender: &self.sender,
            recipient: Some(address),
            tls: standing.tls,
        };
        let judgement = judge(&self.snapshot.policies, &question);
        self.settle(context, &judgement, Some(address), standing)?;
        self.not_admitted(context, admission, address, standing)?;
        self.recipients.push((address.clone(), judgement));
        Ok(())
    }

    /// The accepted recipients by the judgement that weighs more for each, MAIL's or its own.
    pub(super) fn verdicts(&self) -> Vec<(&Judgement, Vec<&str>)> {
        let mut groups: Vec<(&Judgement, Vec<&str>)> = Vec::new();
        for (address, judgement) in &self.recipients {
            let weighing = if judgement.verdict == Verdict::Accept { self.heavier(judgement) } else { judgement };
            let same = |(seen, _): &&mut (&Judgement, Vec<&str>)| {
                seen.verdict == weighing.verdict && seen.rule == weighing.rule
            };
            match groups.iter_mut().find(same) {
                Some((_, addresses)) => addresses.push(address.as_str()),
                None => groups.push((weighing, vec![address.as_str()])),
            }
        }
        groups
    }

    fn heavier<'a>(&'a self, own: &'a Judgement) -> &'a Judgement {
        if self.mail.verdict == Verdict::Accept { own } else { &self.mail }
    }

    /// Counts a judgement; refuses if it says so.
    fn settle(
        &self,
        context: &Context,
        judgement: &Judgement,
        recipient: Option<&Address>,
        standing: Standing<'_>,
    ) -> Result<(), Reply> {
        let label = judgement.subject.label();
        context.inbound.metrics.policy_decision(judgement.stage, label, judgement.verdict, judgement.reason);
        let Some(reason) = judgement.reason.filter(|_| judgement.verdict > Verdict::WouldRefuse) else {
            return Ok(());
        };
        let refusal = Refusal { reason, policy: Policy::of(judgement), sender: &self.sender, recipient };
        Err(record(context, &self.snapshot, refusal, standing, |id| judgement.would_be_reply(standing.tls, id)))
    }

    fn not_admitted(
        &self,
        context: &Context,
        admission: Admission,
        address: &Address,
        standing: Standing<'_>,
    ) -> Result<(), Reply> {
        let Some(reason) = admission.reason() else { return Ok(()) };
        let policy = Policy::other("rcpt", Verdict::Refuse.as_str(), reason);
        let refusal = Refusal { reason, policy, sender: &self.sender, recipient: Some(address) };
        let fallback = || Reply::new(Code::REFUSED, EnhancedCode::new(5, 7, 1), "Refused");
        Err(record(context, &self.snapshot, refusal, standing, |id| admission.reply(id).unwrap_or_else(fallback)))
    }
}

fn client(listener: &Listener, trusted: bool) -> Client<'_> {
    if listener.role.answers_to_floor(trusted) { Client::Trusted(&listener.floor) } else { Client::Stranger }
}

/// Writes a refusal down, if the client has not had too many, and gives the reply that names the record.
fn record(
    context: &Context,
    snapshot: &Snapshot,
    refusal: Refusal<'_>,
    standing: Standing<'_>,
    reply: impl FnOnce(&str) -> Reply,
) -> Reply {
    let time = clock::timestamp();
    let id = random::record_id(time);
    let reply = reply(&id.to_string());
    tracing::info!(
        session = %context.session, client = %context.address.ip(),
        from = %shown(refusal.sender.as_str()), to = %shown(refusal.recipient.map_or("", Address::as_str)),
        tls = %TlsOrNone(standing.tls), reason = %refusal.reason, rule = %refusal.policy.rule, %reply, "refused"
    );
    if context.inbound.may_record(context.address.ip()) {
        let mut record = Record::new(&snapshot.stamp, time, id, Event::InboundRefused);
        record.session = Some(context.session);
        record.listener = Some(&context.listener.name);
        record.client =
            Some(ClientRecord { ip: context.address.ip(), port: context.address.port(), helo: standing.helo });
        record.from = Some(refusal.sender.as_str());
        record.to = refusal.recipient.map(Address::as_str).into_iter().collect();
        record.tls = standing.tls;
        record.policy = Some(refusal.policy);
        record.reply = Some(reply.to_string());
        if let Err(fault) = context.inbound.spool.record_lazily(None, vec![record.entry()]) {
            tracing::warn!(%id, %fault, "a refusal could not be recorded");
        }
    }
    reply
}

/// An address in a log line.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    peer_text(text, PEER_TEXT_BYTES_MAX)
}

/// Whether mail can be taken at all; the reply if not.
pub(super) fn ready(inbound: &Inbound, snapshot: &Snapshot) -> Result<(), Reply> {
    inbound.spool.admission().map_err(fault_reply)?;
    if snapshot.needs_audit && !inbound.audit.is_writable() {
        let text = "The audit log cannot be written; try again later";
        return Err(Reply::new(Code::LOCAL_ERROR, EnhancedCode::new(4, 3, 0), text));
    }
    Ok(())
}

/// The reply for what the spool cannot do.
pub(super) fn fault_reply(fault: Fault) -> Reply {
    match fault {
        Fault::NoSpace => {
            Reply::new(Code::NO_STORAGE, EnhancedCode::new(4, 3, 1), "Insufficient system storage; try again later")
        }
        Fault::Unavailable | Fault::Busy => {
            Reply::new(Code::LOCAL_ERROR, EnhancedCode::new(4, 3, 0), "The message cannot be stored; try again later")
        }
    }
}
