//! What can be seen. All of it is as of the latest moment that was told, and costs nothing where nobody looks.

use super::Scheduler;
use crate::schedule::job::{Counts, JobId, JobState, JobView, Stage};
use crate::schedule::lane::{Lane, LaneKey, LaneView};
use crate::schedule::site::{SiteKey, SiteView};

impl Scheduler {
    /// All lanes by name. A lane without jobs is here only while it is held.
    pub fn lanes(&self) -> impl Iterator<Item = LaneView<'_>> {
        self.lanes.iter().filter(|lane| !lane.is_empty()).filter_map(|lane| self.view(lane))
    }

    /// One lane; `None` also for one without jobs that is not held.
    pub fn lane(&self, key: &LaneKey) -> Option<LaneView<'_>> {
        let lane = self.lanes.get(self.lanes.find(key)?)?;
        if lane.is_empty() { None } else { self.view(lane) }
    }

    /// All sites that serve a lane: those with a name by name, then those of single lanes.
    pub fn sites(&self) -> impl Iterator<Item = SiteView<'_>> {
        self.sites.iter().map(|site| site.view(self.now, &self.limits))
    }

    /// One site by its name; `None` also for one that is forgotten.
    pub fn site(&self, key: &SiteKey) -> Option<SiteView<'_>> {
        Some(self.sites.get(self.sites.find(key)?)?.view(self.now, &self.limits))
    }

    /// One job; `None` also for one that was removed while it ran.
    pub fn job(&self, id: JobId) -> Option<JobView<'_>> {
        let entry = self.jobs.get(id)?;
        let lane = self.lanes.get(entry.lane)?;
        let state = match entry.stage {
            Stage::RunningToForget => return None,
            Stage::Running | Stage::RunningToHold => JobState::Running,
            Stage::Held => JobState::Held,
            Stage::Waiting(_) | Stage::Ready if lane.held => JobState::Held,
            Stage::Waiting(_) => JobState::Waiting { due: entry.due.instant() },
            Stage::Ready => JobState::Ready,
        };
        Some(JobView { state, attempts: entry.attempts, lane: &lane.key })
    }

    /// All jobs by state. One that was removed while it runs still counts as running.
    pub fn counts(&self) -> Counts {
        self.lanes.counts()
    }

    /// No further job can connect before one has ended or was slow for long enough: the total is used up.
    pub fn is_full(&self) -> bool {
        !self.runs.has_slot(&self.limits)
    }

    fn view<'a>(&'a self, lane: &'a Lane) -> Option<LaneView<'a>> {
        let site = self.sites.get(lane.site)?;
        let cap = lane.cap(self.limits.lane_concurrency);
        let waits = lane.has_job(self.limits.lane_concurrency, site);
        Some(LaneView {
            key: &lane.key,
            waiting: lane.jobs.waiting,
            ready: lane.jobs.ready,
            running: lane.jobs.running,
            held_jobs: lane.jobs.held,
            next_due: lane.next_due.map(|due| due.instant()),
            cap,
            window: cap.min(site.window.size(self.limits.site_concurrency_max)),
            held: lane.held,
            site: site.key.as_ref(),
            rate_wait: lane.rate_wait(self.now).filter(|_| waits).map(|at| at.instant()),
            rests_until: site.rests_until(self.now),
            down_until: site.down_until(),
            recovering: lane.is_recovering() && site.is_up(),
            last_signal: site.last_signal(),
        })
    }
}
