//! When mail arrives: more by day than by night, less on weekends.

use std::time::Duration;

use gatepost::model::time::Timestamp;

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MICROS: i64 = 3_600_000_000;
/// 1970-01-01 was a Thursday: days since then by this number plus 4, modulo 7, give 0 for a Sunday.
const EPOCH_WEEKDAY: i64 = 4;
/// How busy each hour (UTC) of a working day is.
const HOURS: [f64; 24] = [
    0.25, 0.2, 0.18, 0.18, 0.22, 0.35, 0.6, 1.0, 1.6, 1.9, 1.9, 1.7, 1.5, 1.7, 1.8, 1.7, 1.4, 1.1, 0.8, 0.6, 0.5, 0.45,
    0.4, 0.3,
];
const WEEKEND: f64 = 0.4;

/// The moments of all arrivals, in order.
#[derive(Debug)]
pub struct Rhythm {
    /// Each hour's begin and its share of all arrivals before it ends.
    hours: Vec<(Timestamp, f64)>,
    until: Timestamp,
    arrivals: u64,
    next: u64,
    hour: usize,
}

impl Rhythm {
    pub fn new(from: Timestamp, until: Timestamp, arrivals: u64) -> Self {
        let mut hours = Vec::new();
        let (mut at, mut sum) = (from, 0.0);
        while at < until {
            sum += busyness(at);
            hours.push((at, sum));
            at = at + HOUR;
        }
        hours.iter_mut().for_each(|(_, share)| *share /= sum);
        Self { hours, until, arrivals, next: 0, hour: 0 }
    }

    /// The next moment; `jitter` is from 0 to 1. `None` at the end.
    pub fn next(&mut self, jitter: f64) -> Option<Timestamp> {
        if self.next >= self.arrivals {
            return None;
        }
        let share = (self.next as f64 + jitter) / self.arrivals as f64;
        self.next += 1;
        while self.hour + 1 < self.hours.len() && self.hours[self.hour].1 < share {
            self.hour += 1;
        }
        let (begin, end_share) = self.hours[self.hour];
        let begin_share = self.hour.checked_sub(1).map_or(0.0, |before| self.hours[before].1);
        let inside = (share - begin_share) / (end_share - begin_share);
        Some((begin + HOUR.mul_f64(inside.clamp(0.0, 1.0))).min(self.until))
    }
}

fn busyness(at: Timestamp) -> f64 {
    let hours = at.micros() / HOUR_MICROS;
    let weekday = (hours / 24 + EPOCH_WEEKDAY).rem_euclid(7);
    let share = HOURS[usize::try_from(hours.rem_euclid(24)).unwrap_or(0)];
    if weekday == 0 || weekday == 6 { share * WEEKEND } else { share }
}
