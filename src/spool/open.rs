//! Opening the spool: replays the journal's metadata into the index and says what there is to do.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use crate::journal::filesystem::FileSystem;
use crate::journal::{self, Batch, Committed, Damage, Journal, Location, ReadError, Replayed, TornTail};
use crate::model::id::{MessageId, RecordId};
use crate::model::record::AuditEntry;

use super::entry::{
    Entry, KIND_AUDIT, KIND_CARRIED, KIND_MARK, KIND_MESSAGE, KIND_PROGRESS, Mark, MessageMeta, record_id,
};
use super::index::{Added, Cached, Index};
use super::intake::{Content, body_owner, body_path};
use super::{BodyBudget, CommitTimes, NewMessage, Shared, Sizes, Spool, lock};

/// How to open a spool.
#[derive(Debug)]
pub struct Options {
    /// Holds `journal/` and `bodies/`.
    pub path: PathBuf,
    pub min_free_bytes: u64,
    pub budget: BodyBudget,
    pub limits: journal::Limits,
    /// Drawn anew for each start.
    pub salt: u64,
}

/// Audit entries of one journal batch, for the log.
pub type AuditSink = Box<dyn FnMut(u64, Vec<AuditEntry>) + Send>;

/// Why the spool does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Journal(#[from] journal::OpenError),
    #[error("{path}: {kind}")]
    Io { path: PathBuf, kind: io::ErrorKind },
}

/// What was found.
#[derive(Debug)]
pub struct Recovered {
    /// Messages that are not finished, in the order of their ids.
    pub pending: Vec<MessageId>,
    /// The last mark that the audit log left.
    pub mark: Option<Mark>,
    /// Records that may be missing in the log, by batch.
    pub audit: Vec<(u64, Vec<AuditEntry>)>,
    /// Acknowledged data that cannot be read. The caller decides whether to go on.
    pub damage: Vec<Damage>,
    pub torn: Option<TornTail>,
    /// Entries that this release cannot make sense of, although their checksums are right.
    pub unreadable: Vec<String>,
}

/// Entries that cannot be decoded are listed up to this many.
const UNREADABLE_MAX: usize = 100;

impl Spool {
    /// Opens the folder, making it if it is missing. `audit` gets every new batch's records after they are durable.
    /// Blocks.
    pub fn open(options: Options, fs: Arc<dyn FileSystem>, audit: AuditSink) -> Result<(Self, Recovered), OpenError> {
        Self::open_sized(options, Sizes::default(), fs, audit)
    }

    pub(super) fn open_sized(
        options: Options,
        sizes: Sizes,
        fs: Arc<dyn FileSystem>,
        audit: AuditSink,
    ) -> Result<(Self, Recovered), OpenError> {
        let bodies = options.path.join("bodies");
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |error: io::Error| OpenError::Io { path, kind: error.kind() }
        };
        fs.ensure_folder(&options.path).map_err(failed(&options.path))?;
        fs.ensure_folder(&bodies).map_err(failed(&bodies))?;
        let index = Arc::new(Mutex::new(Index::default()));
        let mut replay = Replay::default();
        let journal_options =
            journal::Options { folder: options.path.join("journal"), salt: options.salt, limits: options.limits };
        let observer = observer(index.clone(), audit);
        let part_bytes = usize::try_from(options.limits.segment_bytes_max / 4).unwrap_or(usize::MAX);
        let sizes = Sizes { carried_bytes_max: sizes.carried_bytes_max.min(part_bytes), ..sizes };
        let (journal, recovery) =
            Journal::open(journal_options, fs.clone(), &mut |replayed| replay.entry(replayed), observer)?;
        let audit = replay.read_audit(&journal);
        replay.check_bodies(fs.as_ref(), &bodies, !recovery.damage.is_empty()).map_err(failed(&bodies))?;
        let Replay { index: replayed, unreadable, .. } = replay;
        let mark = replayed.mark().cloned();
        *lock(&index) = replayed;
        let pending = lock(&index).list(None, usize::MAX).iter().map(|stored| stored.envelope.id).collect();
        let shared = Shared {
            journal,
            fs,
            bodies,
            index,
            budget: options.budget,
            sizes,
            min_free_bytes: options.min_free_bytes,
            free_bytes: AtomicU64::new(u64::MAX),
            full: AtomicBool::new(false),
            sync_failed: AtomicBool::new(false),
            commits: CommitTimes::default(),
        };
        let recovered = Recovered { pending, mark, audit, damage: recovery.damage, torn: recovery.torn, unreadable };
        Ok((Self { shared: Arc::new(shared) }, recovered))
    }
}

#[derive(Default)]
struct Replay {
    index: Index,
    audit: Vec<(u64, RecordId, Location)>,
    unreadable: Vec<String>,
}

impl Replay {
    fn entry(&mut self, replayed: Replayed<'_>) {
        let Replayed { kind, meta, location, sequence } = replayed;
        let decoded = match kind {
            KIND_MESSAGE => serde_json::from_slice::<MessageMeta>(meta)
                .map(|meta| self.index.add(Added { meta, location, cached: None })),
            KIND_PROGRESS => serde_json::from_slice(meta).map(|p| self.index.progress(&p, location.segment)),
            KIND_CARRIED => serde_json::from_slice(meta).map(|c| self.index.carried(&c, location.segment)),
            KIND_MARK => serde_json::from_slice(meta).map(|mark| self.mark(mark, location.segment)),
            KIND_AUDIT => match record_id(meta) {
                Some(id) => {
                    self.index.needs_audit(location.segment, sequence);
                    self.audit.push((sequence, id, location));
                    Ok(())
                }
                None => return self.not_understood(&replayed, &"an id is expected"),
            },
            _ => return self.not_understood(&replayed, &"this kind is not known"),
        };
        if let Err(error) = decoded {
            self.not_understood(&replayed, &error);
        }
    }

    fn mark(&mut self, mark: Mark, segment: u64) {
        self.audit.retain(|(sequence, ..)| *sequence > mark.sequence);
        self.index.mark_is_written(mark.sequence, segment);
        self.index.audit_is_durable(mark);
    }

    /// Its segment is kept for a release that can read it.
    fn not_understood(&mut self, replayed: &Replayed<'_>, why: &dyn std::fmt::Display) {
        let Replayed { kind, location, sequence, .. } = replayed;
        self.index.keep_segment(location.segment);
        self.cannot_read(format!("batch {sequence}: entry of kind {kind}: {why}"));
    }

    fn cannot_read(&mut self, what: String) {
        if self.unreadable.len() < UNREADABLE_MAX {
            self.unreadable.push(what);
        }
    }

    /// Removes content files that no message names: their message was never accepted, or is finished. When metadata was
    /// lost, only those of finished messages go.
    fn check_bodies(&mut self, fs: &dyn FileSystem, bodies: &Path, has_damage: bool) -> io::Result<()> {
        let has_gaps = has_damage || !self.unreadable.is_empty();
        let finished: BTreeSet<MessageId> = self.index.take_dropped_files().into_iter().collect();
        let mut missing = self.index.file_owners();
        for name in fs.list(bodies)? {
            match body_owner(&name) {
                Some(id) if missing.remove(&id) => {}
                Some(id) if has_gaps && !finished.contains(&id) => {
                    self.cannot_read(format!("bodies/{name}: kept, as the message that names it may be unreadable"));
                }
                Some(id) => fs.remove(&body_path(bodies, id))?,
                None => self.cannot_read(format!("bodies/{name}: not a file of ours")),
            }
        }
        for id in missing {
            self.cannot_read(format!("message {id}: its content file is missing"));
        }
        Ok(())
    }

    /// Reads the text of the records that the log may lack, batch by batch.
    fn read_audit(&mut self, journal: &Journal<Entry>) -> Vec<(u64, Vec<AuditEntry>)> {
        let mut batches: Vec<(u64, Vec<AuditEntry>)> = Vec::new();
        for (sequence, id, location) in std::mem::take(&mut self.audit) {
            let text = journal.read_body(&location).and_then(|b| String::from_utf8(b).map_err(|_| ReadError::Damaged));
            match text {
                Ok(text) => {
                    let entry = AuditEntry { id, json: text.into() };
                    match batches.last_mut() {
                        Some((last, entries)) if *last == sequence => entries.push(entry),
                        _ => batches.push((sequence, vec![entry])),
                    }
                }
                Err(error) => self.cannot_read(format!("batch {sequence}: audit record {id}: {error}")),
            }
        }
        batches
    }
}

/// Applies each durable batch to the index, announces new messages, and passes records on. Runs on the writer's thread.
fn observer(index: Arc<Mutex<Index>>, mut audit: AuditSink) -> Box<dyn FnMut(Batch<Entry>) + Send> {
    Box::new(move |batch: Batch<Entry>| {
        let mut records = Vec::new();
        {
            let (sequence, segment) = (batch.sequence, batch.segment);
            let mut index = lock(&index);
            for Committed { entry, location } in batch.entries {
                match entry {
                    Entry::Message(message) => {
                        let id = message.envelope.id;
                        index.add(added(message, location));
                        index.announce(id);
                    }
                    Entry::Progress(progress) => index.progress(&progress, location.segment),
                    Entry::Carried(carried) => index.carried(&carried, location.segment),
                    Entry::Audit(entry) => records.push(entry),
                    Entry::Mark(mark) => index.mark_is_written(mark.sequence, location.segment),
                }
            }
            if !records.is_empty() {
                index.needs_audit(segment, sequence);
            }
        }
        audit(batch.sequence, records);
    })
}

fn added(message: NewMessage, location: Location) -> Added {
    let NewMessage { envelope, content: sealed } = message;
    let (file, cached) = match (sealed.content, sealed.reservation) {
        (Content::File(file), _) => (Some(file), None),
        // Content that has no share of the budget is not kept in memory.
        (Content::Memory(_), None) => (None, None),
        (Content::Memory(chunks), Some(reservation)) => (None, Some(Cached { chunks, _reservation: reservation })),
    };
    Added { meta: MessageMeta { envelope, file, states: Vec::new() }, location, cached }
}
