//! L2a: the journal, the one commit point under spool and audit.
//!
//! Entries (metadata and an optional body) go in batches to append-only segment files: one vectored write and one
//! `fdatasync` a batch, shared by all who wait. An entry whose [`Journal::commit`] returned `Ok` is on stable storage.
//! `docs/QUEUE_FORMAT.md` describes the bytes.
//!
//! Invariants, each with a test:
//! * What was acknowledged is replayed by every later [`Journal::open`], once and in order, until its segment is
//!   removed.
//! * All entries of one commit are replayed or none (damaged media aside).
//! * Only the last batch of the last segment can be unfinished. Anything else that cannot be read is [`Damage`] and
//!   reported; reading goes on behind it.
//! * After a failed sync, or a write error other than a lack of space, nothing is promised any more and the descriptor
//!   is not used again.
//! * A batch that was written but never acknowledged may be replayed after a crash: delivery is at least once.
//!
//! Must not: know what an entry means, decide which segment is still needed, log.

mod body;
mod chain;
pub mod disk;
mod fault;
pub mod filesystem;
mod folder;
mod format;
mod handle;
mod prepare;
mod queue;
mod recover;
pub mod regular;
mod repair;
mod segments;
#[cfg(test)]
pub mod simulated;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

pub use body::{BodyReader, open_body};
pub use fault::{Fault, OpenError, ReadError, RemoveError};
pub use handle::{Committing, Journal, State};
pub use queue::Haste;
pub use recover::{Damage, Recovery, ScanRequest, TornTail, What, scan, segment_bytes};
pub use segments::SegmentInfo;

/// The metadata of one entry may have this many bytes.
pub const ENTRY_META_BYTES_MAX: usize = 4 << 20;
/// All metadata of one batch, and so what a restart holds in memory at a time.
pub const BATCH_META_BYTES_MAX: usize = 16 << 20;

/// What the journal stores. It keeps the value until the batch is durable and then gives it to the observer.
pub trait Entry: Send + 'static {
    /// Tells the owner at replay how to read the metadata.
    fn kind(&self) -> u8;
    /// Appends the metadata; a restart reads it. At most [`ENTRY_META_BYTES_MAX`].
    fn encode_meta(&self, out: &mut Vec<u8>);
    /// The body in order, empty if there is none; a restart seeks over it.
    fn body(&self) -> Vec<Bytes>;
}

/// Where the body of an entry lies, or its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    pub segment: u64,
    /// Of the first byte, from the start of the segment file.
    pub offset: u64,
    /// In bytes; 0 for an entry without a body.
    pub length: u64,
    /// CRC-32 (IEEE) of the bytes.
    pub crc: u32,
}

/// An entry that is on stable storage.
#[derive(Clone, Debug)]
pub struct Committed<E> {
    pub entry: E,
    /// Of the body.
    pub location: Location,
    /// Of the metadata, to be read back with [`Journal::read_body`].
    pub meta_at: Location,
}

/// What one write and one sync made durable, in journal order.
#[derive(Clone, Debug)]
pub struct Batch<E> {
    /// Counts the batches of the whole journal from 1, without gaps.
    pub sequence: u64,
    pub segment: u64,
    pub entries: Vec<Committed<E>>,
}

/// An entry found at start, without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed<'a> {
    pub kind: u8,
    pub meta: &'a [u8],
    /// Of the body.
    pub location: Location,
    /// From the start of the segment file to the metadata.
    pub meta_offset: u64,
    pub sequence: u64,
}

impl Replayed<'_> {
    /// Of the metadata, to be read back with [`Journal::read_body`].
    pub fn meta_at(&self) -> Location {
        let (offset, length) = (self.meta_offset, self.meta.len() as u64);
        Location { segment: self.location.segment, offset, length, crc: crc32fast::hash(self.meta) }
    }
}

/// How to open a journal.
#[derive(Clone, Debug)]
pub struct Options {
    /// Made if it is missing. Holds nothing but the journal.
    pub folder: PathBuf,
    /// Unpredictable, drawn anew for each start. It is in every batch header and seeds the checksums, so that a
    /// message body which imitates a batch is never taken for one when a damaged segment is searched.
    pub salt: u64,
    pub limits: Limits,
}

/// The bounds of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A new segment is begun before a batch that would go beyond. Also bounds one commit.
    pub segment_bytes_max: u64,
    /// Commits are gathered into a batch up to this size; a bigger commit is a batch of its own.
    pub batch_bytes_max: u64,
    pub batch_entries_max: usize,
    /// Commits that wait for the writer; others wait for room.
    pub queue_bytes_max: u64,
    /// Lazy entries that wait for a batch; more are refused.
    pub lazy_queue_bytes_max: u64,
    /// A lazy entry waits at most this long for company.
    pub lazy_delay_max: Duration,
    /// How much room is made in the file at once for small batches, which is so much written twice; 0 is none.
    pub room_ahead_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 << 20,
            batch_bytes_max: 8 << 20,
            batch_entries_max: 4096,
            queue_bytes_max: 64 << 20,
            lazy_queue_bytes_max: 8 << 20,
            lazy_delay_max: Duration::from_secs(1),
            room_ahead_bytes: 512 << 10,
        }
    }
}
