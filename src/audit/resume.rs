//! What is found in the log's folder when it is opened: where the chain ends, what the tree holds, what does not fit.
//!
//! The active segment is read whole, and the closed one before it for its checkpoint; earlier ones only if the mark of
//! the journal stands there. Behind lines that are not the daemon's own ([`proof`]) it does not go on: they stay as
//! they are for whoever looks into it, and a new segment continues what is known.

mod proof;

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::journal::filesystem::FileSystem;
use crate::journal::regular::is_not_regular;
use crate::model::id::RecordId;
use crate::model::record::AuditEntry;
use crate::model::time::Timestamp;

use super::chain::{Break, Link, Tip};
use super::checkpoint::Checkpoint;
use super::key::PublicKey;
use super::log::{LogError, Mark};
use super::reading::Reading;
use super::segments::{Segment, of_names, read_line, reader};
use super::tree::TreeBuilder;

use proof::{Known, Proof, Proven};

/// What is longer is no line of ours.
pub(super) const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Problems that are told; one cause may break many lines.
const PROBLEMS_MAX: usize = 100;

/// The end of the log, and what the next checkpoint needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) segment: u64,
    /// Bytes of the segment.
    pub(super) length: u64,
    pub(super) tip: Tip,
    /// Over the lines behind the last checkpoint.
    pub(super) tree: TreeBuilder,
    /// When the segment's first line was written, in UTC days since 1970.
    pub(super) day: Option<i64>,
    /// The last line is a checkpoint.
    pub(super) is_vouched_for: bool,
    /// Records that were appended since the log was opened.
    pub(super) records: u64,
}

impl Position {
    /// The first line that the next checkpoint covers.
    pub(super) const fn first(&self) -> u64 {
        self.tip.seq.saturating_sub(self.tree.len()).saturating_add(1)
    }

    /// Takes in a line that the tip has already moved on to.
    pub(super) fn take_in(&mut self, line_bytes: usize, is_checkpoint: bool) {
        self.length = self.length.saturating_add(line_bytes as u64).saturating_add(1);
        self.is_vouched_for = is_checkpoint;
        match is_checkpoint {
            true => self.tree = TreeBuilder::default(),
            false => self.tree.push(&self.tip.hash),
        }
    }
}

/// The UTC day, counted from 1970.
pub(super) const fn day(time: Timestamp) -> i64 {
    time.micros().div_euclid(24 * 3600 * 1_000_000)
}

/// Where to look, and what is known from elsewhere.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) filesystem: &'a Arc<dyn FileSystem>,
    pub(super) folder: &'a Path,
    /// The place up to which the journal knows the log to be durable.
    pub(super) mark: Option<&'a Mark>,
    /// The newest checkpoint that is remembered outside of the log.
    pub(super) seen: Option<&'a Checkpoint>,
    /// The public halves of the keys that are at hand.
    pub(super) keys: &'a [PublicKey],
    /// Records that the journal hands over again, in order.
    pub(super) replayed: &'a [AuditEntry],
}

impl Request<'_> {
    fn known(&self) -> impl Iterator<Item = Tip> {
        let Request { mark, seen, .. } = self;
        mark.map(|mark| mark.tip.clone()).into_iter().chain(seen.map(Checkpoint::tip))
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) end: Position,
    /// Whether the segment of `end` is there.
    pub(super) exists: bool,
    /// Of the replayed records those that the log has.
    pub(super) present: HashSet<RecordId>,
    pub(super) problems: Vec<String>,
    /// Lines that were not finished, or do not fit and come again from the journal, were cut off here.
    pub(super) cut: Option<String>,
    pub(super) newest: Option<Checkpoint>,
    /// What is known from elsewhere does not stand in the log.
    pub(super) is_contradicted: bool,
}

/// Reads the log.
pub(super) fn find(request: &Request<'_>) -> Result<Found, LogError> {
    let Request { filesystem, folder, mark, .. } = request;
    let mut segments = of_names(folder, filesystem.list(folder).map_err(LogError::of(folder))?);
    let foreign = segments.split_off(continued(&segments, *mark));
    let mut walk = Walk::new(request);
    for Segment { path, .. } in &foreign {
        walk.problem(format!("{} does not follow the other segments: it is not read", path.display()));
    }
    let Some(last) = segments.last() else {
        walk.at.segment = mark.map_or(1, |mark| mark.segment);
        return Ok(walk.finish(None));
    };
    let marked = mark.and_then(|mark| segments.iter().position(|segment| segment.number >= mark.segment));
    let start = marked.unwrap_or(0).min(segments.len().saturating_sub(2));
    for (segment, is_last) in segments.iter().skip(start).map(|segment| (segment, segment == last)) {
        walk.segment(segment, is_last && !segment.compressed)?;
    }
    Ok(walk.finish(Some(last)))
}

/// How many of the segments the daemon can have written: each new one has the next number.
fn continued(segments: &[Segment], mark: Option<&Mark>) -> usize {
    let numbers: Vec<u64> = segments.iter().map(|segment| segment.number).collect();
    let follows = |at: &usize| {
        let number = numbers.get(*at).copied().unwrap_or_default();
        match at.checked_sub(1).and_then(|before| numbers.get(before)) {
            Some(before) => number == before.saturating_add(1),
            None => mark.is_none(),
        }
    };
    match mark.and_then(|mark| numbers.iter().position(|number| *number == mark.segment)) {
        Some(marked) => (marked + 1..numbers.len()).find(|at| !follows(at)).unwrap_or(numbers.len()),
        None => {
            let is_behind = |at: &usize| mark.is_some_and(|mark| numbers.get(*at) == Some(&(mark.segment + 1)));
            (0..numbers.len()).rev().find(|at| follows(at) || is_behind(at)).map_or(0, |last| last + 1)
        }
    }
}

struct Walk<'a> {
    request: &'a Request<'a>,
    at: Position,
    proof: Proof<'a>,
    problems: Vec<String>,
    cut: Option<String>,
    /// The segment that was read last could not be read to its end.
    is_unreadable: bool,
}

/// The last line has nothing behind it that its hash could be held against, and a crash can leave holes in it: zeros,
/// which no text of JSON has.
fn text(line: &[u8]) -> Result<(), Break> {
    if line.iter().any(u8::is_ascii_control) { Err(Break::NotARecord) } else { Ok(()) }
}

/// What is read of the first line of a segment beside its links.
#[derive(Deserialize)]
struct Head {
    time: Timestamp,
}

impl<'a> Walk<'a> {
    fn new(request: &'a Request<'a>) -> Self {
        let mut keys = request.keys.to_vec();
        keys.extend(request.seen.iter().flat_map(|seen| [seen.statement.key, seen.key_in_force()]));
        let anchor = request.known().max_by_key(|known| known.seq).filter(|known| known.seq > 0);
        let proof = Proof::new(Known { anchor, keys, journal: request.replayed });
        let (at, problems, cut, is_unreadable) = Default::default();
        Self { request, at, proof, problems, cut, is_unreadable }
    }

    fn segment(&mut self, segment: &Segment, may_be_cut: bool) -> Result<(), LogError> {
        let is_first = self.at.segment == 0;
        if !is_first && segment.number != self.at.segment + 1 {
            self.problem(format!("segment {:08} of the audit log is missing", self.at.segment + 1));
        }
        let Position { tip, is_vouched_for, .. } = std::mem::take(&mut self.at);
        self.at = Position { segment: segment.number, tip, is_vouched_for, ..Position::default() };
        self.proof.begin(&self.at);
        self.is_unreadable = false;
        let file = match Reading::open(self.request.filesystem.as_ref(), &segment.path) {
            Err(error) if is_not_regular(&error) => {
                self.problem(format!("{} is {error}", segment.path.display()));
                self.is_unreadable = true;
                return Ok(());
            }
            opened => opened.map_err(LogError::of(&segment.path))?,
        };
        let mut reader = reader(segment, file)?;
        let mut line = Vec::new();
        loop {
            match read_line(reader.as_mut(), &mut line, LINE_BYTES_MAX) {
                Ok(None) => break,
                Ok(Some(false)) if may_be_cut => {
                    self.cut(segment, "the last line was not finished");
                    break;
                }
                Ok(Some(_)) => {}
                // No line of ours is as long, and a damaged file of the past must not stop the daemon.
                Err(error) if segment.compressed || error.kind() == io::ErrorKind::InvalidData => {
                    self.problem(format!("{} cannot be read to its end: {error}", segment.path.display()));
                    self.is_unreadable = true;
                    break;
                }
                Err(error) => return Err(LogError::of(&segment.path)(error)),
            }
            // Where older segments were removed, the oldest line that is left tells what stood before it.
            if is_first && segment.number > 1 && self.at.length == 0 {
                self.at.tip = Link::parse(&line).map(|link| link.before()).unwrap_or_default();
            }
            self.line(segment, &line);
        }
        if self.proof.is_without_anchor() && !self.proof.is_whole() && !(may_be_cut && self.proof.may_be_cut()) {
            self.proof.take(&self.at);
        }
        Ok(())
    }

    fn line(&mut self, segment: &Segment, line: &[u8]) {
        let is_first = self.at.length == 0;
        if let Err(broken) = self.at.tip.follow(line).and_then(|_| text(line)) {
            // A tree over a gap would vouch for lines that nobody has.
            self.at.tree = TreeBuilder::default();
            if !(is_first && self.proof.passes(line)) {
                self.proof.break_off(self.problems.len());
                self.problem(format!("{} at byte {}: {broken}", segment.path.display(), self.at.length));
                self.proof.meet_damaged(line, &self.at);
            }
        }
        if is_first {
            self.at.day = serde_json::from_slice::<Head>(line).ok().map(|head| day(head.time));
        }
        let checkpoint = Checkpoint::parse(line);
        self.at.take_in(line.len(), checkpoint.is_some());
        if let Some(problems) = self.proof.line(line, checkpoint, &self.at) {
            self.problems.truncate(problems);
        }
        self.compare();
    }

    /// Compares with what is known of the line that was read last.
    fn compare(&mut self) {
        let Tip { seq, hash } = self.at.tip;
        if self.request.known().any(|tip| tip.seq == seq && tip.hash != hash) {
            self.problem(format!("record {seq} of the audit log is not the one that was written"));
        }
    }

    fn cut(&mut self, segment: &Segment, why: &str) {
        self.cut = Some(format!("{} is cut at byte {}: {why}", segment.path.display(), self.at.length));
    }

    fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }

    /// Where the log goes on. `last` is its last segment.
    fn finish(mut self, last: Option<&Segment>) -> Found {
        let mut exists = last.is_some_and(|last| !last.compressed && !self.is_unreadable);
        let is_contradicted = self.proof.missed().is_some();
        if let Some(known) = self.proof.missed().cloned() {
            exists &= known.seq > self.at.tip.seq;
            self.missed(known);
        } else if !self.proof.is_whole() {
            exists &= self.end_of_rest(last);
        }
        if let Some(last) = last.filter(|_| !exists) {
            let Position { tip, is_vouched_for, .. } = self.at;
            self.at = Position { segment: last.number.saturating_add(1), tip, is_vouched_for, ..Position::default() };
            self.cut = None;
        }
        let Proof { present, proven: Proven { newest, .. }, .. } = self.proof;
        Found { end: self.at, exists, present, problems: self.problems, cut: self.cut, newest, is_contradicted }
    }

    /// What is known does not stand in the log: it goes on behind that, so that the break stays to be seen.
    fn missed(&mut self, known: Tip) {
        let Tip { seq, .. } = self.at.tip;
        self.problem(match known.seq.checked_sub(seq) {
            None | Some(0) => format!(
                "record {}, which is known from elsewhere as {}, does not stand in it: what stands there is not signed \
                 and a new segment goes on behind the known record",
                known.seq, known.hash
            ),
            Some(1) => format!("the end of the audit log is missing: record {} is gone", known.seq),
            Some(_) => format!("the end of the audit log is missing: records {} to {} are gone", seq + 1, known.seq),
        });
        self.at = Position { tip: known, tree: TreeBuilder::default(), is_vouched_for: false, ..self.at.clone() };
    }

    /// Lines behind the last one that is ours. Gives whether they are cut off, in the last segment; if not the log goes
    /// on in a new one.
    fn end_of_rest(&mut self, last: Option<&Segment>) -> bool {
        let first = self.proof.proven.end.tip.seq.saturating_add(1);
        self.at.clone_from(&self.proof.proven.end);
        let last = last.filter(|last| last.number == self.at.segment && !last.compressed && !self.is_unreadable);
        let Some(last) = last.filter(|_| self.proof.may_be_cut()) else {
            self.problem(format!(
                "what stands in it from record {first} on is not what the daemon wrote: it is not signed, and a new \
                 segment goes on behind record {}",
                first - 1
            ));
            (self.at.tree, self.at.is_vouched_for) = (TreeBuilder::default(), false);
            return false;
        };
        self.problems.truncate(self.proof.problems_before().unwrap_or(usize::MAX));
        self.cut(last, "lines do not fit; the journal has their records");
        if self.proof.is_foul() {
            let what = "is not the one that the journal has: it is cut off and written again, with all behind it";
            self.problem(format!("record {first} {what}"));
        } else if self.proof.is_without_anchor() && self.request.replayed.is_empty() {
            self.problem(format!("{} had unreadable lines at its end; they are cut off", last.path.display()));
        }
        true
    }
}
