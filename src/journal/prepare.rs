//! From entries to the bytes of a batch. The caller's task does it, so that the writer only writes.

use bytes::Bytes;

use super::format::{ENTRY_HEAD_BYTES, EntryHead, HEADER_BYTES_U64};
use super::{BATCH_META_BYTES_MAX, ENTRY_META_BYTES_MAX, Entry, Fault, Limits, Location};

/// The padding of a batch and its header.
const BATCH_OVERHEAD_BYTES: u64 = HEADER_BYTES_U64 + 8;

/// Room for the metadata of most commits, so that it need not grow.
const META_BYTES_USUAL: usize = 4 << 10;

/// Where a part of an entry lies among those of its commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) crc: u32,
}

/// Where an entry lies: its metadata in the metadata of the commit, its body in the bodies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) meta: Part,
    pub(super) body: Part,
}

impl Part {
    /// The place in a segment, where the commit's parts of this kind begin at `start`.
    pub(super) const fn locate(&self, segment: u64, start: u64) -> Location {
        Location { segment, offset: start.saturating_add(self.offset), length: self.length, crc: self.crc }
    }
}

/// The entries of one commit, ready to be written.
#[derive(Debug)]
pub(super) struct Prepared<E> {
    pub(super) entries: Vec<(E, Shape)>,
    /// Heads and metadata.
    pub(super) meta: Vec<u8>,
    pub(super) bodies: Vec<Bytes>,
    pub(super) body_bytes: u64,
}

impl<E: Entry> Prepared<E> {
    pub(super) fn new(entries: Vec<E>, salt: u64, limits: &Limits) -> Result<Self, Fault> {
        if entries.len() > limits.batch_entries_max {
            return Err(Fault::TooLarge);
        }
        let (entries_room, meta) = (entries.len(), Vec::with_capacity(META_BYTES_USUAL));
        let mut prepared = Self { entries: Vec::with_capacity(entries_room), meta, bodies: Vec::new(), body_bytes: 0 };
        for entry in entries {
            prepared.add(entry, salt)?;
        }
        if prepared.bytes() > commit_bytes_max(limits) {
            return Err(Fault::TooLarge);
        }
        Ok(prepared)
    }

    fn add(&mut self, entry: E, salt: u64) -> Result<(), Fault> {
        let mut hasher = crc32fast::Hasher::new();
        let mut length = 0u64;
        for chunk in entry.body().into_iter().filter(|chunk| !chunk.is_empty()) {
            hasher.update(&chunk);
            length = length.saturating_add(chunk.len() as u64);
            self.bodies.push(chunk);
        }
        let body = Part { offset: self.body_bytes, length, crc: hasher.finalize() };
        self.body_bytes = self.body_bytes.saturating_add(length);

        let head_start = self.meta.len();
        let meta_start = head_start.saturating_add(ENTRY_HEAD_BYTES);
        self.meta.resize(meta_start, 0);
        entry.encode_meta(&mut self.meta);
        let meta = self.meta.get(meta_start..).unwrap_or_default();
        if meta.len() > ENTRY_META_BYTES_MAX || self.meta.len() > BATCH_META_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        let meta_bytes = u32::try_from(meta.len()).map_err(|_| Fault::TooLarge)?;
        let head = EntryHead { kind: entry.kind(), meta_bytes, body_bytes: length, body_crc: body.crc, crc: 0 };
        let head = head.seal(salt, meta);
        let meta = Part { offset: meta_start as u64, length: meta.len() as u64, crc: crc32fast::hash(meta) };
        if let Some(place) = self.meta.get_mut(head_start..meta_start) {
            place.copy_from_slice(&head);
        }
        self.entries.push((entry, Shape { meta, body }));
        Ok(())
    }
}

impl<E> Prepared<E> {
    /// What the commit takes in a batch.
    pub(super) fn bytes(&self) -> u64 {
        self.body_bytes.saturating_add(self.meta.len() as u64)
    }
}

/// What fits in a segment beside its header and that of the batch.
pub(super) fn commit_bytes_max(limits: &Limits) -> u64 {
    limits.segment_bytes_max.saturating_sub(HEADER_BYTES_U64 + BATCH_OVERHEAD_BYTES)
}
