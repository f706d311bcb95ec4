//! The files of a journal folder by name.
//!
//! `N.journal` is a segment. `N-FIRST-LAST.removed` is the empty rest of a removed one: its name tells which sequences
//! are gone on purpose, so that a lost file is seen as such. `N.failed` marks a segment whose last write failed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The sequences that a removed segment held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) number: u64,
    pub(super) first: u64,
    pub(super) last: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) segments: BTreeSet<u64>,
    pub(super) removed: BTreeMap<u64, Removed>,
    pub(super) failed: BTreeSet<u64>,
}

impl Folder {
    /// Sorts the names; those of other files are passed over.
    pub(super) fn of_names(names: impl IntoIterator<Item = String>) -> Self {
        let mut folder = Self::default();
        for name in names {
            let Some((stem, suffix)) = name.split_once('.') else { continue };
            match suffix {
                "journal" => folder.segments.extend(number(stem)),
                "failed" => folder.failed.extend(number(stem)),
                "removed" => folder.removed.extend(removed(stem).map(|removed| (removed.number, removed))),
                _ => {}
            }
        }
        folder
    }

    /// A number that no file of the folder has had.
    pub(super) fn next_number(&self) -> u64 {
        let last = [self.segments.last(), self.removed.keys().next_back(), self.failed.last()];
        last.into_iter().flatten().max().map_or(1, |last| last.saturating_add(1))
    }
}

pub(super) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.journal"))
}

pub(super) fn failed_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.failed"))
}

pub(super) fn removed_path(folder: &Path, removed: Removed) -> PathBuf {
    folder.join(format!("{:016x}-{:016x}-{:016x}.removed", removed.number, removed.first, removed.last))
}

fn removed(stem: &str) -> Option<Removed> {
    let mut parts = stem.split('-').map(number);
    let removed = Removed { number: parts.next()??, first: parts.next()??, last: parts.next()?? };
    parts.next().is_none().then_some(removed)
}

fn number(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if digits { u64::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_strangers_passed_over() {
        let here = Path::new("");
        let gone = Removed { number: 2, first: 7, last: 9 };
        let ours = [segment_path(here, 0xab), removed_path(here, gone), failed_path(here, 3)];
        let strangers = ["lock", "1.journal", "00000000000000AB.journal", "+00000000000000b.journal", "x-y-z.removed"];
        let names = ours.iter().map(|path| path.to_str().unwrap()).chain(strangers).map(str::to_owned);
        let folder = Folder::of_names(names);
        assert_eq!(folder.next_number(), 0xac);
        assert_eq!(folder.segments, BTreeSet::from([0xab]));
        assert_eq!(folder.removed, BTreeMap::from([(2, gone)]));
        assert_eq!(folder.failed, BTreeSet::from([3]));
    }
}
