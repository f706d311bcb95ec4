//! `audit trace`: every record of one message, or the one record of an id, in order.

use std::path::Path;

use memchr::memmem::Finder;
use serde_json::Value;

use crate::model::id::MessageId;

use super::lines::{LineReader, Piece, Progress, THREADS_MAX, on_threads};
use super::log::LogError;
use super::segments::{Segment, segments};

/// Records of one message that are kept.
pub const TRACE_RECORDS_MAX: usize = 100_000;

/// Reads the log once and gives the records whose `message` is `id`, and the one whose own id it is; tells `progress`
/// the bytes of the files as they are read.
pub fn trace_observed(folder: &Path, id: MessageId, progress: Progress<'_>) -> Result<Vec<Value>, LogError> {
    trace_on((THREADS_MAX, TRACE_RECORDS_MAX), &segments(folder)?, id, progress)
}

/// The same on no more than `threads_max`, and no more than the first `records_max`, for whoever has something better
/// to do meanwhile.
pub fn trace_on(
    (threads_max, records_max): (usize, usize),
    segments: &[Segment],
    id: MessageId,
    progress: Progress<'_>,
) -> Result<Vec<Value>, LogError> {
    let wanted = Wanted::message_or_record(id);
    let found = on_threads(threads_max, segments, |segment| {
        let mut found = Vec::new();
        let mut reader = LineReader::open(segment, progress)?;
        while let Some(piece) = reader.next_line()? {
            match piece {
                Piece::Line(line) if found.len() < records_max => found.extend(wanted.record(line)),
                Piece::Unfinished(_) => break,
                Piece::Line(_) | Piece::TooLong => (),
            }
        }
        Ok(found)
    })?;
    Ok(found.into_iter().flatten().take(records_max).collect())
}

/// Tells the records of one message from all others.
#[derive(Debug)]
pub(super) struct Wanted {
    id: String,
    fields: &'static [&'static str],
    finder: Finder<'static>,
}

impl Wanted {
    pub(super) fn message(message: MessageId) -> Self {
        Self::of(message, &["message"])
    }

    fn message_or_record(id: MessageId) -> Self {
        Self::of(id, &["message", "id"])
    }

    fn of(id: MessageId, fields: &'static [&'static str]) -> Self {
        let id = id.to_string();
        Self { finder: Finder::new(&id).into_owned(), fields, id }
    }

    /// The line as a record, if it is one of the message. Cheap for all other lines.
    pub(super) fn record(&self, line: &[u8]) -> Option<Value> {
        self.finder.find(line)?;
        let record: Value = serde_json::from_slice(line).ok()?;
        let is_wanted = |field: &&str| record.get(field).and_then(Value::as_str) == Some(&self.id);
        self.fields.iter().any(is_wanted).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::specimen::Specimen;

    #[test]
    fn only_records_of_the_message_are_shown_in_their_order() {
        let mut log = Specimen::new();
        let (wanted, other) = (MessageId::from_u128(1001), MessageId::from_u128(1002));
        log.checkpoint();
        log.say(Some(wanted), "first");
        log.say(Some(other), &format!("mentions {wanted}"));
        log.rotate();
        log.say(Some(wanted), "second");
        log.rotate();
        log.say(Some(wanted), "third");
        log.compress(1);
        let records = trace_observed(log.folder(), wanted, &|_| ()).unwrap();
        let details: Vec<_> = records.iter().map(|record| record["detail"].clone()).collect();
        assert_eq!(details, ["first", "second", "third"]);
        // The id that a refusal names is that of its record.
        let id = records[1]["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(trace_observed(log.folder(), id, &|_| ()).unwrap(), records[1..2]);
    }
}
