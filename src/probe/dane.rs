//! The TLSA records of a host as a delivery looks them up, and each record's standing for people.

use std::sync::Arc;

use crate::dns::{LookupError, Security};
use crate::facts::tlsa_lookup::{self, base_domains, look_up};
use crate::model::domain::Domain;
use crate::policy::published::{Dane, UsableRecords};
use crate::policy::tlsa::{Judged, TlsaSet, classify};

use super::Prober;
use super::publication::FoundHost;

/// What DANE says about a host (RFC 7672 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaneFound {
    /// Its addresses are not signed, so nobody asks.
    NotSigned,
    /// There is no record that is signed.
    Absent,
    /// It is not known whether there are any: no delivery goes there.
    NotLookedUp(LookupError),
    /// Signed records, none of which can be used.
    Unusable {
        base: Domain,
        judged: Vec<Judged>,
    },
    Usable(Arc<UsableRecords>),
}

impl DaneFound {
    /// As the policy engine has it. Of a failed look-up it knows nothing.
    pub fn as_published(&self) -> Result<Dane, LookupError> {
        match self {
            Self::NotSigned => Ok(Dane::Inapplicable),
            Self::Absent => Ok(Dane::Absent),
            Self::NotLookedUp(error) => Err(*error),
            Self::Unusable { .. } => Ok(Dane::Unusable),
            Self::Usable(records) => Ok(Dane::Usable(records.clone())),
        }
    }

    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotSigned => "not-signed",
            Self::Absent => "absent",
            Self::NotLookedUp(_) => "not-looked-up",
            Self::Unusable { .. } => "unusable",
            Self::Usable(_) => "usable",
        }
    }

    /// The name whose records they are.
    pub fn base(&self) -> Option<&Domain> {
        match self {
            Self::Unusable { base, .. } => Some(base),
            Self::Usable(records) => records.base.as_ref(),
            _ => None,
        }
    }

    /// Every record, those that count first.
    pub fn judged(&self) -> &[Judged] {
        match self {
            Self::Unusable { judged, .. } => judged,
            Self::Usable(records) => records.records.as_ref().map_or(&[], |usable| usable.judged()),
            _ => &[],
        }
    }
}

impl Prober {
    /// Looks up the records of a host.
    pub async fn dane(&self, host: &FoundHost) -> DaneFound {
        let Some(name) = &host.name else { return DaneFound::NotSigned };
        let asked = tlsa_lookup::Host {
            name,
            port: host.port,
            security: host.address_security,
            alias: host.alias.as_ref(),
            next_hop_domains: if host.name_is_trusted { &host.next_hop_domains } else { &[] },
            is_by_mx: host.is_by_mx,
        };
        match look_up(self.resolver.as_ref(), &asked).await {
            Ok(Dane::Inapplicable) => DaneFound::NotSigned,
            Ok(Dane::Absent) => DaneFound::Absent,
            Ok(Dane::Usable(records)) => DaneFound::Usable(records),
            Ok(Dane::Unusable) => self.unusable(&asked).await,
            Err(error) => DaneFound::NotLookedUp(error),
        }
    }

    /// The records again, out of the cache.
    async fn unusable(&self, host: &tlsa_lookup::Host<'_>) -> DaneFound {
        for base in base_domains(host) {
            let Ok(answer) = self.resolver.tlsa(host.port, base).await else { continue };
            if answer.security == Security::Secure
                && let Some(TlsaSet::Unusable(judged)) = classify(&answer.records)
            {
                return DaneFound::Unusable { base: base.clone(), judged };
            }
        }
        DaneFound::Absent
    }
}
