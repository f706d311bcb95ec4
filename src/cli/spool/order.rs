//! What is asked of the running daemon: to make its spool smaller, or to leave its files alone while they are copied.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::admin::protocol::{Request, Response};
use crate::cli::output::{Console, Exit, Failure};
use crate::cli::waiting::Waiting;
use crate::cli::{configuration, socket};
use crate::model::human::{bytes, count, span};
use crate::spool::Sparse;

use super::arguments::Keep;
use super::stopped;

/// Rounds of work on a stopped spool without progress, beyond which nothing more comes of it.
const IDLE_ROUNDS_MAX: u32 = 3;

pub(super) fn compact(
    config: Option<&Path>,
    (spool, at): (&Path, &Path),
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match socket::ask_if_running(at, &Request::SpoolCompact)? {
        Some(Response::Compacting { segments, bytes: all, alive_bytes }) => {
            if json {
                let answer = json!({ "segments": segments, "bytes": all, "alive_bytes": alive_bytes, "running": true });
                console.json(&answer)?;
            } else if segments == 0 {
                writeln!(console.out, "nothing to do: no segment is mostly empty")?;
            } else {
                let (all, alive) = (bytes(all), bytes(alive_bytes));
                let segments = count(segments, "segment");
                writeln!(console.out, "begun: {segments} of {all}, in which {alive} live, are emptied and removed")?;
            }
            Ok(Exit::Done)
        }
        Some(_) => Err(socket::unexpected()),
        None => compact_stopped(config, spool, json, console),
    }
}

fn compact_stopped(config: Option<&Path>, path: &Path, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let config = configuration::require(config)?;
    let runtime = stopped::runtime()?;
    let _waiting = Waiting::on("looking through the spool and emptying its segments");
    let spool = stopped::open(path, &config)?;
    let Sparse { segments, bytes: all, alive_bytes } = spool.compact();
    let (mut moved, mut removed, mut idle) = (0, 0, 0);
    let mut problems = Vec::new();
    while idle < IDLE_ROUNDS_MAX {
        let done = runtime.block_on(async {
            let done = spool.maintain().await;
            // What was moved is in the journal before the next look.
            spool.flush().await.map(|()| done)
        });
        let done = done.map_err(|fault| Failure::new(Exit::No, format!("the spool failed: {fault}"), ""))?;
        idle = if done.messages_moved + done.segments_removed > 0 { 0 } else { idle + 1 };
        moved += done.messages_moved;
        removed += done.segments_removed;
        problems = done.problems;
    }
    spool.close();
    for problem in &problems {
        writeln!(console.err, "note: {problem}")?;
    }
    if json {
        let answer = json!({
            "segments": segments, "bytes": all, "alive_bytes": alive_bytes, "running": false,
            "moved": moved, "removed": removed,
        });
        console.json(&answer)?;
    } else {
        let (moved, removed) = (count(moved, "message"), count(removed, "segment"));
        writeln!(console.out, "{moved} moved, {removed} removed")?;
    }
    Ok(Exit::Done)
}

pub(super) fn keep(at: &Path, asked: &Keep, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let time = asked.time.filter(|_| !asked.end);
    match socket::ask(at, &Request::SpoolKeep { seconds: time.map(|time| time.as_secs()) })? {
        Response::Keeping { seconds, lasted } if json => {
            console.json(&json!({ "seconds": seconds, "lasted": lasted }))?;
            return Ok(if lasted { Exit::Done } else { Exit::No });
        }
        Response::Keeping { seconds: Some(seconds), .. } => {
            let asked = asked.time.map_or(0, |time| time.as_secs());
            let time = span(Duration::from_secs(seconds));
            if asked > seconds {
                writeln!(console.out, "{time} is the most that can be asked for")?;
            }
            writeln!(console.out, "for {time} no file of the spool goes: it can be copied now")?;
            writeln!(console.out, "afterwards: gatepost spool keep --end")?;
        }
        Response::Keeping { seconds: None, lasted: true } => {
            writeln!(console.out, "files of the spool go again when they may")?;
        }
        Response::Keeping { seconds: None, lasted: false } => {
            let message = "the files were not kept until now: the time was over, or the daemon was started anew";
            let help = "what was copied may lack mail; begin again with `gatepost spool keep TIME`";
            return Err(Failure::new(Exit::No, message, help));
        }
        _ => return Err(socket::unexpected()),
    }
    Ok(Exit::Done)
}
