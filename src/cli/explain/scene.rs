//! One transaction walked through as the daemon walks it: MAIL, and if that passes RCPT.

use std::net::IpAddr;

use crate::config::{Config, ListenerConfig};
use crate::model::address::{Address, ReversePath};
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::model::tls::TlsFacts;
use crate::policy::inbound::{Client, Floor, Judgement, Question, Stage, Verdict, judge};
use crate::policy::relay::{Admission, Permission, admit};

/// Stands for the id of the audit record that a real reply names.
const ID: &str = "…";

/// Who sends what to whom, and where they come in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) config: &'a Config,
    pub(super) listener: &'a ListenerConfig,
    pub(super) client: IpAddr,
    pub(super) client_is_assumed: bool,
    pub(super) from: &'a ReversePath,
    pub(super) to: &'a Address,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Played {
    /// `None` is plaintext.
    pub(super) tls: Option<TlsFacts>,
    pub(super) mail: Judgement,
    /// `None` if MAIL was not accepted.
    pub(super) admission: Option<Admission>,
    /// `None` if the recipient was not judged.
    pub(super) rcpt: Option<Judgement>,
    pub(super) outcome: Outcome,
}

/// How it ended.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    /// The command that was answered last.
    pub(super) stage: Stage,
    /// `None` if accepted.
    pub(super) reason: Option<Reason>,
    pub(super) reply: Reply,
    /// What enforcing would answer where the mode only reports.
    pub(super) would_be: Option<Reply>,
}

impl Scene<'_> {
    pub(super) fn is_trusted(&self) -> bool {
        let ip = self.client.to_canonical();
        self.config.relay.trusted.iter().any(|net| net.contains(&ip))
    }

    /// The order is the daemon's: the recipient's policy is not asked about mail that would not be relayed, and who
    /// does not meet it is not told which recipients exist.
    pub(super) fn play(&self, tls: Option<TlsFacts>) -> Played {
        let floor = Floor {
            min_version: self.listener.min_version,
            cipher: self.listener.cipher,
            source: self.listener.floor_source.clone(),
        };
        let trusted = self.is_trusted();
        let client =
            if self.listener.role.answers_to_floor(trusted) { Client::Trusted(&floor) } else { Client::Stranger };
        let ask = |recipient| {
            judge(&self.config.policies, &Question { client, sender: self.from, recipient, tls: tls.as_ref() })
        };
        let mail = ask(None);
        if mail.verdict > Verdict::WouldRefuse {
            let outcome = Outcome::of(&mail, tls.as_ref());
            return Played { tls, mail, admission: None, rcpt: None, outcome };
        }
        let admission =
            admit(&self.config.policies, Permission::of(self.listener.role, self.listener.relay, trusted), self.to);
        let rcpt = (admission != Admission::RelayDenied).then(|| ask(Some(self.to)));
        let outcome = outcome(&mail, admission, rcpt.as_ref(), tls.as_ref());
        Played { tls, mail, admission: Some(admission), rcpt, outcome }
    }
}

/// How a transaction ends whose MAIL passed.
fn outcome(mail: &Judgement, admission: Admission, rcpt: Option<&Judgement>, tls: Option<&TlsFacts>) -> Outcome {
    if let Some(rcpt) = rcpt.filter(|rcpt| rcpt.verdict > Verdict::WouldRefuse) {
        return Outcome::of(rcpt, tls);
    }
    if let Some(reply) = admission.reply(ID) {
        let reason = admission.reason();
        return Outcome { verdict: Verdict::Refuse, stage: Stage::Rcpt, reason, reply, would_be: None };
    }
    let reported = rcpt.into_iter().chain([mail]).find(|judgement| judgement.verdict == Verdict::WouldRefuse);
    let mut outcome = Outcome::of(reported.or(rcpt).unwrap_or(mail), tls);
    outcome.stage = Stage::Rcpt;
    outcome
}

impl Outcome {
    fn of(judgement: &Judgement, tls: Option<&TlsFacts>) -> Self {
        let Judgement { verdict, stage, reason, .. } = *judgement;
        let would_be = (verdict == Verdict::WouldRefuse).then(|| judgement.would_be_reply(tls, ID));
        // The words of the server for a recipient that it takes.
        let accepted = || Reply::new(Code::OK, EnhancedCode::new(2, 1, 5), "Recipient ok");
        let reply = judgement.reply(tls, ID).unwrap_or_else(accepted);
        Self { verdict, stage, reason, reply, would_be }
    }
}
