//! Random histories of the scheduler against a model so simple that it is seen to be right: a list that is searched.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::schedule::job::{Counts, JobState, Selection};
use crate::schedule::lane::RETRY_PICK_INTERVAL;

mod histories;

const LANES: u8 = 4;
const JOBS: u64 = 12;

#[derive(Clone, Debug)]
enum Step {
    Add { id: u64, lane: u8, wait: u8, attempts: u32 },
    Poll,
    Finish { nth: usize, end: ModelEnd },
    Remove(u64),
    RetryJob(u64),
    RetryLane(u8),
    RetryAll,
    HoldJob { id: u64, held: bool },
    HoldLane { lane: u8, held: bool },
    Rename { id: u64, lane: u8 },
    Cap { lane: u8, max: u32 },
    Limits { lane: u32, total: u32 },
    Pass(u8),
}

#[derive(Clone, Copy, Debug)]
enum ModelEnd {
    Done,
    Retry(u8),
    Released,
}

fn step() -> impl Strategy<Value = Step> {
    let (id, lane) = (0..JOBS, 0..LANES);
    let end = prop_oneof![Just(ModelEnd::Done), (0..20_u8).prop_map(ModelEnd::Retry), Just(ModelEnd::Released)].boxed();
    prop_oneof![
        8 => (id.clone(), lane.clone(), 0..20_u8, 0..2_u32)
            .prop_map(|(id, lane, wait, attempts)| Step::Add { id, lane, wait, attempts }),
        10 => Just(Step::Poll),
        6 => (any::<usize>(), end).prop_map(|(nth, end)| Step::Finish { nth, end }),
        2 => id.clone().prop_map(Step::Remove),
        1 => id.clone().prop_map(Step::RetryJob),
        1 => lane.clone().prop_map(Step::RetryLane),
        1 => Just(Step::RetryAll),
        2 => (id.clone(), any::<bool>()).prop_map(|(id, held)| Step::HoldJob { id, held }),
        2 => (lane.clone(), any::<bool>()).prop_map(|(lane, held)| Step::HoldLane { lane, held }),
        2 => (id, lane.clone()).prop_map(|(id, lane)| Step::Rename { id, lane }),
        1 => (lane, 0..4_u32).prop_map(|(lane, max)| Step::Cap { lane, max }),
        1 => (1..3_u32, 1..6_u32).prop_map(|(lane, total)| Step::Limits { lane, total }),
        4 => (0..10_u8).prop_map(Step::Pass),
    ]
}

#[derive(Clone, Debug)]
struct ModelJob {
    lane: u8,
    due: Instant,
    attempts: u32,
    running: bool,
    held: bool,
    forgotten: bool,
}

#[derive(Debug)]
struct Model {
    now: Instant,
    limits: Limits,
    jobs: BTreeMap<u64, ModelJob>,
    caps: BTreeMap<u8, u32>,
    holds: Vec<u8>,
}

impl Model {
    fn after(&self, seconds: u8) -> Instant {
        self.now + Duration::from_secs(seconds.into())
    }

    fn cap(&self, lane: u8) -> usize {
        self.caps.get(&lane).copied().unwrap_or(self.limits.lane_concurrency).max(1) as usize
    }

    fn running(&self, lane: Option<u8>) -> usize {
        self.jobs.values().filter(|job| job.running && lane.is_none_or(|lane| lane == job.lane)).count()
    }

    fn is_due(&self, job: &ModelJob) -> bool {
        !job.running && !job.held && job.due <= self.now
    }

    fn can_run(&self, job: &ModelJob) -> bool {
        let slot_is_free = self.running(None) < self.limits.total_concurrency as usize
            && self.running(Some(job.lane)) < self.cap(job.lane);
        self.is_due(job) && slot_is_free && !self.holds.contains(&job.lane)
    }

    fn state(&self, job: &ModelJob) -> JobState {
        match () {
            () if job.running => JobState::Running,
            () if job.held || self.holds.contains(&job.lane) => JobState::Held,
            () if job.due <= self.now => JobState::Ready,
            () => JobState::Waiting { due: job.due },
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for job in self.jobs.values() {
            match self.state(job) {
                JobState::Waiting { .. } => counts.waiting += 1,
                JobState::Ready => counts.ready += 1,
                JobState::Running => counts.running += 1,
                JobState::Held => counts.held += 1,
            }
        }
        counts
    }

    /// Makes the jobs due that wait and that the operator chose, and says how many.
    fn retry(&mut self, chosen: impl Fn(u64, &ModelJob) -> bool) -> usize {
        let now = self.now;
        let waits = |job: &ModelJob| !job.running && !job.held && job.due > now;
        let mut jobs = 0;
        for (_, job) in self.jobs.iter_mut().filter(|(id, job)| waits(job) && chosen(**id, job)) {
            job.due = now;
            jobs += 1;
        }
        jobs
    }

    /// A lane without jobs is forgotten unless it is held, and its cap with it.
    fn forget_empty_lanes(&mut self) {
        let (jobs, holds) = (&self.jobs, &self.holds);
        self.caps.retain(|lane, _| holds.contains(lane) || jobs.values().any(|job| job.lane == *lane));
    }

    fn lane_is_known(&self, lane: u8) -> bool {
        self.holds.contains(&lane) || self.jobs.values().any(|job| job.lane == lane)
    }
}

/// Sites bear all that their lanes may run, so that they play no part.
fn limits(lane_concurrency: u32, total_concurrency: u32) -> Limits {
    let (initial_concurrency, site_concurrency_max) = (99, 99);
    Limits { lane_concurrency, total_concurrency, slow_total_max: 0, initial_concurrency, site_concurrency_max }
}

/// Jobs of a lane belong to one flow or the other.
const fn flow(id: u64) -> u32 {
    (id % 2) as u32
}

fn key(lane: u8) -> LaneKey {
    LaneKey::new(&format!("lane{lane}"))
}

/// Does the step on both sides; what the scheduler answers must be what the model answers.
fn apply(model: &mut Model, scheduler: &mut Scheduler, step: Step) {
    let now = model.now;
    match step {
        Step::Add { id, lane, wait, attempts } => {
            let due = model.after(wait);
            let added = scheduler.add(now, Job { id: JobId(id), lane: key(lane), flow: flow(id), due, attempts });
            assert_eq!(added.is_err(), model.jobs.contains_key(&id));
            let job = ModelJob { lane, due, attempts, running: false, held: false, forgotten: false };
            model.jobs.entry(id).or_insert(job);
        }
        Step::Poll => poll(model, scheduler),
        Step::Finish { nth, end } => finish(model, scheduler, nth, end),
        Step::Pass(seconds) => {
            model.now = model.after(seconds);
            scheduler.advance(model.now);
        }
        Step::Limits { lane, total } => {
            model.limits = limits(lane, total);
            scheduler.set_limits(model.limits);
        }
        other => administer(model, scheduler, other),
    }
    model.forget_empty_lanes();
}

fn poll(model: &mut Model, scheduler: &mut Scheduler) {
    let next = scheduler.poll(model.now);
    let Next::Run { job: JobId(id), lane, pass: Pass::Normal } = next else {
        assert!(!model.jobs.values().any(|job| model.can_run(job)), "{next:?} though a job can run");
        let waiting = model.jobs.values().filter(|job| !job.running && !job.held && job.due > model.now);
        let expected = waiting.map(|job| job.due).min().map_or(Next::Idle, Next::WaitUntil);
        assert_eq!(next, expected);
        return;
    };
    let job = &model.jobs[&id];
    assert!(model.can_run(job), "job {id} may not run");
    assert_eq!(lane, key(job.lane));
    let rivals = model.jobs.iter().filter(|(rival, other)| {
        let same_class = (other.attempts == 0) == (job.attempts == 0);
        other.lane == job.lane && model.is_due(other) && same_class && flow(**rival) == flow(id)
    });
    assert_eq!(rivals.map(|(id, other)| (other.due, *id)).min(), Some((job.due, id)), "not the one due longest");
    model.jobs.get_mut(&id).unwrap().running = true;
}

fn finish(model: &mut Model, scheduler: &mut Scheduler, nth: usize, end: ModelEnd) {
    let running: Vec<u64> = model.jobs.iter().filter(|(_, job)| job.running).map(|(id, _)| *id).collect();
    let Some(id) = running.get(nth % running.len().max(1)).copied() else {
        assert!(
            !scheduler.handle_finished(model.now, JobId(nth as u64 % JOBS), Finished::untold(End::Done)),
            "nothing runs"
        );
        return;
    };
    let (due, now) = (model.after(if let ModelEnd::Retry(wait) = end { wait } else { 0 }), model.now);
    let job = model.jobs.get_mut(&id).unwrap();
    job.running = false;
    let told = match end {
        ModelEnd::Done => End::Done,
        ModelEnd::Released => End::Released,
        ModelEnd::Retry(_) => {
            (job.due, job.attempts) = (due, job.attempts + 1);
            End::RetryAt(due)
        }
    };
    if job.forgotten || told == End::Done {
        model.jobs.remove(&id);
    }
    assert!(scheduler.handle_finished(now, JobId(id), Finished::untold(told)));
}

fn administer(model: &mut Model, scheduler: &mut Scheduler, step: Step) {
    let now = model.now;
    match step {
        Step::Remove(id) => {
            let known = model.jobs.get_mut(&id).filter(|job| !job.forgotten);
            assert_eq!(scheduler.remove(JobId(id)), known.is_some());
            match known {
                Some(job) if job.running => job.forgotten = true,
                Some(_) => drop(model.jobs.remove(&id)),
                None => {}
            }
        }
        Step::RetryJob(id) => {
            let jobs = scheduler.retry_now(now, Selection::Job(JobId(id)));
            assert_eq!(jobs, model.retry(|other, _| other == id));
        }
        Step::RetryLane(lane) => {
            let jobs = scheduler.retry_now(now, Selection::Lane(key(lane)));
            assert_eq!(jobs, model.retry(|_, job| job.lane == lane));
        }
        Step::RetryAll => assert_eq!(scheduler.retry_now(now, Selection::All), model.retry(|_, _| true)),
        Step::HoldJob { id, held } => {
            let known = model.jobs.get_mut(&id).filter(|job| !job.forgotten);
            let changes = known.as_ref().is_some_and(|job| held || job.held);
            let answer = if held { scheduler.hold_job(JobId(id)) } else { scheduler.release_job(JobId(id)) };
            assert_eq!(answer, changes);
            known.into_iter().for_each(|job| job.held = held);
        }
        Step::HoldLane { lane, held: true } => {
            assert_eq!(scheduler.hold_lane(&key(lane)), Ok(()));
            model.holds.retain(|other| *other != lane);
            model.holds.push(lane);
        }
        Step::HoldLane { lane, held: false } => {
            assert_eq!(scheduler.release_lane(&key(lane)), model.holds.contains(&lane));
            model.holds.retain(|other| *other != lane);
        }
        Step::Rename { id, lane } => {
            let known = model.jobs.get_mut(&id).filter(|job| !job.forgotten);
            let expected = match &known {
                None => Err(RenameError::Unknown),
                Some(job) if job.running => Err(RenameError::Running),
                Some(_) => Ok(()),
            };
            assert_eq!(scheduler.rename_lane(JobId(id), &key(lane)), expected);
            known.into_iter().filter(|job| !job.running).for_each(|job| job.lane = lane);
        }
        Step::Cap { lane, max } => {
            let known = model.lane_is_known(lane);
            assert_eq!(scheduler.set_lane_concurrency(&key(lane), max), known);
            if known {
                model.caps.insert(lane, max);
            }
        }
        _ => unreachable!("not an operator's step"),
    }
}

/// All that can be seen of the scheduler is what the model says.
fn compare(model: &Model, scheduler: &Scheduler) {
    assert_eq!(scheduler.counts(), model.counts());
    for id in 0..JOBS {
        let seen = scheduler.job(JobId(id)).map(|job| (job.state, job.attempts, job.lane.clone()));
        let known = model.jobs.get(&id).filter(|job| !job.forgotten);
        assert_eq!(seen, known.map(|job| (model.state(job), job.attempts, key(job.lane))), "job {id}");
    }
    let lanes: Vec<_> = (0..LANES).filter(|lane| model.lane_is_known(*lane)).collect();
    assert_eq!(scheduler.lanes().count(), lanes.len(), "lanes are dropped when nothing is left");
    for (view, lane) in scheduler.lanes().zip(lanes) {
        let queued = || model.jobs.values().filter(|job| job.lane == lane && !job.running && !job.held);
        let waiting = || queued().filter(|job| job.due > model.now);
        assert_eq!(*view.key, key(lane));
        assert_eq!((view.waiting, view.ready), (waiting().count(), queued().count() - waiting().count()));
        assert_eq!((view.running, view.cap as usize), (model.running(Some(lane)), model.cap(lane)));
        assert_eq!((view.next_due, view.held), (waiting().map(|job| job.due).min(), model.holds.contains(&lane)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_loses_a_job_runs_one_twice_or_breaks_a_cap(steps in prop::collection::vec(step(), 1..120)) {
        let limits = limits(2, 4);
        let mut model = Model {
            now: Instant::ZERO, limits, jobs: BTreeMap::new(), caps: BTreeMap::new(), holds: Vec::new(),
        };
        let mut scheduler = Scheduler::new(limits);
        for step in steps {
            apply(&mut model, &mut scheduler, step);
            compare(&model, &scheduler);
        }
    }

    #[test]
    fn between_two_turns_of_a_lane_no_other_lane_has_two(lengths in prop::collection::vec(1..8_u64, 1..8)) {
        let mut scheduler = Scheduler::new(limits(1, 1));
        for (lane, length) in lengths.iter().enumerate() {
            for number in 0..*length {
                let id = JobId(lane as u64 * 100 + number);
                let job = Job { id, lane: LaneKey::new(&lane.to_string()), flow: 0, due: Instant::ZERO, attempts: 0 };
                scheduler.add(Instant::ZERO, job).unwrap();
            }
        }
        let mut turns = vec![0_u64; lengths.len()];
        while let Next::Run { job: id, lane, .. } = scheduler.poll(Instant::ZERO) {
            let lane: usize = lane.as_str().parse().unwrap();
            turns[lane] += 1;
            let unfair = turns.iter().zip(&lengths).any(|(had, length)| had < length && had + 1 < turns[lane]);
            prop_assert!(!unfair, "lane {lane} runs ahead: {turns:?} of {lengths:?}");
            scheduler.handle_finished(Instant::ZERO, id, Finished::untold(End::Done));
        }
        prop_assert_eq!(turns, lengths);
    }

    #[test]
    fn the_nth_retry_of_a_lane_runs_within_four_n_picks(firsts in 0..40_u64, retries in 1..20_u64) {
        let mut scheduler = Scheduler::new(limits(1, 1));
        for number in 0..firsts + retries {
            let attempts = u32::from(number < retries);
            let job = Job { id: JobId(number), lane: key(0), flow: 0, due: Instant::ZERO, attempts };
            scheduler.add(Instant::ZERO, job).unwrap();
        }
        let (mut picks, mut retried) = (0, 0);
        while let Next::Run { job: id, .. } = scheduler.poll(Instant::ZERO) {
            picks += 1;
            retried += u64::from(id.0 < retries);
            prop_assert!(retried == retries || retried >= picks / u64::from(RETRY_PICK_INTERVAL));
            scheduler.handle_finished(Instant::ZERO, id, Finished::untold(End::Done));
        }
        prop_assert_eq!(picks, firsts + retries);
    }
}
