//! The state behind the lock: which domains are at hand, what the memory lacks, and what makes room.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::memory::{Memory, Refused, Table};
use crate::model::domain::Domain;
use crate::model::time::{Instant, Timestamp};
use crate::policy::alarm::Alarm;
use crate::policy::interference::Window;
use crate::policy::learned::{Learned, Level};

use super::steady::SteadyClock;
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
/// Where the table is full, so many domains without a level in force make room for one that has it, and so many are
/// looked at to find them.
const EVICTED_AT_ONCE_MAX: usize = 100;
const CANDIDATES_AT_ONCE_MAX: usize = 1000;
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
    clock: SteadyClock,
    /// Where the search for domains that make room goes on.
    evict_from: String,
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
            clock: SteadyClock::default(),
            evict_from: String::new(),
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

    pub(super) fn put(&mut self, domain: &Domain, mut learned: Learned, is_urgent: bool) {
        self.note_level(domain, learned.level_in_force());
        let is_dirty = !is_urgent || !self.write_one(domain, &mut learned);
        self.hold(domain, AtHand { learned, is_dirty });
    }

    fn hold(&mut self, domain: &Domain, at_hand: AtHand) {
        if self.at_hand.len() >= AT_HAND_MAX {
            self.write();
            // What found no room is here alone.
            self.at_hand.retain(|_, entry| entry.is_dirty);
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
        at_hand.retain(|domain, entry| {
            entry.is_dirty = entry.is_dirty && !self.write_one(domain, &mut entry.learned);
            !entry.is_dirty || entry.learned.level_in_force().is_some()
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

    /// Gives whether the memory has it. What does not fit is forgotten, unless a level is in force: others make room
    /// for that, or what was seen beside it goes.
    fn write_one(&mut self, domain: &Domain, learned: &mut Learned) -> bool {
        let key = domain.as_str();
        if store(&self.memory, Table::Learned, key, learned) {
            return true;
        }
        if !std::mem::replace(&mut self.is_full, true) {
            tracing::warn!(%domain, "no room to learn about more domains; about others it goes on");
        }
        if learned.level_in_force().is_none() {
            // An older state would say more good of it than is true.
            self.memory.remove(Table::Learned, key);
            return false;
        }
        self.make_room(key);
        if store(&self.memory, Table::Learned, key, learned) {
            return true;
        }
        learned.forget_evidence();
        store(&self.memory, Table::Learned, key, learned)
    }

    /// Forgets domains without a level in force, wherever the search stands.
    fn make_room(&mut self, but_for: &str) {
        let page = self.memory.scan(Table::Learned, &self.evict_from, CANDIDATES_AT_ONCE_MAX);
        self.evict_from = match page.last() {
            Some((last, _)) if page.len() == CANDIDATES_AT_ONCE_MAX => format!("{last}\0"),
            _ => String::new(),
        };
        let is_spare =
            |key: &str| key != but_for && !Domain::parse(key).is_ok_and(|domain| self.in_force.contains_key(&domain));
        for (key, _) in page.iter().filter(|(key, _)| is_spare(key)).take(EVICTED_AT_ONCE_MAX) {
            self.memory.remove(Table::Learned, key);
        }
    }

    /// Never while the clock may be wrong: what it ends is gone.
    pub(super) fn is_sweep_due(&mut self, now: Timestamp, monotonic: Instant) -> bool {
        if !self.clock.is_steady(now, monotonic) {
            return false;
        }
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
        let is_spare = |learned: &Learned| {
            learned.level_in_force().is_none() && now.saturating_since(learned.last_tried()) >= SPARE_AFTER
        };
        let is_over = |learned: &Learned| learned.is_idle(&thresholds, now) || (is_tight && is_spare(learned));
        if !is_over(read) && read.last_tried() <= now {
            return None;
        }
        // It may have changed since it was read.
        let mut learned = self.take(domain)?;
        if learned.settle(now) || !is_over(&learned) {
            self.put(domain, learned, false);
            return None;
        }
        let lapsed = learned.lapse(&thresholds, now);
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
