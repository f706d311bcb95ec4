//! What the operator, the configuration and the driver change beside the way of a job.

use crate::model::rate::Rate;
use crate::model::time::Instant;

use super::{LANES_HELD_MAX, RenameError, Scheduler, TooManyHolds};
use crate::schedule::job::{JobId, Place, Selection, Stage};
use crate::schedule::lane::{Lane, LaneId, LaneKey};
use crate::schedule::limits::Limits;
use crate::schedule::rate::Bucket;
use crate::schedule::site::{SiteId, SiteKey};

impl Scheduler {
    /// Forgets a job; a running one when it finishes, however it ends. False if there is no such job.
    pub fn remove(&mut self, id: JobId) -> bool {
        match self.jobs.get(id).map(|entry| (entry.stage, entry.lane)) {
            None | Some((Stage::RunningToForget, _)) => false,
            Some((Stage::Running | Stage::RunningToHold, _)) => self.mark(id, Stage::RunningToForget),
            Some((Stage::Waiting(_) | Stage::Ready | Stage::Held, lane)) => {
                let place = self.unqueue(id);
                self.jobs.remove(id);
                self.shift(lane, place, None);
                true
            }
        }
    }

    /// Makes waiting jobs due now and says how many there were. Jobs that are held one by one stay as they are. A site
    /// of theirs that is down is probed next, and one that rests goes on.
    /// Costs O(log n) for each job that waits in the selection, and for each lane of it.
    pub fn retry_now(&mut self, now: Instant, selection: Selection) -> usize {
        self.advance(now);
        let (jobs, lanes) = match selection {
            Selection::Job(id) => match self.jobs.get(id).map(|entry| (entry.stage.place(), entry.lane)) {
                Some((Place::Waiting, lane)) => (vec![id], vec![lane]),
                Some((_, lane)) => (Vec::new(), vec![lane]),
                None => return 0,
            },
            Selection::Lane(key) => match self.lanes.find(&key) {
                Some(lane) => (self.waiting.all(lane), vec![lane]),
                None => return 0,
            },
            Selection::All => return self.lanes.ids().into_iter().map(|lane| self.retry_lane(lane)).sum(),
        };
        self.retry(&jobs, &lanes)
    }

    /// Moves a job to another lane, with its due moment and attempts. A running one cannot be moved.
    pub fn rename_lane(&mut self, id: JobId, key: &LaneKey) -> Result<(), RenameError> {
        let (stage, old) = self.jobs.get(id).map(|entry| (entry.stage, entry.lane)).ok_or(RenameError::Unknown)?;
        match stage {
            Stage::RunningToForget => return Err(RenameError::Unknown),
            Stage::Running | Stage::RunningToHold => return Err(RenameError::Running),
            Stage::Waiting(_) | Stage::Ready | Stage::Held => {}
        }
        let new = self.open_lane(key);
        let place = self.unqueue(id);
        if let Some(entry) = self.jobs.get_mut(id) {
            entry.lane = new;
        }
        // In this order, so that a lane that is both old and new is not dropped in between.
        match stage {
            Stage::Held => self.shift(new, None, place),
            _ => self.queue(id, None),
        }
        self.shift(old, place, None);
        Ok(())
    }

    /// New limits after a reload; what runs already goes on. Costs O(log n) for each lane and site.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        for lane in self.lanes.ids() {
            self.settle(lane);
        }
    }

    /// Gives a lane a cap of its own for as long as it has jobs. False if it has none: add the job first.
    pub fn set_lane_concurrency(&mut self, key: &LaneKey, max: u32) -> bool {
        self.set(key, |lane| lane.concurrency = Some(max))
    }

    /// Gives a lane a rate for as long as it has jobs, or none. What it has sent counts against the new one. False if
    /// it has no jobs: add the job first.
    pub fn set_rate(&mut self, key: &LaneKey, rate: Option<Rate>) -> bool {
        self.set(key, |lane| {
            lane.bucket = rate.map(|rate| match lane.bucket {
                Some(bucket) => bucket.with_rate(rate),
                None => Bucket::new(rate),
            });
        })
    }

    /// Says which site serves a lane for as long as it has jobs; what it runs counts there from now on. False if it
    /// has none: add the job first.
    ///
    /// A site that nobody named before takes over what was learned of the lane alone.
    pub fn set_site(&mut self, key: &LaneKey, site: &SiteKey) -> bool {
        let Some((id, old)) = self.lanes.find(key).and_then(|id| Some((id, self.lanes.get(id)?.site))) else {
            return false;
        };
        let nameless = self.sites.get(old).is_some_and(|site| site.key.is_none());
        match self.sites.find(site) {
            Some(new) if new == old => {}
            Some(new) => self.move_lane(id, old, new),
            None if nameless => self.sites.name(old, site),
            None => {
                let new = self.sites.insert_named(site, self.limits.initial_concurrency);
                self.move_lane(id, old, new);
            }
        }
        true
    }

    /// Starts nothing in this lane until it is released, also if it has no jobs yet. What runs goes on.
    pub fn hold_lane(&mut self, key: &LaneKey) -> Result<(), TooManyHolds> {
        let held = self.lanes.find(key).and_then(|lane| self.lanes.get(lane)).is_some_and(|lane| lane.held);
        if !held && self.lanes.lanes_held() >= LANES_HELD_MAX {
            return Err(TooManyHolds);
        }
        let lane = self.open_lane(key);
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
        match self.jobs.get(id).map(|entry| entry.stage) {
            None | Some(Stage::RunningToForget) => false,
            Some(Stage::Held | Stage::RunningToHold) => true,
            Some(Stage::Running) => self.mark(id, Stage::RunningToHold),
            Some(Stage::Waiting(_) | Stage::Ready) => {
                let place = self.unqueue(id);
                self.place(id, Stage::Held, place);
                true
            }
        }
    }

    /// Lets a held job take its old place again. False if it was not held.
    pub fn release_job(&mut self, id: JobId) -> bool {
        match self.jobs.get(id).map(|entry| entry.stage) {
            Some(Stage::RunningToHold) => self.mark(id, Stage::Running),
            Some(Stage::Held) => {
                self.queue(id, Some(Place::Held));
                true
            }
            _ => false,
        }
    }

    /// Changes what becomes of a running job when it comes back.
    fn mark(&mut self, id: JobId, stage: Stage) -> bool {
        if let Some(entry) = self.jobs.get_mut(id) {
            entry.stage = stage;
        }
        true
    }

    fn set(&mut self, key: &LaneKey, change: impl FnOnce(&mut Lane)) -> bool {
        let Some(id) = self.lanes.find(key) else { return false };
        self.lanes.change(id, change);
        self.settle(id);
        true
    }

    fn set_lane_held(&mut self, lane: LaneId, held: bool) {
        self.lanes.change(lane, |lane| lane.held = held);
        self.settle(lane);
    }

    fn retry_lane(&mut self, lane: LaneId) -> usize {
        let jobs = self.waiting.all(lane);
        self.retry(&jobs, &[lane])
    }

    fn retry(&mut self, jobs: &[JobId], lanes: &[LaneId]) -> usize {
        for job in jobs {
            self.make_due(*job);
        }
        for lane in lanes {
            let Some(site) = self.lanes.get(*lane).map(|lane| lane.site) else { continue };
            if let Some(known) = self.sites.get_mut(site) {
                known.hurry(self.now);
            }
            self.prepare_probe(site);
            self.settle_site(site);
        }
        jobs.len()
    }

    fn move_lane(&mut self, id: LaneId, old: SiteId, new: SiteId) {
        let (Some(lane), Some(site)) = (self.lanes.get_mut(id), self.sites.get_mut(old)) else { return };
        let used = u32::try_from(lane.used()).unwrap_or(u32::MAX);
        site.lose(self.now, id, used);
        self.turns.settle_lane(site, id, lane, false);
        lane.site = new;
        if let Some(site) = self.sites.get_mut(new) {
            site.used = site.used.saturating_add(used);
        }
        self.part_site(old, id);
        self.sites.join(new, id);
        self.settle(id);
        self.prepare_probe(new);
        self.settle_site(new);
    }
}
