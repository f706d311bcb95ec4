//! All lanes: found by name and by number, in a round for turns and in an alarm list for what is not yet due.
//!
//! Invariant: a lane stands in the round exactly if it can run a job, and in the alarm list exactly if a job of it
//! waits, under the moment that this job falls due. `settle` keeps both, and drops a lane that has nothing left.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::time::Instant;

use super::job::Counts;
use super::lane::{Lane, LaneId, LaneKey, LaneView, Turn};

#[derive(Debug)]
pub(super) struct Lanes {
    concurrency_default: u32,
    by_id: BTreeMap<LaneId, Lane>,
    by_key: BTreeMap<LaneKey, LaneId>,
    round: BTreeMap<Turn, LaneId>,
    alarms: BTreeSet<(Instant, LaneId)>,
    counts: Counts,
    lanes_held: usize,
    next_id: LaneId,
    next_turn: Turn,
}

impl Lanes {
    pub(super) const fn new(concurrency_default: u32) -> Self {
        Self {
            concurrency_default,
            by_id: BTreeMap::new(),
            by_key: BTreeMap::new(),
            round: BTreeMap::new(),
            alarms: BTreeSet::new(),
            counts: Counts { waiting: 0, ready: 0, running: 0, held: 0 },
            lanes_held: 0,
            next_id: LaneId(0),
            next_turn: Turn(0),
        }
    }

    /// The lane of this name, made if there is none. A new lane stays only if `settle` finds a reason for it.
    pub(super) fn open(&mut self, key: &LaneKey) -> LaneId {
        if let Some(id) = self.by_key.get(key) {
            return *id;
        }
        let id = self.next_id;
        self.next_id = LaneId(id.0 + 1);
        self.by_key.insert(key.clone(), id);
        self.by_id.insert(id, Lane::new(key.clone()));
        id
    }

    pub(super) fn find(&self, key: &LaneKey) -> Option<LaneId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn get(&self, id: LaneId) -> Option<&Lane> {
        self.by_id.get(&id)
    }

    pub(super) fn ids(&self) -> Vec<LaneId> {
        self.by_id.keys().copied().collect()
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) const fn lanes_held(&self) -> usize {
        self.lanes_held
    }

    pub(super) const fn set_concurrency_default(&mut self, max: u32) {
        self.concurrency_default = max;
    }

    pub(super) fn views(&self) -> impl Iterator<Item = LaneView<'_>> {
        let lanes = self.by_key.values().filter_map(|id| self.by_id.get(id));
        lanes.map(|lane| lane.view(self.concurrency_default))
    }

    /// Changes a lane and what it adds to the counts. `settle` must follow.
    pub(super) fn change<T>(&mut self, id: LaneId, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let lane = self.by_id.get_mut(&id)?;
        let (before, held_before) = (lane.share(), lane.held);
        let result = change(lane);
        self.counts.replace(before, lane.share());
        match (held_before, lane.held) {
            (false, true) => self.lanes_held += 1,
            (true, false) => self.lanes_held -= 1,
            _ => {}
        }
        Some(result)
    }

    /// Puts the lane where its state says. `next_due` is when the next of its waiting jobs falls due.
    pub(super) fn settle(&mut self, id: LaneId, next_due: Option<Instant>) {
        let Some(lane) = self.by_id.get_mut(&id) else { return };
        if lane.alarm != next_due {
            if let Some(at) = lane.alarm.take() {
                self.alarms.remove(&(at, id));
            }
            if let Some(at) = next_due {
                self.alarms.insert((at, id));
                lane.alarm = Some(at);
            }
        }
        match (lane.can_run(self.concurrency_default), lane.turn) {
            (true, None) => {
                self.round.insert(self.next_turn, id);
                lane.turn = Some(self.next_turn);
                self.next_turn = Turn(self.next_turn.0 + 1);
            }
            (false, Some(turn)) => {
                self.round.remove(&turn);
                lane.turn = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
        if lane.jobs.total() == 0 && !lane.held {
            self.by_key.remove(&lane.key);
            self.by_id.remove(&id);
        }
    }

    /// Takes the lane whose turn it is out of the round; `settle` puts it at the end if it can run more.
    pub(super) fn take_turn(&mut self) -> Option<LaneId> {
        let (_, id) = self.round.pop_first()?;
        self.by_id.get_mut(&id)?.turn = None;
        Some(id)
    }

    /// Takes a lane out of the alarm list of which a job has fallen due at `now`.
    pub(super) fn take_alarm(&mut self, now: Instant) -> Option<LaneId> {
        let (at, id) = *self.alarms.first()?;
        if at > now {
            return None;
        }
        self.alarms.pop_first();
        self.by_id.get_mut(&id)?.alarm = None;
        Some(id)
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }
}
