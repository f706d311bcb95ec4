//! `gatepost policy explain --direction outbound`: where mail goes, what a session there must meet, and what becomes of
//! the message, by the daemon's own engine.

pub(in crate::cli) mod facts;
mod json;
mod lookup;
mod notice;
mod page;
pub(in crate::cli) mod question;

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
use crate::policy::delivery::DeliveryVerdict;
use crate::policy::host_requirement::{HostRequirement, Unmet};
use crate::policy::outbound::Decision;

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
    /// Sessions of every kind, as far as they were not asked about.
    others: Vec<Played>,
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
    let is_asked = asked.plaintext || chosen.is_some();
    let hosts = facts.asked(&decision.next_hop);
    let (mut played, mut others) = (Vec::new(), Vec::new());
    if is_asked {
        played.extend(hosts.iter().map(|host| question.play(&decision, host, chosen.clone())));
    }
    // Of a session whose certificate was left open it matters which it is.
    let first = hosts.first().cloned().unwrap_or_default();
    let is_open = chosen.is_some() && asked.certificate.is_none() && question.wants_identity(&decision, &first);
    if !is_asked || is_open {
        others = question.play_all(&decision, &first, chosen.as_ref());
    }
    Ok(Explained { question, decision, facts, looked_up, asked: played, others })
}

/// One host that takes the message suffices; of others the last one tells.
fn best(played: &[Played]) -> Option<(DeliveryVerdict, Option<Reason>)> {
    let ends = || played.iter().map(|played| (played.verdict, played.reason));
    let taken = ends().find(|(verdict, _)| *verdict == DeliveryVerdict::Deliver);
    let open = || ends().find(|(verdict, _)| *verdict == DeliveryVerdict::Unknown);
    taken.or_else(open).or_else(|| ends().next_back())
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

    /// Whether the certificate matters with the first host.
    fn wants_identity(&self) -> bool {
        let first = self.requirements().into_iter().next();
        first.is_some_and(|(_, requirement)| requirement.is_ok_and(|requirement| !requirement.proofs.is_empty()))
    }

    /// What becomes of the message, if anything is asked or certain.
    fn verdict(&self) -> Option<(DeliveryVerdict, Option<Reason>)> {
        if let Some(failure) = self.facts.failure.as_ref().filter(|failure| failure.permanent) {
            return Some((DeliveryVerdict::Bounce, Some(failure.reason)));
        }
        best(&self.asked)
    }

    /// What the session that was asked about gets at another moment from the same hosts.
    fn verdict_at(&self, at: Timestamp) -> Option<(DeliveryVerdict, Option<Reason>)> {
        let question = Question { at, ..self.question };
        let decision = question.decide();
        let hosts = self.facts.asked(&decision.next_hop);
        let played = |(host, asked): (&Asked, &Played)| {
            let bare = asked.tls.clone().map(|facts| TlsFacts { peer: None, ..facts });
            question.play(&decision, host, bare)
        };
        best(&hosts.iter().zip(&self.asked).map(played).collect::<Vec<_>>())
    }

    fn exit(&self) -> Exit {
        match (self.verdict(), &self.facts.failure) {
            (Some((DeliveryVerdict::Deliver, _)), _) | (None, None) => Exit::Done,
            (None, Some(failure)) if matches!(failure.reason, Reason::DnsFailure | Reason::DnssecInvalid) => {
                Exit::Unreachable
            }
            _ => Exit::No,
        }
    }
}
