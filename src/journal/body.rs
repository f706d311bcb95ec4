//! Reads bodies back and checks them.

use std::io::{self, Read};
use std::path::Path;

use super::filesystem::{File, FileSystem};
use super::folder::segment_path;
use super::{Location, ReadError};

/// How much of a body is checked at a time.
const CHECK_CHUNK_BYTES: usize = 256 << 10;

/// Reads a body in pieces. The read that reaches the end fails with `InvalidData` if the body is damaged, so what was
/// read before counts only when the end came without an error.
#[derive(Debug)]
pub struct BodyReader {
    file: Box<dyn File>,
    offset: u64,
    remaining: u64,
    expected: u32,
    hasher: crc32fast::Hasher,
}

impl BodyReader {
    fn new(file: Box<dyn File>, location: &Location) -> Result<Self, ReadError> {
        let end = location.offset.checked_add(location.length).ok_or(ReadError::Damaged)?;
        if end > file.length()? {
            return Err(ReadError::Damaged);
        }
        Ok(Self {
            file,
            offset: location.offset,
            remaining: location.length,
            expected: location.crc,
            hasher: crc32fast::Hasher::new(),
        })
    }

    /// The rest of the body.
    pub fn read_whole(mut self) -> Result<Vec<u8>, ReadError> {
        let length = usize::try_from(self.remaining).map_err(|_| ReadError::Damaged)?;
        let mut body = Vec::new();
        body.try_reserve_exact(length).map_err(|_| ReadError::Io(io::ErrorKind::OutOfMemory))?;
        self.read_to_end(&mut body)?;
        Ok(body)
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        let Some(place) = buffer.get_mut(..wanted).filter(|place| !place.is_empty()) else { return Ok(0) };
        let count = self.file.read_at(self.offset, place)?;
        self.hasher.update(place.get(..count).unwrap_or_default());
        self.offset = self.offset.saturating_add(count as u64);
        self.remaining = self.remaining.saturating_sub(count as u64);
        let damaged = count == 0 || (self.remaining == 0 && self.hasher.clone().finalize() != self.expected);
        if damaged { Err(io::ErrorKind::InvalidData.into()) } else { Ok(count) }
    }
}

/// Opens a body of the journal in `folder`, whether or not a process has it open. Blocks.
pub fn open_body(fs: &dyn FileSystem, folder: &Path, location: &Location) -> Result<BodyReader, ReadError> {
    BodyReader::new(fs.open(&segment_path(folder, location.segment))?, location)
}

/// A body from a file that is open, checked.
pub(super) fn read_from(file: &dyn File, location: &Location) -> Result<Vec<u8>, ReadError> {
    let length = usize::try_from(location.length).map_err(|_| ReadError::Damaged)?;
    let end = location.offset.checked_add(location.length).ok_or(ReadError::Damaged)?;
    if end > file.length()? {
        return Err(ReadError::Damaged);
    }
    let mut body = vec![0; length];
    let is_whole = file.read_at(location.offset, &mut body)? == length && crc32fast::hash(&body) == location.crc;
    if is_whole { Ok(body) } else { Err(ReadError::Damaged) }
}

/// Whether the body at `location` is what was written.
pub(super) fn is_whole(file: &dyn File, location: &Location) -> io::Result<bool> {
    let chunk = usize::try_from(location.length).unwrap_or(usize::MAX).min(CHECK_CHUNK_BYTES);
    let mut buffer = vec![0; chunk];
    let mut hasher = crc32fast::Hasher::new();
    let (mut offset, mut remaining) = (location.offset, location.length);
    while remaining > 0 {
        let wanted = usize::try_from(remaining).unwrap_or(usize::MAX).min(CHECK_CHUNK_BYTES);
        let count = file.read_at(offset, buffer.get_mut(..wanted).unwrap_or_default())?;
        if count == 0 {
            return Ok(false);
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        offset = offset.saturating_add(count as u64);
        remaining = remaining.saturating_sub(count as u64);
    }
    Ok(hasher.finalize() == location.crc)
}
