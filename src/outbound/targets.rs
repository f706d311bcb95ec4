//! From a decision to the hosts to try, in order: MX look-up, written route, or address literal.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::dns::mx::{MailHost, MailHostQuery, RouteError, mail_hosts, next_hop};
use crate::dns::targets::TargetRule;
use crate::dns::{Alias, LookupError, Resolver, Security};
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
    /// What nothing could meet, for the record alone.
    pub(super) unmet: Option<Arc<HostRequirement>>,
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

    /// What is asked for there, whether or not a session could meet it.
    pub(super) fn asked(&self) -> Option<&HostRequirement> {
        self.requirement.as_deref().or(self.unmet.as_deref())
    }

    /// The same host, with nothing known or asked of it.
    pub(super) fn unasked(&self) -> Self {
        Self {
            name: self.name.clone(),
            name_is_trusted: false,
            address: self.address,
            security: Security::Unknown,
            published: Arc::default(),
            requirement: None,
            unmet: None,
        }
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
    /// In the order to try. Empty only where the look-up failed.
    pub addresses: Vec<IpAddr>,
    /// Why the addresses are not known now: the host may take mail another time.
    pub failed: Option<LookupError>,
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
    /// A host that is written down, before it is looked up.
    fn written(hop: &HostPort) -> Self {
        Self {
            name: hop.host.domain().cloned(),
            name_is_trusted: true,
            preference: None,
            port: hop.port,
            addresses: Vec::new(),
            failed: None,
            security: Security::Unknown,
            address_security: Security::Unknown,
            alias: None,
            next_hop_domains: Arc::default(),
            is_by_mx: false,
        }
    }

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

    /// The first of its addresses, for what concerns the host as a whole.
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
            unmet: None,
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
        failed: host.failed,
        security: found.security.min(host.security),
        address_security: host.security,
        alias: host.alias,
        next_hop_domains: next_hop_domains.clone(),
        is_by_mx: !found.implicit,
    };
    Ok(found.hosts.into_iter().map(next_host).collect())
}

/// Hosts in the order in which they were written. One that cannot be resolved does not hide the others, and keeps its
/// place: the mail can wait for it.
async fn of_route(around: &Surroundings<'_>, route: &Route) -> Result<Vec<NextHost>, NoTarget> {
    let mut hosts = Vec::new();
    let mut failure = None;
    for hop in &route.hosts {
        let host = NextHost::written(hop);
        match next_hop(around.resolver, &hop.host, route.ip).await {
            Ok(answer) => hosts.push(NextHost {
                addresses: answer.records,
                security: answer.security,
                address_security: answer.security,
                alias: answer.alias,
                ..host
            }),
            Err(error) => {
                failure = failure.or(Some(NoTarget::from(error)));
                if let RouteError::Lookup(error) = error {
                    hosts.push(NextHost { failed: Some(error), ..host });
                }
            }
        }
    }
    let none = || NoTarget {
        reason: Reason::NoRoute,
        permanent: false,
        detail: "the route has no host".to_owned(),
        reply: None,
    };
    let is_known = hosts.iter().any(|host| host.failed.is_none());
    if is_known { Ok(hosts) } else { Err(failure.unwrap_or_else(none)) }
}

fn of_literal(around: &Surroundings<'_>, ip: IpAddr) -> Result<Vec<NextHost>, NoTarget> {
    if !around.targets.permits(ip) {
        return Err(NoTarget::from(RouteError::TargetForbidden));
    }
    let hop = HostPort { host: Host::Literal(ip), port: SMTP_PORT };
    Ok(vec![NextHost { name_is_trusted: false, addresses: vec![ip], ..NextHost::written(&hop) }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::fake::FakeResolver;
    use crate::policy::published::{Dane, UnusableRecords, UsableRecords};
    use crate::policy::settings::{OutboundLayer, Source};

    fn name(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    /// `a.example=192.0.2.1 b.example!ServFail`, or the reason why there is none.
    async fn shown(dns: &FakeResolver, hosts: &[&str]) -> String {
        let hop = |host: &&str| HostPort { host: Host::parse(host).unwrap(), port: 25 };
        let route = Route {
            name: "store".into(),
            source: Source::BuiltIn,
            hosts: hosts.iter().map(hop).collect(),
            tls: OutboundLayer::default(),
            source_address: None,
            ehlo: None,
            ip: IpChoice::Any,
            client_certificate: None,
        };
        let around = Surroundings { resolver: dns, hostname: &name("relay.example"), targets: &TargetRule::default() };
        let host = Host::Name(name("bank.example"));
        let found = match next_hosts(&around, &NextHop::Route(Arc::new(route)), &host).await {
            Ok(found) => found,
            Err(none) => return none.reason.to_string(),
        };
        let show = |host: &NextHost| match host.failed {
            Some(error) => format!("{}!{error:?}", host.name.as_ref().unwrap()),
            None => format!("{}={:?}", host.name.as_ref().unwrap(), host.addresses.first().unwrap()),
        };
        found.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn a_written_host_that_cannot_be_looked_up_now_keeps_its_place() {
        let dns = FakeResolver::new()
            .with_addresses(name("a.example"), ["192.0.2.1".parse().unwrap()])
            .with_addresses_error(name("b.example"), LookupError::ServFail)
            .with_addresses_error(name("c.example"), LookupError::Bogus);
        for (hosts, expected) in [
            (&["a.example", "b.example"][..], "a.example=192.0.2.1 b.example!ServFail"),
            (&["c.example", "a.example"], "c.example!Bogus a.example=192.0.2.1"),
            (&["gone.example", "a.example"], "a.example=192.0.2.1"),
            (&["b.example"], "dns-failure"),
            (&["c.example", "b.example"], "dnssec-invalid"),
            (&["gone.example"], "no-mail-host"),
        ] {
            assert_eq!(shown(&dns, hosts).await, expected, "{hosts:?}");
        }
    }

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
                unmet: None,
            };
            assert_eq!(target.server_name().map(Domain::as_str), Some(expected), "{target:?}");
        }
    }
}
