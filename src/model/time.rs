//! Moments as values: `Instant` for waiting, `Timestamp` for records. Only `crate::clock` makes them from a real clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A monotonic moment: the time since the process (or the simulation) began. Never goes back, knows no date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    pub const ZERO: Self = Self(Duration::ZERO);

    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

/// A wall-clock moment in microseconds since 1970-01-01T00:00:00Z. May jump when the operator sets the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to `self`, zero if the clock went back in between.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `Mon, 02 Jan 2027 03:04:05 +0000` (RFC 5322 section 3.3), for trace fields and notices.
    pub fn rfc5322(self) -> String {
        self.civil().strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
    }

    /// `2027-01-02`, the UTC day.
    pub fn day(self) -> String {
        self.civil().strftime("%Y-%m-%d").to_string()
    }

    /// `2027-01-02` at midnight UTC, else `2027-01-02T03:04:05Z`: as the configuration writes a moment.
    pub fn brief(self) -> String {
        let form = if self.0.rem_euclid(86_400_000_000) == 0 { "%Y-%m-%d" } else { "%Y-%m-%dT%H:%M:%SZ" };
        self.civil().strftime(form).to_string()
    }

    fn civil(self) -> jiff::Timestamp {
        let bounded = self.0.clamp(jiff::Timestamp::MIN.as_microsecond(), jiff::Timestamp::MAX.as_microsecond());
        jiff::Timestamp::from_microsecond(bounded).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC with microseconds, always of the same length: `2027-01-02T03:04:05.678901Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.civil())
    }
}

/// A text that is no RFC 3339 moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time such as 2027-01-02T03:04:05Z")]
pub struct TimestampError;

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>().map(|t| Self(t.as_microsecond())).map_err(|_| TimestampError)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_back_what_they_print() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_798_859_045_678_901, "2027-01-02T03:04:05.678901Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Timestamp::from_micros(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp::from_micros(micros)));
        }
        assert_eq!("yesterday".parse::<Timestamp>(), Err(TimestampError));
    }

    #[test]
    fn trace_fields_get_the_date_form_of_rfc_5322() {
        assert_eq!(Timestamp::from_secs(1_798_859_045).rfc5322(), "Sat, 02 Jan 2027 03:04:05 +0000");
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_negative_span() {
        let later = Timestamp::from_secs(10);
        assert_eq!(Timestamp::from_secs(5).saturating_since(later), Duration::ZERO);
        assert_eq!(Timestamp::from_micros(i64::MAX) + Duration::MAX, Timestamp::from_micros(i64::MAX));
    }
}
