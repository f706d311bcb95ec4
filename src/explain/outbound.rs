//! What goes out: where it goes, what a session there must meet, and what becomes of the message, by the daemon's own
//! engine.

pub mod facts;
pub mod headline;
pub mod in_force;
mod json;
pub mod kinds;
pub mod notice;
pub mod question;
pub mod tlsa;

use serde_json::Value;

use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::delivery::{DeliveryVerdict, SessionJudgement, not_met};
use crate::policy::host_requirement::{HostRequirement, Unmet};
use crate::policy::outbound::Decision;
use crate::policy::settings::Source;

use super::session::Session;
use facts::{Asked, Facts};
use question::{Played, Question};

/// The answer to the whole question.
#[derive(Debug)]
pub struct Explained<'a> {
    pub question: Question<'a>,
    pub decision: Decision,
    pub facts: Facts,
    /// The facts come from the DNS of now.
    pub looked_up: bool,
    /// What was left open because nothing was looked up for this answer, in sentences.
    pub unasked: Vec<String>,
    /// The session that was asked about, with each host; empty where none was.
    pub asked: Vec<Played>,
    /// Sessions of every kind with each kind of host, as far as they were not asked about.
    pub others: Vec<Compared>,
}

/// Sessions with hosts of one kind, side by side.
#[derive(Debug)]
pub struct Compared {
    pub hosts: Vec<String>,
    pub wants_identity: bool,
    pub played: Vec<Played>,
}

/// One host that takes the message suffices; else what a delivery makes of all of them: what TLS lacks tells most, and
/// where another fault stands beside it, the message waits.
fn best(ends: &[SessionJudgement]) -> Option<SessionJudgement> {
    let ended = |verdict| ends.iter().find(|end| end.verdict == verdict);
    if let Some(end) = ended(DeliveryVerdict::Deliver).or_else(|| ended(DeliveryVerdict::Unknown)) {
        return Some(end.clone());
    }
    let lacks_tls = |end: &&SessionJudgement| end.reason.is_some_and(Reason::is_outbound_tls);
    let telling = ends.iter().rfind(lacks_tls).or(ends.last())?;
    let is_mixed = ends.iter().any(|end| lacks_tls(&end)) && !ends.iter().all(|end| lacks_tls(&end));
    let verdict = if is_mixed { DeliveryVerdict::Defer } else { telling.verdict };
    Some(SessionJudgement { verdict, ..telling.clone() })
}

impl<'a> Explained<'a> {
    /// `looked_up` says that the facts come from the DNS of now.
    pub fn new(question: Question<'a>, decision: Decision, facts: Facts, looked_up: bool, session: &Session) -> Self {
        let mut explained =
            Self { question, decision, facts, looked_up, unasked: Vec::new(), asked: Vec::new(), others: Vec::new() };
        explained.others = explained.compared(session);
        if session.is_chosen() {
            let hosts = explained.facts.asked(&explained.decision.next_hop);
            let play = |host| explained.question.play(&explained.decision, host, session.tls().cloned());
            explained.asked = hosts.iter().map(play).collect();
        }
        explained
    }

    /// One session with one host, both thought of.
    pub fn of_session(question: Question<'a>, host: &Asked, tls: Option<TlsFacts>) -> Self {
        let decision = question.decide();
        let asked = vec![question.play(&decision, host, tls)];
        let facts = Facts::thought_of(host.name.clone());
        Self { question, decision, facts, looked_up: false, unasked: Vec::new(), asked, others: Vec::new() }
    }

    /// For programs, as `policy explain --json` prints it.
    pub fn json(&self) -> Value {
        json::answer(self)
    }

    /// What each host must meet, in the order to try.
    pub fn requirements(&self) -> Vec<(Asked, Result<HostRequirement, Unmet>)> {
        let hosts = self.facts.asked(&self.decision.next_hop).into_iter();
        let required = |host: Asked| {
            let requirement = self.question.requirement(&self.decision, &host);
            (host, requirement)
        };
        hosts.map(required).collect()
    }

    /// Where no session was asked about, or its certificate was left open and matters: what the others get. A host that
    /// no session would do for is left out.
    fn compared(&self, session: &Session) -> Vec<Compared> {
        let (is_asked, chosen) = (session.is_chosen(), session.tls());
        let is_left_open = chosen.is_some() && self.question.certificate.is_none();
        let usable = self.kinds().into_iter().filter(|kind| kind.requirement.is_ok());
        let open = usable.filter(|kind| !is_asked || is_left_open && kind.wants_identity());
        let compared = |kind: kinds::Kind| Compared {
            wants_identity: kind.wants_identity(),
            played: self.question.play_all(&self.decision, &kind.first, chosen),
            hosts: kind.hosts,
        };
        open.map(compared).collect()
    }

    /// What becomes of the message, if anything is asked or certain.
    pub fn verdict(&self) -> Option<SessionJudgement> {
        if let Some(failure) = &self.facts.failure
            && failure.permanent
        {
            let (verdict, reason) = (DeliveryVerdict::Bounce, Some(failure.reason));
            return Some(SessionJudgement { verdict, reason, rule: Source::BuiltIn });
        }
        if !self.asked.is_empty() {
            return best(&self.asked.iter().map(Played::end).collect::<Vec<_>>());
        }
        if self.facts.failure.is_some() {
            return None;
        }
        // Where no session would do with any host, none needs to be asked about.
        let unmet = |(host, requirement): (Asked, Result<_, Unmet>)| {
            requirement.err().map(|unmet| not_met(&self.decision, &host.published, unmet.reason, unmet.source))
        };
        let unmet: Option<Vec<SessionJudgement>> = self.requirements().into_iter().map(unmet).collect();
        best(&unmet?)
    }

    /// The verdict with its reason, if the message is held back.
    pub fn failed(&self) -> Option<(DeliveryVerdict, Reason)> {
        let end = self.verdict()?;
        end.reason.map(|reason| (end.verdict, reason))
    }

    /// What the session that was asked about gets at another moment from the same hosts.
    pub fn verdict_at(&self, at: Timestamp) -> Option<SessionJudgement> {
        let question = Question { at, ..self.question };
        let decision = question.decide();
        let hosts = self.facts.asked(&decision.next_hop);
        let played = |(host, asked): (&Asked, &Played)| {
            let bare = asked.tls.clone().map(|facts| TlsFacts { peer: None, ..facts });
            question.play(&decision, host, bare).end()
        };
        best(&hosts.iter().zip(&self.asked).map(played).collect::<Vec<_>>())
    }
}
