//! `gatepost audit …`: reads the log of decisions. Only what changes it needs the daemon.

pub(super) mod arguments;

mod asked;
mod checkpoint;
mod csv;
mod digest;
mod key;
mod proof;
mod reading;
mod receipt;
#[cfg(test)]
mod recorded;
mod report;
mod share;
mod tail;
mod timeline;
mod trace;
mod verify;
pub(super) mod what_if;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use crate::audit::lines::total_bytes;
use crate::audit::log::LogError;
use crate::audit::segments::segments;
use crate::config::DEFAULT_AUDIT_KEY;

use super::main_file::MainFile;
use super::output::{Console, Exit, Failure};
use super::{configuration, socket};
use arguments::AuditCommand;

pub(super) fn run(
    config: Option<&Path>,
    command: &AuditCommand,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Verify(asked) => verify::run(config, asked, json, console),
        AuditCommand::Trace(asked) => trace::run(config, asked, json, console),
        AuditCommand::Receipt(asked) => receipt::run(config, asked, json, console),
        AuditCommand::Tail(asked) => tail::run(config, asked, json, console),
        AuditCommand::Checkpoint(asked) => {
            checkpoint::run(&socket::find(config, &asked.socket)?, asked.line, json, console)
        }
        AuditCommand::Key(asked) => key::run(config, asked, json, console),
        AuditCommand::WhatIf(asked) => what_if::run(config, asked, json, console),
        AuditCommand::Report(asked) => report::run(config, asked, json, console),
        AuditCommand::Digest(asked) => digest::run(config, asked, json, console),
    }
}

/// `--path`, else what the configuration says, however wrong the rest of it is.
fn folder(config: Option<&Path>, asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = asked {
        return Ok(path.to_owned());
    }
    let file = configuration::file(config);
    if matches!(file.try_exists(), Ok(false)) {
        return Err(configuration::missing(&file));
    }
    let help = "name the folder of the log with --path DIR";
    let main = MainFile::read(&file)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display()), help))?;
    main.path_at("audit", "path")
        .ok_or_else(|| Failure::usage(format!("{} names no [audit] path", file.display()), help))
}

/// The file of the key that signs the log in `folder`; `None` if the configuration is that of another log.
fn key_file(config: Option<&Path>, folder: &Path) -> Option<PathBuf> {
    let main = MainFile::read(&configuration::file(config)).ok()?;
    let same = main.path_at("audit", "path")?.canonicalize().ok()? == folder.canonicalize().ok()?;
    same.then(|| main.path_at("audit", "key").unwrap_or_else(|| DEFAULT_AUDIT_KEY.into()))
}

fn unreadable(error: &LogError) -> Failure {
    Failure::usage(error.to_string(), "name the folder of the log with --path DIR, and read it as root or as its owner")
}

/// A bar over the bytes of the log, which shows itself only on a terminal.
fn progress_bar(folder: &Path) -> Result<ProgressBar, Failure> {
    let segments = segments(folder).map_err(|error| unreadable(&error))?;
    let bar = ProgressBar::new(total_bytes(&segments));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left") {
        bar.set_style(style);
    }
    Ok(bar)
}
