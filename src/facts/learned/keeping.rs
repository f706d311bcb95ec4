//! The state behind the lock: which domains are at hand, what the memory lacks, and what makes room.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::memory::{Memory, Refused, Table};
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::alarm::Alarm;
use crate::policy::interference::Window;
use crate::policy::learned::{Lapsed, Learned, Level};

use super::{LearnTerms, Levels, News};

/// Domains that are held ready; of more, all are written and read again when they are asked for.
const AT_HAND_MAX: usize = 4096;
/// Domains that a sweep looks at under one lock.
pub(super) const SWEPT_AT_ONCE_MAX: usize = 200;
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// Between two looks at the hosts of a domain that take no mail, at least.
const LOOK_EVERY: Duration = Duration::from_secs(6 * 60 * 60);
/// Where more of the table than this is taken, domains without a level in force go that nobody has tried for
/// [`SPARE_AFTER`].
const TAKEN_PERCENT_MAX: usize = 90;
const SPARE_AFTER: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// Keys in the table of alerts.
const ALARM_KEY: &str = "alarm";
const WINDOW_KEY: &str = "window";

/// All of it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) memory: Memory,
    pub(super) terms: LearnTerms,
    pub(super) alarm: Alarm,
    pub(super) window: Window,
    at_hand: HashMap<Domain, AtHand>,
    /// Domains with a level in force.
    in_force: HashMap<Domain, Level>,
    levels: Levels,
    is_alarm_dirty: bool,
    is_window_dirty: bool,
    /// It was said that the table is full.
    is_full: bool,
    last_sweep: Option<Timestamp>,
    /// When hosts that take no mail were last looked at, by domain.
    looked: HashMap<Domain, Timestamp>,
}

#[derive(Debug)]
struct AtHand {
    learned: Learned,
    is_dirty: bool,
}

impl State {
    pub(super) fn read(memory: Memory, terms: LearnTerms) -> Self {
        let alarm = stored(&memory, Table::Alerts, ALARM_KEY).unwrap_or_default();
        let window = stored(&memory, Table::Alerts, WINDOW_KEY).unwrap_or_default();
        let mut state = Self {
            memory,
            terms,
            alarm,
            window,
            at_hand: HashMap::new(),
            in_force: HashMap::new(),
            levels: Levels::default(),
            is_alarm_dirty: false,
            is_window_dirty: false,
            is_full: false,
            last_sweep: None,
            looked: HashMap::new(),
        };
        let memory = state.memory.clone();
        for (key, value) in memory.entries(Table::Learned) {
            if let (Ok(domain), Ok(learned)) = (Domain::parse(&key), serde_json::from_slice::<Learned>(&value)) {
                state.note_level(&domain, learned.level_in_force());
            }
        }
        state
    }

    /// The level that is in force for a domain.
    pub(super) fn in_force(&self, domain: &Domain) -> Option<Level> {
        self.in_force.get(domain).copied()
    }

    pub(super) fn levels(&self) -> Levels {
        self.levels
    }

    pub(super) fn look(&mut self, domain: &Domain) -> Option<&Learned> {
        if !self.at_hand.contains_key(domain) {
            let learned = stored(&self.memory, Table::Learned, domain.as_str())?;
            self.hold(domain, AtHand { learned, is_dirty: false });
        }
        self.at_hand.get(domain).map(|at_hand| &at_hand.learned)
    }

    /// Takes a domain out to change it; [`State::put`] puts it back.
    pub(super) fn take(&mut self, domain: &Domain) -> Option<Learned> {
        let at_hand = self.at_hand.remove(domain).map(|at_hand| at_hand.learned);
        at_hand.or_else(|| stored(&self.memory, Table::Learned, domain.as_str()))
    }

    pub(super) fn put(&mut self, domain: &Domain, learned: Learned, is_urgent: bool) {
        self.note_level(domain, learned.level_in_force());
        let is_dirty = !is_urgent || !self.write_one(domain, &learned);
        self.hold(domain, AtHand { learned, is_dirty });
    }

    fn hold(&mut self, domain: &Domain, at_hand: AtHand) {
        if self.at_hand.len() >= AT_HAND_MAX {
            self.write();
            self.at_hand.clear();
        }
        self.at_hand.insert(domain.clone(), at_hand);
    }

    fn note_level(&mut self, domain: &Domain, level: Option<Level>) {
        let before = match (self.in_force.entry(domain.clone()), level) {
            (Entry::Occupied(mut entry), Some(level)) => Some(entry.insert(level)),
            (Entry::Occupied(entry), None) => Some(entry.remove()),
            (Entry::Vacant(entry), Some(level)) => {
                entry.insert(level);
                None
            }
            (Entry::Vacant(_), None) => None,
        };
        if let Some(before) = before {
            *self.levels.of(before) -= 1;
        }
        if let Some(level) = level {
            *self.levels.of(level) += 1;
        }
    }

    /// Whether hosts of the domain may be looked at again; then it counts as done.
    pub(super) fn may_look(&mut self, domain: &Domain, now: Timestamp) -> bool {
        let is_late = |last: &Timestamp| *last > now || now.saturating_since(*last) >= LOOK_EVERY;
        if !self.looked.get(domain).is_none_or(is_late) {
            return false;
        }
        if self.looked.len() >= AT_HAND_MAX {
            self.looked.clear();
        }
        self.looked.insert(domain.clone(), now);
        true
    }

    /// A level has ended, so nothing is left to violate.
    pub(super) fn lapsed(&mut self, domain: &Domain, lapsed: Lapsed) -> News {
        self.alarm.forget(domain);
        self.alarm_changed(true);
        News::Lapsed { domain: domain.clone(), lapsed }
    }

    pub(super) fn forget(&mut self, domain: &Domain) -> bool {
        let was_known = self.look(domain).is_some();
        self.at_hand.remove(domain);
        self.memory.remove(Table::Learned, domain.as_str());
        self.note_level(domain, None);
        self.alarm.forget(domain);
        self.alarm_changed(true);
        was_known
    }

    /// `is_urgent`: somebody is told of it, once.
    pub(super) fn alarm_changed(&mut self, is_urgent: bool) {
        self.is_alarm_dirty = true;
        if is_urgent {
            self.write_alarm();
        }
    }

    pub(super) fn window_changed(&mut self) {
        self.is_window_dirty = true;
    }

    /// Hands what has changed to the memory.
    pub(super) fn write(&mut self) {
        let mut at_hand = std::mem::take(&mut self.at_hand);
        // What does not fit is not kept.
        at_hand.retain(|domain, entry| {
            let is_kept = !entry.is_dirty || self.write_one(domain, &entry.learned);
            entry.is_dirty = false;
            is_kept
        });
        self.at_hand = at_hand;
        self.write_alarm();
        if std::mem::take(&mut self.is_window_dirty) {
            store(&self.memory, Table::Alerts, WINDOW_KEY, &self.window);
        }
    }

    fn write_alarm(&mut self) {
        if std::mem::take(&mut self.is_alarm_dirty) {
            store(&self.memory, Table::Alerts, ALARM_KEY, &self.alarm);
        }
    }

    fn write_one(&mut self, domain: &Domain, learned: &Learned) -> bool {
        let is_written = store(&self.memory, Table::Learned, domain.as_str(), learned);
        if !is_written && !std::mem::replace(&mut self.is_full, true) {
            tracing::warn!(%domain, "no room to learn about more domains; about others it goes on");
        }
        is_written
    }

    pub(super) fn is_sweep_due(&mut self, now: Timestamp) -> bool {
        let is_due = self.last_sweep.is_none_or(|last| last > now || now.saturating_since(last) >= SWEEP_EVERY);
        if is_due {
            self.last_sweep = Some(now);
            self.is_full = false;
            let terms = self.terms.alarm;
            self.alarm.sweep(&terms, now);
            self.alarm_changed(false);
        }
        is_due
    }

    /// Removes a domain that is not worth its place any more. `read` is what the memory has of it.
    pub(super) fn sweep(&mut self, domain: &Domain, read: &Learned, now: Timestamp) -> Option<News> {
        let thresholds = self.terms.thresholds;
        let is_tight = self.memory.len(Table::Learned) * 100 > Table::Learned.entries_max() * TAKEN_PERCENT_MAX;
        let learned = self.at_hand.get(domain).map_or(read, |at_hand| &at_hand.learned);
        let is_idle = learned.is_idle(&thresholds, now);
        let is_spare =
            is_tight && learned.level_in_force().is_none() && now.saturating_since(learned.last_tried()) >= SPARE_AFTER;
        if !is_idle && !is_spare {
            return None;
        }
        let lapsed = self.take(domain).and_then(|mut learned| learned.lapse(&thresholds, now));
        self.forget(domain);
        lapsed.map(|lapsed| News::Lapsed { domain: domain.clone(), lapsed })
    }
}

impl Levels {
    fn of(&mut self, level: Level) -> &mut usize {
        match level {
            Level::Encrypt => &mut self.encrypt,
            Level::Verify => &mut self.verify,
        }
    }
}

/// `None` also where it cannot be read: it is learned again.
fn stored<T: DeserializeOwned>(memory: &Memory, table: Table, key: &str) -> Option<T> {
    serde_json::from_slice(&memory.get(table, key)?).ok()
}

/// Gives whether it found room.
fn store(memory: &Memory, table: Table, key: &str, value: &impl Serialize) -> bool {
    // Strings, numbers and maps by names only: this cannot fail.
    let text = serde_json::to_vec(value).unwrap_or_default();
    match memory.put(table, key, text) {
        Ok(()) => true,
        Err(refused @ (Refused::Key | Refused::Value)) => {
            tracing::error!(key, %refused, "what was learned is not kept");
            false
        }
        Err(Refused::Full) => false,
    }
}
