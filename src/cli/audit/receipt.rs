//! `gatepost audit receipt MESSAGE` writes what proves the records of a message; `audit verify --receipt` checks it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::audit::key::PublicKey;
use crate::audit::receipt::{self, MakeError, Proof, RECEIPT_BYTES_MAX, Refusal, check, make};
use crate::audit::verify::Vouched;
use crate::cli::output::{BAD, BOLD, Console, Exit, Failure, GOOD, WIDTH_COLUMNS};
use crate::clock;
use crate::model::human::{count, second, wrap};
use crate::model::os_error;

use super::arguments::Receipt;
use super::{checkpoint, reading, timeline, written};

const INDENT: &str = "  ";

pub(in crate::cli) fn run(
    config: Option<&Path>,
    asked: &Receipt,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let folder = super::folder(config, &asked.log)?;
    let mut receipt = attempt(asked, &folder)?;
    // What happened a moment ago may still be on its way into the log, or without a checkpoint.
    if matches!(receipt, Err(MakeError::NoRecord | MakeError::Unsigned { .. }))
        && checkpoint::catch_up(config, &asked.log, Duration::ZERO)
    {
        receipt = attempt(asked, &folder)?;
    }
    let receipt = receipt.map_err(|error| refusal(error, asked, &folder))?;
    let Some(out) = &asked.out else {
        console.json(&receipt)?;
        return Ok(Exit::Done);
    };
    written::write(out, &written::json_text(&receipt)?)?;
    if json {
        #[derive(Serialize)]
        struct Written<'a> {
            file: &'a Path,
            records: usize,
        }
        console.json(&Written { file: out, records: receipt.records.len() })?;
    } else {
        let records = count(receipt.records.len(), "record");
        writeln!(console.out, "{GOOD}Wrote{GOOD:#} {}: {records} of message {}.", out.display(), asked.message)?;
        for line in wrap("Check it anywhere with `gatepost audit verify --receipt FILE --key KEY`.", WIDTH_COLUMNS) {
            writeln!(console.out, "{line}")?;
        }
    }
    Ok(Exit::Done)
}

fn attempt(asked: &Receipt, folder: &Path) -> Result<Result<receipt::Receipt, MakeError>, Failure> {
    reading::records(folder, |_, progress| Ok::<_, Failure>(make(folder, asked.message, clock::timestamp(), progress)))
}

/// Why there is no receipt.
fn refusal(error: MakeError, asked: &Receipt, folder: &Path) -> Failure {
    let help = match error {
        MakeError::Log(error) => return error.into(),
        MakeError::NoRecord => return super::trace::unknown(asked.message, folder),
        MakeError::TooMany => "",
        MakeError::Unsigned { .. } => "run `gatepost audit checkpoint` first, or wait for the next checkpoint",
        MakeError::Unproved(_) | MakeError::Broken { .. } => "`gatepost audit verify` says what is wrong with the log",
    };
    Failure::new(Exit::No, error.to_string(), help)
}

/// Checks a receipt and tells what it proves.
pub(super) fn verify(
    file: &Path,
    pinned: Option<PublicKey>,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let text = read(file).map_err(|error| {
        Failure::usage(
            format!("cannot read {}: {}", file.display(), os_error::why(&error)),
            "name a file that `gatepost audit receipt ID --out FILE` wrote",
        )
    })?;
    let checked = check(&text, pinned);
    if json {
        #[derive(Serialize)]
        struct Answer<'a> {
            proved: bool,
            reason: Option<String>,
            records: &'a [Value],
            checkpoints: &'a [Vouched],
            keys: &'a [PublicKey],
        }
        console.json(&match &checked {
            Ok(Proof { records, vouched, keys, .. }) => {
                Answer { proved: true, reason: None, records, checkpoints: vouched, keys }
            }
            Err(refusal) => {
                let reason = Some(refusal.to_string());
                Answer { proved: false, reason, records: &[], checkpoints: &[], keys: &[] }
            }
        })?;
        return Ok(if checked.is_ok() { Exit::Done } else { Exit::No });
    }
    match checked {
        Ok(proof) => {
            write!(console.out, "{}{}", timeline::page(("Message", proof.message), &proof.records), page(&proof))?;
            Ok(Exit::Done)
        }
        Err(refusal) => {
            writeln!(console.out, "{BAD}The receipt proves nothing:{BAD:#}")?;
            for line in wrap(&refusal.to_string(), WIDTH_COLUMNS - INDENT.len()) {
                writeln!(console.out, "{INDENT}{line}")?;
            }
            if matches!(refusal, Refusal::NotAReceipt(_)) {
                console.hint("name a whole file that `gatepost audit receipt ID --out FILE` wrote")?;
            }
            Ok(Exit::No)
        }
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(file)?.take(RECEIPT_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// What is proved and what is not. Ends with a line end.
fn page(proof: &Proof) -> String {
    let mut page = vec![String::new(), format!("{GOOD}Proved{GOOD:#}")];
    let mut tell = |text: &str| {
        page.extend(wrap(text, WIDTH_COLUMNS - INDENT.len()).into_iter().map(|line| format!("{INDENT}{line}")));
    };
    let (first, last) = (proof.vouched.first(), proof.vouched.last());
    let nodes = last.map(|last| last.node.as_str()).unwrap_or_default();
    let until = last.map(|last| second(last.time)).unwrap_or_default();
    let since = first.map(|first| second(first.time)).unwrap_or_default();
    let span = if since == until { format!("on {until}") } else { format!("between {since} and {until}") };
    tell(&format!(
        "{} stood in the log of {nodes} as shown, under {} made {span}, and signed with",
        if proof.records.len() == 1 {
            "The record".to_owned()
        } else {
            format!("These {}", count(proof.records.len(), "record"))
        },
        count(proof.vouched.len(), "checkpoint"),
    ));
    for key in &proof.keys {
        tell(&key.to_string());
    }
    if proof.is_pinned {
        tell(if proof.keys.len() == 1 {
            "which is the key that you named."
        } else {
            "each named by the one before; you named one of them."
        });
    }
    page.extend([String::new(), format!("{BOLD}Not proved{BOLD:#}")]);
    let mut tell = |text: &str| {
        page.extend(wrap(text, WIDTH_COLUMNS - INDENT.len()).into_iter().map(|line| format!("{INDENT}{line}")));
    };
    if !proof.is_pinned {
        tell(
            "Whose key this is. Name the key that you know with --key: what `gatepost audit key` showed on that host, \
             kept elsewhere since.",
        );
    }
    tell("That there are no other records of this message.");
    page.push(String::new());
    page.join("\n")
}
