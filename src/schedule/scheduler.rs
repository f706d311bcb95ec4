//! The scheduler: jobs in, the next job to run or the moment to wake up out.
//!
//! Laws, each with a test:
//! 1. A job runs at most once at a time, and leaves only by `Done` or `remove`.
//! 2. No more runs connect than the cap of their lane, the window of their site and the total allow. Runs that hang are
//!    taken out of the total, up to a bound of their own.
//! 3. Sites that may run a job take turns, one job a turn, and so do the lanes of a site. Whoever is at a bound, rests,
//!    is down or waits for its rate keeps nobody else from running.
//! 4. Inside a lane first attempts go before retries, and every fourth pick prefers a retry. Inside a class flows take
//!    turns, and inside a flow the job that is due longest is next.
//! 5. Jobs of a site that is down are handed out to be concluded, a bounded number at once and in turn with all others.
//!    At the moment of its probe one job is tried. While it runs, the rest wait for what comes of it.
//! 6. When a site is back, what waited there for another try is served as the window lets, due or not, each job once.
//!
//! Costs: each operation O(log n) in jobs, lanes and sites, but for those that say otherwise. A job costs `poll` as
//! much once, when it falls due, and a site for each of its lanes when it goes down or comes back. The number of jobs
//! is bounded by the caller: what the spool holds.

use crate::model::time::Instant;

pub use super::limits::Limits;

use super::job::{End, Entry, Finished, Job, JobId, Pass, Place, Stage};
use super::lane::{LaneId, LaneKey};
use super::lanes::Lanes;
use super::moment::Moment;
use super::pages::Pages;
use super::ready::{self, Class, Ready};
use super::runs::Runs;
use super::site::{Change, Sign, SiteId, Way};
use super::sites::Sites;
use super::turns::Turns;
use super::waiting::{self, Waiting};

/// Lanes that may be held at once. A held lane stays in memory without a job.
pub const LANES_HELD_MAX: usize = 10_000;

/// What a job may occupy: its entry, and a place in a B-tree that is half full at worst.
const JOB_BYTES_MAX: usize = 110;
const PLACE_BYTES: usize = if size_of::<ready::Slot>() > size_of::<waiting::Slot>() {
    size_of::<ready::Slot>()
} else {
    size_of::<waiting::Slot>()
};
const _: () = assert!(size_of::<Option<Entry>>() + 2 * PLACE_BYTES <= JOB_BYTES_MAX);

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run this job as `pass` says. It counts against its bounds until `handle_finished`.
    Run { job: JobId, lane: LaneKey, pass: Pass },
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
    now: Moment,
    jobs: Pages,
    ready: Ready,
    waiting: Waiting,
    lanes: Lanes,
    sites: Sites,
    turns: Turns,
    runs: Runs,
    /// The last job that was handed out was one to be concluded: the other kind is next.
    concluded_last: bool,
}

impl Scheduler {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            now: Moment(0),
            jobs: Pages::default(),
            ready: Ready::default(),
            waiting: Waiting::default(),
            lanes: Lanes::new(),
            sites: Sites::new(),
            turns: Turns::default(),
            runs: Runs::default(),
            concluded_last: false,
        }
    }

    /// Takes a job, new or recovered.
    pub fn add(&mut self, now: Instant, job: Job) -> Result<(), Duplicate> {
        self.advance(now);
        if self.jobs.get(job.id).is_some() {
            return Err(Duplicate(job.id));
        }
        let (lane, due) = (self.open_lane(&job.lane), job.due.into());
        let entry = Entry { lane, attempts: job.attempts, stage: Stage::Held, flow: job.flow, due, run: 0 };
        self.jobs.insert(job.id, entry);
        self.queue(job.id, None);
        Ok(())
    }

    /// The next job to run, or how long nothing is to do.
    pub fn poll(&mut self, now: Instant) -> Next {
        self.advance(now);
        let ways = if self.concluded_last { [Way::Connect, Way::Conclude] } else { [Way::Conclude, Way::Connect] };
        for way in ways {
            let may = match way {
                Way::Connect => self.runs.has_slot(&self.limits),
                Way::Conclude => self.runs.has_down_slot(),
            };
            let next = if may { self.turns.next_site(way) } else { None };
            if let Some(run) = next.and_then(|site| self.start(site)) {
                self.concluded_last = way == Way::Conclude;
                return run;
            }
        }
        let wants_slot = self.turns.next_site(Way::Connect).is_some();
        let aging = if wants_slot { self.runs.next_aging(&self.limits) } else { None };
        let wake = [self.lanes.next_alarm(), self.sites.next_alarm(), aging].into_iter().flatten().min();
        wake.map_or(Next::Idle, |at| Next::WaitUntil(at.instant()))
    }

    /// Ends a run. False if the job was not running; then nothing changes.
    pub fn handle_finished(&mut self, now: Instant, id: JobId, finished: Finished) -> bool {
        self.advance(now);
        let Some(entry) = self.jobs.get(id) else { return false };
        let stage = entry.stage;
        if stage.place() != Place::Running {
            return false;
        }
        let (lane, run) = (entry.lane, entry.run);
        self.end_run(lane, run, &finished);
        if stage == Stage::RunningToForget || finished.end == End::Done {
            self.jobs.remove(id);
            self.shift(lane, Some(Place::Running), None);
            return true;
        }
        if let Some(entry) = self.jobs.get_mut(id)
            && let End::RetryAt(due) = finished.end
        {
            entry.due = due.into();
            entry.attempts = entry.attempts.saturating_add(1);
        }
        match stage {
            Stage::RunningToHold => self.place(id, Stage::Held, Some(Place::Running)),
            _ => self.queue(id, Some(Place::Running)),
        }
        true
    }

    /// Starts the job whose turn it is in the site.
    fn start(&mut self, site_id: SiteId) -> Option<Next> {
        let lane_id = self.turns.next_lane(site_id)?;
        let site = self.sites.get_mut(site_id)?;
        let lane = self.lanes.get_mut(lane_id)?;
        self.turns.settle_lane(site, lane_id, lane, false);
        self.turns.settle_site(site_id, site, None);
        let pass = site.pass();
        let started = self.choose(lane_id).and_then(|id| self.run(id, pass));
        if started.is_none() {
            self.settle(lane_id);
        }
        started
    }

    /// The job of the lane that is next, by class, flow and due moment.
    fn choose(&mut self, lane_id: LaneId) -> Option<JobId> {
        let lane = self.lanes.get_mut(lane_id)?;
        let preferred = lane.next_pick();
        for class in [preferred, preferred.other()] {
            let served = lane.served(class);
            if let Some(turn) = self.ready.next(lane_id, class, *served) {
                *served = turn.flow;
                return Some(turn.job);
            }
            if class == Class::Retry
                && self.sites.get(lane.site).is_some_and(|site| site.is_up())
                && let Some(shelf) = lane.recovering_shelf()
                && let Some((_, job)) = self.waiting.first(lane_id, shelf)
            {
                return Some(job);
            }
        }
        None
    }

    fn run(&mut self, id: JobId, pass: Pass) -> Option<Next> {
        let before = self.unqueue(id)?;
        let run = self.runs.begin(self.now, pass);
        let entry = self.jobs.get_mut(id)?;
        (entry.stage, entry.run) = (Stage::Running, run);
        let lane_id = entry.lane;
        let lane = self.lanes.get_mut(lane_id)?;
        if pass == Pass::Down {
            lane.concluding += 1;
        } else {
            if let Some(bucket) = &mut lane.bucket {
                bucket.take(self.now);
            }
            self.sites.get_mut(lane.site)?.begin(run, lane_id);
        }
        let next = Next::Run { job: id, lane: lane.key.clone(), pass };
        self.shift(lane_id, Some(before), Some(Place::Running));
        Some(next)
    }

    /// Frees what the run used, and tells the site how it ended.
    fn end_run(&mut self, lane_id: LaneId, number: u64, finished: &Finished) {
        let (Some(run), Some(lane)) = (self.runs.end(number), self.lanes.get_mut(lane_id)) else { return };
        if run.pass == Pass::Down {
            lane.concluding = lane.concluding.saturating_sub(1);
            return;
        }
        let site_id = lane.site;
        let Some(site) = self.sites.get_mut(site_id) else { return };
        let Finished { signal, jitter, .. } = *finished;
        let sign = Sign { now: self.now, run: number, last_run: self.runs.last(), signal, jitter };
        let change = site.end(sign, &self.limits);
        if change != Change::Nothing {
            for lane_id in self.sites.lanes(site_id) {
                if let Some(lane) = self.lanes.get_mut(lane_id) {
                    if change == Change::CameUp { lane.recover() } else { lane.stop_recovering() }
                }
                self.settle(lane_id);
            }
        }
        // It may want a probe at once.
        self.prepare_probe(site_id);
    }

    /// Moves the time on: what has fallen due since is ready.
    fn advance(&mut self, now: Instant) {
        let now = Moment::from(now);
        if now <= self.now {
            return;
        }
        self.now = now;
        self.runs.age(now);
        while let Some(lane) = self.lanes.take_alarm(now) {
            self.fall_due(lane);
            self.settle(lane);
        }
        while let Some(site) = self.sites.take_alarm(now) {
            self.prepare_probe(site);
            self.settle_site(site);
        }
        self.sites.forget(now);
    }

    /// If the site is to be probed and nothing there is due, what is due soonest is due now.
    fn prepare_probe(&mut self, site: SiteId) {
        if !self.sites.get_mut(site).is_some_and(|site| site.wants_probe(self.now)) {
            return;
        }
        let lanes = self.sites.lanes(site).into_iter();
        let open = lanes.filter(|lane| self.lanes.get(*lane).is_some_and(|lane| !lane.held));
        if let Some((_, id)) = open.filter_map(|lane| self.soonest(lane)).min() {
            self.make_due(id);
        }
    }
}

/// Where jobs, lanes and sites stand.
impl Scheduler {
    /// Puts a job among those that are ready or those that wait, as its due moment says.
    fn queue(&mut self, id: JobId, from: Option<Place>) {
        let Some(entry) = self.jobs.get_mut(id) else { return };
        let Some(lane) = self.lanes.get_mut(entry.lane) else { return };
        let stage = if entry.due <= self.now {
            self.ready.insert(ready_slot(entry, id));
            Stage::Ready
        } else {
            let shelf = if entry.attempts == 0 { waiting::Shelf::First } else { lane.shelf };
            self.waiting.insert(entry.lane, shelf, entry.due, id);
            lane.put(shelf, entry.due);
            Stage::Waiting(shelf)
        };
        self.place(id, stage, from);
    }

    /// Takes a job out of its queue, and says in which it was. The caller says where it stands from then on.
    fn unqueue(&mut self, id: JobId) -> Option<Place> {
        let entry = self.jobs.get(id)?;
        match entry.stage {
            Stage::Ready => self.ready.remove(&ready_slot(entry, id)),
            Stage::Waiting(shelf) => {
                self.waiting.remove(entry.lane, shelf, entry.due, id);
                let lane = self.lanes.get_mut(entry.lane)?;
                lane.take(shelf);
                if lane.next_due == Some(entry.due) {
                    lane.next_due = self.waiting.soonest(entry.lane, lane.shelves()).map(|(due, _)| due);
                }
            }
            Stage::Held | Stage::Running | Stage::RunningToHold | Stage::RunningToForget => {}
        }
        Some(entry.stage.place())
    }

    /// Makes those jobs of the lane ready that have fallen due.
    fn fall_due(&mut self, lane_id: LaneId) {
        let next_due = loop {
            let next = self.soonest(lane_id);
            let Some((_, id)) = next.filter(|(due, _)| *due <= self.now) else { break next };
            let Some(entry) = self.jobs.get_mut(id) else { return };
            let Stage::Waiting(shelf) = entry.stage else { return };
            self.waiting.remove(lane_id, shelf, entry.due, id);
            entry.stage = Stage::Ready;
            self.ready.insert(ready_slot(entry, id));
            self.lanes.change(lane_id, |lane| {
                lane.take(shelf);
                lane.jobs.shift(Some(Place::Waiting), Some(Place::Ready));
            });
        };
        if let Some(lane) = self.lanes.get_mut(lane_id) {
            lane.next_due = next_due.map(|(due, _)| due);
        }
    }

    /// The job of the lane that waits and is due soonest.
    fn soonest(&self, lane: LaneId) -> Option<(Moment, JobId)> {
        self.waiting.soonest(lane, self.lanes.get(lane)?.shelves())
    }

    fn make_due(&mut self, id: JobId) {
        let from = self.unqueue(id);
        if let Some(entry) = self.jobs.get_mut(id) {
            entry.due = self.now;
        }
        self.queue(id, from);
    }

    fn place(&mut self, id: JobId, stage: Stage, from: Option<Place>) {
        let Some(entry) = self.jobs.get_mut(id) else { return };
        entry.stage = stage;
        let lane = entry.lane;
        self.shift(lane, from, Some(stage.place()));
    }

    fn shift(&mut self, lane: LaneId, from: Option<Place>, to: Option<Place>) {
        self.lanes.change(lane, |lane| lane.jobs.shift(from, to));
        self.settle(lane);
    }

    /// The lane of this name, made if there is none. A new lane stays only if `settle` finds a reason for it.
    fn open_lane(&mut self, key: &LaneKey) -> LaneId {
        if let Some(lane) = self.lanes.find(key) {
            return lane;
        }
        let site = self.sites.insert(self.limits.initial_concurrency);
        let lane = self.lanes.insert(key.clone(), site);
        self.sites.join(site, lane);
        lane
    }

    /// Puts a lane and its site where their state says, and drops a lane that is over.
    fn settle(&mut self, id: LaneId) {
        let (now, cap) = (self.now, self.limits.lane_concurrency);
        let Some(lane) = self.lanes.get_mut(id) else { return };
        let site_id = lane.site;
        let Some(site) = self.sites.get_mut(site_id) else { return };
        let stands = lane.has_job(cap, site) && lane.rate_wait(now).is_none();
        self.turns.settle_lane(site, id, lane, stands);
        let (is_over, alarm) = (lane.is_over(now), lane.next_alarm(now, cap, site));
        if is_over {
            self.lanes.remove(id);
            self.part_site(site_id, id);
        } else {
            self.lanes.set_alarm(id, alarm);
            self.settle_site(site_id);
        }
    }

    /// The lane, which stands in no round any more, leaves the site.
    fn part_site(&mut self, site_id: SiteId, lane: LaneId) {
        let Some(site) = self.sites.get_mut(site_id) else { return };
        self.turns.settle_site(site_id, site, None);
        self.sites.part(site_id, lane, self.now, self.limits.initial_concurrency);
        self.settle_site(site_id);
    }

    fn settle_site(&mut self, id: SiteId) {
        let (now, max) = (self.now, self.limits.site_concurrency_max);
        let Some(site) = self.sites.get_mut(id) else { return };
        let way = site.way(now, max);
        self.turns.settle_site(id, site, way);
        self.sites.settle_alarm(id, now);
    }
}

const fn ready_slot(entry: &Entry, id: JobId) -> ready::Slot {
    ready::Slot::new(entry.lane, entry.attempts, entry.flow, entry.due, id)
}

mod steering;
mod views;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod simulations;
#[cfg(test)]
mod tests;
