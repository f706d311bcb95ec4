//! The control socket: where it is, and what to tell the operator if nobody answers there.

use std::io;
use std::path::{Path, PathBuf};

use crate::admin::client::{self, AskError};
use crate::admin::protocol::steering::Walking;
use crate::admin::protocol::{Request, Response};
use crate::model::os_error;

use super::arguments::SocketPath;
use super::configuration;
use super::main_file::MainFile;
use super::output::{Exit, Failure};
use super::waiting::Waiting;

const DEFAULT_SOCKET: &str = "/run/gatepost/control.sock";

/// `--socket`, else what the configuration says, however wrong the rest of it is, else the default.
pub(super) fn find(config: Option<&Path>, asked: &SocketPath) -> Result<PathBuf, Failure> {
    if let Some(path) = &asked.socket {
        return Ok(path.clone());
    }
    let file = configuration::file(config);
    match MainFile::read(&file) {
        Ok(main) => Ok(main.path_at("admin", "socket").unwrap_or_else(|| DEFAULT_SOCKET.into())),
        Err(error) if config.is_some() && error.kind() == io::ErrorKind::NotFound => Err(configuration::missing(&file)),
        Err(error) if config.is_some() => {
            let message = format!("cannot read {}: {}", file.display(), os_error::why(&error));
            Err(Failure::usage(message, "name the daemon's socket with --socket PATH"))
        }
        Err(_) => Ok(DEFAULT_SOCKET.into()),
    }
}

/// Asks the daemon. What it cannot do is a failure here, so that callers see answers only.
pub(super) fn ask(socket: &Path, request: &Request) -> Result<Response, Failure> {
    let _waiting = Waiting::on("waiting for the daemon");
    ask_silently(socket, request)
}

/// The same for a screen that is drawn all the time.
pub(super) fn ask_silently(socket: &Path, request: &Request) -> Result<Response, Failure> {
    answered(client::ask(socket, request))
}

/// The same for what takes its time: `seen` is told how far it is.
pub(super) fn ask_along(socket: &Path, request: &Request, seen: impl FnMut(Walking)) -> Result<Response, Failure> {
    answered(client::ask_along(socket, request, seen))
}

fn answered(answer: Result<Response, AskError>) -> Result<Response, Failure> {
    match answer {
        Ok(Response::Error { message, .. }) => {
            Err(Failure::new(Exit::No, format!("the daemon answers: {message}"), String::new()))
        }
        Ok(response) => Ok(response),
        Err(error) => Err(Failure::new(Exit::Unreachable, error.to_string(), remedy(&error))),
    }
}

/// The same for what can be told without the daemon: `None` if none runs.
pub(super) fn ask_if_running(socket: &Path, request: &Request) -> Result<Option<Response>, Failure> {
    let _waiting = Waiting::on("waiting for the daemon");
    match client::ask(socket, request) {
        Err(AskError::NotRunning { source, .. }) if is_silence(&source) => Ok(None),
        answer => answered(answer).map(Some),
    }
}

/// Nobody is there. Of a socket that may not be opened that is not known.
fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// An answer to another question than the one that was asked.
pub(super) fn unexpected() -> Failure {
    let help = "daemon and command line are of different versions: restart the daemon";
    Failure::new(Exit::Unreachable, "the daemon gave an answer to something else", help)
}

fn remedy(error: &AskError) -> &'static str {
    match error {
        AskError::NotRunning { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            "run this as root or as a member of the group that the socket belongs to"
        }
        AskError::NotRunning { .. } => {
            "start the daemon (`systemctl start gatepost`, or `gatepost serve`), or name its socket with --socket PATH"
        }
        AskError::BrokenOff(_) => "look into the daemon's log, then try again",
        AskError::Unintelligible(_) => "daemon and command line are of different versions: restart the daemon",
    }
}
