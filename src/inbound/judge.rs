//! MAIL and RCPT held against the policy: asks the engine, counts, records, and words the reply.

use std::borrow::Cow;
use std::sync::Arc;

use crate::audit::event::{Client as ClientRecord, Event, Policy, Record};
use crate::clock;
use crate::model::address::{Address, ReversePath};
use crate::model::domain::Domain;
use crate::model::envelope::{Recipient, Sender};
use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_text};
use crate::model::id::SessionId;
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::time::Timestamp;
use crate::model::tls::{TlsFacts, TlsOrNone};
use crate::policy::client_certificate::accepted_by;
use crate::policy::inbound::{Judgement, Verdict};
use crate::policy::outbound::{self, NextHop};
use crate::policy::relay::Trust;
use crate::policy::settings::ClientCertificateRule;
use crate::policy::timed::Asker;
use crate::policy::transaction::{Refusal, Visitor};
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

impl Context {
    /// Counts what a client said and what was not taken.
    pub(super) fn refused(&self, reason: Reason) {
        self.inbound.metrics.failures.refused(&self.listener.name, reason);
    }

    /// The reply for what the spool cannot do, which is counted.
    pub(super) fn fault_reply(&self, fault: Fault) -> Reply {
        self.refused(match fault {
            Fault::NoSpace => Reason::NoSpace,
            Fault::Unavailable | Fault::Busy => Reason::SpoolFault,
        });
        fault_reply(fault)
    }
}

/// A transaction under way: the configuration that it is judged by, and what was decided so far.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The moment by which the policies are asked.
    at: Timestamp,
    pub(super) snapshot: Arc<Snapshot>,
    /// The listener as this snapshot has it, which may be newer than the session.
    listener: Arc<Listener>,
    pub(super) trust: Trust,
    sender: Sender,
    mail: Judgement,
    recipients: Vec<(Address, Judgement)>,
}

/// What is known of the session at the moment of a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) tls: Option<&'a TlsFacts>,
    pub(super) helo: Option<&'a str>,
}

/// The command that is refused, for the record.
#[derive(Clone, Copy)]
struct Refused<'a> {
    sender: &'a Sender,
    /// `None` at MAIL.
    recipient: Option<&'a Address>,
}

/// Why a command is refused.
#[derive(Clone, Copy)]
enum Why<'a> {
    Door(Refusal<'a>),
    /// The back end of this domain is known to lack REQUIRETLS.
    BackEnd(&'a Domain),
}

impl Transaction {
    /// Judges MAIL. A transaction exists only if the sender is taken.
    pub(super) fn begin(context: &Context, sender: &Sender, standing: Standing<'_>) -> Result<Self, Reply> {
        let snapshot = context.inbound.snapshot.load_full();
        ready(context, &snapshot)?;
        let listener = snapshot.listeners.get(&context.listener.name).unwrap_or(&context.listener).clone();
        let at = clock::timestamp();
        let visitor = visitor(context, standing, at);
        let trust = snapshot.trusts_session(visitor.ip, visitor.tls);
        let mail = snapshot.door(&listener).judge_mail(&visitor, &sender.path);
        count(context, &mail);
        if let Some(refusal) = Refusal::by(&mail) {
            let refused = Refused { sender, recipient: None };
            return Err(record(context, &snapshot, (Why::Door(refusal), refused), standing));
        }
        Ok(Self { at, snapshot, listener, trust, sender: sender.clone(), mail, recipients: Vec::new() })
    }

    /// Judges RCPT.
    pub(super) fn recipient(
        &mut self,
        context: &Context,
        recipient: &Recipient,
        standing: Standing<'_>,
    ) -> Result<(), Reply> {
        let address = &recipient.address;
        let door = self.snapshot.door(&self.listener);
        let answer = door.judge_rcpt(&visitor(context, standing, self.at), &self.sender.path, address);
        if let Some(judgement) = &answer.judgement {
            count(context, judgement);
        }
        let by_back_end = || self.lacking_back_end(context, address).map(Why::BackEnd);
        if let Some(why) = answer.refusal().map(Why::Door).or_else(by_back_end) {
            let refused = Refused { sender: &self.sender, recipient: Some(address) };
            return Err(record(context, &self.snapshot, (why, refused), standing));
        }
        self.recipients.extend(answer.judgement.map(|judgement| (address.clone(), judgement)));
        Ok(())
    }

    /// The hosted domain of a recipient whose message would only come back, as it demands TLS and the back end is known
    /// not to promise it (RFC 8689 section 4.2.1). Notices are taken all the same (section 5).
    fn lacking_back_end<'a>(&self, context: &Context, recipient: &'a Address) -> Option<&'a Domain> {
        let is_asked = self.sender.require_tls && self.sender.path != ReversePath::Null;
        let policies = &self.snapshot.policies;
        let domain = recipient.domain().filter(|domain| is_asked && policies.is_hosted(domain))?;
        let asker = Asker { at: self.at, client: Some(context.address.ip()), sender: &self.sender.path };
        let NextHop::Route(route) = outbound::decide(policies, Some(domain), &asker).next_hop else { return None };
        context.inbound.back_ends.lack_requiretls(&route.hosts, clock::now()).then_some(domain)
    }

    /// The accepted recipients by the judgement that weighs more for each, as
    /// [`crate::policy::transaction::Transacted::weighing`] says; of those with the same stage, verdict, rule and
    /// exception one stands for all.
    pub(super) fn verdicts(&self) -> Vec<(&Judgement, Vec<&str>)> {
        let mut groups: Vec<(&Judgement, Vec<&str>)> = Vec::new();
        for (address, judgement) in &self.recipients {
            let weighing = if self.mail.verdict == Verdict::Accept { judgement } else { &self.mail };
            let same = |(seen, _): &&mut (&Judgement, Vec<&str>)| {
                seen.stage == weighing.stage
                    && seen.verdict == weighing.verdict
                    && seen.rule == weighing.rule
                    && seen.exception == weighing.exception
            };
            match groups.iter_mut().find(same) {
                Some((_, addresses)) => addresses.push(address.as_str()),
                None => groups.push((weighing, vec![address.as_str()])),
            }
        }
        groups
    }

    /// The facts of the session, with what the certificate was accepted by.
    pub(super) fn recorded(&self, facts: &TlsFacts) -> TlsFacts {
        let trusted = &self.snapshot.trusted.certificates;
        let by_trust = (self.trust == Trust::Certificate).then_some(trusted.as_slice());
        let judgements = self.recipients.iter().map(|(_, judgement)| judgement).chain([&self.mail]);
        let by_policy = judgements.filter_map(|judgement| match &judgement.in_force.client_certificate.value {
            ClientCertificateRule::Fingerprints(list) => Some(list.as_ref()),
            _ => None,
        });
        accepted_by(facts, by_trust.into_iter().chain(by_policy))
    }
}

fn visitor<'a>(context: &Context, standing: Standing<'a>, at: Timestamp) -> Visitor<'a> {
    Visitor { at, ip: context.address.ip(), tls: standing.tls }
}

fn count(context: &Context, judgement: &Judgement) {
    let label = judgement.subject.label();
    context.inbound.metrics.policy_decision(judgement.stage, label, judgement.verdict, judgement.reason);
}

/// Writes a refusal down, if the client has not had too many, and gives the reply that names the record.
fn record(
    context: &Context,
    snapshot: &Snapshot,
    (why, refused): (Why<'_>, Refused<'_>),
    standing: Standing<'_>,
) -> Reply {
    let time = clock::timestamp();
    let id = random::record_id(time);
    let reply = why.reply(standing.tls, &id.to_string());
    let policy = why.policy();
    context.refused(why.reason());
    let from = refused.sender.path.as_str();
    tracing::info!(
        session = %context.session, client = %context.address.ip(),
        from = %shown(from), to = %shown(refused.recipient.map_or("", Address::as_str)),
        tls = %TlsOrNone(standing.tls), reason = %why.reason(), rule = %policy.rule, %reply, "refused"
    );
    if context.inbound.may_record(context.address.ip()) {
        let mut record = Record::new(&snapshot.stamp, time, id, Event::InboundRefused);
        record.session = Some(context.session);
        record.listener = Some(&context.listener.name);
        record.client =
            Some(ClientRecord { ip: context.address.ip(), port: context.address.port(), helo: standing.helo });
        record.from = Some(from);
        record.to = refused.recipient.map(Address::as_str).into_iter().collect();
        record.tls = standing.tls;
        record.requiretls = refused.sender.require_tls;
        record.policy = Some(policy);
        record.reply = Some(reply.to_string());
        if let Err(fault) = context.inbound.spool.record_lazily(None, vec![record.entry()]) {
            tracing::warn!(%id, %fault, "a refusal could not be recorded");
        }
    }
    reply
}

impl Why<'_> {
    fn reason(self) -> Reason {
        match self {
            Self::Door(refusal) => refusal.reason(),
            Self::BackEnd(_) => Reason::NeedsRequireTls,
        }
    }

    /// `tls` is that of the session; `id` is the audit record's.
    fn reply(self, tls: Option<&TlsFacts>, id: &str) -> Reply {
        match self {
            Self::Door(refusal) => refusal.reply(tls, id),
            Self::BackEnd(domain) => {
                let text = format!("REQUIRETLS support required: the mail host of {domain} does not offer it; id={id}");
                Reply::new(Code::REFUSED, EnhancedCode::new(5, 7, 30), text)
            }
        }
    }

    fn policy(self) -> Policy {
        match self {
            Self::Door(Refusal::Policy { judgement, .. }) => Policy::of(judgement),
            Self::Door(Refusal::Denied(_)) | Self::BackEnd(_) => {
                Policy::other("rcpt", Verdict::Refuse.as_str(), self.reason())
            }
        }
    }
}

/// An address in a log line.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    peer_text(text, PEER_TEXT_BYTES_MAX)
}

/// Whether mail can be taken at all; the reply if not.
pub(super) fn ready(context: &Context, snapshot: &Snapshot) -> Result<(), Reply> {
    context.inbound.spool.admission().map_err(|fault| context.fault_reply(fault))?;
    if snapshot.needs_audit && !context.inbound.audit.is_writable() {
        context.refused(Reason::AuditFault);
        let text = "The audit log cannot be written; try again later";
        return Err(Reply::new(Code::LOCAL_ERROR, EnhancedCode::new(4, 3, 0), text));
    }
    Ok(())
}

fn fault_reply(fault: Fault) -> Reply {
    match fault {
        Fault::NoSpace => {
            Reply::new(Code::NO_STORAGE, EnhancedCode::new(4, 3, 1), "Insufficient system storage; try again later")
        }
        Fault::Unavailable | Fault::Busy => {
            Reply::new(Code::LOCAL_ERROR, EnhancedCode::new(4, 3, 0), "The message cannot be stored; try again later")
        }
    }
}
