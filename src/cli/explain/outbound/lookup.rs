//! What the DNS, policies of MTA-STS and TLSA records say of the next hop now, asked as a delivery asks.

use std::sync::Arc;

use crate::app::build;
use crate::audit::published::PublishedRecord;
use crate::cli::learned::source;
use crate::cli::output::{Exit, Failure};
use crate::cli::waiting::Waiting;
use crate::clock;
use crate::config::Config;
use crate::dns::targets::TargetRule;
use crate::dns::{LookupError, Resolver, Security};
use crate::explain::outbound::facts::{self, Dnssec, Facts, HostFact, NoHost};
use crate::explain::outbound::question::Question;
use crate::explain::outbound::tlsa::TlsaFact;
use crate::facts::learned::{LearnTerms, LearnedStore};
use crate::facts::sts_cache::StsCache;
use crate::facts::sts_fetch::StsFetcher;
use crate::facts::sts_plan::CachedPolicy;
use crate::facts::{DomainFacts, Gatherer};
use crate::memory::Memory;
use crate::model::reason::Reason;
use crate::outbound::targets::{NextHost, Surroundings, next_hosts};
use crate::policy::outbound::Decision;
use crate::policy::published::{Asks, Dane, Learned, Published};
use crate::policy::settings::DaneUse;
use crate::policy::tlsa::Judged;
use crate::tls::roots::Roots;

use super::ResolverOf;

/// Hosts that are asked about further than by name.
const HOSTS_ASKED_MAX: usize = 10;

pub(super) fn look_up(
    question: &Question<'_>,
    decision: &Decision,
    resolver_of: ResolverOf<'_>,
) -> Result<Facts, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::No, format!("the system refused a runtime: {error}"), "end other programs, then try again")
    })?;
    let config = question.config;
    let _waiting = Waiting::on("looking up where it goes");
    Ok(runtime.block_on(async {
        let resolver = match resolver_of(&config.dns) {
            Ok(resolver) => resolver,
            Err(error) => return Facts::failed(Reason::DnsFailure, false, error.to_string()),
        };
        let targets = TargetRule { allow: config.dns.allow_targets.clone() };
        let around = Surroundings { resolver: resolver.as_ref(), hostname: &config.hostname, targets: &targets };
        match next_hosts(&around, &decision.next_hop, question.to.host()).await {
            Ok(hosts) => Facts::found(published(question, decision, resolver.clone(), hosts).await),
            Err(none) => Facts::failed(none.reason, none.permanent, none.detail),
        }
    }))
}

impl From<NextHost> for HostFact {
    fn from(host: NextHost) -> Self {
        let dnssec = match host.security {
            Security::Unknown => Dnssec::Unknown,
            Security::Insecure => Dnssec::Insecure,
            Security::Secure => Dnssec::Secure,
        };
        let NextHost { name, preference, port, addresses, name_is_trusted, .. } = host;
        Self { name, preference, port, addresses, dnssec, trusted: name_is_trusted, ..Self::default() }
    }
}

/// What is known whichever host it is.
struct Around {
    facts: DomainFacts,
    /// Policies of MTA-STS that the daemon keeps.
    kept: Vec<CachedPolicy>,
    /// Why it is not known which it keeps.
    unknown: Option<String>,
    dnssec_is_off: bool,
}

async fn published(
    question: &Question<'_>,
    decision: &Decision,
    resolver: Arc<dyn Resolver>,
    hosts: Vec<NextHost>,
) -> Vec<HostFact> {
    let now = clock::timestamp();
    let (names, mut kept, mut unknown) = (question.policy_domains(decision), Vec::new(), None);
    for domain in names {
        match crate::cli::kept::policy(question.config, &domain) {
            Ok(policy) => kept.extend(policy.map(|policy| (domain, policy))),
            Err(why) => unknown = Some(why),
        }
    }
    let Some(gatherer) = gatherer(question.config, resolver) else {
        return hosts.into_iter().map(HostFact::from).collect();
    };
    for (domain, policy) in &kept {
        gatherer.sts.know(domain, policy, now);
    }
    let mut facts = gatherer.domain(decision, question.to.domain(), Asks::default(), now).await;
    let learned = source::in_force(question.config, decision, question.to.domain());
    facts.learned = learned.as_ref().ok().cloned().flatten();
    let dnssec_is_off = build::is_dnssec_off(&question.config.dns);
    let kept = kept.into_iter().map(|(_, policy)| policy).collect();
    let around = Around { facts, kept, unknown, dnssec_is_off };
    let mut found = Vec::with_capacity(hosts.len());
    for (place, host) in hosts.into_iter().enumerate() {
        if let Some(error) = host.failed {
            let detail = format!("its addresses cannot be looked up: {error}");
            found.push(unusable(host, error, detail));
            continue;
        }
        let published = match place < HOSTS_ASKED_MAX {
            true => Some(gatherer.host(decision, &around.facts, &host.known(), now).await),
            false => None,
        };
        let mut fact = told(decision, &around, host, published);
        fact.found.extend(learned_in_words(&learned));
        found.push(fact);
    }
    found
}

/// `None` where no TLS client can be set up: then nothing is fetched.
fn gatherer(config: &Config, resolver: Arc<dyn Resolver>) -> Option<Gatherer> {
    let targets = TargetRule { allow: config.dns.allow_targets.clone() };
    let (roots, _) = Roots::system();
    let fetcher = StsFetcher::new(resolver.clone(), targets, &roots).ok()?;
    let memory = Memory::ephemeral();
    let learned = LearnedStore::open(memory.clone(), LearnTerms::default());
    Some(Gatherer { resolver, sts: StsCache::new(memory, fetcher), learned })
}

fn told(
    decision: &Decision,
    around: &Around,
    host: NextHost,
    published: Option<Result<Published, LookupError>>,
) -> HostFact {
    if let Some(Err(error)) = published {
        return unusable(host, error, format!("its TLSA records cannot be looked up: {error}"));
    }
    let mut fact = HostFact::from(host);
    if let Some(Ok(published)) = published {
        fact.found = [dane(decision, &fact, &published, around.dnssec_is_off), mta_sts(around, &published)].concat();
        fact.published = PublishedRecord::of(&published);
        fact.tlsa = TlsaFact::of(&published.dane);
    }
    fact
}

fn unusable(host: NextHost, error: LookupError, detail: String) -> HostFact {
    let found = vec![detail.clone()];
    let unusable = Some(NoHost { reason: error.reason(), permanent: false, detail });
    HostFact { found, unusable, ..HostFact::from(host) }
}

fn dane(decision: &Decision, host: &HostFact, published: &Published, is_off: bool) -> Vec<String> {
    match &published.dane {
        Dane::Inapplicable if decision.following.dane.value == DaneUse::Off => Vec::new(),
        Dane::Inapplicable => host.no_tlsa(is_off).map(|why| format!("DANE: {why}")).into_iter().collect(),
        Dane::Absent => vec!["DANE: there is no TLSA record".to_owned()],
        dane @ (Dane::Unusable(_) | Dane::Usable(_)) => {
            let base = dane.base().map(ToString::to_string).unwrap_or_default();
            let of_each = |one: &Judged| format!("DANE: TLSA of {base}: {}, {}", one.record, one.standing);
            let none =
                matches!(dane, Dane::Unusable(_)).then(|| "DANE: no record can be used: TLS with anybody".to_owned());
            dane.judged().iter().map(of_each).chain(none).collect()
        }
    }
}

fn learned_in_words(learned: &Result<Option<Learned>, String>) -> Option<String> {
    match learned {
        Ok(learned) => learned.as_ref().map(facts::of_learned),
        Err(why) => Some(format!("learned: what is in force is not known here: {why}")),
    }
}

fn mta_sts(around: &Around, published: &Published) -> Vec<String> {
    let unknown =
        || around.unknown.iter().map(|why| format!("MTA-STS: policies that are kept are not known here: {why}"));
    let Some(answer) = &around.facts.sts else { return unknown().collect() };
    let mut lines = Vec::new();
    if let Some(cached) = &answer.policy {
        let kept = if around.kept.contains(cached) { ", kept by the daemon" } else { "" };
        let lists = published.mta_sts.map(|sts| sts.lists_host);
        lines.push(format!("{}{kept}", facts::of_policy(&cached.policy, lists, cached.expires())));
    }
    lines.extend(answer.problem.as_ref().map(|problem| format!("MTA-STS: {}", problem.fault)));
    lines.extend(unknown());
    lines
}
