//! `gatepost policy explain --direction outbound`: where mail goes, what a session there must meet, and what becomes of
//! the message, by the daemon's own engine.

pub(in crate::cli) mod facts;
mod json;
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
use crate::dns::targets::TargetRule;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::outbound::targets::{Surroundings, next_hosts};
use crate::policy::delivery::DeliveryVerdict;
use crate::policy::outbound::Decision;

use super::session;
use facts::Facts;
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
        None => look_up(&question, &decision, resolver_of)?,
    };
    let is_asked = asked.plaintext || chosen.is_some();
    let hosts = facts.identities(&decision.next_hop);
    let (mut played, mut others) = (Vec::new(), Vec::new());
    if is_asked {
        played.extend(hosts.iter().map(|host| question.play(&decision, host.as_ref(), chosen.clone())));
    }
    // Of a session whose certificate was left open it matters which it is.
    let is_open = chosen.is_some() && asked.certificate.is_none() && decision.requirement.wants_identity();
    if !is_asked || is_open {
        let first = hosts.first().and_then(Option::as_ref);
        others = question.play_all(&decision, first, chosen.as_ref());
    }
    Ok(Explained { question, decision, facts, looked_up, asked: played, others })
}

fn look_up(question: &Question<'_>, decision: &Decision, resolver_of: ResolverOf<'_>) -> Result<Facts, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::No, format!("the system refused a runtime: {error}"), "end other programs, then try again")
    })?;
    let config = question.config;
    let targets = TargetRule { allow: config.dns.allow_targets.clone() };
    Ok(runtime.block_on(async {
        let resolver = match resolver_of(&config.dns) {
            Ok(resolver) => resolver,
            Err(error) => return Facts::failed(Reason::DnsFailure, false, error.to_string()),
        };
        let around = Surroundings { resolver: resolver.as_ref(), hostname: &config.hostname, targets: &targets };
        match next_hosts(&around, &decision.next_hop, question.to.host()).await {
            Ok(hosts) => Facts::found(hosts),
            Err(none) => Facts::failed(none.reason, none.permanent, none.detail),
        }
    }))
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
    pub(in crate::cli) fn of_session(question: Question<'a>, host: Option<&Domain>, tls: Option<TlsFacts>) -> Self {
        let decision = question.decide();
        let asked = vec![question.play(&decision, host, tls)];
        let facts = Facts::thought_of(host.cloned());
        Self { question, decision, facts, looked_up: false, asked, others: Vec::new() }
    }

    /// The lines of the page that say why.
    pub(in crate::cli) fn short_page(&self) -> Vec<String> {
        page::short(self)
    }

    pub(in crate::cli) fn json(&self) -> Value {
        json::answer(self)
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
        let hosts = self.facts.identities(&decision.next_hop);
        let played = |(host, asked): (&Option<Domain>, &Played)| {
            let bare = asked.tls.clone().map(|facts| TlsFacts { peer: None, ..facts });
            question.play(&decision, host.as_ref(), bare)
        };
        best(&hosts.iter().zip(&self.asked).map(played).collect::<Vec<_>>())
    }

    fn exit(&self) -> Exit {
        match (self.verdict(), &self.facts.failure) {
            (Some((DeliveryVerdict::Deliver, _)), _) | (None, None) => Exit::Done,
            (None, Some(failure)) if failure.reason == Reason::DnsFailure => Exit::Unreachable,
            _ => Exit::No,
        }
    }
}
