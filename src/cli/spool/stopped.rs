//! A spool that no daemon has open, opened to be changed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;

use crate::cli::output::{Exit, Failure};
use crate::config::Config;
use crate::journal::{self, disk::Disk};
use crate::model::os_error;
use crate::random;
use crate::spool::peek::{PeekError, peek};
use crate::spool::{BodyBudget, OpenError, Options, Spool};

use super::place;

/// Content in memory at a time: one message, in the journal's largest form and while it is read.
const BODY_BYTES_MAX: u64 = 16 << 20;

pub(super) fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Takes the spool for this process. What it has for the audit log stays in it for the next start of the daemon.
pub(super) fn open(path: &Path, config: &Config) -> Result<Spool, Failure> {
    check_owner(path)?;
    check_whole(path)?;
    take(path, config)
}

/// The same, or begins one in a folder that is empty.
pub(super) fn open_or_begin(path: &Path, config: &Config) -> Result<Spool, Failure> {
    check_owner(path)?;
    let is_empty = path.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if !is_empty {
        check_whole(path)?;
    }
    take(path, config)
}

/// One that is damaged, or not there, is left as it is.
fn check_whole(path: &Path) -> Result<(), Failure> {
    let peeked = peek(path, Arc::new(Disk::default())).map_err(|error| match error {
        PeekError::InUse { pid, .. } => in_use(path, pid),
        error => place::failure(&error),
    })?;
    if !peeked.damage.is_empty() || !peeked.unreadable.is_empty() {
        let help = "`gatepost spool check` tells what to do; a spool is put in order before it is changed";
        return Err(Failure::new(Exit::No, format!("the spool {} is damaged", path.display()), help));
    }
    Ok(())
}

fn take(path: &Path, config: &Config) -> Result<Spool, Failure> {
    let options = Options {
        path: path.to_owned(),
        min_free_bytes: config.spool.min_free_space,
        budget: BodyBudget::new(BODY_BYTES_MAX),
        limits: journal::Limits::default(),
        salt: random::number(),
    };
    let opened = Spool::open(options, Arc::new(Disk::default()), Box::new(|_, _| {}));
    match opened {
        Ok((spool, _)) => Ok(spool),
        Err(OpenError::Journal(journal::OpenError::Locked { pid })) => Err(in_use(path, pid)),
        Err(error) => Err(Failure::new(Exit::Unreachable, error.to_string(), "`gatepost spool check` tells more")),
    }
}

/// Files that are made by another account than the daemon's could not be read by it.
fn check_owner(path: &Path) -> Result<(), Failure> {
    let missing = |error: io::Error| {
        let help =
            "name the spool with --spool DIR: that of a daemon, or to import into, an empty folder of its account";
        let message = format!("cannot open the spool {}: {}", path.display(), os_error::why(&error));
        Failure::new(Exit::Unreachable, message, help)
    };
    let owner = std::fs::metadata(path).map_err(missing)?.uid();
    if nix::unistd::geteuid().as_raw() == owner {
        return Ok(());
    }
    let name = nix::unistd::User::from_uid(owner.into()).ok().flatten().map_or(owner.to_string(), |user| user.name);
    let message = format!("the spool {} belongs to {name}, who could not read what this writes", path.display());
    Err(Failure::new(Exit::Unreachable, message, format!("run this as that account: sudo -u {name} gatepost …")))
}

fn in_use(path: &Path, pid: Option<u32>) -> Failure {
    let by = pid.map(|pid| format!(" by process {pid}")).unwrap_or_default();
    let message = format!("the spool {} is in use{by}", path.display());
    Failure::new(Exit::Unreachable, message, "stop the daemon first: the queue is changed in one place only")
}
