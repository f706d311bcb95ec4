//! Jobs that are due and wait for their turn, in one ordered set: by lane, class, flow, and due moment in the flow.
//!
//! The flows of a class take turns in the order of their numbers, round and round: the next is the first behind the one
//! that was served last. So a flow is known by its jobs alone, one that appears waits for one turn of each other at
//! most, and no flow has two turns while another waits for one.

use std::collections::BTreeSet;

use super::job::JobId;
use super::lane::LaneId;
use super::moment::Moment;

/// First attempts go before retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    First = 0,
    Retry = 1,
}

impl Class {
    pub(super) const fn of(attempts: u32) -> Self {
        if attempts == 0 { Self::First } else { Self::Retry }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::First => Self::Retry,
            Self::Retry => Self::First,
        }
    }

    /// The part of the set that holds a flow of this class of a lane. In one number, as that compares fastest.
    const fn section(self, lane: LaneId, flow: u32) -> u64 {
        ((lane.0 as u64) << 33) | ((self as u64) << 32) | flow as u64
    }
}

/// Where a ready job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    section: u64,
    due: Moment,
    job: JobId,
}

impl Slot {
    pub(super) const fn new(lane: LaneId, attempts: u32, flow: u32, due: Moment, job: JobId) -> Self {
        Self { section: Class::of(attempts).section(lane, flow), due, job }
    }
}

/// The job that is next in a class, and the flow whose turn that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) job: JobId,
    pub(super) flow: u32,
}

#[derive(Debug, Default)]
pub(super) struct Ready {
    slots: BTreeSet<Slot>,
}

impl Ready {
    pub(super) fn insert(&mut self, slot: Slot) {
        self.slots.insert(slot);
    }

    pub(super) fn remove(&mut self, slot: &Slot) {
        self.slots.remove(slot);
    }

    /// The job that runs next: of the flow behind `served` the one that is due longest.
    pub(super) fn next(&self, lane: LaneId, class: Class, served: u32) -> Option<Turn> {
        let first_of = |flow| Slot { section: class.section(lane, flow), due: Moment(0), job: JobId(0) };
        let class_end = class.section(lane, u32::MAX);
        let first_from = |flow| self.slots.range(first_of(flow)..).next().filter(|slot| slot.section <= class_end);
        let behind = served.checked_add(1).and_then(first_from);
        let slot = behind.or_else(|| first_from(0))?;
        // The low half of a section is the flow.
        let flow = (slot.section & u64::from(u32::MAX)) as u32;
        Some(Turn { job: slot.job, flow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_take_turns_and_inside_a_flow_the_job_due_longest_goes_first() {
        let lane = LaneId(7);
        let mut ready = Ready::default();
        for (job, flow, due) in [(1, 9, 1), (2, 9, 0), (3, 0, 5), (4, u32::MAX, 5), (5, 9, 2), (6, u32::MAX, 4)] {
            ready.insert(Slot::new(lane, 0, flow, Moment(due), JobId(job)));
        }
        ready.insert(Slot::new(LaneId(6), 0, 1, Moment(0), JobId(10)));
        ready.insert(Slot::new(lane, 1, 1, Moment(0), JobId(11)));
        let dues = [(1, 1), (2, 0), (3, 5), (4, 5), (5, 2), (6, 4)];
        let (mut served, mut order) = (0, Vec::new());
        while let Some(turn) = ready.next(lane, Class::First, served) {
            let (_, due) = dues.iter().find(|(job, _)| JobId(*job) == turn.job).unwrap();
            ready.remove(&Slot::new(lane, 0, turn.flow, Moment(*due), turn.job));
            served = turn.flow;
            order.push(turn.job.0);
        }
        assert_eq!(order, [2, 6, 3, 1, 4, 5]);
        assert_eq!(ready.next(lane, Class::Retry, 3), Some(Turn { job: JobId(11), flow: 1 }));
    }
}
