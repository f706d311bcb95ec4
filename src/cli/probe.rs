//! `gatepost probe`: everything about a destination, found by asking it, and what our own policy makes of it.

pub(in crate::cli) mod arguments;
mod json;
mod page;
pub(in crate::cli) mod setting;

#[cfg(test)]
mod tests;

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::app::build;
use crate::clock;
use crate::config::{Config, DnsConfig};
use crate::facts::sts_plan::CachedPolicy;
use crate::model::address::ReversePath;
use crate::model::domain::Domain;
use crate::model::human::shown;
use crate::model::time::Timestamp;
use crate::policy::outbound::{Decision, NextHop, decide};
use crate::policy::published::{Asks, Learned};
use crate::policy::rules::PolicySet;
use crate::policy::timed::Asker;
use crate::probe::Prober;
use crate::probe::findings::{Finding, Weight, findings};
use crate::probe::host::{HostReport, Inquiry};
use crate::probe::judge::Meets;
use crate::probe::observe::Look;
use crate::probe::publication::{Publication, Target, parse_target};
use crate::probe::walk::Walk;

use super::kept;
use super::learned::source;
use super::output::{Console, Exit, Failure};
use arguments::Probe;
use setting::Setting;

/// Targets of one command.
const TARGETS_MAX: usize = 1000;

/// Everything about one target.
#[derive(Debug)]
pub(in crate::cli) struct Report {
    /// As it was typed.
    pub(in crate::cli) asked: String,
    pub(in crate::cli) target: Target,
    pub(in crate::cli) at: Timestamp,
    pub(in crate::cli) publication: Publication,
    pub(in crate::cli) hosts: Vec<HostReport>,
    /// What our policy has decided; `None` without a configuration, or without a domain to decide about.
    pub(in crate::cli) decision: Option<Decision>,
    /// What was learned of the domain, where our policy goes by it; the error says why that is not known.
    pub(in crate::cli) learned: Result<Option<Learned>, String>,
    /// The MTA-STS policy that the daemon keeps, where our policy goes by it; the error says why that is not known.
    pub(in crate::cli) kept: Result<Option<CachedPolicy>, String>,
    /// Of the setting, not of the target.
    pub(in crate::cli) dnssec_is_off: bool,
    pub(in crate::cli) findings: Vec<Finding>,
}

pub(super) fn run(
    config: Option<&Path>,
    asked: &Probe,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let targets = targets(asked)?;
    let setting = Setting::find(config)?;
    setting.tell_of_dnssec(console)?;
    let runtime = setting::runtime()?;
    let _entered = runtime.enter();
    let prober = setting.prober(asked.ehlo.as_ref(), setting::patience(asked.timeout), setting::PAUSE)?;
    let config = setting.config();
    let mut reports = Vec::with_capacity(targets.len());
    for (text, target) in targets {
        reports.push(runtime.block_on(probe(&prober, config, asked, (text, target))));
        if let Some(report) = reports.last().filter(|_| !json) {
            let separator = if reports.len() > 1 { "\n" } else { "" };
            write!(console.out, "{separator}{}", page::page(report))?;
            console.out.flush()?;
        }
    }
    if json {
        console.json(&json::answer(&reports))?;
    }
    Ok(exit(&reports))
}

fn targets(asked: &Probe) -> Result<Vec<(&str, Target)>, Failure> {
    if asked.targets.len() > TARGETS_MAX {
        let message = format!("more than {TARGETS_MAX} targets");
        return Err(Failure::usage(message, "write them into a file, one a line, and run gatepost survey FILE"));
    }
    let domain = asked.domain.as_ref().or(asked.to.as_ref().and_then(|to| to.domain()));
    let parse = |text: &String| {
        let target = parse_target(text, domain).map_err(|why| {
            let message = format!("\"{}\" is no target: {why}", shown(text));
            Failure::usage(message, "write a domain, such as bank.example, or HOST:PORT, such as mx.bank.example:25")
        })?;
        is_about(asked, &target).map(|()| target)
    };
    asked.targets.iter().map(|text| Ok((text.as_str(), parse(text)?))).collect()
}

/// Options that are about another domain than the target are mistakes.
fn is_about(asked: &Probe, target: &Target) -> Result<(), Failure> {
    let Some(domain) = target.domain() else { return Ok(()) };
    if let Some(other) = asked.domain.as_ref().filter(|other| *other != domain) {
        let help = "leave it out, or write the host as HOST:PORT";
        return Err(Failure::usage(format!("--domain {other} is for HOST:PORT, and {domain} is a domain"), help));
    }
    let to = asked.to.as_ref().and_then(|to| to.domain());
    if let Some(other) = to.filter(|other| *other != domain) {
        let help = format!("name a recipient of {domain}, or probe {other}");
        return Err(Failure::usage(format!("--to is an address of {other}, and the probe is about {domain}"), help));
    }
    Ok(())
}

/// Asks about one target under a progress line, which shows itself only on a terminal.
pub(in crate::cli) async fn probe(
    prober: &Prober,
    config: Option<&Config>,
    asked: &Probe,
    (text, mut target): (&str, Target),
) -> Report {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar.set_message(format!("{}: looking up", shown(text)));
    let at = clock::timestamp();
    let walk = asked.from.as_ref().zip(asked.to.as_ref()).map(|(from, to)| Walk { from, to });
    let sender = asked.from.as_ref().unwrap_or(&ReversePath::Null);
    let decision =
        decision(config.map(|config| config.policies.as_ref()), &target, &Asker { at, client: None, sender });
    if let Target::Host { is_by_mx, .. } = &mut target {
        *is_by_mx &= decision.as_ref().is_none_or(Decision::is_by_mx);
    }
    let publication = prober.publication(&target, policy_domain(decision.as_ref(), &target)).await;
    let learned = match config.zip(decision.as_ref().filter(|decision| applies(decision, &target))) {
        Some((config, decision)) => source::in_force(config, decision, target.domain()),
        None => Ok(None),
    };
    let asks_sts = decision.as_ref().filter(|decision| decision.heeds_sts(Asks::default()));
    let policy_domain = policy_domain(decision.as_ref(), &target);
    let kept = match config.zip(policy_domain).filter(|_| asks_sts.is_some()) {
        Some((config, domain)) => kept::policy(config, domain),
        None => Ok(None),
    };
    let inquiry = Inquiry {
        domain: target.domain(),
        mta_sts: &publication.mta_sts,
        kept: kept.as_ref().ok().and_then(Option::as_ref),
        learned: learned.as_ref().ok().and_then(Option::as_ref),
        look: if asked.quick { Look::QUICK } else { Look::CLOSE },
        decision: decision.as_ref().filter(|decision| applies(decision, &target)),
        walk,
    };
    let mut hosts = Vec::new();
    for host in publication.hosts.iter().flat_map(|found| &found.hosts) {
        bar.set_message(format!("{}: {}", shown(text), host.shown()));
        hosts.push(prober.host(host.clone(), &inquiry).await);
    }
    bar.finish_and_clear();
    let findings = findings(&publication, &hosts, at);
    let dnssec_is_off = build::is_dnssec_off(config.map_or(&DnsConfig::default(), |config| &config.dns));
    Report { asked: text.to_owned(), target, at, publication, hosts, decision, learned, kept, dnssec_is_off, findings }
}

fn decision(policies: Option<&PolicySet>, target: &Target, asker: &Asker<'_>) -> Option<Decision> {
    let domain: &Domain = target.domain()?;
    policies.map(|policies| decide(policies, Some(domain), asker))
}

/// A smart host is its own policy domain (RFC 8461 section 3.4).
fn policy_domain<'a>(decision: Option<&Decision>, target: &'a Target) -> Option<&'a Domain> {
    match (target, decision.filter(|decision| !decision.is_by_mx())) {
        (Target::Host { at, .. }, Some(decision)) => at.host.domain().filter(|_| applies(decision, target)),
        (target, _) => target.domain(),
    }
}

/// Whether mail for the domain would go to what is probed: a route leads elsewhere, unless it names the host.
fn applies(decision: &Decision, target: &Target) -> bool {
    match (&decision.next_hop, target) {
        (NextHop::Mx, _) => true,
        (NextHop::Route(_), Target::Domain(_)) => false,
        (NextHop::Route(route), Target::Host { at, .. }) => route.hosts.contains(at),
    }
}

impl Report {
    /// What all hosts that answer meet.
    pub(in crate::cli) fn meets(&self) -> Option<Meets> {
        let answering = self.hosts.iter().filter(|host| !host.seen.is_unreachable());
        Meets::all(answering.map(|host| host.meets.clone()))
    }

    /// The route that mail for the domain takes instead.
    pub(in crate::cli) fn other_route(&self) -> Option<&str> {
        let decision = self.decision.as_ref().filter(|decision| !applies(decision, &self.target))?;
        match &decision.next_hop {
            NextHop::Route(route) => Some(&route.name),
            NextHop::Mx => None,
        }
    }

    /// A "no" weighs more than a host of which nothing is known; a destination that nobody reaches is neither.
    fn exit(&self) -> Exit {
        let is_any = |weight| self.findings.iter().any(|finding| finding.weight == weight);
        let is_answered = self.hosts.iter().any(|host| !host.seen.is_unreachable());
        match (is_any(Weight::Wrong), is_any(Weight::Unreachable)) {
            (_, true) if !is_answered => Exit::Unreachable,
            (false, false) => Exit::Done,
            _ => Exit::No,
        }
    }
}

fn exit(reports: &[Report]) -> Exit {
    let worst = |exit: &Exit| match exit {
        Exit::Done => 0,
        Exit::Unreachable => 1,
        Exit::No | Exit::Usage => 2,
    };
    reports.iter().map(Report::exit).max_by_key(worst).unwrap_or(Exit::Done)
}
