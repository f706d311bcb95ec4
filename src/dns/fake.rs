//! A resolver with written answers, for the demo and for tests: it never asks anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::model::domain::Domain;
use crate::model::tlsa::Tlsa;
use crate::policy::settings::IpChoice;

use super::{
    ADDRESSES_MAX, Answer, Exchange, Lookup, LookupError, MX_RECORDS_MAX, Mx, Resolver, Security, Service,
    TLSA_RECORDS_MAX,
};

const TTL: Duration = Duration::from_secs(300);

/// Answers from maps. A name that was never mentioned does not exist; a mentioned one has no data but what was written.
#[derive(Clone, Debug, Default)]
pub struct FakeResolver {
    mx: BTreeMap<Domain, Entry<Vec<Mx>>>,
    addresses: BTreeMap<Domain, Entry<Vec<IpAddr>>>,
    tlsa: BTreeMap<(u16, Domain), Entry<Vec<Tlsa>>>,
    texts: BTreeMap<(Service, Domain), Entry<Vec<Vec<u8>>>>,
    silent: BTreeSet<Domain>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    result: Result<T, LookupError>,
    security: Security,
}

impl FakeResolver {
    pub fn new() -> Self {
        Self::default()
    }

    /// MX records of `domain`, as pairs of preference and exchange.
    #[must_use]
    pub fn with_mx(self, domain: Domain, records: impl IntoIterator<Item = (u16, Exchange)>) -> Self {
        self.with_mx_answer(domain, records, Security::Unknown)
    }

    /// MX records with a DNSSEC state.
    #[must_use]
    pub fn with_mx_answer(
        mut self,
        domain: Domain,
        records: impl IntoIterator<Item = (u16, Exchange)>,
        security: Security,
    ) -> Self {
        let records = records.into_iter().map(|(preference, exchange)| Mx { preference, exchange });
        let result = Ok(records.take(MX_RECORDS_MAX).collect());
        self.mx.insert(domain, Entry { result, security });
        self
    }

    /// Look-ups of the domain's MX records end with an error.
    #[must_use]
    pub fn with_mx_error(mut self, domain: Domain, error: LookupError) -> Self {
        self.mx.insert(domain, Entry { result: Err(error), security: Security::Unknown });
        self
    }

    /// Addresses of `name`; without any, the name exists and has no address.
    #[must_use]
    pub fn with_addresses(self, name: Domain, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.with_addresses_answer(name, addresses, Security::Unknown)
    }

    /// Addresses with a DNSSEC state.
    #[must_use]
    pub fn with_addresses_answer(
        mut self,
        name: Domain,
        addresses: impl IntoIterator<Item = IpAddr>,
        security: Security,
    ) -> Self {
        let result = Ok(addresses.into_iter().take(2 * ADDRESSES_MAX).collect());
        self.addresses.insert(name, Entry { result, security });
        self
    }

    /// Look-ups of the name's addresses end with an error.
    #[must_use]
    pub fn with_addresses_error(mut self, name: Domain, error: LookupError) -> Self {
        self.addresses.insert(name, Entry { result: Err(error), security: Security::Unknown });
        self
    }

    /// What a look-up of TLSA records ends with.
    #[must_use]
    pub fn with_tlsa(
        mut self,
        (port, base): (u16, Domain),
        result: Result<Vec<Tlsa>, LookupError>,
        security: Security,
    ) -> Self {
        let result = result.map(|records| records.into_iter().take(TLSA_RECORDS_MAX).collect());
        self.tlsa.insert((port, base), Entry { result, security });
        self
    }

    /// What a look-up of a service's TXT records ends with.
    #[must_use]
    pub fn with_text(mut self, service: Service, domain: Domain, result: Result<Vec<Vec<u8>>, LookupError>) -> Self {
        self.texts.insert((service, domain), Entry { result, security: Security::Unknown });
        self
    }

    /// Look-ups of the name never end.
    #[must_use]
    pub fn with_silence(mut self, name: Domain) -> Self {
        self.silent.insert(name);
        self
    }

    fn missing(&self, name: &Domain) -> LookupError {
        let known = self.mx.contains_key(name) || self.addresses.contains_key(name);
        if known { LookupError::NoData } else { LookupError::NoSuchName }
    }

    fn answer<T>(&self, name: &Domain, found: Option<Entry<Vec<T>>>) -> Result<Answer<Vec<T>>, LookupError> {
        let Entry { result, security } = found.ok_or_else(|| self.missing(name))?;
        match result? {
            records if records.is_empty() => Err(LookupError::NoData),
            records => Ok(Answer { records, security, alias: None, ttl: TTL }),
        }
    }
}

impl Resolver for FakeResolver {
    fn mx<'a>(&'a self, domain: &'a Domain) -> Lookup<'a, Vec<Mx>> {
        if self.silent.contains(domain) {
            return Box::pin(std::future::pending());
        }
        Box::pin(std::future::ready(self.answer(domain, self.mx.get(domain).cloned())))
    }

    fn addresses<'a>(&'a self, name: &'a Domain, ip: IpChoice) -> Lookup<'a, Vec<IpAddr>> {
        if self.silent.contains(name) {
            return Box::pin(std::future::pending());
        }
        let mut found = self.addresses.get(name).cloned();
        if let Some(Entry { result: Ok(addresses), .. }) = &mut found {
            addresses.retain(|address| match ip {
                IpChoice::Any => true,
                IpChoice::V4 => address.is_ipv4(),
                IpChoice::V6 => address.is_ipv6(),
            });
        }
        Box::pin(std::future::ready(self.answer(name, found)))
    }

    fn tlsa<'a>(&'a self, port: u16, base: &'a Domain) -> Lookup<'a, Vec<Tlsa>> {
        let found = self.tlsa.get(&(port, base.clone())).cloned();
        Box::pin(std::future::ready(self.answer(base, found)))
    }

    fn text<'a>(&'a self, service: Service, domain: &'a Domain) -> Lookup<'a, Vec<Vec<u8>>> {
        if self.silent.contains(domain) {
            return Box::pin(std::future::pending());
        }
        let found = self.texts.get(&(service, domain.clone())).cloned();
        Box::pin(std::future::ready(self.answer(domain, found)))
    }
}
