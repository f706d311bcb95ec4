//! `audit verify`: whether the log is as it was written, and if not, what exactly is wrong.
//!
//! Each segment is read once, several at a time. What its lines say of each other is put together in order: the chain
//! shows what was changed, moved or taken out, the checkpoints show by whose word, and checkpoints held elsewhere show
//! what the log cannot show by itself.

mod finding;
mod held;
mod judge;
mod order;
mod recorded;
mod scan;
mod seals;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::model::time::Timestamp;

use super::chain::{Hash, Tip};
use super::checkpoint::{Checkpoint, Removed, verify_signature};
use super::key::PublicKey;
use super::lines::{Progress, in_parallel};
use super::log::LogError;
use super::segments::{Segment, segments};

pub use finding::{BREAKS_MAX, Finding, Kind};

use finding::Findings;
use held::Tail;
use order::Anchor;
use scan::{Place, Scan, Stretch};

/// What is known besides the log itself.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The key that must have signed, whether others did before it or it has led to others since.
    pub pinned: Option<PublicKey>,
    /// The key that signs now, as its file says. Counts if none is pinned.
    pub current: Option<PublicKey>,
    /// The newest checkpoint that was remembered beside the key, with the name of its file. Must have been read before
    /// the log is.
    pub seen: Option<(PathBuf, Vec<u8>)>,
    /// Files of checkpoints that were held elsewhere, one line each.
    pub held: Vec<PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub segments: u64,
    pub records: u64,
    /// Number of the first record that is there, 0 if there is none.
    pub first: u64,
    /// The end of the chain.
    pub tip: Tip,
    pub checkpoints: u64,
    /// The last checkpoint; `None` if nothing is signed.
    pub vouched: Option<Vouched>,
    /// Records behind the last checkpoint: chained, but not signed yet.
    pub behind: u64,
    /// The keys that signed, in order. One that is only named as the next is none of them.
    pub keys: Vec<PublicKey>,
    pub compared: Compared,
    /// The first checkpoint by the key that was compared. What other keys signed before it has not been changed since;
    /// whether it was already so before, only these keys say.
    pub known_since: Option<Vouched>,
    pub held: Held,
    /// What retention removed, by the newest tombstone.
    pub removed: Option<Removed>,
    pub breaks: Vec<Finding>,
    /// All findings, the unlisted ones too.
    pub break_count: u64,
    /// The last line has no end: the daemon is writing it, or was killed while it did. A restart cuts it.
    pub unfinished: bool,
}

/// A checkpoint up to which the log is vouched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vouched {
    pub seq: u64,
    pub time: Timestamp,
    pub node: String,
    pub key: PublicKey,
}

/// What the keys in the log were compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compared {
    #[default]
    Nothing,
    /// The file of the key that signs.
    File,
    /// The key that the caller named.
    Pinned,
}

/// How the checkpoints that were held elsewhere compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// They stand in the log byte for byte.
    pub confirmed: u64,
    /// The newest of these.
    pub newest: Option<Vouched>,
    /// They are of a part that was removed, as a signed tombstone says.
    pub removed: u64,
}

/// Reads every segment of the folder once and compares it with nothing else.
pub fn verify(folder: &Path) -> Result<Report, LogError> {
    verify_with(folder, &Expected::default(), &|_| ())
}

/// Reads every segment of the folder once.
pub fn verify_with(folder: &Path, expected: &Expected, progress: Progress<'_>) -> Result<Report, LogError> {
    let mut segments = segments(folder)?;
    let mut scans = in_parallel(&segments, |segment| scan::scan(segment, progress))?;
    let foreign = segments.split_off(followed(&scans));
    scans.truncate(segments.len());
    let anchor = anchor(&scans);
    let mut examination = Examination::new(&segments, scans, anchor);
    for Segment { path: file, .. } in foreign {
        let what = "This file does not follow the other segments and holds no record: no daemon wrote it.".to_owned();
        examination.findings.push(Finding { kind: Kind::Foreign, file, line: 0, first: 0, last: 0, what });
    }
    examination.conclude(expected)
}

/// Reads one segment: what stands before it is taken at its word. `None` if there is no such segment.
pub fn verify_segment(
    folder: &Path,
    number: u64,
    expected: &Expected,
    progress: Progress<'_>,
) -> Result<Option<Report>, LogError> {
    let segments = segments(folder)?;
    let Some(segment) = segments.iter().find(|segment| segment.number == number) else { return Ok(None) };
    let scan = scan::scan(segment, progress)?;
    let first = scan.stretches.iter().find_map(|stretch| match stretch {
        Stretch::Run(run) => Some(run.first),
        Stretch::Junk { .. } => None,
    });
    let anchor = Anchor { last: first.unwrap_or(1).saturating_sub(1), hash: None, segment: number - 1 };
    let mut examination = Examination::new(std::slice::from_ref(segment), vec![scan], anchor);
    examination.is_closed = segments.last().is_some_and(|last| last.number > number);
    let expected = Expected { seen: None, current: None, ..expected.clone() };
    examination.conclude(&expected).map(Some)
}

/// How many of the segments stand before those that nobody who wrote this log can have made: behind a gap in the
/// numbers, and without a record.
fn followed(scans: &[Scan]) -> usize {
    let numbers = scans.iter().zip(scans.iter().skip(1));
    let gaps = numbers.enumerate().filter(|(_, (before, next))| next.segment != before.segment.saturating_add(1));
    let is_empty = |at: &usize| scans.iter().skip(*at).all(|scan| scan.stretches.is_empty());
    gaps.map(|(at, _)| at + 1).find(is_empty).unwrap_or(scans.len())
}

/// Where the log has to begin: behind what the newest tombstone says was removed, else at the beginning of everything.
fn anchor(scans: &[Scan]) -> Anchor {
    let signed = scans.iter().flat_map(|scan| &scan.checkpoints).filter(|met| met.signed);
    let Some(removed) = signed.filter_map(|met| met.checkpoint.statement.removed.as_ref()).next_back() else {
        return Anchor { last: 0, hash: Some(Hash::GENESIS), segment: 0 };
    };
    let whole = Anchor { last: removed.last, hash: Some(removed.hash), segment: removed.segments[1] };
    match scans.iter().find_map(|scan| scan.stretches.first()) {
        // Some of what was to go is still there: it goes from its oldest end.
        Some(Stretch::Run(run)) if run.prev != removed.hash && run.first <= removed.last => {
            Anchor { last: run.first.saturating_sub(1), hash: None, segment: run.start.segment.saturating_sub(1) }
        }
        _ => whole,
    }
}

/// Whether the line is a checkpoint that its own key signed.
fn is_signed_checkpoint(line: &[u8]) -> bool {
    Checkpoint::parse(line).is_some_and(|checkpoint| verify_signature(line, &checkpoint.statement.key))
}

/// A log that was read, on the way to a report.
struct Examination {
    scans: Vec<Scan>,
    anchor: Anchor,
    findings: Findings,
    report: Report,
    /// Whether the last segment that was read is closed.
    is_closed: bool,
    tail: Option<Tail>,
}

impl Examination {
    fn new(segments: &[Segment], mut scans: Vec<Scan>, anchor: Anchor) -> Self {
        // Behind a segment with too much wrong nothing can be told.
        if let Some(at) = scans.iter().position(|scan| scan.broke_off) {
            scans.truncate(at + 1);
        }
        let files = segments.iter().map(|segment| (segment.number, segment.path.clone())).collect();
        let report = Report {
            segments: segments.len() as u64,
            records: scans.iter().map(|scan| scan.lines).sum(),
            unfinished: scans.last().is_some_and(|scan| scan.unfinished),
            ..Report::default()
        };
        Self { scans, anchor, findings: Findings::new(files), report, is_closed: false, tail: None }
    }

    fn conclude(mut self, expected: &Expected) -> Result<Report, LogError> {
        self.chain();
        self.seals(expected);
        self.recorded();
        let place = |a: &Finding, b: &Finding| (&a.file, a.line, a.first).cmp(&(&b.file, b.line, b.first));
        self.findings.listed.sort_by(place);
        held::compare(expected, (&self.scans, self.tail), &mut self.report, &mut self.findings)?;
        (self.report.breaks, self.report.break_count) = (self.findings.listed, self.findings.count);
        Ok(self.report)
    }

    fn chain(&mut self) {
        let all = self.scans.iter().flat_map(|scan| scan.stretches.iter().cloned());
        let stretches = order::join(all, self.anchor);
        judge::judge(&stretches, self.anchor, &self.scans, &mut self.findings);
        let mut runs = stretches.iter().filter_map(|stretch| match stretch {
            Stretch::Run(run) => Some(run),
            Stretch::Junk { .. } => None,
        });
        self.report.first = runs.clone().map(|run| run.first).min().unwrap_or(0);
        if let Some(last) = runs.clone().reduce(|left, right| if right.last > left.last { right } else { left }) {
            self.report.tip = Tip { seq: last.last, hash: last.hash };
            self.tail = Some(Tail { place: last.end, prev: last.last_prev });
        }
        let too_many = stretches.len() >= order::STRETCHES_MAX;
        if let Some(last) = runs.next_back().filter(|_| too_many || self.scans.iter().any(|scan| scan.broke_off)) {
            let what = "So much is wrong that it cannot be told apart: from here on nothing was looked at.".to_owned();
            self.findings.add(Kind::Unreadable, last.end, (last.last, u64::MAX), what);
        }
        for scan in &self.scans {
            let is_last = self.scans.last().is_some_and(|last| last.segment == scan.segment);
            let at = Place { segment: scan.segment, line: scan.lines + 1 };
            let file = self.findings.files().get(&scan.segment).cloned();
            let is_told = |finding: &Finding| finding.kind == Kind::Unreadable && Some(&finding.file) == file.as_ref();
            if let Some(damage) = scan.damage.as_ref().filter(|_| !self.findings.listed.iter().any(is_told)) {
                let what = format!("The segment was changed: it cannot be read to its end ({damage}).");
                self.findings.add(Kind::Unreadable, at, (0, 0), what);
            }
            if scan.unfinished && (!is_last || self.is_closed) && self.findings.listed.is_empty() {
                let what = "The last line of this closed segment has no line end: its end was cut off.".to_owned();
                self.findings.add(Kind::SegmentReplaced, at, (0, 0), what);
            }
        }
    }

    /// The log as it is now may hold, and yet not be the one that was written first: the daemon saw that, and said so.
    fn recorded(&mut self) {
        for recorded in self.scans.iter().flat_map(|scan| &scan.recorded) {
            let what = format!("The daemon recorded here what it found at a start: {}.", recorded.what);
            self.findings.add(Kind::Recorded, recorded.place, (recorded.seq, recorded.seq), what);
        }
    }

    fn seals(&mut self, expected: &Expected) {
        let mut seals = seals::Seals::default();
        seals.check(&self.scans, (self.anchor, self.is_closed), &mut self.findings);
        self.report.checkpoints = seals.count;
        let last_seen = seals.vouched.as_ref().map_or(self.anchor.last, |vouched| vouched.seq);
        self.report.behind = self.report.tip.seq.saturating_sub(last_seen);
        let end = self.scans.last().map(|scan| Place { segment: scan.segment, line: scan.lines });
        let end = end.unwrap_or(Place { segment: 0, line: 0 });
        seals.check_tail(self.report.behind, self.report.tip.seq, end, &mut self.findings);
        // Of an empty log nothing more need be said.
        if self.report.records > 0 {
            (self.report.compared, self.report.known_since) = seals.compare_keys(expected, end, &mut self.findings);
        }
        self.report.removed = seals.removed;
        self.report.vouched = seals.vouched;
        self.report.keys = seals.signers.iter().map(|signer| signer.key).collect();
    }
}
