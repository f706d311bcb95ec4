//! Opening the spool: replays the journal's metadata into the index and says what there is to do.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use crate::journal::filesystem::FileSystem;
use crate::journal::{self, Batch, Committed, Damage, Journal, Location, ReadError, Replayed, TornTail};
use crate::model::id::{MessageId, RecordId};
use crate::model::record::AuditEntry;

use super::brief::Brief;
use super::cache::{Cached, envelope_bytes};
use super::compact::Compactor;
use super::decode::replaying;
use super::entry::{
    Again, Entry, KIND_AUDIT, KIND_CARRIED, KIND_HOLDS, KIND_MARK, KIND_MESSAGE, KIND_PROGRESS, Mark, MessageMeta,
    record_id,
};
use super::index::{Added, Index};
use super::intake::{Content, body_owner, body_path};
use super::outline::{MetaSketch, Outline};
use super::packed::{Lies, Place};
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
        let journal_options =
            journal::Options { folder: options.path.join("journal"), salt: options.salt, limits: options.limits };
        let observer = observer(index.clone(), options.budget.clone(), audit);
        let part_bytes = usize::try_from(options.limits.segment_bytes_max / 4).unwrap_or(usize::MAX);
        let sizes = Sizes { carried_bytes_max: sizes.carried_bytes_max.min(part_bytes), ..sizes };
        let (opened, mut replay) = replaying(|entry| Journal::open(journal_options, fs.clone(), entry, observer));
        let (journal, recovery) = opened?;
        let audit = replay.read_audit(&journal);
        replay.check_bodies(fs.as_ref(), &bodies, !recovery.damage.is_empty()).map_err(failed(&bodies))?;
        let Replay { index: replayed, unreadable, .. } = replay;
        let mark = replayed.mark().cloned();
        *lock(&index) = replayed;
        // Each start begins a segment, whose number was never used before.
        lock(&index).leases.begin(journal.segments().last().map_or(0, |info| info.number));
        let pending = lock(&index).ids(None, usize::MAX);
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
            compactor: Compactor::default(),
            tidying: tokio::sync::Mutex::default(),
            putting_holds: tokio::sync::Mutex::default(),
        };
        let recovered = Recovered { pending, mark, audit, damage: recovery.damage, torn: recovery.torn, unreadable };
        Ok((Self { shared: Arc::new(shared) }, recovered))
    }
}

/// The state that the journal's metadata tells.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) index: Index,
    /// In the order of the journal.
    audit: VecDeque<(u64, RecordId, Location)>,
    pub(super) unreadable: Vec<String>,
}

impl Replay {
    pub(super) fn entry(&mut self, replayed: Replayed<'_>) {
        let Replayed { kind, meta, location, sequence, .. } = replayed;
        let decoded = match kind {
            KIND_MESSAGE => self.message(&replayed),
            KIND_PROGRESS => serde_json::from_slice(meta).map(|p| self.index.progress(&p, location.segment)),
            KIND_CARRIED => serde_json::from_slice(meta).map(|c| self.index.carried(&c, location.segment)),
            KIND_MARK => serde_json::from_slice(meta).map(|mark| self.mark(mark, location.segment)),
            KIND_HOLDS => {
                serde_json::from_slice(meta).map(|holds| self.index.holds_are_written(holds, location.segment))
            }
            KIND_AUDIT => match record_id(meta) {
                Some(id) => {
                    self.index.needs_audit(location.segment, sequence);
                    self.audit.push_back((sequence, id, location));
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

    fn message(&mut self, replayed: &Replayed<'_>) -> serde_json::Result<()> {
        let (meta, in_journal) = (replayed.meta_at(), Place::Journal(replayed.location));
        let added = match Brief::read(replayed.meta) {
            Some(brief) => Added::fresh(&brief, &Lies { meta, place: in_journal }),
            None => {
                let (outline, file) = MetaSketch::read(replayed.meta)?;
                Added::new(outline, &Lies { meta, place: file.map_or(in_journal, Place::File) })
            }
        };
        self.index.add(added);
        Ok(())
    }

    fn mark(&mut self, mark: Mark, segment: u64) {
        while self.audit.pop_front_if(|(sequence, ..)| *sequence <= mark.sequence).is_some() {}
        self.index.mark_is_written(mark.sequence, segment);
        _ = self.index.audit_is_durable(mark);
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
        let audit = std::mem::take(&mut self.audit);
        let mut waiting = audit.iter();
        journal.read_bodies(audit.iter().map(|(_, _, location)| location), |text| {
            let Some(&(sequence, id, _)) = waiting.next() else { return };
            match text.and_then(|text| String::from_utf8(text).map_err(|_| ReadError::Damaged)) {
                Ok(text) => {
                    let entry = AuditEntry { id, json: text.into() };
                    match batches.last_mut() {
                        Some((last, entries)) if *last == sequence => entries.push(entry),
                        _ => batches.push((sequence, vec![entry])),
                    }
                }
                Err(error) => self.cannot_read(format!("batch {sequence}: audit record {id}: {error}")),
            }
        });
        batches
    }
}

/// Applies each durable batch to the index, announces new messages, and passes records on. Runs on the writer's thread.
fn observer(index: Arc<Mutex<Index>>, budget: BodyBudget, mut audit: AuditSink) -> Box<dyn FnMut(Batch<Entry>) + Send> {
    Box::new(move |batch: Batch<Entry>| {
        let mut records = Vec::new();
        {
            let (sequence, segment) = (batch.sequence, batch.segment);
            let mut index = lock(&index);
            for Committed { entry, location, meta_at } in batch.entries {
                match entry {
                    Entry::Message(message) => {
                        let id = message.envelope.id;
                        index.add(added(message, location, meta_at));
                        index.announce(id);
                    }
                    Entry::Progress(progress) => index.progress(&progress, location.segment),
                    Entry::Carried(carried) => index.carried(&carried, location.segment),
                    Entry::Again(again) => index.add(back(again, location, meta_at)),
                    Entry::Audit(entry) => records.push(entry),
                    Entry::Mark(mark) => index.mark_is_written(mark.sequence, location.segment),
                    Entry::Holds(holds) => index.holds_are_written(holds, location.segment),
                }
            }
            // As much as came in: those who fill the memory do not wait for the next round of maintenance.
            index.relieve(|| budget.is_tight());
            if !records.is_empty() {
                index.needs_audit(segment, sequence);
            }
        }
        audit(batch.sequence, records);
    })
}

fn back(again: Again, location: Location, meta: Location) -> Added {
    let MessageMeta { envelope, file, states } = again.meta;
    let outline = Outline { states, ..Outline::of(&envelope) };
    let place = file.map_or(Place::Journal(location), Place::File);
    Added::new(outline, &Lies { meta, place })
}

fn added(message: NewMessage, location: Location, meta: Location) -> Added {
    let NewMessage { envelope, content: sealed } = message;
    let brief = Brief::of(&envelope);
    let added = |place| Added::fresh(&brief, &Lies { meta, place });
    match (sealed.content, sealed.reservation) {
        (Content::File(file), _) => added(Place::File(file)),
        // Content that has no share of the budget is not kept in memory.
        (Content::Memory(_), None) => added(Place::Journal(location)),
        (Content::Memory(chunks), Some(mut reservation)) => {
            let added = added(Place::Journal(location));
            let has_room = reservation.grow(envelope_bytes(&envelope));
            added.cached(has_room.then_some(Cached { envelope, chunks, _reservation: reservation }))
        }
    }
}
