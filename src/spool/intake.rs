//! The content of a message while it comes in: in memory up to a bound, in a file of its own beyond.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::journal::filesystem::{File, FileSystem};
use crate::model::id::MessageId;

use super::budget::Reservation;
use super::entry::BodyFile;
use super::{Fault, Shared};

/// A message's content on its way in. Dropping it forgets the content.
#[derive(Debug)]
pub struct Intake {
    shared: Arc<Shared>,
    id: MessageId,
    length: u64,
    chunks: Vec<Bytes>,
    chunk_bytes: usize,
    reservation: Reservation,
    file: Option<Spill>,
    /// Why content is missing: it must not be sealed.
    failed: Option<Fault>,
}

/// Content that is complete: on stable storage already, or small enough for the journal.
#[derive(Debug)]
pub struct Sealed {
    pub(super) content: Content,
    pub(super) reservation: Option<Reservation>,
    /// Removes the file again if the message is not committed.
    pub(super) orphan: Option<OrphanFile>,
}

#[derive(Debug)]
pub(super) enum Content {
    Memory(Vec<Bytes>),
    File(BodyFile),
}

impl Sealed {
    pub(super) fn in_memory(chunks: Vec<Bytes>, reservation: Option<Reservation>) -> Self {
        Self { content: Content::Memory(chunks), reservation, orphan: None }
    }
}

impl Intake {
    pub(super) fn new(shared: Arc<Shared>, id: MessageId) -> Self {
        let reservation = shared.budget.reservation();
        Self { shared, id, length: 0, chunks: Vec::new(), chunk_bytes: 0, reservation, file: None, failed: None }
    }

    /// Octets so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds a piece. Writes to the message's own file once there is too much for memory. After a fault the content is
    /// lost, and every later call fails.
    pub async fn push(&mut self, chunk: Bytes) -> Result<(), Fault> {
        self.check()?;
        self.length += chunk.len() as u64;
        self.chunk_bytes += chunk.len();
        let sizes = self.shared.sizes;
        let may_wait = match self.file {
            None => self.length <= sizes.inline_bytes_max,
            Some(_) => self.chunk_bytes < sizes.spill_bytes,
        };
        let stays = may_wait && self.reservation.grow(chunk.len() as u64);
        self.chunks.push(chunk);
        if stays { Ok(()) } else { self.spill().await }
    }

    fn check(&self) -> Result<(), Fault> {
        self.failed.map_or(Ok(()), Err)
    }

    /// Everything has been pushed.
    pub async fn seal(mut self) -> Result<Sealed, Fault> {
        self.check()?;
        if self.file.is_none() {
            return Ok(Sealed::in_memory(self.chunks, Some(self.reservation)));
        }
        self.spill().await?;
        let Some(spill) = self.file.take() else { return Err(Fault::Unavailable) };
        let shared = self.shared.clone();
        blocking(move || {
            spill.seal().inspect_err(|_| {
                // What the disk holds is not known any more.
                shared.sync_failed.store(true, Ordering::Relaxed);
            })
        })
        .await
    }

    async fn spill(&mut self) -> Result<(), Fault> {
        // A caller that goes away before the end leaves this behind.
        self.failed = Some(Fault::Unavailable);
        let written = self.write_chunks().await;
        self.failed = written.err();
        if written == Err(Fault::NoSpace) {
            self.shared.full.store(true, Ordering::Relaxed);
        }
        self.reservation = self.shared.budget.reservation();
        written
    }

    async fn write_chunks(&mut self) -> Result<(), Fault> {
        let chunks = std::mem::take(&mut self.chunks);
        self.chunk_bytes = 0;
        let spill = match self.file.take() {
            Some(spill) => spill,
            None => {
                let (shared, id) = (self.shared.clone(), self.id);
                blocking(move || Spill::create(&shared.fs, &shared.bodies, id)).await?
            }
        };
        self.file = Some(blocking(move || spill.write(&chunks)).await?);
        Ok(())
    }
}

/// Runs blocking file work off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Fault::Unavailable))
}

/// The file while it is written.
#[derive(Debug)]
struct Spill {
    file: Box<dyn File>,
    fs: Arc<dyn FileSystem>,
    folder: PathBuf,
    length: u64,
    hasher: crc32fast::Hasher,
    orphan: OrphanFile,
}

impl Spill {
    fn create(fs: &Arc<dyn FileSystem>, folder: &Path, id: MessageId) -> Result<Self, Fault> {
        let path = body_path(folder, id);
        let file = fs.create(&path).map_err(|error| fault(&error))?;
        Ok(Self {
            file,
            fs: fs.clone(),
            folder: folder.to_owned(),
            length: 0,
            hasher: crc32fast::Hasher::new(),
            orphan: OrphanFile { fs: fs.clone(), path, is_doomed: true },
        })
    }

    fn write(mut self, chunks: &[Bytes]) -> Result<Self, Fault> {
        for chunk in chunks {
            self.hasher.update(chunk);
            self.length += chunk.len() as u64;
        }
        let mut parts: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        self.file.append(&mut parts).map_err(|error| fault(&error))?;
        Ok(self)
    }

    /// The frame that names the file is written only after the file and its name are durable.
    fn seal(mut self) -> Result<Sealed, Fault> {
        self.file.sync().map_err(|_| Fault::Unavailable)?;
        self.fs.sync_folder(&self.folder).map_err(|_| Fault::Unavailable)?;
        let file = BodyFile { length: self.length, crc: self.hasher.finalize() };
        Ok(Sealed { content: Content::File(file), reservation: None, orphan: Some(self.orphan) })
    }
}

fn fault(error: &std::io::Error) -> Fault {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Fault::NoSpace,
        _ => Fault::Busy,
    }
}

/// A file that no message names yet.
#[derive(Debug)]
pub(super) struct OrphanFile {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    is_doomed: bool,
}

impl OrphanFile {
    /// A message may name it from now on; the next start removes it if none does.
    pub(super) fn adopt(&mut self) {
        self.is_doomed = false;
    }

    /// No message names it, nor will one.
    pub(super) fn remove(mut self) {
        self.is_doomed = true;
    }
}

impl Drop for OrphanFile {
    fn drop(&mut self) {
        if self.is_doomed {
            // What cannot be removed now is found and removed at the next start.
            _ = self.fs.remove(&self.path);
        }
    }
}

const BODY_SUFFIX: &str = ".body";

pub(super) fn body_path(folder: &Path, id: MessageId) -> PathBuf {
    folder.join(format!("{id}{BODY_SUFFIX}"))
}

/// The message that a file in the folder belongs to.
pub(super) fn body_owner(name: &str) -> Option<MessageId> {
    let id: MessageId = name.strip_suffix(BODY_SUFFIX)?.parse().ok()?;
    // Only the spelling that we use ourselves.
    (name == format!("{id}{BODY_SUFFIX}")).then_some(id)
}
