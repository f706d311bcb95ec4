//! What is going to be written: values of ours, with the places in Postfix that they come from.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::cipher::CipherGrade;
use crate::model::domain::{Domain, DomainPattern};
use crate::model::tls::ProtocolVersion;
use crate::policy::relay::Role;

use super::certificates::{Copies, Pair};
use super::keys::{Keys, Published};

/// A whole configuration.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) hostname: Domain,
    pub(super) postmaster: Option<String>,
    pub(super) spool: Vec<Line>,
    pub(super) limits: Vec<Line>,
    /// Never empty.
    pub(super) listeners: Vec<Listener>,
    /// As the configuration names them; without any a self-signed one is made.
    pub(super) certificates: Vec<Pair>,
    /// One for old clients, where it is made here.
    pub(super) legacy_certificate: Option<Pair>,
    pub(super) trusted: Vec<IpNet>,
    pub(super) trusted_from: String,
    pub(super) inbound: Inbound,
    pub(super) outbound: Delivery,
    pub(super) needs_dnssec: bool,
    pub(super) files: Vec<DomainFile>,
    pub(super) copies: Copies,
}

/// A key with its value as TOML, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) from: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) bind: Vec<String>,
    pub(super) role: Role,
    /// The word of `tls`.
    pub(super) tls: &'static str,
    pub(super) offer: Option<ProtocolVersion>,
    pub(super) relay: bool,
    pub(super) request_client_certificate: bool,
    pub(super) client_ca: Option<String>,
    pub(super) min_version: Option<ProtocolVersion>,
    pub(super) cipher: CipherGrade,
    pub(super) from: String,
}

/// `[default.inbound]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inbound {
    pub(super) is_required: bool,
    pub(super) min_version: Option<ProtocolVersion>,
    pub(super) cipher: CipherGrade,
    pub(super) client_certificate: bool,
    pub(super) from: String,
}

/// How mail goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// `None`: by MX records.
    pub(super) route: Option<Route>,
    /// Those of the route, where there is one.
    pub(super) keys: Keys,
    pub(super) concurrency: Option<u32>,
    /// As the key takes it: `1/5s`.
    pub(super) rate: Option<String>,
    pub(super) from: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// As `hosts` takes them. Never empty.
    pub(super) hosts: Vec<String>,
    pub(super) source: Option<IpAddr>,
    pub(super) ehlo: Option<Domain>,
    /// The word of `ip`.
    pub(super) ip: Option<&'static str>,
    pub(super) client_certificate: Option<Pair>,
}

/// Whom a hosted domain has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recipients {
    Any,
    /// Local parts or addresses, in lower case.
    Listed(BTreeSet<String>),
}

/// What one name, or all names below one, become.
#[derive(Clone, Debug)]
pub(super) struct DomainPlan {
    pub(super) pattern: DomainPattern,
    pub(super) hosted: Option<Recipients>,
    pub(super) delivery: Delivery,
}

/// Domains for which the same is written.
#[derive(Debug)]
pub(super) struct DomainFile {
    /// Without its ending.
    pub(super) name: String,
    /// With the places that each comes from.
    pub(super) domains: Vec<(DomainPattern, BTreeSet<String>)>,
    pub(super) hosted: Option<Recipients>,
    pub(super) delivery: Delivery,
}

impl Plan {
    /// Whether clients may come that know RSA alone.
    pub(super) fn offers_old_versions(&self) -> bool {
        self.listeners.iter().any(|listener| listener.offer.is_some_and(|offer| offer < ProtocolVersion::Tls1_2))
    }
}

impl Delivery {
    pub(super) const fn by_mx(keys: Keys) -> Self {
        Self { route: None, keys, concurrency: None, rate: None, from: BTreeSet::new() }
    }

    /// Whether the same is written for both, wherever it comes from.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let Self { route, keys, concurrency, rate, from: _ } = self;
        (route, keys, concurrency, rate) == (&other.route, &other.keys, &other.concurrency, &other.rate)
    }

    pub(super) fn requires_dane(&self) -> bool {
        self.keys.published == Published::DaneRequired
    }
}
