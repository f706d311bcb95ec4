//! The one writer of the log: chained lines in numbered segments, each closed by a checkpoint, resumed exactly where it
//! stopped.
//!
//! After an error of `append`, `checkpoint`, `sync` or `rotate_key` nothing but [`Log::rewind`] may be called.

use std::collections::HashSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::journal::filesystem::{File, FileSystem, Lock, LockError};
use crate::model::id::RecordId;
use crate::model::record::AuditEntry;
use crate::model::time::Timestamp;
use crate::random;

use super::chain::Tip;
use super::checkpoint::{Checkpoint, Draft, Removed, Why, sign};
use super::event::{Event, Record, Stamp};
use super::key::{PublicKey, SigningKey};
use super::keyfile::{KeyError, KeyFiles};
use super::resume::{self, Found, Position, Request, day};
use super::segments::{Segment, of_names};

/// Begins what is told, and recorded as `audit.gap`, of lines that are not as they were written.
pub const DAMAGE: &str = "the audit log is damaged: ";
/// A segment that has grown to this many bytes is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Lines under one checkpoint.
pub const CHECKPOINT_LINES_MAX: u64 = 50_000;
/// Bytes that are collected before a write.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// A place up to which the log is on stable storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub segment: u64,
    /// Bytes of that segment that are synced.
    pub offset: u64,
    pub tip: Tip,
}

/// The log cannot be written or read. Nobody's fault but the system's; worth a retry.
#[derive(Debug, thiserror::Error)]
#[error("audit log {path}: {source}")]
pub struct LogError {
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl LogError {
    pub(super) fn of(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self { path: path.to_owned(), source }
    }
}

/// Why the log does not open, or its key is not replaced.
#[derive(Debug, thiserror::Error)]
pub enum LogOrKeyError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the key of the audit log: {0}")]
    Key(#[from] KeyError),
}

/// When a segment and a tree have to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub segment_bytes_max: u64,
    pub checkpoint_lines_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { segment_bytes_max: SEGMENT_BYTES_MAX, checkpoint_lines_max: CHECKPOINT_LINES_MAX }
    }
}

/// What the log is opened with.
#[derive(Debug)]
pub struct Opening<'a> {
    pub filesystem: Arc<dyn FileSystem>,
    pub folder: &'a Path,
    pub keys: KeyFiles,
    /// Of the checkpoints.
    pub stamp: Stamp,
    /// The last known synced place.
    pub mark: Option<&'a Mark>,
    /// The records that the journal hands over again, in order.
    pub replayed: &'a [AuditEntry],
    pub bounds: Bounds,
}

/// What was found when the log was opened.
#[derive(Debug, Default)]
pub struct Resumed {
    /// Of the replayed records those that the log has: they are not written again.
    pub present: HashSet<RecordId>,
    /// What does not fit; to be reported and recorded.
    pub problems: Vec<String>,
    /// What an interrupted write left at the end and was cut off; nothing of it was ever reported durable.
    pub cut: Option<String>,
    /// A key was made, as there was none.
    pub new_key: Option<PublicKey>,
    /// Whether a checkpoint is due at once: the last line is none, or another key than its own signs from now on.
    pub wants_checkpoint: bool,
}

/// What became durable since it was last asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Lines of checkpoints, without line ends.
    pub checkpoints: Vec<String>,
    /// Segments that nothing will be appended to any more.
    pub closed: Vec<Segment>,
}

/// The one writer.
#[derive(Debug)]
pub struct Log {
    /// Held as long as the log is written: two writers would tear the chain.
    _lock: Box<dyn Lock>,
    filesystem: Arc<dyn FileSystem>,
    folder: PathBuf,
    bounds: Bounds,
    keys: KeyFiles,
    key: SigningKey,
    stamp: Stamp,
    file: Box<dyn File>,
    /// What is not yet written to the file.
    buffer: String,
    end: Position,
    /// Where the log ends on stable storage.
    synced: Position,
    /// Lines of checkpoints that are not yet durable.
    unsynced_checkpoints: Vec<String>,
    news: News,
}

impl Log {
    /// Opens the folder, making it if need be, and goes on behind what is there.
    ///
    /// # Errors
    /// What is wrong with the content of the log is no error but in [`Resumed::problems`].
    pub fn open(opening: Opening<'_>) -> Result<(Self, Resumed), LogOrKeyError> {
        let Opening { filesystem, folder, keys, stamp, mark, replayed, bounds } = opening;
        filesystem.ensure_folder(folder).map_err(LogError::of(folder))?;
        let lock = filesystem.lock(folder).map_err(|error| not_locked(folder, error))?;
        let seen = keys.seen()?.and_then(|line| Checkpoint::parse(&line));
        let at_hand = keys.at_hand()?;
        let request = Request { filesystem: &filesystem, folder, mark, seen: seen.as_ref(), keys: &at_hand, replayed };
        let Found { end, exists, present, problems, cut, newest, is_contradicted } = resume::find(&request)?;
        let mut problems: Vec<_> = problems.into_iter().map(|problem| format!("{DAMAGE}{problem}")).collect();
        if let Some(seen) = seen.as_ref().filter(|_| is_contradicted) {
            let path = keys.set_aside_seen(seen.seq)?;
            problems.push(format!("{DAMAGE}checkpoint {}, which was known, is kept in {}", seen.seq, path.display()));
        }
        let newest = newest.into_iter().chain(seen).max_by_key(|checkpoint| checkpoint.seq);
        let (in_force, signer) = (newest.as_ref().map(Checkpoint::key_in_force), newest.map(|it| it.statement.key));
        let (key, is_new, problem) = keys.settle(in_force)?;
        problems.extend(problem);
        // A key that the log only names has not vouched for anything yet.
        let wants_checkpoint = !end.is_vouched_for || [in_force, signer] != [Some(key.public()); 2];
        let new_key = is_new.then(|| key.public());
        let path = Segment::plain(folder, end.segment).path;
        let file = open_at(filesystem.as_ref(), &path, exists.then_some(end.length)).map_err(LogError::of(&path))?;
        filesystem.sync_folder(folder).map_err(LogError::of(folder))?;
        let resumed = Resumed { present, problems, cut, new_key, wants_checkpoint };
        let (synced, folder) = (end.clone(), folder.to_owned());
        let (buffer, unsynced_checkpoints, news) = Default::default();
        #[rustfmt::skip]
        let log = Self {
            _lock: lock, filesystem, folder, bounds, keys, key, stamp,
            file, buffer, end, synced, unsynced_checkpoints, news,
        };
        Ok((log, resumed))
    }

    /// Adds one record. It is durable after the next `sync`.
    pub fn append(&mut self, entry: &AuditEntry, now: Timestamp) -> Result<(), LogError> {
        let is_full = self.end.length >= self.bounds.segment_bytes_max;
        if self.end.length > 0 && (is_full || self.end.day.is_some_and(|begun| begun < day(now))) {
            self.rotate(now)?;
        }
        if self.end.tree.len() >= self.bounds.checkpoint_lines_max {
            self.checkpoint(Why::Interval, now)?;
        }
        let line_bytes = self.end.tip.extend_into(&entry.json, &mut self.buffer);
        self.end.records = self.end.records.saturating_add(1);
        self.take_in(line_bytes, false, now)
    }

    /// Adds a checkpoint over the lines since the last one. It is durable after the next `sync`.
    pub fn checkpoint(&mut self, why: Why, now: Timestamp) -> Result<(), LogError> {
        self.sign(now, Draft { why, ..self.draft() })
    }

    /// Adds the tombstone of segments that are to be removed when it is durable.
    pub fn tombstone(&mut self, removed: Removed, now: Timestamp) -> Result<(), LogError> {
        self.sign(now, Draft { why: Why::Retention, removed: Some(removed), ..self.draft() })
    }

    /// Puts a new key in the place of the one that signs, by a checkpoint that the old one signs, and another one by
    /// which the new key takes over. Syncs. Gives the line of the old key's.
    ///
    /// # Errors
    /// After [`LogOrKeyError::Key`] the log goes on; whichever key it names by then stays in force.
    pub fn rotate_key(&mut self, now: Timestamp) -> Result<String, LogOrKeyError> {
        // What an earlier try left can be judged only when it is certain what the log says.
        self.sync()?;
        self.keys.settle_next(Some(self.key.public()))?;
        let next = self.keys.create_next()?;
        self.sign(now, Draft { why: Why::Key, next_key: Some(next.public()), ..self.draft() })?;
        let line = self.unsynced_checkpoints.last().cloned().unwrap_or_default();
        let old = std::mem::replace(&mut self.key, next);
        // Both at once: a crash leaves none, both, or the first, on which the next start follows with the second.
        if let Err(error) = self.checkpoint(Why::Key, now).and_then(|()| self.sync()) {
            self.key = old;
            return Err(error.into());
        }
        self.keys.promote_next()?;
        Ok(line)
    }

    /// Makes everything durable and says up to where.
    pub fn sync(&mut self) -> Result<Mark, LogError> {
        self.flush()?;
        self.file.sync().map_err(LogError::of(&self.path()))?;
        self.synced.clone_from(&self.end);
        self.news.checkpoints.append(&mut self.unsynced_checkpoints);
        Ok(Mark { segment: self.end.segment, offset: self.end.length, tip: self.end.tip.clone() })
    }

    /// After a fault: forgets what was not synced and opens the file anew, cut to what was.
    pub fn rewind(&mut self) -> Result<(), LogError> {
        let names = self.filesystem.list(&self.folder).map_err(LogError::of(&self.folder))?;
        for Segment { number, path, .. } in of_names(&self.folder, names) {
            if number > self.synced.segment {
                self.filesystem.remove(&path).map_err(LogError::of(&path))?;
            }
        }
        // One that came back after a crash would stand behind lines that are written now.
        self.filesystem.sync_folder(&self.folder).map_err(LogError::of(&self.folder))?;
        let path = Segment::plain(&self.folder, self.synced.segment).path;
        let file = open_at(self.filesystem.as_ref(), &path, Some(self.synced.length));
        self.file = file.map_err(LogError::of(&path))?;
        self.end.clone_from(&self.synced);
        self.buffer.clear();
        self.unsynced_checkpoints.clear();
        Ok(())
    }

    /// What became durable since the last call.
    pub fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// Keeps the line of a durable checkpoint outside of the log's folder, so that a log which was cut is seen.
    pub fn remember(&self, checkpoint: &str) -> Result<(), KeyError> {
        self.keys.remember(checkpoint)
    }

    /// The configuration that later checkpoints name.
    pub fn set_stamp(&mut self, stamp: Stamp) {
        self.stamp = stamp;
    }

    /// Whether the last line is a checkpoint.
    pub const fn is_vouched_for(&self) -> bool {
        self.end.is_vouched_for
    }

    /// How many of the records that were appended since the opening are durable: at least those before the last `sync`.
    pub const fn records_synced(&self) -> u64 {
        self.synced.records
    }

    /// The segment that is written.
    pub const fn segment(&self) -> u64 {
        self.end.segment
    }

    pub const fn tip(&self) -> &Tip {
        &self.end.tip
    }

    fn draft(&self) -> Draft {
        let Position { tree, .. } = &self.end;
        Draft { why: Why::Interval, first: self.end.first(), root: tree.root(), next_key: None, removed: None }
    }

    fn sign(&mut self, now: Timestamp, draft: Draft) -> Result<(), LogError> {
        let record = Record::new(&self.stamp, now, random::record_id(now), Event::Checkpoint);
        let signed = sign(draft, record, &self.end.tip, &self.key);
        let line = signed.map_err(|fault| LogError::of(&self.folder)(io::Error::other(fault)))?;
        self.end.tip.advance(line.as_bytes());
        self.buffer.push_str(&line);
        self.take_in(line.len(), true, now)?;
        self.unsynced_checkpoints.push(line);
        Ok(())
    }

    /// Takes in a line that ends the buffer and that the tip has moved on to.
    fn take_in(&mut self, line_bytes: usize, is_checkpoint: bool, now: Timestamp) -> Result<(), LogError> {
        if self.end.length == 0 {
            self.end.day = Some(day(now));
        }
        self.end.take_in(line_bytes, is_checkpoint);
        self.buffer.push('\n');
        if self.buffer.len() >= BUFFER_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    /// Hands what was appended to the system, so that readers of the file see it. It is not durable by that.
    pub fn flush(&mut self) -> Result<(), LogError> {
        if !self.buffer.is_empty() {
            self.file.append(&mut [IoSlice::new(self.buffer.as_bytes())]).map_err(LogError::of(&self.path()))?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Closes the segment with a checkpoint and begins the next. From then on there is no way back before it.
    fn rotate(&mut self, now: Timestamp) -> Result<(), LogError> {
        if !self.end.is_vouched_for {
            self.checkpoint(Why::Rotation, now)?;
        }
        self.sync()?;
        let next = self.end.segment.saturating_add(1);
        let path = Segment::plain(&self.folder, next).path;
        let file = self.filesystem.create(&path).map_err(LogError::of(&path))?;
        self.filesystem.sync_folder(&self.folder).map_err(LogError::of(&self.folder))?;
        self.news.closed.push(Segment::plain(&self.folder, self.end.segment));
        self.file = file;
        (self.end.segment, self.end.length, self.end.day) = (next, 0, None);
        self.synced.clone_from(&self.end);
        Ok(())
    }

    fn path(&self) -> PathBuf {
        Segment::plain(&self.folder, self.end.segment).path
    }
}

fn not_locked(folder: &Path, error: LockError) -> LogError {
    let source = match error {
        LockError::Io(source) => source,
        LockError::Taken { pid } => {
            let by = pid.map(|pid| format!(", process {pid},")).unwrap_or_default();
            io::Error::new(io::ErrorKind::ResourceBusy, format!("another daemon{by} writes this log"))
        }
    };
    LogError { path: folder.to_owned(), source }
}

/// Opens a segment for appending at `length` and cuts what stands behind it; `None` begins it.
fn open_at(filesystem: &dyn FileSystem, path: &Path, length: Option<u64>) -> io::Result<Box<dyn File>> {
    let Some(length) = length else { return filesystem.create(path) };
    let mut file = filesystem.open_writable(path)?;
    if file.length()? != length {
        file.set_length(length)?;
    }
    Ok(file)
}
