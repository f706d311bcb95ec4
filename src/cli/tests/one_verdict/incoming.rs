//! What comes in, asked about in every way.

use std::net::IpAddr;

use proptest::option;
use proptest::prelude::*;

use crate::audit::event::{Event, Policy};
use crate::audit::replay::{Effect, Replay};
use crate::cli::arguments::Explain;
use crate::cli::cases::attempt;
use crate::cli::explain;
use crate::cli::tests::arbitrary;
use crate::config::Config;
use crate::config::cases::{Answer, CaseFile, Inbound, Way};
use crate::explain::session::Session;
use crate::inbound::Snapshot;
use crate::model::address::{Address, ReversePath};
use crate::model::reason::Reason;
use crate::model::reply::Code;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::assumed::ShownCertificate;
use crate::policy::client_certificate::accepted_by;
use crate::policy::inbound::{Judgement, Stage, Verdict};
use crate::policy::relay::Trust;
use crate::policy::settings::Source;
use crate::policy::transaction::{Refusal, Visitor};

use super::{NOT_ASKED_ABOUT, record, stamp, what_if};

/// Stands for the id of the audit record that a real reply names.
const ID: &str = "…";

/// One client that brings one message for one recipient.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    listener: String,
    client: IpAddr,
    /// What the client would show if it were asked.
    certificate: Option<ShownCertificate>,
    tls: Option<TlsFacts>,
    from: ReversePath,
    pub(super) to: Address,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    verdict: Verdict,
    pub(super) stage: Stage,
    reason: Option<Reason>,
    /// Of the command that is not taken, or of what enforcing would answer; `None` where nothing is lacking.
    reply: Option<String>,
    /// That decides, if a policy does.
    rule: String,
}

pub(super) fn transaction() -> impl Strategy<Value = Transaction> {
    let certificate = prop_oneof![
        1 => Just(ShownCertificate::Verified),
        2 => arbitrary::fingerprint().prop_map(ShownCertificate::Fingerprint),
    ];
    let session = (arbitrary::bare_session(), option::weighted(0.2, arbitrary::peer()));
    let session = session.prop_map(|(facts, peer)| facts.map(|facts| TlsFacts { peer, ..facts }));
    let who = (arbitrary::listener(), arbitrary::client(), option::of(certificate), session);
    (who, arbitrary::sender(), arbitrary::recipient()).prop_map(|((listener, client, certificate, tls), from, to)| {
        Transaction { listener, client, certificate, tls, from, to }
    })
}

impl Transaction {
    /// The daemon's way, command by command, and what it writes down in the end.
    pub(super) fn meet(&self, daemon: &Snapshot, config: &Config, at: Timestamp) -> (End, String) {
        let is_asked = config.listeners.iter().any(|one| one.name == self.listener && one.request_client_certificate);
        let shown = self.certificate.filter(|_| is_asked);
        let tls = self.tls.clone().map(|facts| match shown {
            Some(certificate) => certificate.shown_in(facts),
            None => facts,
        });
        let visitor = Visitor { at, ip: self.client, tls: tls.as_ref() };
        let door = daemon.door(&daemon.listeners[self.listener.as_str()]);
        let mail = door.judge_mail(&visitor, &self.from);
        if let Some(refusal) = Refusal::by(&mail) {
            let end = refused(&refusal, Stage::Mail, visitor.tls);
            return (end, self.recorded(Event::InboundRefused, Policy::of(&mail), (tls.as_ref(), false)));
        }
        let rcpt = door.judge_rcpt(&visitor, &self.from, &self.to);
        if let Some(refusal) = rcpt.refusal() {
            let policy = match refusal {
                Refusal::Policy { judgement, .. } => Policy::of(judgement),
                Refusal::Denied(denial) => Policy::other("rcpt", Verdict::Refuse.as_str(), denial.reason()),
            };
            let end = refused(&refusal, Stage::Rcpt, visitor.tls);
            return (end, self.recorded(Event::InboundRefused, policy, (tls.as_ref(), true)));
        }
        let own = rcpt.judgement.unwrap();
        let weighing = if mail.verdict == Verdict::Accept { &own } else { &mail };
        let is_trusted = daemon.trusts_session(self.client, visitor.tls) == Trust::Certificate;
        let lists = is_trusted.then_some(daemon.trusted.certificates.as_slice());
        let noted = visitor.tls.map(|facts| accepted_by(facts, lists));
        let line = self.recorded(Event::InboundAccepted, Policy::of(weighing), (noted.as_ref(), true));
        (taken(weighing, visitor.tls), line)
    }

    /// What is on record of the session may say more than what was judged.
    fn recorded(&self, event: Event, policy: Policy, (tls, with_recipient): (Option<&TlsFacts>, bool)) -> String {
        let stamp = stamp();
        let mut record = record(&stamp, event, &self.from, Some(self.client));
        record.listener = Some(&self.listener);
        record.to = with_recipient.then_some(self.to.as_str()).into_iter().collect();
        record.tls = tls;
        record.policy = Some(policy);
        record.entry().json.to_string()
    }

    pub(super) fn explained(&self, asked: &mut Explain, config: &Config, at: Timestamp) -> End {
        (asked.from, asked.to, asked.at) = (self.from.clone(), self.to.clone(), Some(at));
        (asked.client, asked.listener) = (Some(self.client), Some(self.listener.clone()));
        (asked.client_certificate, asked.plaintext) = (self.certificate, self.tls.is_none());
        let answer = explain::explain(config, asked, &Session::certain(self.tls.clone())).unwrap().json();
        let word = |key: &str| answer[key].as_str().map(str::to_owned);
        let (verdict, stage) = (word("verdict").unwrap(), word("stage").unwrap());
        let verdict = Verdict::ALL.into_iter().find(|one| one.as_str() == verdict).unwrap();
        let reply = match verdict {
            Verdict::Accept => None,
            Verdict::WouldRefuse => word("would_be_reply"),
            Verdict::Defer | Verdict::Refuse => word("reply"),
        };
        End {
            verdict,
            stage: Stage::ALL.into_iter().find(|one| one.as_str() == stage).unwrap(),
            reason: serde_json::from_value(answer["reason"].clone()).unwrap(),
            reply,
            rule: word("rule").unwrap(),
        }
    }

    /// A case that expects this end passes, and one that expects another does not.
    pub(super) fn check_case(
        &self,
        file: &mut CaseFile,
        config: &Config,
        at: Timestamp,
        end: &End,
    ) -> Result<(), TestCaseError> {
        let case = &mut file.cases[0];
        (case.from, case.to, case.at) = (self.from.clone(), self.to.clone(), Some(at));
        (case.client, case.tls) = (Some(self.client), self.tls.clone());
        let code = end.reply.as_deref().filter(|_| end.verdict >= Verdict::Defer).unwrap_or("250");
        let code = Code::new(code.get(..3).unwrap().parse().unwrap()).unwrap();
        let verdicts = Verdict::ALL.map(|verdict| (Answer::Verdict(verdict), verdict == end.verdict));
        for (expected, passes) in verdicts.into_iter().chain([(Answer::Reply(code, None), true)]) {
            file.cases[0].way = Way::Inbound(Inbound {
                certificate: self.certificate,
                listener: Some(self.listener.clone()),
                expected,
                stage: Some(end.stage),
                reason: end.reason,
            });
            let tried = attempt(config, file, &file.cases[0], NOT_ASKED_ABOUT).unwrap();
            prop_assert_eq!(tried.passes, passes, "policy test {:?}, got {}", expected, tried.got());
        }
        Ok(())
    }
}

fn refused(refusal: &Refusal<'_>, stage: Stage, tls: Option<&TlsFacts>) -> End {
    let (verdict, rule) = match refusal {
        Refusal::Policy { judgement, .. } => (judgement.verdict, &judgement.rule),
        Refusal::Denied(_) => (Verdict::Refuse, &Source::BuiltIn),
    };
    let reply = Some(refusal.reply(tls, ID).to_string());
    End { verdict, stage, reason: Some(refusal.reason()), reply, rule: rule.to_string() }
}

fn taken(weighing: &Judgement, tls: Option<&TlsFacts>) -> End {
    let reply = weighing.reason.map(|_| weighing.would_be_reply(tls, ID).to_string());
    let Judgement { verdict, reason, rule, .. } = weighing;
    End { verdict: *verdict, stage: Stage::Rcpt, reason: *reason, reply, rule: rule.to_string() }
}

pub(super) fn replayed(replay: &mut Replay<'_>, line: &str, stage: Stage, to: &Address) -> End {
    let answer = what_if(replay, line, Some(to).filter(|_| stage == Stage::Rcpt)).unwrap();
    let verdict = Verdict::ALL.into_iter().find(|one| Effect::from(*one) == answer.effect).unwrap();
    End { verdict, stage, reason: answer.reason, reply: answer.reply, rule: answer.rule.to_string() }
}
