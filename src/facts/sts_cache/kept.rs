//! Policies as they are written down, and which of them go when there is no room for another.
//!
//! Anybody can have domains with policies, so a new policy never takes the place of one that counts for more.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::facts::sts_plan::CachedPolicy;
use crate::memory::{Memory, Table};
use crate::model::time::Timestamp;
use crate::policy::sts_policy::{Mode, StsPolicy};
use crate::policy::sts_record::StsId;

use super::refresh::REFRESH_IF_USED_WITHIN;

/// Longest text of a policy that has its place for good. It names a hundred hosts; longer ones are kept while there is
/// room.
pub(super) const LASTING_POLICY_BYTES_MAX: usize = 4096;
/// How exactly it is known when a policy was last used: not each use is written down.
const USE_GRAIN: Duration = Duration::from_secs(86_400);
/// When the table is full, at most one of so many policies goes.
pub(super) const EVICTED_SHARE: usize = 16;

/// A policy as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) id: StsId,
    /// In its own grammar, with the fields that are known.
    pub(super) policy: String,
    pub(super) fetched: Timestamp,
    /// When mail last asked for it, within [`USE_GRAIN`].
    pub(super) used: Timestamp,
    /// Mail has asked for it again after the message that it was first fetched for.
    #[serde(default)]
    pub(super) used_again: bool,
}

impl Kept {
    pub(super) fn read(memory: &Memory, key: &str) -> Option<Self> {
        serde_json::from_slice(&memory.get(Table::Sts, key)?).ok()
    }

    /// `None` if the text is no policy to this release.
    pub(super) fn cached(self) -> Option<CachedPolicy> {
        let policy = StsPolicy::parse(self.policy.as_bytes()).ok()?;
        Some(CachedPolicy { id: self.id, policy, fetched: self.fetched })
    }

    /// Whether a use at this moment is to be written down.
    pub(super) fn is_use_worth_noting(&self, now: Timestamp) -> bool {
        !self.used_again || now.saturating_since(self.used) >= USE_GRAIN
    }
}

/// What a policy counts for, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// It is over, or cannot be read.
    Over,
    /// It holds nothing back.
    NotEnforced,
    Long,
    /// Mail asked for it once, or not for long.
    Fleeting,
    /// It stays for as long as it holds.
    Lasting,
}

/// What decides about the place of a policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    expires: Timestamp,
    used: Timestamp,
    used_again: bool,
    is_enforced: bool,
    is_long: bool,
}

impl Place {
    /// `cached` is what `kept` says.
    pub(super) fn of(kept: &Kept, cached: &CachedPolicy) -> Self {
        Self {
            expires: cached.expires(),
            used: kept.used,
            used_again: kept.used_again,
            is_enforced: cached.policy.mode == Mode::Enforce,
            is_long: kept.policy.len() > LASTING_POLICY_BYTES_MAX,
        }
    }

    fn worth(&self, now: Timestamp) -> Worth {
        if self.expires <= now {
            Worth::Over
        } else if !self.is_enforced {
            Worth::NotEnforced
        } else if self.is_long {
            Worth::Long
        } else if !self.used_again || now.saturating_since(self.used) > REFRESH_IF_USED_WITHIN {
            Worth::Fleeting
        } else {
            Worth::Lasting
        }
    }
}

/// The places of all policies of the table, so that to make room is to read none of them.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<Box<str>, Option<Place>>);

impl Places {
    /// Reads the whole table, which may take a part of a second.
    pub(super) fn read(memory: &Memory) -> Self {
        let place = |value: &[u8]| {
            let kept: Kept = serde_json::from_slice(value).ok()?;
            let cached = kept.clone().cached()?;
            Some(Place::of(&kept, &cached))
        };
        Self(memory.entries(Table::Sts).map(|(key, value)| (key.into(), place(&value))).collect())
    }

    pub(super) fn put(&mut self, key: &str, place: Place) {
        self.0.insert(key.into(), Some(place));
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Whose places go for a policy: none that counts for more than it does, and none that lasts. Those that count
    /// least go first, then those that were not used for the longest time.
    pub(super) fn given_up_for(&self, newcomer: &Place, now: Timestamp) -> Vec<Box<str>> {
        let newcomer = newcomer.worth(now);
        let worth = |place: Option<&Place>| place.map_or(Worth::Over, |place| place.worth(now));
        let mut going: Vec<(Worth, Timestamp, &str)> = self
            .0
            .iter()
            .map(|(key, place)| (worth(place.as_ref()), place.map(|place| place.used).unwrap_or_default(), &**key))
            .filter(|(worth, ..)| *worth <= newcomer && *worth < Worth::Lasting)
            .collect();
        going.sort_unstable();
        going.truncate((self.0.len() / EVICTED_SHARE).max(1));
        going.into_iter().map(|(.., key)| key.into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn now() -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }

    /// A policy with so many hosts, asked for so many days ago.
    fn kept(mode: &str, hosts: usize, days: u64, used_again: bool) -> Kept {
        let mx: String = (0..hosts).map(|n| format!("mx: mx{n}.of.some.length.bank.example\n")).collect();
        Kept {
            id: StsId::parse("a").unwrap(),
            policy: format!("version: STSv1\nmode: {mode}\n{mx}max_age: 31557600\n"),
            fetched: now(),
            used: now() - Duration::from_secs(days * DAY),
            used_again,
        }
    }

    fn place(kept: &Kept) -> Place {
        Place::of(kept, &kept.clone().cached().unwrap())
    }

    #[test]
    fn room_is_made_by_what_counts_least_and_by_nothing_that_counts_for_more_or_lasts() {
        let mut places = Places([("unreadable".into(), None)].into());
        let over = Kept { fetched: now() - Duration::from_secs(400 * DAY), ..kept("enforce", 1, 0, true) };
        for (key, kept) in [
            ("over", &over),
            ("none", &kept("none", 0, 1, true)),
            ("testing", &kept("testing", 1, 0, true)),
            ("long", &kept("enforce", 500, 0, true)),
            ("once", &kept("enforce", 1, 0, false)),
            ("once before", &kept("enforce", 1, 1, false)),
            ("long ago", &kept("enforce", 1, 61, true)),
            ("lasting", &kept("enforce", 1, 59, true)),
        ] {
            places.put(key, place(kept));
        }
        let check = |newcomer: &Kept, expected: &[&str]| {
            let mut places = Places(places.0.clone());
            let mut gone = Vec::new();
            loop {
                let going = places.given_up_for(&place(newcomer), now());
                if going.is_empty() {
                    break;
                }
                going.iter().for_each(|key| places.remove(key));
                gone.extend(going);
            }
            assert_eq!(gone.iter().map(|key| &**key).collect::<Vec<_>>(), expected);
        };
        let weaker = ["unreadable", "over", "none", "testing"];
        check(&kept("testing", 1, 0, false), &weaker);
        check(&kept("enforce", 500, 0, false), &[&weaker[..], &["long"]].concat());
        for used_again in [false, true] {
            let all = [&weaker[..], &["long", "long ago", "once before", "once"]].concat();
            check(&kept("enforce", 1, 0, used_again), &all);
        }
    }
}
