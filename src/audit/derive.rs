//! The one thread that turns committed journal entries into lines of the log, in order, each once, and vouches for them
//! by checkpoints.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clock;
use crate::model::id::RecordId;
use crate::model::time::Instant;

use super::checkpoint::Why;
use super::feed::{Answer, Batch, Demand, DemandError, Health, Message, Source, Wish};
use super::keyfile::KeyError;
use super::log::{Log, LogError, LogOrKeyError, Mark, News};
use super::segments::Segment;

/// Records between two syncs of the log at most.
const SYNC_RECORDS_MAX: usize = 4096;
/// The longest that a record is not seen by those who read the file.
const WRITE_DELAY_MAX: Duration = Duration::from_millis(15);
/// How long what follows a batch may wait to be looked at.
const GATHER_TIME: Duration = Duration::from_millis(5);
/// The longest that a written record waits for its sync, and a failed log for its next try.
const SYNC_DELAY_MAX: Duration = Duration::from_millis(400);

/// The log is durable up to and including this journal batch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Derived {
    pub sequence: u64,
    pub mark: Mark,
}

/// What the thread tells the rest of the program. Called on the thread: must not block for long.
pub trait Observer: Send {
    /// The log is durable up to here, by so many records more.
    fn derived(&mut self, derived: Derived, records: u64);
    /// The line of a checkpoint that is durable, without its line end.
    fn checkpointed(&mut self, line: &str);
    /// Nothing will be appended to this segment any more.
    fn closed(&mut self, segment: &Segment);
    fn failed(&mut self, error: &LogError);
    fn recovered(&mut self);
    /// The newest checkpoint could not be kept beside the key. The log itself is well.
    fn not_remembered(&mut self, error: &KeyError);
}

/// What the thread starts from.
#[derive(Debug)]
pub struct Start {
    pub log: Log,
    /// Records that the log has already.
    pub present: HashSet<RecordId>,
    /// A checkpoint is due at once.
    pub wants_checkpoint: bool,
    /// The longest that a record waits for a checkpoint.
    pub checkpoint_every: Duration,
}

impl Source {
    /// Starts the thread. It ends after a last checkpoint when it is told to stop or every feed is gone.
    pub fn spawn(self, start: Start, observer: Box<dyn Observer>) -> io::Result<JoinHandle<()>> {
        let Self { receiver, health } = self;
        let mut deriver = Deriver::new(start, health, observer);
        thread::Builder::new().name("gatepost-audit".to_owned()).spawn(move || deriver.run(&receiver))
    }
}

pub(super) struct Deriver {
    log: Log,
    present: HashSet<RecordId>,
    observer: Box<dyn Observer>,
    health: Health,
    /// Batches that the log may not have durably: written again after a fault.
    unsynced: VecDeque<Batch>,
    /// Records of this run up to the last successful `settle`.
    settled: u64,
    /// The last batch that the log has durably in this run.
    derived: Option<u64>,
    /// Records taken since the last try to sync.
    waiting: usize,
    /// When what was appended is written at the latest, and when it is synced.
    write_due: Option<Instant>,
    sync_due: Option<Instant>,
    checkpoint_every: Duration,
    /// When the lines behind the last checkpoint get one.
    checkpoint_due: Option<Instant>,
    /// The checkpoint of the start is still to be made.
    wants_start: bool,
    failed: bool,
}

impl Deriver {
    pub(super) fn new(start: Start, health: Health, observer: Box<dyn Observer>) -> Self {
        let Start { log, present, wants_checkpoint: wants_start, checkpoint_every } = start;
        let (unsynced, settled, derived, waiting, write_due, sync_due, checkpoint_due, failed) = Default::default();
        #[rustfmt::skip]
        let deriver = Self {
            log, present, observer, health, unsynced, settled, derived, waiting,
            write_due, sync_due, checkpoint_every, checkpoint_due, wants_start, failed,
        };
        deriver
    }

    fn run(&mut self, receiver: &Receiver<Message>) {
        self.begin();
        loop {
            match self.next(receiver) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return self.end(),
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout) => self.wake(),
            }
        }
    }

    /// Behind one batch others follow: to be woken for each of them costs more than to write it.
    fn next(&self, receiver: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        if let Ok(message) = receiver.try_recv() {
            return Ok(message);
        }
        if self.write_due.is_some() {
            thread::park_timeout(GATHER_TIME);
        }
        match self.due() {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => receiver.recv_timeout(due.saturating_since(clock::now())),
        }
    }

    /// Does what is due.
    fn wake(&mut self) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= clock::now());
        if !is_due(self.write_due) || is_due(self.sync_due) || is_due(self.checkpoint_due) {
            _ = self.settle(None);
        } else {
            self.write_due = None;
            if let Err(error) = self.log.flush() {
                self.fail(&error);
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        // After a fault the pause before the next try holds for everything.
        let checkpoint_due = self.checkpoint_due.filter(|_| !self.failed);
        [self.write_due, self.sync_due, checkpoint_due].into_iter().flatten().min()
    }

    /// What a crash left without a checkpoint gets one before anything new.
    pub(super) fn begin(&mut self) {
        if self.wants_start {
            _ = self.settle(None);
        }
    }

    pub(super) fn handle(&mut self, message: Message) {
        match message {
            Message::Batch(batch) => self.take(batch),
            Message::Demand(demand) => self.fulfil(demand),
            Message::Stamp(stamp) => self.log.set_stamp(stamp),
            Message::Stop => self.end(),
        }
        if self.waiting >= SYNC_RECORDS_MAX {
            _ = self.settle(None);
        }
    }

    /// The last sync; an orderly end leaves no line without a checkpoint.
    pub(super) fn end(&mut self) {
        let wants_one = self.failed || !self.log.is_vouched_for();
        _ = self.settle(wants_one.then_some(Wish::Checkpoint(Why::Stop)).as_ref());
    }

    fn take(&mut self, mut batch: Batch) {
        for known in batch.entries.extract_if(.., |entry| self.present.remove(&entry.id)) {
            self.health.written(&[known]);
        }
        if !self.failed
            && let Err(error) = self.append(&batch)
        {
            self.fail(&error);
        }
        self.waiting += batch.entries.len();
        if !self.failed {
            self.write_due.get_or_insert_with(|| clock::now() + WRITE_DELAY_MAX);
        }
        self.sync_due.get_or_insert_with(|| clock::now() + SYNC_DELAY_MAX);
        self.unsynced.push_back(batch);
    }

    fn append(&mut self, batch: &Batch) -> Result<(), LogError> {
        let now = clock::timestamp();
        batch.entries.iter().try_for_each(|entry| self.log.append(entry, now))
    }

    fn fulfil(&mut self, demand: Demand) {
        let Demand { wish, answer } = demand;
        let done = match wish {
            Wish::NewKey => self.replace_key(),
            _ => self.settle(Some(&wish)),
        };
        // Whoever asked may be gone.
        _ = answer.send(done);
    }

    fn replace_key(&mut self) -> Answer {
        self.settle(None)?;
        match self.log.rotate_key(clock::timestamp()) {
            Ok(line) => {
                self.tell_news();
                Ok(line)
            }
            Err(LogOrKeyError::Key(error)) => {
                self.tell_news();
                Err(DemandError::Key(error))
            }
            Err(LogOrKeyError::Log(error)) => {
                self.sync_due = Some(clock::now() + SYNC_DELAY_MAX);
                self.fail(&error);
                Err(DemandError::Log(error.to_string()))
            }
        }
    }

    /// Brings everything taken so far to stable storage, after a fault from the last synced place on, with the
    /// checkpoint that is wished for or due. Gives the line of the newest checkpoint that this made, else no text.
    pub(super) fn settle(&mut self, wish: Option<&Wish>) -> Answer {
        self.waiting = 0;
        (self.write_due, self.sync_due) = (None, None);
        match self.write_out(wish) {
            Ok(mark) => {
                self.wants_start = false;
                self.settled = self.log.records_synced();
                let records: usize = self.unsynced.iter().map(|batch| batch.entries.len()).sum();
                self.unsynced.iter().for_each(|batch| self.health.written(&batch.entries));
                self.derived = self.unsynced.drain(..).next_back().map(|batch| batch.sequence).or(self.derived);
                if std::mem::take(&mut self.failed) {
                    self.health.set_failed(false);
                    self.observer.recovered();
                }
                let newest = self.tell_news();
                if let Some(sequence) = self.derived {
                    self.observer.derived(Derived { sequence, mark }, records as u64);
                }
                Ok(newest)
            }
            Err(error) => {
                self.sync_due = Some(clock::now() + SYNC_DELAY_MAX);
                self.fail(&error);
                Err(DemandError::Log(error.to_string()))
            }
        }
    }

    fn write_out(&mut self, wish: Option<&Wish>) -> Result<Mark, LogError> {
        let now = clock::timestamp();
        if self.failed {
            self.log.rewind()?;
            // A segment that was closed since took its records along to stable storage.
            let durable = usize::try_from(self.log.records_synced() - self.settled).unwrap_or(usize::MAX);
            let mut lost = self.unsynced.iter().flat_map(|batch| &batch.entries).skip(durable);
            lost.try_for_each(|entry| self.log.append(entry, now))?;
        }
        if self.wants_start {
            self.log.checkpoint(Why::Start, now)?;
        }
        let is_due = self.checkpoint_due.is_some_and(|due| due <= clock::now()) && !self.log.is_vouched_for();
        match wish {
            None | Some(Wish::NewKey) if is_due => self.log.checkpoint(Why::Interval, now)?,
            None | Some(Wish::NewKey) => {}
            Some(Wish::Checkpoint(why)) => self.log.checkpoint(*why, now)?,
            Some(Wish::Tombstone(removed)) => self.log.tombstone(removed.clone(), now)?,
        }
        self.log.sync()
    }

    /// Tells what became durable, and when the next checkpoint is due. Gives the newest one.
    fn tell_news(&mut self) -> String {
        let News { mut checkpoints, closed } = self.log.take_news();
        closed.iter().for_each(|segment| self.observer.closed(segment));
        checkpoints.iter().for_each(|line| self.observer.checkpointed(line));
        let newest = checkpoints.pop();
        if let Some(line) = &newest
            && let Err(error) = self.log.remember(line)
        {
            self.observer.not_remembered(&error);
        }
        if newest.is_some() || self.log.is_vouched_for() {
            self.checkpoint_due = None;
        }
        if !self.log.is_vouched_for() {
            self.checkpoint_due.get_or_insert_with(|| clock::now() + self.checkpoint_every);
        }
        newest.unwrap_or_default()
    }

    fn fail(&mut self, error: &LogError) {
        self.failed = true;
        self.write_due = None;
        self.health.set_failed(true);
        self.observer.failed(error);
    }
}
