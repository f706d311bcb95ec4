//! One pass over the log: the records of a span of time go through tallies on several threads, which are then joined.

use std::sync::{Mutex, PoisonError};

use crate::model::time::Timestamp;

use super::facts::{Facts, Said, read};
use super::lines::{self, LineReader, Piece, Progress};
use super::log::LogError;
use super::segments::Segment;

/// What is counted on one thread. What it holds must be bounded.
pub trait Tally: Send {
    fn take(&mut self, facts: &Facts<'_>);
    /// Adds what another thread counted.
    fn absorb(&mut self, other: Self);
}

/// From one moment up to another, which is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// What a pass met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Lines that were read, in the span or not.
    pub lines: u64,
    /// Transactions and deliveries in the span.
    pub records: u64,
    /// Lines that are no records. `audit verify` tells which.
    pub unreadable: u64,
    /// Refusals in the span that were counted instead of recorded.
    pub unrecorded: u64,
    /// The time of the oldest record that was read.
    pub begins: Option<String>,
}

impl Met {
    fn absorb(&mut self, other: Self) {
        self.lines += other.lines;
        self.records += other.records;
        self.unreadable += other.unreadable;
        self.unrecorded += other.unrecorded;
        let begins = self.begins.take().into_iter().chain(other.begins).min();
        self.begins = begins;
    }
}

/// Hands every record of the span to a tally that `new` makes. The order of records of different segments is open.
pub fn pass<T: Tally>(
    segments: &[Segment],
    span: Span,
    new: impl Fn() -> T + Sync,
    progress: Progress<'_>,
) -> Result<(T, Met), LogError> {
    pass_on(lines::THREADS_MAX, segments, span, (&new, progress))
}

/// The same on no more than `threads_max`, for whoever has something better to do meanwhile.
pub fn pass_on<T: Tally>(
    threads_max: usize,
    segments: &[Segment],
    span: Span,
    (new, progress): (&(impl Fn() -> T + Sync), Progress<'_>),
) -> Result<(T, Met), LogError> {
    let segments = lines::since(segments, span.from)?;
    // Times are texts of one length in one form, so they are compared as texts.
    let bounds = (span.from.to_string(), span.until.to_string());
    let idle: Mutex<Vec<T>> = Mutex::new(Vec::new());
    let met = lines::on_threads(threads_max, segments, |segment| {
        let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut tally = taken.unwrap_or_else(new);
        let met = read_segment(segment, (&bounds.0, &bounds.1), &mut tally, progress);
        idle.lock().unwrap_or_else(PoisonError::into_inner).push(tally);
        met
    })?;
    let mut total = Met::default();
    met.into_iter().for_each(|met| total.absorb(met));
    let tallies = idle.into_inner().unwrap_or_else(PoisonError::into_inner);
    let joined = tallies.into_iter().reduce(|mut joined, other| {
        joined.absorb(other);
        joined
    });
    Ok((joined.unwrap_or_else(new), total))
}

fn read_segment<T: Tally>(
    segment: &Segment,
    (from, until): (&str, &str),
    tally: &mut T,
    progress: Progress<'_>,
) -> Result<Met, LogError> {
    let mut reader = LineReader::open(segment, progress)?;
    let mut met = Met::default();
    while let Some(piece) = reader.next_line()? {
        let said = match piece {
            Piece::Line(line) => read(line).ok(),
            Piece::TooLong => None,
            // The writer is at it, or was killed while it was.
            Piece::Unfinished(_) => break,
        };
        met.lines += 1;
        match said {
            Some(Said::Facts(facts)) => {
                if met.begins.is_none() {
                    met.begins = Some(facts.time.to_owned());
                }
                if from <= facts.time && facts.time < until {
                    met.records += u64::from(facts.part_of.is_none());
                    tally.take(&facts);
                }
            }
            Some(Said::Unrecorded { time, count }) if from <= time && time < until => met.unrecorded += count,
            Some(_) => {}
            None => met.unreadable += 1,
        }
    }
    Ok(met)
}
