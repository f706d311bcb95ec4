//! Where the spool is, and what to tell the operator if it cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use crate::cli::main_file::MainFile;
use crate::cli::output::{Exit, Failure};
use crate::journal;
use crate::spool::peek::PeekError;

use super::arguments::SpoolArguments;

/// `--spool`, else what the configuration says, however wrong the rest of it is.
pub(super) fn find(config: Option<&Path>, asked: &SpoolArguments) -> Result<PathBuf, Failure> {
    if let Some(path) = &asked.spool {
        return Ok(path.clone());
    }
    MainFile::require(config)?.path_at("spool", "path").ok_or_else(|| {
        Failure::usage("the configuration has no [spool].path", "name the folder of the spool with --spool DIR")
    })
}

pub(super) fn failure(error: &PeekError) -> Failure {
    let help = match error {
        PeekError::InUse { .. } => "stop the daemon, or ask it: see `gatepost queue --help`",
        PeekError::Missing { .. } => "name the folder of the spool with --spool DIR; it holds the folder `journal`",
        PeekError::Journal(journal::OpenError::Version { .. }) => "use the release that wrote it, or a newer one",
        PeekError::Io { kind: io::ErrorKind::PermissionDenied, .. }
        | PeekError::Journal(journal::OpenError::Io { kind: io::ErrorKind::PermissionDenied, .. }) => {
            "run this as root or as the daemon's account"
        }
        PeekError::Io { kind: io::ErrorKind::NotADirectory, .. }
        | PeekError::Journal(journal::OpenError::Io { kind: io::ErrorKind::NotADirectory, .. }) => {
            "name the folder of the spool with --spool DIR; it holds the folder `journal`"
        }
        PeekError::Io { .. } | PeekError::Journal(_) => "look into the log of the system: the disk may be failing",
    };
    Failure::new(Exit::Unreachable, error.to_string(), help)
}
