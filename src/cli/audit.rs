//! `gatepost audit …`: reads the log of decisions. Only what changes it needs the daemon.

pub(super) mod arguments;

mod checkpoint;
mod csv;
mod digest;
mod key;
mod origin;
mod paper;
mod proof;
mod reading;
mod receipt;
#[cfg(test)]
mod recorded;
mod report;
mod setting;
mod share;
mod span;
mod tail;
mod timeline;
mod trace;
mod verify;
pub(super) mod what_if;
mod written;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::main_file::MainFile;
use super::output::{Console, Exit, Failure};
use super::{configuration, socket};
use arguments::{AuditCommand, LogFolder};

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
fn folder(config: Option<&Path>, asked: &LogFolder) -> Result<PathBuf, Failure> {
    if let Some(path) = &asked.path {
        return Ok(path.clone());
    }
    MainFile::require(config)?.path_at("audit", "path").ok_or_else(|| {
        let file = configuration::file(config);
        Failure::usage(
            format!("{} names no [audit] path", file.display()),
            "name the folder of the log with --path DIR",
        )
    })
}

/// The configuration's main file; `None` if it is that of another log.
fn main_file(config: Option<&Path>, folder: &Path) -> Option<MainFile> {
    let main = MainFile::read(&configuration::file(config)).ok()?;
    let same = main.path_at("audit", "path")?.canonicalize().ok()? == folder.canonicalize().ok()?;
    same.then_some(main)
}
