//! The thread that writes: takes what waits, one write, one sync, tells the observer, answers.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::filesystem::{File, FileSystem, Lock};
use super::folder::{failed_path, segment_path};
use super::format::{ALIGNMENT, BatchHeader, FORMAT_VERSION, HEADER_BYTES_U64, Label, LabelKind};
use super::queue::{Phase, Queue, Request};
use super::segments::{SegmentInfo, Segments};
use super::{Batch, Committed, Fault};

/// A batch up to this size has room made for it and for others of its kind. Larger ones pay for themselves.
const SMALL_BATCH_BYTES: u64 = 64 << 10;

/// Called after each sync, before those who wait are answered.
pub(super) type Observer<E> = Box<dyn FnMut(Batch<E>) + Send>;

pub(super) struct Writer<E> {
    pub(super) queue: Arc<Queue<E>>,
    pub(super) segments: Arc<Segments>,
    pub(super) observer: Observer<E>,
    pub(super) active: Active,
    pub(super) next: Next,
    pub(super) salt: u64,
    /// Held until the last write is done.
    pub(super) _lock: Box<dyn Lock>,
}

/// The numbers that come next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) sequence: u64,
    pub(super) number: u64,
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Active {
    file: Box<dyn File>,
    number: u64,
    length: u64,
    /// Up to here there is room that the disk knows of, filled with zeros.
    zeroed_to: u64,
}

/// A fault, and whether the journal ends with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    stops: bool,
}

impl Failure {
    const fn passing(fault: Fault) -> Self {
        Self { fault, stops: false }
    }

    const fn stopping(fault: Fault) -> Self {
        Self { fault, stops: true }
    }
}

impl<E: Send + 'static> Writer<E> {
    /// Runs until the journal is closed or fails.
    pub(super) fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        let ending = Ending(&queue);
        while let Some(requests) = self.queue.take_batch() {
            self.write(requests);
        }
        if self.queue.phase() == Phase::Closing {
            self.seal();
            self.queue.end(Phase::Closed);
        }
        drop(ending);
    }

    fn write(&mut self, requests: Vec<Request<E>>) {
        let layout = Layout::of(&requests);
        match self.persist(layout, &requests) {
            Ok(offset) => self.conclude(requests, offset, layout),
            Err(failure) => self.refuse(requests, failure),
        }
    }

    /// Says that all before is synced. An end without a seal is no worse than a crash.
    fn seal(&mut self) {
        if self.active.length > HEADER_BYTES_U64 {
            // A file whose sync failed is left alone.
            if self.persist(Layout::default(), &[]).is_ok() {
                self.active.trim();
            }
        }
    }

    /// The place of the batch, which is on stable storage now.
    fn persist(&mut self, layout: Layout, requests: &[Request<E>]) -> Result<u64, Failure> {
        let meta_bytes = u32::try_from(layout.meta_bytes).map_err(|_| Failure::passing(Fault::TooLarge))?;
        let header = BatchHeader {
            salt: self.salt,
            sequence: self.next.sequence,
            body_bytes: layout.body_bytes,
            meta_bytes,
            entries: layout.entries,
            seal: requests.is_empty(),
        };
        let total_bytes = header.total_bytes();
        self.make_room(total_bytes)?;
        let head = header.encode();
        let padding = [0; ALIGNMENT as usize];
        let pad = total_bytes.saturating_sub(header.body_start()).saturating_sub(layout.body_bytes);
        let mut parts = vec![IoSlice::new(&head)];
        parts.extend(requests.iter().map(|request| IoSlice::new(&request.prepared.meta)));
        parts.extend(requests.iter().flat_map(|request| &request.prepared.bodies).map(|chunk| IoSlice::new(chunk)));
        parts.extend(padding.get(..usize::try_from(pad).unwrap_or(0)).map(IoSlice::new));

        self.active.make_room_ahead(total_bytes, self.queue.room_ahead_bytes());
        let offset = self.active.length;
        let written = self.active.append(&mut parts);
        written.inspect_err(|failure| self.mark_failed(*failure))?;
        self.active.length = offset.saturating_add(total_bytes);
        let sequence = self.next.sequence;
        self.next.sequence = sequence.saturating_add(1);
        self.segments.grow(self.active.number, sequence, self.active.length);
        Ok(offset)
    }

    /// Goes on in a new segment if the batch does not fit in this one.
    fn make_room(&mut self, total_bytes: u64) -> Result<(), Failure> {
        let is_empty = self.active.length <= HEADER_BYTES_U64;
        let end = self.active.length.saturating_add(total_bytes);
        if is_empty || end <= self.queue.limits().segment_bytes_max {
            return Ok(());
        }
        let begun = Active::begin(&self.segments, &mut self.next, self.salt);
        std::mem::replace(&mut self.active, begun?).trim();
        Ok(())
    }

    fn conclude(&mut self, requests: Vec<Request<E>>, offset: u64, layout: Layout) {
        let segment = self.active.number;
        let mut meta_start = offset.saturating_add(HEADER_BYTES_U64);
        let mut body_start = meta_start.saturating_add(layout.meta_bytes);
        let mut entries = Vec::with_capacity(layout.entries as usize);
        let mut answers = Vec::with_capacity(requests.len());
        for mut request in requests {
            for (entry, shape) in request.prepared.entries.drain(..) {
                let location = shape.body.locate(segment, body_start);
                entries.push(Committed { entry, location, meta_at: shape.meta.locate(segment, meta_start) });
            }
            meta_start = meta_start.saturating_add(request.prepared.meta.len() as u64);
            body_start = body_start.saturating_add(request.prepared.body_bytes);
            answers.push(request);
        }
        let sequence = self.next.sequence.saturating_sub(1);
        // If the observer panics, the journal is stopped before those who wait hear of it.
        let ending = Ending(&self.queue);
        (self.observer)(Batch { sequence, segment, entries });
        std::mem::forget(ending);
        for request in answers {
            request.answer(Ok(()));
        }
    }

    fn refuse(&mut self, requests: Vec<Request<E>>, failure: Failure) {
        let (waited, lazy): (Vec<_>, Vec<_>) = requests.into_iter().partition(|request| request.answer.is_some());
        if failure.stops {
            // Before the answers, so that who hears of the fault finds the journal stopped.
            self.queue.end(Phase::Failed(failure.fault));
        } else {
            self.queue.put_back(lazy, failure.fault);
        }
        for request in waited {
            request.answer(Err(failure.fault));
        }
    }

    /// Tells the next start what is not to be trusted, as far as the disk still takes it.
    fn mark_failed(&self, failure: Failure) {
        if failure.stops {
            let (number, length) = (self.active.number, self.active.length);
            mark_failed(
                &self.segments,
                Label {
                    kind: LabelKind::Failed,
                    version: FORMAT_VERSION,
                    number,
                    first: length,
                    second: self.next.sequence,
                },
            );
        }
    }
}

impl Active {
    /// Makes a segment and its name durable before anything is put in it.
    pub(super) fn begin(segments: &Segments, next: &mut Next, salt: u64) -> Result<Self, Failure> {
        let number = next.number;
        // A number is used once, so that what a failed attempt leaves behind is never written to.
        next.number = number.saturating_add(1);
        let path = segment_path(segments.folder(), number);
        let fs = segments.fs();
        let file = fs.create(&path).map_err(|error| Failure::passing(Fault::of_write(&error)))?;
        let mut active = Self { file, number, length: 0, zeroed_to: 0 };
        let kind = LabelKind::Segment;
        let label = Label { kind, version: FORMAT_VERSION, number, first: next.sequence, second: salt };
        let written = active
            .append(&mut [IoSlice::new(&label.encode())])
            .and_then(|()| fs.sync_folder(segments.folder()).map_err(|_| Failure::stopping(Fault::SyncFailed)));
        if let Err(failure) = written {
            abandon(segments, &path, label, failure);
            return Err(failure);
        }
        active.length = HEADER_BYTES_U64;
        segments.begin(SegmentInfo {
            number,
            bytes: active.length,
            first_sequence: next.sequence,
            last_sequence: next.sequence.saturating_sub(1),
            damaged: false,
        });
        Ok(active)
    }

    /// Makes room for a small batch and some that follow: to write over what is on the disk costs the filesystem half
    /// the time of making a file longer. Without it the batch makes it longer.
    fn make_room_ahead(&mut self, batch_bytes: u64, room_bytes: u64) {
        if room_bytes == 0 && self.zeroed_to > self.length {
            self.trim();
        }
        let is_there = self.length.saturating_add(batch_bytes) <= self.zeroed_to;
        if is_there || room_bytes == 0 || batch_bytes > SMALL_BATCH_BYTES {
            return;
        }
        let count = batch_bytes.saturating_add(room_bytes);
        self.zeroed_to = self.length.saturating_add(count);
        if self.file.zero_ahead(count).is_err() {
            self.trim();
        }
    }

    /// Gives back the room that was not used.
    fn trim(&mut self) -> bool {
        let is_cut = self.file.set_length(self.length).is_ok();
        self.zeroed_to = if is_cut { self.length } else { self.zeroed_to };
        is_cut
    }

    /// One write and one sync. After a lack of space the file is as before.
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> Result<(), Failure> {
        if let Err(error) = self.file.append(parts) {
            let fault = Fault::of_write(&error);
            let restored = fault == Fault::NoSpace && self.trim();
            return Err(if restored { Failure::passing(fault) } else { Failure::stopping(fault) });
        }
        self.file.sync().map_err(|_: io::Error| Failure::stopping(Fault::SyncFailed))
    }
}

/// Leaves a segment that was not begun whole.
fn abandon(segments: &Segments, path: &Path, label: Label, failure: Failure) {
    if failure.stops {
        mark_failed(segments, Label { kind: LabelKind::Failed, first: 0, second: label.first, ..label });
    } else {
        // Recovery passes over it if it stays.
        let _ = segments.fs().remove(path);
    }
}

fn mark_failed(segments: &Segments, label: Label) {
    let fs: &dyn FileSystem = segments.fs().as_ref();
    // The disk is failing: without the mark the next start reads the segment like any other.
    let _ = fs.create(&failed_path(segments.folder(), label.number)).and_then(|mut file| {
        file.append(&mut [IoSlice::new(&label.encode())])?;
        file.sync()?;
        fs.sync_folder(segments.folder())
    });
}

/// The sizes of a batch.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    entries: u32,
    meta_bytes: u64,
    body_bytes: u64,
}

impl Layout {
    fn of<E>(requests: &[Request<E>]) -> Self {
        let mut layout = Self::default();
        for prepared in requests.iter().map(|request| &request.prepared) {
            layout.entries = layout.entries.saturating_add(u32::try_from(prepared.entries.len()).unwrap_or(u32::MAX));
            layout.meta_bytes = layout.meta_bytes.saturating_add(prepared.meta.len() as u64);
            layout.body_bytes = layout.body_bytes.saturating_add(prepared.body_bytes);
        }
        layout
    }
}

/// Refuses all that waits when the thread ends, also by a panic of the observer.
struct Ending<'a, E>(&'a Queue<E>);

impl<E> Drop for Ending<'_, E> {
    fn drop(&mut self) {
        self.0.end(Phase::Failed(Fault::Stopped));
    }
}
