//! Moments as they are typed: a day, or a time.

use crate::model::time::Timestamp;

/// A day, which is its beginning in UTC, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) is_day: bool,
}

impl Moment {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let day = format!("{text}T00:00:00Z");
        let is_day = text.len() == "2027-01-02".len();
        let written = if is_day { &day } else { text };
        let wrong = |_| "write a day such as 2027-01-02, or a time such as 2027-01-02T03:04:05Z".to_owned();
        written.parse().map(|at| Self { at, is_day }).map_err(wrong)
    }
}

/// The moment itself; a day is its beginning.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    Moment::parse(text).map(|moment| moment.at)
}
