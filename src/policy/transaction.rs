//! The order in which a transaction is judged: MAIL, and for each recipient whether it may be sent to, then its policy.
//!
//! The daemon walks it command by command, `policy explain` and tests of a listener at once; the answers are the same.

use std::net::IpAddr;

use crate::model::address::{Address, ReversePath};
use crate::model::reason::Reason;
use crate::model::reply::Reply;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;

use super::inbound::{Client, Floor, Judgement, Question, Stage, Verdict, judge};
use super::relay::{Denial, Permission, Role, Trust, TrustedClients, admit};
use super::rules::PolicySet;
use super::settings::Source;

/// One listener with everything that its verdicts depend on.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    pub policies: &'a PolicySet,
    pub trusted: &'a TrustedClients,
    pub role: Role,
    /// Role mx: trusted clients may send anywhere.
    pub relay: bool,
    pub floor: &'a Floor,
}

/// Who comes to a listener.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// The moment by which the policies are asked, the same for a whole transaction.
    pub at: Timestamp,
    pub ip: IpAddr,
    /// `None` is plaintext.
    pub tls: Option<&'a TlsFacts>,
}

impl Door<'_> {
    pub fn trust(&self, visitor: &Visitor<'_>) -> Trust {
        self.trusted.trust(visitor.ip, visitor.tls)
    }

    pub fn judge_mail(&self, visitor: &Visitor<'_>, sender: &ReversePath) -> Judgement {
        self.ask(visitor, self.trust(visitor), sender, None)
    }

    /// The recipient's policy is not asked about mail that would not be relayed, and who does not meet it is not told
    /// which recipients exist.
    pub fn judge_rcpt(&self, visitor: &Visitor<'_>, sender: &ReversePath, recipient: &Address) -> RcptAnswer {
        let trust = self.trust(visitor);
        let permission = Permission::of(self.role, self.relay, trust);
        let denial = admit(self.policies, permission, recipient).err();
        let is_asked = denial != Some(Denial::Relay);
        RcptAnswer { denial, judgement: is_asked.then(|| self.ask(visitor, trust, sender, Some(recipient))) }
    }

    /// A whole transaction with one recipient.
    pub fn transact(&self, visitor: &Visitor<'_>, sender: &ReversePath, recipient: &Address) -> Transacted {
        let mail = self.judge_mail(visitor, sender);
        let rcpt = mail.passes().then(|| self.judge_rcpt(visitor, sender, recipient));
        Transacted { mail, rcpt }
    }

    fn ask(&self, visitor: &Visitor<'_>, trust: Trust, sender: &ReversePath, recipient: Option<&Address>) -> Judgement {
        let answers_to_floor = self.role.answers_to_floor(trust);
        let client = if answers_to_floor { Client::Trusted(self.floor, self.role) } else { Client::Stranger };
        let Visitor { at, ip, tls } = *visitor;
        judge(self.policies, &Question { at, ip, client, sender, recipient, tls })
    }
}

/// What was found about one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptAnswer {
    /// `None` if the recipient would be taken, apart from TLS.
    pub denial: Option<Denial>,
    /// `None` if relaying is denied: then no policy was asked.
    pub judgement: Option<Judgement>,
}

impl RcptAnswer {
    /// `None` if the recipient is taken. The policy speaks before the list of recipients does.
    pub fn refusal(&self) -> Option<Refusal<'_>> {
        let by_policy = self.judgement.as_ref().and_then(Refusal::by);
        by_policy.or(self.denial.map(Refusal::Denied))
    }
}

/// What answers a command that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    Policy { judgement: &'a Judgement, reason: Reason },
    Denied(Denial),
}

impl<'a> Refusal<'a> {
    /// `None` if the judgement lets the command pass.
    pub fn by(judgement: &'a Judgement) -> Option<Self> {
        let reason = judgement.reason.filter(|_| !judgement.passes())?;
        Some(Self::Policy { judgement, reason })
    }

    pub fn reason(&self) -> Reason {
        match self {
            Self::Policy { reason, .. } => *reason,
            Self::Denied(denial) => denial.reason(),
        }
    }

    /// `tls` is that of the session; `id` is the audit record's.
    pub fn reply(&self, tls: Option<&TlsFacts>, id: &str) -> Reply {
        match self {
            Self::Policy { judgement, .. } => judgement.would_be_reply(tls, id),
            Self::Denied(denial) => denial.reply(id),
        }
    }
}

/// A transaction with one recipient, as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transacted {
    pub mail: Judgement,
    /// `None` if MAIL was not taken.
    pub rcpt: Option<RcptAnswer>,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    /// The command that was answered last.
    pub stage: Stage,
    /// `None` if it was taken and nothing is reported.
    pub reason: Option<Reason>,
    /// The reply to the command that was not taken; `None` where the recipient is taken.
    pub reply: Option<Reply>,
    /// What enforcing would answer where it is only reported.
    pub would_be: Option<Reply>,
}

impl Transacted {
    /// `None` if both commands are taken.
    pub fn refusal(&self) -> Option<Refusal<'_>> {
        Refusal::by(&self.mail).or(self.rcpt.as_ref().and_then(RcptAnswer::refusal))
    }

    /// The judgement that weighs more. Where both only report it is MAIL's, which would be the one to refuse.
    pub fn weighing(&self) -> &Judgement {
        let rcpt = self.rcpt.as_ref().and_then(|rcpt| rcpt.judgement.as_ref());
        let weighs = |rcpt: &&Judgement| rcpt.verdict > self.mail.verdict || self.mail.verdict == Verdict::Accept;
        rcpt.filter(weighs).unwrap_or(&self.mail)
    }

    /// The rule that decides, as audit records name it; who may relay and who exists is built in.
    pub fn rule(&self) -> &Source {
        match self.refusal() {
            Some(Refusal::Denied(_)) => &Source::BuiltIn,
            Some(Refusal::Policy { judgement, .. }) => &judgement.rule,
            None => &self.weighing().rule,
        }
    }

    /// `tls` is that of the visitor; `id` stands for the audit record's in replies.
    pub fn outcome(&self, tls: Option<&TlsFacts>, id: &str) -> Outcome {
        let stage = if self.rcpt.is_some() { Stage::Rcpt } else { Stage::Mail };
        let Some(refusal) = self.refusal() else {
            let judgement = self.weighing();
            let is_reported = judgement.verdict == Verdict::WouldRefuse;
            let would_be = is_reported.then(|| judgement.would_be_reply(tls, id));
            return Outcome { verdict: judgement.verdict, stage, reason: judgement.reason, reply: None, would_be };
        };
        let verdict = match refusal {
            Refusal::Policy { judgement, .. } => judgement.verdict,
            Refusal::Denied(_) => Verdict::Refuse,
        };
        let (reason, reply) = (Some(refusal.reason()), Some(refusal.reply(tls, id)));
        Outcome { verdict, stage, reason, reply, would_be: None }
    }
}

#[cfg(test)]
mod tests;
