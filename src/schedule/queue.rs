//! All queued jobs in one ordered set, so that a lane with one job costs no container of its own.
//!
//! Order: lane, then class, then due moment, then number. Each question is a range of the set.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::model::time::Instant;

use super::job::{Entry, JobId};
use super::lane::LaneId;

/// First attempts go before retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    First = 0,
    Retry = 1,
}

impl Class {
    const ALL: [Self; 2] = [Self::First, Self::Retry];

    const fn of(entry: &Entry) -> Self {
        if entry.attempts == 0 { Self::First } else { Self::Retry }
    }
}

/// The part of the set that holds one class of one lane, in eight octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Section(u64);

impl Section {
    const fn new(lane: LaneId, class: Class) -> Self {
        Self((lane.0 << 1) | class as u64)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    section: Section,
    due: Instant,
    id: JobId,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    slots: BTreeSet<Slot>,
}

impl Queue {
    pub(super) fn insert(&mut self, id: JobId, entry: &Entry) {
        self.slots.insert(slot(id, entry));
    }

    pub(super) fn remove(&mut self, id: JobId, entry: &Entry) {
        self.slots.remove(&slot(id, entry));
    }

    /// The job of the lane that runs next: due at `now`, of the preferred class if it has one, due longest.
    pub(super) fn next_ready(&self, lane: LaneId, preferred: Class, now: Instant) -> Option<JobId> {
        let other = match preferred {
            Class::First => Class::Retry,
            Class::Retry => Class::First,
        };
        self.due_longest(Section::new(lane, preferred), now)
            .or_else(|| self.due_longest(Section::new(lane, other), now))
    }

    /// When the next job of the lane falls due that is not due at `now`.
    pub(super) fn next_due(&self, lane: LaneId, now: Instant) -> Option<Instant> {
        sections(lane).filter_map(|section| self.waiting(section, now).next()).map(|slot| slot.due).min()
    }

    /// How many jobs of the lane fall due after `before` and up to `now`.
    pub(super) fn fallen_due(&self, lane: LaneId, before: Instant, now: Instant) -> usize {
        let waited = sections(lane).map(|section| self.waiting(section, before));
        waited.map(|jobs| jobs.take_while(|slot| slot.due <= now).count()).sum()
    }

    /// The jobs of the lane that are not due at `now`. Costs as much as there are: for an operator, not for `poll`.
    pub(super) fn waiting_jobs(&self, lane: LaneId, now: Instant) -> Vec<JobId> {
        sections(lane).flat_map(|section| self.waiting(section, now)).map(|slot| slot.id).collect()
    }

    fn due_longest(&self, section: Section, now: Instant) -> Option<JobId> {
        self.slots.range(lowest(section)..=highest(section, now)).next().map(|slot| slot.id)
    }

    fn waiting(&self, section: Section, now: Instant) -> impl Iterator<Item = &Slot> {
        let after = Bound::Excluded(highest(section, now));
        self.slots.range((after, Bound::Unbounded)).take_while(move |slot| slot.section == section)
    }
}

fn sections(lane: LaneId) -> impl Iterator<Item = Section> {
    Class::ALL.into_iter().map(move |class| Section::new(lane, class))
}

const fn slot(id: JobId, entry: &Entry) -> Slot {
    Slot { section: Section::new(entry.lane, Class::of(entry)), due: entry.due, id }
}

const fn lowest(section: Section) -> Slot {
    Slot { section, due: Instant::ZERO, id: JobId(u64::MIN) }
}

const fn highest(section: Section, due: Instant) -> Slot {
    Slot { section, due, id: JobId(u64::MAX) }
}
