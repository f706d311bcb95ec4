//! From a decision to the hosts to try, in order: MX look-up, written route, or address literal.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::dns::mx::{MailHost, MailHostQuery, RouteError, mail_hosts, next_hop};
use crate::dns::targets::TargetRule;
use crate::dns::{Alias, Resolver, Security};
use crate::facts::KnownHost;
use crate::model::address::Host;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::policy::host_requirement::HostRequirement;
use crate::policy::outbound::NextHop;
use crate::policy::published::Published;
use crate::policy::settings::{HostPort, IpChoice, Route};
use crate::random;

use super::{Outbound, Snapshot};

/// Addresses that one attempt tries at most.
pub(super) const TARGETS_MAX: usize = 10;
const SMTP_PORT: u16 = 25;

/// One address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The name of the host, `None` for an address literal.
    pub(super) name: Option<Domain>,
    /// The operator wrote the name down, or DNSSEC secures it; it does not come from unsigned DNS.
    pub(super) name_is_trusted: bool,
    pub(super) address: SocketAddr,
    pub(super) security: Security,
    /// What is known of the host besides.
    pub(super) published: Arc<Published>,
    /// What a session there must be; `None` where nothing could meet it.
    pub(super) requirement: Option<Arc<HostRequirement>>,
}

impl Target {
    /// The name to ask for in the handshake: the TLSA base domain, whether its records can be used or not, goes before
    /// the host's own (RFC 7672 section 8.1).
    pub(super) fn server_name(&self) -> Option<&Domain> {
        self.published.dane.base().or(self.name.as_ref())
    }

    /// As a route names it.
    pub(super) fn host(&self) -> HostPort {
        let literal = || Host::Literal(self.address.ip());
        HostPort { host: self.name.clone().map_or_else(literal, Host::Name), port: self.address.port() }
    }

    /// The name, or the address where there is none.
    pub(super) fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| format!("[{}]", self.address.ip()), Domain::to_string)
    }
}

/// Why there is no host to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTarget {
    pub reason: Reason,
    pub permanent: bool,
    pub detail: String,
    /// The reply that the RFC has for it.
    pub reply: Option<Reply>,
}

impl From<RouteError> for NoTarget {
    fn from(error: RouteError) -> Self {
        // RFC 7505 section 4.1.
        let null_mx = EnhancedCode::new(5, 1, 10);
        let reply = (error == RouteError::NullMx)
            .then(|| Reply::new(Code::NO_MAIL_HOST, null_mx, "Recipient address has null MX"));
        Self { reason: error.reason(), permanent: error.is_permanent(), detail: error.to_string(), reply }
    }
}

/// What a look-up depends on besides the decision.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub resolver: &'a dyn Resolver,
    /// Our own name: an MX record with it ends the list.
    pub hostname: &'a Domain,
    pub targets: &'a TargetRule,
}

/// One host of a next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHost {
    /// `None` for an address literal.
    pub name: Option<Domain>,
    /// The operator wrote the name down, or DNSSEC secures it; it does not come from unsigned DNS.
    pub name_is_trusted: bool,
    /// Of the MX record that led to it.
    pub preference: Option<u16>,
    pub port: u16,
    /// In the order to try. Never empty.
    pub addresses: Vec<IpAddr>,
    /// Of all look-ups that led there.
    pub security: Security,
    /// Of the addresses alone.
    pub address_security: Security,
    /// Where aliases led, if the name has one.
    pub alias: Option<Alias>,
    /// The domain whose mail it takes, and the one that its aliases lead to. None for a written host.
    pub next_hop_domains: Arc<[Domain]>,
    /// MX records led to it.
    pub is_by_mx: bool,
}

/// Finds the hosts to try for mail to `host`.
pub(super) async fn find(
    outbound: &Outbound,
    snapshot: &Snapshot,
    hop: &NextHop,
    host: &Host,
) -> Result<Vec<NextHost>, NoTarget> {
    let around =
        Surroundings { resolver: outbound.resolver.as_ref(), hostname: &snapshot.hostname, targets: &snapshot.targets };
    next_hosts(&around, hop, host).await
}

impl NextHost {
    /// What further look-ups go by.
    pub fn known(&self) -> KnownHost<'_> {
        KnownHost {
            name: self.name.as_ref(),
            name_is_trusted: self.name_is_trusted,
            port: self.port,
            address_security: self.address_security,
            alias: self.alias.as_ref(),
            next_hop_domains: &self.next_hop_domains,
            is_by_mx: self.is_by_mx,
        }
    }

    /// The first of its addresses, of which there is one at least, for what concerns the host as a whole.
    pub(super) fn first_target(&self, published: Arc<Published>) -> Option<Target> {
        self.targets(&published, None).next()
    }

    /// Its addresses, in the order to try.
    pub(super) fn targets(
        &self,
        published: &Arc<Published>,
        requirement: Option<&Arc<HostRequirement>>,
    ) -> impl Iterator<Item = Target> {
        self.addresses.iter().map(move |ip| Target {
            name: self.name.clone(),
            name_is_trusted: self.name_is_trusted,
            address: SocketAddr::new(*ip, self.port),
            security: self.security,
            published: published.clone(),
            requirement: requirement.cloned(),
        })
    }
}

/// Finds the hosts for mail to `host`, in the order to try.
pub async fn next_hosts(around: &Surroundings<'_>, hop: &NextHop, host: &Host) -> Result<Vec<NextHost>, NoTarget> {
    match (hop, host) {
        (NextHop::Route(route), _) => of_route(around, route).await,
        (NextHop::Mx, Host::Name(domain)) => of_mx(around, domain).await,
        (NextHop::Mx, Host::Literal(ip)) => of_literal(around, *ip),
    }
}

/// RFC 5321 section 5.1.
async fn of_mx(around: &Surroundings<'_>, domain: &Domain) -> Result<Vec<NextHost>, NoTarget> {
    let query = MailHostQuery {
        domain,
        own_names: std::slice::from_ref(around.hostname),
        ip: IpChoice::Any,
        targets: around.targets,
        random: random::number,
    };
    let found = mail_hosts(around.resolver, query).await?;
    let aliased = found.alias.as_ref().map(|alias| alias.end.clone()).filter(|end| end != domain);
    let next_hop_domains: Arc<[Domain]> = [domain.clone()].into_iter().chain(aliased).collect();
    let next_host = |host: MailHost| NextHost {
        name: Some(host.name),
        // Without MX records it is the recipient's domain, which nobody could have put there.
        name_is_trusted: found.implicit || found.security == Security::Secure,
        preference: Some(host.preference).filter(|_| !found.implicit),
        port: SMTP_PORT,
        addresses: host.addresses,
        security: found.security.min(host.security),
        address_security: host.security,
        alias: host.alias,
        next_hop_domains: next_hop_domains.clone(),
        is_by_mx: !found.implicit,
    };
    Ok(found.hosts.into_iter().map(next_host).collect())
}

/// Hosts in the order in which they were written. One that cannot be resolved does not hide the others.
async fn of_route(around: &Surroundings<'_>, route: &Route) -> Result<Vec<NextHost>, NoTarget> {
    let mut hosts = Vec::new();
    let mut failed = None;
    for hop in &route.hosts {
        match next_hop(around.resolver, &hop.host, route.ip).await {
            Ok(answer) => hosts.push(NextHost {
                name: hop.host.domain().cloned(),
                name_is_trusted: true,
                preference: None,
                port: hop.port,
                addresses: answer.records,
                security: answer.security,
                address_security: answer.security,
                alias: answer.alias,
                next_hop_domains: Arc::default(),
                is_by_mx: false,
            }),
            Err(error) => failed = failed.or(Some(NoTarget::from(error))),
        }
    }
    let none = || NoTarget {
        reason: Reason::NoRoute,
        permanent: false,
        detail: "the route has no host".to_owned(),
        reply: None,
    };
    if hosts.is_empty() { Err(failed.unwrap_or_else(none)) } else { Ok(hosts) }
}

fn of_literal(around: &Surroundings<'_>, ip: IpAddr) -> Result<Vec<NextHost>, NoTarget> {
    if !around.targets.permits(ip) {
        return Err(NoTarget::from(RouteError::TargetForbidden));
    }
    let addresses = vec![ip];
    let security = Security::Unknown;
    Ok(vec![NextHost {
        name: None,
        name_is_trusted: false,
        preference: None,
        port: SMTP_PORT,
        addresses,
        security,
        address_security: security,
        alias: None,
        next_hop_domains: Arc::default(),
        is_by_mx: false,
    }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::published::{Dane, UnusableRecords, UsableRecords};

    #[test]
    fn a_host_is_asked_for_its_tlsa_base_domain_whether_the_records_can_be_used_or_not() {
        let base = Domain::parse("base.example").ok();
        let unusable = UnusableRecords { base: base.clone(), judged: Vec::new() };
        let usable = UsableRecords { records: None, base, names: Vec::new() };
        for (dane, expected) in [
            (Dane::Inapplicable, "mx.example"),
            (Dane::Absent, "mx.example"),
            (Dane::Unusable(Arc::new(unusable)), "base.example"),
            (Dane::Usable(Arc::new(usable)), "base.example"),
        ] {
            let target = Target {
                name: Domain::parse("mx.example").ok(),
                name_is_trusted: false,
                address: ([192, 0, 2, 1], 25).into(),
                security: Security::Secure,
                published: Arc::new(Published { dane, ..Published::default() }),
                requirement: None,
            };
            assert_eq!(target.server_name().map(Domain::as_str), Some(expected), "{target:?}");
        }
    }
}
