//! What waits for the writer thread: bounded in bytes, in order, lazy entries among the others.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use super::prepare::Prepared;
use super::{BATCH_META_BYTES_MAX, Fault, Limits};
use crate::clock;
use crate::model::time::Instant;

/// Room is counted in units of this many bytes.
const ROOM_UNIT_BYTES: u64 = 1024;
/// Where so many wait for one sync, the next waits for as many for a moment: each sync costs as much as some commits.
const GATHER_FROM: usize = 4;
/// That moment is this part of the time that the last write and sync took, and not longer than the other.
const GATHER_PART: u32 = 4;
const GATHER_TIME_MAX: Duration = Duration::from_micros(800);
/// What can wait a little does so at most as long for something that cannot, to share its sync.
const PATIENCE: Duration = Duration::from_micros(400);

/// Whether a commit has a sync to itself if there is nothing else to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    Now,
    /// It waits a moment for others.
    Patient,
}

/// One commit or lazy append that waits.
pub(super) struct Request<E> {
    pub(super) prepared: Prepared<E>,
    /// Nobody waits for the answer to a lazy append.
    pub(super) answer: Option<oneshot::Sender<Result<(), Fault>>>,
    haste: Haste,
    _room: OwnedSemaphorePermit,
}

impl<E> Request<E> {
    pub(super) fn answer(self, result: Result<(), Fault>) {
        if let Some(answer) = self.answer {
            // The waiter may have gone away; its entries are what they are.
            let _ = answer.send(result);
        }
    }
}

pub(super) struct Queue<E> {
    waiting: Mutex<Waiting<E>>,
    wake: Condvar,
    room: Arc<Semaphore>,
    lazy_room: Arc<Semaphore>,
    limits: Limits,
    is_append_only: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// What waits is still written, nothing more is taken.
    Closing,
    Closed,
    Failed(Fault),
}

struct Waiting<E> {
    requests: VecDeque<Request<E>>,
    /// How many of them somebody waits for.
    urgent: usize,
    /// When the first of these must be written, if all of them are patient.
    patient_until: Option<Instant>,
    /// When the oldest lazy one must be written.
    lazy_due: Option<Instant>,
    /// So many urgent ones the writer waits for a moment, since so many came together before.
    wanted: usize,
    /// When the last batch was taken.
    taken_at: Instant,
    /// The writer waits, and nobody has woken it yet: each call to the kernel costs more than a commit.
    sleeps: bool,
    phase: Phase,
}

impl<E> Queue<E> {
    pub(super) fn new(limits: Limits) -> Self {
        let semaphore = |bytes: u64| Arc::new(Semaphore::new(units(bytes) as usize));
        Self {
            waiting: Mutex::new(Waiting {
                requests: VecDeque::new(),
                urgent: 0,
                patient_until: None,
                lazy_due: None,
                wanted: 1,
                taken_at: clock::now(),
                sleeps: false,
                phase: Phase::Open,
            }),
            wake: Condvar::new(),
            room: semaphore(limits.queue_bytes_max),
            lazy_room: semaphore(limits.lazy_queue_bytes_max),
            limits,
            is_append_only: AtomicBool::new(false),
        }
    }

    /// How much room is made ahead now.
    pub(super) fn room_ahead_bytes(&self) -> u64 {
        if self.is_append_only.load(Ordering::Relaxed) { 0 } else { self.limits.room_ahead_bytes }
    }

    /// From the next batch on.
    pub(super) fn set_append_only(&self, is_append_only: bool) {
        self.is_append_only.store(is_append_only, Ordering::Relaxed);
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Waits for room, queues, and gives where the answer will come.
    pub(super) async fn push(
        &self,
        prepared: Prepared<E>,
        haste: Haste,
    ) -> Result<oneshot::Receiver<Result<(), Fault>>, Fault> {
        // One that is larger than the whole room waits until it is alone.
        let units = units(prepared.bytes()).min(units(self.limits.queue_bytes_max));
        let room = Arc::clone(&self.room).acquire_many_owned(units).await.map_err(|_| Fault::Stopped)?;
        let (sender, receiver) = oneshot::channel();
        self.enqueue(Request { prepared, answer: Some(sender), haste, _room: room })?;
        Ok(receiver)
    }

    pub(super) fn push_lazily(&self, prepared: Prepared<E>) -> Result<(), Fault> {
        let room = Arc::clone(&self.lazy_room).try_acquire_many_owned(units(prepared.bytes()));
        let room = room.map_err(|error| match error {
            TryAcquireError::Closed => Fault::Stopped,
            TryAcquireError::NoPermits => Fault::QueueFull,
        })?;
        self.enqueue(Request { prepared, answer: None, haste: Haste::Patient, _room: room })
    }

    /// Blocks until there is something to write, and takes a batch of it; `None` when the journal is to end.
    pub(super) fn take_batch(&self) -> Option<Vec<Request<E>>> {
        let mut waiting = self.lock();
        let gathers_until = (waiting.wanted > 1).then(|| {
            let now = clock::now();
            now + (now.saturating_since(waiting.taken_at) / GATHER_PART).min(GATHER_TIME_MAX)
        });
        loop {
            let now = clock::now();
            let gathers = gathers_until.is_some_and(|until| now < until && waiting.urgent < waiting.wanted);
            if !gathers {
                waiting.wanted = 1;
            }
            let wake = match waiting.phase {
                Phase::Closed | Phase::Failed(_) => return None,
                Phase::Closing if waiting.requests.is_empty() => return None,
                Phase::Closing => return Some(waiting.drain(&self.limits)),
                Phase::Open if gathers => gathers_until,
                Phase::Open if waiting.is_ready(now) => return Some(waiting.drain(&self.limits)),
                Phase::Open => waiting.patient_until.into_iter().chain(waiting.lazy_due).min(),
            };
            waiting.sleeps = true;
            waiting = match wake {
                None => self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(moment) => self.wait_until(waiting, moment.saturating_since(now)),
            };
            waiting.sleeps = false;
        }
    }

    /// After a passing fault: what nobody hears of is put back for a later batch, if there will be one, and all who
    /// wait are refused, since they would otherwise wait behind it as long as the fault lasts.
    pub(super) fn put_back(&self, lazy: Vec<Request<E>>, fault: Fault) {
        let mut waiting = self.lock();
        let queued = std::mem::take(&mut waiting.requests);
        let (refused, kept): (Vec<_>, Vec<_>) =
            lazy.into_iter().chain(queued).partition(|request| request.answer.is_some());
        waiting.urgent = 0;
        waiting.patient_until = None;
        waiting.lazy_due = None;
        if waiting.phase == Phase::Open && !kept.is_empty() {
            waiting.requests.extend(kept);
            waiting.lazy_due = Some(clock::now() + self.limits.lazy_delay_max);
        }
        drop(waiting);
        for request in refused {
            request.answer(Err(fault));
        }
    }

    /// Takes nothing more; what waits is still written.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        if waiting.phase == Phase::Open {
            waiting.phase = Phase::Closing;
        }
        drop(waiting);
        self.room.close();
        self.lazy_room.close();
        self.wake.notify_all();
    }

    /// Ends in `phase`, if it has not ended before, and refuses all that waits.
    pub(super) fn end(&self, phase: Phase) {
        let mut waiting = self.lock();
        if !matches!(waiting.phase, Phase::Closed | Phase::Failed(_)) {
            waiting.phase = phase;
        }
        let requests = std::mem::take(&mut waiting.requests);
        waiting.urgent = 0;
        drop(waiting);
        self.room.close();
        self.lazy_room.close();
        for request in requests {
            request.answer(Err(Fault::Stopped));
        }
    }

    fn enqueue(&self, request: Request<E>) -> Result<(), Fault> {
        let mut waiting = self.lock();
        if waiting.phase != Phase::Open {
            return Err(Fault::Stopped);
        }
        let is_news = if request.answer.is_some() {
            let is_news = waiting.add_urgent(request.haste);
            is_news && waiting.urgent >= waiting.wanted
        } else {
            // What is lazy only sets the writer's alarm.
            let is_first = waiting.lazy_due.is_none();
            if is_first {
                waiting.lazy_due = Some(clock::now() + self.limits.lazy_delay_max);
            }
            is_first
        };
        waiting.requests.push_back(request);
        let wakes = is_news && std::mem::take(&mut waiting.sleeps);
        drop(waiting);
        if wakes {
            self.wake.notify_one();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<E>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until<'a>(&self, waiting: MutexGuard<'a, Waiting<E>>, delay: Duration) -> MutexGuard<'a, Waiting<E>> {
        self.wake.wait_timeout(waiting, delay).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl<E> Waiting<E> {
    fn is_ready(&self, now: Instant) -> bool {
        let is_patient = self.patient_until.is_some_and(|until| now < until);
        self.urgent > 0 && !is_patient || self.lazy_due.is_some_and(|due| due <= now)
    }

    /// Whether the writer has to know.
    fn add_urgent(&mut self, haste: Haste) -> bool {
        let is_first = self.urgent == 0;
        self.patient_until = match haste {
            Haste::Now => None,
            Haste::Patient if is_first => Some(clock::now() + PATIENCE),
            Haste::Patient => self.patient_until,
        };
        self.urgent += 1;
        is_first || self.patient_until.is_none()
    }

    /// Takes from the front what fits in one batch, at least one.
    fn drain(&mut self, limits: &Limits) -> Vec<Request<E>> {
        let (mut entries, mut meta, mut bytes) = (0usize, 0usize, 0u64);
        let mut taken = Vec::new();
        while let Some(next) = self.requests.front() {
            entries = entries.saturating_add(next.prepared.entries.len());
            meta = meta.saturating_add(next.prepared.meta.len());
            bytes = bytes.saturating_add(next.prepared.bytes());
            let fits =
                entries <= limits.batch_entries_max && meta <= BATCH_META_BYTES_MAX && bytes <= limits.batch_bytes_max;
            if !fits && !taken.is_empty() {
                break;
            }
            let Some(request) = self.requests.pop_front() else { break };
            self.urgent -= usize::from(request.answer.is_some());
            taken.push(request);
        }
        if self.urgent == 0 {
            self.patient_until = None;
        }
        self.taken_at = clock::now();
        let together = taken.iter().filter(|request| request.answer.is_some()).count();
        self.wanted = if together >= GATHER_FROM { together } else { 1 };
        // A lazy one that stays behind keeps the old moment and so goes next.
        if self.requests.iter().all(|request| request.answer.is_some()) {
            self.lazy_due = None;
        }
        taken
    }
}

impl<E> fmt::Debug for Queue<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / ROOM_UNIT_BYTES + 1).unwrap_or(u32::MAX)
}
