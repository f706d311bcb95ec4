//! `gatepost audit trace ID`: what happened to one message, in order, or what one record says.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::audit::trace::trace_observed;
use crate::cli::output::{Console, Exit, Failure};
use crate::model::id::MessageId;

use super::arguments::Trace;
use super::checkpoint::REFUSAL_DELAY_MAX;
use super::{checkpoint, reading, timeline};

pub(in crate::cli) fn run(
    config: Option<&Path>,
    asked: &Trace,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let folder = super::folder(config, &asked.log)?;
    let mut records = read(&folder, asked.message)?;
    // What happened a moment ago may still be on its way into the log.
    for wait in [Duration::ZERO, REFUSAL_DELAY_MAX] {
        if !records.is_empty() || !checkpoint::catch_up(config, &asked.log, wait) {
            break;
        }
        records = read(&folder, asked.message)?;
    }
    // The id of one record of a message leads to all of them.
    let message = records.first().and_then(|record| record.get("message")?.as_str()?.parse().ok());
    if let Some(message) = message.filter(|message| *message != asked.message) {
        records = read(&folder, message)?;
    }
    if records.is_empty() {
        return Err(unknown(asked.message, &folder));
    }
    if json {
        console.json(&records)?;
    } else {
        let id = message.unwrap_or(asked.message);
        let subject = if message.is_some() { "Message" } else { "Record" };
        write!(console.out, "{}", timeline::page((subject, id), &records))?;
    }
    Ok(Exit::Done)
}

fn read(folder: &Path, id: MessageId) -> Result<Vec<Value>, Failure> {
    reading::records(folder, |_, progress| trace_observed(folder, id, progress))
}

pub(super) fn unknown(message: MessageId, folder: &Path) -> Failure {
    let text = format!("no record of message {message} is in {}", folder.display());
    let help = "its id is in the 250 reply that the sender got, and in the Received field of the mail; that of a \
                refusal is in its reply";
    Failure::new(Exit::No, text, help)
}
