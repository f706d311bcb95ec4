//! `gatepost spool export`: messages as files, from a daemon's spool or a stopped one. Nothing is taken out.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::admin::queue::view::{self, Around};
use crate::cli::output::{BAD, Console, Exit, Failure};
use crate::cli::{configuration, queue};
use crate::clock;
use crate::journal::disk::Disk;
use crate::model::human::{count, shown};
use crate::model::id::MessageId;
use crate::outbound::outlook::Terms;
use crate::spool::BodyError;
use crate::spool::archive::{Archive, ArchiveError, Put};
use crate::spool::peek::{PeekError, Peeked, peek, peek_beside};

use super::arguments::Export;
use super::place;
use super::progress::Progress;

/// Ids that are asked for at a time.
const PAGE: usize = 1000;

#[derive(Debug, Default, Serialize)]
struct Exported {
    exported: u64,
    /// Were there already, as they are.
    present: u64,
    failed: Vec<NotDone>,
    /// Beside a running daemon.
    in_use: bool,
}

/// A message that was passed over.
#[derive(Debug, Serialize)]
pub(super) struct NotDone {
    pub(super) message: MessageId,
    pub(super) why: String,
}

pub(super) fn run(
    config: Option<&Path>,
    spool: &Path,
    asked: &Export,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let (peeked, in_use) = look(spool)?;
    if in_use {
        writeln!(console.err, "note: a daemon runs: what it delivers meanwhile may be exported too")?;
    }
    let archive = Archive::create(Arc::new(Disk::default()), &asked.folder).map_err(|error| cannot_write(&error))?;
    let filter = queue::filter(&asked.filter);
    // Only a filter by route needs the configuration.
    let loaded = filter.asks_for_route().then(|| configuration::require(config)).transpose()?;
    let terms = loaded.as_ref().map(|config| Terms {
        policies: &config.policies,
        lifetime: config.spool.lifetime,
        bounce_lifetime: config.spool.bounce_lifetime,
        delay_warning: config.spool.delay_warning,
    });
    let around = Around { now: clock::timestamp(), terms, stop: None, holds: None };
    let is_meant = |id| peeked.outline(id).is_some_and(|outline| view::is_meant(&filter, &outline, &around));
    let mut done = Exported { in_use, ..Exported::default() };
    let mut progress = Progress::of_messages();
    let (mut after, mut looked_at) = (None, 0);
    loop {
        let ids = peeked.ids(after, PAGE);
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        looked_at += ids.len() as u64;
        for id in ids.into_iter().filter(|id| is_meant(*id)) {
            done.add(id, export(&peeked, &archive, id))?;
        }
        archive.sync().map_err(|error| cannot_write(&error))?;
        progress.at(looked_at, peeked.message_count() as u64);
    }
    drop(progress);
    tell(&done, &asked.folder, json, console)
}

/// The spool at rest, or beside the daemon that has it.
fn look(spool: &Path) -> Result<(Peeked, bool), Failure> {
    let disk = Arc::new(Disk::default());
    match peek(spool, disk.clone()) {
        Err(PeekError::InUse { .. }) => peek_beside(spool, disk).map(|peeked| (peeked, true)),
        peeked => peeked.map(|peeked| (peeked, false)),
    }
    .map_err(|error| place::failure(&error))
}

fn export(peeked: &Peeked, archive: &Archive, id: MessageId) -> Result<Option<Put>, ArchiveError> {
    let Some(stored) = peeked.load(id).map_err(ArchiveError::Content)? else { return Ok(None) };
    let mut content = peeked.content(&stored).map_err(ArchiveError::Content)?;
    archive.put(&stored, content.as_mut()).map(Some)
}

impl Exported {
    /// What one message could not be read for is told in the end; an archive that cannot be written ends the work.
    fn add(&mut self, id: MessageId, done: Result<Option<Put>, ArchiveError>) -> Result<(), Failure> {
        match done {
            Ok(Some(Put::Written)) => self.exported += 1,
            Ok(Some(Put::Present)) => self.present += 1,
            Ok(None) => {}
            // The daemon has finished or moved it meanwhile.
            Err(ArchiveError::Content(BodyError::Gone | BodyError::Damaged)) if self.in_use => {
                let why = "it is finished, or was moved while it was read; export again to be sure".to_owned();
                self.failed.push(NotDone { message: id, why });
            }
            Err(ArchiveError::Content(error)) => self.failed.push(NotDone { message: id, why: error.to_string() }),
            Err(error) => return Err(cannot_write(&error)),
        }
        Ok(())
    }
}

fn cannot_write(error: &ArchiveError) -> Failure {
    let help = "what was written so far is whole: run the same again when this is mended";
    Failure::new(Exit::No, format!("the export cannot be written: {error}"), help)
}

fn tell(done: &Exported, folder: &Path, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if json {
        console.json(done)?;
    } else {
        let text = count(done.exported, "message");
        let folder = folder.to_string_lossy();
        writeln!(console.out, "{text} exported to {}", shown(&folder))?;
        if done.present > 0 {
            writeln!(console.out, "{} there already", count(done.present, "message"))?;
        }
    }
    tell_not_done(&done.failed, "not exported", console)
}

/// A line for each message that was passed over, on stderr; the exit code says whether there was one.
pub(super) fn tell_not_done(failed: &[NotDone], what: &str, console: &mut Console<'_>) -> Result<Exit, Failure> {
    for NotDone { message, why } in failed {
        writeln!(console.err, "{BAD}{what}{BAD:#}: {message}: {}", shown(why))?;
    }
    Ok(if failed.is_empty() { Exit::Done } else { Exit::No })
}
