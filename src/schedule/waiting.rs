//! Jobs that are not due yet, in one ordered set, so that a lane with one job costs no container of its own.
//!
//! Order: lane, then shelf, then due moment. Each question is a range of the set.

use std::collections::BTreeSet;

use super::job::JobId;
use super::lane::LaneId;
use super::moment::Moment;

/// Where in its lane a job waits. Retries have two shelves: one gets what comes, and when the site is back after it was
/// down, the other begins to get it, so that what waited until then is known without a look at each job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shelf {
    First = 0,
    RetryA = 1,
    RetryB = 2,
}

impl Shelf {
    const ALL: [Self; 3] = [Self::First, Self::RetryA, Self::RetryB];

    /// The other one of retries.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::First | Self::RetryB => Self::RetryA,
            Self::RetryA => Self::RetryB,
        }
    }

    /// The part of the set that holds this shelf of a lane.
    const fn section(self, lane: LaneId) -> u64 {
        ((lane.0 as u64) << 2) | self as u64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    section: u64,
    due: Moment,
    job: JobId,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    slots: BTreeSet<Slot>,
}

impl Waiting {
    pub(super) fn insert(&mut self, lane: LaneId, shelf: Shelf, due: Moment, job: JobId) {
        self.slots.insert(Slot { section: shelf.section(lane), due, job });
    }

    pub(super) fn remove(&mut self, lane: LaneId, shelf: Shelf, due: Moment, job: JobId) {
        self.slots.remove(&Slot { section: shelf.section(lane), due, job });
    }

    /// The job of the shelf that is due soonest.
    pub(super) fn first(&self, lane: LaneId, shelf: Shelf) -> Option<(Moment, JobId)> {
        self.shelf(lane, shelf).next().map(|slot| (slot.due, slot.job))
    }

    /// The job of the lane that is due soonest, if so many stand on each shelf.
    pub(super) fn soonest(&self, lane: LaneId, shelves: [usize; 3]) -> Option<(Moment, JobId)> {
        let used = Shelf::ALL.into_iter().zip(shelves).filter(|(_, jobs)| *jobs > 0);
        used.filter_map(|(shelf, _)| self.first(lane, shelf)).min()
    }

    /// All jobs of the lane that wait, by due moment. Costs as much as there are: for an operator, not for `poll`.
    pub(super) fn all(&self, lane: LaneId) -> Vec<JobId> {
        let mut slots: Vec<&Slot> = Shelf::ALL.into_iter().flat_map(|shelf| self.shelf(lane, shelf)).collect();
        slots.sort_by_key(|slot| (slot.due, slot.job));
        slots.into_iter().map(|slot| slot.job).collect()
    }

    fn shelf(&self, lane: LaneId, shelf: Shelf) -> impl Iterator<Item = &Slot> {
        let section = shelf.section(lane);
        let lowest = Slot { section, due: Moment(0), job: JobId(0) };
        self.slots.range(lowest..).take_while(move |slot| slot.section == section)
    }
}
