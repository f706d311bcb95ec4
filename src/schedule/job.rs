//! What the scheduler knows of a job: a number, a destination, a flow, when it is due and how often it was tried.

use std::fmt;

use crate::model::time::Instant;

use super::lane::{LaneId, LaneKey};
use super::moment::Moment;
use super::waiting::Shelf;

/// One message for one destination, numbered by the caller. A number may be used again once its job has left; numbers
/// that stand close together cost the least memory.
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
    /// Whose message it is, as any number, such as a hash of client and sender. Flows of a lane take turns.
    pub flow: u32,
    pub due: Instant,
    /// Attempts that were made and failed; zero gives the job the right of way over retries.
    pub attempts: u32,
}

/// How a job is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Try it.
    Normal,
    /// Try it: how this ends tells whether its site, which was down, is back.
    Probe,
    /// Its site is down: do not connect, and conclude it as the last attempt at the site was. What is told of the site
    /// at the end is ignored.
    Down,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    pub end: End,
    pub signal: Signal,
    /// Any random number: spreads the moments at which sites are tried again.
    pub jitter: u64,
}

impl Finished {
    /// An end that tells nothing of the site.
    pub const fn untold(end: End) -> Self {
        Self { end, signal: Signal::Neutral, jitter: u64::MAX / 2 }
    }
}

/// What becomes of a job that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Delivered or given up: the job leaves.
    Done,
    /// Tried in vain: counts as an attempt.
    RetryAt(Instant),
    /// Not tried: the job takes its old place again and no attempt is counted.
    Released,
}

/// What a run showed of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It talked with us as it should, whatever it said of the message.
    Good,
    /// Somebody is there. What he said tells nothing of how many connections he bears.
    Answers,
    /// Nothing was learned, as nobody was asked.
    Neutral,
    /// Too many connections: 421, a 4xx that says so at greeting or MAIL, or a connection that was lost.
    Busy,
    /// No greeting: the connection timed out or was refused, at each host.
    Unreachable,
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

    /// Moves a job; `None` stands for outside.
    pub(super) const fn shift(&mut self, from: Option<Place>, to: Option<Place>) {
        if let Some(place) = from {
            let count = self.at(place);
            *count = count.saturating_sub(1);
        }
        if let Some(place) = to {
            *self.at(place) += 1;
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
    pub(super) attempts: u32,
    pub(super) stage: Stage,
    pub(super) flow: u32,
    pub(super) due: Moment,
    /// The number of its run while it runs.
    pub(super) run: u64,
}

/// The life of a job inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Waiting(Shelf),
    Ready,
    /// Out of the queue until it is released.
    Held,
    Running,
    /// Runs, and is held if it comes back.
    RunningToHold,
    /// Was removed while it ran: leaves however it ends.
    RunningToForget,
}

impl Stage {
    pub(super) const fn place(self) -> Place {
        match self {
            Self::Waiting(_) => Place::Waiting,
            Self::Ready => Place::Ready,
            Self::Held => Place::Held,
            Self::Running | Self::RunningToHold | Self::RunningToForget => Place::Running,
        }
    }
}
