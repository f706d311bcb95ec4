//! `gatepost policy explain --direction outbound`: where mail goes, what a session there must meet, and what becomes of
//! the message, by the daemon's own engine.

pub(in crate::cli) mod facts;
mod headline;
mod json;
mod kinds;
mod lookup;
mod notice;
mod page;
pub(in crate::cli) mod question;
mod tlsa;

#[cfg(test)]
mod published_tests;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde_json::Value;

use crate::app::build;
use crate::cli::arguments::Explain;
use crate::cli::configuration;
use crate::cli::output::{Console, Exit, Failure};
use crate::clock;
use crate::config::{Config, DnsConfig};
use crate::dns::Resolver;
use crate::dns::servers::SetupError;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::delivery::{DeliveryVerdict, SessionJudgement, not_met};
use crate::policy::host_requirement::{HostRequirement, Unmet};
use crate::policy::outbound::Decision;
use crate::policy::settings::Source;

use super::session;
use facts::{Asked, Facts};
use question::{Played, Question};

/// The answer to the whole question.
#[derive(Debug)]
pub(in crate::cli) struct Explained<'a> {
    question: Question<'a>,
    decision: Decision,
    facts: Facts,
    /// The facts come from the DNS of now, not from a file.
    looked_up: bool,
    /// The session that was asked about, with each host; empty where none was.
    asked: Vec<Played>,
    /// Sessions of every kind with each kind of host, as far as they were not asked about.
    others: Vec<Compared>,
}

/// Sessions with hosts of one kind, side by side.
#[derive(Debug)]
struct Compared {
    hosts: Vec<String>,
    wants_identity: bool,
    played: Vec<Played>,
}

pub(super) fn run(
    config: Option<&Path>,
    asked: &Explain,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if asked.listener.is_some() || asked.client_certificate.is_some() {
        let option = if asked.listener.is_some() { "--listener" } else { "--client-certificate" };
        return Err(Failure::usage(format!("{option} is about inbound sessions"), "leave it out"));
    }
    let chosen = session::chosen(asked)?;
    let given = asked.facts.as_deref().map(facts::read).transpose()?;
    let config = configuration::require(config, console)?;
    let explained = explain(&config, asked, chosen, given, &build::resolver)?;
    if json {
        console.json(&json::answer(&explained))?;
    } else {
        write!(console.out, "{}", page::page(&explained))?;
    }
    Ok(explained.exit())
}

/// Makes the resolver of the configuration, where one is needed.
pub(in crate::cli) type ResolverOf<'a> = &'a dyn Fn(&DnsConfig) -> Result<std::sync::Arc<dyn Resolver>, SetupError>;

pub(in crate::cli) fn explain<'a>(
    config: &'a Config,
    asked: &'a Explain,
    chosen: Option<TlsFacts>,
    given: Option<Facts>,
    resolver_of: ResolverOf<'_>,
) -> Result<Explained<'a>, Failure> {
    let question = Question {
        config,
        at: asked.at.unwrap_or_else(clock::timestamp),
        at_is_assumed: asked.at.is_none(),
        client: asked.client,
        from: &asked.from,
        to: &asked.to,
        certificate: asked.certificate,
        certificate_names: &asked.certificate_names,
    };
    let decision = question.decide();
    let looked_up = given.is_none();
    let facts = match given {
        Some(facts) => facts,
        None => lookup::look_up(&question, &decision, resolver_of)?,
    };
    let mut explained = Explained { question, decision, facts, looked_up, asked: Vec::new(), others: Vec::new() };
    explained.others = explained.compared(asked, chosen.as_ref());
    if asked.plaintext || chosen.is_some() {
        let hosts = explained.facts.asked(&explained.decision.next_hop);
        let play = |host| explained.question.play(&explained.decision, host, chosen.clone());
        explained.asked = hosts.iter().map(play).collect();
    }
    Ok(explained)
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
    /// One session with one host, both thought of.
    pub(in crate::cli) fn of_session(question: Question<'a>, host: &Asked, tls: Option<TlsFacts>) -> Self {
        let decision = question.decide();
        let asked = vec![question.play(&decision, host, tls)];
        let facts = Facts::thought_of(host.name.clone());
        Self { question, decision, facts, looked_up: false, asked, others: Vec::new() }
    }

    /// The lines of the page that say why.
    pub(in crate::cli) fn short_page(&self) -> Vec<String> {
        page::short(self)
    }

    pub(in crate::cli) fn json(&self) -> Value {
        json::answer(self)
    }

    /// What each host must meet, in the order to try.
    fn requirements(&self) -> Vec<(Asked, Result<HostRequirement, Unmet>)> {
        let hosts = self.facts.asked(&self.decision.next_hop).into_iter();
        let required = |host: Asked| {
            let requirement = self.question.requirement(&self.decision, &host);
            (host, requirement)
        };
        hosts.map(required).collect()
    }

    /// Where no session was asked about, or its certificate was left open and matters: what the others get. A host that
    /// no session would do for is left out.
    fn compared(&self, asked: &Explain, chosen: Option<&TlsFacts>) -> Vec<Compared> {
        let is_asked = asked.plaintext || chosen.is_some();
        let is_left_open = chosen.is_some() && asked.certificate.is_none();
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
    fn verdict(&self) -> Option<SessionJudgement> {
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
    fn failed(&self) -> Option<(DeliveryVerdict, Reason)> {
        let end = self.verdict()?;
        end.reason.map(|reason| (end.verdict, reason))
    }

    /// What the session that was asked about gets at another moment from the same hosts.
    fn verdict_at(&self, at: Timestamp) -> Option<SessionJudgement> {
        let question = Question { at, ..self.question };
        let decision = question.decide();
        let hosts = self.facts.asked(&decision.next_hop);
        let played = |(host, asked): (&Asked, &Played)| {
            let bare = asked.tls.clone().map(|facts| TlsFacts { peer: None, ..facts });
            question.play(&decision, host, bare).end()
        };
        best(&hosts.iter().zip(&self.asked).map(played).collect::<Vec<_>>())
    }

    fn exit(&self) -> Exit {
        let is_of_dns = |reason| matches!(reason, Reason::DnsFailure | Reason::DnssecInvalid);
        // Of no host it is known whether it has TLSA records.
        let is_unknown = || !self.facts.hosts.is_empty() && self.facts.hosts.iter().all(|host| host.unusable.is_some());
        match (self.verdict(), &self.facts.failure) {
            (Some(end), _) if end.verdict == DeliveryVerdict::Deliver => Exit::Done,
            (None, None) => Exit::Done,
            (None, Some(failure)) if is_of_dns(failure.reason) => Exit::Unreachable,
            (Some(_), None) if self.asked.is_empty() && is_unknown() => Exit::Unreachable,
            _ => Exit::No,
        }
    }
}
