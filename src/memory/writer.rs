//! The thread that keeps the file abreast of the tables, and what it shares with those who use them.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::file::MemoryFile;
use super::tables::Tables;
use super::{NotWritten, RETRY_DELAY, WRITE_DELAY};

const THREAD_NAME: &str = "gatepost-memory";

/// The tables and the state of writing them.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// There is something to write, or to stop for.
    wanted: Condvar,
    /// A write has ended, well or not.
    written: Condvar,
}

#[derive(Debug)]
struct State {
    tables: Tables,
    /// Whether there is a file.
    durable: bool,
    /// Counts writes that have begun. A change is in the next one to begin.
    begun: u64,
    /// The last write that ended well, and the last that ended.
    succeeded: u64,
    ended: u64,
    /// Somebody waits for this write.
    asked_for: u64,
    stop: bool,
}

impl State {
    /// Whether the next write is not to wait for more.
    fn is_urgent(&self) -> bool {
        self.stop || self.asked_for > self.begun
    }
}

impl Shared {
    pub(super) fn new(tables: Tables, durable: bool) -> Self {
        let state = State { tables, durable, begun: 0, succeeded: 0, ended: 0, asked_for: 0, stop: false };
        Self { state: Mutex::new(state), wanted: Condvar::new(), written: Condvar::new() }
    }

    pub(super) fn read<T>(&self, question: impl FnOnce(&Tables) -> T) -> T {
        question(&self.lock().tables)
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.tables);
        if !state.durable {
            // Nobody will ever write it.
            state.tables.take_changes();
        } else if state.tables.has_changed() {
            self.wanted.notify_one();
        }
        result
    }

    pub(super) fn flush(&self) -> Result<(), NotWritten> {
        let mut state = self.lock();
        let is_written = state.ended == state.begun && state.succeeded == state.ended && !state.tables.has_changed();
        if !state.durable || is_written {
            return Ok(());
        }
        // A write that has begun may have missed the last changes.
        let wanted = state.begun + 1;
        state.asked_for = wanted;
        self.wanted.notify_one();
        let state = wait_while(&self.written, state, |state| state.ended < wanted);
        if state.succeeded >= wanted { Ok(()) } else { Err(NotWritten) }
    }

    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.wanted.notify_one();
    }

    /// A panic of another holder leaves the tables as they were between two calls.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn start(file: MemoryFile, shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || run(file, &shared))
}

fn run(mut file: MemoryFile, shared: &Shared) {
    let mut failing = false;
    loop {
        let state =
            wait_while(&shared.wanted, shared.lock(), |state| !state.is_urgent() && !state.tables.has_changed());
        let delay = if failing { RETRY_DELAY } else { WRITE_DELAY };
        let waited = shared.wanted.wait_timeout_while(state, delay, |state| !state.is_urgent());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.stop && !state.tables.has_changed() {
            return;
        }
        let stop = state.stop;
        state.begun += 1;
        let changes = state.tables.take_changes();
        drop(state);

        let result = file.write(&changes);
        let mut state = shared.lock();
        state.ended = state.begun;
        match &result {
            Ok(()) => state.succeeded = state.begun,
            Err(_) => state.tables.file_is_lost(),
        }
        drop(state);
        shared.written.notify_all();
        tell(&file, &result, &mut failing);
        if stop {
            return;
        }
    }
}

/// Once when it begins and once when it ends.
fn tell(file: &MemoryFile, result: &Result<(), String>, failing: &mut bool) {
    let path = file.path().display();
    match result {
        Err(error) if !*failing => {
            tracing::error!(file = %path, error, "what is remembered cannot be written; it stays in memory");
        }
        Ok(()) if *failing => tracing::info!(file = %path, "what is remembered is written again"),
        _ => {}
    }
    *failing = result.is_err();
}

fn wait_while<'a>(
    condvar: &Condvar,
    state: MutexGuard<'a, State>,
    condition: impl FnMut(&mut State) -> bool,
) -> MutexGuard<'a, State> {
    condvar.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
impl Shared {
    /// Whether a write ends well within the time, without being asked for.
    pub(super) fn succeeded_within(&self, limit: std::time::Duration) -> bool {
        let (state, _) = self.written.wait_timeout_while(self.lock(), limit, |state| state.succeeded == 0).unwrap();
        state.succeeded > 0
    }
}
