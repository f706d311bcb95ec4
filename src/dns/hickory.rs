//! The resolver of the daemon: asks recursive DNS servers over UDP and TCP, by way of hickory.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use crate::model::domain::Domain;
use crate::model::tlsa::Tlsa;
use crate::policy::settings::IpChoice;

use super::cache::CachingResolver;
use super::families::merge;
use super::{ADDRESSES_MAX, Answer, Exchange, Lookup, LookupError, MX_RECORDS_MAX, Mx, Resolver, Security, Service};

/// How long one try waits for an answer.
pub const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a question is asked before the look-up fails.
pub const TRIES_MAX: u32 = 2;
/// Questions at once on one TCP connection to a DNS server; more wait.
const TCP_QUESTIONS_MAX: usize = 256;

/// Whom to ask, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Recursive servers; none means those of the system (`/etc/resolv.conf`), and its `/etc/hosts` first.
    pub servers: Vec<SocketAddr>,
    pub try_timeout: Duration,
    /// At least 1.
    pub tries: u32,
}

/// Why the resolver cannot be set up: the operator's to repair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("/etc/resolv.conf names no usable DNS server ({detail}); repair it or set servers in [dns]")]
    SystemConfiguration { detail: String },
    #[error("the DNS resolver cannot be set up: {detail}")]
    Resolver { detail: String },
}

/// The daemon's resolver with a bounded cache. No servers means those of the system.
pub fn system(servers: &[SocketAddr]) -> Result<Arc<dyn Resolver>, SetupError> {
    let options = Options { servers: servers.to_vec(), try_timeout: TRY_TIMEOUT, tries: TRIES_MAX };
    Ok(Arc::new(CachingResolver::new(HickoryResolver::new(&options)?)))
}

/// Asks the servers each time; keeps no answers.
#[derive(Debug)]
pub struct HickoryResolver {
    inner: TokioResolver,
    /// For a whole look-up, with all tries and aliases.
    deadline: Duration,
}

impl HickoryResolver {
    pub fn new(options: &Options) -> Result<Self, SetupError> {
        let config = match options.servers.as_slice() {
            [] => {
                let (system, _) = read_system_conf()
                    .map_err(|error| SetupError::SystemConfiguration { detail: error.to_string() })?;
                // Names are absolute: the domain and the search list of the system are not used.
                ResolverConfig::from_parts(None, Vec::new(), system.name_servers().to_vec())
            }
            servers => ResolverConfig::from_name_servers(servers.iter().copied().map(name_server).collect()),
        };
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let opts = builder.options_mut();
        opts.timeout = options.try_timeout;
        opts.attempts = usize::try_from(options.tries.saturating_sub(1)).unwrap_or_default();
        opts.edns0 = true;
        opts.max_active_requests = TCP_QUESTIONS_MAX;
        // Hickory's cache is bounded by entries of any size; `CachingResolver` keeps only records that count.
        opts.cache_size = 0;
        opts.use_hosts_file = if options.servers.is_empty() { ResolveHosts::Always } else { ResolveHosts::Never };
        let inner = builder.build().map_err(|error| SetupError::Resolver { detail: error.to_string() })?;
        Ok(Self { inner, deadline: options.try_timeout.saturating_mul(options.tries.saturating_add(1)) })
    }

    async fn ask<T>(
        &self,
        name: &Domain,
        kind: RecordType,
        pick: fn(&RData) -> Option<T>,
    ) -> Result<Answer<Vec<T>>, LookupError> {
        let labels = name.as_str().split('.').map(str::as_bytes);
        let name = Name::from_labels(labels).map_err(|_| LookupError::Malformed)?;
        let lookup = tokio::time::timeout(self.deadline, self.inner.lookup(name, kind))
            .await
            .map_err(|_| LookupError::Timeout)?
            .map_err(|error| blame(&error))?;
        pick_records(&lookup, pick)
    }

    async fn ask_v4(&self, name: &Domain) -> Result<Answer<Vec<IpAddr>>, LookupError> {
        let pick = |data: &RData| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            _ => None,
        };
        self.ask(name, RecordType::A, pick).await.map(|answer| cut(answer, ADDRESSES_MAX))
    }

    async fn ask_v6(&self, name: &Domain) -> Result<Answer<Vec<IpAddr>>, LookupError> {
        let pick = |data: &RData| match data {
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        };
        self.ask(name, RecordType::AAAA, pick).await.map(|answer| cut(answer, ADDRESSES_MAX))
    }
}

impl Resolver for HickoryResolver {
    fn mx<'a>(&'a self, domain: &'a Domain) -> Lookup<'a, Vec<Mx>> {
        let pick = |data: &RData| match data {
            RData::MX(mx) => Some(Mx { preference: mx.preference, exchange: exchange(&mx.exchange) }),
            _ => None,
        };
        Box::pin(async move { self.ask(domain, RecordType::MX, pick).await.map(|answer| cut(answer, MX_RECORDS_MAX)) })
    }

    fn addresses<'a>(&'a self, name: &'a Domain, ip: IpChoice) -> Lookup<'a, Vec<IpAddr>> {
        Box::pin(async move {
            match ip {
                IpChoice::V4 => self.ask_v4(name).await,
                IpChoice::V6 => self.ask_v6(name).await,
                IpChoice::Any => {
                    let (v6, v4) = tokio::join!(self.ask_v6(name), self.ask_v4(name));
                    merge(v6, v4)
                }
            }
        })
    }

    fn tlsa<'a>(&'a self, _port: u16, _base: &'a Domain) -> Lookup<'a, Vec<Tlsa>> {
        Box::pin(std::future::ready(Err(LookupError::NoData)))
    }

    fn text<'a>(&'a self, _service: Service, _domain: &'a Domain) -> Lookup<'a, Vec<Vec<u8>>> {
        Box::pin(std::future::ready(Err(LookupError::NoData)))
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let [mut udp, mut tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    udp.port = address.port();
    tcp.port = address.port();
    NameServerConfig::new(address.ip(), true, vec![udp, tcp])
}

/// The wanted records that belong to the asked name or to the end of its chain of aliases.
fn pick_records<T>(lookup: &lookup::Lookup, pick: fn(&RData) -> Option<T>) -> Result<Answer<Vec<T>>, LookupError> {
    let asked = lookup.query().name();
    let owner = follow_aliases(asked, lookup.answers()).unwrap_or(asked);
    let mut records = Vec::new();
    let mut ttl_secs = u32::MAX;
    for record in lookup.answers() {
        if record.record_type() == RecordType::CNAME {
            ttl_secs = ttl_secs.min(record.ttl);
        }
        if record.name == *owner
            && let Some(picked) = pick(&record.data)
        {
            ttl_secs = ttl_secs.min(record.ttl);
            records.push(picked);
        }
    }
    if records.is_empty() {
        // An answer without the answer: to take it for "no such record" could send mail to an implicit MX.
        return Err(LookupError::Malformed);
    }
    Ok(Answer { records, security: Security::Unknown, alias: None, ttl: Duration::from_secs(ttl_secs.into()) })
}

/// Where the aliases lead that start at `name`, if any do. Each record is followed at most once.
fn follow_aliases<'a>(name: &Name, answers: &'a [Record]) -> Option<&'a Name> {
    let mut end: Option<&Name> = None;
    for record in answers {
        if let RData::CNAME(target) = &record.data
            && record.name == *end.unwrap_or(name)
        {
            end = Some(&target.0);
        }
    }
    end
}

/// A host name as mail needs it. Octets that no host name has make it invalid, not an error of the whole answer.
fn exchange(name: &Name) -> Exchange {
    if name.is_root() {
        return Exchange::Root;
    }
    let mut text = String::new();
    for label in name.iter() {
        match str::from_utf8(label) {
            Ok(label) if label.is_ascii() && !label.contains('.') => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(label);
            }
            _ => return Exchange::Invalid,
        }
    }
    Domain::parse(&text).map_or(Exchange::Invalid, Exchange::Host)
}

fn cut<T>(mut answer: Answer<Vec<T>>, records_max: usize) -> Answer<Vec<T>> {
    answer.records.truncate(records_max);
    answer
}

fn blame(error: &NetError) -> LookupError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(negative)) => match negative.response_code {
            ResponseCode::NoError => LookupError::NoData,
            code => blame_code(code),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => blame_code(*code),
        NetError::Dns(DnsError::DnssecBogus) => LookupError::Bogus,
        NetError::Timeout => LookupError::Timeout,
        NetError::Io(_) | NetError::NoConnections | NetError::Busy => LookupError::Unreachable,
        _ => LookupError::Malformed,
    }
}

fn blame_code(code: ResponseCode) -> LookupError {
    match code {
        ResponseCode::NXDomain => LookupError::NoSuchName,
        ResponseCode::Refused => LookupError::Refused,
        _ => LookupError::ServFail,
    }
}

#[cfg(test)]
mod tests;
