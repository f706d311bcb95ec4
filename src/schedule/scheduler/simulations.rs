//! The scheduler against a world in virtual time: hosts that hang, that refuse, that are gone, and very many of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::*;
use crate::schedule::job::Signal;

const JITTER: u64 = u64::MAX / 2 + 1;

/// How a host answers a run.
#[derive(Clone, Copy, Debug)]
struct Answer {
    takes: Duration,
    end: Option<Duration>,
    signal: Signal,
}

impl Answer {
    const fn delivered(milliseconds: u64) -> Self {
        Self { takes: Duration::from_millis(milliseconds), end: None, signal: Signal::Good }
    }

    const fn deferred(takes: Duration, signal: Signal) -> Self {
        Self { takes, end: Some(Duration::from_secs(300)), signal }
    }
}

/// What the world sees of a run that begins.
#[derive(Clone, Copy, Debug)]
struct Begun<'a> {
    now: Instant,
    lane: &'a str,
    /// Runs that connect to the lane, this one among them.
    running: u32,
}

struct World<F> {
    scheduler: Scheduler,
    now: Instant,
    answer: F,
    /// What runs, by the moment of its end.
    ends: BinaryHeap<Reverse<(Instant, u64)>>,
    runs: BTreeMap<u64, (LaneKey, Answer, Pass)>,
    running: BTreeMap<LaneKey, u32>,
    delivered: BTreeMap<LaneKey, u32>,
    /// The lanes in the order in which their jobs began to connect.
    order: Vec<LaneKey>,
    next: u64,
}

impl<F: FnMut(Begun<'_>) -> Answer> World<F> {
    fn new(limits: Limits, answer: F) -> Self {
        Self {
            scheduler: Scheduler::new(limits),
            now: Instant::ZERO,
            answer,
            ends: BinaryHeap::new(),
            runs: BTreeMap::new(),
            running: BTreeMap::new(),
            delivered: BTreeMap::new(),
            order: Vec::new(),
            next: 0,
        }
    }

    fn add(&mut self, lane: &str, due: Instant, attempts: u32) {
        self.next += 1;
        let job = Job { id: JobId(self.next), lane: LaneKey::new(lane), flow: 0, due, attempts };
        self.scheduler.add(self.now, job).unwrap();
    }

    /// Runs until this moment, or until nothing is left to do.
    fn run_until(&mut self, until: Instant) {
        loop {
            let wake = match self.scheduler.poll(self.now) {
                Next::Run { job, lane, pass } => {
                    self.begin(job, lane, pass);
                    continue;
                }
                Next::WaitUntil(moment) => Some(moment),
                Next::Idle => None,
            };
            let end = self.ends.peek().map(|Reverse((at, _))| *at);
            let Some(next) = [wake, end].into_iter().flatten().min().filter(|at| *at <= until) else { break };
            self.now = next;
            while let Some(Reverse((_, run))) = self.ends.peek().copied().filter(|Reverse((at, _))| *at <= next) {
                self.ends.pop();
                self.end(run);
            }
        }
        self.now = until;
    }

    fn begin(&mut self, job: JobId, lane: LaneKey, pass: Pass) {
        let answer = if pass == Pass::Down {
            Answer::deferred(Duration::from_millis(1), Signal::Neutral)
        } else {
            let running = self.running.entry(lane.clone()).or_default();
            *running += 1;
            self.order.push(lane.clone());
            (self.answer)(Begun { now: self.now, lane: lane.as_str(), running: *running })
        };
        self.ends.push(Reverse((self.now + answer.takes, job.0)));
        self.runs.insert(job.0, (lane, answer, pass));
    }

    fn end(&mut self, run: u64) {
        let (lane, answer, pass) = self.runs.remove(&run).unwrap();
        if pass != Pass::Down {
            *self.running.get_mut(&lane).unwrap() -= 1;
        }
        let end = answer.end.map_or(End::Done, |wait| End::RetryAt(self.now + wait));
        if end == End::Done {
            *self.delivered.entry(lane).or_default() += 1;
        }
        let jitter = JITTER ^ (run << 40);
        self.scheduler.handle_finished(self.now, JobId(run), Finished { end, signal: answer.signal, jitter });
    }

    fn window(&self, lane: &str) -> u32 {
        self.scheduler.lane(&LaneKey::new(lane)).map_or(0, |lane| lane.window)
    }
}

fn at(seconds: u64) -> Instant {
    Instant::from_start(Duration::from_secs(seconds))
}

/// Deliveries in five minutes to ninety hosts that answer after a second, with more mail for each than can be sent,
/// while others accept connections and say nothing.
fn delivered_beside(hanging: usize) -> u32 {
    let limits = Limits { lane_concurrency: 20, total_concurrency: 200, slow_total_max: 100, ..Limits::default() };
    let mut world = World::new(limits, |begun| match begun.lane.strip_prefix("hangs") {
        Some(_) => Answer::deferred(Duration::from_secs(300), Signal::Unreachable),
        None => Answer::delivered(1000),
    });
    let names = (0..hanging).map(|lane| format!("hangs{lane}")).chain((0..90).map(|lane| format!("answers{lane}")));
    for name in names {
        (0..800).for_each(|_| world.add(&name, Instant::ZERO, 0));
    }
    world.run_until(at(300));
    world.delivered.values().sum()
}

#[test]
fn a_tenth_of_all_destinations_that_hang_costs_the_others_less_than_a_twentieth() {
    let (without, with) = (delivered_beside(0), delivered_beside(10));
    println!("{without} deliveries, {with} beside hosts that hang");
    assert!(with >= without - without / 20, "{with} of {without}");
}

#[test]
fn the_window_settles_where_a_site_refuses_and_regains_the_cap_when_it_refuses_no_more() {
    let lifted = at(300);
    let (mut refused, mut begun_while_limited) = (0, 0);
    let limits = Limits { lane_concurrency: 20, ..Limits::default() };
    let mut world = World::new(limits, |begun| {
        let limited = begun.now < lifted;
        begun_while_limited += u32::from(limited);
        if limited && begun.running > 8 {
            refused += 1;
            return Answer::deferred(Duration::from_millis(50), Signal::Busy);
        }
        Answer::delivered(500)
    });
    (0..20_000).for_each(|_| world.add("a", Instant::ZERO, 0));
    let mut curve = Vec::new();
    for second in (0..=400).step_by(5) {
        world.run_until(at(second));
        curve.push((second, world.window("a")));
    }
    println!("{curve:?}");
    let settled = curve.iter().filter(|(second, _)| (30..300).contains(second));
    assert!(settled.clone().all(|(_, window)| (7..=9).contains(window)), "{curve:?}");
    assert!(curve.iter().any(|(second, window)| *second <= 360 && *window == 20), "{curve:?}");
    drop(world);
    println!("{refused} of {begun_while_limited} refused");
    assert!(refused * 50 < begun_while_limited, "{refused} of {begun_while_limited} refused");
}

#[test]
fn one_huge_lane_delays_ten_thousand_small_ones_by_one_turn_each_at_most() {
    let limits = Limits { total_concurrency: 50, ..Limits::default() };
    let mut world = World::new(limits, |_| Answer::delivered(100));
    (0..5000).for_each(|_| world.add("huge", Instant::ZERO, 0));
    (0..10_000).for_each(|lane| world.add(&format!("small{lane}"), Instant::ZERO, 0));
    world.run_until(at(3600));
    let last_small = world.order.iter().rposition(|lane| lane.as_str() != "huge").unwrap();
    assert!(last_small <= 10_000, "after {last_small} turns of 10,001 lanes");
    assert_eq!(world.order.len(), 15_000);
}

#[test]
fn after_an_outage_what_waits_is_sent_as_the_window_lets_and_no_retry_is_waited_for() {
    let (down, back) = (at(60), at(3600));
    let (mut most, mut vain) = (0, 0);
    let limits = Limits { lane_concurrency: 20, ..Limits::default() };
    let mut world = World::new(limits, |begun| {
        if (down..back).contains(&begun.now) {
            vain += 1;
            return Answer::deferred(Duration::from_secs(5), Signal::Unreachable);
        }
        most = most.max(begun.running);
        Answer::delivered(200)
    });
    (0..10_000).for_each(|number| world.add("a", at(number / 10), 0));
    world.run_until(back);
    world.run_until(at(3600 + 900));
    let key = LaneKey::new("a");
    assert_eq!(world.delivered.get(&key), Some(&10_000), "a quarter of an hour after the outage all is sent");
    drop(world);
    println!("{most} at once, {vain} connections in vain");
    assert!(most <= 20 && vain < 50, "{most} at once, {vain} connections in vain");
}
