//! Segments that a few stragglers hold are emptied: what lives in them is written anew into the current one, and they
//! can go. A little in each round of maintenance.
//!
//! A copy replaces its original by the message's id, so it does not matter how many of both a crash leaves. Audit
//! records are not copied: a segment whose records are not in the log yet stays as it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::clock;
use crate::journal::SegmentInfo;
use crate::model::id::MessageId;
use crate::model::time::Instant;

use super::entry::{Again, Carried, Entry, MessageMeta};
use super::index::Index;
use super::packed::{Lies, Place};
use super::state::RecipientState;
use super::{Fault, Shared, Spool, lock};

/// A segment of whose bytes less than this lives is emptied by itself, and one of which less than that lives when the
/// operator asks.
const ALIVE_PERCENT: u64 = 25;
const ALIVE_PERCENT_ASKED: u64 = 75;
/// Segments that are emptied at a time.
const SEGMENTS_MAX: usize = 64;
/// Files are kept for no longer than this: the disk fills up.
pub const STILL_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// Messages of the queue that a round looks at, and how many while it holds the index.
const LOOKS_MAX: usize = 200_000;
const LOOKS_AT_ONCE_MAX: usize = 10_000;
/// What a round writes at most, and how many messages; the first message is always written.
const MOVED_BYTES_MAX: u64 = 4 << 20;
const MOVES_MAX: usize = 500;
/// Choices of segments that one wish of the operator holds for.
const ASKED_AIMS_MAX: u32 = 1000;
/// Between two choices of our own passes this part of the age that a segment must have.
const AIM_SHARE: u32 = 60;

/// Segments that are worth being emptied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sparse {
    pub segments: usize,
    /// Of their files.
    pub bytes: u64,
    /// What of it lives and is written anew.
    pub alive_bytes: u64,
}

/// How far the work has come.
#[derive(Debug, Default)]
pub(super) struct Compactor(Mutex<Work>);

#[derive(Debug, Default)]
struct Work {
    /// Since when each segment is known to be closed.
    closed: BTreeMap<u64, Instant>,
    targets: BTreeSet<u64>,
    /// Where the walk over the queue goes on; `None` if it is over.
    from: Option<MessageId>,
    /// Messages that are to be moved.
    waiting: VecDeque<MessageId>,
    /// The operator wants it done at once: how many more choices of segments that holds for.
    asked: u32,
    /// Nothing is moved or removed before: somebody copies the spool.
    still_until: Option<Instant>,
    /// When segments were chosen last.
    aimed: Option<Instant>,
}

/// A message as it was read for its copy.
struct Original {
    id: MessageId,
    lies: Lies,
    meta: MessageMeta,
    content: Bytes,
}

impl Spool {
    /// Has segments emptied whatever their age, as [`Spool::maintain`] goes on, and says what there is to do.
    pub fn compact(&self) -> Sparse {
        let sparse = self.sparse();
        self.shared.compactor.lock().asked = if sparse.segments > 0 { ASKED_AIMS_MAX } else { 0 };
        sparse
    }

    /// Leaves every file where it is for at least this long, and every byte as it is, so that the spool can be copied
    /// while it is used. When this returns that holds. Says for how long; it is not made shorter for who asked before.
    pub async fn keep_still(&self, time: Duration) -> Result<Duration, Fault> {
        let now = clock::now();
        let until = {
            let mut work = self.shared.compactor.lock();
            let until = work.still_until.into_iter().chain([now + time.min(STILL_MAX)]).max();
            work.still_until = until;
            until.unwrap_or(now)
        };
        // A round that has begun goes on to its end.
        drop(self.shared.tidying.lock().await);
        self.shared.journal.set_append_only(true);
        self.catch_up().await?;
        Ok(until.saturating_since(now))
    }

    /// Ends that. Says whether it lasted until now.
    pub fn end_stillness(&self) -> bool {
        let until = self.shared.compactor.lock().still_until.take();
        self.shared.journal.set_append_only(false);
        until.is_some_and(|until| clock::now() < until)
    }

    /// Whether files are to stay where they are.
    pub(super) fn is_still(&self) -> bool {
        self.shared.compactor.lock().still_until.is_some_and(|until| clock::now() < until)
    }

    /// What [`Spool::compact`] would do.
    pub fn sparse(&self) -> Sparse {
        let all = self.shared.journal.segments();
        let index = lock(&self.shared.index);
        let numbers = index.sparse(&all, ALIVE_PERCENT_ASKED);
        let bytes = all.iter().filter(|info| numbers.contains(&info.number)).map(|info| info.bytes).sum();
        Sparse { segments: numbers.len(), bytes, alive_bytes: index.alive_bytes(&numbers) }
    }

    /// One round; says how many messages were moved.
    pub(super) async fn compact_some(&self) -> Result<u64, Fault> {
        if self.admission().is_err() {
            return Ok(0);
        }
        let chosen = self.choose();
        if chosen.is_empty() {
            return Ok(0);
        }
        lock(&self.shared.index).begin_moving(&chosen);
        let moved = self.move_all(chosen).await;
        lock(&self.shared.index).end_moving();
        moved
    }

    /// The next messages to move.
    fn choose(&self) -> Vec<MessageId> {
        let mut work = self.shared.compactor.lock();
        if work.waiting.is_empty() && work.from.is_none() {
            work.aim(&self.shared.journal.segments(), &lock(&self.shared.index), self.shared.sizes.compact_after);
        }
        let mut looks = 0;
        while let Some(from) = work.from.filter(|_| looks < LOOKS_MAX && work.waiting.len() < MOVES_MAX) {
            let walked = lock(&self.shared.index).living_in(&work.targets, from, LOOKS_AT_ONCE_MAX);
            looks += LOOKS_AT_ONCE_MAX;
            work.waiting.extend(walked.ids);
            work.from = walked.next;
        }
        let count = work.waiting.len().min(MOVES_MAX);
        work.waiting.drain(..count).collect()
    }

    /// All that was given to the journal before is durable and in the index when this returns.
    pub async fn flush(&self) -> Result<(), Fault> {
        Ok(self.shared.journal.commit(vec![Entry::Carried(Carried::default())]).await?)
    }

    async fn move_all(&self, chosen: Vec<MessageId>) -> Result<u64, Fault> {
        // Changes that were given to the journal before.
        self.flush().await?;
        let (mut moved, mut bytes) = (0, 0);
        let mut chosen = VecDeque::from(chosen);
        while let Some(id) = chosen.pop_front() {
            let Some(lies) = lock(&self.shared.index).lies(id) else { continue };
            let shared = self.shared.clone();
            let read = tokio::task::spawn_blocking(move || Original::read(&shared, id, lies)).await;
            // What cannot be read has marked its segment as damaged, which stays.
            let Some(original) = read.ok().flatten() else { continue };
            bytes += original.content.len() as u64 + lies.meta.length;
            if bytes > MOVED_BYTES_MAX && moved > 0 {
                chosen.push_front(id);
                break;
            }
            match self.write_copy(original) {
                Ok(is_moved) => moved += u64::from(is_moved),
                // There is more than may wait.
                Err(Fault::Busy) => break,
                Err(fault) => return Err(fault),
            }
        }
        let mut work = self.shared.compactor.lock();
        chosen.into_iter().rev().for_each(|id| work.waiting.push_front(id));
        Ok(moved)
    }

    /// Gives the copy to the journal while the index stands still; what changes the message comes behind it.
    fn write_copy(&self, original: Original) -> Result<bool, Fault> {
        let Original { id, lies, mut meta, content } = original;
        let index = lock(&self.shared.index);
        let Some(states) = index.states(id).filter(|_| index.may_move(id, &lies)) else { return Ok(false) };
        meta.states = told(states);
        let content = if content.is_empty() { Vec::new() } else { vec![content] };
        let copy = Entry::Again(Again { meta, content, orphan: None });
        self.shared.journal.append_lazily(vec![copy])?;
        drop(index);
        Ok(true)
    }
}

/// States as they are written: none where all are as they came.
pub(super) fn told(states: Vec<RecipientState>) -> Vec<RecipientState> {
    let fresh = RecipientState::default();
    if states.iter().all(|state| *state == fresh) { Vec::new() } else { states }
}

impl Compactor {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// Chooses the segments that are emptied next.
    fn aim(&mut self, segments: &[SegmentInfo], index: &Index, after: Duration) {
        let now = clock::now();
        let is_early = self.aimed.is_some_and(|last| now.saturating_since(last) < after / AIM_SHARE);
        if self.asked == 0 && is_early {
            return;
        }
        self.aimed = Some(now);
        let closed: BTreeSet<u64> = segments.iter().rev().skip(1).map(|info| info.number).collect();
        self.closed.retain(|number, _| closed.contains(number));
        for number in &closed {
            self.closed.entry(*number).or_insert(now);
        }
        let is_asked = self.asked > 0;
        let percent = if is_asked { ALIVE_PERCENT_ASKED } else { ALIVE_PERCENT };
        let is_old = |number: &u64| self.closed.get(number).is_some_and(|since| now.saturating_since(*since) >= after);
        let sparse = index.sparse(segments, percent).into_iter().filter(|number| is_asked || is_old(number));
        self.targets = sparse.take(SEGMENTS_MAX).collect();
        self.asked = if self.targets.is_empty() { 0 } else { self.asked.saturating_sub(1) };
        self.from = (!self.targets.is_empty()).then_some(MessageId::from_u128(0));
    }
}

impl Original {
    fn read(shared: &Arc<Shared>, id: MessageId, lies: Lies) -> Option<Self> {
        let meta = shared.journal.read_body(&lies.meta).ok()?;
        let meta: MessageMeta = serde_json::from_slice(&meta).ok()?;
        let content = match lies.place {
            Place::Journal(location) => shared.journal.read_body(&location).ok()?,
            Place::File(_) => Vec::new(),
        };
        (meta.envelope.id == id).then_some(Self { id, lies, meta, content: content.into() })
    }
}
