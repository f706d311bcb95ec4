//! What is found in the log's folder when it is opened: where the chain ends, what the tree holds, what does not fit.
//!
//! The active segment is read whole, and the closed one before it for its checkpoint; earlier ones only if the mark of
//! the journal stands there.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::journal::filesystem::FileSystem;
use crate::model::id::RecordId;
use crate::model::time::Timestamp;

use super::chain::{Break, Link, Tip};
use super::checkpoint::Checkpoint;
use super::log::{LogError, Mark};
use super::reading::Reading;
use super::segments::{Segment, of_names, read_line, reader};
use super::tree::TreeBuilder;

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
    /// Records that the journal hands over again.
    pub(super) replayed: &'a HashSet<RecordId>,
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
}

/// Reads the log.
pub(super) fn find(request: &Request<'_>) -> Result<Found, LogError> {
    let Request { filesystem, folder, mark, .. } = request;
    let segments = of_names(folder, filesystem.list(folder).map_err(LogError::of(folder))?);
    let Some(last) = segments.last() else {
        let segment = mark.map_or(1, |mark| mark.segment);
        return Ok(Walk::new(request, Position { segment, ..Position::default() }).finish());
    };
    let marked = match mark {
        None => 0,
        Some(mark) => segments.iter().position(|segment| segment.number == mark.segment).unwrap_or(0),
    };
    let start = marked.min(segments.len().saturating_sub(2));
    let mut walk = Walk::new(request, Position::default());
    for (segment, is_last) in segments.iter().skip(start).map(|segment| (segment, segment == last)) {
        walk.segment(segment, is_last && !segment.compressed)?;
    }
    let is_usable = !last.compressed && !walk.is_unreadable;
    let mut found = walk.finish();
    found.exists = is_usable;
    if !is_usable {
        let Position { tip, is_vouched_for, .. } = found.end;
        found.end = Position { segment: last.number + 1, tip, is_vouched_for, ..Position::default() };
    }
    Ok(found)
}

struct Walk<'a> {
    request: &'a Request<'a>,
    at: Position,
    found: Found,
    /// The state before the first line that does not fit, and the records behind it.
    broken: Option<Broken>,
    /// The segment that was read last could not be read to its end.
    is_unreadable: bool,
    /// So could not any.
    was_unreadable: bool,
    known: Vec<Known>,
}

/// A line that the log had, as is known from elsewhere.
struct Known {
    tip: Tip,
    /// The journal knows it, so that all from there on is read.
    is_mark: bool,
    is_met: bool,
    /// Another line has its number.
    is_contradicted: bool,
}

struct Broken {
    before: Position,
    newest: Option<Checkpoint>,
    beyond: HashSet<RecordId>,
    /// All of it comes again from the journal.
    comes_again: bool,
    problems: usize,
}

/// The last line has nothing behind it that its hash could be held against, and a crash can leave holes in it: zeros,
/// which no text of JSON has.
fn text(line: &[u8]) -> Result<(), Break> {
    if line.iter().any(u8::is_ascii_control) { Err(Break::NotARecord) } else { Ok(()) }
}

/// What is read of a line beside its links.
#[derive(Deserialize)]
struct Head {
    id: RecordId,
    #[serde(default)]
    time: Option<Timestamp>,
}

impl<'a> Walk<'a> {
    fn new(request: &'a Request<'a>, at: Position) -> Self {
        let known = |tip, is_mark| Known { tip, is_mark, is_met: false, is_contradicted: false };
        let mark = request.mark.map(|mark| known(mark.tip.clone(), true));
        let seen = request.seen.map(|seen| known(seen.tip(), false));
        let known = mark.into_iter().chain(seen).filter(|known| known.tip.seq > 0).collect();
        let (is_unreadable, was_unreadable) = (false, false);
        Self { request, at, found: Found::default(), broken: None, is_unreadable, was_unreadable, known }
    }

    fn segment(&mut self, segment: &Segment, may_be_cut: bool) -> Result<(), LogError> {
        let is_first = self.at.segment == 0;
        if !is_first && segment.number != self.at.segment + 1 {
            self.problem(format!("segment {:08} of the audit log is missing", self.at.segment + 1));
        }
        let Position { tip, is_vouched_for, .. } = std::mem::take(&mut self.at);
        self.at = Position { segment: segment.number, tip, is_vouched_for, ..Position::default() };
        self.is_unreadable = false;
        let file = Reading::open(self.request.filesystem.as_ref(), &segment.path);
        let mut reader = reader(segment, file.map_err(LogError::of(&segment.path))?)?;
        let mut line = Vec::new();
        loop {
            match read_line(reader.as_mut(), &mut line, LINE_BYTES_MAX) {
                Ok(None) => break,
                Ok(Some(false)) if may_be_cut => {
                    self.cut(&segment.path, "the last line was not finished");
                    break;
                }
                Ok(Some(_)) => {}
                // No line of ours is as long, and a damaged file of the past must not stop the daemon.
                Err(error) if segment.compressed || error.kind() == io::ErrorKind::InvalidData => {
                    self.problem(format!("{} cannot be read to its end: {error}", segment.path.display()));
                    (self.is_unreadable, self.was_unreadable) = (true, true);
                    break;
                }
                Err(error) => return Err(LogError::of(&segment.path)(error)),
            }
            // Where older segments were removed, the oldest line that is left tells what stood before it.
            if is_first && segment.number > 1 && self.at.length == 0 {
                self.at.tip = Link::parse(&line).map(|link| link.before()).unwrap_or_default();
            }
            self.line(segment, &line, may_be_cut);
        }
        self.mend(segment);
        Ok(())
    }

    /// Takes back what was read behind a break that a crash explains.
    fn mend(&mut self, segment: &Segment) {
        let Some(broken) = self.broken.take() else { return };
        if broken.comes_again && !self.is_unreadable {
            self.found.problems.truncate(broken.problems);
            (self.at, self.found.newest) = (broken.before, broken.newest);
            self.cut(&segment.path, "lines do not fit; the journal has their records");
            if self.request.replayed.is_empty() {
                let what = format!("{} had unreadable lines at its end; they are cut off", segment.path.display());
                self.problem(what);
            }
        } else {
            self.found.present.extend(broken.beyond);
        }
    }

    fn line(&mut self, segment: &Segment, line: &[u8], may_be_cut: bool) {
        let before = self.at.clone();
        let fits = self.at.tip.follow(line).and_then(|_| text(line));
        if let Err(broken) = fits {
            self.break_off(segment, &broken, before, may_be_cut);
        }
        let checkpoint = Checkpoint::parse(line);
        let is_first = self.at.length == 0;
        let wants_head = is_first || !self.request.replayed.is_empty() || self.broken.is_some();
        if let Some(head) = wants_head.then(|| serde_json::from_slice::<Head>(line).ok()).flatten() {
            if is_first {
                self.at.day = head.time.map(day);
            }
            // Checkpoints are not in the journal; they are made anew.
            if checkpoint.is_none() {
                self.remember(head.id);
            }
        }
        self.at.take_in(line.len(), checkpoint.is_some());
        self.found.newest = checkpoint.or(self.found.newest.take());
        self.compare(line);
    }

    /// A line that does not fit. If the records from it on come again from the journal, it is what a crash left.
    fn break_off(&mut self, segment: &Segment, broken: &Break, before: Position, may_be_cut: bool) {
        // A tree over a gap would vouch for lines that nobody has.
        self.at.tree = TreeBuilder::default();
        let is_known = self.request.mark.is_some_and(|mark| before.tip.seq < mark.tip.seq);
        let (problems, at) = (self.found.problems.len(), before.length);
        self.problem(format!("{} at byte {at}: {broken}", segment.path.display()));
        if self.broken.is_none() {
            let newest = self.found.newest.clone();
            let comes_again = may_be_cut && !is_known;
            self.broken = Some(Broken { before, newest, beyond: HashSet::new(), comes_again, problems });
        }
    }

    fn remember(&mut self, id: RecordId) {
        let is_replayed = self.request.replayed.contains(&id);
        match &mut self.broken {
            Some(broken) if is_replayed => _ = broken.beyond.insert(id),
            Some(broken) => broken.comes_again = false,
            None if is_replayed => _ = self.found.present.insert(id),
            None => {}
        }
    }

    /// Compares the line that was read last, and what it says of the one before it, with what is known.
    fn compare(&mut self, line: &[u8]) {
        let before = Link::parse(line).map(|link| link.before());
        let Tip { seq, .. } = self.at.tip;
        let mut is_other = false;
        for known in &mut self.known {
            known.is_met |= known.tip == self.at.tip || Some(&known.tip) == before.as_ref();
            if known.tip.seq == seq && known.tip != self.at.tip {
                (known.is_contradicted, is_other) = (true, true);
            }
        }
        if is_other {
            self.problem(format!("record {seq} of the audit log is not the one that was written"));
        }
    }

    fn cut(&mut self, path: &Path, why: &str) {
        self.found.cut = Some(format!("{} is cut at byte {}: {why}", path.display(), self.at.length));
    }

    fn problem(&mut self, what: String) {
        if self.found.problems.len() < PROBLEMS_MAX {
            self.found.problems.push(what);
        }
    }

    /// A log that ends before what is known of it goes on behind the gap, so that the gap stays to be seen. One that is
    /// not what is known goes on from that by its hash: what somebody else wrote there is never vouched for.
    fn finish(mut self) -> Found {
        let Tip { seq, .. } = self.at.tip;
        // Of a segment that cannot be read nobody knows what it held.
        let is_lost = |it: &Known| !it.is_met && (it.is_contradicted || (it.is_mark && !self.was_unreadable));
        let lost =
            self.known.iter().filter(|known| known.tip.seq > seq || is_lost(known)).max_by_key(|known| known.tip.seq);
        if let Some(Known { tip: known, is_contradicted, .. }) = lost {
            let (known, is_told) = (known.clone(), *is_contradicted);
            if known.seq > seq {
                let gone = match known.seq - seq {
                    1 => format!("record {} is gone", known.seq),
                    _ => format!("records {} to {} are gone", seq + 1, known.seq),
                };
                self.problem(format!("the end of the audit log is missing: {gone}"));
            } else if !is_told {
                self.problem(format!("the audit log is another one: record {} is not in it any more", known.seq));
            }
            self.at.tip = Tip { seq: known.seq.max(seq), ..known };
            self.at.tree = TreeBuilder::default();
            self.at.is_vouched_for = false;
        }
        self.found.end = self.at;
        self.found
    }
}
