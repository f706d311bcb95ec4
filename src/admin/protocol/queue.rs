//! The words about the queue: filters, messages, destinations.

use serde::{Deserialize, Serialize};

use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::outbound::overview::Overview;
use crate::spool::state::OtherHost;

use super::steering::HoldInForce;

/// Which messages; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    #[serde(default)]
    pub to_domain: Option<Domain>,
    #[serde(default)]
    pub from_domain: Option<Domain>,
    #[serde(default)]
    pub older_than_secs: Option<u64>,
    /// The name of the route that a recipient goes by.
    #[serde(default)]
    pub route: Option<String>,
    #[serde(default)]
    pub reason: Option<Reason>,
}

/// Deliveries by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryCounts {
    pub ready: usize,
    pub waiting: usize,
    pub active: usize,
    pub held: usize,
}

/// A destination that deliveries wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstDestination {
    /// A domain, an address, or the name of a route.
    pub name: String,
    /// Deliveries that are not made.
    pub waiting: usize,
    /// When the oldest message came in.
    pub oldest: Option<Timestamp>,
    /// Why the last one failed.
    pub reason: Option<Reason>,
    /// When it is probed next, should it be down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_until: Option<Timestamp>,
}

/// The queue by destinations, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Top {
    pub at: Timestamp,
    pub hostname: String,
    pub messages: usize,
    pub spool_free_bytes: u64,
    /// `None`: the spool takes mail.
    pub spool_fault: Option<String>,
    pub audit_writable: bool,
    pub draining: bool,
    #[serde(flatten)]
    pub overview: Overview,
}

/// A message of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueMessage {
    pub id: MessageId,
    pub received_at: Timestamp,
    /// Empty for the null reverse-path.
    pub from: String,
    pub size: u64,
    /// The listener that took it; empty for notices of our own.
    pub listener: String,
    pub client: Option<String>,
    /// `TLSv1.3 TLS_AES_256_GCM_SHA384` of the session that brought it.
    pub tls: Option<String>,
    pub recipients: Vec<QueueRecipient>,
    /// One sentence: why it is still here and when it is tried next.
    pub why: String,
    /// Subject of the message; only in `QueueShow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// One recipient of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRecipient {
    pub address: String,
    /// Domain or route that it is delivered to; `None` if it is settled.
    pub destination: Option<String>,
    pub state: RecipientStanding,
    pub attempts: u32,
    pub next_attempt: Option<Timestamp>,
    pub last_attempt: Option<Timestamp>,
    pub reason: Option<Reason>,
    pub mx: Option<String>,
    pub detail: Option<String>,
    /// Since when it waits for TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks_tls_since: Option<Timestamp>,
    /// The route that it goes by, because TLS could not be met for too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    #[serde(flatten)]
    pub prospects: Prospects,
}

/// Why a recipient waits, beyond the one reason, and what comes next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prospects {
    /// Who asks for the TLS that is lacking: `domains.d/bank.toml:12`, `DANE`, `MTA-STS`, `learned`, `REQUIRETLS`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked_by: Vec<String>,
    /// The other hosts of the last attempt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_hosts: Vec<OtherHost>,
    /// When the message is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The route that comes before that, and from when on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reroute_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reroute_at: Option<Timestamp>,
    /// When the sender was told that it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
    /// When the sender is told so next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tell_at: Option<Timestamp>,
    /// What keeps it from going out until somebody releases it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldInForce>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientStanding {
    Ready,
    Waiting,
    Active,
    Held,
    Delivered,
    Bounced,
    Expired,
    Dropped,
}
