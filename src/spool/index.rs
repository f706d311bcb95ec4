//! What the journal holds, in memory: each message with its state and place, and what each segment is still needed for.

pub(super) mod leases;
pub(super) mod moving;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::journal::SegmentInfo;
use crate::model::envelope::Envelope;
use crate::model::id::MessageId;

use super::brief::Brief;
use super::cache::{Cache, Cached};
use super::entry::{Carried, Mark};
use super::holds::Holds;
use super::kept::{Failures, Kept};
use super::oldest::{Frontier, Oldest};
use super::outline::Outline;
use super::packed::{Lies, Packed, Place};
use super::state::{Change, Progress, RecipientState, summary};
use leases::Leases;
use moving::Moves;

/// A message as it is handed out.
#[derive(Clone, Debug)]
pub struct Stored {
    pub envelope: Arc<Envelope>,
    pub states: Vec<RecipientState>,
    pub(super) place: Place,
    pub(super) cached: Option<Vec<Bytes>>,
}

/// What stays in memory of a message for as long as it is queued.
#[derive(Debug)]
struct Slot {
    packed: Packed,
    /// One for each recipient; `None` while all of them are as they came.
    states: Option<Box<[Kept]>>,
}

/// What a message takes beside what it points to, which `src/spool/packed.rs` and `src/spool/kept.rs` bound.
const SLOT_BYTES_MAX: usize = 32;
const _: () = assert!(size_of::<Slot>() <= SLOT_BYTES_MAX);

/// A message that is to be loaded.
#[derive(Debug)]
pub(super) enum Found {
    InMemory(Stored),
    OnDisk(Lies),
}

/// What a segment is needed for.
#[derive(Debug, Default)]
struct Use {
    /// Unfinished messages that live in it.
    alive: u64,
    /// What these take of it.
    alive_bytes: u64,
    /// Unfinished messages of other segments, some of whose recipients have their newest state in it.
    states: BTreeSet<MessageId>,
    /// Finished messages of other segments, whose end it tells, alone or together with others.
    graves: BTreeSet<MessageId>,
    /// Finished messages that live in it, whose end other segments tell.
    buried: Vec<MessageId>,
    /// Messages of which it holds an older copy.
    left: Vec<MessageId>,
    /// The last batch in it with audit records.
    audit_sequence: u64,
    /// Something in it is not understood, so it is kept.
    keep: bool,
}

/// About what the state of a message takes when it is carried forward, and what the end of one takes.
const STATE_BYTES: u64 = 512;
const GRAVE_BYTES: u64 = 32;
/// Facts up to this size are always carried forward.
const CARRIED_FREELY_BYTES_MAX: u64 = 64 << 10;

impl Use {
    /// Whether removing the segment gives back clearly more than it costs. Without this a backlog whose states fill
    /// whole segments would be copied round and round.
    fn is_worth_removing(&self, segment_bytes: u64) -> bool {
        let cost = self.states.len() as u64 * STATE_BYTES + self.graves.len() as u64 * GRAVE_BYTES;
        cost <= CARRIED_FREELY_BYTES_MAX || cost <= segment_bytes / 2
    }
}

/// The index. Its methods change it in the order of the journal.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: BTreeMap<MessageId, Slot>,
    uses: BTreeMap<u64, Use>,
    /// The finished messages whose segment still exists, with the segment that has the last word about each.
    graves: BTreeMap<MessageId, u64>,
    cache: Cache,
    failures: Failures,
    frontier: Frontier,
    moves: Moves,
    pub(super) leases: Leases,
    /// Messages whose content has a file of its own.
    in_files: BTreeSet<MessageId>,
    /// Files of messages that are finished.
    dropped_files: Vec<MessageId>,
    subscribers: Vec<UnboundedSender<MessageId>>,
    /// The newest word of the audit log, written or about to be.
    mark: Option<Mark>,
    /// The sequence and the segment of the newest mark that is written.
    mark_written: Option<(u64, u64)>,
    /// The newest list of destinations that are held, and the segment that it is written in.
    holds: Option<(Holds, u64)>,
}

/// What is new about a message when it is added.
#[derive(Debug)]
pub(super) struct Added {
    id: MessageId,
    packed: Packed,
    /// Empty where all are as they came.
    states: Vec<RecipientState>,
    cached: Option<Cached>,
}

impl Added {
    pub(super) fn new(outline: Outline, lies: &Lies) -> Self {
        let packed = Packed::new(&Brief::of_outline(&outline), lies);
        Self { id: outline.id, packed, states: outline.states, cached: None }
    }

    /// With all states as they came.
    pub(super) fn fresh(brief: &Brief<'_>, lies: &Lies) -> Self {
        Self { id: brief.id, packed: Packed::new(brief, lies), states: Vec::new(), cached: None }
    }

    pub(super) fn cached(self, cached: Option<Cached>) -> Self {
        Self { cached, ..self }
    }
}

impl Index {
    pub(super) fn add(&mut self, added: Added) {
        let Added { id, packed, states, cached } = added;
        let home = packed.home();
        let mut keep = |state: &RecipientState| Kept::new(state, home, &mut self.failures);
        let states: Option<Box<[Kept]>> = (!states.is_empty()).then(|| states.iter().map(&mut keep).collect());
        let slot = Slot { packed, states };
        if let Some(cached) = cached {
            self.cache.insert(id, cached);
        }
        if slot.packed.is_in_file() {
            self.in_files.insert(id);
        }
        self.frontier.note(id, slot.was_tried());
        self.uses.entry(home).or_default().takes_in(slot.bytes());
        if let Some(old) = self.slots.insert(id, slot) {
            self.release(id, &old);
            self.leave(id, old.packed.home(), home);
        }
    }

    /// Tells the subscribers of a message that is new.
    pub(super) fn announce(&mut self, id: MessageId) {
        self.subscribers.retain(|subscriber| subscriber.send(id).is_ok());
    }

    /// Applies what an attempt changed; `segment` is where that is written.
    pub(super) fn progress(&mut self, progress: &Progress, segment: u64) {
        self.change(progress.message, &progress.changes, segment);
    }

    pub(super) fn carried(&mut self, carried: &Carried, segment: u64) {
        for id in &carried.finished {
            self.finish_again(*id, segment);
        }
        for progress in &carried.progress {
            let Some(slot) = self.slots.get(&progress.message) else {
                // It was finished while this was on its way; a later start may need this to see it.
                if self.graves.contains_key(&progress.message) {
                    self.uses.entry(segment).or_default().graves.insert(progress.message);
                }
                continue;
            };
            // What was written after the segment that is carried is newer, although it stands before this.
            let is_old = |place: &u32| slot.state_segment(*place).is_some_and(|newest| newest <= carried.from);
            let old = |change: &Change| Change {
                recipients: change.recipients.iter().copied().filter(is_old).collect(),
                state: change.state.clone(),
            };
            let changes: Vec<Change> = progress.changes.iter().map(old).collect();
            self.change(progress.message, &changes, segment);
        }
    }

    fn change(&mut self, id: MessageId, changes: &[Change], segment: u64) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let before = slot.other_segments();
        let states = slot.states_mut();
        for change in changes {
            let kept = Kept::new(&change.state, segment, &mut self.failures);
            for place in &change.recipients {
                // Places that it does not have are ignored.
                if let Some(state) = usize::try_from(*place).ok().and_then(|place| states.get_mut(place)) {
                    state.clone_from(&kept);
                }
            }
        }
        let is_finished = states.iter().all(Kept::is_settled);
        let after = slot.other_segments();
        self.frontier.note(id, slot.was_tried());
        for gone in before.difference(&after) {
            self.uses.entry(*gone).or_default().states.remove(&id);
        }
        for new in after.difference(&before) {
            self.uses.entry(*new).or_default().states.insert(id);
        }
        if is_finished {
            self.finish(id, segment, &after);
        }
    }

    /// A message that lay in `from` lies in `to` now.
    fn leave(&mut self, id: MessageId, from: u64, to: u64) {
        if from != to {
            self.moves.leaves(id, from);
            self.uses.entry(from).or_default().left.push(id);
        }
    }

    /// `told_in` are the segments which together say so, `segment` among them if it is not the message's own.
    fn finish(&mut self, id: MessageId, segment: u64, told_in: &BTreeSet<u64>) {
        let Some(slot) = self.slots.remove(&id) else { return };
        self.release(id, &slot);
        self.cache.remove(id);
        self.leases.forget(id);
        if self.in_files.remove(&id) {
            self.dropped_files.push(id);
        }
        let home = slot.packed.home();
        let mut told_in = told_in.clone();
        if self.moves.has_copies(id) {
            // Its own segment tells it too, for as long as another one holds an older copy.
            told_in.extend([home, segment]);
            self.moves.leaves(id, home);
        }
        if told_in.is_empty() {
            return;
        }
        for number in told_in {
            self.uses.entry(number).or_default().graves.insert(id);
        }
        self.graves.insert(id, segment);
        self.uses.entry(home).or_default().buried.push(id);
    }

    /// A message that is known to be finished says so in another segment now, which needs no others for it.
    fn finish_again(&mut self, id: MessageId, segment: u64) {
        if self.slots.contains_key(&id) {
            self.finish(id, segment, &BTreeSet::from([segment]));
        } else if let Some(told_in) = self.graves.get_mut(&id) {
            let before = std::mem::replace(told_in, segment);
            self.uses.entry(before).or_default().graves.remove(&id);
            self.uses.entry(segment).or_default().graves.insert(id);
        }
    }

    fn release(&mut self, id: MessageId, slot: &Slot) {
        self.uses.entry(slot.packed.home()).or_default().lets_go(slot.bytes());
        for number in slot.other_segments() {
            self.uses.entry(number).or_default().states.remove(&id);
        }
    }

    pub(super) fn contains(&self, id: MessageId) -> bool {
        self.slots.contains_key(&id)
    }

    /// The message itself if it is in memory, else where it lies.
    pub(super) fn find(&self, id: MessageId) -> Option<Found> {
        let slot = self.slots.get(&id)?;
        let lies = slot.packed.lies()?;
        let Some(cached) = self.cache.get(id) else { return Some(Found::OnDisk(lies)) };
        let (envelope, chunks) = (cached.envelope.clone(), cached.chunks.clone());
        Some(Found::InMemory(Stored { envelope, states: slot.states(), place: lies.place, cached: Some(chunks) }))
    }

    pub(super) fn states(&self, id: MessageId) -> Option<Vec<RecipientState>> {
        self.slots.get(&id).map(Slot::states)
    }

    pub(super) fn outline(&self, id: MessageId) -> Option<Outline> {
        self.slots.get(&id).and_then(|slot| slot.outline(id))
    }

    pub(super) fn outlines(&self, after: Option<MessageId>, limit: usize) -> Vec<Outline> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let slots = self.slots.range((from, Bound::Unbounded)).take(limit);
        slots.filter_map(|(id, slot)| slot.outline(*id)).collect()
    }

    pub(super) fn ids(&self, after: Option<MessageId>, limit: usize) -> Vec<MessageId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.slots.range((from, Bound::Unbounded)).take(limit).map(|(id, _)| *id).collect()
    }

    pub(super) fn lies(&self, id: MessageId) -> Option<Lies> {
        self.slots.get(&id).and_then(|slot| slot.packed.lies())
    }

    /// When the oldest message that was never tried came in, and the oldest that was. Looks at `limit` of them at most,
    /// and goes on there the next time.
    pub(super) fn oldest(&mut self, limit: usize) -> Oldest {
        let look = |from: MessageId, is_tried: bool| {
            let mut next = MessageId::from_u128(u128::MAX);
            for (count, (id, slot)) in self.slots.range(from..).enumerate() {
                if count == limit {
                    return (*id, None);
                }
                if slot.was_tried() == is_tried {
                    return (*id, slot.packed.received_at());
                }
                next = *id;
            }
            (MessageId::from_u128(next.as_u128().saturating_add(1)), None)
        };
        let (from_untried, untried) = look(self.frontier.untried, false);
        let (from_tried, tried) = look(self.frontier.tried, true);
        self.frontier = Frontier { untried: from_untried, tried: from_tried };
        Oldest { untried, tried }
    }

    pub(super) fn message_count(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn subscribe(&mut self, subscriber: UnboundedSender<MessageId>) {
        self.subscribers.push(subscriber);
    }

    pub(super) fn forget_cached(&mut self, id: MessageId) {
        self.cache.remove(id);
    }

    /// Gives up the messages that have been in memory longest while `is_tight` says so.
    pub(super) fn relieve(&mut self, is_tight: impl Fn() -> bool) {
        self.cache.relieve(is_tight);
    }

    /// The audit log is durable up to `mark`. An older one changes nothing. Gives the batches since the one on disk.
    pub(super) fn audit_is_durable(&mut self, mark: Mark) -> u64 {
        let ahead = mark.sequence.saturating_sub(self.mark_written.map_or(0, |(written, _)| written));
        if self.mark.as_ref().is_none_or(|known| known.sequence <= mark.sequence) {
            self.mark = Some(mark);
        }
        ahead
    }

    pub(super) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// The newest, if it is not durable itself.
    pub(super) fn mark_unwritten(&self) -> Option<Mark> {
        let is_new = |mark: &&Mark| self.mark_written.is_none_or(|(written, _)| written < mark.sequence);
        self.mark.as_ref().filter(is_new).cloned()
    }

    /// A mark is durable itself.
    pub(super) fn mark_is_written(&mut self, sequence: u64, segment: u64) {
        if self.mark_written.is_none_or(|(known, _)| known <= sequence) {
            self.mark_written = Some((sequence, segment));
        }
    }

    pub(super) fn holds(&self) -> Option<&Holds> {
        self.holds.as_ref().map(|(holds, _)| holds)
    }

    /// A list of destinations that are held is durable. An older one changes nothing.
    pub(super) fn holds_are_written(&mut self, holds: Holds, segment: u64) {
        if self.holds().is_none_or(|known| known.version <= holds.version) {
            self.holds = Some((holds, segment));
        }
    }

    /// The list to be written elsewhere before `segment` goes. An empty one too: an older one may stand elsewhere.
    pub(super) fn holds_of(&self, segment: u64) -> Option<Holds> {
        self.holds.as_ref().filter(|(_, written)| *written == segment).map(|(holds, _)| holds.clone())
    }

    /// A batch in `segment` has records for the audit log.
    pub(super) fn needs_audit(&mut self, segment: u64, sequence: u64) {
        let newest = &mut self.uses.entry(segment).or_default().audit_sequence;
        *newest = sequence.max(*newest);
    }

    /// Something in `segment` is not understood.
    pub(super) fn keep_segment(&mut self, segment: u64) {
        self.uses.entry(segment).or_default().keep = true;
    }

    pub(super) fn take_dropped_files(&mut self) -> Vec<MessageId> {
        std::mem::take(&mut self.dropped_files)
    }

    /// The messages whose content has a file of its own.
    pub(super) fn file_owners(&self) -> BTreeSet<MessageId> {
        self.in_files.clone()
    }

    /// The segments that hold no living message and no record that the log lacks. The last one is being written.
    pub(super) fn removable(&self, segments: &[SegmentInfo]) -> Vec<u64> {
        let Some((_, closed)) = segments.split_last() else { return Vec::new() };
        let audited = self.mark.as_ref().map_or(0, |mark| mark.sequence);
        let unused = Use::default();
        let is_free = |info: &&SegmentInfo| {
            let segment_use = self.uses.get(&info.number).unwrap_or(&unused);
            let is_needed = segment_use.alive > 0 || segment_use.audit_sequence > audited;
            let is_evidence = info.damaged || segment_use.keep;
            !is_needed && !is_evidence && segment_use.is_worth_removing(info.bytes)
        };
        closed.iter().filter(is_free).map(|info| info.number).collect()
    }

    /// What other segments need of `segment`: to be written elsewhere before it goes.
    pub(super) fn needed_of(&self, segment: u64) -> Carried {
        let Some(segment_use) = self.uses.get(&segment) else { return Carried::default() };
        let finished = segment_use.graves.iter().filter(|id| self.graves.contains_key(id)).copied().collect();
        let states_of = |id: &MessageId| {
            let states = self.slots.get(id)?.states.as_deref()?;
            let here = (0..).zip(states).filter(|(_, state)| state.segment == segment);
            let here: Vec<(u32, RecipientState)> = here.map(|(place, state)| (place, state.state())).collect();
            Some(summary(*id, here.iter().map(|(place, state)| (*place, state))))
        };
        Carried { from: segment, finished, progress: segment_use.states.iter().filter_map(states_of).collect() }
    }

    /// The mark to be written elsewhere before `segment` goes, if it holds the newest that is written.
    pub(super) fn mark_of(&self, segment: u64) -> Option<Mark> {
        let is_here = self.mark_written.is_some_and(|(_, written)| written == segment);
        self.mark.clone().filter(|_| is_here)
    }

    pub(super) fn forget_segment(&mut self, segment: u64) {
        let Some(gone) = self.uses.remove(&segment) else { return };
        for id in gone.buried.into_iter().chain(gone.left) {
            if !self.moves.forget(id, segment) {
                continue;
            }
            let Some(told_in) = self.graves.remove(&id) else { continue };
            if let Some(segment_use) = self.uses.get_mut(&told_in) {
                segment_use.graves.remove(&id);
            }
        }
    }
}

impl Slot {
    fn states_mut(&mut self) -> &mut [Kept] {
        let fresh = || vec![Kept::fresh(self.packed.home()); self.packed.recipient_count()].into();
        self.states.get_or_insert_with(fresh)
    }

    fn states(&self) -> Vec<RecipientState> {
        match &self.states {
            Some(states) => states.iter().map(Kept::state).collect(),
            None => vec![RecipientState::default(); self.packed.recipient_count()],
        }
    }

    fn outline(&self, id: MessageId) -> Option<Outline> {
        let outline = self.packed.outline(id)?;
        Some(Outline { states: self.states(), ..outline })
    }

    /// Whether one of its recipients waits after an attempt.
    fn was_tried(&self) -> bool {
        self.states.iter().flatten().any(Kept::was_tried)
    }

    fn state_segment(&self, place: u32) -> Option<u64> {
        let place = usize::try_from(place).ok()?;
        match &self.states {
            Some(states) => states.get(place).map(|state| state.segment),
            None => (place < self.packed.recipient_count()).then(|| self.packed.home()),
        }
    }

    /// The segments besides its own that hold the newest state of a recipient.
    fn other_segments(&self) -> BTreeSet<u64> {
        let home = self.packed.home();
        self.states.iter().flatten().map(|state| state.segment).filter(|number| *number != home).collect()
    }
}
