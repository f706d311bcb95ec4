//! What the journal holds, in memory: each message with its state and place, and what each segment is still needed for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::journal::{Location, SegmentInfo};
use crate::model::envelope::Envelope;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::budget::Reservation;
use super::entry::{BodyFile, Carried, Mark, MessageMeta};
use super::state::{Change, Progress, RecipientState, apply, is_finished, summary};

/// Where content lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Journal(Location),
    File(BodyFile),
}

/// When the oldest messages of the queue came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oldest {
    pub untried: Option<Timestamp>,
    pub tried: Option<Timestamp>,
}

/// A message as it is handed out.
#[derive(Clone, Debug)]
pub struct Stored {
    pub envelope: Arc<Envelope>,
    pub states: Vec<RecipientState>,
    pub(super) place: Place,
    pub(super) cached: Option<Vec<Bytes>>,
}

#[derive(Debug)]
struct Slot {
    envelope: Arc<Envelope>,
    states: Vec<RecipientState>,
    place: Place,
    /// The segment that holds the message.
    home: u64,
    /// For each recipient the segment that holds its newest state.
    state_segments: Vec<u64>,
    cached: Option<Cached>,
}

/// Content kept for the first delivery.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) chunks: Vec<Bytes>,
    pub(super) _reservation: Reservation,
}

/// What a segment is needed for.
#[derive(Debug, Default)]
struct Use {
    /// Unfinished messages that live in it.
    alive: u64,
    /// Unfinished messages of other segments, some of whose recipients have their newest state in it.
    states: BTreeSet<MessageId>,
    /// Finished messages of other segments, whose end it tells, alone or together with others.
    graves: BTreeSet<MessageId>,
    /// Finished messages that live in it, whose end other segments tell.
    buried: Vec<MessageId>,
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
    cached: VecDeque<MessageId>,
    /// Files of messages that are finished.
    dropped_files: Vec<MessageId>,
    subscribers: Vec<UnboundedSender<MessageId>>,
    /// The newest word of the audit log, written or about to be.
    mark: Option<Mark>,
    /// The sequence and the segment of the newest mark that is written.
    mark_written: Option<(u64, u64)>,
}

/// What is new about a message when it is added.
pub(super) struct Added {
    pub(super) meta: MessageMeta,
    pub(super) location: Location,
    pub(super) cached: Option<Cached>,
}

impl Index {
    pub(super) fn add(&mut self, added: Added) {
        let Added { meta: MessageMeta { envelope, file, states }, location, cached } = added;
        let id = envelope.id;
        let states =
            if states.is_empty() { vec![RecipientState::default(); envelope.recipients.len()] } else { states };
        let place = file.map_or(Place::Journal(location), Place::File);
        let home = location.segment;
        if cached.is_some() {
            self.cached.push_back(id);
        }
        let state_segments = vec![home; states.len()];
        let slot = Slot { envelope, states, place, home, state_segments, cached };
        if let Some(old) = self.slots.insert(id, slot) {
            self.release(&old);
        }
        self.uses.entry(home).or_default().alive += 1;
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
        apply(&mut slot.states, changes);
        for place in changes.iter().flat_map(|change| &change.recipients) {
            let newest = usize::try_from(*place).ok().and_then(|place| slot.state_segments.get_mut(place));
            newest.into_iter().for_each(|newest| *newest = segment);
        }
        let after = slot.other_segments();
        for gone in before.difference(&after) {
            self.uses.entry(*gone).or_default().states.remove(&id);
        }
        for new in after.difference(&before) {
            self.uses.entry(*new).or_default().states.insert(id);
        }
        if is_finished(&slot.states) {
            self.finish(id, segment, &after);
        }
    }

    /// `told_in` are the segments which together say so, `segment` among them if it is not the message's own.
    fn finish(&mut self, id: MessageId, segment: u64, told_in: &BTreeSet<u64>) {
        let Some(slot) = self.slots.remove(&id) else { return };
        self.release(&slot);
        if matches!(slot.place, Place::File(_)) {
            self.dropped_files.push(id);
        }
        if told_in.is_empty() {
            return;
        }
        for number in told_in {
            self.uses.entry(*number).or_default().graves.insert(id);
        }
        self.graves.insert(id, segment);
        self.uses.entry(slot.home).or_default().buried.push(id);
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

    fn release(&mut self, slot: &Slot) {
        let alive = &mut self.uses.entry(slot.home).or_default().alive;
        *alive = alive.saturating_sub(1);
        for number in slot.other_segments() {
            self.uses.entry(number).or_default().states.remove(&slot.envelope.id);
        }
    }

    pub(super) fn contains(&self, id: MessageId) -> bool {
        self.slots.contains_key(&id)
    }

    pub(super) fn load(&self, id: MessageId) -> Option<Stored> {
        self.slots.get(&id).map(stored)
    }

    pub(super) fn list(&self, after: Option<MessageId>, limit: usize) -> Vec<Stored> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.slots.range((from, Unbounded)).take(limit).map(|(_, slot)| stored(slot)).collect()
    }

    /// When the oldest message that was never tried came in, and the oldest that was. Looks at `limit` of them at most.
    pub(super) fn oldest(&self, limit: usize) -> Oldest {
        let mut oldest = Oldest::default();
        for slot in self.slots.values().take(limit) {
            let tried = slot.states.iter().filter_map(RecipientState::pending).any(|pending| pending.attempts > 0);
            let of_kind = if tried { &mut oldest.tried } else { &mut oldest.untried };
            of_kind.get_or_insert(slot.envelope.received_at);
            if oldest.tried.is_some() && oldest.untried.is_some() {
                break;
            }
        }
        oldest
    }

    pub(super) fn message_count(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn subscribe(&mut self, subscriber: UnboundedSender<MessageId>) {
        self.subscribers.push(subscriber);
    }

    pub(super) fn forget_cached(&mut self, id: MessageId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.cached = None;
        }
    }

    /// Gives up the oldest cached content while `is_tight` says so, and drops dead entries of the list.
    pub(super) fn relieve(&mut self, is_tight: impl Fn() -> bool) {
        let slots = &self.slots;
        self.cached.retain(|id| slots.get(id).is_some_and(|slot| slot.cached.is_some()));
        while is_tight() {
            let Some(id) = self.cached.pop_front() else { return };
            self.forget_cached(id);
        }
    }

    /// The audit log is durable up to `mark`. An older one changes nothing.
    pub(super) fn audit_is_durable(&mut self, mark: Mark) {
        if self.mark.as_ref().is_none_or(|known| known.sequence <= mark.sequence) {
            self.mark = Some(mark);
        }
    }

    pub(super) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// A mark is durable itself.
    pub(super) fn mark_is_written(&mut self, sequence: u64, segment: u64) {
        if self.mark_written.is_none_or(|(known, _)| known <= sequence) {
            self.mark_written = Some((sequence, segment));
        }
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
        let in_files = self.slots.iter().filter(|(_, slot)| matches!(slot.place, Place::File(_)));
        in_files.map(|(id, _)| *id).collect()
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
            let slot = self.slots.get(id)?;
            let here = |place: &(u32, &RecipientState)| slot.state_segment(place.0) == Some(segment);
            Some(summary(*id, (0..).zip(&slot.states).filter(here)))
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
        for id in gone.buried {
            let Some(told_in) = self.graves.remove(&id) else { continue };
            if let Some(segment_use) = self.uses.get_mut(&told_in) {
                segment_use.graves.remove(&id);
            }
        }
    }
}

impl Slot {
    fn state_segment(&self, place: u32) -> Option<u64> {
        self.state_segments.get(usize::try_from(place).ok()?).copied()
    }

    /// The segments besides its own that hold the newest state of a recipient.
    fn other_segments(&self) -> BTreeSet<u64> {
        self.state_segments.iter().copied().filter(|number| *number != self.home).collect()
    }
}

fn stored(slot: &Slot) -> Stored {
    Stored {
        envelope: slot.envelope.clone(),
        states: slot.states.clone(),
        place: slot.place,
        cached: slot.cached.as_ref().map(|cached| cached.chunks.clone()),
    }
}
