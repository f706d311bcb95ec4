//! L6: `gatepost demo`: the whole system on loopback. The relay and its spool are the real ones, configured by real
//! files; clients and next hops of several kinds are played here, and each message is held against its policy.
//!
//! Must not: be needed by anything but the command line, reach beyond loopback, or leave anything behind.

mod frame;
mod handshakes;
mod hops;
mod layout;
mod ledger;
#[cfg(feature = "legacy-tls")]
mod old_hop;
mod outcome;
mod play;
mod scenario;
mod senders;
mod stage;
mod steps;
mod story;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use layout::Page;
use play::Outcome;
use stage::{Stage, StageError};

/// Only as wide as it must be: the title of a step stands behind it.
const BAR: &str = "  {bar:24} {pos}/{len}  {wide_msg}";
const LOG_FILE: &str = "gatepost.log";
/// How a shell names an end by SIGINT.
const INTERRUPTED: u8 = 130;

/// Why the demo ends without a verdict.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("{0}")]
    Stage(#[from] StageError),
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
    #[error("interrupted; the temporary folder is removed")]
    Interrupted,
}

/// Plays the scenario and tells it on stdout. `once`: leaves then; else stays up until Ctrl-C. The exit code is 0 if
/// every message ended as its policy says.
pub fn run(once: bool) -> ExitCode {
    let mut errors = anstream::stderr();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            _ = writeln!(errors, "error: the system refused a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(perform(once, &mut anstream::stdout())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            _ = writeln!(errors, "error: {error}");
            match error {
                DemoError::Interrupted => ExitCode::from(INTERRUPTED),
                DemoError::Stage(_) | DemoError::Output(_) => ExitCode::FAILURE,
            }
        }
    }
}

async fn perform(once: bool, out: &mut dyn Write) -> Result<bool, DemoError> {
    let folder = stage::folder()?;
    let log = log_to(folder.path());
    let stage = Stage::set(folder).await?;
    let mut page = Page { out };
    let told = tokio::select! {
        told = tell(&mut page, &stage) => told,
        () = interrupted() => Err(DemoError::Interrupted),
    };
    let outcome = match told {
        Ok(outcome) => outcome,
        Err(error) => {
            stage.stop().await;
            return Err(error);
        }
    };
    let as_expected = outcome.is_as_expected();
    if once {
        stage.stop().await;
        return Ok(as_expected);
    }
    frame::still_running(&mut page, &stage, &outcome, log.as_deref())?;
    page.out.flush()?;
    stage.run_until_stopped().await;
    page.blank()?;
    page.text(0, "Stopped; the folder is removed.")?;
    Ok(as_expected)
}

/// The page from its opening to the summary.
async fn tell(page: &mut Page<'_>, stage: &Stage) -> Result<Outcome, DemoError> {
    frame::opening(page, stage)?;
    page.out.flush()?;
    let bar = progress_bar();
    let outcome = play::play(stage, &bar).await;
    bar.finish_and_clear();
    story::messages(page, &outcome)?;
    frame::summary(page, &outcome)?;
    page.out.flush()?;
    Ok(outcome)
}

/// On stderr, and only if that is a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(play::length()).with_style(style.progress_chars("=> "))
}

/// The relay's log goes to a file, so that it does not disturb the page. `None` if somebody else takes it.
fn log_to(folder: &Path) -> Option<PathBuf> {
    let path = folder.join(LOG_FILE);
    let file = File::create(&path).ok()?;
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(file));
    log.try_init().ok().map(|()| path)
}

/// Ends when somebody wants the demo to stop.
async fn interrupted() {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return std::future::pending().await };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
