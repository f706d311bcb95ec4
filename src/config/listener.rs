//! One `[[listener]]` as written: each value typed and in its place, not yet held against the others.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::model::cipher::CipherGrade;
use crate::model::tls::ProtocolVersion;
use crate::policy::inbound::Floor;
use crate::policy::relay::Role;

use super::document::{Table, Words};
use super::place::{At, Place};
use super::policy_tables;
use super::{ListenerConfig, ListenerTls, OFFER_MIN, values};

const ROLES: &Words<Role> =
    &[("mx", Some(Role::Mx)), ("smarthost", Some(Role::Smarthost)), ("submission", Some(Role::Submission))];
const LISTENER_TLS: &Words<ListenerTls> = &[
    ("starttls", Some(ListenerTls::Starttls)),
    ("implicit", Some(ListenerTls::Implicit)),
    ("off", Some(ListenerTls::Off)),
];

#[derive(Debug)]
pub(super) struct Listener<'a> {
    pub(super) place: Place<'a>,
    pub(super) name: Option<At<'a, String>>,
    pub(super) bind: Vec<At<'a, SocketAddr>>,
    pub(super) role: Option<At<'a, Role>>,
    pub(super) tls: Option<At<'a, ListenerTls>>,
    pub(super) offer: Option<At<'a, ProtocolVersion>>,
    pub(super) request: Option<At<'a, bool>>,
    pub(super) client_ca: Option<At<'a, PathBuf>>,
    pub(super) relay: Option<At<'a, bool>>,
    pub(super) min_version: Option<At<'a, ProtocolVersion>>,
    pub(super) cipher: Option<At<'a, CipherGrade>>,
}

impl<'a> Listener<'a> {
    pub(super) fn read(mut table: Table<'a>) -> Self {
        let name = table.require("name", "name the listener: name = \"mx\"");
        let bind = table.require("bind", "write where it listens: bind = [\"0.0.0.0:25\", \"[::]:25\"]");
        let role = table.require("role", "write role = \"mx\", \"smarthost\" or \"submission\"");
        let client_ca = table.get("client_ca");
        let read = Self {
            place: table.place().clone(),
            name: name.and_then(|value| value.parse(values::label)),
            bind: bind
                .and_then(|value| value.list(|item| item.parse(values::bind_address)))
                .map_or_else(Vec::new, |at| at.value),
            role: role.and_then(|value| value.word(ROLES)),
            tls: table.get("tls").and_then(|value| value.word(LISTENER_TLS)),
            offer: table.get("offer").and_then(|value| value.word(values::VERSIONS)),
            request: table.get("request_client_certificate").and_then(|value| value.flag()),
            client_ca: client_ca.and_then(|value| value.path().map(|path| value.with(path))),
            relay: table.get("relay").and_then(|value| value.flag()),
            min_version: policy_tables::min_version(&mut table),
            cipher: policy_tables::cipher(&mut table),
        };
        table.not_implemented(&["proxy_protocol"]);
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

    /// Whether its clients are asked for a certificate.
    pub(super) fn requests_certificate(&self) -> bool {
        self.speaks_tls() && self.request.as_ref().is_some_and(|request| request.value)
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
        let role = self.role.as_ref()?.value;
        let written = Floor {
            min_version: self.min_version.as_ref().map(At::sourced),
            cipher: self.cipher.as_ref().map(At::sourced),
        };
        Some(ListenerConfig {
            name: self.name.as_ref()?.value.clone(),
            bind: self.bind.iter().map(|at| at.value).collect(),
            role,
            tls: self.tls.as_ref().map_or(ListenerTls::Starttls, |at| at.value),
            offer: self.offer.as_ref().map_or_else(|| default_offer(role), |at| at.value),
            request_client_certificate: self.requests_certificate(),
            client_ca: self.client_ca.as_ref().map(|at| at.value.clone()),
            relay: self.relays(),
            floor: Floor::of(role, written),
        })
    }
}

/// A listener for other servers offers all that is not plainly broken: who finds no version falls back to plaintext.
fn default_offer(role: Role) -> ProtocolVersion {
    match role {
        Role::Mx | Role::Smarthost => ProtocolVersion::Tls1_0.max(OFFER_MIN),
        Role::Submission => ProtocolVersion::Tls1_2,
    }
}
