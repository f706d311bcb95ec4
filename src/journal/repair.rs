//! Puts a surveyed folder in order, so that writing can go on in a new segment.

use std::io;
use std::path::Path;

use super::OpenError;
use super::filesystem::FileSystem;
use super::folder::{failed_path, removed_path, segment_path};
use super::format::HEADER_BYTES_U64;
use super::recover::Survey;
use super::segments::forget_old_marks;

/// Cuts what was never acknowledged, makes durable what was read, and removes files that hold nothing.
pub(super) fn repair(fs: &dyn FileSystem, folder: &Path, survey: &Survey) -> Result<(), OpenError> {
    let step = |path: &Path, result: io::Result<()>| {
        result.map_err(|error| OpenError::Io { path: path.to_owned(), kind: error.kind() })
    };
    for (&number, &length) in survey.cuts.iter().filter(|(number, _)| !survey.unused.contains(number)) {
        let path = segment_path(folder, number);
        step(&path, cut(fs, &path, length.max(HEADER_BYTES_U64)))?;
    }
    // The last process may have been killed between a write and its sync: what was just read may be in memory only.
    if let Some(last) = survey.last.filter(|last| !survey.unused.contains(last)) {
        let path = segment_path(folder, last);
        step(&path, fs.open_writable(&path).and_then(|mut file| file.sync()))?;
    }
    for &number in &survey.unused {
        let path = segment_path(folder, number);
        step(&path, fs.remove(&path))?;
    }
    for &removed in &survey.removed {
        let path = removed_path(folder, removed);
        step(&path, empty(fs, &path))?;
    }
    step(folder, fs.sync_folder(folder))?;
    // A mark may go only after what it speaks of is cut for good.
    for &number in &survey.recovery.failed {
        let path = failed_path(folder, number);
        step(&path, fs.remove(&path))?;
    }
    step(folder, forget_old_marks(fs, folder, survey.infos.keys().next().copied()))
}

fn cut(fs: &dyn FileSystem, path: &Path, length: u64) -> io::Result<()> {
    let mut file = fs.open_writable(path)?;
    file.set_length(length)?;
    file.sync()
}

/// The removal of a segment was cut short after its renaming.
fn empty(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let mut file = fs.open_writable(path)?;
    if file.length()? > 0 { file.set_length(0) } else { Ok(()) }
}
