//! Where mail for a domain goes when no route is written down: the hosts to try, in order (RFC 5321 section 5.1,
//! RFC 7505).

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::model::address::Host;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::policy::settings::IpChoice;

use super::families::interleave;
use super::targets::TargetRule;
use super::{Alias, Answer, Exchange, Lookup, LookupError, Mx, Resolver, Security};

/// Hosts of one domain that are looked up and tried; the least preferred beyond are dropped.
pub const MAIL_HOSTS_MAX: usize = 20;
/// Address look-ups under way at once for one domain.
const ADDRESS_LOOKUPS_AT_ONCE_MAX: usize = 8;
/// For all look-ups of one domain together. Hosts not yet resolved then count as failed.
pub const RESOLUTION_TIME_MAX: Duration = Duration::from_secs(30);

/// The question, and what the answer depends on besides the DNS.
#[derive(Debug)]
pub struct MailHostQuery<'a, R> {
    pub domain: &'a Domain,
    /// Names that mean this relay: an MX record with one of them ends the list.
    pub own_names: &'a [Domain],
    pub ip: IpChoice,
    pub targets: &'a TargetRule,
    /// Shuffles hosts of equal preference. Called once a host.
    pub random: R,
}

/// Where to try, best first. One host at least has addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailHosts {
    pub hosts: Vec<MailHost>,
    /// The domain has no MX record and is itself the host.
    pub implicit: bool,
    /// The DNSSEC state of the MX answer, or of the addresses if the MX is implicit.
    pub security: Security,
    /// Where aliases of the domain led, if it has one.
    pub alias: Option<Alias>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailHost {
    pub name: Domain,
    pub preference: u16,
    /// In the order to try. Empty only where the look-up failed.
    pub addresses: Vec<IpAddr>,
    /// Why the addresses are not known now: the host may take mail another time.
    pub failed: Option<LookupError>,
    /// The DNSSEC state of the addresses, with all aliases that led to them.
    pub security: Security,
    /// Where aliases led, if the name has one.
    pub alias: Option<Alias>,
}

/// Why there is nowhere to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Ask again later.
    #[error("the mail hosts cannot be looked up: {0}")]
    Lookup(LookupError),
    /// 556 5.1.10 (RFC 7505 section 4.2).
    #[error("the domain does not accept mail (null MX)")]
    NullMx,
    #[error("the domain does not exist")]
    NoSuchDomain,
    #[error("the domain has no mail host with an address")]
    NoMailHost,
    #[error("the best mail host of the domain is this relay itself")]
    RoutesToSelf,
    #[error("the mail hosts of the domain have only addresses that are not on the public internet")]
    TargetForbidden,
    /// The configuration's fault, so that mail can wait for its repair.
    #[error("the configured next hop has no address")]
    NextHopUnknown,
}

impl RouteError {
    pub const fn reason(self) -> Reason {
        match self {
            Self::Lookup(error) => error.reason(),
            Self::NullMx => Reason::NullMx,
            Self::NoSuchDomain => Reason::NoSuchDomain,
            Self::NoMailHost | Self::NextHopUnknown => Reason::NoMailHost,
            Self::RoutesToSelf => Reason::RoutesToSelf,
            Self::TargetForbidden => Reason::TargetForbidden,
        }
    }

    /// Whether the message is to be returned; else it is tried again.
    pub const fn is_permanent(self) -> bool {
        match self {
            Self::Lookup(_) | Self::NextHopUnknown => false,
            Self::NullMx | Self::NoSuchDomain | Self::NoMailHost | Self::RoutesToSelf | Self::TargetForbidden => true,
        }
    }
}

/// The hosts that take mail for a domain, within [`RESOLUTION_TIME_MAX`]. Needs tokio's timer.
pub async fn mail_hosts<R: FnMut() -> u64>(
    resolver: &dyn Resolver,
    query: MailHostQuery<'_, R>,
) -> Result<MailHosts, RouteError> {
    mail_hosts_within(RESOLUTION_TIME_MAX, resolver, query).await
}

/// The addresses of a next hop that the configuration names, in the order to try. No address is off limits there.
pub async fn next_hop(resolver: &dyn Resolver, host: &Host, ip: IpChoice) -> Result<Answer<Vec<IpAddr>>, RouteError> {
    let name = match host {
        Host::Literal(address) => {
            return Ok(Answer {
                records: vec![*address],
                security: Security::Unknown,
                alias: None,
                ttl: Duration::MAX,
            });
        }
        Host::Name(name) => name,
    };
    let looked_up = tokio::time::timeout(RESOLUTION_TIME_MAX, resolver.addresses(name, ip)).await;
    match looked_up.unwrap_or(Err(LookupError::Timeout)) {
        Ok(answer) => Ok(Answer { records: interleave(&answer.records), ..answer }),
        Err(error) if error.is_temporary() => Err(RouteError::Lookup(error)),
        Err(_) => Err(RouteError::NextHopUnknown),
    }
}

async fn mail_hosts_within<R: FnMut() -> u64>(
    time_max: Duration,
    resolver: &dyn Resolver,
    mut query: MailHostQuery<'_, R>,
) -> Result<MailHosts, RouteError> {
    let mut time_over = std::pin::pin!(tokio::time::sleep(time_max));
    let mx = tokio::select! {
        mx = resolver.mx(query.domain) => mx,
        () = &mut time_over => Err(LookupError::Timeout),
    };
    let (candidates, mx_security, alias) = match mx {
        Ok(answer) => (candidates(answer.records, &mut query)?, Some(answer.security), answer.alias),
        Err(LookupError::NoData) => (vec![implicit_candidate(&query)?], None, None),
        Err(LookupError::NoSuchName) => return Err(RouteError::NoSuchDomain),
        Err(error) => return Err(RouteError::Lookup(error)),
    };
    let mut lookups = AddressLookups::new(resolver, &candidates, query.ip);
    tokio::select! {
        () = poll_fn(|cx| lookups.poll(cx)) => {}
        () = &mut time_over => {}
    }
    let results = lookups.into_results();
    let hosts = reachable(candidates, results, query.targets)?;
    let first_security = hosts.first().map_or(Security::Unknown, |host| host.security);
    Ok(MailHosts { hosts, implicit: mx_security.is_none(), security: mx_security.unwrap_or(first_security), alias })
}

/// A host before its addresses are known.
#[derive(Debug)]
struct Candidate {
    name: Domain,
    preference: u16,
}

/// The hosts of the MX records, best first, up to the first that is ourselves.
fn candidates<R: FnMut() -> u64>(
    records: Vec<Mx>,
    query: &mut MailHostQuery<'_, R>,
) -> Result<Vec<Candidate>, RouteError> {
    // RFC 7505 section 3: the root stands alone. Beside other records it is but a host without address.
    if records.iter().all(|mx| mx.exchange == Exchange::Root) {
        return Err(RouteError::NullMx);
    }
    let mut shuffled: Vec<(u16, u64, Domain)> = Vec::with_capacity(records.len());
    for mx in records {
        if let Exchange::Host(name) = mx.exchange {
            shuffled.push((mx.preference, (query.random)(), name));
        }
    }
    if shuffled.is_empty() {
        return Err(RouteError::NoMailHost);
    }
    let own = shuffled.iter().filter(|(_, _, name)| query.own_names.contains(name));
    if let Some(own_preference) = own.map(|(preference, _, _)| *preference).min() {
        shuffled.retain(|(preference, _, _)| *preference < own_preference);
    }
    if shuffled.is_empty() {
        return Err(RouteError::RoutesToSelf);
    }
    shuffled.sort();
    let mut candidates: Vec<Candidate> = Vec::new();
    for (preference, _, name) in shuffled {
        if candidates.len() < MAIL_HOSTS_MAX && candidates.iter().all(|known| known.name != name) {
            candidates.push(Candidate { name, preference });
        }
    }
    Ok(candidates)
}

/// Without MX records the domain itself is the host, with preference 0.
fn implicit_candidate<R>(query: &MailHostQuery<'_, R>) -> Result<Candidate, RouteError> {
    if query.own_names.contains(query.domain) {
        return Err(RouteError::RoutesToSelf);
    }
    Ok(Candidate { name: query.domain.clone(), preference: 0 })
}

/// The candidates that have an address which may be connected to, and those of which it is not known now, where not all
/// are such.
fn reachable(
    candidates: Vec<Candidate>,
    results: Vec<Result<Answer<Vec<IpAddr>>, LookupError>>,
    targets: &TargetRule,
) -> Result<Vec<MailHost>, RouteError> {
    let mut hosts = Vec::with_capacity(candidates.len());
    let mut failure = None;
    let (mut forbidden, mut found) = (false, false);
    for (Candidate { name, preference }, result) in candidates.into_iter().zip(results) {
        match result {
            Ok(answer) => {
                let permitted = answer.records.into_iter().filter(|ip| targets.permits(*ip)).collect::<Vec<_>>();
                if permitted.is_empty() {
                    forbidden = true;
                } else {
                    let addresses = interleave(&permitted);
                    let (security, alias) = (answer.security, answer.alias);
                    hosts.push(MailHost { name, preference, addresses, failed: None, security, alias });
                    found = true;
                }
            }
            Err(error) if error.is_temporary() => {
                failure = failure.or(Some(error));
                let (failed, security) = (Some(error), Security::Unknown);
                hosts.push(MailHost { name, preference, addresses: Vec::new(), failed, security, alias: None });
            }
            Err(_) => {}
        }
    }
    match (found, failure) {
        (true, _) => Ok(hosts),
        (false, Some(error)) => Err(RouteError::Lookup(error)),
        (false, None) if forbidden => Err(RouteError::TargetForbidden),
        (false, None) => Err(RouteError::NoMailHost),
    }
}

/// The address look-ups of all candidates, a bounded number of them under way at once.
struct AddressLookups<'a> {
    slots: Vec<Slot<'a>>,
}

enum Slot<'a> {
    Open(Lookup<'a, Vec<IpAddr>>),
    Done(Result<Answer<Vec<IpAddr>>, LookupError>),
}

impl<'a> AddressLookups<'a> {
    fn new(resolver: &'a dyn Resolver, candidates: &'a [Candidate], ip: IpChoice) -> Self {
        Self { slots: candidates.iter().map(|host| Slot::Open(resolver.addresses(&host.name, ip))).collect() }
    }

    /// Ready when all are done. A look-up begins when it is polled first, so those behind the bound wait untouched.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut under_way = 0;
        for slot in &mut self.slots {
            let Slot::Open(lookup) = slot else { continue };
            match Pin::as_mut(lookup).poll(cx) {
                Poll::Ready(result) => *slot = Slot::Done(result),
                Poll::Pending => under_way += 1,
            }
            if under_way == ADDRESS_LOOKUPS_AT_ONCE_MAX {
                break;
            }
        }
        if under_way == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    fn into_results(self) -> Vec<Result<Answer<Vec<IpAddr>>, LookupError>> {
        let result = |slot| match slot {
            Slot::Open(_) => Err(LookupError::Timeout),
            Slot::Done(result) => result,
        };
        self.slots.into_iter().map(result).collect()
    }
}

#[cfg(test)]
mod tests;
