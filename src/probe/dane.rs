//! The TLSA records of a host as a delivery looks them up.

use crate::dns::LookupError;
use crate::facts::tlsa_lookup::{self, look_up};
use crate::model::domain::Domain;
use crate::policy::published::Dane;
use crate::policy::tlsa::{Judged, UsableTlsa};

use super::Prober;
use super::publication::FoundHost;

/// What DANE says about a host (RFC 7672 section 2.2). An error: it is not known whether there are records, so no
/// delivery goes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaneFound(pub Result<Dane, LookupError>);

impl DaneFound {
    pub const fn as_str(&self) -> &'static str {
        match &self.0 {
            Ok(Dane::Inapplicable) => "not-signed",
            Ok(Dane::Absent) => "absent",
            Ok(Dane::Unusable(_)) => "unusable",
            Ok(Dane::Usable(_)) => "usable",
            Err(_) => "not-looked-up",
        }
    }

    /// The name whose records they are.
    pub fn base(&self) -> Option<&Domain> {
        self.0.as_ref().ok()?.base()
    }

    /// Every record, those that count first.
    pub fn judged(&self) -> &[Judged] {
        self.0.as_ref().map_or(&[], Dane::judged)
    }

    /// The records that a certificate is held against, and the names that count beside them.
    pub fn usable(&self) -> Option<(&UsableTlsa, &[Domain])> {
        let Ok(Dane::Usable(records)) = &self.0 else { return None };
        Some((records.records.as_deref()?, &records.names))
    }

    pub const fn is_unusable(&self) -> bool {
        matches!(self.0, Ok(Dane::Unusable(_)))
    }

    pub const fn is_usable(&self) -> bool {
        matches!(self.0, Ok(Dane::Usable(_)))
    }
}

impl Prober {
    /// Looks up the records of a host.
    pub async fn dane(&self, host: &FoundHost) -> DaneFound {
        let Some(name) = &host.name else { return DaneFound(Ok(Dane::Inapplicable)) };
        let asked = tlsa_lookup::Host {
            name,
            port: host.port,
            security: host.address_security,
            alias: host.alias.as_ref(),
            next_hop_domains: if host.name_is_trusted { &host.next_hop_domains } else { &[] },
            is_by_mx: host.is_by_mx,
        };
        DaneFound(look_up(self.resolver.as_ref(), &asked).await)
    }
}
