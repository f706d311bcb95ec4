//! Reading the content of a message back, piece by piece and checked.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::journal::filesystem::{File, FileSystem};
use crate::journal::{Location, ReadError};
use crate::model::id::MessageId;

use super::entry::BodyFile;
use super::index::Stored;
use super::intake::body_path;
use super::packed::Place;
use super::{Shared, lock};

/// Content is read in pieces of this size.
const READ_BYTES: usize = 128 << 10;

/// Why content cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The bytes are not those that were stored. Trying again does not help.
    #[error("the stored content is damaged")]
    Damaged,
    /// The content is gone: the message was finished meanwhile, or moved while it was read.
    #[error("the stored content is gone")]
    Gone,
    #[error("the stored content cannot be read: {0}")]
    Io(io::ErrorKind),
}

impl From<ReadError> for BodyError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Gone => Self::Gone,
            ReadError::Damaged => Self::Damaged,
            ReadError::Io(kind) => Self::Io(kind),
        }
    }
}

/// The content of one message, to be read from the start as often as needed.
#[derive(Clone, Debug)]
pub struct Body {
    shared: Arc<Shared>,
    id: MessageId,
    cached: Option<Vec<Bytes>>,
    place: Place,
}

impl Body {
    pub(super) fn new(shared: Arc<Shared>, stored: &Stored) -> Self {
        Self { shared, id: stored.envelope.id, cached: stored.cached.clone(), place: stored.place }
    }

    /// The pieces in order. What is in memory is not read again.
    pub async fn pieces(&self) -> Result<Pieces, BodyError> {
        if let Some(cached) = &self.cached {
            return Ok(Pieces::Memory(cached.clone().into_iter()));
        }
        let body = self.clone().current();
        let reader = blocking(move || body.open().map_err(|error| body.blame(error))).await?;
        Ok(Pieces::Reading(Some(reader)))
    }

    /// The first `bytes_max` octets, for notices and listings.
    pub async fn head(&self, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
        let mut pieces = self.pieces().await?;
        let mut head = Vec::new();
        while head.len() < bytes_max {
            let Some(piece) = pieces.next().await? else { break };
            head.extend_from_slice(&piece);
        }
        head.truncate(bytes_max);
        Ok(head)
    }

    fn open(&self) -> Result<Reader, BodyError> {
        match self.place {
            Place::Journal(location) => self.open_journal(&location),
            Place::File(file) => {
                let reader = FileReader::open(self.shared.fs.as_ref(), &body_path(&self.shared.bodies, self.id), file)?;
                Ok(Reader { source: Box::new(reader), left: file.length, body: self.clone() })
            }
        }
    }

    fn open_journal(&self, location: &Location) -> Result<Reader, BodyError> {
        let source = Box::new(self.shared.journal.open_body(location)?);
        Ok(Reader { source, left: location.length, body: self.clone() })
    }

    /// What is removed under a reader looks damaged to it.
    fn blame(&self, error: BodyError) -> BodyError {
        let is_here = || lock(&self.shared.index).lies(self.id).is_some_and(|lies| lies.place == self.place);
        if error == BodyError::Damaged && !is_here() { BodyError::Gone } else { error }
    }

    /// The same where the message lies now, which may have been moved since it was loaded.
    fn current(self) -> Self {
        let place = lock(&self.shared.index).lies(self.id).map_or(self.place, |lies| lies.place);
        Self { place, ..self }
    }
}

/// The way through the content. An error at any point means that nothing of it counts.
#[derive(Debug)]
pub enum Pieces {
    Memory(std::vec::IntoIter<Bytes>),
    Reading(Option<Reader>),
}

impl Pieces {
    /// The next piece, `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        match self {
            Self::Memory(chunks) => Ok(chunks.next()),
            Self::Reading(slot) => {
                let Some(mut reader) = slot.take() else { return Ok(None) };
                // Made here and not there: each of the threads that block would keep some of what it has made.
                let buffer = reader.buffer();
                let (reader, piece) = blocking(move || {
                    let piece = reader.piece(buffer)?;
                    Ok((reader, piece))
                })
                .await?;
                if piece.is_some() {
                    *slot = Some(reader);
                }
                Ok(piece)
            }
        }
    }
}

/// An open body.
pub struct Reader {
    source: Box<dyn Read + Send>,
    /// Octets that are still to come.
    left: u64,
    body: Body,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// Room for the next piece.
    fn buffer(&self) -> Vec<u8> {
        Vec::with_capacity(usize::try_from(self.left).unwrap_or(READ_BYTES).min(READ_BYTES))
    }

    fn piece(&mut self, mut piece: Vec<u8>) -> Result<Option<Bytes>, BodyError> {
        let mut part = self.source.by_ref().take(READ_BYTES as u64);
        match part.read_to_end(&mut piece) {
            Ok(0) => Ok(None),
            Ok(count) => {
                self.left = self.left.saturating_sub(count as u64);
                Ok(Some(piece.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(self.body.blame(BodyError::Damaged)),
            Err(error) => Err(BodyError::Io(error.kind())),
        }
    }
}

/// Reads content from its own file. The read that reaches the end fails with `InvalidData` if it is damaged.
pub(super) struct FileReader {
    handle: Box<dyn File>,
    file: BodyFile,
    offset: u64,
    hasher: crc32fast::Hasher,
}

impl FileReader {
    pub(super) fn open(fs: &dyn FileSystem, path: &Path, file: BodyFile) -> Result<Self, BodyError> {
        let handle = fs.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BodyError::Gone,
            kind => BodyError::Io(kind),
        })?;
        Ok(Self { handle, file, offset: 0, hasher: crc32fast::Hasher::new() })
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.file.length - self.offset).unwrap_or(usize::MAX).min(buffer.len());
        let Some(place) = buffer.get_mut(..left).filter(|place| !place.is_empty()) else { return Ok(0) };
        let count = self.handle.read_at(self.offset, place)?;
        self.hasher.update(place.get(..count).unwrap_or_default());
        self.offset += count as u64;
        let at_end = self.offset == self.file.length;
        let damaged = count == 0 || (at_end && self.hasher.clone().finalize() != self.file.crc);
        if damaged { Err(io::ErrorKind::InvalidData.into()) } else { Ok(count) }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BodyError> + Send + 'static,
) -> Result<T, BodyError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(BodyError::Io(io::ErrorKind::Other)))
}
