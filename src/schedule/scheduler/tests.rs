//! The behaviour of the scheduler as transcripts: a step and what it answers.

use std::time::Duration;

use super::*;
use crate::model::rate::Rate;
use crate::schedule::job::{Counts, JobState, Selection, Signal};
use crate::schedule::lane::LaneView;
use crate::schedule::site::{SiteKey, SiteState, SiteView};

mod sites;

/// In the middle: a wait is as long as it is written.
const JITTER: u64 = u64::MAX / 2 + 1;

fn limits(lane: u32, total: u32) -> Limits {
    let (initial_concurrency, site_concurrency_max) = (1000, 1000);
    Limits {
        lane_concurrency: lane,
        total_concurrency: total,
        slow_total_max: 0,
        initial_concurrency,
        site_concurrency_max,
    }
}

fn check(lane_and_total: (u32, u32), transcript: &str) {
    check_with(limits(lane_and_total.0, lane_and_total.1), transcript);
}

/// Runs a transcript. A line is `step`, which must be answered by `ok`, or `step => answer`.
///
/// Steps: `@ SECONDS` (the time), `add ID LANE DUE ATTEMPTS [FLOW]`, `poll`; the end of a run: `done ID` (good),
/// `fail ID DUE` (tells nothing), `good ID DUE`, `busy ID DUE`, `gone ID DUE` (unreachable), `back ID` (released);
/// `remove ID`, `retry-job ID`, `retry-lane LANE`, `retry-all`, `cap LANE N`, `rate LANE N SECONDS`, `site LANE SITE`,
/// `limits LANE TOTAL`, `rename ID LANE`, `hold-job`, `free-job`, `hold-lane`, `free-lane`, `job ID`, `counts` (waiting
/// ready running held), `lanes`, `sites`.
fn check_with(limits: Limits, transcript: &str) {
    let mut scheduler = Scheduler::new(limits);
    let mut now = Instant::ZERO;
    for (number, line) in transcript.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
        let (step, expected) = line.split_once(" => ").unwrap_or((line, "ok"));
        let words: Vec<&str> = step.split_whitespace().collect();
        if let ["@", seconds] = words[..] {
            now = at(seconds);
            continue;
        }
        let answer = answer(&mut scheduler, now, &words);
        assert_eq!(answer, expected, "line {number}: {line}");
    }
}

fn answer(scheduler: &mut Scheduler, now: Instant, words: &[&str]) -> String {
    match *words {
        ["add", job, lane, due, attempts] => add(scheduler, now, [job, lane, due, attempts, "0"]),
        ["add", job, lane, due, attempts, flow] => add(scheduler, now, [job, lane, due, attempts, flow]),
        ["poll"] => match scheduler.poll(now) {
            Next::Run { job, lane, pass: Pass::Normal } => format!("{job} {lane}"),
            Next::Run { job, lane, pass } => format!("{job} {lane} {pass:?}").to_lowercase(),
            Next::WaitUntil(moment) => format!("wait {}", moment.since_start().as_secs()),
            Next::Idle => "idle".into(),
        },
        ["done", job] => end(scheduler, now, job, End::Done, Signal::Good),
        ["fail", job, due] => end(scheduler, now, job, End::RetryAt(at(due)), Signal::Neutral),
        ["good", job, due] => end(scheduler, now, job, End::RetryAt(at(due)), Signal::Good),
        ["says", job, due] => end(scheduler, now, job, End::RetryAt(at(due)), Signal::Answers),
        ["busy", job, due] => end(scheduler, now, job, End::RetryAt(at(due)), Signal::Busy),
        ["gone", job, due] => end(scheduler, now, job, End::RetryAt(at(due)), Signal::Unreachable),
        ["back", job] => end(scheduler, now, job, End::Released, Signal::Neutral),
        ["job", job] => scheduler.job(id(job)).map_or("none".into(), |job| {
            let state = match job.state {
                JobState::Waiting { due } => format!("waiting {}", due.since_start().as_secs()),
                state => format!("{state:?}").to_lowercase(),
            };
            format!("{state}, {} attempts, {}", job.attempts, job.lane)
        }),
        ["counts"] => {
            let Counts { waiting, ready, running, held } = scheduler.counts();
            format!("{waiting} {ready} {running} {held}")
        }
        ["lanes"] => listed(scheduler.lanes().map(describe)),
        ["sites"] => listed(scheduler.sites().map(describe_site)),
        _ => steer(scheduler, now, words),
    }
}

fn steer(scheduler: &mut Scheduler, now: Instant, words: &[&str]) -> String {
    match *words {
        ["remove", job] => truth(scheduler.remove(id(job))),
        ["retry-job", job] => scheduler.retry_now(now, Selection::Job(id(job))).to_string(),
        ["retry-lane", lane] => scheduler.retry_now(now, Selection::Lane(key(lane))).to_string(),
        ["retry-all"] => scheduler.retry_now(now, Selection::All).to_string(),
        ["cap", lane, max] => truth(scheduler.set_lane_concurrency(&key(lane), max.parse().unwrap())),
        ["rate", lane, "none"] => truth(scheduler.set_rate(&key(lane), None)),
        ["rate", lane, messages, per] => {
            let rate = Rate { messages: messages.parse().unwrap(), per: at(per).since_start() };
            truth(scheduler.set_rate(&key(lane), Some(rate)))
        }
        ["site", lane, site] => truth(scheduler.set_site(&key(lane), &SiteKey::new(site))),
        ["limits", lane, total] => {
            scheduler.set_limits(limits(lane.parse().unwrap(), total.parse().unwrap()));
            truth(true)
        }
        ["rename", job, lane] => result(scheduler.rename_lane(id(job), &key(lane))),
        ["hold-job", job] => truth(scheduler.hold_job(id(job))),
        ["free-job", job] => truth(scheduler.release_job(id(job))),
        ["hold-lane", lane] => result(scheduler.hold_lane(&key(lane))),
        ["free-lane", lane] => truth(scheduler.release_lane(&key(lane))),
        _ => panic!("no such step: {words:?}"),
    }
}

fn add(scheduler: &mut Scheduler, now: Instant, [job, lane, due, attempts, flow]: [&str; 5]) -> String {
    let (flow, attempts) = (flow.parse().unwrap(), attempts.parse().unwrap());
    result(scheduler.add(now, Job { id: id(job), lane: key(lane), flow, due: at(due), attempts }))
}

fn end(scheduler: &mut Scheduler, now: Instant, job: &str, end: End, signal: Signal) -> String {
    truth(scheduler.handle_finished(now, id(job), Finished { end, signal, jitter: JITTER }))
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "none".into() } else { items.join("; ") }
}

fn describe(lane: LaneView<'_>) -> String {
    let LaneView { key, waiting, ready, running, held_jobs, next_due, cap, held, .. } = lane;
    let due = next_due.map_or("never".into(), |due| due.since_start().as_secs().to_string());
    let at = |what: &str, moment: Option<Instant>| {
        moment.map_or(String::new(), |moment| format!(", {what} {}", moment.since_start().as_secs()))
    };
    let why = at("rate", lane.rate_wait) + &at("rests", lane.rests_until) + &at("down", lane.down_until);
    let flags = [(held, ", held"), (lane.recovering, ", recovers")].into_iter().filter(|(is, _)| *is);
    let flags: String = flags.map(|(_, word)| word).collect();
    format!("{key} {waiting} {ready} {running} {held_jobs}, due {due}, cap {cap}{why}{flags}")
}

fn describe_site(site: SiteView<'_>) -> String {
    let name = site.key.map_or("-", SiteKey::as_str);
    let state = match site.state {
        SiteState::Up => "up".into(),
        SiteState::Rests(until) => format!("rests {}", until.since_start().as_secs()),
        SiteState::Down { probing: true, .. } => "probed".into(),
        SiteState::Down { probe, .. } => format!("down {}", probe.since_start().as_secs()),
    };
    format!("{name} {} {}/{} {state}", site.lanes, site.running, site.window)
}

fn id(word: &str) -> JobId {
    JobId(word.parse().unwrap())
}

fn key(word: &str) -> LaneKey {
    LaneKey::new(word)
}

fn at(seconds: &str) -> Instant {
    Instant::from_start(Duration::from_secs(seconds.parse().unwrap()))
}

fn truth(done: bool) -> String {
    if done { "ok" } else { "no" }.into()
}

fn result<E: std::fmt::Display>(result: Result<(), E>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "ok".into())
}

#[test]
fn a_job_runs_when_it_is_due_and_poll_names_that_moment_before() {
    check(
        (5, 10),
        "poll => idle
         add 1 a 30 0
         add 2 b 20 0
         poll => wait 20
         @ 20
         poll => 2 b
         poll => wait 30
         @ 31
         poll => 1 a
         poll => idle
         done 1
         done 2
         lanes => none",
    );
}

#[test]
fn lanes_take_turns_whatever_their_length() {
    check(
        (9, 99),
        "add 1 big 0 0
         add 2 big 0 0
         add 3 big 0 0
         add 4 small 0 0
         add 5 tiny 0 0
         poll => 1 big
         poll => 4 small
         poll => 5 tiny
         poll => 2 big
         add 6 small 0 0
         poll => 3 big
         poll => 6 small
         poll => idle",
    );
}

#[test]
fn a_lane_at_its_cap_waits_alone_and_goes_on_when_a_slot_is_free() {
    check(
        (1, 99),
        "add 1 a 0 0
         add 2 a 0 0
         add 3 b 0 0
         poll => 1 a
         poll => 3 b
         poll => idle
         done 1
         poll => 2 a
         add 4 a 0 0
         cap a 2
         poll => 4 a
         add 5 a 0 0
         cap a 0
         poll => idle
         lanes => a 0 1 2 0, due never, cap 1; b 0 0 1 0, due never, cap 1
         cap nowhere 3 => no",
    );
}

#[test]
fn the_total_cap_holds_over_all_lanes_and_limits_can_change() {
    check(
        (2, 2),
        "add 1 a 0 0
         add 2 b 0 0
         add 3 c 0 0
         add 4 c 9 0
         poll => 1 a
         poll => 2 b
         poll => wait 9
         limits 1 3
         poll => 3 c
         @ 8
         poll => wait 9
         @ 9
         poll => idle
         limits 2 4
         poll => 4 c",
    );
}

#[test]
fn first_attempts_go_before_retries_but_every_fourth_pick_takes_a_retry() {
    check(
        (99, 99),
        "add 10 a 0 3
         add 11 a 0 1
         add 1 a 0 0
         add 2 a 0 0
         add 3 a 0 0
         add 4 a 0 0
         poll => 1 a
         poll => 2 a
         poll => 3 a
         poll => 10 a
         poll => 4 a
         poll => 11 a
         poll => idle",
    );
}

#[test]
fn inside_a_class_the_job_that_is_due_longest_goes_first() {
    check(
        (99, 99),
        "add 1 a 3 0
         add 2 a 1 0
         add 3 a 2 0
         @ 3
         poll => 2 a
         poll => 3 a
         poll => 1 a",
    );
}

#[test]
fn a_failed_job_waits_and_counts_its_attempts_and_a_released_one_goes_to_the_front() {
    check(
        (1, 1),
        "add 1 a 0 0
         add 2 a 1 0
         poll => 1 a
         @ 5
         back 1
         job 1 => ready, 0 attempts, a
         poll => 1 a
         fail 1 65
         job 1 => waiting 65, 1 attempts, a
         poll => 2 a
         done 2
         poll => wait 65
         counts => 1 0 0 0
         @ 65
         counts => 1 0 0 0
         poll => 1 a
         fail 1 3
         job 1 => ready, 2 attempts, a",
    );
}

#[test]
fn a_number_is_scheduled_once_and_only_running_jobs_finish() {
    check(
        (9, 9),
        "add 1 a 0 0
         add 1 b 0 0 => job 1 is scheduled already
         done 1 => no
         poll => 1 a
         add 1 a 0 0 => job 1 is scheduled already
         done 1
         done 1 => no
         back 7 => no
         add 1 b 0 0
         poll => 1 b",
    );
}

#[test]
fn a_removed_job_never_runs_again_and_a_running_one_is_forgotten_at_its_end() {
    check(
        (9, 9),
        "add 1 a 0 0
         add 2 a 5 0
         poll => 1 a
         remove 1
         remove 1 => no
         job 1 => none
         counts => 1 0 1 0
         hold-job 1 => no
         rename 1 b => no such job
         add 1 a 0 0 => job 1 is scheduled already
         fail 1 2
         remove 2
         remove 2 => no
         counts => 0 0 0 0
         lanes => none",
    );
}

#[test]
fn retry_now_makes_what_waits_due_and_nothing_else() {
    check(
        (9, 99),
        "add 1 a 100 1
         add 2 a 200 0
         add 3 b 100 1
         add 4 b 300 1
         add 5 c 400 1
         hold-job 4
         retry-job 4 => 0
         retry-job 9 => 0
         retry-lane a => 2
         retry-lane nowhere => 0
         @ 1
         poll => 2 a
         poll => 1 a
         retry-job 1 => 0
         retry-all => 2
         counts => 0 2 2 1
         poll => 3 b
         poll => 5 c
         poll => idle",
    );
}

#[test]
fn a_held_lane_starts_nothing_and_stays_known_without_jobs() {
    check(
        (9, 99),
        "hold-lane a
         hold-lane a
         add 1 a 0 0
         add 2 a 7 0
         add 3 b 0 0
         job 1 => held, 0 attempts, a
         counts => 0 1 0 2
         poll => 3 b
         poll => wait 7
         @ 7
         poll => idle
         lanes => a 0 2 0 0, due never, cap 9, held; b 0 0 1 0, due never, cap 9
         free-lane a
         free-lane a => no
         poll => 1 a
         hold-lane a
         remove 2
         done 1
         lanes => a 0 0 0 0, due never, cap 9, held; b 0 0 1 0, due never, cap 9
         free-lane a
         lanes => b 0 0 1 0, due never, cap 9",
    );
}

#[test]
fn a_held_job_lets_others_pass_and_takes_its_old_place_when_released() {
    check(
        (1, 9),
        "add 1 a 0 0
         add 2 a 0 0
         hold-job 1
         counts => 0 1 0 1
         poll => 2 a
         hold-job 2
         fail 2 60
         job 2 => held, 1 attempts, a
         poll => idle
         free-job 2
         free-job 2 => no
         free-job 1
         poll => 1 a
         hold-job 1
         free-job 1
         back 1
         poll => 1 a
         counts => 1 0 1 0",
    );
}

#[test]
fn lanes_can_be_held_up_to_a_bound() {
    let mut scheduler = Scheduler::new(limits(1, 1));
    let name = |number: usize| LaneKey::new(&format!("lane{number}"));
    for number in 0..LANES_HELD_MAX {
        assert_eq!(scheduler.hold_lane(&name(number)), Ok(()));
    }
    assert_eq!(scheduler.hold_lane(&name(LANES_HELD_MAX)), Err(TooManyHolds));
    assert_eq!(scheduler.hold_lane(&name(0)), Ok(()), "held already");
    assert!(scheduler.release_lane(&name(0)));
    assert_eq!(scheduler.hold_lane(&name(LANES_HELD_MAX)), Ok(()));
    assert_eq!(scheduler.lanes().count(), LANES_HELD_MAX);
}

#[test]
fn a_job_moves_to_another_lane_unless_it_runs() {
    check(
        (9, 9),
        "add 1 a 5 2
         add 2 a 0 0
         hold-job 2
         rename 1 b
         rename 2 b
         rename 7 b => no such job
         lanes => b 1 0 0 1, due 5, cap 9
         rename 1 b
         free-job 2
         poll => 2 b
         rename 2 c => the job is running
         back 2
         rename 2 c
         poll => 2 c
         @ 5
         poll => 1 b
         job 1 => running, 2 attempts, b",
    );
}

#[test]
fn time_that_goes_back_changes_nothing() {
    check(
        (9, 9),
        "add 1 a 50 0
         @ 40
         poll => wait 50
         @ 10
         poll => wait 50
         add 2 a 30 0
         poll => 2 a
         @ 50
         poll => 1 a",
    );
}
