//! Reads a spool that no daemon has open: what is in it, and what is wrong with it. Changes nothing, takes no lock,
//! and needs no permission to write.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::filesystem::FileSystem;
use crate::journal::{self, Damage, Recovery, Replayed, ScanRequest, TornTail, open_body};
use crate::model::id::MessageId;

use super::body::{BodyError, FileReader};
use super::decode::replaying;
use super::holds::Holds;
use super::index::{Index, Stored};
use super::intake::{body_owner, body_path};
use super::load::envelope_of;
use super::open::Replay;
use super::outline::Outline;
use super::packed::Place;

/// A segment that goes while a scan begins means another scan; so often.
pub(super) const SCANS_MAX: u32 = 5;

/// Why a spool cannot be looked into.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// A daemon runs: it is to be asked.
    #[error("the spool {} is in use{}", .path.display(), by(*.pid))]
    InUse { path: PathBuf, pid: Option<u32> },
    /// No daemon has ever run on it.
    #[error("there is no spool in {}", .path.display())]
    Missing { path: PathBuf },
    #[error("{0}")]
    Journal(#[from] journal::OpenError),
    #[error("{}: {kind}", .path.display())]
    Io { path: PathBuf, kind: io::ErrorKind },
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}

/// What lies in a spool.
pub struct Peeked {
    fs: Arc<dyn FileSystem>,
    journal: PathBuf,
    bodies: PathBuf,
    pub(super) index: Index,
    /// Acknowledged data that cannot be read.
    pub damage: Vec<Damage>,
    /// The last write was not finished; nobody was told that it succeeded.
    pub torn: Option<TornTail>,
    /// What this release cannot make sense of, in words.
    pub unreadable: Vec<String>,
}

impl fmt::Debug for Peeked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peeked").field("messages", &self.index.message_count()).finish_non_exhaustive()
    }
}

/// Looks into the spool at `path`, which holds `journal/` and `bodies/`. Blocks.
pub fn peek(path: &Path, fs: Arc<dyn FileSystem>) -> Result<Peeked, PeekError> {
    let journal = path.join("journal");
    refuse_in_use(path, &journal, fs.as_ref())?;
    let (recovery, replay) = replaying(|entry| scan(fs.as_ref(), &journal, entry));
    // A daemon that started meanwhile has changed what was read.
    refuse_in_use(path, &journal, fs.as_ref())?;
    let mut peeked = Peeked::new(path, fs, replay, recovery?);
    peeked.look_for_bodies()?;
    Ok(peeked)
}

/// The same beside a daemon, or without one: what is written and removed meanwhile may be told either way. Blocks.
pub fn peek_beside(path: &Path, fs: Arc<dyn FileSystem>) -> Result<Peeked, PeekError> {
    let journal = path.join("journal");
    let mut tries = 1;
    loop {
        let (recovery, replay) = replaying(|entry| scan(fs.as_ref(), &journal, entry));
        match recovery {
            // A segment went between its name and its content.
            Err(PeekError::Journal(journal::OpenError::Io { kind: io::ErrorKind::NotFound, .. }))
                if tries < SCANS_MAX =>
            {
                tries += 1;
            }
            recovery => return Ok(Peeked::new(path, fs, replay, recovery?)),
        }
    }
}

fn refuse_in_use(path: &Path, journal: &Path, fs: &dyn FileSystem) -> Result<(), PeekError> {
    match fs.holder(journal) {
        Ok(None) => Ok(()),
        Ok(Some(holder)) => Err(PeekError::InUse { path: path.to_owned(), pid: holder.pid }),
        Err(error) => Err(PeekError::Io { path: journal.to_owned(), kind: error.kind() }),
    }
}

fn scan(fs: &dyn FileSystem, journal: &Path, entry: &mut dyn FnMut(Replayed<'_>)) -> Result<Recovery, PeekError> {
    let request = ScanRequest { folder: journal, verify_bodies: false };
    journal::scan(fs, request, entry).map_err(|error| match error {
        journal::OpenError::Io { path, kind: io::ErrorKind::NotFound } if path == journal => {
            PeekError::Missing { path: journal.parent().unwrap_or(journal).to_owned() }
        }
        error => PeekError::Journal(error),
    })
}

impl Peeked {
    pub(super) fn new(path: &Path, fs: Arc<dyn FileSystem>, replay: Replay, recovery: Recovery) -> Self {
        let Replay { index, unreadable, .. } = replay;
        let Recovery { damage, torn, .. } = recovery;
        Self { fs, journal: path.join("journal"), bodies: path.join("bodies"), index, damage, torn, unreadable }
    }

    /// The messages that are not finished.
    pub fn message_count(&self) -> usize {
        self.index.message_count()
    }

    /// Their ids in order, `after` excluded, at most `limit`.
    pub fn ids(&self, after: Option<MessageId>, limit: usize) -> Vec<MessageId> {
        self.index.ids(after, limit)
    }

    /// The destinations that are held.
    pub fn holds(&self) -> Holds {
        self.index.holds().cloned().unwrap_or_default()
    }

    /// What is known of a message without reading its envelope.
    pub fn outline(&self, id: MessageId) -> Option<Outline> {
        self.index.outline(id)
    }

    /// A message with the state of its recipients; `None` if it is not here. Blocks.
    ///
    /// # Errors
    /// Its envelope cannot be read (any more).
    pub fn load(&self, id: MessageId) -> Result<Option<Stored>, BodyError> {
        let (Some(lies), Some(states)) = (self.index.lies(id), self.index.states(id)) else { return Ok(None) };
        let mut meta = Vec::new();
        let mut reader = open_body(self.fs.as_ref(), &self.journal, &lies.meta)?;
        reader.read_to_end(&mut meta).map_err(|error| read_error(&error))?;
        let envelope = envelope_of(id, &meta).ok_or(BodyError::Damaged)?;
        Ok(Some(Stored { envelope, states, place: lies.place, cached: None }))
    }

    /// The content of a message from its start. The read that reaches the end fails with
    /// [`io::ErrorKind::InvalidData`] if it is not what was stored. Blocks.
    pub fn content(&self, stored: &Stored) -> Result<Box<dyn Read + Send>, BodyError> {
        match stored.place {
            Place::Journal(location) => Ok(Box::new(open_body(self.fs.as_ref(), &self.journal, &location)?)),
            Place::File(file) => {
                let path = body_path(&self.bodies, stored.envelope.id);
                Ok(Box::new(FileReader::open(self.fs.as_ref(), &path, file)?))
            }
        }
    }

    /// The first `bytes_max` octets of the content. Blocks.
    pub fn head(&self, stored: &Stored, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
        let mut head = Vec::new();
        let mut content = self.content(stored)?.take(bytes_max as u64);
        content.read_to_end(&mut head).map_err(|error| read_error(&error))?;
        Ok(head)
    }

    /// Whether the content of a message that is not finished lies there in the journal.
    pub(super) fn lies_at(&self, id: MessageId, segment: u64, offset: u64) -> bool {
        let lies = self.index.lies(id).map(|lies| lies.place);
        matches!(lies, Some(Place::Journal(at)) if (at.segment, at.offset) == (segment, offset))
    }

    /// Notes the content files that are missing.
    fn look_for_bodies(&mut self) -> Result<(), PeekError> {
        let mut missing = self.index.file_owners();
        let names = match self.fs.list(&self.bodies) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| PeekError::Io { path: self.bodies.clone(), kind: error.kind() })?,
        };
        let present: BTreeSet<MessageId> = names.iter().filter_map(|name| body_owner(name)).collect();
        missing.retain(|id| !present.contains(id));
        self.unreadable.extend(missing.iter().map(|id| format!("message {id}: its content file is missing")));
        Ok(())
    }
}

/// What a failed read of content means.
pub fn read_error(error: &io::Error) -> BodyError {
    match error.kind() {
        io::ErrorKind::InvalidData => BodyError::Damaged,
        kind => BodyError::Io(kind),
    }
}
