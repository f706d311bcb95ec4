//! How checkpoints stand at their destinations, for the operator and for Prometheus.

use std::time::Duration;

use crate::model::time::Timestamp;

use super::Destination;
use super::tray::{Tray, Trouble};

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `file`, `syslog`, `webhook`.
    pub kind: &'static str,
    pub target: String,
    /// When it was configured.
    pub since: Timestamp,
    /// Number and time of the last checkpoint that arrived.
    pub sent: Option<(u64, Timestamp)>,
    /// Checkpoints that wait.
    pub waiting: usize,
    /// Checkpoints that are never sent, because too many waited.
    pub given_up: u64,
    pub trouble: Option<Trouble>,
}

impl Standing {
    pub(super) fn of(destination: &Destination, tray: &Tray, since: Timestamp) -> Self {
        Self {
            kind: destination.kind(),
            target: destination.to_string(),
            since,
            sent: tray.last_sent(),
            waiting: tray.waiting(),
            given_up: tray.given_up(),
            trouble: tray.trouble().cloned(),
        }
    }
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Number and time of the newest checkpoint.
    pub newest: Option<(u64, Timestamp)>,
    /// Since when there is a report.
    pub started: Timestamp,
    pub destinations: Vec<Standing>,
}

impl Report {
    /// The age of the newest checkpoint that every destination has, of the newest of all if there is no destination.
    /// Before there is one it grows from the start on.
    pub fn age(&self, now: Timestamp) -> Duration {
        let newest = self.newest.map_or(self.started, |(_, time)| time);
        let held = self.destinations.iter().map(|one| one.sent.map_or(one.since, |(_, time)| time));
        now.saturating_since(held.fold(newest, Timestamp::min))
    }

    /// Destinations that lack the newest checkpoint.
    pub fn behind(&self) -> usize {
        self.destinations.iter().filter(|one| one.waiting > 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn standing(since: i64, sent: Option<i64>, waiting: usize) -> Standing {
        let sent = sent.map(|secs| (1, at(secs)));
        Standing { kind: "file", target: String::new(), since: at(since), sent, waiting, given_up: 0, trouble: None }
    }

    #[test]
    fn the_age_is_that_of_what_every_destination_has() {
        for (newest, destinations, expected) in [
            (None, vec![], (90, 0)),
            (Some(95), vec![], (5, 0)),
            (Some(95), vec![standing(10, Some(95), 0)], (5, 0)),
            (Some(95), vec![standing(10, Some(95), 0), standing(10, Some(40), 1)], (60, 1)),
            (Some(95), vec![standing(10, Some(95), 0), standing(30, None, 1)], (70, 1)),
            (Some(120), vec![], (0, 0)),
        ] {
            let report = Report { newest: newest.map(|secs| (1, at(secs))), started: at(10), destinations };
            assert_eq!((report.age(at(100)).as_secs(), report.behind()), expected, "{report:?}");
        }
    }
}
