//! `audit trace`: every record of one message, in order.

use std::io::BufRead;
use std::path::Path;

use memchr::memmem::Finder;

use crate::model::id::MessageId;

use super::log::LogError;
use super::segments::{open_segment, segments};

/// Records of one message that are kept.
pub const TRACE_RECORDS_MAX: usize = 100_000;

/// Reads the log once and gives the records whose `message` is `id`.
pub fn trace(folder: &Path, id: MessageId) -> Result<Vec<serde_json::Value>, LogError> {
    let needle = id.to_string();
    let finder = Finder::new(&needle);
    let mut found = Vec::new();
    for segment in segments(folder)? {
        let mut reader = open_segment(&segment)?;
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).map_err(LogError::of(&segment.path))? > 0 {
            if finder.find(&line).is_some()
                && let Ok(value) = serde_json::from_slice::<serde_json::Value>(&line)
                && value.get("message").and_then(serde_json::Value::as_str) == Some(&needle)
                && found.len() < TRACE_RECORDS_MAX
            {
                found.push(value);
            }
            line.clear();
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::scratch;
    use crate::model::id::RecordId;
    use crate::model::record::AuditEntry;
    use crate::model::time::Timestamp;

    #[test]
    fn only_records_of_the_message_are_shown_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = scratch(folder.path());
        let (wanted, other) = (MessageId::from_u128(1), MessageId::from_u128(2));
        for (n, json) in [
            format!("{{\"event\":\"inbound.accepted\",\"message\":\"{wanted}\"}}"),
            format!("{{\"event\":\"inbound.accepted\",\"message\":\"{other}\",\"detail\":\"{wanted}\"}}"),
            format!("{{\"event\":\"outbound.delivered\",\"message\":\"{wanted}\"}}"),
        ]
        .into_iter()
        .enumerate()
        {
            log.append(&AuditEntry { id: RecordId::from_u128(n as u128), json: json.into() }, Timestamp::default())
                .unwrap();
        }
        log.sync().unwrap();
        let events: Vec<_> = trace(folder.path(), wanted).unwrap().iter().map(|r| r["event"].clone()).collect();
        assert_eq!(events, ["inbound.accepted", "outbound.delivered"]);
    }
}
