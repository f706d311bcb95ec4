//! A file elsewhere: each checkpoint is appended as a line and synced.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE_MODE: u32 = 0o640;
/// More than the longest checkpoint.
const TAIL_BYTES_MAX: u64 = 16 * 1024;

/// Blocks. A line that is the last already is not written twice; one that a crash cut off gets an end first.
pub(super) fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create(true).mode(FILE_MODE).open(path)?;
    let length = file.metadata()?.len();
    let tail = tail(&mut file, length)?;
    let mut text = String::new();
    match tail.strip_suffix(b"\n") {
        Some(whole) if whole.rsplit(|b| *b == b'\n').next() == Some(line.as_bytes()) => return file.sync_all(),
        None if length > 0 => text.push('\n'),
        _ => {}
    }
    text.push_str(line);
    text.push('\n');
    if let Err(error) = file.write_all(text.as_bytes()) {
        // Without half a line the next try finds a clean end. A file that can only grow keeps it, and then gets an end.
        _ = file.set_len(length);
        return Err(error);
    }
    file.sync_all()?;
    match path.parent().filter(|_| length == 0) {
        Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn tail(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut tail)?;
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_checkpoint_becomes_one_line_whatever_was_left_there() {
        let long = format!("{}\n", "x".repeat(100_000));
        for (before, line, after) in [
            ("", "{1}", "{1}\n"),
            ("{1}\n", "{2}", "{1}\n{2}\n"),
            ("{1}\n", "{1}", "{1}\n"),
            ("{1}\n{2}\n", "{1}", "{1}\n{2}\n{1}\n"),
            ("{1}\n{2", "{2}", "{1}\n{2\n{2}\n"),
            ("{2}", "{2}", "{2}\n{2}\n"),
            (long.as_str(), "{1}", &format!("{long}{{1}}\n")),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("checkpoints.jsonl");
            if !before.is_empty() {
                fs::write(&path, before).unwrap();
            }
            append(&path, line).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after, "{before:?}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = append(&folder.path().join("gone/checkpoints.jsonl"), "{1}").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
