//! The one thread that turns committed journal entries into lines of the log, in order, each once.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock;
use crate::model::id::RecordId;
use crate::model::record::AuditEntry;
use crate::model::time::Instant;

use super::log::{Log, LogError, Mark};

/// Records between two syncs of the log at most.
const SYNC_RECORDS_MAX: usize = 4096;
/// The longest that a written record waits for its sync, and a failed log for its next try.
const SYNC_DELAY_MAX: Duration = Duration::from_millis(400);
/// Records that wait for the log; with more of them no mail is taken.
const BACKLOG_RECORDS_MAX: u64 = 200_000;

/// The audit entries of one journal batch.
#[derive(Debug)]
pub struct Batch {
    /// The batch's number in the journal.
    pub sequence: u64,
    pub entries: Vec<AuditEntry>,
}

/// The log is durable up to and including this journal batch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Derived {
    pub sequence: u64,
    pub mark: Mark,
}

/// What the thread tells the rest of the program.
pub trait Observer: Send {
    /// The log is durable up to here. Called on the thread; must not block for long.
    fn derived(&mut self, derived: Derived, records: u64);
    fn failed(&mut self, error: &LogError);
    fn recovered(&mut self);
}

/// A cheap view of how the log is doing.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<HealthState>);

#[derive(Debug, Default)]
struct HealthState {
    failed: AtomicBool,
    backlog: AtomicU64,
}

impl Health {
    /// Whether the log takes records; if not, no mail may be accepted and no delivery begun.
    pub fn is_writable(&self) -> bool {
        !self.0.failed.load(Ordering::Relaxed) && self.0.backlog.load(Ordering::Relaxed) < BACKLOG_RECORDS_MAX
    }
}

/// The way to the thread. Dropping every clone ends it after a last sync.
#[derive(Clone, Debug)]
pub struct Feed {
    sender: Sender<Batch>,
    health: Health,
}

impl Feed {
    /// Hands over a batch in journal order. Never blocks.
    pub fn push(&self, batch: Batch) {
        self.health.0.backlog.fetch_add(batch.entries.len() as u64, Ordering::Relaxed);
        // The receiver lives as long as a sender does, but for a panic of the thread, which health then shows.
        if self.sender.send(batch).is_err() {
            self.health.0.failed.store(true, Ordering::Relaxed);
        }
    }
}

/// The batches that were pushed, for the thread to be started.
#[derive(Debug)]
pub struct Source {
    receiver: Receiver<Batch>,
    health: Health,
}

/// The way to a thread that is started later: the journal needs the feed before the log can be opened.
pub fn channel() -> (Feed, Source) {
    let (sender, receiver) = mpsc::channel();
    let health = Health::default();
    (Feed { sender, health: health.clone() }, Source { receiver, health })
}

impl Source {
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Starts the thread. `present` are records that the log has already.
    pub fn spawn(
        self,
        log: Log,
        present: HashSet<RecordId>,
        observer: Box<dyn Observer>,
    ) -> io::Result<JoinHandle<()>> {
        let Self { receiver, health } = self;
        let mut deriver =
            Deriver { log, present, observer, health, unsynced: VecDeque::new(), waiting: 0, due: None, failed: false };
        std::thread::Builder::new().name("gatepost-audit".to_owned()).spawn(move || deriver.run(&receiver))
    }
}

struct Deriver {
    log: Log,
    present: HashSet<RecordId>,
    observer: Box<dyn Observer>,
    health: Health,
    /// Batches that the log may not have durably: written again after a fault.
    unsynced: VecDeque<Batch>,
    /// Records taken since the last try to sync.
    waiting: usize,
    /// When the log is synced at the latest.
    due: Option<Instant>,
    failed: bool,
}

impl Deriver {
    fn run(&mut self, receiver: &Receiver<Batch>) {
        loop {
            let next = match self.due {
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => receiver.recv_timeout(due.saturating_since(clock::now())),
            };
            match next {
                Ok(batch) => self.take(batch),
                Err(RecvTimeoutError::Timeout) => self.settle(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.settle();
                    return;
                }
            }
            if self.waiting >= SYNC_RECORDS_MAX {
                self.settle();
            }
        }
    }

    fn take(&mut self, mut batch: Batch) {
        let before = batch.entries.len();
        batch.entries.retain(|entry| !self.present.remove(&entry.id));
        self.health.0.backlog.fetch_sub((before - batch.entries.len()) as u64, Ordering::Relaxed);
        if !self.failed
            && let Err(error) = batch.entries.iter().try_for_each(|entry| self.log.append(entry))
        {
            self.fail(&error);
        }
        self.waiting += batch.entries.len();
        self.due.get_or_insert_with(|| clock::now() + SYNC_DELAY_MAX);
        self.unsynced.push_back(batch);
    }

    /// Brings everything taken so far to stable storage, after a fault from the last synced place on.
    fn settle(&mut self) {
        let Some(last) = self.unsynced.back().map(|batch| batch.sequence) else { return };
        self.waiting = 0;
        self.due = None;
        match self.write_out() {
            Ok(mark) => {
                let records: u64 = self.unsynced.drain(..).map(|batch| batch.entries.len() as u64).sum();
                self.health.0.backlog.fetch_sub(records, Ordering::Relaxed);
                if std::mem::take(&mut self.failed) {
                    self.health.0.failed.store(false, Ordering::Relaxed);
                    self.observer.recovered();
                }
                self.observer.derived(Derived { sequence: last, mark }, records);
            }
            Err(error) => {
                self.due = Some(clock::now() + SYNC_DELAY_MAX);
                self.fail(&error);
            }
        }
    }

    fn write_out(&mut self) -> Result<Mark, LogError> {
        if self.failed {
            self.log.rewind()?;
            self.unsynced.iter().flat_map(|batch| &batch.entries).try_for_each(|entry| self.log.append(entry))?;
        }
        self.log.sync()
    }

    fn fail(&mut self, error: &LogError) {
        self.failed = true;
        self.health.0.failed.store(true, Ordering::Relaxed);
        self.observer.failed(error);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::audit::verify::verify;

    enum Seen {
        Derived(Derived, u64),
        Failed,
        Recovered,
    }

    struct Reporter(mpsc::Sender<Seen>);

    impl Observer for Reporter {
        fn derived(&mut self, derived: Derived, records: u64) {
            _ = self.0.send(Seen::Derived(derived, records));
        }

        fn failed(&mut self, _: &LogError) {
            _ = self.0.send(Seen::Failed);
        }

        fn recovered(&mut self) {
            _ = self.0.send(Seen::Recovered);
        }
    }

    fn batch(sequence: u64, ids: &[u128]) -> Batch {
        let entry = |n: &u128| {
            let id = RecordId::from_u128(*n);
            AuditEntry { id, json: format!("{{\"id\":\"{id}\"}}").into() }
        };
        Batch { sequence, entries: ids.iter().map(entry).collect() }
    }

    fn run(folder: &Path, mark: Option<&Mark>, batches: Vec<Batch>) -> Option<Derived> {
        let (log, resumed) = Log::open(folder, mark).unwrap();
        let (sender, seen) = mpsc::channel();
        let (feed, source) = channel();
        let health = source.health();
        let thread = source.spawn(log, resumed.present, Box::new(Reporter(sender))).unwrap();
        batches.into_iter().for_each(|batch| feed.push(batch));
        drop(feed);
        thread.join().unwrap();
        assert!(health.is_writable());
        seen.iter().filter_map(|seen| if let Seen::Derived(derived, _) = seen { Some(derived) } else { None }).last()
    }

    #[test]
    fn replayed_batches_are_written_once_whatever_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let first = run(folder.path(), None, vec![batch(1, &[1, 2]), batch(2, &[3])]).unwrap();
        assert_eq!(first.sequence, 2);
        // A restart that knows only an older mark replays batches 2 and 3; one that knows none replays everything.
        let second = run(folder.path(), Some(&first.mark), vec![batch(3, &[4, 5])]).unwrap();
        run(folder.path(), Some(&first.mark), vec![batch(3, &[4, 5]), batch(4, &[6])]).unwrap();
        run(folder.path(), None, vec![batch(1, &[1, 2]), batch(2, &[3]), batch(3, &[4, 5]), batch(4, &[6])]).unwrap();
        assert_eq!(second.mark.tip.seq, 5);
        let report = verify(folder.path()).unwrap();
        assert_eq!((report.records, report.breaks.len()), (6, 0));
    }

    #[test]
    fn a_log_that_cannot_be_written_says_so_and_catches_up_later() {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(folder.path(), None).unwrap();
        let (sender, seen) = mpsc::channel();
        let mut deriver = Deriver {
            log,
            present: HashSet::new(),
            observer: Box::new(Reporter(sender)),
            health: Health::default(),
            unsynced: VecDeque::new(),
            waiting: 0,
            due: None,
            failed: false,
        };
        deriver.health.0.backlog.store(3, Ordering::Relaxed);
        deriver.take(batch(1, &[1]));
        let error = LogError { path: folder.path().to_owned(), source: io::ErrorKind::StorageFull.into() };
        deriver.fail(&error);
        assert!(!deriver.health.is_writable());
        deriver.take(batch(2, &[2, 3]));
        deriver.settle();
        assert!(deriver.health.is_writable());
        let seen: Vec<Seen> = seen.try_iter().collect();
        assert!(matches!(seen[..], [Seen::Failed, Seen::Recovered, Seen::Derived(Derived { sequence: 2, .. }, 3)]));
        assert_eq!(verify(folder.path()).unwrap().records, 3);
    }
}
