//! Whether the wall clock can be trusted to end what ends after days: a machine that wakes up, or that starts before it
//! has asked for the time, may be weeks off for a while.

use std::time::Duration;

use crate::model::time::{Instant, Timestamp};

/// How long the clock has to run on without a jump.
pub(super) const CLOCK_STEADY_MIN: Duration = Duration::from_secs(6 * 60 * 60);
/// How far it may get away from the monotonic clock meanwhile; corrections by and by stay below.
const CLOCK_DRIFT_MAX: Duration = Duration::from_secs(60 * 60);

/// Where both clocks stood when the wall clock was last found to have jumped, or at the start.
#[derive(Debug, Default)]
pub(super) struct SteadyClock(Option<(Timestamp, Instant)>);

impl SteadyClock {
    /// To be asked every few seconds. Gives whether `now` has proved itself.
    pub(super) fn is_steady(&mut self, now: Timestamp, monotonic: Instant) -> bool {
        let (wall, since) = *self.0.get_or_insert((now, monotonic));
        let passed = monotonic.saturating_since(since);
        let expected = wall + passed;
        let drift = now.saturating_since(expected).max(expected.saturating_since(now));
        if drift > CLOCK_DRIFT_MAX {
            self.0 = Some((now, monotonic));
            return false;
        }
        passed >= CLOCK_STEADY_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_steady_hours_after_the_start_and_after_each_jump() {
        const HOUR: i64 = 3600;
        let mut clock = SteadyClock::default();
        // The hours that have passed, how far the wall clock is off, and whether it is trusted.
        for (hours, offset, expected) in [
            (0, 0, false),
            (5, 0, false),
            (6, 0, true),
            // Corrected by and by.
            (1000, HOUR / 2, true),
            // Ahead, and back again.
            (1001, 960 * HOUR, false),
            (1006, 960 * HOUR, false),
            (1007, 0, false),
            (1012, 0, false),
            (1013, 0, true),
            // Back, for good.
            (1014, -960 * HOUR, false),
            (1020, -960 * HOUR, true),
        ] {
            let now = Timestamp::from_secs(1_800_000_000 + hours * HOUR + offset);
            let monotonic = Instant::from_start(Duration::from_secs(u64::try_from(hours * HOUR).unwrap()));
            assert_eq!(clock.is_steady(now, monotonic), expected, "{hours}");
        }
    }
}
