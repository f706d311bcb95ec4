//! The files of the log: numbered segments of JSON lines, appended to by one writer, resumed exactly where it stopped.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::id::RecordId;
use crate::model::record::AuditEntry;

use super::chain::{Break, Tip};
use super::segments::{Segment, segments};

/// A segment that has grown to this many bytes is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes that are collected before a write.
const BUFFER_BYTES: usize = 256 * 1024;
const SUFFIX: &str = ".jsonl";
const LOCK_FILE: &str = "lock";
const FOLDER_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;

/// A place up to which the log is on stable storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub segment: u64,
    /// Bytes of that segment that are synced.
    pub offset: u64,
    pub tip: Tip,
}

/// The log cannot be written or read. Nobody's fault but the system's; worth a retry.
#[derive(Debug, thiserror::Error)]
#[error("audit log {path}: {source}")]
pub struct LogError {
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl LogError {
    pub(super) fn of(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self { path: path.to_owned(), source }
    }
}

/// What was found when the log was opened.
#[derive(Debug, Default)]
pub struct Resumed {
    /// Records that stand behind the mark: they were written before the stop and are not written again.
    pub present: HashSet<RecordId>,
    /// What does not fit; to be reported and recorded.
    pub problems: Vec<String>,
}

/// The one writer.
#[derive(Debug)]
pub struct Log {
    /// Held as long as the log is written: two writers would tear the chain.
    _lock: File,
    folder: PathBuf,
    file: File,
    segment: u64,
    /// Bytes of the segment, written ones and buffered ones.
    length: u64,
    buffer: Vec<u8>,
    tip: Tip,
    synced: Mark,
}

impl Log {
    /// Opens the folder, making it if need be, and goes on behind what is there. `mark` is the last known synced place.
    pub fn open(folder: &Path, mark: Option<&Mark>) -> Result<(Self, Resumed), LogError> {
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(LogError::of(folder))?;
        let lock = take(folder)?;
        let mut resumed = Resumed::default();
        let segments: Vec<_> = segments(folder)?.into_iter().map(|segment| (segment.number, segment.path)).collect();
        let known = mark.filter(|mark| segments.iter().any(|(number, _)| *number == mark.segment));
        let mut tip = known.map(|mark| mark.tip.clone()).unwrap_or_default();
        let from = known.map_or((0, 0), |mark| (mark.segment, mark.offset));
        if let (Some(mark), None) = (mark, known) {
            resumed
                .problems
                .push(format!("segment {} of the audit log is gone; the chain goes on without it", mark.segment));
            if segments.is_empty() {
                tip = mark.tip.clone();
            }
        }
        let mut end = (mark.map_or(1, |mark| mark.segment), 0);
        for (number, path) in segments.iter().filter(|(number, _)| *number >= from.0) {
            let offset = if *number == from.0 { from.1 } else { 0 };
            end = (*number, read_segment(path, offset, &mut tip, &mut resumed)?);
        }
        let path = segment_path(folder, end.0);
        let file = open_at(&path, end.1).map_err(LogError::of(&path))?;
        sync_folder(folder)?;
        let synced = Mark { segment: end.0, offset: end.1, tip: tip.clone() };
        let log = Self {
            _lock: lock,
            folder: folder.to_owned(),
            file,
            segment: end.0,
            length: end.1,
            buffer: Vec::new(),
            tip,
            synced,
        };
        Ok((log, resumed))
    }

    /// Adds one record. It is durable after the next `sync`.
    pub fn append(&mut self, entry: &AuditEntry) -> Result<(), LogError> {
        if self.length >= SEGMENT_BYTES_MAX {
            self.rotate()?;
        }
        let line = self.tip.extend(&entry.json);
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        self.length += line.len() as u64 + 1;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Makes everything durable and says up to where.
    pub fn sync(&mut self) -> Result<Mark, LogError> {
        self.flush()?;
        let path = segment_path(&self.folder, self.segment);
        self.file.sync_data().map_err(LogError::of(&path))?;
        self.synced = Mark { segment: self.segment, offset: self.length, tip: self.tip.clone() };
        Ok(self.synced.clone())
    }

    /// After a fault: forgets what was not synced and opens the file anew, cut to what was.
    pub fn rewind(&mut self) -> Result<(), LogError> {
        for Segment { number, path, .. } in segments(&self.folder)? {
            if number > self.synced.segment {
                fs::remove_file(&path).map_err(LogError::of(&path))?;
            }
        }
        let path = segment_path(&self.folder, self.synced.segment);
        self.file = open_at(&path, self.synced.offset).map_err(LogError::of(&path))?;
        self.segment = self.synced.segment;
        self.length = self.synced.offset;
        self.tip = self.synced.tip.clone();
        self.buffer.clear();
        Ok(())
    }

    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let path = segment_path(&self.folder, self.segment);
        self.file.write_all(&self.buffer).map_err(LogError::of(&path))?;
        self.buffer.clear();
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        self.sync()?;
        let path = segment_path(&self.folder, self.segment + 1);
        self.file = open_at(&path, 0).map_err(LogError::of(&path))?;
        sync_folder(&self.folder)?;
        self.segment += 1;
        self.length = 0;
        Ok(())
    }
}

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}{SUFFIX}"))
}

/// Takes the folder for this process.
fn take(folder: &Path) -> Result<File, LogError> {
    let path = folder.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    let lock =
        options.write(true).create(true).truncate(false).mode(FILE_MODE).open(&path).map_err(LogError::of(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::Error(source)) => Err(LogError { path, source }),
        Err(TryLockError::WouldBlock) => {
            let source = io::Error::new(io::ErrorKind::ResourceBusy, "another daemon writes this log");
            Err(LogError { path: folder.to_owned(), source })
        }
    }
}

/// Opens for appending at `offset` and cuts what stands behind it.
fn open_at(path: &Path, offset: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    file.set_len(offset)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(file)
}

fn sync_folder(folder: &Path) -> Result<(), LogError> {
    File::open(folder).and_then(|handle| handle.sync_all()).map_err(LogError::of(folder))
}

/// Follows the lines from `offset` on. Returns the end of the last whole line.
fn read_segment(path: &Path, offset: u64, tip: &mut Tip, resumed: &mut Resumed) -> Result<u64, LogError> {
    let mut file = File::open(path).map_err(LogError::of(path))?;
    let length = file.metadata().map_err(LogError::of(path))?.len();
    if length < offset {
        resumed.problems.push(format!("{} is shorter than it was: {length} of {offset} bytes", path.display()));
    }
    let mut end = offset.min(length);
    file.seek(SeekFrom::Start(end)).map_err(LogError::of(path))?;
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(LogError::of(path))?;
        if line.pop() != Some(b'\n') {
            return Ok(end);
        }
        match tip.follow(&line) {
            Ok(_) => {}
            // It is written, however badly it fits: the record is not written again.
            Err(broken) => resumed.problems.push(place(path, end, &broken)),
        }
        resumed.present.extend(serde_json::from_slice::<Named>(&line).ok().map(|record| record.id));
        end += read as u64;
    }
}

#[derive(Deserialize)]
struct Named {
    id: RecordId,
}

fn place(path: &Path, offset: u64, broken: &Break) -> String {
    format!("{} at byte {offset}: {broken}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u128) -> AuditEntry {
        let id = RecordId::from_u128(n);
        AuditEntry { id, json: format!("{{\"id\":\"{id}\",\"n\":{n}}}").into() }
    }

    fn folder_lines(folder: &Path) -> Vec<String> {
        let read = |segment: Segment| fs::read_to_string(segment.path).unwrap();
        segments(folder)
            .unwrap()
            .into_iter()
            .map(read)
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn a_reopened_log_goes_on_where_it_stopped_and_cuts_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path(), None).unwrap();
        log.append(&entry(1)).unwrap();
        let mark = log.sync().unwrap();
        log.append(&entry(2)).unwrap();
        log.sync().unwrap();
        drop(log);
        let path = segment_path(folder.path(), 1);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"seq\":3,\"half").unwrap();
        let (mut log, resumed) = Log::open(folder.path(), Some(&mark)).unwrap();
        assert_eq!(resumed.present, HashSet::from([RecordId::from_u128(2)]));
        assert_eq!(resumed.problems, Vec::<String>::new());
        log.append(&entry(3)).unwrap();
        log.sync().unwrap();
        let mut tip = Tip::default();
        let lines = folder_lines(folder.path());
        assert_eq!(lines.len(), 3);
        for line in lines {
            tip.follow(line.as_bytes()).unwrap();
        }
    }

    #[test]
    fn two_writers_of_one_log_are_one_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(folder.path(), None).unwrap();
        let second = Log::open(folder.path(), None).unwrap_err();
        assert_eq!(second.source.kind(), io::ErrorKind::ResourceBusy);
        drop(log);
        Log::open(folder.path(), None).unwrap();
    }

    #[test]
    fn without_a_mark_the_whole_log_tells_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path(), None).unwrap();
        (1..=3).for_each(|n| log.append(&entry(n)).unwrap());
        log.rotate().unwrap();
        log.append(&entry(4)).unwrap();
        log.sync().unwrap();
        drop(log);
        let (log, resumed) = Log::open(folder.path(), None).unwrap();
        assert_eq!(resumed.present.len(), 4);
        assert_eq!(log.tip().seq, 4);
    }

    #[test]
    fn a_segment_that_vanished_or_changed_is_reported_and_the_chain_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path(), None).unwrap();
        (1..=3).for_each(|n| log.append(&entry(n)).unwrap());
        let mark = log.sync().unwrap();
        drop(log);
        let path = segment_path(folder.path(), 1);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"n\":2", "\"n\":7")).unwrap();
        let (_, resumed) = Log::open(folder.path(), None).unwrap();
        assert_eq!(resumed.problems.len(), 1);
        fs::remove_file(&path).unwrap();
        let (mut log, resumed) = Log::open(folder.path(), Some(&mark)).unwrap();
        assert_eq!(resumed.problems.len(), 1);
        log.append(&entry(4)).unwrap();
        assert_eq!(log.sync().unwrap().tip.seq, 4);
    }

    #[test]
    fn after_a_fault_the_log_is_cut_to_what_was_synced() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path(), None).unwrap();
        log.append(&entry(1)).unwrap();
        log.sync().unwrap();
        log.append(&entry(2)).unwrap();
        log.flush().unwrap();
        log.rewind().unwrap();
        log.append(&entry(3)).unwrap();
        log.sync().unwrap();
        let lines = folder_lines(folder.path());
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains("\"seq\":2") && lines[1].contains("\"n\":3"));
    }
}
