//! `gatepost audit trace MESSAGE`: what happened to one message, in order.

use std::path::Path;

use crate::audit::trace::trace;
use crate::cli::arguments::Trace;
use crate::cli::output::{Console, Exit, Failure};

use super::timeline;

pub(in crate::cli) fn run(
    config: Option<&Path>,
    asked: &Trace,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let folder = super::folder(config, asked.path.as_deref())?;
    let records = trace(&folder, asked.message).map_err(|error| super::unreadable(&error))?;
    if records.is_empty() {
        let message = format!("no record of message {} is in {}", asked.message, folder.display());
        let help = "its id is in the 250 reply that the sender got, and in the Received field of the mail";
        return Err(Failure::new(Exit::No, message, help));
    }
    if json {
        console.json(&records)?;
    } else {
        write!(console.out, "{}", timeline::page(asked.message, &records))?;
    }
    Ok(Exit::Done)
}
