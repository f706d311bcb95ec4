//! How many messages a lane may send in a time: a bucket of tokens, kept as the moment when it is full again.

use crate::model::rate::Rate;

use super::moment::{Moment, nanoseconds};

/// A bucket holds what its rate gives in this part of `per`: with 600 messages an hour, 10 may go at once.
pub const BURST_DIVISOR: u32 = 60;

/// Runs of one lane against its rate.
///
/// A lane may start `burst` runs at once, and from then on one each `per / messages`. In any time `t` it starts no more
/// than `burst + t * messages / per`, rounded up. Zero messages count as one: to stop a lane, hold it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    full: Moment,
}

impl Bucket {
    pub(super) const fn new(rate: Rate) -> Self {
        Self { rate, full: Moment(0) }
    }

    /// The same tokens under another rate.
    pub(super) const fn with_rate(self, rate: Rate) -> Self {
        Self { rate, full: self.full }
    }

    /// When the next run may start; a moment that has passed if it may start now.
    pub(super) fn ready_at(&self) -> Moment {
        let burst = u64::from((self.rate.messages / BURST_DIVISOR).max(1));
        Moment(self.full.0.saturating_sub((burst - 1).saturating_mul(self.interval())))
    }

    /// When nothing of it is used any more.
    pub(super) const fn full_at(&self) -> Moment {
        self.full
    }

    pub(super) fn take(&mut self, now: Moment) {
        self.full = Moment(self.full.max(now).0.saturating_add(self.interval()));
    }

    fn interval(&self) -> u64 {
        nanoseconds(self.rate.per) / u64::from(self.rate.messages.max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The seconds at which runs start that are started as soon as they may.
    fn check(messages: u32, per: u64, expected: &[u64]) {
        let mut bucket = Bucket::new(Rate { messages, per: Duration::from_secs(per) });
        let mut now = Moment(0);
        for (number, second) in expected.iter().enumerate() {
            now = now.max(bucket.ready_at());
            assert_eq!(now, Moment(0).after(Duration::from_secs(*second)), "run {number} of {messages} in {per} s");
            bucket.take(now);
        }
    }

    #[test]
    fn a_bucket_gives_a_small_burst_and_then_its_rate() {
        check(1, 10, &[0, 10, 20]);
        check(6, 60, &[0, 10, 20, 30]);
        check(180, 180, &[0, 0, 0, 1, 2, 3]);
        check(0, 10, &[0, 10]);
        check(u32::MAX, 0, &[0, 0, 0]);
    }

    #[test]
    fn tokens_that_nobody_takes_are_not_saved_beyond_the_burst() {
        let mut bucket = Bucket::new(Rate { messages: 120, per: Duration::from_secs(120) });
        bucket.take(Moment(0));
        let now = Moment(0).after(Duration::from_secs(1000));
        for _ in 0..2 {
            assert!(bucket.ready_at() <= now);
            bucket.take(now);
        }
        assert_eq!(bucket.ready_at(), now.after(Duration::from_secs(1)));
    }
}
