//! `gatepost audit trace MESSAGE`: what happened to one message, in order.

use std::path::Path;

use crate::audit::trace::trace_observed;
use crate::cli::output::{Console, Exit, Failure};
use crate::model::id::MessageId;

use super::arguments::Trace;
use super::{reading, timeline};

pub(in crate::cli) fn run(
    config: Option<&Path>,
    asked: &Trace,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let folder = super::folder(config, &asked.log)?;
    let records = reading::records(&folder, |_, progress| trace_observed(&folder, asked.message, progress))?;
    if records.is_empty() {
        return Err(unknown(asked.message, &folder));
    }
    if json {
        console.json(&records)?;
    } else {
        write!(console.out, "{}", timeline::page(asked.message, &records))?;
    }
    Ok(Exit::Done)
}

pub(super) fn unknown(message: MessageId, folder: &Path) -> Failure {
    let text = format!("no record of message {message} is in {}", folder.display());
    let help = "its id is in the 250 reply that the sender got, and in the Received field of the mail";
    Failure::new(Exit::No, text, help)
}
