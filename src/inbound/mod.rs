//! L4: mail comes in. Listeners accept, sessions drive the SMTP server core, content goes to the spool.
//!
//! Must not: know outbound (they meet in the spool), or decide what the policy engine decides.

mod clients;
mod content;
mod judge;
mod listener;
mod refusals;
mod session;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::audit::event::Stamp;
use crate::audit::feed::Health;
use crate::clock;
use crate::facts::back_ends::BackEnds;
use crate::metrics::Metrics;
use crate::model::tls::TlsFacts;
use crate::policy::inbound::Floor;
use crate::policy::relay::{Role, Trust, TrustedClients};
use crate::policy::rules::PolicySet;
use crate::policy::transaction::Door;
use crate::smtp::server;
use crate::spool::Spool;
use crate::tls::server::ServerTls;

pub use clients::Clients;
pub use listener::{Serving, serve};
pub use refusals::Refusals;

/// One listener as its sessions see it.
#[derive(Debug)]
pub struct Listener {
    pub name: Arc<str>,
    pub role: Role,
    /// Role mx: trusted clients may send anywhere.
    pub relay: bool,
    /// The handshake comes before the greeting.
    pub implicit_tls: bool,
    pub floor: Floor,
    pub session: Arc<server::Settings>,
    pub tls: Option<ServerTls>,
}

/// Everything of one configuration that inbound needs. A transaction keeps the one that it began with.
#[derive(Debug)]
pub struct Snapshot {
    pub policies: Arc<PolicySet>,
    pub trusted: TrustedClients,
    pub stamp: Stamp,
    pub listeners: HashMap<Arc<str>, Arc<Listener>>,
    pub connections_per_client_max: u32,
    pub hops_max: u32,
    pub tls_handshake_timeout: Duration,
    /// Whether mail is refused while the audit log cannot be written.
    pub needs_audit: bool,
}

impl Snapshot {
    /// Whether the address alone is trusted: what counts before the client has said or shown anything.
    fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.has_network_of(ip)
    }

    /// How far a session is trusted. `tls` is `None` for plaintext.
    pub fn trusts_session(&self, ip: IpAddr, tls: Option<&TlsFacts>) -> Trust {
        self.trusted.trust(ip, tls)
    }

    /// The listener as the policy engine sees it.
    pub fn door<'a>(&'a self, listener: &'a Listener) -> Door<'a> {
        Door {
            policies: &self.policies,
            trusted: &self.trusted,
            role: listener.role,
            relay: listener.relay,
            floor: &listener.floor,
        }
    }
}

/// What all sessions share.
#[derive(Debug)]
pub struct Inbound {
    pub snapshot: ArcSwap<Snapshot>,
    pub spool: Spool,
    pub audit: Health,
    pub metrics: Arc<Metrics>,
    pub clients: Clients,
    pub refusals: Refusals,
    /// What deliveries heard from the hosts of routes.
    pub back_ends: Arc<BackEnds>,
}

impl Inbound {
    /// Whether a refusal of this client may have a record of its own; if not, it is counted.
    fn may_record(&self, ip: IpAddr) -> bool {
        self.refusals.admit(clock::now(), ip, self.spool.admission().is_ok())
    }
}
