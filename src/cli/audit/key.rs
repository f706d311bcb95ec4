//! `gatepost audit key`: the public half of the key that signs the log, and its replacement.

use std::path::Path;

use serde::Serialize;

use super::arguments::Key;
use crate::admin::protocol::Request;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::key::PublicKey;
use crate::audit::keyfile;
use crate::cli::human::labelled_whole;
use crate::cli::main_file::MainFile;
use crate::cli::output::{BOLD, Console, Exit, Failure, GOOD, WIDTH_COLUMNS};
use crate::cli::socket;
use crate::model::human::wrap;

const ADVICE: &str = "Keep the public half where nobody who rules this host can change it: with it anybody can check \
                      the log, its checkpoints and receipts, and without it whoever replaces the key replaces the \
                      proof.";

/// The answers for programs.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    key: PublicKey,
    file: &'a Path,
}

#[derive(Debug, Serialize)]
struct Replaced<'a> {
    old_key: PublicKey,
    key: PublicKey,
    seq: u64,
    /// The checkpoint by which the old key vouches for the new one.
    line: &'a str,
}

pub(in crate::cli) fn run(
    config: Option<&Path>,
    asked: &Key,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if asked.rotate {
        rotate(&socket::find(config, &asked.socket)?, json, console)
    } else {
        show(config, json, console)
    }
}

fn show(config: Option<&Path>, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let file = MainFile::require(config)?.audit_key();
    let found = keyfile::public_key(&file).map_err(|error| {
        Failure::usage(error.to_string(), "read it as root or as the daemon's account; nobody else may")
    })?;
    let key = found.ok_or_else(|| {
        let message = format!("there is no key at {}", file.display());
        Failure::new(Exit::No, message, "the daemon makes it at its first start; its folder must exist")
    })?;
    if json {
        console.json(&Shown { key, file: &file })?;
        return Ok(Exit::Done);
    }
    let mut page = vec![format!("{BOLD}{key}{BOLD:#}")];
    page.extend(wrap(&format!("is the public half of {}.", file.display()), WIDTH_COLUMNS));
    page.extend(wrap(ADVICE, WIDTH_COLUMNS));
    writeln!(console.out, "{}", page.join("\n"))?;
    Ok(Exit::Done)
}

fn rotate(at: &Path, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let (line, checkpoint) = super::checkpoint::ask(at, &Request::AuditRotateKey)?;
    let key = checkpoint.statement.next_key.ok_or_else(socket::unexpected)?;
    if json {
        let Checkpoint { seq, statement, .. } = checkpoint;
        console.json(&Replaced { old_key: statement.key, key, seq, line: &line })?;
        return Ok(Exit::Done);
    }
    let mut page =
        vec![format!("{GOOD}Replaced{GOOD:#}: checkpoint {} is the last that the old key signed.", checkpoint.seq)];
    for (label, key) in [("old", checkpoint.statement.key), ("new", key)] {
        page.push(labelled_whole(label, &key.to_string()));
    }
    page.push(String::new());
    page.extend(wrap(ADVICE, WIDTH_COLUMNS));
    writeln!(console.out, "{}", page.join("\n"))?;
    Ok(Exit::Done)
}
