//! Next hops that are written down: the tables `[route]`, `[default.route]` and `[[route]]`.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::address::Host;
use crate::model::domain::Domain;
use crate::policy::settings::{HostPort, IpChoice, KeyPair, Route};

use super::document::{Table, Value, Words};
use super::place::{At, Place};
use super::policy_tables::TlsKeys;
use super::timed_tables::{Keys as _, Part};
use super::values;

const IP_CHOICES: &Words<IpChoice> =
    &[("any", Some(IpChoice::Any)), ("v4", Some(IpChoice::V4)), ("v6", Some(IpChoice::V6))];

#[derive(Debug)]
pub(super) struct RouteTable<'a> {
    pub(super) place: Place<'a>,
    /// `None` where the key is missing or no list.
    pub(super) hosts: Option<At<'a, Vec<At<'a, HostPort>>>>,
    pub(super) tls: TlsKeys<'a>,
    pub(super) client_certificate: Option<At<'a, KeyPair>>,
    source: Option<IpAddr>,
    ehlo: Option<Domain>,
    ip: Option<IpChoice>,
}

/// One `[[route]]`.
#[derive(Debug)]
pub(super) struct NamedRoute<'a> {
    pub(super) name: At<'a, String>,
    pub(super) table: RouteTable<'a>,
}

impl<'a> NamedRoute<'a> {
    /// `None` without a name, which was reported.
    pub(super) fn read(mut table: Table<'a>) -> Option<Self> {
        let name = table.require("name", "name the route: name = \"escrow\"");
        let name = name.and_then(|value| value.parse(values::label));
        let table = RouteTable::read_written(table);
        Some(Self { name: name?, table })
    }

    /// `None` if it has no hosts, which was reported.
    pub(super) fn route(&self) -> Option<Arc<Route>> {
        self.table.route_named(self.name.value.as_str().into())
    }
}

impl<'a> RouteTable<'a> {
    /// `None` for a table that was not written.
    pub(super) fn read(table: Table<'a>) -> Option<Self> {
        table.is_written().then(|| Self::read_written(table))
    }

    fn read_written(mut table: Table<'a>) -> Self {
        let place = table.place().clone();
        let hosts = table.require("hosts", "name the next hops: hosts = [\"mailstore.internal:25\"]");
        let read = Self {
            place,
            hosts: hosts.and_then(|value| value.list_or_empty(|item| item.parse(values::host_port))),
            tls: TlsKeys::read(&mut table, Part::Base),
            client_certificate: table.get("client_certificate").and_then(|value| key_pair(&value)),
            source: table.get("source").and_then(|value| value.parse(values::ip_address)).map(|at| at.value),
            ehlo: table.get("ehlo").and_then(|value| value.parse(values::domain)).map(|at| at.value),
            ip: table.get("ip").and_then(|value| value.word(IP_CHOICES)).map(|at| at.value),
        };
        table.not_implemented(&["auth_file"]);
        table.finish();
        read
    }

    /// Whether no host of it has a name, so that none publishes anything.
    pub(super) fn has_addresses_only(&self) -> bool {
        let mut hosts = self.hosts.iter().flat_map(|hosts| &hosts.value).peekable();
        hosts.peek().is_some() && hosts.all(|hop| matches!(hop.value.host, Host::Literal(_)))
    }

    /// `None` if it has no hosts. It goes by the name of its file.
    pub(super) fn route(&self) -> Option<Arc<Route>> {
        self.route_named(self.place.file.name.clone())
    }

    fn route_named(&self, name: Arc<str>) -> Option<Arc<Route>> {
        let hosts = self.hosts.as_ref().map(At::items).filter(|hosts| !hosts.is_empty())?;
        Some(Arc::new(Route {
            name,
            source: self.place.source(),
            hosts,
            tls: self.tls.layer(),
            source_address: self.source,
            ehlo: self.ehlo.clone(),
            ip: self.ip.unwrap_or_default(),
            client_certificate: self.client_certificate.as_ref().map(At::sourced),
        }))
    }
}

/// `{ chain = "client.pem", key = "client.key" }`.
pub(super) fn key_pair<'a>(value: &Value<'a>) -> Option<At<'a, KeyPair>> {
    const REMEDY: &str = "write { chain = \"file.pem\", key = \"file.key\" }";
    let mut table = value.table()?;
    let (chain, key) = (table.require("chain", REMEDY), table.require("key", REMEDY));
    table.finish();
    let (chain, key) = (chain.and_then(|value| value.path()), key.and_then(|value| value.path()));
    Some(value.with(KeyPair { chain: chain?, key: key? }))
}
