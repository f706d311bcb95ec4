//! The other end of the control socket, for the command line. Blocking.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::os_error;

use super::protocol::steering::Walking;
use super::protocol::{Request, Response};

/// A reload may read many files; everything else is quick.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("{}", not_running(socket, source))]
    NotRunning { socket: PathBuf, source: io::Error },
    #[error("the daemon broke off: {}", os_error::why(.0))]
    BrokenOff(#[source] io::Error),
    #[error("the daemon speaks another version: {}", without_choices(.0))]
    Unintelligible(#[source] serde_json::Error),
}

/// What the parser would rather have had is a long list, and of no use to anybody.
fn without_choices(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(", expected one of").map_or(text.as_str(), |(words, _)| words).to_owned()
}

fn not_running(socket: &Path, source: &io::Error) -> String {
    let (socket, why) = (socket.display(), os_error::why(source));
    match source.kind() {
        io::ErrorKind::NotFound => format!("no daemon answers on {socket}: there is no such socket"),
        io::ErrorKind::PermissionDenied => format!("the daemon's socket {socket} cannot be opened: {why}"),
        _ => format!("no daemon answers on {socket}: {why}"),
    }
}

/// Asks the daemon behind `socket`.
pub fn ask(socket: &Path, request: &Request) -> Result<Response, AskError> {
    ask_along(socket, request, |_| {})
}

/// The same for what takes its time: `seen` is told how far it is.
pub fn ask_along(socket: &Path, request: &Request, mut seen: impl FnMut(Walking)) -> Result<Response, AskError> {
    let not_running = |source| AskError::NotRunning { socket: socket.to_owned(), source };
    let mut stream = UnixStream::connect(socket).map_err(not_running)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(AskError::BrokenOff)?;
    let mut line = serde_json::to_string(request).map_err(AskError::Unintelligible)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(AskError::BrokenOff)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut answer = String::new();
        stream.read_line(&mut answer).map_err(AskError::BrokenOff)?;
        if answer.is_empty() {
            return Err(AskError::BrokenOff(io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str(&answer).map_err(AskError::Unintelligible)? {
            Response::Walking(walking) => seen(walking),
            response => return Ok(response),
        }
    }
}
