//! Random histories with sites, rates, flows and what runs show: laws that hold at each step, and that all is served in
//! the end. What windows and probes do is seen by what the scheduler says of its sites.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::rate::Rate;
use crate::schedule::job::Signal;
use crate::schedule::site::{SiteKey, SiteState};

const HISTORY_LANES: u8 = 6;
/// Steps from the end of a history until all is served. Each wait and each run is one.
const DRAIN_STEPS_MAX: usize = 5000;

#[derive(Clone, Debug)]
enum Act {
    Add { lane: u8, flow: u8, wait: u8, attempts: u32 },
    Poll(u8),
    Finish { nth: usize, signal: Signal, wait: Option<u8>, jitter: u64 },
    Remove(usize),
    HoldJob(usize, bool),
    HoldLane(u8, bool),
    Rename(usize, u8),
    Site { lane: u8, site: u8 },
    Rate { lane: u8, rate: Option<u8> },
    Cap { lane: u8, max: u32 },
    Retry(Option<u8>),
    Pass(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let lane = 0..HISTORY_LANES;
    let signal = prop_oneof![
        2 => Just(Signal::Good),
        1 => Just(Signal::Neutral),
        1 => Just(Signal::Answers),
        2 => Just(Signal::Busy),
        6 => Just(Signal::Unreachable)
    ];
    prop_oneof![
        8 => (lane.clone(), 0..3_u8, 0..60_u8, 0..2_u32)
            .prop_map(|(lane, flow, wait, attempts)| Act::Add { lane, flow, wait: wait.saturating_sub(20), attempts }),
        8 => (1..8_u8).prop_map(Act::Poll),
        12 => (any::<usize>(), signal, prop::option::weighted(0.8, 0..200_u8), any::<u64>())
            .prop_map(|(nth, signal, wait, jitter)| Act::Finish { nth, signal, wait, jitter }),
        1 => any::<usize>().prop_map(Act::Remove),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(nth, held)| Act::HoldJob(nth, held)),
        1 => (lane.clone(), any::<bool>()).prop_map(|(lane, held)| Act::HoldLane(lane, held)),
        1 => (any::<usize>(), lane.clone()).prop_map(|(nth, lane)| Act::Rename(nth, lane)),
        2 => (lane.clone(), 0..2_u8).prop_map(|(lane, site)| Act::Site { lane, site }),
        1 => (lane.clone(), prop::option::of(1..20_u8)).prop_map(|(lane, rate)| Act::Rate { lane, rate }),
        1 => (lane.clone(), 0..5_u32).prop_map(|(lane, max)| Act::Cap { lane, max }),
        1 => prop::option::of(lane).prop_map(Act::Retry),
        6 => (0..90_u8).prop_map(Act::Pass),
    ]
}

/// The scheduler, and what is known of its jobs without it.
struct History {
    scheduler: Scheduler,
    now: Instant,
    /// Jobs that have not left; true: it runs.
    jobs: BTreeMap<JobId, (u8, bool)>,
    passes: BTreeMap<JobId, Pass>,
    /// Removed while they ran.
    forgotten: BTreeSet<JobId>,
    next: u64,
}

impl History {
    fn new() -> Self {
        let limits = Limits {
            lane_concurrency: 4,
            total_concurrency: 6,
            slow_total_max: 2,
            initial_concurrency: 3,
            site_concurrency_max: 8,
        };
        Self {
            scheduler: Scheduler::new(limits),
            now: Instant::ZERO,
            jobs: BTreeMap::new(),
            passes: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            next: 0,
        }
    }

    fn nth(&self, nth: usize) -> Option<JobId> {
        self.jobs.keys().nth(nth % self.jobs.len().max(1)).copied()
    }

    fn apply(&mut self, act: Act) {
        match act {
            Act::Add { lane, flow, wait, attempts } => {
                self.next += 1;
                let (id, due) = (JobId(self.next), self.now + Duration::from_secs(wait.into()));
                let job = Job { id, lane: key(lane), flow: flow.into(), due, attempts };
                self.scheduler.add(self.now, job).unwrap();
                self.jobs.insert(id, (lane, false));
            }
            Act::Poll(times) => (0..times).for_each(|_| _ = self.poll()),
            Act::Finish { nth, signal, wait, jitter } => {
                let running: Vec<JobId> = self.passes.keys().copied().collect();
                let Some(id) = running.get(nth % running.len().max(1)).copied() else { return };
                let retry = |wait: u8| End::RetryAt(self.now + Duration::from_secs(wait.into()));
                self.finish(id, Finished { end: wait.map_or(End::Done, retry), signal, jitter });
            }
            Act::Pass(seconds) => self.now = self.now + Duration::from_secs(seconds.into()),
            other => self.steer(other),
        }
    }

    fn steer(&mut self, act: Act) {
        match act {
            Act::Remove(nth) => {
                let Some(id) = self.nth(nth) else { return };
                let runs = self.jobs.remove(&id).is_some_and(|(_, runs)| runs);
                assert!(self.scheduler.remove(id));
                if runs {
                    self.forgotten.insert(id);
                }
            }
            Act::HoldJob(nth, held) => {
                let Some(id) = self.nth(nth) else { return };
                if held {
                    self.scheduler.hold_job(id)
                } else {
                    self.scheduler.release_job(id)
                };
            }
            Act::HoldLane(lane, true) => self.scheduler.hold_lane(&key(lane)).unwrap(),
            Act::HoldLane(lane, false) => _ = self.scheduler.release_lane(&key(lane)),
            Act::Rename(nth, lane) => {
                let Some(id) = self.nth(nth) else { return };
                if self.scheduler.rename_lane(id, &key(lane)).is_ok() {
                    self.jobs.insert(id, (lane, false));
                }
            }
            Act::Site { lane, site } => _ = self.scheduler.set_site(&key(lane), &SiteKey::new(&format!("mx{site}"))),
            Act::Rate { lane, rate } => {
                let rate = rate.map(|messages| Rate { messages: messages.into(), per: Duration::from_secs(60) });
                self.scheduler.set_rate(&key(lane), rate);
            }
            Act::Cap { lane, max } => _ = self.scheduler.set_lane_concurrency(&key(lane), max),
            Act::Retry(lane) => {
                let selection = lane.map_or(Selection::All, |lane| Selection::Lane(key(lane)));
                self.scheduler.retry_now(self.now, selection);
            }
            _ => unreachable!("not a step of the operator"),
        }
    }

    fn poll(&mut self) -> Next {
        self.scheduler.advance(self.now);
        let sites: BTreeMap<Option<SiteKey>, (u32, u32, SiteState)> = self.named_sites();
        let full = self.scheduler.is_full();
        let next = self.scheduler.poll(self.now);
        match &next {
            Next::Run { job, lane, pass } => {
                let (of, runs) = self.jobs.get_mut(job).expect("no such job");
                assert!(!std::mem::replace(runs, true), "{job:?} runs twice");
                assert_eq!(*lane, key(*of));
                self.passes.insert(*job, *pass);
                let view = self.scheduler.lane(lane).unwrap();
                assert!(!view.held && (*pass == Pass::Down || !full), "{job:?} runs beyond the total or a hold");
                let of_lane = self.connecting(Some(lane.clone()));
                assert!(*pass == Pass::Down || of_lane <= view.cap as usize, "{of_lane} beyond {view:?}");
                if let Some((running, window, state)) = view.site.and_then(|site| sites.get(&Some(site.clone()))) {
                    match (pass, state) {
                        (Pass::Normal, SiteState::Up) => assert!(running < window, "{running} beyond {window}"),
                        (Pass::Down, SiteState::Down { probe, probing: false, .. }) => assert!(*probe > self.now),
                        (Pass::Probe, SiteState::Down { probe, probing: false, .. }) => assert!(*probe <= self.now),
                        other => panic!("{other:?}"),
                    }
                }
            }
            Next::WaitUntil(moment) => assert!(*moment > self.now),
            Next::Idle => {}
        }
        next
    }

    fn named_sites(&self) -> BTreeMap<Option<SiteKey>, (u32, u32, SiteState)> {
        let sites = self.scheduler.sites();
        sites.map(|site| (site.key.cloned(), (site.running, site.window, site.state))).collect()
    }

    fn connecting(&self, lane: Option<LaneKey>) -> usize {
        let connects = self.passes.iter().filter(|(_, pass)| **pass != Pass::Down).map(|(id, _)| *id);
        let lane_of = |id: JobId| self.jobs.get(&id).map(|(lane, _)| key(*lane));
        connects.filter(|id| lane.is_none() || lane_of(*id) == lane).count()
    }

    fn finish(&mut self, id: JobId, finished: Finished) {
        assert!(self.scheduler.handle_finished(self.now, id, finished));
        self.passes.remove(&id);
        if self.forgotten.remove(&id) {
            return;
        }
        if finished.end == End::Done {
            self.jobs.remove(&id);
        } else {
            self.jobs.get_mut(&id).unwrap().1 = false;
        }
    }

    fn check(&self) {
        assert_eq!(self.scheduler.counts().total(), self.jobs.len() + self.forgotten.len());
        assert_eq!(self.scheduler.counts().running, self.passes.len());
        assert!(self.connecting(None) <= 8, "more than the total and the slow ones");
        for (id, (lane, runs)) in &self.jobs {
            let job = self.scheduler.job(*id).expect("a job is lost");
            assert_eq!((*job.lane == key(*lane), job.state == JobState::Running), (true, *runs), "{id:?}");
        }
        let of_sites: u32 = self.scheduler.sites().map(|site| site.running).sum();
        assert_eq!(of_sites as usize, self.connecting(None));
        assert!(self.scheduler.sites().all(|site| site.window >= 1));
    }

    /// Releases all and lets each run succeed as soon as it runs. Each job must be served.
    fn drain(&mut self) {
        for lane in 0..HISTORY_LANES {
            self.scheduler.release_lane(&key(lane));
        }
        for id in self.jobs.keys() {
            self.scheduler.release_job(*id);
        }
        for id in self.passes.keys().copied().collect::<Vec<_>>() {
            let finished = Finished { signal: Signal::Good, ..Finished::untold(End::Done) };
            self.finish(id, finished);
        }
        for _ in 0..DRAIN_STEPS_MAX {
            match self.poll() {
                Next::Run { job, pass, .. } => {
                    let again = End::RetryAt(self.now + Duration::from_secs(600));
                    let end = if pass == Pass::Down { again } else { End::Done };
                    self.finish(job, Finished { signal: Signal::Good, ..Finished::untold(end) });
                }
                Next::WaitUntil(moment) => self.now = moment,
                Next::Idle => break,
            }
            self.check();
        }
        assert!(self.jobs.is_empty(), "never served: {:?}", self.jobs);
        assert_eq!((self.scheduler.lanes().count(), self.scheduler.sites().count()), (0, 0), "something is left");
        assert!(self.scheduler.sites().all(|site| matches!(site.state, SiteState::Up)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_sites_show_no_bound_is_broken_and_every_job_is_served_in_the_end(
        acts in prop::collection::vec(act(), 1..150)
    ) {
        let mut history = History::new();
        for act in acts {
            history.apply(act);
            history.check();
        }
        history.drain();
    }

    #[test]
    fn between_two_turns_of_a_flow_no_other_flow_of_its_class_has_two(
        lengths in prop::collection::vec(1..8_u64, 1..8),
    ) {
        let mut scheduler = Scheduler::new(limits(1, 1));
        for (flow, length) in (0_u64..).zip(&lengths) {
            for number in 0..*length {
                let id = JobId(flow * 100 + number);
                let job = Job { id, lane: key(0), flow: (flow as u32).reverse_bits(), due: Instant::ZERO, attempts: 0 };
                scheduler.add(Instant::ZERO, job).unwrap();
            }
        }
        let mut turns = vec![0_u64; lengths.len()];
        while let Next::Run { job, .. } = scheduler.poll(Instant::ZERO) {
            let flow = (job.0 / 100) as usize;
            turns[flow] += 1;
            let unfair = turns.iter().zip(&lengths).any(|(had, length)| had < length && had + 1 < turns[flow]);
            prop_assert!(!unfair, "flow {flow} runs ahead: {turns:?} of {lengths:?}");
            scheduler.handle_finished(Instant::ZERO, job, Finished::untold(End::Done));
        }
        prop_assert_eq!(turns, lengths);
    }
}
