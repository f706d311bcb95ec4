//! L4: mail goes out. The dispatcher runs the scheduler, attempts find hosts and drive the SMTP client core,
//! conclusions are written to the spool.
//!
//! Must not: know inbound (they meet in the spool), decide what the policy engine decides, or weaken what it requires.

mod attempt;
pub mod books;
mod conclude;
mod destination;
pub mod dispatch;
mod flow;
pub mod holds;
mod jobs;
mod known_hosts;
mod lacking;
pub(crate) mod ladder;
pub mod learning;
mod notices;
pub mod operator;
mod orders;
mod outcome;
pub mod outlook;
pub mod overview;
mod pool;
mod records;
pub mod reporting;
mod seen;
mod session;
mod signal;
mod sites;
pub mod steering;
pub mod targets;
mod unreadable;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::alert::Alerts;
use crate::audit::event::Stamp;
use crate::audit::feed::Health;
use crate::dns::Resolver;
use crate::dns::targets::TargetRule;
use crate::facts::Gatherer;
use crate::facts::back_ends::BackEnds;
use crate::metrics::Metrics;
use crate::model::domain::Domain;
use crate::policy::rules::PolicySet;
use crate::policy::settings::KeyPair;
use crate::schedule::scheduler::Limits;
use crate::smtp::client::Timeouts;
use crate::spool::Spool;
use crate::tls::client::ClientTls;
use crate::tls::roots::Roots;

pub use attempt::Looks;
use holds::HoldTable;
pub use known_hosts::KnownHosts;
pub use pool::Pool;
use reporting::{Reporter, Reports};

/// Everything of one configuration that outbound needs. An attempt keeps the one that it began with.
#[derive(Debug)]
pub struct Snapshot {
    pub policies: Arc<PolicySet>,
    pub stamp: Stamp,
    pub hostname: Domain,
    /// TLS with a certificate of ours, for the routes that have one.
    pub client_tls: HashMap<KeyPair, ClientTls>,
    /// Roots that alone may vouch for some hosts, by the files that they were read from.
    pub authorities: HashMap<Vec<PathBuf>, Roots>,
    pub targets: TargetRule,
    pub lifetime: Duration,
    pub bounce_lifetime: Duration,
    pub delay_warning: Duration,
    /// Never empty; the last one repeats.
    pub retry: Vec<Duration>,
    /// What is refused for good waits all the same, until its lifetime is over.
    pub soft_bounce: bool,
    /// What may run at once, as the scheduler takes it.
    pub limits: Limits,
    /// Whether no delivery is begun while the audit log cannot be written.
    pub needs_audit: bool,
    /// `None`: no TLS reports are made.
    pub reporter: Option<Arc<Reporter>>,
}

impl Snapshot {
    /// What of it tells how long mail waits.
    pub fn terms(&self) -> outlook::Terms<'_> {
        outlook::Terms {
            policies: &self.policies,
            lifetime: self.lifetime,
            bounce_lifetime: self.bounce_lifetime,
            delay_warning: self.delay_warning,
        }
    }
}

/// What all deliveries share.
#[derive(Debug)]
pub struct Outbound {
    pub snapshot: ArcSwap<Snapshot>,
    pub spool: Spool,
    /// The destinations that are held.
    pub holds: HoldTable,
    pub audit: Health,
    pub metrics: Arc<Metrics>,
    pub resolver: Arc<dyn Resolver>,
    pub facts: Gatherer,
    pub alerts: Alerts,
    /// TLS without a certificate of ours.
    pub tls: ClientTls,
    pub roots: Roots,
    pub pool: Pool,
    pub known_hosts: KnownHosts,
    pub looks: Looks,
    /// What the hosts of routes said of REQUIRETLS; mail for them is taken by it.
    pub back_ends: Arc<BackEnds>,
    pub timeouts: Timeouts,
    pub reports: Reports,
}
