//! The TLSA records of a mail host: whether to ask for them, and under which name (RFC 7672 section 2.2).

use std::sync::Arc;

use crate::dns::{Alias, LookupError, Resolver, Security};
use crate::model::domain::Domain;
use crate::policy::published::{Dane, UnusableRecords, UsableRecords};
use crate::policy::tlsa::{TlsaSet, UsableTlsa, classify};

/// A mail host as its addresses were found.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    pub name: &'a Domain,
    pub port: u16,
    /// Of the addresses with all aliases that led to them.
    pub security: Security,
    pub alias: Option<&'a Alias>,
    /// Where MX records led to it securely: the domain that has them, and the domain that its aliases lead to. A
    /// certificate may be for one of these too.
    pub next_hop_domains: &'a [Domain],
    /// It was found by MX records; else the name was written down or is the recipient's domain itself.
    pub is_by_mx: bool,
}

/// Looks up what the host's TLSA records say. An error means that it is not known whether there are any.
pub async fn look_up(resolver: &dyn Resolver, host: &Host<'_>) -> Result<Dane, LookupError> {
    let candidates = base_domains(host);
    if candidates.is_empty() {
        return Ok(Dane::Inapplicable);
    }
    for base in candidates {
        match resolver.tlsa(host.port, base).await {
            // RFC 7672 sections 2.2 and 2.2.3: unsigned records are none.
            Ok(answer) if answer.security < Security::Secure => {}
            Ok(answer) => match classify(&answer.records) {
                None => {}
                Some(TlsaSet::Unusable(judged)) => {
                    return Ok(Dane::Unusable(Arc::new(UnusableRecords { base: Some(base.clone()), judged })));
                }
                Some(TlsaSet::Usable(records)) => return Ok(Dane::Usable(usable(host, base, records))),
            },
            Err(error) if error.is_temporary() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(Dane::Absent)
}

/// The names to ask under, in order: where secure aliases lead, then the name itself. None where nothing is signed.
fn base_domains<'a>(host: &Host<'a>) -> Vec<&'a Domain> {
    match host.alias {
        None if host.security == Security::Secure => vec![host.name],
        None => Vec::new(),
        // RFC 7672 section 2.2.2: the whole chain is secure.
        Some(alias) if host.security == Security::Secure => vec![&alias.end, host.name],
        // The chain leaves what is signed; the name itself is there.
        Some(alias) if alias.first == Security::Secure => vec![host.name],
        Some(_) => Vec::new(),
    }
}

/// RFC 7672 section 3.2.2: the reference identifiers are the base domain and the next-hop domain, as it is and as its
/// aliases lead to. The name in an MX record is one only where it is the base domain.
fn usable(host: &Host<'_>, base: &Domain, records: Arc<UsableTlsa>) -> Arc<UsableRecords> {
    let mut names = vec![base.clone()];
    let written = Some(host.name).filter(|_| !host.is_by_mx);
    for name in written.into_iter().chain(host.next_hop_domains) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Arc::new(UsableRecords { records: Some(records), base: Some(base.clone()), names })
}

#[cfg(test)]
mod tests;
