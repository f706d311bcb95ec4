//! Whether the clock is believed when it says that segments have been kept long enough. Pure.
//!
//! One jump ahead, by a wrong time at boot or a wrong time server, would make every segment old at once. So the clock
//! is believed as far as something else explains it: the time that has run since it was believed, or at the start the
//! log, in which a day of work leaves lines. Beyond that it must stand for [`CONFIRMED_AFTER`] first, so that a node
//! which was off for a month goes on after a day. A clock that is behind removes too little and is no danger.

use std::time::Duration;

use crate::model::time::{Instant, Timestamp};

/// How far ahead of what explains it the clock may be: more than zones and leaps, less than any `keep`.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a clock must have stood, or lines of the log must be old, to be counted on.
const CONFIRMED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Both clocks at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) wall: Timestamp,
    pub(super) running: Instant,
}

impl Moment {
    /// What the wall clock must say at `running`, if nobody sets it.
    fn wall_at(self, running: Instant) -> Timestamp {
        self.wall + running.saturating_since(self.running)
    }

    /// Whether nobody has set the clock by much since `before`.
    fn follows(self, before: Self) -> bool {
        let expected = before.wall_at(self.running);
        self.wall.saturating_since(expected).max(expected.saturating_since(self.wall)) <= AHEAD_MAX
    }
}

/// A clock that is further ahead than can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "segments are due to be removed, and wait: the clock went ahead to {}, {} days further than the log and the time \
     since explain. If it is wrong, set it right; if it stands, they go after {}",
    since.wall.brief(), since.wall.saturating_since(*expected).as_secs() / (24 * 3600),
    (since.wall + CONFIRMED_AFTER).brief()
)]
pub(super) struct Doubt {
    /// When it was first seen.
    since: Moment,
    /// What it was to say at the latest.
    expected: Timestamp,
}

/// What is known of the clock.
#[derive(Debug, Default)]
pub(super) struct ClockTrust {
    believed: Option<Moment>,
    doubt: Option<Doubt>,
}

impl ClockTrust {
    /// Whether the clock is believed now. `newest_up_to` gives the newest time in the log up to one, if there is any;
    /// it is asked until the clock was believed once.
    pub(super) fn judge(
        &mut self,
        now: Moment,
        newest_up_to: impl FnOnce(Timestamp) -> Option<Timestamp>,
    ) -> Result<(), Doubt> {
        let expected = match self.believed {
            Some(known) => Some(known.wall_at(now.running)),
            None => newest_up_to(now.wall - CONFIRMED_AFTER).map(|newest| newest + CONFIRMED_AFTER),
        };
        // The log is younger than a day by this clock: nothing in it has had its time.
        let Some(expected) = expected else { return Ok(()) };
        if now.wall <= expected + AHEAD_MAX {
            // Small steps must not add up, so the moment stays from which time is counted, unless the clock went back.
            self.believe(self.believed.filter(|known| now.follows(*known)).unwrap_or(now));
            return Ok(());
        }
        match self.doubt.filter(|doubt| now.follows(doubt.since)) {
            Some(doubt) if now.running.saturating_since(doubt.since.running) < CONFIRMED_AFTER => Err(doubt),
            Some(_) => {
                self.believe(now);
                Ok(())
            }
            None => {
                let doubt = Doubt { since: now, expected };
                self.doubt = Some(doubt);
                Err(doubt)
            }
        }
    }

    fn believe(&mut self, known: Moment) {
        (self.believed, self.doubt) = (Some(known), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour of this year, and hours since the start.
    fn moment(wall: i64, running: u64) -> Moment {
        let running = Instant::from_start(Duration::from_secs(running * 3600));
        Moment { wall: hour(wall), running }
    }

    fn hour(n: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + n * 3600)
    }

    /// A log with lines at these hours, and passes at `(wall, running, believed)` hours.
    fn check(what: &str, log: &[i64], passes: &[(i64, u64, bool)]) {
        let mut trust = ClockTrust::default();
        for (wall, running, expected) in passes {
            let newest = |until| log.iter().map(|n| hour(*n)).filter(|time| *time <= until).max();
            let believed = trust.judge(moment(*wall, *running), newest).is_ok();
            assert_eq!(believed, *expected, "{what}: {wall}, running for {running}");
        }
    }

    #[test]
    fn the_clock_is_believed_as_far_as_running_time_and_log_explain_it() {
        const FAR: i64 = 200_000;
        check("a usual run", &[0, 24], &[(48, 0, true), (49, 1, true), (2000, 1952, true)]);
        check("a log without a line", &[], &[(FAR, 0, true)]);
        check("a log of today", &[0, 1, 20], &[(21, 0, true), (22, 1, true)]);
        check("off for a night or a day", &[0, 24], &[(72, 0, true)]);
        check("off for a month", &[0, 24], &[(800, 0, false), (823, 23, false), (824, 24, true), (900, 100, true)]);
        check("a wrong time at boot", &[0, 24], &[(FAR, 0, false), (FAR + 1, 1, false), (50, 2, true)]);
        check("a jump while it runs", &[0, 24], &[(48, 0, true), (FAR, 1, false), (FAR + 23, 24, false)]);
        check("that is set right", &[0, 24], &[(48, 0, true), (FAR, 1, false), (50, 2, true), (FAR, 3, false)]);
        check("that stands", &[0, 24], &[(48, 0, true), (FAR, 1, false), (FAR + 24, 25, true), (FAR + 25, 26, true)]);
        check("a jump of a day", &[0, 24], &[(48, 0, true), (73, 1, true)]);
        check("a jump of more than a day", &[0, 24], &[(48, 0, true), (74, 1, false)]);
        check("jumps that add up", &[0, 24], &[(48, 0, true), (69, 1, true), (90, 2, false)]);
        check(
            "a clock that does not come to rest",
            &[0, 24],
            &[
                (48, 0, true),
                (FAR, 1, false),
                (2 * FAR, 20, false),
                (2 * FAR + 23, 43, false),
                (2 * FAR + 24, 44, true),
            ],
        );
        check("another start under a wrong time", &[0, 24, FAR, FAR + 1], &[(FAR + 1, 0, false)]);
        check("another start under a time that has stood", &[0, 24, FAR, FAR + 25], &[(FAR + 25, 0, true)]);
        check("the beginning of time at boot, and then the right one", &[0, 24], &[(-FAR, 0, true), (49, 1, true)]);
        check("believed too early, set back, ahead again", &[], &[(FAR, 0, true), (0, 1, true), (FAR, 2, true)]);
        check(
            "stood for a day, set back, ahead again",
            &[0, 24],
            &[(FAR, 0, false), (FAR + 24, 24, true), (100, 25, true), (FAR, 26, false)],
        );
    }

    #[test]
    fn the_doubt_tells_how_far_the_clock_is_ahead_and_when_it_is_believed() {
        let mut trust = ClockTrust::default();
        trust.judge(moment(48, 0), |_| Some(hour(24))).unwrap();
        let told = trust.judge(moment(49 + 24 * 40, 1), |_| None).unwrap_err().to_string();
        assert!(told.contains("ahead to 2027-02-26T09:00:00Z, 40 days"), "{told}");
        assert!(told.contains("after 2027-02-27T09:00:00Z"), "{told}");
    }
}
