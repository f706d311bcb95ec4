//! Times and percentiles.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Nanoseconds since 1970, which all processes of this machine agree on.
#[expect(clippy::disallowed_methods, reason = "the generator is a program beside the relay and has a clock of its own")]
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The CPU time of this process so far.
pub fn cpu_seconds() -> f64 {
    let used = getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.user_time() + usage.system_time());
    used.map_or(0.0, |used| used.num_microseconds() as f64 / 1e6)
}

/// The value below which `share` of all lie, in milliseconds; 0 without any.
pub fn percentile_ms(sorted_ns: &[u64], share: f64) -> f64 {
    let place = (sorted_ns.len() as f64 * share) as usize;
    let value = sorted_ns.get(place).or(sorted_ns.last()).copied().unwrap_or(0);
    (value as f64 / 1e3).round() / 1e3
}
