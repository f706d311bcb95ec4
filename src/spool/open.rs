//! Opening the spool: replays the journal's metadata into the index and says what there is to do.

use std::path::PathBuf;
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
use super::{BodyBudget, CommitTimes, NewMessage, Shared, Spool, lock};

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
    Io { path: PathBuf, kind: std::io::ErrorKind },
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
        let bodies = options.path.join("bodies");
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |error: std::io::Error| OpenError::Io { path, kind: error.kind() }
        };
        fs.ensure_folder(&options.path).map_err(failed(&options.path))?;
        fs.ensure_folder(&bodies).map_err(failed(&bodies))?;
        let index = Arc::new(Mutex::new(Index::default()));
        let mut replay = Replay::default();
        let journal_options =
            journal::Options { folder: options.path.join("journal"), salt: options.salt, limits: options.limits };
        let observer = observer(index.clone(), audit);
        let (journal, recovery) =
            Journal::open(journal_options, fs.clone(), &mut |replayed| replay.entry(&replayed), observer)?;
        let audit = replay.read_audit(&journal);
        let Replay { index: replayed, mark, mut unreadable, .. } = replay;
        *lock(&index) = replayed;
        remove_orphans(fs.as_ref(), &bodies, &mut lock(&index), &mut unreadable).map_err(failed(&bodies))?;
        let pending = lock(&index).list(None, usize::MAX).iter().map(|stored| stored.envelope.id).collect();
        let shared = Shared {
            journal,
            fs,
            bodies,
            index,
            budget: options.budget,
            min_free_bytes: options.min_free_bytes,
            free_bytes: AtomicU64::new(u64::MAX),
            full: AtomicBool::new(false),
            commits: CommitTimes::default(),
        };
        let recovered = Recovered { pending, mark, audit, damage: recovery.damage, torn: recovery.torn, unreadable };
        Ok((Self { shared: Arc::new(shared) }, recovered))
    }
}

#[derive(Default)]
struct Replay {
    index: Index,
    mark: Option<Mark>,
    audit: Vec<(u64, RecordId, Location)>,
    unreadable: Vec<String>,
}

impl Replay {
    fn entry(&mut self, replayed: &Replayed<'_>) {
        let Replayed { kind, meta, location, sequence } = *replayed;
        let decoded = match kind {
            KIND_MESSAGE => serde_json::from_slice::<MessageMeta>(meta)
                .map(|meta| self.index.add(Added { meta, location, cached: None })),
            KIND_PROGRESS => serde_json::from_slice(meta).map(|p| self.index.progress(&p, location.segment)),
            KIND_CARRIED => serde_json::from_slice(meta).map(|c| self.index.carried(&c, location.segment)),
            KIND_MARK => serde_json::from_slice(meta).map(|mark| self.mark(mark)),
            KIND_AUDIT => {
                self.audit.extend(record_id(meta).map(|id| (sequence, id, location)));
                Ok(())
            }
            other => return self.cannot_read(format!("batch {sequence}: entry of unknown kind {other}")),
        };
        if let Err(error) = decoded {
            self.cannot_read(format!("batch {sequence}: entry of kind {kind}: {error}"));
        }
    }

    fn mark(&mut self, mark: Mark) {
        self.audit.retain(|(sequence, ..)| *sequence > mark.sequence);
        self.index.audit_is_durable(mark.sequence);
        self.mark = Some(mark);
    }

    fn cannot_read(&mut self, what: String) {
        if self.unreadable.len() < UNREADABLE_MAX {
            self.unreadable.push(what);
        }
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
                    Entry::Mark(_) => {}
                }
            }
        }
        audit(batch.sequence, records);
    })
}

fn added(message: NewMessage, location: Location) -> Added {
    let NewMessage { envelope, content: mut sealed } = message;
    if let Some(orphan) = &mut sealed.orphan {
        orphan.adopt();
    }
    let (file, cached) = match sealed.content {
        Content::File(file) => (Some(file), None),
        Content::Memory(chunks) => (None, Some(Cached { chunks, _reservation: sealed.reservation })),
    };
    Added { meta: MessageMeta { envelope, file, states: Vec::new() }, location, cached }
}

/// Removes content files that no message names: their message was never accepted, or is finished.
fn remove_orphans(
    fs: &dyn FileSystem,
    bodies: &std::path::Path,
    index: &mut Index,
    unreadable: &mut Vec<String>,
) -> std::io::Result<()> {
    index.take_dropped_files();
    for name in fs.list(bodies)? {
        match body_owner(&name) {
            Some(id) if index.has_file(id) => {}
            Some(id) => fs.remove(&body_path(bodies, id))?,
            None => unreadable.push(format!("bodies/{name}: not a file of ours")),
        }
    }
    Ok(())
}
