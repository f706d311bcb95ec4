//! Messages outside of the spool: for each an `ID.eml` with its content as it was stored, and an `ID.json` with
//! envelope, states, and what the content must be. The second is written last: where it is, the first is whole.

use std::io::{self, IoSlice, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::journal::filesystem::{File, FileSystem};
use crate::model::envelope::Envelope;
use crate::model::hex;
use crate::model::id::MessageId;
use crate::model::record::AuditEntry;

use super::body::BodyError;
use super::compact::told;
use super::entry::{Again, Entry, MessageMeta};
use super::index::Stored;
use super::intake::{Content, Sealed};
use super::peek::read_error;
use super::state::RecipientState;
use super::{Fault, Spool, lock};

/// Of the files of an archive.
pub const ARCHIVE_FORMAT: u32 = 1;
/// Content is copied in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;
/// No envelope takes as much as this.
const DESCRIPTION_BYTES_MAX: u64 = 64 << 20;

/// What an `ID.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    pub format: u32,
    pub content: ArchivedContent,
    pub envelope: Arc<Envelope>,
    /// One for each recipient, in the order of the envelope.
    pub states: Vec<RecipientState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedContent {
    pub octets: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

fn in_words(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        kind => kind.to_string(),
    }
}

/// Why a message does not go out of the spool or into it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The spool's side cannot be read.
    #[error("{0}")]
    Content(BodyError),
    #[error("{}: {}", .path.display(), in_words(*.kind))]
    Io { path: PathBuf, kind: io::ErrorKind },
    #[error("{}: not what an export writes: {why}", .path.display())]
    Malformed { path: PathBuf, why: String },
    #[error("its archive has format {0}, which this release cannot read (it reads {ARCHIVE_FORMAT})")]
    Format(u32),
    #[error("its content is not what was exported")]
    Changed,
    /// The spool has it.
    #[error("it is in the queue already")]
    Queued,
    /// The journal still holds the message and its end; the end would hit the imported one.
    #[error("it was finished a short while ago")]
    Finished,
    #[error("none of its recipients is left")]
    NothingLeft,
    #[error("{0}")]
    Fault(Fault),
}

/// What became of a message that is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Written,
    /// It was there as it is.
    Present,
}

/// A folder of messages.
#[derive(Debug)]
pub struct Archive {
    fs: Arc<dyn FileSystem>,
    folder: PathBuf,
}

impl Archive {
    /// Makes the folder if it is missing.
    pub fn create(fs: Arc<dyn FileSystem>, folder: &Path) -> Result<Self, ArchiveError> {
        let archive = Self { fs, folder: folder.to_owned() };
        archive.fs.ensure_folder(folder).map_err(|error| archive.io_error(folder, &error))?;
        Ok(archive)
    }

    /// One that is there.
    pub fn open(fs: Arc<dyn FileSystem>, folder: &Path) -> Self {
        Self { fs, folder: folder.to_owned() }
    }

    fn io_error(&self, path: &Path, error: &io::Error) -> ArchiveError {
        ArchiveError::Io { path: path.to_owned(), kind: error.kind() }
    }

    fn path(&self, id: MessageId, suffix: &str) -> PathBuf {
        self.folder.join(format!("{id}.{suffix}"))
    }

    /// The messages of which there is a description, in order.
    pub fn ids(&self) -> Result<Vec<MessageId>, ArchiveError> {
        let names = self.fs.list(&self.folder).map_err(|error| self.io_error(&self.folder, &error))?;
        let owner = |name: &String| name.strip_suffix(".json").and_then(|id| id.parse().ok());
        let mut ids: Vec<MessageId> = names.iter().filter_map(owner).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Writes a message. Durable after [`Archive::sync`]; what a crash leaves of it is written anew.
    pub fn put(&self, stored: &Stored, content: &mut dyn Read) -> Result<Put, ArchiveError> {
        let id = stored.envelope.id;
        let (eml, json) = (self.path(id, "eml"), self.path(id, "json"));
        let before = self.describe(id).ok();
        let is_same = |archived: &Archived| archived.envelope == stored.envelope && self.has_content(id, archived);
        let content = match before.as_ref().filter(|archived| is_same(archived)) {
            Some(archived) if archived.states == stored.states => return Ok(Put::Present),
            Some(archived) => archived.content.clone(),
            None => self.replace(&eml, &mut |file| copy(content, file))?,
        };
        let (envelope, states) = (stored.envelope.clone(), stored.states.clone());
        let archived = Archived { format: ARCHIVE_FORMAT, content, envelope, states };
        // Strings and numbers only: this cannot fail.
        let mut text = serde_json::to_vec_pretty(&archived).unwrap_or_default();
        text.push(b'\n');
        self.replace(&json, &mut |file| copy(&mut text.as_slice(), file))?;
        Ok(Put::Written)
    }

    /// The names are on stable storage when this returns.
    pub fn sync(&self) -> Result<(), ArchiveError> {
        self.fs.sync_folder(&self.folder).map_err(|error| self.io_error(&self.folder, &error))
    }

    /// A file whose length is right is taken for whole: it got its name when it was.
    fn has_content(&self, id: MessageId, archived: &Archived) -> bool {
        let length = self.fs.open(&self.path(id, "eml")).and_then(|file| file.length());
        length.is_ok_and(|length| length == archived.content.octets)
    }

    /// Writes a new file under another name, and renames it when it is on stable storage.
    fn replace(
        &self,
        path: &Path,
        write: &mut dyn FnMut(&mut dyn File) -> Result<ArchivedContent, CopyError>,
    ) -> Result<ArchivedContent, ArchiveError> {
        let part = path.with_added_extension("part");
        let failed = |error: &io::Error| self.io_error(path, error);
        match self.fs.remove(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
            _ => {}
        }
        let mut file = self.fs.create(&part).map_err(|error| failed(&error))?;
        let content = write(file.as_mut()).map_err(|error| match error {
            CopyError::Read(error) => ArchiveError::Content(read_error(&error)),
            CopyError::Write(error) => failed(&error),
        });
        let done = content.and_then(|content| {
            file.sync().and_then(|()| self.fs.rename(&part, path)).map_err(|error| failed(&error))?;
            Ok(content)
        });
        if done.is_err() {
            // What cannot be removed now is replaced by the next try.
            _ = self.fs.remove(&part);
        }
        done
    }

    /// What is written of a message.
    pub fn describe(&self, id: MessageId) -> Result<Archived, ArchiveError> {
        let path = self.path(id, "json");
        let malformed =
            |why: &dyn std::fmt::Display| ArchiveError::Malformed { path: path.clone(), why: why.to_string() };
        let read = |file: Box<dyn File>| {
            let length = file.length()?.min(DESCRIPTION_BYTES_MAX);
            let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
            let count = file.read_at(0, &mut text)?;
            text.truncate(count);
            Ok(text)
        };
        let text = self.fs.open(&path).and_then(read).map_err(|error| self.io_error(&path, &error))?;
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format } = serde_json::from_slice(&text).map_err(|error| malformed(&error))?;
        if format != ARCHIVE_FORMAT {
            return Err(ArchiveError::Format(format));
        }
        let archived: Archived = serde_json::from_slice(&text).map_err(|error| malformed(&error))?;
        if archived.envelope.id != id {
            return Err(malformed(&"it describes another message"));
        }
        if archived.states.len() != archived.envelope.recipients.len() {
            return Err(malformed(&"it has not one state for each recipient"));
        }
        Ok(archived)
    }
}

/// Which side failed.
enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

fn copy(from: &mut dyn Read, to: &mut dyn File) -> Result<ArchivedContent, CopyError> {
    let (mut digest, mut octets) = (Context::new(&SHA256), 0_u64);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut piece).map_err(CopyError::Read)?;
        let part = piece.get(..count).unwrap_or_default();
        if part.is_empty() {
            return Ok(ArchivedContent { octets, sha256: hex::encode(digest.finish().as_ref()) });
        }
        digest.update(part);
        octets = octets.saturating_add(part.len() as u64);
        to.append(&mut [IoSlice::new(part)]).map_err(CopyError::Write)?;
    }
}

impl Spool {
    /// Takes a message of the archive, with its id, its states and the moment at which it was received. `records` are
    /// durable with it. Nothing of it is there after an error, unless the journal failed.
    pub async fn restore(
        &self,
        archive: &Archive,
        id: MessageId,
        records: Vec<AuditEntry>,
    ) -> Result<(), ArchiveError> {
        let archived = archive.describe(id)?;
        {
            let index = lock(&self.shared.index);
            if index.contains(id) {
                return Err(ArchiveError::Queued);
            }
            if index.is_buried(id) {
                return Err(ArchiveError::Finished);
            }
        }
        if archived.states.iter().all(|state| state.pending().is_none()) {
            return Err(ArchiveError::NothingLeft);
        }
        let Sealed { content, orphan, reservation: _reservation } = self.take_in(archive, &archived).await?;
        let (file, content) = match content {
            Content::File(file) => (Some(file), Vec::new()),
            Content::Memory(chunks) => (None, chunks),
        };
        let meta = MessageMeta { envelope: archived.envelope, file, states: told(archived.states) };
        let mut entries = vec![Entry::Again(Again { meta, content, orphan })];
        entries.extend(records.into_iter().map(Entry::Audit));
        self.commit(entries).await.map_err(ArchiveError::Fault)
    }

    async fn take_in(&self, archive: &Archive, archived: &Archived) -> Result<Sealed, ArchiveError> {
        let path = archive.path(archived.envelope.id, "eml");
        let failed = |error: io::Error| archive.io_error(&path, &error);
        let file = archive.fs.open(&path).map_err(failed)?;
        let mut intake = self.begin(archived.envelope.id).map_err(ArchiveError::Fault)?;
        let mut digest = Context::new(&SHA256);
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let count = file.read_at(intake.length(), &mut piece).map_err(failed)?;
            piece.truncate(count);
            if piece.is_empty() {
                break;
            }
            digest.update(&piece);
            intake.push(Bytes::from(piece)).await.map_err(ArchiveError::Fault)?;
            if intake.length() > archived.content.octets {
                return Err(ArchiveError::Changed);
            }
        }
        if (intake.length(), hex::encode(digest.finish().as_ref()))
            != (archived.content.octets, archived.content.sha256.clone())
        {
            return Err(ArchiveError::Changed);
        }
        intake.seal().await.map_err(ArchiveError::Fault)
    }
}
