//! One segment by itself: the stretches in which its lines follow each other, and its checkpoints with their trees.

use std::io;

use memchr::memmem;

use crate::audit::chain::{Hash, Link};
use crate::audit::checkpoint::{Checkpoint, Why, claims_to_be_one, verify_signature};
use crate::audit::lines::{LineReader, Piece, Progress};
use crate::audit::log::LogError;
use crate::audit::segments::Segment;
use crate::audit::tree::TreeBuilder;
use crate::journal::regular::is_not_regular;

use super::recorded::{self, RECORDED_MAX, Recorded};

/// Stretches of one segment that are told apart.
const STRETCHES_MAX: usize = 256;
/// Checkpoints of one segment, which are all kept: more than there is room for in a segment as the daemon closes it.
const CHECKPOINTS_MAX: usize = 120_000;
/// Stretches of one segment whose first line is kept while it is their only one.
const OPENINGS_MAX: usize = 16;

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the segment.
    pub(super) segment: u64,
    /// From 1.
    pub(super) line: u64,
}

/// Lines each of which carries the number and the hash that follow from the one before it.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) start: Place,
    pub(super) end: Place,
    /// Numbers of the first and the last line.
    pub(super) first: u64,
    pub(super) last: u64,
    /// What the first line says of the line before it.
    pub(super) prev: Hash,
    /// What the last line says of the line before it.
    pub(super) last_prev: Hash,
    /// The hash of the last line.
    pub(super) hash: Hash,
    /// The first or the last line is a checkpoint whose own key signed it as it stands.
    pub(super) first_signed: bool,
    pub(super) last_signed: bool,
    pub(super) last_is_checkpoint: bool,
    /// The last line is the checkpoint with which a segment is closed.
    pub(super) last_closes: bool,
    /// The first line, as long as it is the only one.
    pub(super) opening: Option<Box<[u8]>>,
    /// The number that the only line carries, if it has to be another one.
    pub(super) misnumbered: Option<u64>,
}

impl Run {
    pub(super) const fn is_single(&self) -> bool {
        self.first == self.last
    }

    /// Whether `next` is what was written behind this run.
    pub(super) fn goes_on_in(&self, next: &Self) -> bool {
        next.first == self.last.saturating_add(1) && next.prev == self.hash
    }
}

#[derive(Clone, Debug)]
pub(super) enum Stretch {
    Run(Run),
    /// Lines that are no records.
    Junk {
        start: Place,
        lines: u64,
    },
}

/// How the lines compare with what a checkpoint says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// They are those that were signed, or: each that is not is known by the hash in the line behind it.
    Good,
    /// They are not, and no line of the tree is missing.
    Bad,
    /// Not all lines of the tree are there.
    Incomplete,
    /// The checkpoint covers other lines than those since the checkpoint before it.
    Elsewhere,
}

/// A checkpoint as it stands in the log.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) place: Place,
    pub(super) checkpoint: Checkpoint,
    /// Its own key signed it.
    pub(super) signed: bool,
    pub(super) tree: Tree,
}

/// What one segment holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) segment: u64,
    pub(super) lines: u64,
    pub(super) stretches: Vec<Stretch>,
    pub(super) checkpoints: Vec<Met>,
    /// Lines that stand twice, one behind the other, with their numbers.
    pub(super) repeats: Vec<(Place, u64)>,
    /// Lines that begin as checkpoints and are none, with their numbers.
    pub(super) spoiled: Vec<(Place, u64)>,
    /// Too much is wrong to be told apart: the rest of the segment was not looked at.
    pub(super) broke_off: bool,
    /// The last line has no line end.
    pub(super) unfinished: bool,
    /// Why the file could not be read to its end.
    pub(super) damage: Option<String>,
    /// What the daemon says was damaged.
    pub(super) recorded: Vec<Recorded>,
}

/// Reads one segment.
pub(super) fn scan(segment: &Segment, progress: Progress<'_>) -> Result<Scan, LogError> {
    let mut scanner = Scanner::new(segment.number);
    let mut reader = match LineReader::open(segment, progress) {
        Err(error) => return scanner.damaged(error),
        Ok(reader) => reader,
    };
    while !scanner.scan.broke_off {
        match reader.next_line() {
            Err(error) => return scanner.damaged(error),
            Ok(None) => break,
            Ok(Some(Piece::Line(line))) => scanner.line(line),
            Ok(Some(Piece::TooLong)) => scanner.junk(),
            Ok(Some(Piece::Unfinished(_))) => {
                scanner.scan.unfinished = true;
                break;
            }
        }
    }
    Ok(scanner.scan)
}

struct Scanner {
    scan: Scan,
    tree: Growing,
    checkpoints_max: usize,
}

impl Scanner {
    fn new(segment: u64) -> Self {
        let scan = Scan {
            segment,
            lines: 0,
            stretches: Vec::new(),
            checkpoints: Vec::new(),
            repeats: Vec::new(),
            spoiled: Vec::new(),
            broke_off: false,
            unfinished: false,
            damage: None,
            recorded: Vec::new(),
        };
        Self { scan, tree: Growing::default(), checkpoints_max: CHECKPOINTS_MAX }
    }

    /// That a compressed file was changed and cannot be read is a finding, and that something else stands in place of a
    /// file; that the system gives no file is none.
    fn damaged(mut self, error: LogError) -> Result<Scan, LogError> {
        use io::ErrorKind::{InvalidData, Other, UnexpectedEof};
        if is_not_regular(&error.source) {
            self.scan.damage = Some(error.source.to_string());
            return Ok(self.scan);
        }
        if error.path.extension().is_some_and(|extension| extension == "zst")
            && matches!(error.source.kind(), InvalidData | Other | UnexpectedEof)
        {
            self.scan.damage = Some(error.source.to_string());
            return Ok(self.scan);
        }
        Err(error)
    }

    fn place(&self) -> Place {
        Place { segment: self.scan.segment, line: self.scan.lines }
    }

    fn line(&mut self, line: &[u8]) {
        let Some(link) = Link::parse(line) else { return self.junk() };
        let place = Place { segment: self.scan.segment, line: self.scan.lines + 1 };
        let claims = claims_to_be_one(line);
        let checkpoint = claims.then(|| Checkpoint::parse(line)).flatten();
        let hash = checkpoint.as_ref().map_or_else(|| Hash::of(line), |checkpoint| checkpoint.hash);
        let signed = checkpoint.as_ref().is_some_and(|it| verify_signature(line, &it.statement.key));
        let closes = checkpoint.as_ref().is_some_and(|it| it.statement.why == Why::Rotation);
        let follows = match self.scan.stretches.last_mut() {
            Some(Stretch::Run(run)) if run.last.saturating_add(1) == link.seq && run.hash == link.prev => {
                (run.end, run.last, run.last_prev, run.hash) = (place, link.seq, link.prev, hash);
                (run.last_signed, run.last_is_checkpoint, run.last_closes) = (signed, checkpoint.is_some(), closes);
                run.opening = None;
                true
            }
            Some(Stretch::Run(run)) if run.hash == hash => return self.repeat(link.seq),
            _ if holds_two_lines(line) => return self.junk(),
            _ => false,
        };
        self.scan.lines += 1;
        if !follows {
            self.begin(Stretch::Run(Run {
                start: place,
                end: place,
                first: link.seq,
                last: link.seq,
                prev: link.prev,
                last_prev: link.prev,
                hash,
                first_signed: signed,
                last_signed: signed,
                last_is_checkpoint: checkpoint.is_some(),
                last_closes: closes,
                opening: (self.scan.stretches.len() < OPENINGS_MAX).then(|| line.into()),
                misnumbered: None,
            }));
        }
        self.tree.line(&link, hash, follows);
        if let Some(what) = recorded::damage(line).filter(|_| self.scan.recorded.len() < RECORDED_MAX) {
            self.scan.recorded.push(Recorded { place, seq: link.seq, what });
        }
        if let Some(checkpoint) = checkpoint {
            let tree = self.tree.close(&checkpoint);
            if self.scan.checkpoints.len() < self.checkpoints_max {
                self.scan.checkpoints.push(Met { place, checkpoint, signed, tree });
            } else {
                self.scan.broke_off = true;
            }
        } else if claims && self.scan.spoiled.len() < STRETCHES_MAX {
            self.scan.spoiled.push((place, link.seq));
        }
    }

    fn junk(&mut self) {
        self.scan.lines += 1;
        match self.scan.stretches.last_mut() {
            Some(Stretch::Junk { lines, .. }) => *lines += 1,
            _ => self.begin(Stretch::Junk { start: self.place(), lines: 1 }),
        }
    }

    fn repeat(&mut self, seq: u64) {
        self.scan.lines += 1;
        if self.scan.repeats.len() < STRETCHES_MAX {
            self.scan.repeats.push((self.place(), seq));
        }
    }

    fn begin(&mut self, stretch: Stretch) {
        if self.scan.stretches.len() < STRETCHES_MAX {
            self.scan.stretches.push(stretch);
        } else {
            self.scan.broke_off = true;
        }
    }
}

/// Whether a line end was taken out of the middle. Texts of records have no bare quotes.
fn holds_two_lines(line: &[u8]) -> bool {
    memmem::find(line.get(1..).unwrap_or_default(), b"{\"seq\":").is_some()
}

/// The tree over the lines since the last checkpoint.
///
/// Each line goes in by the hash that the line behind it tells. Where the chain holds, that is the line's own; where it
/// does not, the root still tells whether everything else is as it was signed.
#[derive(Default)]
struct Growing {
    tree: TreeBuilder,
    first: Option<u64>,
    last: Option<Last>,
    has_gap: bool,
}

#[derive(Clone, Copy)]
struct Last {
    seq: u64,
    hash: Hash,
    /// The checkpoint before the tree is no part of it.
    is_leaf: bool,
}

impl Growing {
    fn line(&mut self, link: &Link, hash: Hash, follows: bool) {
        self.first.get_or_insert(link.seq);
        let next = Last { seq: link.seq, hash, is_leaf: true };
        let Some(last) = self.last else {
            self.last = Some(next);
            return;
        };
        if link.prev == last.hash {
            // What was written behind the last line, whatever number it carries now.
            self.push(last, &link.prev);
            self.last = Some(Last { seq: last.seq.saturating_add(1), ..next });
            return;
        }
        match link.seq.checked_sub(last.seq) {
            Some(1) => self.push(last, &link.prev),
            // The line between is not there, but its hash is known.
            Some(2) => {
                self.push(last, &last.hash);
                self.tree.push(&link.prev);
            }
            Some(0) | None if !follows => return,
            _ => self.has_gap = true,
        }
        self.last = Some(next);
    }

    fn push(&mut self, last: Last, hash: &Hash) {
        if last.is_leaf {
            self.tree.push(hash);
        }
    }

    /// Compares the tree with what the checkpoint behind it says, and begins the next one.
    fn close(&mut self, checkpoint: &Checkpoint) -> Tree {
        let compared = if self.has_gap || self.last.is_none_or(|last| last.seq != checkpoint.seq) {
            Tree::Incomplete
        } else if self.first != Some(checkpoint.statement.first) || self.tree.len() != checkpoint.lines() {
            Tree::Elsewhere
        } else if self.tree.root() == checkpoint.statement.root {
            Tree::Good
        } else {
            Tree::Bad
        };
        *self = Self {
            first: Some(checkpoint.seq.saturating_add(1)),
            last: Some(Last { seq: checkpoint.seq, hash: checkpoint.hash, is_leaf: false }),
            ..Self::default()
        };
        compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::log::SEGMENT_BYTES_MAX;
    use crate::audit::specimen::Specimen;

    #[test]
    fn a_segment_with_more_checkpoints_than_a_segment_has_is_not_read_on() {
        let mut log = Specimen::new();
        (0..5).for_each(|_| log.checkpoint());
        let text = log.text(1);
        let lines: Vec<_> = text.lines().collect();
        for (checkpoints_max, broke_off) in [(5, false), (4, true), (0, true)] {
            let mut scanner = Scanner { checkpoints_max, ..Scanner::new(1) };
            lines.iter().for_each(|line| scanner.line(line.as_bytes()));
            assert_eq!((scanner.scan.broke_off, scanner.scan.checkpoints.len()), (broke_off, checkpoints_max));
        }
        let shortest = lines.iter().map(|line| line.len() as u64).min().unwrap();
        assert!(CHECKPOINTS_MAX as u64 * shortest > SEGMENT_BYTES_MAX, "{shortest}");
    }
}
