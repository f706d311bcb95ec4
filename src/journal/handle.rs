//! The handle: open, commit, read, remove, close.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::body::{BodyReader, open_body, read_from};
use super::filesystem::{FileSystem, LockError};
use super::folder::segment_path;
use super::format::HEADER_BYTES_U64;
use super::prepare::{Prepared, commit_bytes_max};
use super::queue::{Haste, Phase, Queue};
use super::recover::{Recovery, ScanRequest, survey};
use super::repair::repair;
use super::segments::{SegmentInfo, Segments};
use super::writer::{Active, Next, Observer, Writer};
use super::{Batch, Entry, Fault, Location, OpenError, Options, ReadError, RemoveError, Replayed};

const THREAD_NAME: &str = "gatepost-journal";

/// An open journal. Clones share it; it ends with [`Journal::close`] or the last of them.
pub struct Journal<E> {
    inner: Arc<Inner<E>>,
}

struct Inner<E> {
    queue: Arc<Queue<E>>,
    segments: Arc<Segments>,
    salt: u64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Whether a journal takes entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    /// Nothing is taken until the journal is opened anew.
    Failed(Fault),
    Closed,
}

impl<E: Entry> Journal<E> {
    /// Takes the folder, replays what it holds, puts its end in order and starts the writer.
    ///
    /// `replay` gets every entry in journal order, without bodies. `observer` gets every new batch on the writer's
    /// thread, in journal order, when it is durable and before those who committed it are answered; it must be quick,
    /// and a panic in it stops the journal. Blocks; the damage in [`Recovery`] is for the caller to judge.
    pub fn open(
        options: Options,
        fs: Arc<dyn FileSystem>,
        replay: &mut dyn FnMut(Replayed<'_>),
        observer: Box<dyn FnMut(Batch<E>) + Send>,
    ) -> Result<(Self, Recovery), OpenError> {
        let Options { folder, salt, limits } = options;
        if commit_bytes_max(&limits) <= HEADER_BYTES_U64 {
            return Err(OpenError::Limits);
        }
        let io_error = |error: io::Error| OpenError::Io { path: folder.clone(), kind: error.kind() };
        fs.ensure_folder(&folder).map_err(io_error)?;
        let lock = fs.lock(&folder).map_err(|error| match error {
            LockError::Taken { pid } => OpenError::Locked { pid },
            LockError::Io(error) => io_error(error),
        })?;
        let request = ScanRequest { folder: &folder, verify_bodies: false };
        let survey = survey(fs.as_ref(), request, replay)?;
        repair(fs.as_ref(), &folder, &survey)?;

        let mut next = Next { sequence: survey.recovery.next_sequence, number: survey.next_number };
        let segments = Arc::new(Segments::new(fs, folder.clone(), survey.infos));
        let active = Active::begin(&segments, &mut next, salt).map_err(|failure| OpenError::Begin(failure.fault))?;
        let queue = Arc::new(Queue::new(limits));
        let writer = Writer {
            queue: Arc::clone(&queue),
            segments: Arc::clone(&segments),
            observer: observer as Observer<E>,
            active,
            next,
            salt,
            _lock: lock,
        };
        let thread = thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(io_error)?;
        let inner = Inner { queue, segments, salt, writer: Mutex::new(Some(thread)) };
        Ok((Self { inner: Arc::new(inner) }, survey.recovery))
    }

    /// Makes the entries durable, all in one batch. They are when this returns `Ok`. After an error, or if the caller
    /// goes away before the end, they may or may not come back at the next start, but the observer has not seen them
    /// unless it got them before.
    pub async fn commit(&self, entries: Vec<E>) -> Result<(), Fault> {
        self.begin_commit(entries, Haste::Now).await?.end().await
    }

    /// Queues the entries, after a wait for room if need be. They are written whether or not somebody waits for the
    /// end, patient ones a moment later if nothing comes that they could go with.
    pub async fn begin_commit(&self, entries: Vec<E>, haste: Haste) -> Result<Committing, Fault> {
        self.check_running()?;
        if entries.is_empty() {
            return Ok(Committing(None));
        }
        let prepared = Prepared::new(entries, self.inner.salt, self.inner.queue.limits())?;
        self.inner.queue.push(prepared, haste).await.map(|answer| Committing(Some(answer)))
    }

    /// Lets the entries ride with the next batch, at the latest after `lazy_delay_max`. They outlast a lack of space,
    /// but not a crash before that batch.
    pub fn append_lazily(&self, entries: Vec<E>) -> Result<(), Fault> {
        self.check_running()?;
        if entries.is_empty() {
            return Ok(());
        }
        self.inner.queue.push_lazily(Prepared::new(entries, self.inner.salt, self.inner.queue.limits())?)
    }

    /// Whether, from the next batch on, no byte of a file changes any more once it is there, so that a copy that is
    /// made meanwhile is of one moment at each point of a file.
    pub fn set_append_only(&self, is_append_only: bool) {
        self.inner.queue.set_append_only(is_append_only);
    }

    fn check_running(&self) -> Result<(), Fault> {
        if self.state() == State::Running { Ok(()) } else { Err(Fault::Stopped) }
    }
}

impl<E> Journal<E> {
    /// Reads and checks a body. Blocks; never call it on a runtime thread.
    pub fn read_body(&self, location: &Location) -> Result<Vec<u8>, ReadError> {
        let read = self.reader(location).and_then(BodyReader::read_whole);
        self.note_damage(location, read)
    }

    /// Many bodies in turn. Those of one segment that follow one another cost one opening of its file. Blocks.
    pub fn read_bodies<'a>(
        &self,
        locations: impl Iterator<Item = &'a Location>,
        mut each: impl FnMut(Result<Vec<u8>, ReadError>),
    ) {
        let mut open_segment = None;
        let mut file = Err(ReadError::from(io::Error::from(io::ErrorKind::NotFound)));
        for location in locations {
            if open_segment != Some(location.segment) {
                let path = segment_path(self.inner.segments.folder(), location.segment);
                file = self.inner.segments.fs().open(&path).map_err(ReadError::from);
                open_segment = Some(location.segment);
            }
            let read = file.as_ref().map_err(|error| *error).and_then(|file| read_from(file.as_ref(), location));
            each(self.note_damage(location, read));
        }
    }

    /// A body in pieces, for the large ones. Blocks; never call it on a runtime thread.
    pub fn open_body(&self, location: &Location) -> Result<BodyReader, ReadError> {
        let opened = self.reader(location);
        self.note_damage(location, opened)
    }

    pub fn state(&self) -> State {
        match self.inner.queue.phase() {
            Phase::Open => State::Running,
            Phase::Closing | Phase::Closed => State::Closed,
            Phase::Failed(fault) => State::Failed(fault),
        }
    }

    /// Removes a segment for good and returns its space; durable on return. Refuses the active one and damaged ones.
    /// What else is in it is the caller's to know: entries that undo older ones must outlive those. Blocks.
    pub fn remove_segment(&self, number: u64) -> Result<(), RemoveError> {
        self.inner.segments.remove(number)
    }

    /// All segments in order, the active one last.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.inner.segments.list()
    }

    /// Bytes that the filesystem under the journal still takes. Blocks.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.inner.segments.fs().free_bytes(self.inner.segments.folder())
    }

    /// Writes what waits, takes nothing more, also from clones, and releases the folder. Blocks.
    pub fn close(self) {
        self.inner.close();
    }

    fn reader(&self, location: &Location) -> Result<BodyReader, ReadError> {
        open_body(self.inner.segments.fs().as_ref(), self.inner.segments.folder(), location)
    }

    fn note_damage<T>(&self, location: &Location, result: Result<T, ReadError>) -> Result<T, ReadError> {
        result.inspect_err(|error| {
            if *error == ReadError::Damaged {
                self.inner.segments.mark_damaged(location.segment);
            }
        })
    }
}

impl<E> Inner<E> {
    fn close(&self) {
        self.queue.close();
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The observer may drop the last handle on the writer's own thread, and a panic there is told by the state.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl<E> Drop for Inner<E> {
    fn drop(&mut self) {
        self.close();
    }
}

/// A commit that is under way.
#[derive(Debug)]
pub struct Committing(Option<oneshot::Receiver<Result<(), Fault>>>);

impl Committing {
    /// Waits until the entries are on stable storage.
    pub async fn end(self) -> Result<(), Fault> {
        match self.0 {
            Some(answer) => answer.await.unwrap_or(Err(Fault::Stopped)),
            None => Ok(()),
        }
    }
}

impl<E> Clone for Journal<E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<E> fmt::Debug for Journal<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("segments", &self.inner.segments).field("queue", &self.inner.queue).finish()
    }
}
