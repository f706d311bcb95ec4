//! Goes through one segment file, batch by batch, and finds the way behind what cannot be read.

use std::io;
use std::ops::Range;

use super::filesystem::File;
use super::format::{ALIGNMENT, BATCH_MAGIC, BatchHeader, ENTRY_HEAD_BYTES, EntryHead, HEADER_BYTES, HEADER_BYTES_U64};
use super::{BATCH_META_BYTES_MAX, Location, What};

/// How much of a damaged segment is searched at a time.
const SEARCH_CHUNK_BYTES: usize = 1 << 20;

pub(super) struct Walk<'a> {
    pub(super) file: &'a dyn File,
    pub(super) segment: u64,
    /// What lies behind it is not read. At the end it is where the last batch ends: zeros behind that are room that was
    /// made and not used.
    pub(super) length: u64,
    /// A batch header with another salt is something that a body contains.
    pub(super) salts: &'a [u64],
    pub(super) offset: u64,
}

/// A batch and those of its entries that can be read.
#[derive(Debug)]
pub(super) struct BatchRead {
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) header: BatchHeader,
    pub(super) meta: Vec<u8>,
    pub(super) entries: Vec<EntryRead>,
    whole: bool,
}

#[derive(Debug)]
pub(super) struct EntryRead {
    pub(super) kind: u8,
    pub(super) meta: Range<usize>,
    pub(super) location: Location,
}

#[derive(Debug)]
pub(super) enum Step {
    Batch(BatchRead),
    /// A region that cannot be read, wholly or in part, with a batch header behind it.
    Damaged(Bad),
    /// As before, but nothing is behind it.
    Tail(Bad),
    End,
}

#[derive(Debug)]
pub(super) struct Bad {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) what: What,
    /// What can be saved of the batch there.
    pub(super) batch: Option<BatchRead>,
}

impl Walk<'_> {
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let offset = self.offset;
        if offset >= self.length {
            return Ok(Step::End);
        }
        let batch = match self.header_at(offset)? {
            Some(header) => self.batch_at(offset, header)?,
            None => None,
        };
        let (what, search_from, batch) = match batch {
            Some(batch) if batch.whole => {
                self.offset = batch.end;
                return Ok(Step::Batch(batch));
            }
            Some(batch) => (What::Metadata, batch.end, Some(batch)),
            None => (What::BatchHeader, offset.saturating_add(ALIGNMENT), None),
        };
        let next = self.search(search_from)?;
        if next.is_none() {
            let end = batch.as_ref().map_or(offset, |batch| batch.end);
            self.length = self.end_of_content(end)?;
            if self.length == offset {
                return Ok(Step::End);
            }
        }
        self.offset = next.unwrap_or(self.length);
        let bad = Bad { offset, length: self.offset.saturating_sub(offset), what, batch };
        Ok(if next.is_some() { Step::Damaged(bad) } else { Step::Tail(bad) })
    }

    /// Whether all bodies of the batch are what was written.
    pub(super) fn bodies_whole(&self, batch: &BatchRead) -> io::Result<bool> {
        for entry in &batch.entries {
            if !super::body::is_whole(self.file, &entry.location)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn header_at(&self, offset: u64) -> io::Result<Option<BatchHeader>> {
        let bytes = self.read(offset, HEADER_BYTES)?;
        Ok(BatchHeader::decode(&bytes).filter(|header| self.salts.contains(&header.salt)))
    }

    /// `None` if the batch goes beyond the end of the segment.
    fn batch_at(&self, offset: u64, header: BatchHeader) -> io::Result<Option<BatchRead>> {
        let end = offset.saturating_add(header.total_bytes());
        let meta_bytes = header.meta_bytes as usize;
        if end > self.length || meta_bytes > BATCH_META_BYTES_MAX {
            return Ok(None);
        }
        let meta = self.read(offset.saturating_add(HEADER_BYTES_U64), meta_bytes)?;
        let body_start = offset.saturating_add(header.body_start());
        let (entries, whole) = read_entries(&meta, &header, self.segment, body_start);
        Ok(Some(BatchRead { offset, end, header, meta, entries, whole }))
    }

    /// Where there are only zeros from, at or behind `from`. No batch begins with one.
    fn end_of_content(&self, from: u64) -> io::Result<u64> {
        let (mut end, mut start) = (from, from);
        while start < self.length {
            let chunk = self.read(start, SEARCH_CHUNK_BYTES)?;
            if chunk.is_empty() {
                break;
            }
            if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
                end = start.saturating_add(last as u64).saturating_add(1);
            }
            start = start.saturating_add(chunk.len() as u64);
        }
        Ok(end)
    }

    /// The next aligned offset with a batch header.
    fn search(&self, from: u64) -> io::Result<Option<u64>> {
        let mut start = from.checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX);
        while start.saturating_add(HEADER_BYTES_U64) <= self.length {
            let chunk = self.read(start, SEARCH_CHUNK_BYTES)?;
            for (at, word) in (start..).step_by(BATCH_MAGIC.len()).zip(chunk.chunks_exact(BATCH_MAGIC.len())) {
                if *word == BATCH_MAGIC && self.header_at(at)?.is_some() {
                    return Ok(Some(at));
                }
            }
            if chunk.len() < SEARCH_CHUNK_BYTES {
                break;
            }
            start = start.saturating_add(SEARCH_CHUNK_BYTES as u64);
        }
        Ok(None)
    }

    /// Up to `count` bytes, none from behind the end of the segment.
    fn read(&self, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        let available = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; count.min(available)];
        let filled = self.file.read_at(offset, &mut bytes)?;
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// The entries that can be read, and whether those are all. Behind a damaged one the lengths in its head are believed
/// if they fit: the checksums of the following entries tell whether that was right.
fn read_entries(meta: &[u8], header: &BatchHeader, segment: u64, body_start: u64) -> (Vec<EntryRead>, bool) {
    let mut entries = Vec::new();
    let (mut at, mut body_at, mut whole) = (0usize, 0u64, true);
    for _ in 0..header.entries {
        let Some(head) = meta.get(at..).and_then(EntryHead::decode) else { return (entries, false) };
        let start = at.saturating_add(ENTRY_HEAD_BYTES);
        let end = start.saturating_add(head.meta_bytes as usize);
        let body_end = body_at.saturating_add(head.body_bytes);
        let Some(content) = meta.get(start..end).filter(|_| body_end <= header.body_bytes) else {
            return (entries, false);
        };
        if head.crc == head.checksum(header.salt, content) {
            let offset = body_start.saturating_add(body_at);
            let location = Location { segment, offset, length: head.body_bytes, crc: head.body_crc };
            entries.push(EntryRead { kind: head.kind, meta: start..end, location });
        } else {
            whole = false;
        }
        at = end;
        body_at = body_end;
    }
    (entries, whole && at == meta.len() && body_at == header.body_bytes && meta.len() == header.meta_bytes as usize)
}
