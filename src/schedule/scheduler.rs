//! The scheduler: jobs in, the next job to run or the moment to wake up out.
//!
//! Lanes that have a due job and a free slot take turns, one job a turn. Inside a lane first attempts go before
//! retries, each by due moment, and every fourth pick prefers a retry. A lane at its cap waits for itself alone.
//!
//! Costs: each operation O(log n) in jobs and lanes, but for those that say otherwise; a job costs `poll` a constant
//! more once, when it falls due. The number of jobs is bounded by the caller: what the spool holds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;

use crate::model::time::Instant;

use super::job::{Counts, End, Entry, Job, JobId, JobState, JobView, Place, Selection, Stage};
use super::lane::{LaneId, LaneKey, LaneView};
use super::lanes::Lanes;
use super::queue::{Class, Queue, Slot};

/// Lanes that may be held at once. A held lane stays in memory without a job.
pub const LANES_HELD_MAX: usize = 10_000;

/// What a queued job may occupy, in nodes of B-trees that are half full at worst.
const JOB_BYTES_MAX: usize = 150;
const _: () = assert!(2 * (size_of::<JobId>() + size_of::<Entry>() + size_of::<Slot>()) <= JOB_BYTES_MAX);

/// How many jobs may run at once. Zero counts as one: to stop a lane, hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In a lane of which nothing else was said.
    pub lane_concurrency: u32,
    /// In all lanes together.
    pub total_concurrency: u32,
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run this job. It counts against its lane and the total until `handle_finished`.
    Run(JobId, LaneKey),
    /// Nothing runs before this moment unless something else happens. Always later than the `now` of the question.
    WaitUntil(Instant),
    /// Nothing runs until something happens: a job is added or finishes, or an operator acts.
    Idle,
}

/// The number belongs to a job that has not left. The caller's fault; the job in place is unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("job {0} is scheduled already")]
pub struct Duplicate(pub JobId);

/// Why a job keeps its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenameError {
    #[error("no such job")]
    Unknown,
    /// It counts against the old lane. Try again when it has finished, or tell that it was released.
    #[error("the job is running")]
    Running,
}

/// Too many lanes are held. The operator's to solve: release some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{LANES_HELD_MAX} lanes are held already")]
pub struct TooManyHolds;

#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    /// The latest moment that was told. A caller with an earlier one does not turn time back.
    now: Instant,
    jobs: BTreeMap<JobId, Entry>,
    queue: Queue,
    lanes: Lanes,
}

impl Scheduler {
    pub fn new(limits: Limits) -> Self {
        let lanes = Lanes::new(limits.lane_concurrency);
        Self { limits, now: Instant::ZERO, jobs: BTreeMap::new(), queue: Queue::default(), lanes }
    }

    /// Takes a job, new or recovered.
    pub fn add(&mut self, now: Instant, job: Job) -> Result<(), Duplicate> {
        self.advance(now);
        let MapEntry::Vacant(vacant) = self.jobs.entry(job.id) else {
            return Err(Duplicate(job.id));
        };
        let lane = self.lanes.open(&job.lane);
        let entry = Entry { lane, due: job.due, attempts: job.attempts, stage: Stage::Queued };
        self.queue.insert(job.id, &entry);
        let place = entry.place(self.now);
        vacant.insert(entry);
        self.shift(lane, 1, None, Some(place));
        Ok(())
    }

    /// The next job to run, or how long nothing is to do.
    pub fn poll(&mut self, now: Instant) -> Next {
        self.advance(now);
        let slots = usize::try_from(self.limits.total_concurrency.max(1)).unwrap_or(usize::MAX);
        if self.lanes.counts().running >= slots {
            return Next::Idle;
        }
        if let Some(run) = self.lanes.take_turn().and_then(|lane| self.start(lane)) {
            return run;
        }
        self.lanes.next_alarm().map_or(Next::Idle, Next::WaitUntil)
    }

    /// Ends a run. False if the job was not running; then nothing changes.
    pub fn handle_finished(&mut self, now: Instant, id: JobId, end: End) -> bool {
        self.advance(now);
        let Some(entry) = self.jobs.get_mut(&id) else { return false };
        let stays = match (entry.stage, end) {
            (Stage::Queued | Stage::Held, _) => return false,
            (Stage::RunningToForget, _) | (_, End::Done) => None,
            (Stage::RunningToHold, _) => Some(Stage::Held),
            (Stage::Running, _) => Some(Stage::Queued),
        };
        let lane = entry.lane;
        let Some(stage) = stays else {
            self.jobs.remove(&id);
            self.shift(lane, 1, Some(Place::Running), None);
            return true;
        };
        entry.stage = stage;
        if let End::RetryAt(due) = end {
            entry.due = due;
            entry.attempts = entry.attempts.saturating_add(1);
        }
        if stage == Stage::Queued {
            self.queue.insert(id, entry);
        }
        let place = entry.place(self.now);
        self.shift(lane, 1, Some(Place::Running), Some(place));
        true
    }

    /// Forgets a job; a running one when it finishes, however it ends. False if there is no such job.
    pub fn remove(&mut self, id: JobId) -> bool {
        let Some(entry) = self.jobs.get_mut(&id) else { return false };
        let (lane, place) = (entry.lane, entry.place(self.now));
        match entry.stage {
            Stage::RunningToForget => return false,
            Stage::Running | Stage::RunningToHold => {
                entry.stage = Stage::RunningToForget;
                return true;
            }
            Stage::Queued => self.queue.remove(id, entry),
            Stage::Held => {}
        }
        self.jobs.remove(&id);
        self.shift(lane, 1, Some(place), None);
        true
    }

    /// Makes waiting jobs due now and says how many there were. Jobs that are held one by one stay as they are.
    /// Costs O(log n) for each job that waits in the selection.
    pub fn retry_now(&mut self, now: Instant, selection: Selection) -> usize {
        self.advance(now);
        match selection {
            Selection::Job(id) => self.make_due(&[id]),
            Selection::Lane(key) => self.lanes.find(&key).map_or(0, |lane| self.make_lane_due(lane)),
            Selection::All => self.lanes.ids().into_iter().map(|lane| self.make_lane_due(lane)).sum(),
        }
    }

    /// Moves a job to another lane, with its due moment and attempts. A running one cannot be moved.
    pub fn rename_lane(&mut self, id: JobId, key: &LaneKey) -> Result<(), RenameError> {
        let entry = self.jobs.get_mut(&id).ok_or(RenameError::Unknown)?;
        let place = match entry.stage {
            Stage::RunningToForget => return Err(RenameError::Unknown),
            Stage::Running | Stage::RunningToHold => return Err(RenameError::Running),
            Stage::Queued | Stage::Held => entry.place(self.now),
        };
        let (old, new) = (entry.lane, self.lanes.open(key));
        if entry.stage == Stage::Queued {
            self.queue.remove(id, entry);
            entry.lane = new;
            self.queue.insert(id, entry);
        }
        entry.lane = new;
        // In this order, so that a lane that is both old and new is not dropped in between.
        self.shift(new, 1, None, Some(place));
        self.shift(old, 1, Some(place), None);
        Ok(())
    }

    fn start(&mut self, lane: LaneId) -> Option<Next> {
        let prefers_retry = self.lanes.change(lane, |lane| lane.next_pick_prefers_retry())?;
        let preferred = if prefers_retry { Class::Retry } else { Class::First };
        let id = self.queue.next_ready(lane, preferred, self.now)?;
        let entry = self.jobs.get_mut(&id)?;
        self.queue.remove(id, entry);
        entry.stage = Stage::Running;
        let key = self.lanes.get(lane)?.key.clone();
        self.shift(lane, 1, Some(Place::Ready), Some(Place::Running));
        Some(Next::Run(id, key))
    }

    fn make_lane_due(&mut self, lane: LaneId) -> usize {
        self.make_due(&self.queue.waiting_jobs(lane, self.now))
    }

    fn make_due(&mut self, ids: &[JobId]) -> usize {
        let mut jobs = 0;
        for id in ids {
            let Some(entry) = self.jobs.get_mut(id) else { continue };
            if entry.place(self.now) != Place::Waiting {
                continue;
            }
            self.queue.remove(*id, entry);
            entry.due = self.now;
            self.queue.insert(*id, entry);
            let lane = entry.lane;
            self.shift(lane, 1, Some(Place::Waiting), Some(Place::Ready));
            jobs += 1;
        }
        jobs
    }

    /// Moves the time on: what has fallen due since is counted as ready.
    fn advance(&mut self, now: Instant) {
        if now <= self.now {
            return;
        }
        let before = std::mem::replace(&mut self.now, now);
        while let Some(lane) = self.lanes.take_alarm(now) {
            let jobs = self.queue.fallen_due(lane, before, now);
            self.shift(lane, jobs, Some(Place::Waiting), Some(Place::Ready));
        }
    }

    fn shift(&mut self, lane: LaneId, jobs: usize, from: Option<Place>, to: Option<Place>) {
        self.lanes.change(lane, |lane| lane.jobs.shift(jobs, from, to));
        self.settle(lane);
    }

    fn settle(&mut self, lane: LaneId) {
        let waits = self.lanes.get(lane).is_some_and(|lane| lane.jobs.waiting > 0);
        let next_due = if waits { self.queue.next_due(lane, self.now) } else { None };
        self.lanes.settle(lane, next_due);
    }
}

/// What the operator and the configuration change.
impl Scheduler {
    /// New limits after a reload; what runs already goes on. Costs O(log n) for each lane.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.lanes.set_concurrency_default(limits.lane_concurrency);
        for lane in self.lanes.ids() {
            self.settle(lane);
        }
    }

    /// Gives a lane a cap of its own for as long as it has jobs. False if it has none: add the job first.
    pub fn set_lane_concurrency(&mut self, key: &LaneKey, max: u32) -> bool {
        let Some(lane) = self.lanes.find(key) else { return false };
        self.lanes.change(lane, |lane| lane.concurrency = Some(max));
        self.settle(lane);
        true
    }

    /// Starts nothing in this lane until it is released, also if it has no jobs yet. What runs goes on.
    pub fn hold_lane(&mut self, key: &LaneKey) -> Result<(), TooManyHolds> {
        let held = self.lanes.find(key).and_then(|lane| self.lanes.get(lane)).is_some_and(|lane| lane.held);
        if !held && self.lanes.lanes_held() >= LANES_HELD_MAX {
            return Err(TooManyHolds);
        }
        let lane = self.lanes.open(key);
        self.set_lane_held(lane, true);
        Ok(())
    }

    /// False if the lane was not held.
    pub fn release_lane(&mut self, key: &LaneKey) -> bool {
        let Some(lane) = self.lanes.find(key) else { return false };
        let was_held = self.lanes.get(lane).is_some_and(|lane| lane.held);
        self.set_lane_held(lane, false);
        was_held
    }

    /// Keeps a job from running until it is released; a running one if it comes back. False if there is no such job.
    pub fn hold_job(&mut self, id: JobId) -> bool {
        let Some(entry) = self.jobs.get_mut(&id) else { return false };
        let (lane, place) = (entry.lane, entry.place(self.now));
        match entry.stage {
            Stage::RunningToForget => false,
            Stage::Held | Stage::RunningToHold => true,
            Stage::Running => {
                entry.stage = Stage::RunningToHold;
                true
            }
            Stage::Queued => {
                self.queue.remove(id, entry);
                entry.stage = Stage::Held;
                self.shift(lane, 1, Some(place), Some(Place::Held));
                true
            }
        }
    }

    /// Lets a held job take its old place again. False if it was not held.
    pub fn release_job(&mut self, id: JobId) -> bool {
        let Some(entry) = self.jobs.get_mut(&id) else { return false };
        match entry.stage {
            Stage::Queued | Stage::Running | Stage::RunningToForget => false,
            Stage::RunningToHold => {
                entry.stage = Stage::Running;
                true
            }
            Stage::Held => {
                entry.stage = Stage::Queued;
                self.queue.insert(id, entry);
                let (lane, place) = (entry.lane, entry.place(self.now));
                self.shift(lane, 1, Some(Place::Held), Some(place));
                true
            }
        }
    }

    fn set_lane_held(&mut self, lane: LaneId, held: bool) {
        self.lanes.change(lane, |lane| lane.held = held);
        self.settle(lane);
    }
}

/// What can be seen. All of it is as of the latest moment that was told.
impl Scheduler {
    /// All lanes by name. A lane without jobs is here only while it is held.
    pub fn lanes(&self) -> impl Iterator<Item = LaneView<'_>> {
        self.lanes.views()
    }

    /// One job; `None` also for one that was removed while it ran.
    pub fn job(&self, id: JobId) -> Option<JobView<'_>> {
        let entry = self.jobs.get(&id).filter(|entry| entry.stage != Stage::RunningToForget)?;
        let lane = self.lanes.get(entry.lane)?;
        let state = match entry.place(self.now) {
            Place::Running => JobState::Running,
            Place::Held => JobState::Held,
            Place::Waiting | Place::Ready if lane.held => JobState::Held,
            Place::Waiting => JobState::Waiting { due: entry.due },
            Place::Ready => JobState::Ready,
        };
        Some(JobView { state, attempts: entry.attempts, lane: &lane.key })
    }

    /// All jobs by state. One that was removed while it runs still counts as running.
    pub fn counts(&self) -> Counts {
        self.lanes.counts()
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
