//! On whose word the queue or the daemon was changed.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Who asked for a change. Written as a number, an address, or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Actor {
    /// An account of this system, by the kernel's word.
    Account(u32),
    /// A program that knows the token of the HTTP API, by the address that its connection came from.
    Api(IpAddr),
    /// Nobody: its time had come.
    Time,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(uid) => write!(f, "uid {uid}"),
            Self::Api(address) => write!(f, "the API from {address}"),
            Self::Time => f.write_str("the end of its time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_is_written_and_read_back() {
        let api = |address: &str| Actor::Api(address.parse().unwrap());
        for (actor, written, shown) in [
            (Actor::Account(0), "0", "uid 0"),
            (Actor::Account(u32::MAX), "4294967295", "uid 4294967295"),
            (api("192.0.2.7"), "\"192.0.2.7\"", "the API from 192.0.2.7"),
            (api("2001:db8::7"), "\"2001:db8::7\"", "the API from 2001:db8::7"),
            (Actor::Time, "null", "the end of its time"),
        ] {
            assert_eq!(serde_json::to_string(&actor).unwrap(), written);
            assert_eq!(serde_json::from_str::<Actor>(written).unwrap(), actor);
            assert_eq!(actor.to_string(), shown);
        }
        for wrong in ["-1", "4294967296", "\"root\"", "\"\"", "{}"] {
            assert!(serde_json::from_str::<Actor>(wrong).is_err(), "{wrong}");
        }
    }
}
