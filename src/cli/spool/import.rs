//! `gatepost spool import`: exported messages into a spool that no daemon has open, each with a record of who did it.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::audit::event::{Event, Record, Stamp};
use crate::cli::configuration;
use crate::cli::output::{Console, Exit, Failure};
use crate::clock;
use crate::config::Config;
use crate::journal::disk::Disk;
use crate::model::actor::Actor;
use crate::model::human::{count, shown};
use crate::model::id::MessageId;
use crate::model::record::AuditEntry;
use crate::random;
use crate::spool::Spool;
use crate::spool::archive::{Archive, ArchiveError};

use super::arguments::Import;
use super::export::{NotDone, tell_not_done};
use super::progress::Progress;
use super::stopped;

#[derive(Debug, Default, Serialize)]
struct Imported {
    imported: u64,
    refused: Vec<NotDone>,
}

pub(super) fn run(
    config: Option<&Path>,
    spool: &Path,
    asked: &Import,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let config = configuration::require(config)?;
    let archive = Archive::open(Arc::new(Disk::default()), &asked.folder);
    let ids = archive.ids().map_err(|error| Failure::usage(error.to_string(), "name the folder of an export"))?;
    let runtime = stopped::runtime()?;
    let spool = stopped::open_or_begin(spool, &config)?;
    let mut done = Imported::default();
    let mut progress = Progress::of_messages();
    for (at, id) in (1..).zip(&ids) {
        let record = record(&config, *id, &asked.folder);
        match runtime.block_on(spool.restore(&archive, *id, vec![record])) {
            Ok(()) => done.imported += 1,
            Err(ArchiveError::Fault(fault)) => {
                let text = format!("{} imported, then the spool failed: {fault}", count(done.imported, "message"));
                return Err(Failure::new(Exit::No, text, "what was imported stays: run the same again"));
            }
            Err(error) => done.refused.push(NotDone { message: *id, why: why(&error) }),
        }
        progress.at(at, ids.len() as u64);
    }
    drop(progress);
    close(spool);
    if json {
        console.json(&done)?;
    } else {
        let folder = asked.folder.to_string_lossy();
        writeln!(console.out, "{} imported from {}", count(done.imported, "message"), shown(&folder))?;
    }
    tell_not_done(&done.refused, "not imported", console)
}

fn close(spool: Spool) {
    spool.close();
}

fn why(error: &ArchiveError) -> String {
    match error {
        ArchiveError::Finished => {
            format!("{error}; start the daemon, so that it forgets that, stop it, and import again")
        }
        error => error.to_string(),
    }
}

/// Durable with the message.
fn record(config: &Config, id: MessageId, folder: &Path) -> AuditEntry {
    let stamp = Stamp { node: config.hostname.as_str().into(), config: config.digest.as_str().into() };
    let time = clock::timestamp();
    let mut record = Record::new(&stamp, time, random::record_id(time), Event::QueueAdmin);
    record.message = Some(id);
    let folder = folder.to_string_lossy();
    let by = Actor::Account(nix::unistd::getuid().as_raw());
    record.detail = Some(format!("the message is imported from {}, asked for by {by}", shown(&folder)));
    record.entry()
}
