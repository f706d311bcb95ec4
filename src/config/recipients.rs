//! Lists of recipients: one local part or address on a line, `#` starts a comment.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::address::{Address, AddressError, Charset};
use crate::policy::rules::Recipients;

use super::diagnostic::{Diagnostic, Excerpt, Severity};
use super::document::shown;
use super::place::Place;
use super::source::{count, read_text};

/// The most recipients of one list.
const RECIPIENTS_MAX: usize = 1_000_000;
/// The longest list.
const LIST_BYTES_MAX: u64 = 128 << 20;
/// The wrong lines that are reported one by one.
const REPORTED_LINES_MAX: usize = 20;

/// The lists that were read, each once.
#[derive(Debug, Default)]
pub(super) struct Lists {
    by_path: HashMap<PathBuf, Option<Recipients>>,
    /// Names and contents in the order of reading.
    pub(super) read: Vec<(Arc<str>, String)>,
}

impl Lists {
    /// The list at `path`, which `place` names, called relative to `root`; `None` if it is wrong, which is told once.
    pub(super) fn load(&mut self, path: &Path, root: &Path, place: &Place<'_>) -> Option<Recipients> {
        if let Some(known) = self.by_path.get(path) {
            return known.clone();
        }
        let loaded = self.read_list(path, root, place);
        self.by_path.insert(path.to_owned(), loaded.clone());
        loaded
    }

    /// The folders of all lists.
    pub(super) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.by_path.keys().filter_map(|path| path.parent()).map(Path::to_path_buf)
    }

    fn read_list(&mut self, path: &Path, root: &Path, place: &Place<'_>) -> Option<Recipients> {
        let text = match read_text(path, LIST_BYTES_MAX) {
            Ok(text) => text,
            Err(unreadable) => {
                place.error(unreadable.0, "name a readable file with one recipient on each line");
                return None;
            }
        };
        let name: Arc<str> = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into();
        let names = parse(&text, &name, place);
        self.read.push((name.clone(), text));
        Some(Recipients::Listed { file: name, names: Arc::new(names?) })
    }
}

/// `None` if a line is wrong.
fn parse(text: &str, name: &str, place: &Place<'_>) -> Option<HashSet<String>> {
    let mut names = HashSet::new();
    let mut wrong = 0;
    for (index, line) in text.lines().enumerate() {
        let entry = content(line);
        if entry.is_empty() {
            continue;
        }
        match recipient(entry) {
            Ok(found) => drop(names.insert(found)),
            Err(error) => {
                wrong += 1;
                if wrong <= REPORTED_LINES_MAX {
                    report(line, index, error, (name, place));
                }
            }
        }
        if names.len() > RECIPIENTS_MAX {
            place.error(format!("{name} has more than {RECIPIENTS_MAX} recipients"), "use recipients = \"any\"");
            return None;
        }
    }
    if wrong > REPORTED_LINES_MAX {
        let message = format!("{name} has {} more wrong lines", wrong - REPORTED_LINES_MAX);
        place.error(message, "write one local part or address on each line");
    }
    if wrong == 0 && names.is_empty() {
        place.warn(format!("{name} lists nobody: every recipient is refused"), "list the recipients, or use \"any\"");
    }
    (wrong == 0).then_some(names)
}

/// The line without comment and blanks. A `#` belongs to a local part unless it begins the line or follows a blank.
fn content(line: &str) -> &str {
    let comment = line.char_indices().find(|(at, c)| {
        *c == '#' && line.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    });
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line).trim()
}

/// Lower case, without quotes; an address with its domain as A-labels.
fn recipient(entry: &str) -> Result<String, AddressError> {
    match Address::parse(entry, Charset::Utf8) {
        Ok(address) => Ok(format!("{}@{}", address.local_part_unquoted().to_lowercase(), address.host())),
        Err(AddressError::NoAt) => Address::parse(&format!("{entry}@local.invalid"), Charset::Utf8)
            .map(|address| address.local_part_unquoted().to_lowercase()),
        Err(error) => Err(error),
    }
}

fn report(line: &str, index: usize, error: AddressError, (name, place): (&str, &Place<'_>)) {
    let entry = content(line);
    let start = line.find(entry).unwrap_or_default();
    let diagnostic = Diagnostic {
        severity: Severity::Error,
        file: name.to_owned(),
        line: count(index + 1),
        column: count(line.get(..start).map_or(0, |before| before.chars().count()) + 1),
        key: "recipients".to_owned(),
        message: format!("\"{}\": {error}", shown(entry)),
        remedy: "write one local part or address on each line".to_owned(),
        excerpt: Some(Excerpt { line: shown(entry).into_owned(), start: 0, end: shown(entry).len() }),
    };
    place.problems.push(place.file.order, place.span.start, diagnostic);
}
