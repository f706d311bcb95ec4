//! `audit tail`: the last records of the log, and those that come while one looks.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde_json::Value;

use crate::model::domain::Domain;

use super::facts::is_of;
use super::lines::{LineReader, Piece};
use super::log::LogError;
use super::segments::{Segment, segments};

/// Lines that are kept at once, and their bytes.
pub const TAIL_LINES_MAX: usize = 100_000;
pub const TAIL_BYTES_MAX: usize = 64 << 20;

/// Which records are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// An event, or the part of one before its point, such as `inbound`.
    pub event: Option<String>,
    /// The domain of the sender or of a recipient.
    pub domain: Option<Domain>,
}

impl Filter {
    pub fn accepts(&self, line: &[u8]) -> bool {
        if self.event.is_none() && self.domain.is_none() {
            return true;
        }
        if self.event.as_ref().is_some_and(|event| memmem::find(line, event.as_bytes()).is_none()) {
            return false;
        }
        let Ok(record) = serde_json::from_slice::<Value>(line) else { return false };
        self.event.as_ref().is_none_or(|event| is_event(&record, event))
            && self.domain.as_ref().is_none_or(|domain| is_about(&record, domain))
    }
}

fn is_event(record: &Value, wanted: &str) -> bool {
    let event = record.get("event").and_then(Value::as_str).unwrap_or_default();
    event.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn is_about(record: &Value, domain: &Domain) -> bool {
    let to = record.get("to").and_then(Value::as_array).into_iter().flatten();
    to.chain(record.get("from")).filter_map(Value::as_str).any(|address| is_of(address, domain))
}

/// Follows the end of the log from segment to segment.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    reader: Option<LineReader<'static>>,
    /// The segment that is read, 0 before the first.
    number: u64,
    /// The one behind it: it is there, so that nothing more comes to the one that is read.
    next: Option<Segment>,
}

/// The last `count` lines that the filter accepts, fewer where they are too long, and who reads on behind them.
pub fn last(folder: &Path, count: usize, filter: &Filter) -> Result<(Vec<Vec<u8>>, Follower), LogError> {
    let segments = segments(folder)?;
    let mut follower = Follower::behind(folder, 0);
    let mut room = Room { lines: count.min(TAIL_LINES_MAX), bytes: TAIL_BYTES_MAX };
    let mut lines = VecDeque::new();
    for segment in segments.iter().rev() {
        let mut reader = LineReader::open(segment, &|_| ())?;
        let mut newest = Newest { room, ..Newest::default() };
        read_on(&mut reader, &mut |line| {
            if filter.accepts(line) {
                newest.take(line);
            }
        })?;
        let Newest { lines: mut found, bytes, is_full, .. } = newest;
        room = Room { lines: room.lines - found.len(), bytes: room.bytes - bytes };
        found.append(&mut lines);
        lines = found;
        if follower.reader.is_none() {
            (follower.reader, follower.number) = (Some(reader), segment.number);
        }
        if is_full || room.lines == 0 {
            break;
        }
    }
    Ok((lines.into(), follower))
}

/// How much more may be kept.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    lines: usize,
    bytes: usize,
}

/// As many of the last lines as there is room for.
#[derive(Debug, Default)]
struct Newest {
    room: Room,
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// A line had to go.
    is_full: bool,
}

impl Newest {
    fn take(&mut self, line: &[u8]) {
        self.bytes += line.len();
        self.lines.push_back(line.to_vec());
        while self.lines.len() > self.room.lines || self.bytes > self.room.bytes {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
            self.is_full = true;
        }
    }
}

impl Follower {
    /// Gives all that is written in segments with a higher number than this one, from their beginning.
    pub fn behind(folder: &Path, number: u64) -> Self {
        Self { folder: folder.to_owned(), reader: None, number, next: None }
    }

    /// Gives the whole lines that were written since the last call.
    pub fn poll(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<(), LogError> {
        loop {
            if let Some(reader) = &mut self.reader {
                read_on(reader, each)?;
            }
            if let Some(next) = self.next.take() {
                self.reader = Some(LineReader::open(&next, &|_| ())?);
                self.number = next.number;
                continue;
            }
            self.next = segments(&self.folder)?.into_iter().find(|segment| segment.number > self.number);
            if self.next.is_none() {
                return Ok(());
            }
        }
    }
}

fn read_on(reader: &mut LineReader<'_>, each: &mut dyn FnMut(&[u8])) -> Result<(), LogError> {
    while let Some(piece) = reader.next_line()? {
        match piece {
            Piece::Line(line) => each(line),
            Piece::TooLong => (),
            Piece::Unfinished(_) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;
    use crate::audit::chain::Link;
    use crate::audit::specimen::Specimen;

    fn seqs(lines: &[Vec<u8>]) -> Vec<u64> {
        lines.iter().map(|line| Link::parse(line).unwrap().seq).collect()
    }

    #[test]
    fn the_last_lines_are_taken_from_as_many_segments_as_they_need() {
        let log = Specimen::usual();
        log.compress(2);
        let tail = |count| seqs(&last(log.folder(), count, &Filter::default()).unwrap().0);
        assert_eq!(tail(0), Vec::<u64>::new());
        assert_eq!(tail(3), [27, 28, 29]);
        assert_eq!(tail(12), (18..=29).collect::<Vec<_>>());
        assert_eq!(tail(1000), (1..=29).collect::<Vec<_>>());
        let event = |event: &str| Filter { event: Some(event.to_owned()), domain: None };
        assert_eq!(seqs(&last(log.folder(), 3, &event("checkpoint")).unwrap().0), [15, 20, 29]);
        assert_eq!(seqs(&last(log.folder(), 1, &event("queue")).unwrap().0), [28]);
        assert_eq!(seqs(&last(log.folder(), 1, &event("que")).unwrap().0), Vec::<u64>::new());
    }

    #[test]
    fn of_lines_that_are_too_long_together_the_last_are_kept() {
        let check = |(lines, bytes): (usize, usize), expected: &[&str]| {
            let mut newest = Newest { room: Room { lines, bytes }, ..Newest::default() };
            ["one", "two", "three", "four"].iter().for_each(|line| newest.take(line.as_bytes()));
            assert!(newest.lines.iter().map(Vec::as_slice).eq(expected.iter().map(|line| line.as_bytes())));
            assert_eq!(newest.bytes, expected.iter().map(|line| line.len()).sum::<usize>());
            assert_eq!(newest.is_full, expected.len() < 4);
        };
        check((9, 15), &["one", "two", "three", "four"]);
        check((9, 14), &["two", "three", "four"]);
        check((9, 8), &["four"]);
        check((9, 3), &[]);
        check((2, 99), &["three", "four"]);
        check((0, 99), &[]);
    }

    #[test]
    fn records_are_chosen_by_the_domains_of_their_addresses() {
        let check = |line: &str, expected: bool| {
            let filter = Filter { event: None, domain: Some(Domain::parse("bank.example").unwrap()) };
            assert_eq!(filter.accepts(line.as_bytes()), expected, "{line}");
        };
        check(r#"{"from":"a@bank.example","to":[]}"#, true);
        check(r#"{"from":"","to":["x@other.example","b@Bank.Example"]}"#, true);
        check(r#"{"from":"","to":["b@bank.example."]}"#, true);
        check(r#"{"from":"a@mail.bank.example","to":[],"detail":"@bank.example"}"#, false);
        check(r#"{"from":null}"#, false);
        check("{", false);
    }

    #[test]
    fn what_is_written_later_is_followed_over_rotation_and_compression() {
        let mut log = Specimen::new();
        log.records(2);
        let (lines, mut follower) = last(log.folder(), 10, &Filter::default()).unwrap();
        assert_eq!(lines.len(), 2);
        let mut poll = |expected: &[u64]| {
            let mut lines = Vec::new();
            follower.poll(&mut |line| lines.push(line.to_vec())).unwrap();
            assert_eq!(seqs(&lines), expected);
        };
        poll(&[]);
        log.records(1);
        poll(&[3]);
        // Half a line waits for its other half.
        let path = log.path(1);
        let whole = log.text(1);
        log.records(1);
        let line = log.text(1).strip_prefix(&whole).unwrap().to_owned();
        std::fs::write(&path, &whole).unwrap();
        let (first, second) = line.split_at(40);
        let append = |part: &str| OpenOptions::new().append(true).open(&path).unwrap().write_all(part.as_bytes());
        append(first).unwrap();
        poll(&[]);
        append(second).unwrap();
        poll(&[4]);
        log.records(1);
        log.rotate();
        log.records(1);
        log.rotate();
        log.compress(2);
        log.records(1);
        poll(&[5, 6, 7, 8, 9]);
        poll(&[]);
    }
}
