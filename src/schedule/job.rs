//! What the scheduler knows of a job: a number, a destination, when it is due and how often it was tried.

use std::fmt;

use crate::model::time::Instant;

use super::lane::{LaneId, LaneKey};

/// One message for one destination, numbered by the caller. A number may be used again once its job has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A job as the caller hands it over, new or recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub lane: LaneKey,
    pub due: Instant,
    /// Attempts that were made and failed; zero gives the job the right of way over retries.
    pub attempts: u32,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Delivered or given up: the job leaves.
    Done,
    /// Tried in vain: counts as an attempt.
    RetryAt(Instant),
    /// Not tried: the job takes its old place again and no attempt is counted.
    Released,
}

/// Which waiting jobs an operator wants tried at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    Job(JobId),
    Lane(LaneKey),
    All,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    Waiting {
        due: Instant,
    },
    /// Due, and waits for its turn.
    Ready,
    Running,
    /// The job itself or its lane is held.
    Held,
}

/// A job as the scheduler sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView<'a> {
    pub state: JobState,
    pub attempts: u32,
    pub lane: &'a LaneKey,
}

/// How many jobs stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub waiting: usize,
    pub ready: usize,
    pub running: usize,
    pub held: usize,
}

impl Counts {
    pub const fn total(&self) -> usize {
        self.waiting + self.ready + self.running + self.held
    }

    /// Moves `jobs` jobs; `None` stands for outside.
    pub(super) const fn shift(&mut self, jobs: usize, from: Option<Place>, to: Option<Place>) {
        if let Some(place) = from {
            let count = self.at(place);
            *count = count.saturating_sub(jobs);
        }
        if let Some(place) = to {
            *self.at(place) += jobs;
        }
    }

    /// Replaces the share `before` of one lane by `after`.
    pub(super) const fn replace(&mut self, before: Self, after: Self) {
        self.waiting = self.waiting.saturating_sub(before.waiting) + after.waiting;
        self.ready = self.ready.saturating_sub(before.ready) + after.ready;
        self.running = self.running.saturating_sub(before.running) + after.running;
        self.held = self.held.saturating_sub(before.held) + after.held;
    }

    const fn at(&mut self, place: Place) -> &mut usize {
        match place {
            Place::Waiting => &mut self.waiting,
            Place::Ready => &mut self.ready,
            Place::Running => &mut self.running,
            Place::Held => &mut self.held,
        }
    }
}

/// In which count of its lane a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    Ready,
    Running,
    Held,
}

/// What the scheduler keeps of a job.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) lane: LaneId,
    pub(super) due: Instant,
    pub(super) attempts: u32,
    pub(super) stage: Stage,
}

impl Entry {
    pub(super) fn place(&self, now: Instant) -> Place {
        match self.stage {
            Stage::Queued if self.due <= now => Place::Ready,
            Stage::Queued => Place::Waiting,
            Stage::Held => Place::Held,
            Stage::Running | Stage::RunningToHold | Stage::RunningToForget => Place::Running,
        }
    }
}

/// The life of a job inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the queue, due or not.
    Queued,
    /// Out of the queue until it is released.
    Held,
    Running,
    /// Runs, and is held if it comes back.
    RunningToHold,
    /// Was removed while it ran: leaves however it ends.
    RunningToForget,
}
