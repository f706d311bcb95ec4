//! L4: what a destination can do, found by asking it: its names and records, its hosts, each version of TLS, and how
//! far it would take a message. No content is ever sent.
//!
//! Must not: send content, hold more than one connection to a host at a time, or decide what the policy engine decides.

pub mod dane;
pub mod findings;
pub mod host;
pub mod judge;
pub mod observe;
pub mod pace;
pub mod publication;
pub mod session;
pub mod walk;

#[cfg(test)]
pub(crate) mod fake_mail_host;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::dns::Resolver;
use crate::dns::targets::TargetRule;
use crate::facts::sts_fetch::StsFetcher;
use crate::model::domain::Domain;
use crate::tls::roots::Roots;

use pace::Pace;

/// How long a host may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub connect: Duration,
    /// For the greeting and for each reply.
    pub reply: Duration,
    pub handshake: Duration,
}

/// Where mail hosts listen.
pub const SMTP_PORT: u16 = 25;

/// Asks destinations. One for all of them, so that its pace holds for all.
#[derive(Debug)]
pub struct Prober {
    pub resolver: Arc<dyn Resolver>,
    pub targets: TargetRule,
    /// Who may vouch for hosts.
    pub roots: Roots,
    /// Our name in EHLO; an MX record with it ends the list of hosts.
    pub hostname: Domain,
    pub patience: Patience,
    pub pace: Pace,
    /// Where hosts found by MX listen: 25, but in tests.
    pub port: u16,
    pub sts: StsFetcher,
}
