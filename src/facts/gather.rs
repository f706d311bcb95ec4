//! Everything that is known of a destination, asked for once an attempt.

use std::sync::Arc;

use crate::dns::{Alias, LookupError, Resolver, Security};
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::outbound::Decision;
use crate::policy::published::{Asks, Dane, Learned, MtaSts, Published};
use crate::policy::settings::Learn;

use super::learned::LearnedStore;
use super::sts_cache::{StsAnswer, StsCache};
use super::tlsa_lookup;

/// Asks the world.
#[derive(Debug)]
pub struct Gatherer {
    pub resolver: Arc<dyn Resolver>,
    pub sts: StsCache,
    pub learned: LearnedStore,
}

/// What is known of a domain, whichever of its hosts takes the mail.
#[derive(Clone, Debug, Default)]
pub struct DomainFacts {
    asks: Asks,
    /// The MTA-STS policy of the domain that MX records were asked of.
    pub sts: Option<StsAnswer>,
    /// What its own mail hosts are held to.
    pub learned: Option<Learned>,
}

/// A host as the look-ups found it.
#[derive(Clone, Copy, Debug)]
pub struct KnownHost<'a> {
    /// `None` for an address literal.
    pub name: Option<&'a Domain>,
    pub name_is_trusted: bool,
    pub port: u16,
    /// Of the addresses with all aliases that led to them.
    pub address_security: Security,
    pub alias: Option<&'a Alias>,
    /// The domain whose MX records led to it, and the domain that its aliases lead to.
    pub next_hop_domains: &'a [Domain],
    pub is_by_mx: bool,
}

impl Gatherer {
    /// What the domain publishes. `None` is an address literal, which publishes nothing; neither does a domain whose
    /// mail goes by a route: there the route's hosts do (RFC 8461 section 3.4: a smart host is its own policy domain).
    pub async fn domain(
        &self,
        decision: &Decision,
        domain: Option<&Domain>,
        asks: Asks,
        now: Timestamp,
    ) -> DomainFacts {
        let sts = match domain.filter(|_| decision.is_by_mx() && decision.heeds_sts(asks)) {
            Some(domain) => Some(self.sts.policy(domain, now).await),
            None => None,
        };
        DomainFacts { asks, sts, learned: domain.and_then(|domain| self.learned(decision, domain)) }
    }

    /// What holds of what was learned: it is about the domain's own mail hosts.
    fn learned(&self, decision: &Decision, domain: &Domain) -> Option<Learned> {
        let is_enforced = decision.following.learn.value == Learn::Enforce && decision.is_by_mx();
        if is_enforced { self.learned.requirement(domain) } else { None }
    }

    /// What is known of one host. An error means that it is not known whether it has TLSA records.
    pub async fn host(
        &self,
        decision: &Decision,
        facts: &DomainFacts,
        host: &KnownHost<'_>,
        now: Timestamp,
    ) -> Result<Published, LookupError> {
        let dane = match host.name.filter(|_| decision.heeds_dane(facts.asks)) {
            Some(name) => {
                let host = tlsa_lookup::Host {
                    name,
                    port: host.port,
                    security: host.address_security,
                    alias: host.alias,
                    next_hop_domains: if host.name_is_trusted { host.next_hop_domains } else { &[] },
                    is_by_mx: host.is_by_mx,
                };
                tlsa_lookup::look_up(self.resolver.as_ref(), &host).await?
            }
            None => Dane::Inapplicable,
        };
        let of_route = match host.name.filter(|_| !decision.is_by_mx() && decision.heeds_sts(facts.asks)) {
            Some(name) => Some(self.sts.policy(name, now).await),
            None => None,
        };
        let answer = facts.sts.as_ref().or(of_route.as_ref());
        let kept = answer.and_then(|answer| answer.policy.as_deref());
        Ok(Published {
            dane,
            mta_sts: kept.and_then(|cached| MtaSts::of(&cached.policy, host.name)),
            sts_trouble: answer.and_then(|answer| answer.problem.as_ref()).and_then(|problem| problem.fault.trouble()),
            learned: facts.learned.clone(),
            asks: facts.asks,
        })
    }
}
