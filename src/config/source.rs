//! One configuration file in memory: its name, its text, and where an offset stands in it.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::os_error;

use super::diagnostic::Excerpt;
use super::whereabouts::FileKind;

/// The longest configuration file that is read.
pub(super) const CONFIG_FILE_BYTES_MAX: u64 = 4 << 20;
/// The longest line that is quoted in a diagnostic.
const EXCERPT_LINE_BYTES_MAX: usize = 2000;

/// A file that was read whole.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Relative to the folder of the main file.
    pub(super) name: Arc<str>,
    pub(super) kind: FileKind,
    /// The folder that relative paths in it start from.
    pub(super) folder: PathBuf,
    /// Its place in the order of reading: diagnostics are sorted by it.
    pub(super) order: usize,
    pub(super) text: String,
}

/// Line and column, from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl SourceFile {
    pub(super) fn position(&self, offset: usize) -> Position {
        let (start, line) = self.line_start(offset);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        Position { line: count(line), column: count(column + 1) }
    }

    /// The line on which `span` begins and the part of the span that stands on it; `None` for a line too long to show.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> Option<Excerpt> {
        let (start, _) = self.line_start(span.start);
        let line = self.text.get(start..)?.lines().next()?;
        if line.trim().is_empty() || line.len() > EXCERPT_LINE_BYTES_MAX {
            return None;
        }
        let from = span.start.saturating_sub(start).min(line.len());
        let to = span.end.saturating_sub(start).clamp(from, line.len());
        Some(Excerpt { line: line.to_owned(), start: from, end: to })
    }

    /// Where the line that holds `offset` starts, and its number from 1.
    fn line_start(&self, offset: usize) -> (usize, usize) {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        (start, 1 + before.iter().filter(|byte| **byte == b'\n').count())
    }
}

/// Why a file could not be read, in the words of a diagnostic.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) String);

/// Reads at most `bytes_max` of a regular file that must be UTF-8.
pub(super) fn read_text(path: &Path, bytes_max: u64) -> Result<String, Unreadable> {
    let shown = path.display();
    let failed = |error: std::io::Error| Unreadable(format!("cannot read {shown}: {}", os_error::why(&error)));
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(Unreadable(format!("{shown} is not a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > bytes_max) {
        return Err(Unreadable(format!("{shown} is longer than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count();
        Unreadable(format!("{shown} is not UTF-8 on line {line}"))
    })
}

/// A count of lines or characters as diagnostics hold it.
pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
