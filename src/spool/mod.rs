//! L2: the durable queue. Messages, their progress and the audit records of both ride in one journal.
//!
//! Invariants:
//! * A message whose [`Spool::accept`] returned `Ok` is in every later [`Spool::open`] until all its recipients are
//!   settled, and none of them is pending again after a commit that settled it.
//! * The index in memory holds what the journal holds: it is rebuilt from metadata alone, and changed only by what has
//!   become durable, in the journal's order. Of a message it knows an outline; the envelope is read when it is needed.
//! * A journal segment goes only when no message in it is alive, its audit records are in the log, and every end or
//!   state that it tells of a message in another segment has been carried forward.
//! * A content file goes only when its message is durably finished, or surely was never accepted.
//!
//! Must not: know policy, protocol or next hops, or decide when something is tried.

pub mod archive;
pub mod body;
mod brief;
mod budget;
mod cache;
pub mod check;
mod compact;
mod decode;
mod entry;
pub mod holds;
mod index;
mod intake;
mod kept;
mod load;
mod maintain;
mod oldest;
mod open;
mod outline;
mod packed;
pub mod peek;
pub mod state;
pub mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::clock;
use crate::journal::filesystem::FileSystem;
use crate::journal::{self, Committing, Haste, Journal};
use crate::model::envelope::Envelope;
use crate::model::id::MessageId;
use crate::model::record::AuditEntry;

pub use body::{Body, BodyError};
pub use budget::BodyBudget;
pub use compact::{STILL_MAX, Sparse};
pub use entry::Mark;
pub use index::Stored;
pub use intake::{Intake, Sealed};
pub use load::LoadError;
pub use maintain::{FreeSpace, Maintenance};
pub use oldest::Oldest;
pub use open::{AuditSink, OpenError, Options, Recovered};
pub use outline::Outline;

use compact::Compactor;
use entry::Entry;
use holds::Holds;
use index::Index;
use intake::OrphanFile;
use state::Progress;

/// Why the spool does not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The disk is full, or fuller than the configuration permits. Passes when room is made.
    #[error("no space left for the spool")]
    NoSpace,
    /// The spool cannot be written; only a restart helps.
    #[error("the spool cannot be written")]
    Unavailable,
    /// The system refused for now.
    #[error("the spool is busy")]
    Busy,
}

impl From<journal::Fault> for Fault {
    fn from(fault: journal::Fault) -> Self {
        match fault {
            journal::Fault::NoSpace => Self::NoSpace,
            journal::Fault::QueueFull => Self::Busy,
            journal::Fault::Io(_) | journal::Fault::SyncFailed | journal::Fault::Stopped | journal::Fault::TooLarge => {
                Self::Unavailable
            }
        }
    }
}

/// A message that is new to the spool: one that came in, or a notice of our own.
#[derive(Debug)]
pub struct NewMessage<C = Sealed> {
    pub envelope: Arc<Envelope>,
    pub content: C,
}

/// The handle to the spool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    journal: Journal<Entry>,
    fs: Arc<dyn FileSystem>,
    bodies: PathBuf,
    index: Arc<Mutex<Index>>,
    budget: BodyBudget,
    sizes: Sizes,
    min_free_bytes: u64,
    free_bytes: AtomicU64,
    /// A write failed for want of space; cleared when the next look finds enough.
    full: AtomicBool,
    /// A content file, or its name, could not be synced.
    sync_failed: AtomicBool,
    commits: CommitTimes,
    compactor: Compactor,
    /// Held by a round of maintenance while files go.
    tidying: tokio::sync::Mutex<()>,
    /// Held from the look at the version of the list to its change.
    putting_holds: tokio::sync::Mutex<()>,
}

/// Where content and facts are divided.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Content up to this size goes into the journal; more gets a file, so that it does not stall the batch of others.
    inline_bytes_max: u64,
    /// Content is written to its file in pieces of about this size.
    spill_bytes: usize,
    /// Facts that are carried forward go into entries of about this size.
    carried_bytes_max: usize,
    /// A segment is emptied of its stragglers this long after it was closed.
    compact_after: Duration,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            inline_bytes_max: 1 << 20,
            spill_bytes: 256 << 10,
            carried_bytes_max: 1 << 20,
            compact_after: Duration::from_secs(600),
        }
    }
}

/// Time spent waiting for commits since the last look, for the histogram.
#[derive(Debug, Default)]
struct CommitTimes(Mutex<Vec<Duration>>);

/// Messages that are looked at for the oldest ones: the look holds up what is being committed.
const OLDEST_LOOKED_AT: usize = 10_000;
/// Commit times that are kept between two looks.
const COMMIT_TIMES_MAX: usize = 100_000;
/// Batches whose records a start reads again because somebody copied the spool: in memory, so no more.
const MARKS_HELD_BACK_BATCHES_MAX: u64 = 50_000;

impl Spool {
    /// A body to be filled. Fails at once where a commit would.
    pub fn begin(&self, id: MessageId) -> Result<Intake, Fault> {
        self.admission()?;
        Ok(Intake::new(self.shared.clone(), id))
    }

    /// Whether mail can be taken now.
    pub fn admission(&self) -> Result<(), Fault> {
        let sync_failed = self.shared.sync_failed.load(Ordering::Relaxed);
        if sync_failed || self.shared.journal.state() != journal::State::Running {
            return Err(Fault::Unavailable);
        }
        let free = self.shared.free_bytes.load(Ordering::Relaxed);
        if self.shared.full.load(Ordering::Relaxed) || free < self.shared.min_free_bytes {
            return Err(Fault::NoSpace);
        }
        Ok(())
    }

    /// Makes a message and its records durable. Only after `Ok` may anybody be told that it was accepted.
    pub async fn accept(&self, message: NewMessage, audit: Vec<AuditEntry>) -> Result<(), Fault> {
        self.admission()?;
        let started = clock::now();
        let size = message.envelope.size;
        let mut entries = vec![Entry::Message(message)];
        entries.extend(audit.into_iter().map(Entry::Audit));
        self.commit(entries).await?;
        // Between two looks at the disk: a burst must not eat the reserve.
        let less = |free: u64| Some(free.saturating_sub(size));
        _ = self.shared.free_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.shared.commits.add(clock::now().saturating_since(started));
        Ok(())
    }

    /// Makes the end of an attempt durable: what it changed, the notices that it causes, and its records.
    pub async fn record(
        &self,
        progress: Option<Progress>,
        notices: Vec<NewMessage>,
        audit: Vec<AuditEntry>,
    ) -> Result<(), Fault> {
        self.commit(Self::entries(progress, notices, audit)).await
    }

    /// Makes records durable that are about no change in the queue. When this returns they are under way, and written
    /// whether or not somebody waits for the end. They share a sync with mail that comes within a moment.
    pub async fn begin_record(&self, audit: Vec<AuditEntry>) -> Result<Recording<'_>, Fault> {
        let entries = Self::entries(None, Vec::new(), audit);
        let committing = self.shared.journal.begin_commit(entries, Haste::Patient).await.map_err(Fault::from)?;
        Ok(Recording { spool: self, committing })
    }

    /// The same without waiting: durable within a second. A crash before that means that the attempt is made again.
    pub fn record_lazily(&self, progress: Option<Progress>, audit: Vec<AuditEntry>) -> Result<(), Fault> {
        let entries = Self::entries(progress, Vec::new(), audit);
        let _under_way = UnderWay::begin(&self.shared.index, &entries);
        self.shared.journal.append_lazily(entries).map_err(Fault::from)
    }

    fn entries(progress: Option<Progress>, notices: Vec<NewMessage>, audit: Vec<AuditEntry>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = notices.into_iter().map(Entry::Message).collect();
        entries.extend(progress.map(Entry::Progress));
        entries.extend(audit.into_iter().map(Entry::Audit));
        entries
    }

    async fn commit(&self, mut entries: Vec<Entry>) -> Result<(), Fault> {
        // What ends in doubt, by a fault or because the caller went away, may be there at the next start, and then
        // needs its file.
        let mut files: Vec<OrphanFile> = entries.iter_mut().filter_map(Entry::take_file).collect();
        files.iter_mut().for_each(OrphanFile::adopt);
        let _under_way = UnderWay::begin(&self.shared.index, &entries);
        let result = self.note_space(self.shared.journal.commit(entries).await.map_err(Fault::from));
        if matches!(result, Err(Fault::NoSpace | Fault::Busy)) {
            files.into_iter().for_each(OrphanFile::remove);
        }
        result
    }

    fn note_space(&self, result: Result<(), Fault>) -> Result<(), Fault> {
        if result == Err(Fault::NoSpace) {
            self.shared.full.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Remembers how far the audit log is durable. Lazy: losing it costs a little reading at the next start.
    pub fn audit_is_durable(&self, mark: Mark) -> Result<(), Fault> {
        let unwritten = lock(&self.shared.index).audit_is_durable(mark.clone());
        // A copy of the journal must not know more of the log than the copy of the log that was taken before.
        if self.is_still() && unwritten < MARKS_HELD_BACK_BATCHES_MAX {
            return Ok(());
        }
        self.shared.journal.append_lazily(vec![Entry::Mark(mark)]).map_err(Fault::from)
    }

    /// The destinations that are held.
    pub fn holds(&self) -> Holds {
        lock(&self.shared.index).holds().cloned().unwrap_or_default()
    }

    /// Makes a new list of them durable, with its records. Its version has to be higher than that of the one before.
    pub async fn record_holds(&self, holds: Holds, audit: Vec<AuditEntry>) -> Result<(), Fault> {
        let audit = audit.into_iter().map(Entry::Audit);
        self.commit(std::iter::once(Entry::Holds(holds)).chain(audit).collect()).await
    }

    /// When this returns, the index knows of all that was recorded lazily before it was called.
    pub async fn catch_up(&self) -> Result<(), Fault> {
        let nothing = Progress { message: MessageId::from_u128(0), changes: Vec::new() };
        self.commit(vec![Entry::Progress(nothing)]).await
    }

    /// What is known of a message without a look at the disk; `None` if it is not here (any more).
    pub fn outline(&self, id: MessageId) -> Option<Outline> {
        lock(&self.shared.index).outline(id)
    }

    /// Whether the message is in the queue.
    pub fn contains(&self, id: MessageId) -> bool {
        lock(&self.shared.index).contains(id)
    }

    /// The content of a message.
    pub fn body(&self, stored: &Stored) -> Body {
        Body::new(self.shared.clone(), stored)
    }

    /// Gives up the copy of the message that was kept for the first delivery.
    pub fn forget_cached(&self, id: MessageId) {
        lock(&self.shared.index).forget_cached(id);
    }

    /// The messages of the queue in the order of their ids, `after` excluded, at most `limit`. The look holds
    /// up what is being committed, so a walk goes by pages.
    pub fn outlines(&self, after: Option<MessageId>, limit: usize) -> Vec<Outline> {
        lock(&self.shared.index).outlines(after, limit)
    }

    /// When the oldest messages came in, for the gauges.
    pub fn oldest(&self) -> Oldest {
        lock(&self.shared.index).oldest(OLDEST_LOOKED_AT)
    }

    pub fn message_count(&self) -> usize {
        lock(&self.shared.index).message_count()
    }

    /// Every message that is accepted from now on is announced here, after it has become durable.
    pub fn subscribe(&self, sender: UnboundedSender<MessageId>) {
        lock(&self.shared.index).subscribe(sender);
    }

    /// Why the spool does not work, if it does not.
    pub fn failure(&self) -> Option<journal::Fault> {
        match self.shared.journal.state() {
            journal::State::Failed(fault) => Some(fault),
            journal::State::Running | journal::State::Closed => {
                self.shared.sync_failed.load(Ordering::Relaxed).then_some(journal::Fault::SyncFailed)
            }
        }
    }

    pub fn free_bytes(&self) -> u64 {
        self.shared.free_bytes.load(Ordering::Relaxed)
    }

    /// The waiting times of the commits since the last call.
    pub fn take_commit_times(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.shared.commits.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Content of our own making (a notice), in memory until it is committed, and longer if there is room.
    pub fn sealed(&self, content: Vec<u8>) -> Sealed {
        let mut reservation = self.shared.budget.reservation();
        let has_room = reservation.grow(content.len() as u64);
        Sealed::in_memory(vec![Bytes::from(content)], has_room.then_some(reservation))
    }

    /// Writes out what waits and ends the writer. Later calls fail.
    pub fn close(&self) {
        self.shared.journal.clone().close();
    }
}

/// Records that are being made durable.
#[derive(Debug)]
pub struct Recording<'a> {
    spool: &'a Spool,
    committing: Committing,
}

/// Changes of states on their way into the journal. No message is moved meanwhile that they are about.
struct UnderWay<'a> {
    index: &'a Mutex<Index>,
    messages: Vec<MessageId>,
}

impl<'a> UnderWay<'a> {
    fn begin(index: &'a Mutex<Index>, entries: &[Entry]) -> Self {
        let message = |entry: &Entry| match entry {
            Entry::Progress(progress) => Some(progress.message),
            _ => None,
        };
        let messages: Vec<MessageId> = entries.iter().filter_map(message).collect();
        if !messages.is_empty() {
            let mut index = lock(index);
            messages.iter().for_each(|id| index.change_begins(*id));
        }
        Self { index, messages }
    }
}

impl Recording<'_> {
    /// Waits until the records are on stable storage.
    pub async fn end(self) -> Result<(), Fault> {
        self.spool.note_space(self.committing.end().await.map_err(Fault::from))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.messages.is_empty() {
            let mut index = lock(self.index);
            self.messages.iter().for_each(|id| index.change_ends(*id));
        }
    }
}

impl CommitTimes {
    fn add(&self, took: Duration) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() < COMMIT_TIMES_MAX {
            times.push(took);
        }
    }
}

/// A panic elsewhere while the lock was held cannot leave the index half changed: every change is one method call.
fn lock(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}
