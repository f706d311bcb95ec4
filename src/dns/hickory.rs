//! The resolver of the daemon: asks recursive DNS servers over UDP and TCP, by way of hickory, and follows aliases.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::domain::usage::{INVALID, LOCALHOST, ONION};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::model::domain::Domain;
use crate::model::tlsa::Tlsa;
use crate::policy::tlsa;

use super::servers::{Dnssec, Servers, SetupError};
use super::{ADDRESSES_MAX, Alias, Answer, LookupError, MX_RECORDS_MAX, Miss, Mx, Security, Service, TEXTS_MAX};

use reading::Reading;
use upstream::Upstream;

mod dname;
mod reading;
mod records;
mod upstream;
mod witness;

/// How long one try waits for an answer.
pub const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a question is asked before the look-up fails.
pub const TRIES_MAX: u32 = 2;
/// TLSA records read in one answer, which has room for no more; those that count for most are taken.
const TLSA_RECORDS_READ_MAX: usize = 4096;
/// Questions to which one look-up may lead because a server answers with an alias alone.
const REDIRECTS_MAX: usize = 8;
/// The lifetime of what is known without asking anybody.
const LOCAL_TTL_SECS: u32 = 3600;

/// Whom to ask, how patiently, and what to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Recursive servers; none means those of the system (`/etc/resolv.conf`), and its `/etc/hosts` first.
    pub servers: Vec<SocketAddr>,
    pub dnssec: Dnssec,
    pub try_timeout: Duration,
    /// At least 1.
    pub tries: u32,
}

impl Options {
    /// As the daemon asks.
    pub fn new(servers: &[SocketAddr], dnssec: Dnssec) -> Self {
        Self { servers: servers.to_vec(), dnssec, try_timeout: TRY_TIMEOUT, tries: TRIES_MAX }
    }
}

/// Asks the servers each time; keeps no answers.
#[derive(Debug)]
pub struct HickoryResolver {
    upstream: Upstream,
    /// Empty unless the servers are those of the system.
    hosts: Hosts,
    /// For a whole look-up, with all tries and aliases.
    deadline: Duration,
}

/// A question, and how its answer is made.
#[derive(Debug)]
struct Question<T> {
    /// `None` if it is longer than a name can be.
    name: Option<Name>,
    kind: RecordType,
    records_max: usize,
    pick: fn(&RData) -> Option<T>,
}

impl HickoryResolver {
    pub fn new(options: &Options) -> Result<Self, SetupError> {
        let servers = Servers::in_force(&options.servers, &options.dnssec)?;
        let upstream = Upstream::new(options, &servers)?;
        // A file that is missing or cannot be read names no hosts.
        let hosts = if servers.of_system { Hosts::from_system().unwrap_or_default() } else { Hosts::default() };
        let deadline = options.try_timeout.saturating_mul(options.tries.saturating_add(1));
        Ok(Self { upstream, hosts, deadline })
    }

    /// The MX records of `domain`, at most [`MX_RECORDS_MAX`].
    pub async fn mx(&self, domain: &Domain) -> Result<Answer<Vec<Mx>>, Miss> {
        let name = records::name("", domain);
        self.ask(Question { name, kind: RecordType::MX, records_max: MX_RECORDS_MAX, pick: records::mx }).await
    }

    /// The IPv4 addresses of `name`, at most [`ADDRESSES_MAX`].
    pub async fn v4(&self, name: &Domain) -> Result<Answer<Vec<IpAddr>>, Miss> {
        let name = records::name("", name);
        self.ask(Question { name, kind: RecordType::A, records_max: ADDRESSES_MAX, pick: records::v4 }).await
    }

    /// The IPv6 addresses of `name`, at most [`ADDRESSES_MAX`].
    pub async fn v6(&self, name: &Domain) -> Result<Answer<Vec<IpAddr>>, Miss> {
        let name = records::name("", name);
        self.ask(Question { name, kind: RecordType::AAAA, records_max: ADDRESSES_MAX, pick: records::v6 }).await
    }

    /// The TLSA records of a port of `base`, at most [`TLSA_RECORDS_MAX`](crate::policy::tlsa::TLSA_RECORDS_MAX).
    pub async fn tlsa(&self, port: u16, base: &Domain) -> Result<Answer<Vec<Tlsa>>, Miss> {
        let name = records::name(&format!("_{port}._tcp"), base);
        let kind = RecordType::TLSA;
        let records_max = TLSA_RECORDS_READ_MAX;
        let answer = self.ask(Question { name, kind, records_max, pick: records::tlsa }).await?;
        Ok(Answer { records: tlsa::foremost(&answer.records), ..answer })
    }

    /// What `domain` says about a service, at most [`TEXTS_MAX`] records.
    pub async fn text(&self, service: Service, domain: &Domain) -> Result<Answer<Vec<Vec<u8>>>, Miss> {
        let name = records::name(service.label(), domain);
        self.ask(Question { name, kind: RecordType::TXT, records_max: TEXTS_MAX, pick: records::text }).await
    }

    /// Finds out, and tells the log, whether DNSSEC is of any use with these servers.
    pub async fn look_round(&self) {
        // A server that is silent is told of by each look-up.
        let _silent = tokio::time::timeout(self.deadline, self.upstream.look_round()).await;
    }

    async fn ask<T>(&self, question: Question<T>) -> Result<Answer<Vec<T>>, Miss> {
        let Question { name, kind, records_max, pick } = question;
        let name = name.ok_or(LookupError::NoSuchName)?;
        let found = match self.local(&name, kind) {
            Some(local) => local?,
            None => {
                let looked_up = tokio::time::timeout(self.deadline, self.look_up(&name, kind)).await;
                looked_up.map_err(|_| LookupError::Timeout)??
            }
        };
        let records: Vec<T> = found.records.iter().filter_map(|record| pick(&record.data)).take(records_max).collect();
        if records.is_empty() {
            return Err(LookupError::Malformed.into());
        }
        let ttl = Duration::from_secs(found.ttl_secs.into());
        Ok(Answer { records, security: found.security, alias: found.alias(kind)?, ttl })
    }

    /// What needs no server: the file of hosts, and names that mean the same everywhere (RFC 6761 section 6, RFC 7686).
    fn local(&self, name: &Name, kind: RecordType) -> Option<Result<Found, LookupError>> {
        if let Some(known) = self.hosts.lookup_static_host(&Query::query(name.clone(), kind)) {
            return Some(Ok(Found::local(name, known.answers().to_vec())));
        }
        if INVALID.zone_of(name) || ONION.zone_of(name) {
            return Some(Err(LookupError::NoSuchName));
        }
        if !LOCALHOST.zone_of(name) {
            return None;
        }
        let address = match kind {
            RecordType::A => RData::A(Ipv4Addr::LOCALHOST.into()),
            RecordType::AAAA => RData::AAAA(Ipv6Addr::LOCALHOST.into()),
            _ => return Some(Err(LookupError::NoData)),
        };
        Some(Ok(Found::local(name, vec![Record::from_rdata(name.clone(), LOCAL_TTL_SECS, address)])))
    }

    /// Asks until the records at the end of all aliases are there. What a response does not say about the end of its
    /// aliases is asked anew: a "no" in it could not be told from an answer that is not complete.
    async fn look_up(&self, asked: &Name, kind: RecordType) -> Result<Found, Miss> {
        let mut found = Found::nothing(asked);
        for _ in 0..=REDIRECTS_MAX {
            let end = found.end.clone();
            let reply = self.upstream.ask(&end, kind).await.map_err(|miss| miss.within(found.ttl_secs))?;
            let reading = reply.read(&end, kind)?;
            let is_stuck = reading.records.is_empty() && reading.end == end;
            if is_stuck {
                // An answer without the answer: to take it for "no such record" could send mail to an implicit MX.
                return Err(LookupError::Malformed.into());
            }
            found.add(reading);
            if !found.records.is_empty() {
                if is_address(kind) {
                    self.look_at_first_alias(asked, &mut found).await?;
                }
                return Ok(found);
            }
        }
        Err(LookupError::Malformed.into())
    }

    /// Where the server vouches for answers as a whole, only an answer with nothing but the alias in it says whether
    /// that is secure.
    async fn look_at_first_alias(&self, asked: &Name, found: &mut Found) -> Result<(), Miss> {
        if !self.upstream.vouches_for_whole() || found.first.is_none_or(|first| first == Security::Secure) {
            return Ok(());
        }
        let reply = self.upstream.ask(asked, RecordType::CNAME).await;
        // There was an alias just now: that there is none is no answer.
        let reply =
            reply.map_err(|miss| if miss.error.is_temporary() { miss.error } else { LookupError::Malformed })?;
        let reading = reply.read(asked, RecordType::CNAME)?;
        if reading.records.is_empty() {
            return Err(LookupError::Malformed.into());
        }
        found.first = Some(reading.security);
        Ok(())
    }
}

fn is_address(kind: RecordType) -> bool {
    matches!(kind, RecordType::A | RecordType::AAAA)
}

/// What is known of a question so far.
#[derive(Debug)]
struct Found {
    end: Name,
    first: Option<Security>,
    records: Vec<Record>,
    security: Security,
    ttl_secs: u32,
}

impl Found {
    fn nothing(asked: &Name) -> Self {
        Self { end: asked.clone(), first: None, records: Vec::new(), security: Security::Secure, ttl_secs: u32::MAX }
    }

    fn local(asked: &Name, records: Vec<Record>) -> Self {
        Self { records, security: Security::Unknown, ttl_secs: LOCAL_TTL_SECS, ..Self::nothing(asked) }
    }

    fn add(&mut self, reading: Reading<'_>) {
        self.first = self.first.or(reading.first);
        self.end = reading.end;
        self.records = reading.records.into_iter().cloned().collect();
        self.security = self.security.min(reading.security);
        self.ttl_secs = self.ttl_secs.min(reading.ttl_secs);
    }

    fn alias(&self, kind: RecordType) -> Result<Option<Alias>, LookupError> {
        let leads_mail = is_address(kind) || kind == RecordType::MX;
        let Some(first) = self.first.filter(|_| leads_mail) else { return Ok(None) };
        match records::domain(&self.end) {
            Some(end) => Ok(Some(Alias { end, first })),
            // TLSA records may be at a name that nobody could ask about.
            None if first == Security::Secure && is_address(kind) => Err(LookupError::Malformed),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
