//! When a failed job is tried again, when a message expires, and what a recorded moment means after a restart.

use std::time::Duration;

use crate::model::time::{Instant, Timestamp};

/// No two attempts are closer than this, whatever the configuration and the jitter say.
pub const RETRY_MIN: Duration = Duration::from_secs(1);
/// The wait if the schedule has no entry.
pub const RETRY_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// The jitter moves a wait by up to this part of it, in either direction.
pub const JITTER_DIVISOR: u64 = 10;

/// How long to wait after the n-th failed attempt: the n-th entry of `schedule`, later the last one.
///
/// `attempts` counts from 1; 0 means the same as 1. `jitter` is any random number: waits are spread evenly over ±10 %,
/// so that jobs that failed together do not come back together. Never less than `RETRY_MIN`.
pub fn next_attempt(schedule: &[Duration], attempts: u32, jitter: u64) -> Duration {
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let base = schedule.get(index).or(schedule.last()).copied().unwrap_or(RETRY_DEFAULT);
    spread(base, jitter).max(RETRY_MIN)
}

/// A wait moved by up to ±10 %, as the random number `jitter` says.
pub(super) fn spread(base: Duration, jitter: u64) -> Duration {
    let base_us = u64::try_from(base.as_micros()).unwrap_or(u64::MAX);
    let spread_us = base_us / JITTER_DIVISOR;
    Duration::from_micros((base_us - spread_us).saturating_add(scaled(2 * spread_us, jitter)))
}

/// `random` of the whole range of `u64` mapped to `0..=max`.
fn scaled(max: u64, random: u64) -> u64 {
    let product = (u128::from(max) + 1) * u128::from(random);
    u64::try_from(product >> u64::BITS).unwrap_or(max)
}

/// The longest wait that `next_attempt` can give for this schedule.
pub fn wait_max(schedule: &[Duration]) -> Duration {
    let longest = schedule.iter().copied().max().unwrap_or(RETRY_DEFAULT);
    longest.saturating_add(longest / u32::try_from(JITTER_DIVISOR).unwrap_or(1)).max(RETRY_MIN)
}

/// When a message that was received then is given up (RFC 5321 section 4.5.4.1).
pub fn expires_at(received: Timestamp, lifetime: Duration) -> Timestamp {
    received + lifetime
}

/// The moment to wait for, of a job whose next attempt was recorded by the wall clock.
///
/// A wall clock that jumped, even while the daemon was down, moves a job by no more than `retry_max`: one due in the
/// past is due now, and none is due later than `retry_max` from now.
pub fn due_instant(now: Instant, wall_now: Timestamp, due: Timestamp, retry_max: Duration) -> Instant {
    now + due.saturating_since(wall_now).min(retry_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);
    const MIDDLE: u64 = u64::MAX / 2 + 1;

    #[test]
    fn the_nth_failure_waits_the_nth_entry_and_then_the_last() {
        let schedule = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR];
        for (attempts, expected) in
            [(0, MINUTE), (1, MINUTE), (2, 5 * MINUTE), (3, 15 * MINUTE), (4, HOUR), (5, HOUR), (u32::MAX, HOUR)]
        {
            assert_eq!(next_attempt(&schedule, attempts, MIDDLE), expected, "after {attempts} attempts");
        }
    }

    #[test]
    fn jitter_spreads_a_wait_by_a_tenth_and_never_below_a_second() {
        for (entry, jitter, expected) in [
            (100 * SECOND, 0, 90 * SECOND),
            (100 * SECOND, MIDDLE, 100 * SECOND),
            (100 * SECOND, u64::MAX, 110 * SECOND),
            (SECOND, 0, SECOND),
            (SECOND, u64::MAX, Duration::from_millis(1100)),
            (Duration::ZERO, u64::MAX, SECOND),
        ] {
            assert_eq!(next_attempt(&[entry], 1, jitter), expected, "{entry:?} with {jitter}");
            assert!(expected <= wait_max(&[entry]), "{entry:?} with {jitter}");
        }
    }

    #[test]
    fn an_absurd_schedule_still_gives_a_wait() {
        assert_eq!(next_attempt(&[], 7, MIDDLE), RETRY_DEFAULT);
        assert_eq!(wait_max(&[]), RETRY_DEFAULT + RETRY_DEFAULT / 10);
        assert_eq!(next_attempt(&[Duration::MAX], 1, u64::MAX), Duration::from_micros(u64::MAX));
        assert_eq!(wait_max(&[Duration::MAX, SECOND]), Duration::MAX);
    }

    #[test]
    fn a_message_expires_its_lifetime_after_it_was_received() {
        assert_eq!(expires_at(Timestamp::from_secs(1000), 5 * DAY), Timestamp::from_secs(1000 + 5 * 86_400));
        assert_eq!(expires_at(Timestamp::from_secs(1000), Duration::MAX), Timestamp::from_micros(i64::MAX));
    }

    #[test]
    fn a_clock_that_jumped_delays_a_recovered_job_by_no_more_than_the_longest_retry() {
        let now = Instant::from_start(7 * SECOND);
        let wall_now = Timestamp::from_secs(2_000_000_000);
        for (what, due, expected) in [
            ("due in ten minutes", wall_now + 10 * MINUTE, now + 10 * MINUTE),
            ("due now", wall_now, now),
            ("fell due while the daemon was down, or the clock went forward", wall_now - DAY, now),
            ("the clock went back a year", wall_now + 365 * DAY, now + HOUR),
            ("the clock was beyond all time", Timestamp::from_micros(i64::MAX), now + HOUR),
            ("the clock was before all time", Timestamp::from_micros(i64::MIN), now),
        ] {
            assert_eq!(due_instant(now, wall_now, due, HOUR), expected, "{what}");
        }
    }
}
