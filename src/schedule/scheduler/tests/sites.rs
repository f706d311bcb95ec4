//! Transcripts of what sites bear, of rates, of flows, and of runs that hang.

use super::*;

/// A site of which nothing is known gets two connections.
fn narrow() -> Limits {
    Limits { initial_concurrency: 2, ..limits(99, 99) }
}

#[test]
fn flows_of_a_lane_take_turns_and_one_message_waits_for_one_turn_only() {
    check(
        (99, 99),
        "add 1 a 0 0 7
         add 2 a 0 0 7
         add 3 a 0 0 7
         poll => 1 a
         add 4 a 0 0 5
         add 5 a 0 0 5
         add 6 a 0 0 6
         poll => 4 a
         poll => 6 a
         poll => 2 a
         poll => 5 a
         poll => 3 a",
    );
}

#[test]
fn a_lane_that_waits_for_its_rate_says_so_and_keeps_nobody_else() {
    check(
        (9, 99),
        "add 1 a 0 0
         add 2 a 0 0
         add 3 b 0 0
         add 4 a 7 0
         rate a 6 60
         rate nowhere 6 60 => no
         poll => 1 a
         poll => 3 b
         poll => wait 7
         lanes => a 1 1 1 0, due 7, cap 9, rate 10; b 0 0 1 0, due never, cap 9
         @ 7
         poll => wait 10
         @ 10
         poll => 2 a
         poll => wait 20
         rate a none
         poll => 4 a",
    );
}

#[test]
fn a_rate_outlives_the_jobs_of_its_lane() {
    check(
        (9, 99),
        "add 1 a 0 0
         rate a 6 60
         poll => 1 a
         done 1
         lanes => none
         add 2 a 0 0
         poll => wait 10
         @ 10
         poll => 2 a
         done 2
         @ 20
         poll => idle
         add 3 a 20 0
         add 4 a 20 0
         poll => 3 a
         poll => 4 a",
    );
}

#[test]
fn a_site_runs_what_its_window_lets_in_all_its_lanes_together() {
    check_with(
        narrow(),
        "add 1 a 0 0
         add 2 b 0 0
         add 3 c 0 0
         add 4 c 0 0
         site a mx
         site b mx
         site nowhere mx => no
         poll => 1 a
         poll => 3 c
         poll => 2 b
         poll => 4 c
         add 5 a 0 0
         add 6 b 0 0
         poll => idle
         sites => mx 2 2/2 up; - 1 2/2 up
         done 1
         sites => mx 2 1/3 up; - 1 2/2 up
         poll => 5 a
         poll => 6 b
         poll => idle",
    );
}

#[test]
fn a_lane_takes_what_it_runs_and_what_was_learned_to_the_site_that_is_named() {
    check_with(
        narrow(),
        "add 1 a 0 0
         add 2 a 0 0
         add 3 a 0 0
         poll => 1 a
         poll => 2 a
         done 1
         site a mx
         sites => mx 1 1/3 up
         add 4 b 0 0
         poll => 3 a
         poll => 4 b
         site b mx
         sites => mx 2 3/3 up
         add 5 b 0 0
         poll => idle
         site b other
         sites => mx 1 2/3 up; other 1 1/2 up
         poll => 5 b
         done 4
         done 5
         sites => mx 1 2/3 up",
    );
}

#[test]
fn what_was_learned_of_a_site_is_remembered_for_a_while_without_a_lane() {
    check_with(
        narrow(),
        "add 1 a 0 0
         site a mx
         poll => 1 a
         busy 1 5
         sites => mx 1 0/1 up
         remove 1
         sites => none
         @ 800
         add 2 b 0 0
         site b mx
         sites => mx 1 0/1 up
         remove 2
         @ 1701
         add 3 b 0 0
         site b mx
         sites => mx 1 0/2 up",
    );
}

#[test]
fn a_site_that_refuses_one_connection_rests_and_longer_each_time() {
    check_with(
        Limits { initial_concurrency: 1, ..narrow() },
        "add 1 a 0 0
         add 2 a 0 0
         add 3 a 0 0
         add 4 b 0 0
         poll => 1 a
         busy 1 100
         lanes => a 1 2 0 0, due 100, cap 99, rests 1; b 0 1 0 0, due never, cap 99
         poll => 4 b
         poll => wait 1
         @ 1
         poll => 2 a
         busy 2 100
         poll => wait 3
         retry-job 3 => 0
         poll => 3 a
         good 3 100
         retry-job 3 => 1
         poll => 3 a
         busy 3 100
         poll => wait 100
         retry-job 3 => 1
         poll => 3 a
         busy 3 100
         poll => wait 2",
    );
}

#[test]
fn refusals_of_one_flight_shrink_the_window_once() {
    check_with(
        Limits { initial_concurrency: 8, ..narrow() },
        "add 1 a 0 0
         add 2 a 0 0
         add 3 a 0 0
         add 4 a 0 0
         poll => 1 a
         poll => 2 a
         poll => 3 a
         busy 1 9
         busy 2 9
         sites => - 1 1/4 up
         poll => 4 a
         busy 3 9
         sites => - 1 1/4 up
         busy 4 9
         sites => - 1 0/2 up",
    );
}

/// Five runs that find nobody.
const DOWN: &str = "
    add 1 a 0 0
    add 2 a 0 0
    add 3 a 0 0
    add 4 a 0 0
    add 5 a 0 0
    poll => 1 a
    poll => 2 a
    poll => 3 a
    poll => 4 a
    poll => 5 a
    gone 1 300
    gone 2 400
    gone 3 500
    gone 4 600
    sites => - 1 1/250 up
    gone 5 700
    lanes => a 5 0 0 0, due 300, cap 99, down 30";

fn check_down(transcript: &str) {
    check((99, 99), &format!("{DOWN}\n{transcript}"));
}

#[test]
fn a_site_that_is_down_has_its_jobs_concluded_until_its_probe_and_then_tries_one() {
    check_down(
        "add 6 a 0 0
         add 7 b 0 0
         poll => 6 a down
         poll => 7 b
         counts => 5 0 2 0
         fail 6 60
         poll => wait 30
         @ 30
         poll => 6 a probe
         add 8 a 30 0
         poll => wait 300
         sites => - 1 1/250 probed; - 1 1/1000 up
         gone 6 800
         poll => 8 a down
         fail 8 900
         poll => wait 90
         @ 90
         poll => 1 a probe
         fail 1 999
         poll => wait 150",
    );
}

#[test]
fn a_probe_waits_twice_as_long_after_each_one_in_vain_up_to_a_bound() {
    let mut scheduler = Scheduler::new(limits(9, 9));
    let mut now = Instant::ZERO;
    for job in 0..5 {
        let job = Job { id: JobId(job), lane: key("a"), flow: 0, due: now, attempts: 0 };
        scheduler.add(now, job).unwrap();
    }
    let mut waits = Vec::new();
    while waits.len() < 8 {
        match scheduler.poll(now) {
            Next::Run { job, pass, .. } => {
                assert_ne!(pass, Pass::Down);
                let end = End::RetryAt(now + Duration::from_secs(100_000));
                scheduler.handle_finished(now, job, Finished { end, signal: Signal::Unreachable, jitter: JITTER });
            }
            Next::WaitUntil(moment) => {
                waits.push(moment.saturating_since(now).as_secs());
                now = moment;
            }
            Next::Idle => panic!("the probe was forgotten"),
        }
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900]);
}

#[test]
fn a_site_that_is_back_serves_what_waited_as_its_window_lets_and_each_job_once() {
    check_down(
        "limits 2 99
         add 9 a 650 0
         @ 30
         poll => 1 a probe
         done 1
         lanes => a 5 0 0 0, due 400, cap 2, recovers
         poll => 2 a
         poll => 3 a
         poll => wait 600
         good 2 60
         poll => 4 a
         good 3 70
         poll => 5 a
         good 4 999
         good 5 999
         lanes => a 5 0 0 0, due 60, cap 2
         poll => wait 60
         @ 60
         poll => 2 a",
    );
}

#[test]
fn a_site_that_answers_anything_is_back() {
    check_down("limits 1 99\n @ 30\n poll => 1 a probe\n says 1 1000\n poll => 2 a");
}

#[test]
fn recovery_ends_when_the_site_is_down_again_and_goes_on_when_it_is_back() {
    check_down(
        "limits 1 99
         @ 30
         poll => 1 a probe
         good 1 1000
         poll => 2 a
         gone 2 2000
         retry-lane nowhere => 0
         add 10 a 0 0
         add 11 a 0 0
         add 12 a 0 0
         add 13 a 0 0
         poll => 3 a
         gone 3 2003
         poll => 10 a
         gone 10 2010
         poll => 11 a
         gone 11 2011
         poll => 12 a
         gone 12 2012
         lanes => a 8 1 0 0, due 600, cap 1, down 60
         poll => 13 a down
         fail 13 2013
         @ 60
         poll => 4 a probe
         done 4
         poll => 5 a
         done 5
         poll => 1 a
         done 1
         poll => 2 a
         done 2
         poll => 3 a",
    );
}

#[test]
fn a_first_attempt_that_is_not_due_is_not_served_for_a_recovery() {
    check_down(
        "add 6 a 50 0
         @ 30
         poll => 6 a probe
         add 7 a 40 0
         done 6
         poll => 1 a
         poll => 2 a
         poll => 3 a
         poll => 4 a
         poll => 5 a
         poll => wait 40",
    );
}

#[test]
fn a_retry_that_the_operator_wants_is_a_probe_at_once() {
    check_down(
        "retry-job 3 => 1
         poll => 3 a probe
         back 3
         sites => - 1 0/250 down 30
         poll => 3 a down
         fail 3 60
         retry-all => 5
         poll => 1 a probe
         poll => idle
         gone 1 800
         poll => 2 a down",
    );
}

#[test]
fn a_probe_that_meets_a_refusal_brings_the_site_up_with_one_connection_after_a_rest() {
    check_down(
        "@ 30
         poll => 1 a probe
         busy 1 1000
         sites => - 1 0/1 rests 31
         poll => wait 31
         @ 31
         poll => 2 a
         poll => wait 500",
    );
}

#[test]
fn a_site_whose_lanes_are_held_is_not_probed_before_one_is_released() {
    check_down(
        "hold-lane a
         @ 30
         poll => wait 300
         @ 700
         poll => idle
         free-lane a
         poll => 1 a probe
         site a mx
         sites => mx 1 1/250 probed
         add 20 b 0 0
         site b mx
         poll => idle
         site a other
         sites => mx 1 0/250 down 730; other 1 1/1000 up
         done 1
         sites => mx 1 0/250 down 730; other 1 0/1000 up
         poll => 20 b down
         poll => 2 a",
    );
}

#[test]
fn a_site_that_was_down_when_its_last_lane_left_is_probed_by_the_first_that_comes() {
    check_down(
        "site a mx
         remove 1
         remove 2
         remove 3
         remove 4
         remove 5
         poll => idle
         @ 10
         add 6 b 100 1
         site b mx
         poll => wait 30
         remove 6
         @ 40
         add 7 b 100 1
         site b mx
         poll => 7 b probe",
    );
}

#[test]
fn a_run_that_hangs_leaves_the_total_for_a_bound_of_its_own() {
    check_with(
        Limits { slow_total_max: 2, ..limits(9, 2) },
        "add 1 a 0 0
         add 2 a 0 0
         poll => 1 a
         poll => 2 a
         poll => idle
         @ 2
         add 3 b 2 0
         add 4 b 2 0
         add 5 b 2 0
         poll => wait 5
         @ 5
         poll => 3 b
         poll => 4 b
         poll => idle
         @ 60
         poll => idle
         done 1
         poll => 5 b
         done 2
         poll => idle",
    );
}

#[test]
fn jobs_that_are_concluded_take_turns_with_those_that_connect_and_are_few_at_once() {
    let mut scheduler = Scheduler::new(limits(999, 999));
    let now = Instant::ZERO;
    let add = |scheduler: &mut Scheduler, id, lane| {
        scheduler.add(now, Job { id: JobId(id), lane: key(lane), flow: 0, due: now, attempts: 0 }).unwrap();
    };
    (0..5).for_each(|job| add(&mut scheduler, job, "down"));
    for job in 0..5 {
        assert!(matches!(scheduler.poll(now), Next::Run { pass: Pass::Normal, .. }));
        let end = End::RetryAt(now + Duration::from_secs(999));
        let finished = Finished { end, signal: Signal::Unreachable, jitter: JITTER };
        assert_eq!(job < 5, scheduler.handle_finished(now, JobId(job), finished));
    }
    (100..200).for_each(|job| add(&mut scheduler, job, "down"));
    (200..300).for_each(|job| add(&mut scheduler, job, "up"));
    let mut passes = Vec::new();
    while let Next::Run { pass, .. } = scheduler.poll(now) {
        passes.push(pass);
    }
    let is_down = |pass: &&Pass| **pass == Pass::Down;
    let down_max = crate::schedule::runs::DOWN_PASSES_MAX;
    assert_eq!((passes.len(), passes.iter().filter(is_down).count()), (100 + down_max, down_max));
    assert!(passes[..2 * down_max].chunks(2).all(|pair| pair.iter().filter(is_down).count() == 1), "no turns");
}
