//! How long segments are kept: which of them have had their time, as the tombstone will say. Pure.

use std::time::Duration;

use crate::model::time::Timestamp;

use super::chain::Hash;
use super::checkpoint::Removed;

/// Segments that one tombstone speaks for.
const SEGMENTS_MAX: usize = 1024;

/// Where a closed segment begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) number: u64,
    /// Number of its first line.
    pub(super) first: u64,
    /// Number, hash and time of its last line.
    pub(super) last: u64,
    pub(super) hash: Hash,
    pub(super) until: Timestamp,
}

/// The tombstone of the segments whose last line is older than `keep`, `None` if there are none. `closed` are the
/// closed ones, oldest first; those behind the first that stays are not asked for.
///
/// It ends where the segments do not follow each other, so that each speaks for an unbroken run. A segment with a time
/// to come was written while the clock was ahead: it is older than the one behind it, and goes with that.
pub(super) fn expired<E>(
    closed: impl IntoIterator<Item = Result<Ends, E>>,
    keep: Duration,
    now: Timestamp,
) -> Result<Option<Removed>, E> {
    let (mut run, mut removed): (Option<Removed>, Option<Removed>) = (None, None);
    for segment in closed.into_iter().take(SEGMENTS_MAX) {
        let segment = segment?;
        if (now - keep..=now).contains(&segment.until) {
            break;
        }
        let Ends { number, first, last, hash, until } = segment;
        let next = match run {
            None => Removed { segments: [number, number], first, last, hash, until },
            Some(before) if before.last + 1 == first && before.segments[1] + 1 == number => {
                Removed { segments: [before.segments[0], number], first: before.first, last, hash, until }
            }
            Some(_) => break,
        };
        if until < now - keep {
            removed = Some(next.clone());
        }
        run = Some(next);
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn day(n: i64) -> Timestamp {
        Timestamp::from_secs(n * 86_400)
    }

    /// A segment of a hundred lines that ends on that day.
    fn ends(number: u64, until: i64) -> Ends {
        let (first, last) = ((number - 1) * 100 + 1, number * 100);
        Ends { number, first, last, hash: Hash::of(&number.to_be_bytes()), until: day(until) }
    }

    #[test]
    fn the_oldest_go_that_are_older_than_is_kept_and_no_other() {
        let run = [ends(3, 10), ends(4, 11), ends(5, 12)];
        for (now, expected) in [(9, None), (20, None), (21, Some(3)), (22, Some(4)), (23, Some(5)), (99, Some(5))] {
            let removed = expired(run.clone().map(Ok::<_, ()>), 10 * DAY, day(now)).unwrap();
            let tombstone = expected.map(|last: u64| {
                let (hash, until) = (Hash::of(&last.to_be_bytes()), day(i64::try_from(last).unwrap() + 7));
                Removed { segments: [3, last], first: 201, last: last * 100, hash, until }
            });
            assert_eq!(removed, tombstone, "day {now}");
        }
    }

    #[test]
    fn one_tombstone_speaks_for_an_unbroken_run_only() {
        let shifted = Ends { first: 102, ..ends(2, 1) };
        for run in [vec![ends(1, 1), ends(3, 1)], vec![ends(1, 1), shifted], vec![ends(1, 1), ends(2, 49), ends(3, 1)]]
        {
            let removed = expired(run.into_iter().map(Ok::<_, ()>), DAY, day(50)).unwrap().unwrap();
            assert_eq!(removed.segments, [1, 1]);
        }
    }

    #[test]
    fn what_a_clock_that_was_ahead_has_dated_goes_with_what_is_behind_it() {
        let dated = |days: &[i64]| -> Vec<_> { (1..).zip(days).map(|(number, until)| ends(number, *until)).collect() };
        for (days, expected) in [
            (&[9000][..], None),
            (&[9000, 9001], None),
            (&[9000, 45], None),
            (&[9000, 30], Some(2)),
            (&[30, 9000, 9001, 31, 32], Some(5)),
            (&[30, 9000, 45], Some(1)),
            (&[30, 45, 9000, 31], Some(1)),
        ] {
            let removed = expired(dated(days).into_iter().map(Ok::<_, ()>), 10 * DAY, day(50)).unwrap();
            assert_eq!(removed.map(|removed| removed.segments), expected.map(|last| [1, last]), "{days:?}");
        }
    }

    #[test]
    fn what_stays_is_not_read_further_and_what_cannot_be_read_stays() {
        let run = [Ok(ends(1, 1)), Ok(ends(2, 49)), Err("read too far")];
        assert_eq!(expired(run, 10 * DAY, day(50)).unwrap().unwrap().segments, [1, 1]);
        assert_eq!(expired([Ok(ends(1, 1)), Err("damaged")], DAY, day(50)), Err("damaged"));
    }

    #[test]
    fn the_beginning_of_time_removes_nothing() {
        assert_eq!(expired([Ok::<_, ()>(ends(1, 0))], DAY * 36_500, day(0)), Ok(None));
    }
}
