//! What the dashboard knows from the audit log: a posture that follows the log, and questions that take a pass over it.
//!
//! Nothing is read before somebody looks, and then by one thread: mail goes first.

pub mod passes;
#[cfg(test)]
mod tests;
pub mod watch;

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What there is to show of something that takes time to read.
#[derive(Clone, Debug)]
pub enum Seen<T> {
    Ready(T),
    /// Look again.
    Reading(Read),
    /// Too much is asked at once. Look again later.
    Busy,
    /// The log cannot be read, and why.
    Failed(String),
}

impl<T> Seen<T> {
    pub fn map<U>(self, shown: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Ready(value) => Seen::Ready(shown(value)),
            Self::Reading(read) => Seen::Reading(read),
            Self::Busy => Seen::Busy,
            Self::Failed(why) => Seen::Failed(why),
        }
    }
}

/// How far a pass over the log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Read {
    pub bytes: u64,
    pub of_bytes: u64,
}

/// The same while it goes on, on another thread.
#[derive(Debug, Default)]
struct Progress {
    bytes: AtomicU64,
    of_bytes: AtomicU64,
}

impl Progress {
    fn begin(&self, of_bytes: u64) {
        self.bytes.store(0, Ordering::Relaxed);
        self.of_bytes.store(of_bytes, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn read(&self) -> Read {
        Read { bytes: self.bytes.load(Ordering::Relaxed), of_bytes: self.of_bytes.load(Ordering::Relaxed) }
    }
}
