//! One run of the administrator's program: no shell, hardly any environment, the alert on its standard input.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// All that the program finds in its environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a run came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CommandError {
    #[error("it cannot be started: {0}")]
    Start(String),
    #[error("it did not end in time, and was killed")]
    Timeout,
    #[error("it failed: {0}")]
    Failed(ExitStatus),
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::Start(error.to_string())
    }
}

/// Runs it to its end, at most so long. It succeeds by exit code 0.
pub(super) async fn run(words: &[String], input: &str, at_most: Duration) -> Result<(), CommandError> {
    let (program, arguments) = words.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own, which can be killed as a whole.
    command.process_group(0);
    let mut child = spawn_blocking(move || command.spawn()).await.map_err(io::Error::other)??;
    let group = i32::try_from(child.id()).ok().map(Pid::from_raw);
    let line = format!("{input}\n");
    let mut ended = spawn_blocking(move || {
        // Who does not read it may do without.
        let written = child.stdin.take().map(|mut stdin| stdin.write_all(line.as_bytes()));
        drop(written);
        child.wait()
    });
    let status = match timeout(at_most, &mut ended).await {
        Ok(ended) => ended.map_err(io::Error::other)??,
        Err(_) => {
            // It has not been waited for, so the number is still its own.
            _ = group.map(|group| killpg(group, Signal::SIGKILL));
            _ = ended.await;
            return Err(CommandError::Timeout);
        }
    };
    if status.success() { Ok(()) } else { Err(CommandError::Failed(status)) }
}
