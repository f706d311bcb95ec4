//! `gatepost policy explain --direction outbound`: the question, what is looked up or given for it, and the exit code.

pub(in crate::cli) mod facts;
mod lookup;
mod page;

#[cfg(test)]
mod published_tests;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::app::build;
use crate::cli::arguments::Explain;
use crate::cli::configuration;
use crate::cli::output::{Console, Exit, Failure};
use crate::clock;
use crate::config::{Config, DnsConfig};
use crate::dns::Resolver;
use crate::dns::servers::SetupError;
use crate::explain::outbound::Explained;
use crate::explain::outbound::facts::Facts;
use crate::explain::outbound::question::Question;
use crate::explain::session::Session;
use crate::model::reason::Reason;
use crate::policy::delivery::DeliveryVerdict;

use super::session;
pub(in crate::cli) use page::short;

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
    let chosen = session(asked)?;
    let given = asked.facts.as_deref().map(facts::read).transpose()?;
    let config = configuration::require(config)?;
    let explained = explain(&config, asked, &chosen, given, &build::resolver)?;
    if json {
        console.json(&explained.json())?;
    } else {
        write!(console.out, "{}", page::page(&explained))?;
    }
    Ok(exit(&explained))
}

/// Makes the resolver of the configuration, where one is needed.
pub(in crate::cli) type ResolverOf<'a> = &'a dyn Fn(&DnsConfig) -> Result<std::sync::Arc<dyn Resolver>, SetupError>;

pub(in crate::cli) fn explain<'a>(
    config: &'a Config,
    asked: &'a Explain,
    session: &Session,
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
    Ok(Explained::new(question, decision, facts, looked_up, session))
}

/// Whether the message may go out, or that the DNS did not tell.
fn exit(explained: &Explained<'_>) -> Exit {
    let facts = &explained.facts;
    let is_of_dns = |reason| matches!(reason, Reason::DnsFailure | Reason::DnssecInvalid);
    // Of no host it is known whether it has TLSA records.
    let is_unknown = || !facts.hosts.is_empty() && facts.hosts.iter().all(|host| host.unusable.is_some());
    match (explained.verdict(), &facts.failure) {
        (Some(end), _) if end.verdict == DeliveryVerdict::Deliver => Exit::Done,
        (None, None) => Exit::Done,
        (None, Some(failure)) if is_of_dns(failure.reason) => Exit::Unreachable,
        (Some(_), None) if explained.asked.is_empty() && is_unknown() => Exit::Unreachable,
        _ => Exit::No,
    }
}
