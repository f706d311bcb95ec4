//! Everything that is known of a destination, asked for once an attempt.

use std::sync::Arc;

use crate::clock;
use crate::dns::{Alias, LookupError, Resolver, Security};
use crate::model::domain::Domain;
use crate::policy::outbound::Decision;
use crate::policy::published::{Asks, Dane, Learned, Published};
use crate::policy::settings::{DaneUse, Learn, OutboundTls, TlsRequiredNo};

use super::learned::LearnedStore;
use super::tlsa_lookup;

/// Asks the world.
#[derive(Debug)]
pub struct Gatherer {
    pub resolver: Arc<dyn Resolver>,
    pub learned: LearnedStore,
}

/// What is known of a domain, whichever of its hosts takes the mail.
#[derive(Clone, Debug, Default)]
pub struct DomainFacts {
    domain: Option<Domain>,
    learned: Option<Learned>,
    asks: Asks,
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
}

impl Gatherer {
    /// What the domain publishes. `None` is an address literal, which publishes nothing.
    pub async fn domain(&self, decision: &Decision, domain: Option<&Domain>, asks: Asks) -> DomainFacts {
        DomainFacts { domain: domain.cloned(), learned: domain.and_then(|domain| self.learned(decision, domain)), asks }
    }

    /// What holds of what was learned: it is about the domain's own mail hosts.
    fn learned(&self, decision: &Decision, domain: &Domain) -> Option<Learned> {
        let is_enforced = decision.following.learn.value == Learn::Enforce && decision.is_by_mx();
        if is_enforced { self.learned.requirement(domain, clock::timestamp()) } else { None }
    }

    /// What is known of one host. An error means that it is not known whether it has TLSA records.
    pub async fn host(
        &self,
        decision: &Decision,
        facts: &DomainFacts,
        host: &KnownHost<'_>,
    ) -> Result<Published, LookupError> {
        let dane = match host.name.filter(|_| follows_dane(decision, facts.asks)) {
            Some(name) => {
                let found_by = facts.domain.as_ref().filter(|_| host.name_is_trusted && decision.is_by_mx());
                let host = tlsa_lookup::Host {
                    name,
                    port: host.port,
                    security: host.address_security,
                    alias: host.alias,
                    next_hop_domain: found_by,
                };
                tlsa_lookup::look_up(self.resolver.as_ref(), &host).await?
            }
            None => Dane::Inapplicable,
        };
        Ok(Published { dane, mta_sts: None, learned: facts.learned.clone(), asks: facts.asks })
    }
}

/// Whether TLSA records would make a difference: where they do not, a failure to look them up makes none either.
fn follows_dane(decision: &Decision, asks: Asks) -> bool {
    let is_waived =
        asks.tls_required_no && !asks.require_tls && decision.following.tls_required_no.value == TlsRequiredNo::Honour;
    match decision.following.dane.value {
        DaneUse::Off => false,
        DaneUse::Auto => !is_waived && decision.requirement.tls.value != OutboundTls::Off,
        DaneUse::Required => true,
    }
}
