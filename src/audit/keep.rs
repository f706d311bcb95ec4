//! The thread that looks after closed segments: old ones are removed behind a signed tombstone, others compressed.
//!
//! It works on one segment at a time and with pauses. What it cannot do is told, and tried again at the next pass.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock;
use crate::journal::filesystem::FileSystem;
use crate::model::time::Timestamp;

use super::checkpoint::Removed;
use super::clock_trust::{ClockTrust, Doubt, Moment};
use super::compress::{self, CompressError, Forms};
use super::log::LogError;
use super::retention::expired;
use super::segments::{self, Segment, UNFINISHED_SUFFIX};

use times::{ends, newest_up_to};

/// A pass is made this often, and whenever a segment is closed or the settings change.
const PASS_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Between two pieces of a segment that is compressed, so that mail comes first.
const PAUSE: Duration = Duration::from_millis(5);

/// What is kept, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepSettings {
    /// `None`: for ever.
    pub keep: Option<Duration>,
    pub compress: bool,
}

/// Makes the tombstone durable before what it speaks for goes. Blocks.
pub type Tombstone = Box<dyn FnMut(Removed) -> Result<(), String> + Send>;

/// The log whose segments are looked after.
pub struct Kept {
    pub fs: Arc<dyn FileSystem>,
    pub folder: PathBuf,
    /// The last segment that is closed, 0 if there is none.
    pub closed: u64,
    pub settings: KeepSettings,
    pub tombstone: Tombstone,
}

/// The thread. When this is dropped it ends soon, in the middle of a segment if need be.
#[derive(Debug)]
pub struct Keeper {
    handle: KeeperHandle,
    thread: Option<JoinHandle<()>>,
}

/// The way to the thread. Cheap to clone; it does not keep the thread alive.
#[derive(Clone, Debug)]
pub struct KeeperHandle {
    orders: Sender<Order>,
    fault: Arc<Mutex<Option<String>>>,
}

#[derive(Debug)]
enum Order {
    Closed(u64),
    Settings(KeepSettings),
    Stop,
}

/// Why a pass was not finished.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Compress(#[from] CompressError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{} does not read as a closed segment: it and all behind it are kept", path.display())]
    NoEnds { path: PathBuf },
    #[error("nothing was removed, because the tombstone could not be written: {0}")]
    Tombstone(String),
    #[error(transparent)]
    Clock(#[from] Doubt),
    #[error("stopped")]
    Stopped,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("folder", &self.folder).field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Starts the thread, which begins with a pass.
    pub fn spawn(kept: Kept) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let fault = Arc::default();
        let mut worker = Worker::new(kept, receiver, Arc::clone(&fault));
        let thread = std::thread::Builder::new().name("gatepost-keep".to_owned()).spawn(move || worker.run())?;
        Ok(Self { handle: KeeperHandle { orders: sender, fault }, thread: Some(thread) })
    }

    pub fn handle(&self) -> KeeperHandle {
        self.handle.clone()
    }

    /// Ends the thread. Blocks until it has ended.
    pub fn stop(mut self) {
        self.handle.give(Order::Stop);
        _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.handle.give(Order::Stop);
    }
}

impl KeeperHandle {
    /// Segments up to this one are closed, and the log will not go back to them.
    pub fn closed(&self, segment: u64) {
        self.give(Order::Closed(segment));
    }

    pub fn configure(&self, settings: KeepSettings) {
        self.give(Order::Settings(settings));
    }

    /// What could not be done at the last pass.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// After the end of the thread there is nobody to tell.
    fn give(&self, order: Order) {
        _ = self.orders.send(order);
    }
}

/// The thread's orders as they stand.
struct Inbox {
    receiver: Receiver<Order>,
    settings: KeepSettings,
    closed: u64,
    stopped: bool,
}

impl Inbox {
    fn obey(&mut self, order: Order) {
        match order {
            Order::Closed(segment) => self.closed = self.closed.max(segment),
            Order::Settings(settings) => self.settings = settings,
            Order::Stop => self.stopped = true,
        }
    }

    /// Waits for an order, at most so long. Gives whether to go on.
    fn wait(&mut self, at_most: Duration) -> bool {
        match self.receiver.recv_timeout(at_most) {
            Ok(order) => self.obey(order),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.stopped = true,
        }
        !self.stopped
    }
}

struct Worker {
    fs: Arc<dyn FileSystem>,
    folder: PathBuf,
    tombstone: Tombstone,
    inbox: Inbox,
    /// The segment whose end was read last, and its end: it need not be read again to know that it stays.
    oldest: Option<(u64, Timestamp)>,
    trust: ClockTrust,
    fault: Arc<Mutex<Option<String>>>,
}

impl Worker {
    fn new(kept: Kept, receiver: Receiver<Order>, fault: Arc<Mutex<Option<String>>>) -> Self {
        let Kept { fs, folder, closed, settings, tombstone } = kept;
        let inbox = Inbox { receiver, settings, closed, stopped: false };
        Self { fs, folder, tombstone, inbox, oldest: None, trust: ClockTrust::default(), fault }
    }

    fn run(&mut self) {
        while !self.inbox.stopped {
            let ended = self.pass(Moment { wall: clock::timestamp(), running: clock::now() });
            self.tell(ended);
            self.inbox.wait(PASS_INTERVAL);
        }
    }

    /// Says once that something cannot be done, and once that it is.
    fn tell(&self, ended: Result<(), KeepError>) {
        let fault = match ended {
            Ok(()) => None,
            Err(KeepError::Stopped | KeepError::Compress(CompressError::Stopped)) => return,
            Err(error) => Some(error.to_string()),
        };
        let mut known = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &fault) {
            (before, Some(fault)) if before.as_ref() != Some(fault) => {
                tracing::error!(fault, "closed segments of the audit log cannot be looked after");
            }
            (Some(_), None) => tracing::info!("closed segments of the audit log are looked after again"),
            _ => {}
        }
        *known = fault;
    }

    fn pass(&mut self, now: Moment) -> Result<(), KeepError> {
        let retired = self.retire(now);
        let tidied = self.tidy();
        retired.and(tidied)
    }

    fn names(&self) -> Result<Vec<String>, KeepError> {
        Ok(self.fs.list(&self.folder).map_err(LogError::of(&self.folder))?)
    }

    /// Removes the segments that have had their time, behind their tombstone.
    fn retire(&mut self, now: Moment) -> Result<(), KeepError> {
        let Some(keep) = self.inbox.settings.keep else { return Ok(()) };
        let mut closed = segments::of_names(&self.folder, self.names()?);
        let trust = self.trust.judge(now, |until| newest_up_to(&*self.fs, &closed, until));
        closed.retain(|segment| segment.number <= self.inbox.closed);
        let now = now.wall;
        let stays = |(number, until)| {
            closed.first().is_some_and(|oldest| oldest.number == number) && (now - keep..=now).contains(&until)
        };
        if self.oldest.is_some_and(stays) {
            return Ok(());
        }
        let (fs, oldest, inbox) = (&*self.fs, &mut self.oldest, &mut self.inbox);
        // Where nothing can be removed, it is enough to know whether anything is due.
        let asked_max = if trust.is_ok() { closed.len() } else { 1 };
        let ends = closed.iter().take(asked_max).map(|segment| {
            if !inbox.wait(Duration::ZERO) {
                return Err(KeepError::Stopped);
            }
            let ends = ends(fs, segment)?;
            *oldest = Some((ends.number, ends.until));
            Ok(ends)
        });
        let Some(removed) = expired(ends, keep, now)? else { return Ok(()) };
        trust?;
        let [first, last] = removed.segments;
        let lines = removed.last - removed.first + 1;
        (self.tombstone)(removed).map_err(KeepError::Tombstone)?;
        for segment in closed.iter().filter(|segment| (first..=last).contains(&segment.number)) {
            self.remove(segment.number)?;
        }
        tracing::info!(first, last, lines, "segments of the audit log that were kept long enough are removed");
        Ok(())
    }

    /// The oldest first and each durably, so that a crash leaves no hole.
    fn remove(&self, segment: u64) -> Result<(), KeepError> {
        let Forms { plain, compressed, partial } = forms(&self.folder, segment);
        for path in [partial, plain, compressed] {
            match self.fs.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(LogError::of(&path)(error).into()),
                _ => {}
            }
        }
        Ok(self.fs.sync_folder(&self.folder).map_err(LogError::of(&self.folder))?)
    }

    /// Clears what a crash left, and compresses.
    fn tidy(&mut self) -> Result<(), KeepError> {
        let names: HashSet<String> = self.names()?.into_iter().collect();
        for name in names.iter().filter(|name| name.ends_with(UNFINISHED_SUFFIX)) {
            let path = self.folder.join(name);
            self.fs.remove(&path).map_err(LogError::of(&path))?;
        }
        let is_there = |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(|n| names.contains(n));
        let mut ended = Ok(());
        for segment in segments::of_names(&self.folder, names.iter().cloned()) {
            let forms = forms(&self.folder, segment.number);
            let (closed, settings) = (self.inbox.closed, self.inbox.settings);
            let go_on: &mut dyn FnMut() -> bool = &mut || self.inbox.wait(PAUSE);
            let done = match segment.compressed {
                _ if segment.number > closed => break,
                true if is_there(&forms.plain) => compress::settle(&*self.fs, &forms, go_on),
                false if settings.compress => compress::compress(&*self.fs, &forms, go_on),
                _ => Ok(()),
            };
            match done {
                // Of this segment alone.
                Err(error @ CompressError::Differs { .. }) => ended = ended.and(Err(error.into())),
                done => done?,
            }
        }
        ended
    }
}

fn forms(folder: &Path, number: u64) -> Forms {
    let compressed = Segment::compressed(folder, number).path;
    Forms { plain: Segment::plain(folder, number).path, partial: compressed.with_extension("zst.tmp"), compressed }
}

mod times;

#[cfg(test)]
mod tests;
