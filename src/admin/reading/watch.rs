//! The posture of the last month, read from the log when somebody first looks and followed from then on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::audit::lines::total_bytes;
use crate::audit::log::LogError;
use crate::audit::pass::{Span, pass_on};
use crate::audit::posture::{MONTH, Posture};
use crate::audit::segments::segments;
use crate::audit::tail::Follower;
use crate::clock;
use crate::model::time::Instant;

use super::{Progress, Seen};

/// How long somebody who looks waits for what is being read.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at the log's end while somebody watches.
const STEP: Duration = Duration::from_secs(1);
/// The same while nobody does, so that there is little to read when somebody comes.
const IDLE_STEP: Duration = Duration::from_secs(60);
/// So long after the last look somebody still watches.
const WATCHED: Duration = Duration::from_secs(120);
/// After the log could not be read.
const FAULT_PAUSE: Duration = Duration::from_secs(10);
/// Threads of the first pass.
const THREADS_MAX: usize = 1;

/// Follows the log for those who look.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    state: Mutex<State>,
    progress: Progress,
    asked: Notify,
    /// Counts the times that something was read.
    turns: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    posture: Option<Posture>,
    fault: Option<String>,
    asked_at: Option<Instant>,
}

impl Watch {
    pub fn new(folder: PathBuf) -> Self {
        let (turns, _) = watch::channel(0);
        Self { folder, state: Mutex::default(), progress: Progress::default(), asked: Notify::new(), turns }
    }

    /// Shows the posture as of about now.
    pub async fn look<T>(&self, show: impl FnOnce(&Posture) -> T) -> Seen<T> {
        let mut turns = self.turns.subscribe();
        let is_new =
            self.state().asked_at.replace(clock::now()).is_none_or(|at| clock::now().saturating_since(at) > WATCHED);
        self.asked.notify_one();
        if is_new || self.state().posture.is_none() {
            _ = tokio::time::timeout(PATIENCE, turns.changed()).await;
        }
        let state = self.state();
        match (&state.posture, &state.fault) {
            (_, Some(fault)) => Seen::Failed(fault.clone()),
            (Some(posture), None) => Seen::Ready(show(posture)),
            (None, None) => Seen::Reading(self.progress.read()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_watched(&self) -> bool {
        self.state().asked_at.is_some_and(|at| clock::now().saturating_since(at) < WATCHED)
    }

    /// The pass over all segments but the last, behind which the follower goes on.
    fn begin(&self) -> Result<Follower, LogError> {
        let now = clock::timestamp();
        let mut closed = segments(&self.folder)?;
        closed.pop();
        self.progress.begin(total_bytes(&closed));
        let span = Span { from: now - MONTH, until: now + MONTH };
        let progress = |bytes| self.progress.add(bytes);
        let (posture, _) = pass_on(THREADS_MAX, &closed, span, (&|| Posture::new(now), &progress))?;
        self.state().posture = Some(posture);
        Ok(Follower::behind(&self.folder, closed.last().map_or(0, |segment| segment.number)))
    }

    fn with_posture(&self, change: impl FnOnce(&mut Posture)) {
        self.state().posture.as_mut().map(change);
    }

    fn follow(&self, follower: &mut Follower) -> Result<(), LogError> {
        self.with_posture(|posture| posture.forget(clock::timestamp()));
        // Not held over the reading of files: whoever looks waits for it on a thread that serves mail.
        follower.poll(&mut |line| self.with_posture(|posture| posture.take_line(line)))
    }

    /// What has gone wrong, or that nothing has.
    fn told(&self, result: &Result<(), LogError>) {
        let mut state = self.state();
        state.fault = result.as_ref().err().map(ToString::to_string);
        if state.fault.is_some() {
            state.posture = None;
        }
        drop(state);
        self.turns.send_modify(|turns| *turns += 1);
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Reads and follows, from the first look on, until it is dropped.
pub async fn run(watch: Arc<Watch>) {
    loop {
        watch.asked.notified().await;
        let result = read_on(&watch).await;
        watch.told(&result.map(drop));
        tokio::time::sleep(FAULT_PAUSE).await;
    }
}

/// Ends with the first fault.
async fn read_on(watch: &Arc<Watch>) -> Result<(), LogError> {
    let beginner = watch.clone();
    let Ok(begun) = tokio::task::spawn_blocking(move || beginner.begin()).await else { return Ok(()) };
    let mut follower = begun?;
    loop {
        let reader = watch.clone();
        let read = tokio::task::spawn_blocking(move || {
            let result = reader.follow(&mut follower);
            (follower, result)
        });
        let Ok((same, result)) = read.await else { return Ok(()) };
        result?;
        follower = same;
        watch.told(&Ok(()));
        tokio::time::sleep(STEP).await;
        if !watch.is_watched() {
            _ = tokio::time::timeout(IDLE_STEP, watch.asked.notified()).await;
        }
    }
}
