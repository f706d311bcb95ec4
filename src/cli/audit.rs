//! `gatepost audit …`: reads the log of decisions. Only what changes it needs the daemon.

pub(super) mod checkpoint;
pub(super) mod key;
pub(super) mod trace;
pub(super) mod verify;

#[cfg(test)]
mod tests;
mod timeline;

use std::path::{Path, PathBuf};

use crate::audit::log::LogError;

use super::configuration;
use super::main_file::MainFile;
use super::output::Failure;

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

fn unreadable(error: &LogError) -> Failure {
    Failure::usage(error.to_string(), "name the folder of the log with --path DIR, and read it as root or as its owner")
}
