//! What the operator keeps from going out: as it is written down.

use serde::{Deserialize, Serialize};

use crate::model::actor::Actor;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;

/// Holds of destinations that may be in force at once: the whole list is written with each change.
pub const HOLDS_MAX: usize = 1000;

/// Why something is held, until when, and on whose word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `None`: until it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    pub by: Actor,
    pub at: Timestamp,
}

/// A destination that can be held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeldPlace {
    /// Recipients of this domain, however they go.
    Domain(Domain),
    /// All that goes by the route of this name.
    Route(String),
}

impl std::fmt::Display for HeldPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "mail to {domain}"),
            Self::Route(route) => write!(f, "mail by the route {route}"),
        }
    }
}

/// A destination that is held: what waits for it and what is still to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationHold {
    pub place: HeldPlace,
    pub held: Held,
}

impl DestinationHold {
    /// Whether its time has come.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.held.until.is_some_and(|until| until <= now)
    }
}

/// All destinations that are held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Rises with each change: of two lists the one with the higher version counts, wherever it stands.
    pub version: u64,
    #[serde(default)]
    pub list: Vec<DestinationHold>,
}
