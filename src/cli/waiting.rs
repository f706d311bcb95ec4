//! A word on what takes its time, on a terminal, as long as it lasts.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is done before that is told of by its result alone.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(200);

/// Says on stderr what is waited for, from a second on; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Dropped first, which ends the thread.
    end: Option<mpsc::Sender<()>>,
    shown: Option<thread::JoinHandle<()>>,
}

impl Waiting {
    pub(super) fn on(what: impl Into<String>) -> Self {
        if !io::stderr().is_terminal() {
            return Self { end: None, shown: None };
        }
        let (end, ended) = mpsc::channel();
        let what = what.into();
        Self { end: Some(end), shown: Some(thread::spawn(move || show(what, &ended))) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end = None;
        // A spinner that broke is nobody's loss.
        self.shown.take().map(thread::JoinHandle::join).into_iter().for_each(drop);
    }
}

fn show(what: String, ended: &mpsc::Receiver<()>) {
    if ended.recv_timeout(SHOWN_AFTER) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let bar = ProgressBar::new_spinner();
    ProgressStyle::with_template("{spinner} {msg}, {elapsed}").into_iter().for_each(|style| bar.set_style(style));
    bar.set_message(what);
    bar.enable_steady_tick(TICK);
    // Nothing is ever sent: this ends with the sender.
    _ = ended.recv();
    bar.finish_and_clear();
}
