//! What waits for one destination and how it stands there. Pure: moments are passed in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::model::time::Timestamp;

/// Checkpoints that wait for a destination that wants every one; beyond it the oldest is given up.
pub(super) const WAITING_CHECKPOINTS_MAX: usize = 4096;
const RETRY_DELAY_MIN: Duration = Duration::from_secs(5);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5 * 60);

/// A checkpoint on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    pub seq: u64,
    pub time: Timestamp,
    /// The line of the log, without line end.
    pub line: Arc<str>,
}

/// Which checkpoints a destination is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// An older one is worth less than a newer: each covers what the one before did, through the chain.
    Newest,
    Every,
}

/// Why a destination does not get anything, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub error: String,
    pub since: Timestamp,
}

/// What a try has changed, to be told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Failed,
    Recovered,
}

#[derive(Debug)]
pub(super) struct Tray {
    wants: Wants,
    waiting: VecDeque<Shipment>,
    sent: Option<(u64, Timestamp)>,
    trouble: Option<Trouble>,
    /// Failures in a row.
    failures: u32,
    given_up: u64,
}

impl Tray {
    pub(super) fn new(wants: Wants) -> Self {
        Self { wants, waiting: VecDeque::new(), sent: None, trouble: None, failures: 0, given_up: 0 }
    }

    /// Takes a checkpoint to be sent.
    pub(super) fn put(&mut self, shipment: Shipment) {
        match self.wants {
            Wants::Newest => self.waiting.clear(),
            Wants::Every if self.waiting.len() >= WAITING_CHECKPOINTS_MAX => {
                self.waiting.pop_front();
                self.given_up += 1;
            }
            Wants::Every => {}
        }
        self.waiting.push_back(shipment);
    }

    pub(super) fn next(&self) -> Option<Shipment> {
        self.waiting.front().cloned()
    }

    pub(super) fn sent(&mut self, shipment: &Shipment) -> Option<News> {
        // While it was sent a newer one may have taken its place.
        if self.waiting.front().is_some_and(|front| front.seq == shipment.seq) {
            self.waiting.pop_front();
        }
        self.sent = Some((shipment.seq, shipment.time));
        self.failures = 0;
        self.trouble.take().map(|_| News::Recovered)
    }

    /// Gives how long to wait before the next try.
    pub(super) fn failed(&mut self, error: String, now: Timestamp) -> (Duration, Option<News>) {
        let delay = RETRY_DELAY_MIN.saturating_mul(1 << self.failures.min(10)).min(RETRY_DELAY_MAX);
        self.failures += 1;
        (delay, self.troubled(error, now))
    }

    /// Something is wrong although the try has not ended.
    pub(super) fn troubled(&mut self, error: String, now: Timestamp) -> Option<News> {
        let since = self.trouble.as_ref().map(|trouble| trouble.since);
        self.trouble = Some(Trouble { error, since: since.unwrap_or(now) });
        if since.is_none() { Some(News::Failed) } else { None }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Number and time of the last that arrived.
    pub(super) fn last_sent(&self) -> Option<(u64, Timestamp)> {
        self.sent
    }

    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    pub(super) fn given_up(&self) -> u64 {
        self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipment(seq: u64) -> Shipment {
        let seconds = i64::try_from(seq).unwrap();
        Shipment { seq, time: Timestamp::from_secs(seconds), line: format!("{{\"seq\":{seq}}}").into() }
    }

    fn order(wants: Wants, put: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        let mut tray = Tray::new(wants);
        put.for_each(|seq| tray.put(shipment(seq)));
        std::iter::from_fn(|| {
            let next = tray.next()?;
            tray.sent(&next);
            Some(next.seq)
        })
        .collect()
    }

    #[test]
    fn a_destination_gets_the_newest_or_every_one_in_order() {
        assert_eq!(order(Wants::Newest, 1..=3), [3]);
        assert_eq!(order(Wants::Every, 1..=3), [1, 2, 3]);
        let too_many = WAITING_CHECKPOINTS_MAX as u64 + 2;
        assert_eq!(order(Wants::Every, 1..=too_many), (3..=too_many).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_came_while_another_was_sent_is_sent_too() {
        let mut tray = Tray::new(Wants::Newest);
        tray.put(shipment(1));
        let first = tray.next().unwrap();
        tray.put(shipment(2));
        tray.sent(&first);
        assert_eq!((tray.last_sent().unwrap().0, tray.next().unwrap().seq), (1, 2));
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end_and_tries_get_rarer() {
        let mut tray = Tray::new(Wants::Newest);
        tray.put(shipment(1));
        let now = Timestamp::from_secs;
        let tries: Vec<_> = (0..9).map(|n| tray.failed(format!("error {n}"), now(n))).collect();
        let seconds: Vec<u64> = tries.iter().map(|(delay, _)| delay.as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        let told: Vec<_> = tries.iter().filter_map(|(_, news)| *news).collect();
        assert_eq!(told, [News::Failed]);
        assert_eq!(tray.trouble(), Some(&Trouble { error: "error 8".into(), since: now(0) }));
        assert_eq!(tray.sent(&shipment(1)), Some(News::Recovered));
        assert_eq!(tray.sent(&shipment(2)), None);
        assert_eq!(tray.failed("again".into(), now(20)).0, RETRY_DELAY_MIN);
    }
}
