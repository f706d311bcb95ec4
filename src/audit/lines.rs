//! Reads the lines of the log, from plain and compressed segments, in constant memory and on several threads.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::journal::regular;
use crate::model::record::RECORD_BYTES_MAX;
use crate::model::time::Timestamp;

use super::chain::split_seq;
use super::log::LogError;
use super::segments::Segment;

/// Longest line that is read: a record with its link. What is longer is no record.
pub const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX + 4096;
/// Bytes that one read asks for.
const BLOCK_BYTES: usize = 1 << 20;
/// Threads that read at once.
pub const THREADS_MAX: usize = 8;
/// Records are in the order of their commit: the times that they carry may be this far out of order.
const DISORDER_MAX: Duration = Duration::from_secs(3600);

/// Told the bytes of a file as they are read, from several threads.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// What stands between two line ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Without its line end.
    Line(&'a [u8]),
    /// More than [`LINE_BYTES_MAX`]: no record.
    TooLong,
    /// What stands behind the last line end. It is not consumed: more of it may come.
    Unfinished(&'a [u8]),
}

/// The lines of one segment, one after the other.
pub struct LineReader<'a> {
    path: PathBuf,
    source: Box<dyn Read + Send + 'a>,
    block: Vec<u8>,
    /// What was read and not yet given.
    pending: Range<usize>,
    lines: u64,
}

impl std::fmt::Debug for LineReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LineReader").field("path", &self.path).field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl<'a> LineReader<'a> {
    /// Opens a segment; one that was compressed since it was listed is read in its new form.
    pub fn open(segment: &Segment, progress: Progress<'a>) -> Result<Self, LogError> {
        let compressed = segment.path.with_extension("jsonl.zst");
        let (file, path, is_compressed) = match regular::open(&segment.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !segment.compressed => {
                (regular::open(&compressed), compressed, true)
            }
            opened => (opened, segment.path.clone(), segment.compressed),
        };
        let fault = |source| LogError { path: path.clone(), source };
        let counted = Counted { file: file.map_err(fault)?, progress };
        let source: Box<dyn Read + Send + 'a> = if is_compressed {
            Box::new(zstd::stream::read::Decoder::new(counted).map_err(fault)?)
        } else {
            Box::new(counted)
        };
        Ok(Self { path, source, block: vec![0; BLOCK_BYTES], pending: 0..0, lines: 0 })
    }

    /// How many whole lines were given so far, which is the number of the last one in its file.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next line; `None` at the end, where a later call looks again.
    pub fn next_line(&mut self) -> Result<Option<Piece<'_>>, LogError> {
        let mut too_long = false;
        let mut searched = 0;
        loop {
            let unsearched = self.block.get(self.pending.start + searched..self.pending.end).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', unsearched) {
                let line = self.pending.start..self.pending.start + searched + at;
                self.pending.start = line.end + 1;
                self.lines += 1;
                if too_long || line.len() > LINE_BYTES_MAX {
                    return Ok(Some(Piece::TooLong));
                }
                return Ok(Some(Piece::Line(self.block.get(line).unwrap_or_default())));
            }
            if self.pending.len() > LINE_BYTES_MAX {
                too_long = true;
                self.pending = 0..0;
            }
            searched = self.pending.len();
            if self.fill()? == 0 {
                let rest = self.block.get(self.pending.clone()).unwrap_or_default();
                return Ok((too_long || !rest.is_empty()).then_some(Piece::Unfinished(rest)));
            }
        }
    }

    /// Reads on behind what is pending. Gives the number of bytes, 0 at the end.
    fn fill(&mut self) -> Result<usize, LogError> {
        self.block.copy_within(self.pending.clone(), 0);
        self.pending = 0..self.pending.len();
        let free = self.block.get_mut(self.pending.end..).unwrap_or_default();
        loop {
            match self.source.read(free) {
                Ok(read) => {
                    self.pending.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(source) => return Err(LogError { path: self.path.clone(), source }),
            }
        }
    }
}

struct Counted<'a> {
    file: File,
    progress: Progress<'a>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        (self.progress)(read as u64);
        Ok(read)
    }
}

/// Bytes of the files, for a progress bar.
pub fn total_bytes(segments: &[Segment]) -> u64 {
    segments.iter().filter_map(|segment| segment.path.metadata().ok()).map(|file| file.len()).sum()
}

/// Does `work` for each segment, on as many threads as help; the results are in the order of the segments.
pub fn in_parallel<T: Send>(
    segments: &[Segment],
    work: impl Fn(&Segment) -> Result<T, LogError> + Sync,
) -> Result<Vec<T>, LogError> {
    on_threads(THREADS_MAX, segments, work)
}

/// The same on no more than `threads_max`. Which threads run is no matter of the result. After a first error no further
/// segment is begun.
pub fn on_threads<T: Send>(
    threads_max: usize,
    segments: &[Segment],
    work: impl Fn(&Segment) -> Result<T, LogError> + Sync,
) -> Result<Vec<T>, LogError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(threads_max.max(1)).min(segments.len());
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = || {
        let mut done = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(segment) = segments.get(index) else { break };
            let result = work(segment);
            stopped.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((index, result));
        }
        done
    };
    let mut done = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let finished = running.into_iter().map(|thread| thread.join());
        finished.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect::<Vec<_>>()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Without the leading segments all of whose records are older than `since`. The first of those that are left may begin
/// with older records.
pub fn since(segments: &[Segment], since: Timestamp) -> Result<&[Segment], LogError> {
    for (index, segment) in segments.iter().enumerate().rev() {
        let mut reader = LineReader::open(segment, &|_| ())?;
        let begun = match reader.next_line()? {
            Some(Piece::Line(line)) => time_of(line),
            _ => None,
        };
        if begun.is_some_and(|begun| begun + DISORDER_MAX <= since) {
            return Ok(segments.get(index..).unwrap_or_default());
        }
    }
    Ok(segments)
}

/// The time of a record, read where the writer puts it, without parsing the whole line.
pub fn time_of(line: &[u8]) -> Option<Timestamp> {
    let (_, fields) = split_seq(line)?;
    let rest = fields.strip_prefix(b",\"time\":\"")?;
    let end = memchr::memchr(b'"', rest.get(..rest.len().min(40))?)?;
    std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
}
