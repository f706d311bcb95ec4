//! A lane: one destination with its own share of concurrency and its own rate.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::model::time::Instant;

use super::job::{Counts, Signal};
use super::moment::Moment;
use super::rate::Bucket;
use super::ready::Class;
use super::site::{Site, SiteId, SiteKey};
use super::waiting::Shelf;

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
    /// How many of its jobs may run at once by what was configured.
    pub cap: u32,
    /// How many may now: the cap, or what the site bears if that is less, which lanes of the site share.
    pub window: u32,
    /// The whole lane is held.
    pub held: bool,
    /// `None`: not told yet.
    pub site: Option<&'a SiteKey>,
    /// It has jobs that could run and waits for its rate until then.
    pub rate_wait: Option<Instant>,
    /// Its site refused a single connection and is left alone until then.
    pub rests_until: Option<Instant>,
    /// Its site is down, and is tried again then.
    pub down_until: Option<Instant>,
    /// Its site was down and is back: what waits is tried as the window lets, due or not.
    pub recovering: bool,
    /// The last of its site that told something.
    pub last_signal: Option<Signal>,
}

/// A lane by number. It is used again once the lane has left, and nothing names a lane that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(pub(super) u32);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: LaneKey,
    pub(super) site: SiteId,
    pub(super) jobs: Counts,
    /// Of those that run, how many do not connect as the site is down.
    pub(super) concluding: usize,
    /// `None`: the default of the scheduler.
    pub(super) concurrency: Option<u32>,
    pub(super) held: bool,
    pub(super) bucket: Option<Bucket>,
    picks: u8,
    /// The flow that was served last in each class.
    served: [u32; 2],
    /// The shelf for retries that come, and whether the other one may be served although nothing there is due.
    pub(super) shelf: Shelf,
    recovering: bool,
    /// The site was down once more before the other shelf was empty: this one is next.
    recovers_again: bool,
    /// Jobs that wait on each shelf.
    shelves: [usize; 3],
    pub(super) next_due: Option<Moment>,
    /// Kept by `Lanes`: the moment under which the lane stands in its alarm list.
    pub(super) alarm: Option<Moment>,
    /// Kept by `Turns`: the turn under which the lane stands in the round of its site.
    pub(super) turn: Option<u64>,
}

impl Lane {
    pub(super) const fn new(key: LaneKey, site: SiteId) -> Self {
        Self {
            key,
            site,
            jobs: Counts { waiting: 0, ready: 0, running: 0, held: 0 },
            concluding: 0,
            concurrency: None,
            held: false,
            bucket: None,
            picks: 0,
            served: [0, 0],
            shelf: Shelf::RetryA,
            recovering: false,
            recovers_again: false,
            shelves: [0, 0, 0],
            next_due: None,
            alarm: None,
            turn: None,
        }
    }

    pub(super) fn cap(&self, default: u32) -> u32 {
        self.concurrency.unwrap_or(default).max(1)
    }

    /// Runs that connect.
    pub(super) const fn used(&self) -> usize {
        self.jobs.running.saturating_sub(self.concluding)
    }

    /// Has a job that its turn would start, were it not for the rate.
    pub(super) fn has_job(&self, default: u32, site: &Site) -> bool {
        let slots = usize::try_from(self.cap(default)).unwrap_or(usize::MAX);
        let recovers = self.recovering_shelf().is_some() && site.is_up();
        !self.held && self.used() < slots && (self.jobs.ready > 0 || recovers)
    }

    /// The moment that its rate makes it wait for.
    pub(super) fn rate_wait(&self, now: Moment) -> Option<Moment> {
        self.bucket.as_ref().map(Bucket::ready_at).filter(|at| *at > now)
    }

    /// Nothing is left of it, not even in its bucket.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        self.is_empty() && self.bucket.as_ref().is_none_or(|bucket| bucket.full_at() <= now)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.jobs.total() == 0 && !self.held
    }

    /// When something changes by itself.
    pub(super) fn next_alarm(&self, now: Moment, default: u32, site: &Site) -> Option<Moment> {
        if self.is_empty() {
            return self.bucket.as_ref().map(Bucket::full_at);
        }
        let rate = self.rate_wait(now).filter(|_| self.has_job(default, site));
        [self.next_due, rate].into_iter().flatten().min()
    }

    /// What the lane adds to the counts of the scheduler: in a held lane all that does not run is held.
    pub(super) const fn share(&self) -> Counts {
        let jobs = self.jobs;
        match self.held {
            false => jobs,
            true => Counts { waiting: 0, ready: 0, running: jobs.running, held: jobs.total() - jobs.running },
        }
    }

    /// Counts a pick and says which class it prefers.
    pub(super) const fn next_pick(&mut self) -> Class {
        self.picks = (self.picks + 1) % RETRY_PICK_INTERVAL;
        if self.picks == 0 { Class::Retry } else { Class::First }
    }

    pub(super) const fn served(&mut self, class: Class) -> &mut u32 {
        let [first, retry] = &mut self.served;
        match class {
            Class::First => first,
            Class::Retry => retry,
        }
    }

    /// The shelf of jobs that are to be served although they are not due.
    pub(super) fn recovering_shelf(&self) -> Option<Shelf> {
        self.recovering.then(|| self.shelf.other())
    }

    pub(super) const fn is_recovering(&self) -> bool {
        self.recovering
    }

    /// The site is back: what waits now is served as if it were due, and what fails from now on is not.
    pub(super) const fn recover(&mut self) {
        if *self.on_shelf(self.shelf.other()) == 0 {
            self.shelf = self.shelf.other();
        } else {
            self.recovers_again = true;
        }
        self.recovering = *self.on_shelf(self.shelf.other()) > 0;
    }

    /// The site is down again.
    pub(super) const fn stop_recovering(&mut self) {
        (self.recovering, self.recovers_again) = (false, false);
    }

    /// Counts a job that comes to a shelf.
    pub(super) fn put(&mut self, shelf: Shelf, due: Moment) {
        *self.on_shelf(shelf) += 1;
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }

    /// Counts a job that leaves a shelf. The caller says anew when the next is due.
    pub(super) const fn take(&mut self, shelf: Shelf) {
        let left = self.on_shelf(shelf);
        *left = left.saturating_sub(1);
        if self.recovering && *self.on_shelf(self.shelf.other()) == 0 {
            self.recovering = false;
            if std::mem::replace(&mut self.recovers_again, false) {
                self.recover();
            }
        }
    }

    pub(super) const fn shelves(&self) -> [usize; 3] {
        self.shelves
    }

    const fn on_shelf(&mut self, shelf: Shelf) -> &mut usize {
        let [first, a, b] = &mut self.shelves;
        match shelf {
            Shelf::First => first,
            Shelf::RetryA => a,
            Shelf::RetryB => b,
        }
    }
}
