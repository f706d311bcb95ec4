//! `gatepost audit checkpoint`: makes the daemon sign the log up to now, and shows the line that proves it.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::admin::protocol::{Request, Response};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::key::PublicKey;
use crate::audit::pass::Met;
use crate::cli::arguments::SocketPath;
use crate::cli::human::labelled_whole;
use crate::cli::output::{BOLD, Console, Exit, Failure, GOOD, WIDTH_COLUMNS};
use crate::cli::socket;
use crate::model::human::{second, wrap};
use crate::model::time::Timestamp;

use super::arguments::LogFolder;

/// The answer for programs. `line` is exact: its bytes are what is signed.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    seq: u64,
    time: Timestamp,
    key: PublicKey,
    line: &'a str,
}

pub(in crate::cli) fn run(at: &Path, line_alone: bool, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let (line, checkpoint) = ask(at, &Request::AuditCheckpoint)?;
    if json {
        let Checkpoint { seq, time, .. } = checkpoint;
        console.json(&Answer { seq, time, key: checkpoint.statement.key, line: &line })?;
    } else if line_alone {
        writeln!(console.out, "{line}")?;
    } else {
        write!(console.out, "{}", page(&line, &checkpoint))?;
    }
    Ok(Exit::Done)
}

/// Has the daemon write a checkpoint.
pub(super) fn ask(at: &Path, request: &Request) -> Result<(String, Checkpoint), Failure> {
    let Response::Checkpoint { line } = socket::ask(at, request)? else { return Err(socket::unexpected()) };
    let checkpoint = Checkpoint::parse(line.as_bytes()).ok_or_else(socket::unexpected)?;
    Ok((line, checkpoint))
}

/// Refusals reach the log within a second.
pub(super) const REFUSAL_DELAY_MAX: Duration = Duration::from_millis(1100);

/// Has the daemon bring its log up to the end of `wait`, where it is that daemon's log which is asked about. Says
/// whether it did.
pub(super) fn catch_up(config: Option<&Path>, log: &LogFolder, wait: Duration) -> bool {
    let Ok(socket) = socket::find(config, &SocketPath::default()) else { return false };
    if log.path.is_some() || !socket.exists() {
        return false;
    }
    thread::park_timeout(wait);
    ask(&socket, &Request::AuditCheckpoint).is_ok()
}

/// Reads again where nothing was found.
pub(super) fn read_late<T>(
    config: Option<&Path>,
    log: &LogFolder,
    read: impl Fn() -> Result<(T, Met), Failure>,
) -> Result<(T, Met), Failure> {
    let (found, met) = read()?;
    // What happened a moment ago may still be on its way into the log.
    if met.records == 0 && catch_up(config, log, REFUSAL_DELAY_MAX) {
        return read();
    }
    Ok((found, met))
}

/// Ends with a line end. The line of the log is not wrapped, so that it can be copied.
fn page(line: &str, checkpoint: &Checkpoint) -> String {
    let Checkpoint { seq, statement, .. } = checkpoint;
    let covers = match checkpoint.lines() {
        0 => "no record since the checkpoint before".to_owned(),
        1 => format!("record {}", statement.first),
        _ => format!("records {} to {}, and through the chain all before", statement.first, seq - 1),
    };
    let mut page = vec![format!("{GOOD}Signed{GOOD:#}: checkpoint {BOLD}{seq}{BOLD:#} is on stable storage.")];
    for (label, value) in [("time", second(checkpoint.time)), ("covers", covers), ("key", statement.key.to_string())] {
        page.push(labelled_whole(label, &value));
    }
    page.push(String::new());
    let advice = "Whoever keeps this line elsewhere can prove later that nothing before it was changed, even against \
                  somebody who has the key:";
    page.extend(wrap(advice, WIDTH_COLUMNS));
    page.push(line.to_owned());
    page.push(String::new());
    page.join("\n")
}
