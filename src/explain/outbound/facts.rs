//! What is known of the next hop: looked up, or given in a file of JSON, the answer of this command among them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::audit::published::PublishedRecord;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::policy::outbound::NextHop;
use crate::policy::published::{Learned, Published};
use crate::policy::sts_policy::StsPolicy;

use super::tlsa::TlsaFact;

const SMTP_PORT: u16 = 25;
/// Of the setting, not of the destination.
const DNSSEC_IS_OFF: &str = "DNSSEC is off here ([dns] dnssec), so TLSA records were not asked for";

/// The hosts of the next hop in the order to try, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    #[serde(default)]
    pub hosts: Vec<HostFact>,
    #[serde(default)]
    pub failure: Option<NoHost>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostFact {
    /// `None` for an address literal.
    #[serde(default)]
    pub name: Option<Domain>,
    /// Of its MX record.
    #[serde(default)]
    pub preference: Option<u16>,
    #[serde(default = "smtp_port")]
    pub port: u16,
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    #[serde(default)]
    pub dnssec: Dnssec,
    /// The name does not come from unsigned DNS. Where all of DNSSEC is secure it never does.
    #[serde(default)]
    pub trusted: bool,
    /// Whether there are TLSA records, the policy of MTA-STS and what was learned, as audit records have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedRecord>,
    /// The records themselves. They go before what `published` says of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tlsa: Option<TlsaFact>,
    /// The same for people, line by line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// It cannot be used, because it is not known whether it has TLSA records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<NoHost>,
}

/// A host that is asked about.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `None` for an address literal, and where it is not known.
    pub name: Option<Domain>,
    pub name_is_trusted: bool,
    pub published: Published,
    /// Why it cannot be used whatever the session is.
    pub unusable: Option<NoHost>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoHost {
    pub reason: Reason,
    /// Trying again does not help.
    #[serde(default)]
    pub permanent: bool,
    #[serde(default)]
    pub detail: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dnssec {
    #[default]
    Unknown,
    Insecure,
    Secure,
}

const fn smtp_port() -> u16 {
    SMTP_PORT
}

impl Dnssec {
    /// The word of the page and of the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Insecure => "insecure",
            Self::Secure => "secure",
        }
    }
}

impl Default for HostFact {
    fn default() -> Self {
        Self {
            name: None,
            preference: None,
            port: SMTP_PORT,
            addresses: Vec::new(),
            dnssec: Dnssec::default(),
            trusted: false,
            published: None,
            tlsa: None,
            found: Vec::new(),
            unusable: None,
        }
    }
}

impl HostFact {
    fn asked(&self, is_written: bool) -> Asked {
        let mut published = self.published.as_ref().map(PublishedRecord::published).unwrap_or_default();
        if let Some(tlsa) = &self.tlsa {
            published.dane = tlsa.dane();
        }
        Asked {
            name: self.name.clone(),
            name_is_trusted: is_written || self.trusted || self.dnssec == Dnssec::Secure,
            published,
            unusable: self.unusable.clone(),
        }
    }

    /// Why it was not asked for TLSA records. `None`: they were, or an address has none.
    pub fn no_tlsa(&self, dnssec_is_off: bool) -> Option<&'static str> {
        self.name.as_ref()?;
        match self.dnssec {
            Dnssec::Unknown if dnssec_is_off => Some(DNSSEC_IS_OFF),
            Dnssec::Unknown => Some("nobody validated the addresses, so TLSA records were not asked for"),
            Dnssec::Insecure => Some("the addresses are not signed, so no TLSA record counts"),
            Dnssec::Secure => None,
        }
    }

    /// The name, or the address where there is none.
    pub fn shown(&self) -> String {
        match (&self.name, self.addresses.first()) {
            (Some(name), _) => name.to_string(),
            (None, Some(address)) => format!("[{address}]"),
            (None, None) => "a host".to_owned(),
        }
    }
}

impl Asked {
    /// A host of which nothing is known but perhaps its name, and whether the operator wrote it.
    pub fn named(name: Option<Domain>, is_written: bool) -> Self {
        Self { name, name_is_trusted: is_written, ..Self::default() }
    }
}

impl Facts {
    /// Hosts in the order to try.
    pub fn found(hosts: Vec<HostFact>) -> Self {
        Self { hosts, failure: None }
    }

    /// One host of which nothing is known but perhaps its name.
    pub fn thought_of(name: Option<Domain>) -> Self {
        Self { hosts: vec![HostFact { name, ..HostFact::default() }], failure: None }
    }

    /// No host; `permanent` says that trying again does not help.
    pub fn failed(reason: Reason, permanent: bool, detail: String) -> Self {
        Self { hosts: Vec::new(), failure: Some(NoHost { reason, permanent, detail }) }
    }

    /// The hosts to judge a session by, in order: those that were found, else those of the route; one that is not known
    /// if there is neither.
    pub fn asked(&self, next_hop: &NextHop) -> Vec<Asked> {
        let is_written = matches!(next_hop, NextHop::Route(_));
        match (self.hosts.as_slice(), next_hop) {
            ([], NextHop::Mx) => vec![Asked::default()],
            ([], NextHop::Route(route)) => {
                route.hosts.iter().map(|hop| Asked::named(hop.host.domain().cloned(), true)).collect()
            }
            (hosts, _) => hosts.iter().map(|host| host.asked(is_written)).collect(),
        }
    }
}

/// A policy of MTA-STS for people. `lists` is whether it lists the host, where that matters.
pub fn of_policy(policy: &StsPolicy, lists: Option<bool>, until: Timestamp) -> String {
    let lists = match lists {
        Some(true) => ", lists this host",
        Some(false) => ", does not list this host",
        None => "",
    };
    format!("MTA-STS: mode {}{lists}, holds until {}", policy.mode, until.brief())
}

/// What was learned and counts, for people.
pub fn of_learned(learned: &Learned) -> String {
    format!("learned: {learned}")
}
