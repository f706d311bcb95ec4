//! All lanes: found by name and by number, counted, and in an alarm list for what changes by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::job::Counts;
use super::lane::{Lane, LaneId, LaneKey};
use super::moment::Moment;
use super::site::SiteId;
use super::slab::Slab;

#[derive(Debug)]
pub(super) struct Lanes {
    slab: Slab<Lane>,
    by_key: BTreeMap<LaneKey, LaneId>,
    alarms: BTreeSet<(Moment, LaneId)>,
    counts: Counts,
    lanes_held: usize,
}

impl Lanes {
    pub(super) const fn new() -> Self {
        Self {
            slab: Slab::new(),
            by_key: BTreeMap::new(),
            alarms: BTreeSet::new(),
            counts: Counts { waiting: 0, ready: 0, running: 0, held: 0 },
            lanes_held: 0,
        }
    }

    pub(super) fn insert(&mut self, key: LaneKey, site: SiteId) -> LaneId {
        let id = LaneId(self.slab.insert(Lane::new(key.clone(), site)));
        self.by_key.insert(key, id);
        id
    }

    /// Only a lane without jobs that is not held may go.
    pub(super) fn remove(&mut self, id: LaneId) {
        self.set_alarm(id, None);
        if let Some(lane) = self.slab.remove(id.0) {
            self.by_key.remove(&lane.key);
        }
    }

    pub(super) fn find(&self, key: &LaneKey) -> Option<LaneId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn get(&self, id: LaneId) -> Option<&Lane> {
        self.slab.get(id.0)
    }

    /// For what counts nothing; see `change`.
    pub(super) fn get_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.slab.get_mut(id.0)
    }

    /// Changes a lane and what it adds to the counts.
    pub(super) fn change<T>(&mut self, id: LaneId, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let lane = self.slab.get_mut(id.0)?;
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

    /// All by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.by_key.values().filter_map(|id| self.get(*id))
    }

    pub(super) fn ids(&self) -> Vec<LaneId> {
        self.by_key.values().copied().collect()
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) const fn lanes_held(&self) -> usize {
        self.lanes_held
    }

    pub(super) fn set_alarm(&mut self, id: LaneId, at: Option<Moment>) {
        let Some(lane) = self.slab.get_mut(id.0) else { return };
        if lane.alarm == at {
            return;
        }
        if let Some(before) = lane.alarm {
            self.alarms.remove(&(before, id));
        }
        if let Some(at) = at {
            self.alarms.insert((at, id));
        }
        lane.alarm = at;
    }

    /// Takes a lane out of the alarm list whose moment has come.
    pub(super) fn take_alarm(&mut self, now: Moment) -> Option<LaneId> {
        let (_, id) = *self.alarms.first().filter(|(at, _)| *at <= now)?;
        self.set_alarm(id, None);
        Some(id)
    }

    pub(super) fn next_alarm(&self) -> Option<Moment> {
        self.alarms.first().map(|(at, _)| *at)
    }
}
