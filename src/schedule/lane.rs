//! A lane: one destination with its own share of concurrency.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::model::time::Instant;

use super::job::Counts;

/// Of this many picks in a lane one prefers a retry to first attempts, so that retries do not starve.
pub const RETRY_PICK_INTERVAL: u8 = 4;

/// The name of a destination. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey(Arc<str>);

impl LaneKey {
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for LaneKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A lane as the scheduler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneView<'a> {
    pub key: &'a LaneKey,
    pub waiting: usize,
    pub ready: usize,
    pub running: usize,
    /// Jobs that are held one by one; a held lane still says here which of its jobs wait and which are due.
    pub held_jobs: usize,
    /// When the next of the waiting jobs falls due.
    pub next_due: Option<Instant>,
    /// How many of its jobs may run at once.
    pub concurrency: u32,
    /// The whole lane is held.
    pub held: bool,
}

/// A lane by number. Never used twice, so that nothing stale can name a newer lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(pub(super) u64);

/// A place in the round of lanes. Grows for ever, so that the smallest is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(pub(super) u64);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: LaneKey,
    pub(super) jobs: Counts,
    /// `None`: the default of the scheduler.
    pub(super) concurrency: Option<u32>,
    pub(super) held: bool,
    pub(super) picks: u8,
    /// Kept by `Lanes`: the moment under which the lane stands in its alarm list.
    pub(super) alarm: Option<Instant>,
    /// Kept by `Lanes`: the turn under which the lane stands in the round.
    pub(super) turn: Option<Turn>,
}

impl Lane {
    pub(super) const fn new(key: LaneKey) -> Self {
        let jobs = Counts { waiting: 0, ready: 0, running: 0, held: 0 };
        Self { key, jobs, concurrency: None, held: false, picks: 0, alarm: None, turn: None }
    }

    pub(super) fn concurrency(&self, default: u32) -> u32 {
        self.concurrency.unwrap_or(default).max(1)
    }

    pub(super) fn can_run(&self, default: u32) -> bool {
        let slots = usize::try_from(self.concurrency(default)).unwrap_or(usize::MAX);
        !self.held && self.jobs.ready > 0 && self.jobs.running < slots
    }

    /// What the lane adds to the counts of the scheduler: in a held lane all that does not run is held.
    pub(super) const fn share(&self) -> Counts {
        let jobs = self.jobs;
        match self.held {
            false => jobs,
            true => Counts { waiting: 0, ready: 0, running: jobs.running, held: jobs.total() - jobs.running },
        }
    }

    /// Counts a pick and says whether it is one that prefers a retry.
    pub(super) const fn next_pick_prefers_retry(&mut self) -> bool {
        self.picks = (self.picks + 1) % RETRY_PICK_INTERVAL;
        self.picks == 0
    }

    pub(super) fn view(&self, default: u32) -> LaneView<'_> {
        LaneView {
            key: &self.key,
            waiting: self.jobs.waiting,
            ready: self.jobs.ready,
            running: self.jobs.running,
            held_jobs: self.jobs.held,
            next_due: self.alarm,
            concurrency: self.concurrency(default),
            held: self.held,
        }
    }
}
