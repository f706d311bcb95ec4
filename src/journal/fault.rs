//! What can go wrong, by blame and by whether to try again.

use std::io;
use std::path::PathBuf;

use super::format::FORMAT_VERSION;

/// Why entries were not made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The disk or quota is full. The journal goes on; a later commit may succeed.
    #[error("no space left for the journal")]
    NoSpace,
    /// The system refused. [`super::Journal::state`] tells whether the journal goes on.
    #[error("the journal cannot be written: {0}")]
    Io(io::ErrorKind),
    /// What the disk holds is unknown. The journal is stopped until a restart reads it anew.
    #[error("the disk did not confirm the journal's data")]
    SyncFailed,
    /// An earlier fault stopped the journal, or it is closed.
    #[error("the journal is stopped")]
    Stopped,
    /// Too many lazy entries wait. Commit instead, or try later.
    #[error("the journal's queue is full")]
    QueueFull,
    /// The caller's: these entries are beyond the journal's limits and will never fit.
    #[error("the entries are too large for the journal")]
    TooLarge,
}

impl Fault {
    /// Whether the same commit may succeed later without a restart.
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::NoSpace | Self::QueueFull)
    }

    /// The fault of a failed write.
    pub(super) fn of_write(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            kind => Self::Io(kind),
        }
    }
}

/// Why a journal does not open. Damage is no such reason: it is in [`super::Recovery`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder.
    #[error("the journal is in use{}", .pid.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    Locked { pid: Option<u32> },
    /// The system refused; nothing was concluded from it about the content.
    #[error("{}: {kind}", .path.display())]
    Io { path: PathBuf, kind: io::ErrorKind },
    /// Written by a newer release.
    #[error("{} has format version {version}; this release reads version {}", .path.display(), FORMAT_VERSION)]
    Version { path: PathBuf, version: u32 },
    /// The first segment of this run could not be begun.
    #[error("the journal cannot begin a segment: {0}")]
    Begin(Fault),
    /// The caller's: a limit leaves no room for a batch.
    #[error("the journal's limits leave no room for a batch")]
    Limits,
}

/// Why a body cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The segment was removed.
    #[error("the journal segment is gone")]
    Gone,
    /// The bytes are not those that were written. Trying again does not help.
    #[error("the body in the journal is damaged")]
    Damaged,
    /// The system refused; may pass.
    #[error("the journal cannot be read: {0}")]
    Io(io::ErrorKind),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Damaged,
            kind => Self::Io(kind),
        }
    }
}

/// Why a segment was not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// There is no such segment.
    #[error("there is no such journal segment")]
    Unknown,
    /// It is being written.
    #[error("the journal segment is being written")]
    Active,
    /// It is evidence, and may hold what is not delivered yet.
    #[error("the journal segment is damaged and therefore kept")]
    Damaged,
    /// The system refused; may pass.
    #[error("the journal segment cannot be removed: {0}")]
    Io(io::ErrorKind),
}
