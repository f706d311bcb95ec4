//! A moment in eight octets: what a million jobs keep of an `Instant`.

use std::time::Duration;

use crate::model::time::Instant;

/// Nanoseconds since the start, for 584 years; what is later counts as then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    pub(super) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(wait)))
    }

    pub(super) const fn instant(self) -> Instant {
        Instant::from_start(Duration::from_nanos(self.0))
    }
}

impl From<Instant> for Moment {
    fn from(instant: Instant) -> Self {
        Self(nanoseconds(instant.since_start()))
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
