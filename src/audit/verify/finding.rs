//! What can be wrong with a log, where, and in which words.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::scan::Place;

/// Findings that are listed; the rest is counted.
pub const BREAKS_MAX: usize = 1000;

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// These records are there, but not as they were written.
    Changed,
    /// These records are not there.
    Missing,
    /// A whole segment is not there.
    SegmentMissing,
    /// A segment lacks its end, or holds what belongs elsewhere: an older copy stands in its place.
    SegmentReplaced,
    /// These records stand in another order than they were written in.
    Reordered,
    /// These records stand here once more.
    Duplicated,
    /// Lines that no record of the chain knows.
    Inserted,
    /// Two histories meet here, each of them vouched for.
    Forked,
    /// The file could not be read to its end.
    Unreadable,
    /// The log ends before a checkpoint that is known.
    TailCut,
    /// A checkpoint that its key did not sign as it stands.
    SignatureWrong,
    /// The records are not those that the checkpoint was signed over.
    TreeWrong,
    /// A checkpoint covers other records than those since the one before it.
    CoverWrong,
    /// Another key signs, and the key before it did not name it.
    KeyChanged,
    /// The expected key did not sign.
    KeyUnexpected,
    /// Checkpoints that must be there are not.
    CheckpointMissing,
    /// A checkpoint held elsewhere is not the line that stands in the log.
    Rewritten,
    /// What was given as a checkpoint held elsewhere is none.
    HeldInvalid,
    /// The daemon itself found at a start that lines were not as it had written them, and recorded it here.
    Recorded,
    /// A file with the name of a segment that no daemon wrote.
    Foreign,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: Kind,
    pub file: PathBuf,
    /// Line in the file, from 1; 0 if the finding is about the whole file.
    pub line: u64,
    /// The numbers of the first and the last record that it is about; 0 if it is about none.
    pub first: u64,
    pub last: u64,
    pub what: String,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) listed: Vec<Finding>,
    pub(super) count: u64,
    /// The files of the segments.
    files: BTreeMap<u64, PathBuf>,
}

impl Findings {
    pub(super) fn new(files: BTreeMap<u64, PathBuf>) -> Self {
        Self { files, ..Self::default() }
    }

    /// A finding about the records `first` to `last`.
    pub(super) fn add(&mut self, kind: Kind, at: Place, (first, last): (u64, u64), what: String) {
        let file = self.files.get(&at.segment).cloned().unwrap_or_default();
        self.push(Finding { kind, file, line: at.line, first, last, what });
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.count += 1;
        if self.listed.len() < BREAKS_MAX {
            self.listed.push(finding);
        }
    }

    /// Whether a finding says that one of these records is not there as it was written.
    pub(super) fn touches(&self, first: u64, last: u64) -> bool {
        self.listed.iter().any(|finding| finding.first <= last && finding.last >= first)
    }

    /// Whether a finding says that this record is not there as it was written.
    pub(super) fn explains(&self, seq: u64) -> bool {
        use Kind::{Changed, Missing, SegmentMissing, SegmentReplaced, TailCut, Unreadable};
        self.listed.iter().any(|finding| {
            matches!(finding.kind, Changed | Missing | SegmentMissing | SegmentReplaced | TailCut | Unreadable)
                && (finding.first..=finding.last).contains(&seq)
        })
    }

    /// Whether a finding says that the line in this place was changed, whatever number it carries.
    pub(super) fn is_changed_at(&self, place: Place) -> bool {
        let file = self.files.get(&place.segment);
        self.listed
            .iter()
            .any(|finding| finding.kind == Kind::Changed && finding.line == place.line && Some(&finding.file) == file)
    }

    /// Takes back what was said of the signature of this checkpoint alone.
    pub(super) fn forget_signature(&mut self, seq: u64) {
        let is_it =
            |finding: &Finding| finding.kind == Kind::SignatureWrong && (finding.first, finding.last) == (seq, seq);
        let before = self.listed.len();
        self.listed.retain(|finding| !is_it(finding));
        self.count -= (before - self.listed.len()) as u64;
    }

    /// Adds a sentence to the last finding that one of these records was changed or is missing.
    pub(super) fn append(&mut self, (first, last): (u64, u64), sentence: &str) {
        let about = |finding: &&mut Finding| {
            matches!(finding.kind, Kind::Changed | Kind::Missing) && finding.first <= last && finding.last >= first
        };
        if let Some(finding) = self.listed.iter_mut().rev().find(about) {
            finding.what.push(' ');
            finding.what.push_str(sentence);
        }
    }

    pub(super) const fn files(&self) -> &BTreeMap<u64, PathBuf> {
        &self.files
    }
}

/// `record 5` or `records 5 to 7`.
pub(super) fn records(first: u64, last: u64) -> String {
    if first == last { format!("record {first}") } else { format!("records {first} to {last}") }
}

/// `is` or `are`, for [`records`].
pub(super) const fn are(first: u64, last: u64) -> &'static str {
    if first == last { "is" } else { "are" }
}

/// `was` or `were`, for [`records`].
pub(super) const fn were(first: u64, last: u64) -> &'static str {
    if first == last { "was" } else { "were" }
}
