//! What the DNS and the web say about a destination: its hosts, its MTA-STS policy, where it wants TLS reports.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::dns::mx::{MailHost, MailHostQuery, RouteError, mail_hosts, next_hop};
use crate::dns::{Alias, Exchange, LookupError, Resolver, Security, Service};
use crate::facts::sts_fetch::FetchError;
use crate::facts::sts_plan::CachedPolicy;
use crate::model::address::Host;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::published::MtaSts;
use crate::policy::settings::{HostPort, IpChoice};
use crate::policy::sts_policy::{Mode, StsPolicy};
use crate::policy::sts_record::{self, StsId, StsRecordError};
use crate::policy::tlsrpt_record::{self, ReportTargets, TlsRptRecordError};
use crate::random;

use super::Prober;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All mail hosts of a domain.
    Domain(Domain),
    /// One host.
    Host {
        at: HostPort,
        /// The one that the mail would be for.
        domain: Option<Domain>,
        /// The domain's mail goes by its MX records, so one of them must name the host before its name can be trusted.
        /// Else whoever wrote the host down knows that it is the right one.
        is_by_mx: bool,
    },
}

impl Target {
    /// The domain that the mail would be for.
    pub const fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Domain(domain) => Some(domain),
            Self::Host { domain, .. } => domain.as_ref(),
        }
    }
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub hosts: Result<Hosts, RouteError>,
    pub mta_sts: StsFound,
    pub tlsrpt: TlsRptFound,
}

/// The hosts that take the mail, best first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    pub hosts: Vec<FoundHost>,
    /// The domain has no MX record and is itself the host.
    pub implicit: bool,
    /// Of the MX records; `None` where none were asked for or none are there.
    pub mx: Option<Security>,
    /// Hosts of MX records that no delivery would try: they have no usable address, or stand behind this relay itself.
    pub left_out: Vec<(u16, Domain)>,
}

/// One host and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundHost {
    /// `None` for an address literal.
    pub name: Option<Domain>,
    /// The operator wrote the name down, or DNSSEC secures it.
    pub name_is_trusted: bool,
    pub preference: Option<u16>,
    pub port: u16,
    /// In the order to try. Never empty.
    pub addresses: Vec<IpAddr>,
    /// Of the addresses with all aliases that led to them.
    pub address_security: Security,
    pub alias: Option<Alias>,
    /// The domain whose mail it takes, and the one that its aliases lead to. None for a written host.
    pub next_hop_domains: Arc<[Domain]>,
    /// MX records led to it.
    pub is_by_mx: bool,
}

impl FoundHost {
    pub fn sockets(&self) -> Vec<SocketAddr> {
        self.addresses.iter().map(|ip| SocketAddr::new(*ip, self.port)).collect()
    }

    /// The name, or the address where there is none.
    pub fn shown(&self) -> String {
        match (&self.name, self.addresses.first()) {
            (Some(name), _) => name.to_string(),
            (None, Some(IpAddr::V4(ip))) => ip.to_string(),
            (None, Some(ip)) => format!("[{ip}]"),
            (None, None) => "a host".to_owned(),
        }
    }
}

/// What came of asking for MTA-STS (RFC 8461).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StsFound {
    /// There is no record, or no domain to ask about.
    Absent,
    NotLookedUp(LookupError),
    BadRecord(StsRecordError),
    Announced {
        id: StsId,
        policy: Result<StsPolicy, FetchError>,
    },
}

impl StsFound {
    /// The policy, if it asks for anything.
    pub fn policy(&self) -> Option<&StsPolicy> {
        match self {
            Self::Announced { policy: Ok(policy), .. } => Some(policy).filter(|policy| policy.mode != Mode::None),
            _ => None,
        }
    }

    /// What of it counts for one host.
    pub fn about(&self, host: Option<&Domain>) -> Option<MtaSts> {
        self.policy().map(|policy| about(policy, host))
    }

    /// The policy that a delivery goes by: the one that is kept until it ends, unless another is announced and can be
    /// had (RFC 8461 section 5.1).
    pub fn in_force<'a>(&'a self, kept: Option<&'a CachedPolicy>, now: Timestamp) -> Option<&'a StsPolicy> {
        let kept = kept.filter(|kept| kept.holds(now));
        let policy = match (self, kept) {
            (Self::Announced { id, .. }, Some(kept)) if kept.id == *id => &kept.policy,
            (Self::Announced { policy: Ok(policy), .. }, _) => policy,
            (_, kept) => &kept?.policy,
        };
        Some(policy).filter(|policy| policy.mode != Mode::None)
    }
}

/// What of a policy counts for one host.
pub fn about(policy: &StsPolicy, host: Option<&Domain>) -> MtaSts {
    let lists_host = host.is_some_and(|host| policy.matches(host));
    MtaSts { is_enforced: policy.mode == Mode::Enforce, lists_host }
}

/// What came of asking where TLS reports go (RFC 8460 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsRptFound {
    Absent,
    NotLookedUp(LookupError),
    BadRecord(TlsRptRecordError),
    Wanted(ReportTargets),
}

/// What MX records say of one host.
#[derive(Clone, Copy, Debug, Default)]
struct MxOf {
    preference: Option<u16>,
    /// Nobody could have put the name there.
    is_secure: bool,
}

impl Prober {
    /// Everything that is published about the target. Policies are asked for at `policy_domain`: the domain whose MX
    /// records count, or the name of a smart host (RFC 8461 section 3.4).
    pub async fn publication(&self, target: &Target, policy_domain: Option<&Domain>) -> Publication {
        let about = async {
            match policy_domain {
                Some(domain) => tokio::join!(self.mta_sts(domain), self.tlsrpt(domain)),
                None => (StsFound::Absent, TlsRptFound::Absent),
            }
        };
        let (hosts, (mta_sts, tlsrpt)) = tokio::join!(self.hosts(target), about);
        Publication { hosts, mta_sts, tlsrpt }
    }

    async fn hosts(&self, target: &Target) -> Result<Hosts, RouteError> {
        match target {
            Target::Domain(domain) => self.by_mx(domain).await,
            Target::Host { at, domain, is_by_mx } => {
                let mx = match (domain, at.host.domain()) {
                    (Some(domain), Some(name)) if *is_by_mx => self.mx_of(domain, name).await?,
                    (Some(_), None) if *is_by_mx => MxOf::default(),
                    _ => MxOf { is_secure: true, ..MxOf::default() },
                };
                let answer = next_hop(self.resolver.as_ref(), &at.host, IpChoice::Any).await?;
                let host = FoundHost {
                    name: at.host.domain().cloned(),
                    name_is_trusted: mx.is_secure,
                    preference: mx.preference,
                    port: at.port,
                    addresses: answer.records,
                    address_security: answer.security,
                    alias: answer.alias,
                    next_hop_domains: domain.iter().filter(|_| mx.preference.is_some()).cloned().collect(),
                    is_by_mx: mx.preference.is_some(),
                };
                Ok(Hosts { hosts: vec![host], implicit: false, mx: None, left_out: Vec::new() })
            }
        }
    }

    /// What the MX records of a domain say of a host. An address that nobody names has none.
    async fn mx_of(&self, domain: &Domain, host: &Domain) -> Result<MxOf, RouteError> {
        match self.resolver.mx(domain).await {
            Ok(answer) => {
                let named = answer.records.iter().filter(|mx| mx.exchange == Exchange::Host(host.clone()));
                let preference = named.map(|mx| mx.preference).min();
                Ok(MxOf { preference, is_secure: preference.is_some() && answer.security == Security::Secure })
            }
            Err(error) if error.is_temporary() => Err(RouteError::Lookup(error)),
            Err(_) => Ok(MxOf { preference: None, is_secure: host == domain }),
        }
    }

    /// As a delivery finds them (RFC 5321 section 5.1).
    async fn by_mx(&self, domain: &Domain) -> Result<Hosts, RouteError> {
        let query = MailHostQuery {
            domain,
            own_names: std::slice::from_ref(&self.hostname),
            ip: IpChoice::Any,
            targets: &self.targets,
            random: random::number,
        };
        let mut found = mail_hosts(self.resolver.as_ref(), query).await?;
        found.hosts.retain(|host| host.failed.is_none());
        let aliased = found.alias.as_ref().map(|alias| alias.end.clone()).filter(|end| end != domain);
        let next_hop_domains: Arc<[Domain]> = [domain.clone()].into_iter().chain(aliased).collect();
        let is_secure = found.security == Security::Secure;
        let left_out = if found.implicit { Vec::new() } else { self.left_out(domain, &found.hosts).await };
        let host = |host: MailHost| FoundHost {
            name: Some(host.name),
            name_is_trusted: found.implicit || is_secure,
            preference: Some(host.preference).filter(|_| !found.implicit),
            port: self.port,
            addresses: host.addresses,
            address_security: host.security,
            alias: host.alias,
            next_hop_domains: next_hop_domains.clone(),
            is_by_mx: !found.implicit,
        };
        let mx = Some(found.security).filter(|_| !found.implicit);
        Ok(Hosts { implicit: found.implicit, mx, left_out, hosts: found.hosts.into_iter().map(host).collect() })
    }

    /// The MX records again, out of the cache.
    async fn left_out(&self, domain: &Domain, used: &[MailHost]) -> Vec<(u16, Domain)> {
        let Ok(answer) = self.resolver.mx(domain).await else { return Vec::new() };
        let named = answer.records.into_iter().filter_map(|mx| match mx.exchange {
            Exchange::Host(name) => Some((mx.preference, name)),
            Exchange::Root | Exchange::Invalid => None,
        });
        let mut left_out: Vec<_> = named.filter(|(_, name)| used.iter().all(|host| host.name != *name)).collect();
        left_out.sort();
        left_out.dedup();
        left_out
    }

    async fn mta_sts(&self, domain: &Domain) -> StsFound {
        let records = match texts(self.resolver.as_ref(), Service::MtaSts, domain).await {
            Ok(records) => records,
            Err(error) => return StsFound::NotLookedUp(error),
        };
        match sts_record::parse(&records) {
            Ok(None) => StsFound::Absent,
            Err(error) => StsFound::BadRecord(error),
            Ok(Some(id)) => StsFound::Announced { id, policy: self.sts.fetch(domain).await },
        }
    }

    async fn tlsrpt(&self, domain: &Domain) -> TlsRptFound {
        let records = match texts(self.resolver.as_ref(), Service::TlsRpt, domain).await {
            Ok(records) => records,
            Err(error) => return TlsRptFound::NotLookedUp(error),
        };
        match tlsrpt_record::parse(&records) {
            Ok(None) => TlsRptFound::Absent,
            Err(error) => TlsRptFound::BadRecord(error),
            Ok(Some(targets)) => TlsRptFound::Wanted(targets),
        }
    }
}

/// No records are none; an error means that it is not known.
async fn texts(resolver: &dyn Resolver, service: Service, domain: &Domain) -> Result<Vec<Vec<u8>>, LookupError> {
    match resolver.text(service, domain).await {
        Ok(answer) => Ok(answer.records),
        Err(error) if error.is_temporary() => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

/// `HOST:PORT`, `[IP]:PORT`; a port makes the difference to a domain.
pub fn parse_target(text: &str, domain: Option<&Domain>) -> Result<Target, String> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Domain::parse(text).map(Target::Domain).map_err(|error| error.to_string());
    };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or("the port is a number from 1 to 65535")?;
    let is_bare_ip = host.parse::<std::net::Ipv4Addr>().is_ok();
    let host =
        if is_bare_ip { Host::parse(&format!("[{host}]")) } else { ipv6(host).map_or_else(|| Host::parse(host), Ok) };
    let host = host.map_err(|error| error.to_string())?;
    Ok(Target::Host { at: HostPort { host, port }, domain: domain.cloned(), is_by_mx: domain.is_some() })
}

/// `[2001:db8::1]`, which SMTP itself writes in another way.
fn ipv6(host: &str) -> Option<Host> {
    let inner = host.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse().ok().map(Host::Literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_makes_a_host_of_a_domain() {
        for (text, expected) in [
            ("Bank.Example", "domain bank.example"),
            ("m\u{fc}ller.example", "domain xn--mller-kva.example"),
            ("mx.bank.example:25", "host mx.bank.example 25"),
            ("127.0.0.1:2525", "host 127.0.0.1 2525"),
            ("[127.0.0.1]:2525", "host 127.0.0.1 2525"),
            ("[2001:db8::1]:25", "host 2001:db8::1 25"),
            ("bank.example:0", "the port is a number from 1 to 65535"),
            ("bank.example:smtp", "the port is a number from 1 to 65535"),
            ("127.0.0.1", "the last label of a domain name is not a number; an IP address is written in brackets"),
            ("", "a domain name may not be empty or have an empty label"),
        ] {
            let seen = match parse_target(text, None) {
                Ok(Target::Domain(domain)) => format!("domain {domain}"),
                Ok(Target::Host { at, domain: None, .. }) => {
                    let host = match at.host {
                        Host::Name(name) => name.to_string(),
                        Host::Literal(ip) => ip.to_string(),
                    };
                    format!("host {host} {}", at.port)
                }
                Ok(other) => format!("{other:?}"),
                Err(error) => error,
            };
            assert_eq!(seen, expected, "{text}");
        }
    }

    #[test]
    fn a_kept_policy_holds_until_it_ends_or_another_can_be_had() {
        let policy = |mode: &str| {
            let text = format!("version: STSv1\nmode: {mode}\nmx: a.example\nmax_age: 1000\n");
            StsPolicy::parse(text.as_bytes()).unwrap()
        };
        let id = |text: &str| StsId::parse(text).unwrap();
        let kept = CachedPolicy { id: id("old"), policy: policy("enforce"), fetched: Timestamp::from_secs(0) };
        let announced = |text: &str, policy| StsFound::Announced { id: id(text), policy };
        for (found, kept, now, expected) in [
            (StsFound::Absent, None, 0, None),
            (StsFound::Absent, Some(&kept), 999, Some(Mode::Enforce)),
            (StsFound::Absent, Some(&kept), 1000, None),
            (StsFound::NotLookedUp(LookupError::ServFail), Some(&kept), 0, Some(Mode::Enforce)),
            (announced("new", Err(FetchError::Timeout)), Some(&kept), 0, Some(Mode::Enforce)),
            (announced("new", Err(FetchError::Timeout)), None, 0, None),
            (announced("new", Ok(policy("testing"))), Some(&kept), 0, Some(Mode::Testing)),
            (announced("new", Ok(policy("none"))), Some(&kept), 0, None),
            // What is kept is not fetched again for the same id.
            (announced("old", Ok(policy("testing"))), Some(&kept), 0, Some(Mode::Enforce)),
            (announced("old", Ok(policy("testing"))), Some(&kept), 1000, Some(Mode::Testing)),
        ] {
            let seen = found.in_force(kept, Timestamp::from_secs(now)).map(|policy| policy.mode);
            assert_eq!(seen, expected, "{found:?} {now}");
        }
    }
}
