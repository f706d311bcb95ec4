//! The main file, `gatepost.toml`, as written: each value typed and in its place, not yet held against the others.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::model::address::Address;
use crate::model::domain::Domain;
use crate::model::tls::CertificateStack;
use crate::policy::names::Fingerprint;
use crate::policy::relay::TrustedClients;

use super::audit_table;
use super::delivery_table::OutboundTable;
use super::document::{Table, Words};
use super::enforcement::Switch;
use super::listener::Listener;
use super::place::{At, Place};
use super::policy_checks::is_written_empty;
use super::policy_tables::{self, InboundKeys};
use super::route_table::{NamedRoute, RouteTable};
use super::timed_tables::Timed;
use super::values::TrustedClient;
use super::{
    AdminConfig, AlertConfig, AuditConfig, CertificateConfig, DnsConfig, LearnConfig, Limits, MetricsConfig,
    SpoolConfig, TlsRptConfig, learn_tables, sections, tlsrpt_table, values,
};

const STACKS: &Words<CertificateStack> =
    &[("any", Some(CertificateStack::Any)), ("legacy", Some(CertificateStack::Legacy))];

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
    pub(super) certificates: Vec<Certificate<'a>>,
    /// Whether a `[[certificate]]` was written, right or wrong.
    pub(super) has_certificate: bool,
    pub(super) trusted: Trusted<'a>,
    pub(super) dns: DnsConfig,
    pub(super) audit: AuditConfig,
    pub(super) metrics: MetricsConfig,
    pub(super) metrics_bind: Option<At<'a, SocketAddr>>,
    pub(super) admin: AdminConfig,
    pub(super) admin_bind: Option<At<'a, SocketAddr>>,
    pub(super) learn: LearnConfig,
    pub(super) alert: AlertConfig,
    pub(super) tlsrpt: TlsRptConfig,
    pub(super) limits: Limits,
    pub(super) switch: Switch<'a>,
    pub(super) inbound: Timed<'a, InboundKeys<'a>>,
    pub(super) outbound: OutboundTable<'a>,
    pub(super) route: Option<RouteTable<'a>>,
    pub(super) routes: Vec<NamedRoute<'a>>,
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
        let spool = sections::spool(table.section("spool"));
        let audit = audit_table::audit(table.section("audit"), &spool);
        let (metrics, metrics_bind) = sections::metrics(table.section("metrics"));
        let (admin, admin_bind) = sections::admin(table.section("admin"));
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
            learn: learn_tables::learn(table.section("learn")),
            alert: learn_tables::alert(table.section("alert")),
            tlsrpt: tlsrpt_table::tlsrpt(table.section("tlsrpt")),
            limits: sections::limits(table.section("limits")),
            switch: Switch::read(&mut table),
            inbound: policy_tables::inbound(default.section("inbound")),
            outbound: OutboundTable::read(default.section("outbound")),
            route: RouteTable::read(default.section("route")),
            routes: table.sections("route").into_iter().filter_map(NamedRoute::read).collect(),
            has_listener,
            has_certificate,
            spool,
            audit,
            metrics,
            metrics_bind,
            admin,
            admin_bind,
        };
        default.finish();
        table.finish();
        read
    }

    /// What carries the mail of all domains without a route of their own.
    pub(super) fn default_route(&self) -> Option<&RouteTable<'a>> {
        self.route.as_ref().filter(|route| !is_written_empty(route.hosts.as_ref()))
    }
}

/// One `[[certificate]]`.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    pub(super) config: CertificateConfig,
    /// Where `stack` was written.
    pub(super) stack: Option<Place<'a>>,
}

/// `None` where a file is missing, which was reported.
fn certificate(mut table: Table<'_>) -> Option<Certificate<'_>> {
    let chain = table.require("chain", "write the PEM file of the certificate and its issuers");
    let key = table.require("key", "write the PEM file of the private key");
    let stack = table.get("stack").and_then(|value| value.word(STACKS));
    let ocsp = table.get("ocsp").and_then(|value| value.path());
    table.finish();
    let (chain, key) = (chain.and_then(|value| value.path()), key.and_then(|value| value.path()));
    let config = CertificateConfig {
        chain: chain?,
        key: key?,
        ocsp,
        stack: stack.as_ref().map_or(CertificateStack::Any, |at| at.value),
    };
    Some(Certificate { config, stack: stack.map(|at| at.place) })
}

/// `[relay].trusted`.
#[derive(Debug, Default)]
pub(super) struct Trusted<'a> {
    pub(super) networks: Vec<At<'a, IpNet>>,
    pub(super) certificates: Vec<At<'a, Fingerprint>>,
}

impl Trusted<'_> {
    pub(super) fn clients(&self) -> TrustedClients {
        TrustedClients {
            networks: self.networks.iter().map(|at| at.value).collect(),
            certificates: self.certificates.iter().map(|at| at.value).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.certificates.is_empty()
    }
}

fn trusted<'a>(mut table: Table<'a>) -> Trusted<'a> {
    let written = table.get("trusted").and_then(|value| value.list_or_empty(|item| item.parse(values::trusted)));
    table.finish();
    let mut trusted = Trusted::default();
    for at in written.map_or_else(Vec::new, |at| at.value) {
        match at.value {
            TrustedClient::Network(network) => trusted.networks.push(at.with(network)),
            TrustedClient::Certificate(fingerprint) => trusted.certificates.push(at.with(fingerprint)),
        }
    }
    trusted
}
