//! From a decision to the hosts to try, in order: MX look-up, written route, or address literal.

use std::net::{IpAddr, SocketAddr};

use crate::dns::Security;
use crate::dns::mx::{MailHostQuery, RouteError, mail_hosts, next_hop};
use crate::model::address::Host;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::policy::outbound::NextHop;
use crate::policy::settings::{IpChoice, Route};
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
    /// The operator wrote the name down; it does not come from unsigned DNS.
    pub(super) name_is_trusted: bool,
    pub(super) address: SocketAddr,
    pub(super) security: Security,
}

impl Target {
    /// The name, or the address where there is none.
    pub(super) fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| format!("[{}]", self.address.ip()), Domain::to_string)
    }
}

/// Why there is no host to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoTarget {
    pub(super) reason: Reason,
    pub(super) permanent: bool,
    pub(super) detail: String,
    /// The reply that the RFC has for it.
    pub(super) reply: Option<Reply>,
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

/// Finds the hosts for mail to `host`.
pub(super) async fn find(
    outbound: &Outbound,
    snapshot: &Snapshot,
    hop: &NextHop,
    host: &Host,
) -> Result<Vec<Target>, NoTarget> {
    match (hop, host) {
        (NextHop::Route(route), _) => of_route(outbound, route).await,
        (NextHop::Mx, Host::Name(domain)) => of_mx(outbound, snapshot, domain).await,
        (NextHop::Mx, Host::Literal(ip)) => of_literal(snapshot, *ip),
    }
}

/// RFC 5321 section 5.1.
async fn of_mx(outbound: &Outbound, snapshot: &Snapshot, domain: &Domain) -> Result<Vec<Target>, NoTarget> {
    let query = MailHostQuery {
        domain,
        own_names: std::slice::from_ref(&snapshot.hostname),
        ip: IpChoice::Any,
        targets: &snapshot.targets,
        random: random::number,
    };
    let found = mail_hosts(outbound.resolver.as_ref(), query).await?;
    let targets = found.hosts.into_iter().flat_map(|host| {
        let security = found.security.min(host.security);
        let target = move |ip| Target {
            name: Some(host.name.clone()),
            name_is_trusted: false,
            address: SocketAddr::new(ip, SMTP_PORT),
            security,
        };
        host.addresses.into_iter().map(target)
    });
    Ok(targets.take(TARGETS_MAX).collect())
}

/// Hosts in the order in which they were written. One that cannot be resolved does not hide the others.
async fn of_route(outbound: &Outbound, route: &Route) -> Result<Vec<Target>, NoTarget> {
    let mut targets = Vec::new();
    let mut failed = None;
    for hop in &route.hosts {
        match next_hop(outbound.resolver.as_ref(), &hop.host, route.ip).await {
            Ok(answer) => targets.extend(answer.records.into_iter().map(|ip| Target {
                name: hop.host.domain().cloned(),
                name_is_trusted: true,
                address: SocketAddr::new(ip, hop.port),
                security: answer.security,
            })),
            Err(error) => failed = failed.or(Some(NoTarget::from(error))),
        }
    }
    targets.truncate(TARGETS_MAX);
    let none = || NoTarget {
        reason: Reason::NoRoute,
        permanent: false,
        detail: "the route has no host".to_owned(),
        reply: None,
    };
    if targets.is_empty() { Err(failed.unwrap_or_else(none)) } else { Ok(targets) }
}

fn of_literal(snapshot: &Snapshot, ip: IpAddr) -> Result<Vec<Target>, NoTarget> {
    if !snapshot.targets.permits(ip) {
        return Err(NoTarget::from(RouteError::TargetForbidden));
    }
    let address = SocketAddr::new(ip, SMTP_PORT);
    Ok(vec![Target { name: None, name_is_trusted: false, address, security: Security::Unknown }])
}
