//! Gathers what a receipt needs from the log.

use std::collections::HashSet;
use std::path::Path;

use memchr::memmem::Finder;

use crate::audit::chain::{Hash, Link};
use crate::audit::checkpoint::{Checkpoint, claims_to_be_one, verify_signature};
use crate::audit::lines::{LineReader, Piece, Progress, in_parallel};
use crate::audit::log::LogError;
use crate::audit::segments::{Segment, segments};
use crate::audit::trace::Wanted;
use crate::audit::tree::{TreeBuilder, inclusion_path};
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::check::{Refusal, check_receipt};
use super::{Entry, RECEIPT_RECORDS_MAX, RECEIPT_VERSION, Receipt};

/// Lines under one checkpoint at most: the daemon signs far more often.
const TREE_LINES_MAX: usize = 1_000_000;

/// A checkpoint that its key signed, and its line.
type Signed = (Checkpoint, String);

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("no record of the message is in the log")]
    NoRecord,
    #[error("the message has more than {RECEIPT_RECORDS_MAX} records")]
    TooMany,
    /// Records that stand behind the last checkpoint; `first` is the first of them. Passes by itself.
    #[error("{count} of {all} records of the message are not under a checkpoint yet, from record {first} on")]
    Unsigned { count: usize, all: usize, first: u64 },
    /// The log itself is not as it should be.
    #[error("the log does not prove these records: {0}")]
    Unproved(Refusal),
    #[error("the records under checkpoint {seq} are not those that it was signed over")]
    Broken { seq: u64 },
}

/// Reads the log and gives the receipt, which has been checked.
pub fn make(folder: &Path, message: MessageId, made: Timestamp, progress: Progress<'_>) -> Result<Receipt, MakeError> {
    let segments = segments(folder)?;
    let wanted = Wanted::message(message);
    let found = in_parallel(&segments, |segment| survey(segment, &wanted, progress))?;
    let all: usize = found.iter().map(|found| found.records.len()).sum();
    match all {
        0 => return Err(MakeError::NoRecord),
        RECEIPT_RECORDS_MAX.. => return Err(MakeError::TooMany),
        _ => (),
    }
    let mut records = Vec::with_capacity(all);
    let mut cited: Vec<Signed> = Vec::new();
    for (segment, found) in segments.iter().zip(&found).filter(|(_, found)| !found.records.is_empty()) {
        let gathered = gather(segment, &found.records)?;
        records.extend(gathered.records);
        cited.extend(gathered.cited);
    }
    if records.len() < all {
        let is_proved = |seq: &&u64| records.iter().any(|(proved, _): &(u64, Entry)| proved == *seq);
        let first = found.iter().flat_map(|found| &found.records).find(|seq| !is_proved(seq)).copied();
        return Err(MakeError::Unsigned { count: all - records.len(), all, first: first.unwrap_or(0) });
    }
    add_successions(&mut cited, found.into_iter().flat_map(|found| found.successions).collect());
    records.sort_by_key(|(seq, _)| *seq);
    let receipt = Receipt {
        receipt: RECEIPT_VERSION,
        message,
        made,
        records: records.into_iter().map(|(_, entry)| entry).collect(),
        checkpoints: cited.into_iter().map(|(_, line)| line).collect(),
    };
    check_receipt(&receipt, None).map_err(MakeError::Unproved)?;
    Ok(receipt)
}

/// What a segment holds of the message, and the checkpoints in it that name a next key.
struct Survey {
    records: Vec<u64>,
    successions: Vec<Signed>,
}

fn survey(segment: &Segment, wanted: &Wanted, progress: Progress<'_>) -> Result<Survey, LogError> {
    let successor = Finder::new("\"next_key\":");
    let mut found = Survey { records: Vec::new(), successions: Vec::new() };
    let mut reader = LineReader::open(segment, progress)?;
    while let Some(piece) = reader.next_line()? {
        let line = match piece {
            Piece::Line(line) => line,
            Piece::TooLong => continue,
            Piece::Unfinished(_) => break,
        };
        if found.records.len() < RECEIPT_RECORDS_MAX && wanted.record(line).is_some() {
            found.records.extend(Link::parse(line).map(|link| link.seq));
        }
        if claims_to_be_one(line) && successor.find(line).is_some() {
            let checkpoint = signed(line).filter(|(checkpoint, _)| checkpoint.statement.next_key.is_some());
            found.successions.extend(checkpoint);
        }
    }
    Ok(found)
}

fn signed(line: &[u8]) -> Option<Signed> {
    let checkpoint = Checkpoint::parse(line)?;
    let is_signed = verify_signature(line, &checkpoint.statement.key);
    is_signed.then_some((checkpoint, str::from_utf8(line).ok()?.to_owned()))
}

#[derive(Default)]
struct Gathered {
    records: Vec<(u64, Entry)>,
    cited: Vec<Signed>,
}

/// The records of one segment with their paths, and the checkpoints that these lead to.
fn gather(segment: &Segment, wanted: &[u64]) -> Result<Gathered, MakeError> {
    let Gathered { mut records, mut cited } = Gathered::default();
    let wanted: HashSet<u64> = wanted.iter().copied().collect();
    let mut reader = LineReader::open(segment, &|_| ())?;
    let mut hashes: Vec<Hash> = Vec::new();
    let mut held: Vec<(u64, usize, String)> = Vec::new();
    while let Some(piece) = reader.next_line()? {
        let line = match piece {
            Piece::Line(line) => line,
            Piece::TooLong => continue,
            Piece::Unfinished(_) => break,
        };
        let seq = Link::parse(line).map(|link| link.seq);
        if let Some((checkpoint, text)) = claims_to_be_one(line).then(|| signed(line)).flatten() {
            if !held.is_empty() {
                for (seq, index, line) in held.drain(..) {
                    let path = inclusion_path(&hashes, index).unwrap_or_default();
                    records.push((seq, Entry { line, checkpoint: checkpoint.seq, path }));
                }
                let mut tree = TreeBuilder::default();
                hashes.iter().for_each(|hash| tree.push(hash));
                if tree.root() != checkpoint.statement.root {
                    return Err(MakeError::Broken { seq: checkpoint.seq });
                }
                cited.push((checkpoint, text));
            }
            hashes.clear();
            continue;
        }
        if let Some(seq) = seq.filter(|seq| wanted.contains(seq))
            && let Ok(text) = str::from_utf8(line)
        {
            held.push((seq, hashes.len(), text.to_owned()));
        }
        if hashes.len() < TREE_LINES_MAX {
            hashes.push(Hash::of(line));
        }
    }
    Ok(Gathered { records, cited })
}

/// Adds the checkpoints that lead, from key to key, from the oldest key that is known to the one that signed last.
fn add_successions(cited: &mut Vec<Signed>, mut successions: Vec<Signed>) {
    successions.sort_by_key(|(checkpoint, _)| std::cmp::Reverse(checkpoint.seq));
    let Some((last, _)) = cited.iter().max_by_key(|(checkpoint, _)| checkpoint.seq) else { return };
    let (mut key, mut seq) = (last.statement.key, last.seq);
    for (checkpoint, line) in successions {
        if checkpoint.seq < seq && checkpoint.statement.next_key == Some(key) {
            (key, seq) = (checkpoint.statement.key, checkpoint.seq);
            if !cited.iter().any(|(other, _)| other.seq == seq) {
                cited.push((checkpoint, line));
            }
        }
    }
    cited.sort_by_key(|(checkpoint, _)| checkpoint.seq);
}
