//! What one mail host has shown, day by day.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::id::RecordId;
use crate::model::time::Timestamp;

use super::{Level, Observation, Proved, Shown};

/// Days that are kept, the present one included. No window of [`super::Thresholds`] reaches farther back.
pub const DAYS_MAX: u32 = 32;

const DAY_SECS: u64 = 86_400;

/// The UTC day, counted from 1970-01-01.
pub(super) fn day_of(moment: Timestamp) -> u32 {
    let since = moment.saturating_since(Timestamp::from_secs(0));
    u32::try_from(since.as_secs() / DAY_SECS).unwrap_or(u32::MAX)
}

/// The first moment of a day.
pub(super) fn start_of(day: u32) -> Timestamp {
    Timestamp::from_secs(0) + Duration::from_secs(u64::from(day) * DAY_SECS)
}

/// What the sessions of one day come to. Sums, minima and "or" alone, so that their order does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, Option<Level>, bool)", into = "(u32, Option<Level>, bool)")]
pub(super) struct Day {
    pub(super) deliveries: u32,
    /// `None` is plaintext.
    pub(super) weakest: Option<Level>,
    /// A session proved the host's own name.
    pub(super) own_name: bool,
}

impl From<(u32, Option<Level>, bool)> for Day {
    fn from((deliveries, weakest, own_name): (u32, Option<Level>, bool)) -> Self {
        Self { deliveries, weakest, own_name }
    }
}

impl From<Day> for (u32, Option<Level>, bool) {
    fn from(day: Day) -> Self {
        (day.deliveries, day.weakest, day.own_name)
    }
}

impl Day {
    fn of(observation: &Observation<'_>) -> Self {
        let own_name = matches!(observation.shown, Shown::Verified(Proved::OwnName | Proved::Both));
        Self { deliveries: observation.deliveries, weakest: observation.shown.level(), own_name }
    }

    fn with(self, other: Self) -> Self {
        Self {
            deliveries: self.deliveries.saturating_add(other.deliveries),
            weakest: self.weakest.min(other.weakest),
            own_name: self.own_name || other.own_name,
        }
    }
}

/// The days on which something was seen; at most [`DAYS_MAX`] once [`Days::settle`] was called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Days(BTreeMap<u32, Day>);

impl Days {
    pub(super) fn add(&mut self, observation: &Observation<'_>, today: u32) {
        self.merge(today, Day::of(observation));
    }

    fn merge(&mut self, number: u32, day: Day) {
        self.0.entry(number).and_modify(|known| *known = known.with(day)).or_insert(day);
    }

    /// Drops what is too old. Days to come are the trace of a clock that was wrong: what they say holds for today.
    pub(super) fn settle(&mut self, today: u32) {
        let ahead = today.checked_add(1).map(|tomorrow| self.0.split_off(&tomorrow)).unwrap_or_default();
        for day in ahead.into_values() {
            self.merge(today, day);
        }
        self.0.retain(|number, _| number.saturating_add(DAYS_MAX) > today);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The days from `first` on.
    pub(super) fn since(&self, first: u32) -> impl Iterator<Item = (u32, Day)> {
        self.0.range(first..).map(|(number, day)| (*number, *day))
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

/// The newest session that showed a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sight {
    pub at: Timestamp,
    /// The audit record that tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordId>,
}

/// The newest sight of each level; an older one than the kept days stays, for whoever asks when it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sights {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plaintext: Option<Sight>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<Sight>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Sight>,
}

impl Sights {
    /// When the host was last seen.
    pub fn last(&self) -> Option<Timestamp> {
        [self.plaintext, self.encrypt, self.verify].into_iter().flatten().map(|sight| sight.at).max()
    }

    fn add(&mut self, level: Option<Level>, sight: Sight) {
        let newest = match level {
            None => &mut self.plaintext,
            Some(Level::Encrypt) => &mut self.encrypt,
            Some(Level::Verify) => &mut self.verify,
        };
        *newest = (*newest).max(Some(sight));
    }

    /// A sight from days to come is one of today.
    fn settle(&mut self, now: Timestamp) {
        for sight in [&mut self.plaintext, &mut self.encrypt, &mut self.verify].into_iter().flatten() {
            if day_of(sight.at) > day_of(now) {
                sight.at = now;
            }
        }
    }
}

/// One mail host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    pub(super) days: Days,
    pub(super) sights: Sights,
}

impl History {
    pub(super) fn add(&mut self, observation: &Observation<'_>, now: Timestamp) {
        self.days.add(observation, day_of(now));
        self.sights.add(observation.shown.level(), Sight { at: now, record: observation.record });
    }

    pub(super) fn settle(&mut self, now: Timestamp) {
        self.days.settle(day_of(now));
        self.sights.settle(now);
    }
}
