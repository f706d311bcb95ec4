//! L0: the only reader of a clock. Everything else is handed its moments.

use std::sync::OnceLock;
use std::time::SystemTime;

use crate::model::time::{Instant, Timestamp};

static START: OnceLock<std::time::Instant> = OnceLock::new();

/// The monotonic clock, counted from its first use.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Instant {
    let start = START.get_or_init(std::time::Instant::now);
    Instant::from_start(start.elapsed())
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn timestamp() -> Timestamp {
    let micros = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    };
    Timestamp::from_micros(micros)
}
