//! The main file, `gatepost.toml`, as written: each value typed and in its place, not yet held against the others.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::model::address::Address;
use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::tls::{CertificateStack, ProtocolVersion};
use crate::policy::relay::Role;
use crate::policy::settings::Source;

use super::document::{Table, Words};
use super::place::{At, Place};
use super::policy_tables::{self, InboundTable, OutboundTable, RouteTable};
use super::{
    AdminConfig, AuditConfig, CertificateConfig, DnsConfig, Limits, ListenerConfig, ListenerTls, MetricsConfig,
    SpoolConfig, sections, values,
};

const ENFORCEMENT: &Words<()> = &[("on", Some(())), ("report", None)];
const ROLES: &Words<Role> = &[("mx", Some(Role::Mx)), ("smarthost", Some(Role::Smarthost)), ("submission", None)];
const LISTENER_TLS: &Words<ListenerTls> = &[
    ("starttls", Some(ListenerTls::Starttls)),
    ("implicit", Some(ListenerTls::Implicit)),
    ("off", Some(ListenerTls::Off)),
];
const STACKS: &Words<()> = &[("any", Some(())), ("legacy", None)];

#[derive(Debug)]
pub(super) struct MainFile<'a> {
    pub(super) place: Place<'a>,
    pub(super) hostname: Option<At<'a, Domain>>,
    pub(super) postmaster: Option<Address>,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) spool: SpoolConfig,
    /// Whether a `[[listener]]` was written, right or wrong.
    pub(super) has_listener: bool,
    pub(super) listeners: Vec<Listener<'a>>,
    pub(super) certificates: Vec<CertificateConfig>,
    /// Whether a `[[certificate]]` was written, right or wrong.
    pub(super) has_certificate: bool,
    pub(super) trusted: Vec<At<'a, IpNet>>,
    pub(super) dns: DnsConfig,
    pub(super) audit: AuditConfig,
    pub(super) metrics: MetricsConfig,
    pub(super) metrics_bind: Option<At<'a, SocketAddr>>,
    pub(super) admin: AdminConfig,
    pub(super) limits: Limits,
    pub(super) inbound: InboundTable<'a>,
    pub(super) outbound: OutboundTable<'a>,
    pub(super) route: Option<RouteTable<'a>>,
}

/// The folder of domain files.
#[derive(Debug)]
pub(super) struct DomainsKey<'a> {
    pub(super) path: PathBuf,
    pub(super) place: Place<'a>,
}

/// The key `domains`, which is needed before the rest. `None` if it is missing or wrong.
pub(super) fn domains_key<'a>(table: &mut Table<'a>) -> Option<DomainsKey<'a>> {
    let value = table.get("domains")?;
    Some(DomainsKey { path: value.path()?, place: value.place })
}

impl<'a> MainFile<'a> {
    /// `domains` was asked for before.
    pub(super) fn read(mut table: Table<'a>) -> Self {
        let hostname = table.require("hostname", "write the name of this host: hostname = \"mx1.example.org\"");
        let enforcement = table.get("enforcement");
        if let Some(value) = enforcement {
            value.word(ENFORCEMENT);
        }
        table.not_implemented(&["report_until", "route"]);
        let spool = sections::spool(table.section("spool"));
        let audit = sections::audit(table.section("audit"), &spool);
        let (metrics, metrics_bind) = sections::metrics(table.section("metrics"));
        let (has_listener, has_certificate) = (table.has("listener"), table.has("certificate"));
        let mut default = table.section("default");
        let read = Self {
            place: table.place().clone(),
            hostname: hostname.and_then(|value| value.parse(values::domain)),
            postmaster: table.get("postmaster").and_then(|value| value.parse(values::mailbox)).map(|at| at.value),
            user: table.get("user").and_then(|value| value.parse(values::account)).map(|at| at.value),
            group: table.get("group").and_then(|value| value.parse(values::account)).map(|at| at.value),
            listeners: table.sections("listener").into_iter().map(Listener::read).collect(),
            certificates: table.sections("certificate").into_iter().filter_map(certificate).collect(),
            trusted: trusted(table.section("relay")),
            dns: sections::dns(table.section("dns")),
            admin: sections::admin(table.section("admin")),
            limits: sections::limits(table.section("limits")),
            inbound: InboundTable::read(default.section("inbound")),
            outbound: OutboundTable::read(default.section("outbound")),
            route: RouteTable::read(default.section("route")),
            has_listener,
            has_certificate,
            spool,
            audit,
            metrics,
            metrics_bind,
        };
        default.finish();
        table.finish();
        read
    }
}

/// One `[[listener]]`.
#[derive(Debug)]
pub(super) struct Listener<'a> {
    pub(super) place: Place<'a>,
    pub(super) name: Option<At<'a, String>>,
    pub(super) bind: Vec<At<'a, SocketAddr>>,
    pub(super) role: Option<At<'a, Role>>,
    pub(super) tls: Option<At<'a, ListenerTls>>,
    pub(super) relay: Option<At<'a, bool>>,
    pub(super) min_version: Option<At<'a, ProtocolVersion>>,
    pub(super) cipher: Option<At<'a, CipherGrade>>,
}

impl<'a> Listener<'a> {
    fn read(mut table: Table<'a>) -> Self {
        let name = table.require("name", "name the listener: name = \"mx\"");
        let bind = table.require("bind", "write where it listens: bind = [\"0.0.0.0:25\", \"[::]:25\"]");
        let role = table.require("role", "write role = \"mx\" or \"smarthost\"");
        let read = Self {
            place: table.place().clone(),
            name: name.and_then(|value| value.parse(values::label)),
            bind: bind
                .and_then(|value| value.list(|item| item.parse(values::bind_address)))
                .map_or_else(Vec::new, |at| at.value),
            role: role.and_then(|value| value.word(ROLES)),
            tls: table.get("tls").and_then(|value| value.word(LISTENER_TLS)),
            relay: table.get("relay").and_then(|value| value.flag()),
            min_version: policy_tables::min_version(&mut table),
            cipher: policy_tables::cipher(&mut table),
        };
        if let Some(requested) = table.get("request_client_certificate").and_then(|value| value.flag())
            && requested.value
        {
            requested.place.not_implemented("request_client_certificate = true", "write false or remove it");
        }
        table.not_implemented(&["offer", "proxy_protocol"]);
        table.finish();
        read
    }

    /// As far as it is known; what is missing or wrong was reported.
    pub(super) fn speaks_tls(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.value != ListenerTls::Off)
    }

    pub(super) fn relays(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.value)
    }

    pub(super) fn is_role(&self, role: Role) -> bool {
        self.role.as_ref().is_some_and(|written| written.value == role)
    }

    /// Where it sets a floor for sessions of trusted clients.
    pub(super) fn floor_places(&self) -> impl Iterator<Item = &Place<'a>> {
        let min_version = self.min_version.as_ref().map(|at| &at.place);
        min_version.into_iter().chain(self.cipher.as_ref().map(|at| &at.place))
    }

    /// `None` where a required key was missing or wrong.
    pub(super) fn config(&self) -> Option<ListenerConfig> {
        let name = self.name.as_ref()?.value.clone();
        let floor_source = self.floor_places().next().map_or(Source::BuiltIn, Place::source);
        Some(ListenerConfig {
            name,
            bind: self.bind.iter().map(|at| at.value).collect(),
            role: self.role.as_ref()?.value,
            tls: self.tls.as_ref().map_or(ListenerTls::Starttls, |at| at.value),
            offer: ProtocolVersion::Tls1_0,
            request_client_certificate: false,
            relay: self.relays(),
            min_version: self.min_version.as_ref().map(|at| at.value),
            cipher: self.cipher.as_ref().map(|at| at.value),
            floor_source,
        })
    }
}

fn certificate(mut table: Table<'_>) -> Option<CertificateConfig> {
    let chain = table.require("chain", "write the PEM file of the certificate and its issuers");
    let key = table.require("key", "write the PEM file of the private key");
    if let Some(value) = table.get("stack") {
        value.word(STACKS);
    }
    table.finish();
    let (chain, key) = (chain.and_then(|value| value.path()), key.and_then(|value| value.path()));
    Some(CertificateConfig { chain: chain?, key: key?, ocsp: None, stack: CertificateStack::Any })
}

fn trusted<'a>(mut table: Table<'a>) -> Vec<At<'a, IpNet>> {
    let trusted = table.get("trusted").and_then(|value| value.list_or_empty(|item| item.parse(values::trusted)));
    table.finish();
    trusted.map_or_else(Vec::new, |at| at.value)
}
