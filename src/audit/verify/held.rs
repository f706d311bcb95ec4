//! Checkpoints that were held elsewhere, compared with the log: they show what the log by itself cannot.

use std::collections::HashMap;
use std::path::Path;

use crate::audit::chain::Hash;
use crate::audit::checkpoint::{Checkpoint, verify_signature};
use crate::audit::lines::{LineReader, Piece};
use crate::audit::log::LogError;
use crate::audit::segments::Segment;

use super::finding::{Finding, Findings, Kind, are, records};
use super::scan::{Place, Scan};
use super::{Expected, Held, Report, Vouched};

/// The last line of the log, whatever it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    pub(super) place: Place,
    /// What it says of the line before it.
    pub(super) prev: Hash,
}

/// Compares every checkpoint that is known besides the log.
pub(super) fn compare(
    expected: &Expected,
    (scans, tail): (&[Scan], Option<Tail>),
    report: &mut Report,
    findings: &mut Findings,
) -> Result<(), LogError> {
    let met = scans.iter().flat_map(|scan| &scan.checkpoints);
    let mut comparison = Comparison {
        known: met.filter(|met| met.signed).map(|met| (met.checkpoint.hash, met.checkpoint.seq)).collect(),
        tail,
        expected,
        report,
        findings,
        held: Held::default(),
        beyond: None,
        rewritten: None,
        rewritten_count: 0,
    };
    if let Some((file, line)) = &expected.seen {
        comparison.line(file, 1, line);
        // It is our own, and no word of anybody else.
        comparison.held = Held::default();
    }
    for file in &expected.held {
        let source = Segment { number: 0, path: file.clone(), compressed: false };
        let mut reader = LineReader::open(&source, &|_| ())?;
        loop {
            let number = reader.lines() + 1;
            match reader.next_line()? {
                None => break,
                Some(Piece::Line(b"")) => (),
                Some(Piece::Line(line)) => comparison.line(file, number, line),
                Some(Piece::TooLong) => comparison.invalid(file, number, "the line is too long for a checkpoint"),
                Some(Piece::Unfinished(line)) => {
                    comparison.line(file, number, line);
                    break;
                }
            }
        }
    }
    comparison.finish();
    Ok(())
}

struct Comparison<'a> {
    /// The signed checkpoints of the log.
    known: HashMap<Hash, u64>,
    tail: Option<Tail>,
    expected: &'a Expected,
    report: &'a mut Report,
    findings: &'a mut Findings,
    held: Held,
    /// The highest that the log does not reach.
    beyond: Option<Witness>,
    /// The lowest in whose place the log has another line.
    rewritten: Option<Witness>,
    rewritten_count: u64,
}

/// A checkpoint that contradicts the log.
struct Witness {
    finding: Finding,
    seq: u64,
    checkpoint: Checkpoint,
}

impl Comparison<'_> {
    fn line(&mut self, file: &Path, number: u64, line: &[u8]) {
        let Some(checkpoint) = Checkpoint::parse(line) else {
            return self.invalid(file, number, "this line is no checkpoint");
        };
        let seq = checkpoint.seq;
        if self.known.get(&checkpoint.hash) == Some(&seq) {
            self.held.confirmed += 1;
            if self.held.newest.as_ref().is_none_or(|newest| newest.seq < seq) {
                self.held.newest =
                    Some(Vouched { seq, time: checkpoint.time, node: checkpoint.node, key: checkpoint.statement.key });
            }
            return;
        }
        if !verify_signature(line, &checkpoint.statement.key) {
            return self.invalid(file, number, "this checkpoint is not signed by the key that it names");
        }
        let removed = self.report.removed.as_ref().map_or(0, |removed| removed.last);
        let finding =
            Finding { kind: Kind::Rewritten, file: file.into(), line: number, first: 0, last: 0, what: String::new() };
        let witness = Witness { finding, seq, checkpoint };
        if seq <= removed && seq < self.report.first {
            self.held.removed += 1;
        } else if self.findings.explains(seq) {
            // That its line is not there as it was written has been told.
        } else if seq > self.report.tip.seq {
            if self.beyond.as_ref().is_none_or(|beyond| beyond.seq < seq) {
                self.beyond = Some(witness);
            }
        } else if let Some(tail) = self.tail.filter(|tail| self.is_of_tail(&witness.checkpoint, tail)) {
            self.findings.forget_signature(seq);
            let what = format!(
                "Record {seq} was changed: it is the last checkpoint, and its signed copy in {} differs. All before it \
                 is as the copy says.",
                file.display()
            );
            self.findings.add(Kind::Changed, tail.place, (seq, seq), what);
        } else {
            self.rewritten_count += 1;
            if self.rewritten.as_ref().is_none_or(|lowest| lowest.seq > seq) {
                self.rewritten = Some(witness);
            }
        }
    }

    /// Whether this is the last line as it was, which is no signed checkpoint as it stands: all before it is the same.
    fn is_of_tail(&self, checkpoint: &Checkpoint, tail: &Tail) -> bool {
        let Checkpoint { seq, prev, statement, .. } = checkpoint;
        let Expected { pinned, current, .. } = self.expected;
        let is_ours = self.report.keys.iter().chain(pinned).chain(current).any(|key| *key == statement.key);
        is_ours && (*seq, *prev) == (self.report.tip.seq, tail.prev) && !self.known.contains_key(&self.report.tip.hash)
    }

    fn invalid(&mut self, file: &Path, line: u64, why: &str) {
        let what = format!("What was given as a checkpoint held elsewhere is none: {why}.");
        let finding = Finding { kind: Kind::HeldInvalid, file: file.into(), line, first: 0, last: 0, what };
        self.findings.push(finding);
    }

    fn finish(self) {
        let last = self.report.tip.seq;
        let signer = |checkpoint: &Checkpoint, keys: &[_]| {
            let key = checkpoint.statement.key;
            let known = keys.contains(&key);
            let stranger = format!(" It is of node {}, by {key}, which signed nothing in this log.", checkpoint.node);
            if known { String::new() } else { stranger }
        };
        if let Some(Witness { finding, seq, checkpoint }) = self.rewritten {
            let good = self.held.newest.as_ref().map(|newest| newest.seq).filter(|newest| *newest < seq);
            let from = good.map_or(checkpoint.statement.first.min(self.report.first.max(1)), |good| good + 1);
            let more = match self.rewritten_count - 1 {
                0 => String::new(),
                more => format!(" {more} later held checkpoints say the same."),
            };
            let what = format!(
                "This checkpoint, made on {}, is not record {seq} of the log: the log was written anew, by somebody \
                 who had the key or put an own one in its place. {} may be false, and all behind them.{more}{}",
                checkpoint.time,
                records(from, seq).replacen('r', "R", 1),
                signer(&checkpoint, &self.report.keys)
            );
            self.findings.push(Finding { first: from, last: seq, what, ..finding });
        }
        if let Some(Witness { finding, seq, checkpoint }) = self.beyond {
            let first = last.saturating_add(1);
            let end = if last == 0 { "is empty".to_owned() } else { format!("ends with record {last}") };
            let what = format!(
                "The log {end}, but this checkpoint, record {seq} of {}, was written: {} {} missing. The end of the \
                 log was cut off, or an older copy of the log was put in its place.{}",
                checkpoint.time,
                records(first, seq),
                are(first, seq),
                signer(&checkpoint, &self.report.keys)
            );
            self.findings.push(Finding { kind: Kind::TailCut, first, last: seq, what, ..finding });
        }
        self.report.held = self.held;
    }
}
