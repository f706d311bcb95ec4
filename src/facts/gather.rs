//! Everything that is known of a destination, asked for once an attempt.

use std::sync::Arc;

use crate::dns::{Alias, LookupError, Resolver, Security};
use crate::model::domain::Domain;
use crate::policy::outbound::Decision;
use crate::policy::published::{Asks, Dane, Published};
use crate::policy::settings::{DaneUse, OutboundTls, TlsRequiredNo};

use super::tlsa_lookup;

/// Asks the world.
#[derive(Debug)]
pub struct Gatherer {
    pub resolver: Arc<dyn Resolver>,
}

/// What is known of a domain, whichever of its hosts takes the mail.
#[derive(Clone, Debug, Default)]
pub struct DomainFacts {
    domain: Option<Domain>,
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
    /// The domain whose MX records led to it, and the domain that its aliases lead to.
    pub next_hop_domains: &'a [Domain],
    pub is_by_mx: bool,
}

impl Gatherer {
    /// What the domain publishes. `None` is an address literal, which publishes nothing.
    pub async fn domain(&self, _decision: &Decision, domain: Option<&Domain>, asks: Asks) -> DomainFacts {
        DomainFacts { domain: domain.cloned(), asks }
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
        Ok(Published { dane, mta_sts: None, learned: None, asks: facts.asks })
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
