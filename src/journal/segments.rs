//! The table of the segments that exist, and the removal of one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::RemoveError;
use super::filesystem::FileSystem;
use super::folder::{Folder, Removed, removed_path, segment_path};

/// One segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    pub number: u64,
    pub bytes: u64,
    /// The sequence of its first batch, or the one its first batch will get.
    pub first_sequence: u64,
    /// One less than `first_sequence` if it holds no batch.
    pub last_sequence: u64,
    /// Something in it could not be read; it is kept.
    pub damaged: bool,
}

impl SegmentInfo {
    pub const fn is_empty(&self) -> bool {
        self.last_sequence < self.first_sequence
    }
}

/// Shared by the writer, which adds, and the handles, which remove.
pub(super) struct Segments {
    fs: Arc<dyn FileSystem>,
    folder: PathBuf,
    table: Mutex<Table>,
    /// One removal at a time.
    removing: Mutex<()>,
}

#[derive(Debug)]
struct Table {
    infos: BTreeMap<u64, SegmentInfo>,
    active: Option<u64>,
}

impl Segments {
    pub(super) fn new(fs: Arc<dyn FileSystem>, folder: PathBuf, infos: BTreeMap<u64, SegmentInfo>) -> Self {
        Self { fs, folder, table: Mutex::new(Table { infos, active: None }), removing: Mutex::new(()) }
    }

    pub(super) fn fs(&self) -> &Arc<dyn FileSystem> {
        &self.fs
    }

    pub(super) fn folder(&self) -> &PathBuf {
        &self.folder
    }

    pub(super) fn list(&self) -> Vec<SegmentInfo> {
        self.lock().infos.values().copied().collect()
    }

    /// A new segment that the writer goes on with.
    pub(super) fn begin(&self, info: SegmentInfo) {
        let mut table = self.lock();
        table.active = Some(info.number);
        table.infos.insert(info.number, info);
    }

    /// The active segment grew by a batch.
    pub(super) fn grow(&self, number: u64, sequence: u64, bytes: u64) {
        if let Some(info) = self.lock().infos.get_mut(&number) {
            info.last_sequence = sequence;
            info.bytes = bytes;
        }
    }

    pub(super) fn mark_damaged(&self, number: u64) {
        if let Some(info) = self.lock().infos.get_mut(&number) {
            info.damaged = true;
        }
    }

    /// Renames the file, so that the folder tells which sequences are gone on purpose, and empties it. Needs no space.
    pub(super) fn remove(&self, number: u64) -> Result<(), RemoveError> {
        let _one_at_a_time = self.removing.lock().unwrap_or_else(PoisonError::into_inner);
        let info = {
            let table = self.lock();
            let info = table.infos.get(&number).copied().ok_or(RemoveError::Unknown)?;
            if table.active == Some(number) {
                return Err(RemoveError::Active);
            }
            info
        };
        if info.damaged {
            return Err(RemoveError::Damaged);
        }
        self.remove_file(&info).map_err(|error| RemoveError::Io(error.kind()))?;
        let mut table = self.lock();
        table.infos.remove(&number);
        let lowest = table.infos.keys().next().copied();
        drop(table);
        // Left-over marks are harmless, so a failure to remove them is not the caller's concern.
        let _ = forget_old_marks(self.fs.as_ref(), &self.folder, lowest);
        Ok(())
    }

    fn remove_file(&self, info: &SegmentInfo) -> io::Result<()> {
        let from = segment_path(&self.folder, info.number);
        let removed = Removed { number: info.number, first: info.first_sequence, last: info.last_sequence };
        let to = removed_path(&self.folder, removed);
        match self.fs.rename(&from, &to) {
            // An attempt whose sync failed has renamed it already.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.fs.open(&to).is_ok() => {}
            renamed => renamed?,
        }
        self.fs.sync_folder(&self.folder)?;
        self.fs.open_writable(&to)?.set_length(0)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Removes the marks of removed segments below `lowest`, all but the newest: that one tells where the journal begins.
pub(super) fn forget_old_marks(fs: &dyn FileSystem, folder: &Path, lowest: Option<u64>) -> io::Result<()> {
    let marks = Folder::of_names(fs.list(folder)?).removed;
    let mut leading: Vec<Removed> =
        marks.into_values().filter(|mark| lowest.is_none_or(|lowest| mark.number < lowest)).collect();
    leading.pop();
    for mark in leading {
        fs.remove(&removed_path(folder, mark))?;
    }
    Ok(())
}
