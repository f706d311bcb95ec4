//! Verifies a whole spool, content and all, and says what of it is lost. Changes nothing and takes no lock.
//!
//! Beside a daemon that runs, what is being written now and what goes meanwhile looks damaged: such findings are held
//! against a second look, and only what both have seen counts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::filesystem::FileSystem;
use crate::journal::{self, Damage, Location, OpenError, Recovery, Replayed, ScanRequest, TornTail, What, open_body};
use crate::model::id::{MessageId, RecordId};

use super::body::BodyError;
use super::entry::{KIND_AUDIT, KIND_MESSAGE, MessageMeta, record_id};
use super::intake::body_owner;
use super::open::Replay;
use super::peek::{PeekError, Peeked, SCANS_MAX, read_error};

/// Content files are read in pieces of this size.
const READ_BYTES: usize = 256 << 10;
/// Records and messages of damaged batches that are looked at, beyond which nobody reads on.
const SALVAGED_MAX: usize = 10_000;

/// What a check has found.
#[derive(Debug)]
pub struct Checked {
    /// The spool as far as it can be read.
    pub peeked: Peeked,
    /// A daemon has the spool: its end is being written, and a torn one is no finding.
    pub in_use: bool,
    pub counts: Counts,
    pub findings: Vec<Finding>,
    pub torn: Option<TornTail>,
    /// The audit records that can be read in batches of which something is lost: they tell what it was.
    pub records: Vec<String>,
    /// The messages whose entries can be read in these batches.
    pub readable: BTreeSet<MessageId>,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub segments: u64,
    pub bytes: u64,
    pub batches: u64,
    pub entries: u64,
    pub content_files: u64,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Of the journal.
    Damage { damage: Damage, owner: Owner },
    /// The content of a message that is not finished, in a file of its own.
    Content { message: MessageId, error: BodyError },
    /// What this release cannot make sense of, in words.
    Unreadable(String),
}

/// Whose body is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is no damaged body, or nobody's.
    Unknown,
    /// A message that is not finished: it cannot be delivered.
    Waiting(MessageId),
    /// A message that is finished: nothing is lost.
    Finished(MessageId),
    Record(RecordId),
}

/// Reads everything in the spool at `path`. `progress` is told the bytes so far, and all there are. Blocks.
pub fn check(path: &Path, fs: Arc<dyn FileSystem>, progress: &mut dyn FnMut(u64, u64)) -> Result<Checked, PeekError> {
    let place = Place { path: path.to_owned(), journal: path.join("journal"), bodies: path.join("bodies"), fs };
    let before = place.is_in_use()?;
    let mut checked = place.look(progress)?;
    checked.in_use = before || place.is_in_use()?;
    if checked.in_use && !checked.findings.is_empty() {
        let mut again = place.look(progress)?;
        again.in_use = true;
        again.findings.retain(|finding| checked.findings.contains(finding));
        checked = again;
    }
    if checked.in_use {
        checked.torn = None;
    }
    place.salvage(&mut checked)?;
    Ok(checked)
}

struct Place {
    path: PathBuf,
    journal: PathBuf,
    bodies: PathBuf,
    fs: Arc<dyn FileSystem>,
}

impl Place {
    fn is_in_use(&self) -> Result<bool, PeekError> {
        let holder = self.fs.holder(&self.journal);
        holder.map(|holder| holder.is_some()).map_err(|error| self.io_error(&self.journal, &error))
    }

    fn io_error(&self, at: &Path, error: &io::Error) -> PeekError {
        match error.kind() {
            io::ErrorKind::NotFound if at == self.journal => PeekError::Missing { path: self.path.clone() },
            kind => PeekError::Io { path: at.to_owned(), kind },
        }
    }

    fn look(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Checked, PeekError> {
        let mut tries = 1;
        loop {
            match self.look_once(progress) {
                // A segment that went between its name and its content.
                Err(PeekError::Journal(OpenError::Io { path, kind: io::ErrorKind::NotFound }))
                    if path != self.journal && tries < SCANS_MAX =>
                {
                    tries += 1;
                }
                looked => return looked,
            }
        }
    }

    fn look_once(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Checked, PeekError> {
        let sizes = journal::segment_bytes(self.fs.as_ref(), &self.journal)
            .map_err(|error| self.io_error(&self.journal, &error))?;
        let mut bases = BTreeMap::new();
        let total = sizes.iter().fold(0_u64, |base, (number, bytes)| {
            bases.insert(*number, base);
            base.saturating_add(*bytes)
        });
        let mut replay = Replay::default();
        let request = ScanRequest { folder: &self.journal, verify_bodies: true };
        let mut visit = |replayed: Replayed<'_>| {
            let base = bases.get(&replayed.location.segment).copied().unwrap_or(total);
            progress(base.saturating_add(replayed.location.offset).min(total), total);
            replay.entry(replayed);
        };
        let recovery = journal::scan(self.fs.as_ref(), request, &mut visit)?;
        let Recovery { batches, entries, ref damage, torn, .. } = recovery;
        let counts = Counts { segments: sizes.len() as u64, bytes: total, batches, entries, content_files: 0 };
        let place_of = |damage: &Damage| Finding::Damage { damage: damage.clone(), owner: Owner::Unknown };
        let findings: Vec<Finding> = damage.iter().map(place_of).collect();
        let peeked = Peeked::new(&self.path, self.fs.clone(), replay, recovery.clone());
        let (records, readable) = (Vec::new(), BTreeSet::new());
        let mut checked = Checked { peeked, in_use: false, counts, findings, torn, records, readable };
        self.look_at_files(&mut checked, progress)?;
        let unreadable = checked.peeked.unreadable.iter().cloned().map(Finding::Unreadable);
        checked.findings.extend(unreadable);
        Ok(checked)
    }

    /// Reads every content file of a message that is not finished.
    fn look_at_files(&self, checked: &mut Checked, progress: &mut dyn FnMut(u64, u64)) -> Result<(), PeekError> {
        let owners = checked.peeked.index.file_owners();
        let mut buffer = vec![0; READ_BYTES];
        for message in owners {
            let stored = checked.peeked.load(message).ok().flatten();
            let Some(stored) = stored else { continue };
            let read = checked.peeked.content(&stored).and_then(|mut content| {
                loop {
                    match content.read(&mut buffer) {
                        Ok(0) => return Ok(()),
                        Ok(count) => checked.counts.bytes = checked.counts.bytes.saturating_add(count as u64),
                        Err(error) => return Err(read_error(&error)),
                    }
                    progress(checked.counts.bytes, checked.counts.bytes);
                }
            });
            checked.counts.content_files += 1;
            checked.findings.extend(read.err().map(|error| Finding::Content { message, error }));
        }
        for name in self.strangers()? {
            checked.peeked.unreadable.push(format!("bodies/{name}: not a file of ours"));
        }
        Ok(())
    }

    fn strangers(&self) -> Result<Vec<String>, PeekError> {
        match self.fs.list(&self.bodies) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => {
                let names = names.map_err(|error| self.io_error(&self.bodies, &error))?;
                Ok(names.into_iter().filter(|name| body_owner(name).is_none()).collect())
            }
        }
    }

    /// Finds whose each damaged body is, and what is left of the batches that have lost something.
    fn salvage(&self, checked: &mut Checked) -> Result<(), PeekError> {
        let damages = checked.findings.iter().filter_map(|finding| match finding {
            Finding::Damage { damage, .. } => Some(damage),
            Finding::Content { .. } | Finding::Unreadable(_) => None,
        });
        let mut left = Salvage::of(damages);
        if left.is_empty() {
            return Ok(());
        }
        let request = ScanRequest { folder: &self.journal, verify_bodies: false };
        journal::scan(self.fs.as_ref(), request, &mut |replayed| left.entry(&replayed))?;
        for finding in &mut checked.findings {
            if let Finding::Damage { damage, owner } = finding
                && let Some(known) = left.owners.get(&(damage.segment, damage.offset))
            {
                *owner = match *known {
                    // A message that was moved or that is finished needs this copy no more.
                    Owner::Waiting(id) if !checked.peeked.lies_at(id, damage.segment, damage.offset) => {
                        Owner::Finished(id)
                    }
                    known => known,
                };
            }
        }
        let text = |location: &Location| {
            let body = open_body(self.fs.as_ref(), &self.journal, location).and_then(|body| body.read_whole());
            body.ok().and_then(|body| String::from_utf8(body).ok())
        };
        checked.records = left.records.iter().filter_map(text).collect();
        checked.readable = left.messages;
        Ok(())
    }
}

/// What is known of the places that are damaged.
struct Salvage {
    places: BTreeSet<(u64, u64)>,
    sequences: Vec<std::ops::RangeInclusive<u64>>,
    owners: BTreeMap<(u64, u64), Owner>,
    messages: BTreeSet<MessageId>,
    records: Vec<Location>,
}

impl Salvage {
    fn of<'a>(damages: impl Iterator<Item = &'a Damage>) -> Self {
        let (mut places, mut sequences) = (BTreeSet::new(), Vec::new());
        for damage in damages {
            match damage.what {
                What::Body => _ = places.insert((damage.segment, damage.offset)),
                _ => sequences.extend(damage.sequences.clone()),
            }
        }
        let (owners, messages, records) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { places, sequences, owners, messages, records }
    }

    fn is_empty(&self) -> bool {
        self.places.is_empty() && self.sequences.is_empty()
    }

    fn entry(&mut self, replayed: &Replayed<'_>) {
        let Replayed { kind, meta, location, sequence, .. } = replayed;
        let message = || (*kind == KIND_MESSAGE).then(|| serde_json::from_slice::<MessageMeta>(meta).ok()).flatten();
        let place = (location.segment, location.offset);
        if self.places.contains(&place) && location.length > 0 {
            let owner = match *kind {
                KIND_AUDIT => record_id(meta).map(Owner::Record),
                _ => message().map(|meta| Owner::Waiting(meta.envelope.id)),
            };
            self.owners.extend(owner.map(|owner| (place, owner)));
        }
        let has_room = self.records.len() + self.messages.len() < SALVAGED_MAX;
        if has_room && self.sequences.iter().any(|lost| lost.contains(sequence)) {
            match *kind {
                KIND_AUDIT => self.records.push(*location),
                _ => self.messages.extend(message().map(|meta| meta.envelope.id)),
            }
        }
    }
}
