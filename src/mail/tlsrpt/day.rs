//! The UTC day that a report covers, and when it is due (RFC 8460 section 4.1).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::time::Timestamp;

/// Reports of a day are sent within this time after its end, each at a moment of its own, so that nobody gets all of
/// them at midnight.
pub const REPORT_DELAY_SECONDS_MAX: u64 = 4 * 60 * 60;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// A UTC day, from 00:00 to 24:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    /// Since 1970-01-01.
    number: i64,
}

/// A text that is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day such as 2027-01-02")]
pub struct DayError;

impl Day {
    /// The day that a moment lies in.
    pub fn of(moment: Timestamp) -> Self {
        Self { number: moment.micros().div_euclid(DAY_SECONDS * 1_000_000) }
    }

    /// The day so many days earlier.
    #[must_use]
    pub fn before(self, days: u32) -> Self {
        Self { number: self.number.saturating_sub(days.into()) }
    }

    /// 00:00:00.
    pub fn start(self) -> Timestamp {
        Timestamp::from_secs(self.number.saturating_mul(DAY_SECONDS))
    }

    /// 23:59:59: the end of the range as reports have it (RFC 8460 appendix B).
    pub fn last_second(self) -> Timestamp {
        self.start() + Duration::from_secs(DAY_SECONDS.unsigned_abs() - 1)
    }

    /// When the report of this day is to be sent: from one second to [`REPORT_DELAY_SECONDS_MAX`] after its end, by a
    /// random number that the caller draws.
    pub fn due(self, random: u64) -> Timestamp {
        self.start() + Duration::from_secs(DAY_SECONDS.unsigned_abs() + 1 + random % REPORT_DELAY_SECONDS_MAX)
    }
}

/// `2027-01-02`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start().day())
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let start: Timestamp = format!("{text}T00:00:00Z").parse().map_err(|_| DayError)?;
        Some(Self::of(start)).filter(|day| day.to_string() == text).ok_or(DayError)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_utc_day_of_its_moments() {
        for (moment, day) in [
            ("2027-01-02T00:00:00Z", "2027-01-02"),
            ("2027-01-02T23:59:59.999999Z", "2027-01-02"),
            ("2027-01-03T00:30:00+01:00", "2027-01-02"),
            ("1969-12-31T23:59:59Z", "1969-12-31"),
        ] {
            let found = Day::of(moment.parse().unwrap());
            assert_eq!(found.to_string(), day);
            assert_eq!(day.parse(), Ok(found));
        }
        for text in ["", "2027-1-2", "2027-02-30", "2027-01-02T00:00:00Z", "20270102"] {
            assert_eq!(text.parse::<Day>(), Err(DayError), "{text:?}");
        }
    }

    #[test]
    fn a_report_is_due_within_four_hours_after_its_day() {
        let day: Day = "2027-01-02".parse().unwrap();
        for (random, expected) in [
            (0, "2027-01-03T00:00:01.000000Z"),
            (1234, "2027-01-03T00:20:35.000000Z"),
            (REPORT_DELAY_SECONDS_MAX - 1, "2027-01-03T04:00:00.000000Z"),
            (REPORT_DELAY_SECONDS_MAX, "2027-01-03T00:00:01.000000Z"),
        ] {
            assert_eq!(day.due(random).to_string(), expected);
        }
    }
}
