//! What the daemon itself recorded at a start: lines that were not as it had written them.

use serde::Deserialize;

use crate::audit::checkpoint::has_event;
use crate::audit::log::DAMAGE;

use super::scan::Place;

/// Records of one segment that are told.
pub(super) const RECORDED_MAX: usize = 100;

/// A record by which the daemon says that the log was damaged.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) place: Place,
    pub(super) seq: u64,
    /// In the daemon's words.
    pub(super) what: String,
}

/// What this record says was wrong with the log, if it is one that does.
pub(super) fn damage(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Gap {
        detail: String,
    }
    if !has_event(line, b"audit.gap") {
        return None;
    }
    let Gap { detail } = serde_json::from_slice(line).ok()?;
    detail.strip_prefix(DAMAGE).map(str::to_owned)
}
