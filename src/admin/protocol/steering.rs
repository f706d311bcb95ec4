//! What changes the queue, in the words of the control socket.

use serde::{Deserialize, Serialize};

use crate::model::actor::Actor;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::{Filter, QueueMessage};

/// Messages that one request may name.
pub const IDS_MAX: usize = 1000;
/// Octets of an operator's reason.
pub const WHY_BYTES_MAX: usize = 400;

/// What is to be done, about which messages. Without any word on which, nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steer {
    pub verb: Verb,
    #[serde(default)]
    pub ids: Vec<MessageId>,
    #[serde(default)]
    pub filter: Filter,
    /// The whole queue.
    #[serde(default)]
    pub all: bool,
    #[serde(default)]
    pub why: Option<String>,
    /// Of a hold: seconds until it is over.
    #[serde(default)]
    pub for_secs: Option<u64>,
    /// Of a reroute: the name of the route.
    #[serde(default)]
    pub via: Option<String>,
    /// Count, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl Steer {
    /// An order about nothing yet.
    #[cfg(test)]
    pub(crate) fn of(verb: Verb) -> Self {
        Self {
            verb,
            ids: Vec::new(),
            filter: Filter::default(),
            all: false,
            why: None,
            for_secs: None,
            via: None,
            dry_run: false,
        }
    }

    /// Whether it is about a destination as such, with what is still to come.
    pub fn is_about_destination(&self) -> bool {
        let Self { verb, ids, filter, all, .. } = self;
        let Filter { to_domain, route, .. } = filter;
        let rest = Filter { to_domain: None, route: None, ..filter.clone() };
        let is_one = to_domain.is_some() != route.is_some();
        matches!(verb, Verb::Hold | Verb::Release) && is_one && ids.is_empty() && !all && rest == Filter::default()
    }

    /// Whether anything says which messages are meant.
    pub fn is_selective(&self) -> bool {
        !self.ids.is_empty() || self.filter != Filter::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    Retry,
    Hold,
    Release,
    Bounce,
    Delete,
    Reroute,
}

impl Verb {
    pub const ALL: [Self; 6] = [Self::Retry, Self::Hold, Self::Release, Self::Bounce, Self::Delete, Self::Reroute];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Bounce => "bounce",
            Self::Delete => "delete",
            Self::Reroute => "reroute",
        }
    }
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walking {
    pub looked_at: usize,
    /// About how many there are.
    pub total: usize,
    /// Messages that are meant, so far.
    pub messages: usize,
}

/// What came of it. A delivery is one recipient of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steered {
    /// Messages that were meant and found.
    pub messages: usize,
    pub deliveries: usize,
    /// Deliveries that were changed; in a dry run, that would be.
    pub changed: usize,
    /// Being delivered now: it takes effect if they come back.
    pub active: usize,
    /// There was nothing to change.
    pub unchanged: usize,
    /// Held all the same.
    pub still_held: usize,
    /// By domain, why mail does not go by the route.
    #[serde(default)]
    pub refused: Vec<Refused>,
    /// Could not be written down, so nothing was done.
    pub failed: usize,
    /// Messages that were named and are not in the queue.
    #[serde(default)]
    pub unknown: Vec<MessageId>,
    /// Of a dry run: some of the messages.
    #[serde(default)]
    pub first: Vec<QueueMessage>,
    /// Destinations whose hold has begun, or has ended.
    #[serde(default)]
    pub destinations: Vec<String>,
}

/// A domain whose mail does not go by the route that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub domain: String,
    pub why: String,
    pub deliveries: usize,
}

/// A destination that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldInForce {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    pub reason: Option<String>,
    pub since: Timestamp,
    /// `None`: until it is released.
    pub until: Option<Timestamp>,
    pub by: Actor,
}
