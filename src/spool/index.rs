//! What the journal holds, in memory: each message with its state and place, and what each segment is still needed for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::journal::{Location, SegmentInfo};
use crate::model::envelope::Envelope;
use crate::model::id::MessageId;

use super::budget::Reservation;
use super::entry::{BodyFile, Carried, MessageMeta};
use super::state::{Progress, RecipientState, apply, is_finished, summary};

/// Where content lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Journal(Location),
    File(BodyFile),
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
    /// The segment that holds its newest state.
    state_segment: u64,
    cached: Option<Cached>,
}

/// Content kept for the first delivery.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) chunks: Vec<Bytes>,
    pub(super) _reservation: Option<Reservation>,
}

/// What a segment is needed for.
#[derive(Debug, Default)]
struct Use {
    /// Unfinished messages that live in it.
    alive: u64,
    /// Unfinished messages of other segments whose newest state is in it.
    states: u64,
    /// Finished messages that live in it, with the segment that says so, if that is another one.
    finished: Vec<(MessageId, u64)>,
}

/// The index. Its methods change it in the order of the journal.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: BTreeMap<MessageId, Slot>,
    uses: BTreeMap<u64, Use>,
    cached: VecDeque<MessageId>,
    /// Files of messages that are finished.
    dropped_files: Vec<MessageId>,
    subscribers: Vec<UnboundedSender<MessageId>>,
    audit_sequence: u64,
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
        if let Some(old) = self.slots.insert(id, Slot { envelope, states, place, home, state_segment: home, cached }) {
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
        let Some(slot) = self.slots.get_mut(&progress.message) else { return };
        apply(&mut slot.states, &progress.changes);
        if is_finished(&slot.states) {
            self.finish(progress.message, segment);
            return;
        }
        let before = std::mem::replace(&mut slot.state_segment, segment);
        let home = slot.home;
        if before != home {
            let states = &mut self.uses.entry(before).or_default().states;
            *states = states.saturating_sub(1);
        }
        if segment != home {
            self.uses.entry(segment).or_default().states += 1;
        }
    }

    pub(super) fn carried(&mut self, carried: &Carried, segment: u64) {
        for id in &carried.finished {
            self.finish_again(*id, segment);
        }
        for progress in &carried.progress {
            self.progress(progress, segment);
        }
    }

    fn finish(&mut self, id: MessageId, segment: u64) {
        let Some(slot) = self.slots.remove(&id) else { return };
        self.release(&slot);
        if matches!(slot.place, Place::File(_)) {
            self.dropped_files.push(id);
        }
        if slot.home != segment
            && let Some(home) = self.uses.get_mut(&slot.home)
        {
            home.finished.push((id, segment));
        }
    }

    /// A message that is known to be finished says so in another segment now.
    fn finish_again(&mut self, id: MessageId, segment: u64) {
        if self.slots.contains_key(&id) {
            self.finish(id, segment);
            return;
        }
        let places = self.uses.values_mut().flat_map(|segment_use| &mut segment_use.finished);
        places.filter(|(finished, _)| *finished == id).for_each(|(_, place)| *place = segment);
    }

    fn release(&mut self, slot: &Slot) {
        let alive = &mut self.uses.entry(slot.home).or_default().alive;
        *alive = alive.saturating_sub(1);
        if slot.state_segment != slot.home {
            let states = &mut self.uses.entry(slot.state_segment).or_default().states;
            *states = states.saturating_sub(1);
        }
    }

    pub(super) fn load(&self, id: MessageId) -> Option<Stored> {
        self.slots.get(&id).map(stored)
    }

    pub(super) fn list(&self, after: Option<MessageId>, limit: usize) -> Vec<Stored> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.slots.range((from, Unbounded)).take(limit).map(|(_, slot)| stored(slot)).collect()
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

    pub(super) fn audit_is_durable(&mut self, sequence: u64) {
        self.audit_sequence = self.audit_sequence.max(sequence);
    }

    pub(super) fn take_dropped_files(&mut self) -> Vec<MessageId> {
        std::mem::take(&mut self.dropped_files)
    }

    pub(super) fn has_file(&self, id: MessageId) -> bool {
        self.slots.get(&id).is_some_and(|slot| matches!(slot.place, Place::File(_)))
    }

    /// The segments that hold no living message and no record that the log lacks. The last one is being written.
    pub(super) fn removable(&self, segments: &[SegmentInfo]) -> Vec<u64> {
        let Some((_, closed)) = segments.split_last() else { return Vec::new() };
        let is_free = |info: &&SegmentInfo| {
            let alive = self.uses.get(&info.number).map_or(0, |segment_use| segment_use.alive);
            alive == 0 && !info.damaged && (info.is_empty() || info.last_sequence <= self.audit_sequence)
        };
        closed.iter().filter(is_free).map(|info| info.number).collect()
    }

    /// What other segments need of `segment`: to be written elsewhere before it goes.
    pub(super) fn needed_of(&self, segment: u64) -> Carried {
        let others = self.uses.iter().filter(|(number, _)| **number != segment);
        let finished = others
            .flat_map(|(_, segment_use)| &segment_use.finished)
            .filter(|(_, place)| *place == segment)
            .map(|(id, _)| *id)
            .collect();
        let refers = self.uses.get(&segment).is_some_and(|segment_use| segment_use.states > 0);
        let newest_here = |(_, slot): &(&MessageId, &Slot)| slot.state_segment == segment && slot.home != segment;
        let progress = match refers {
            true => self.slots.iter().filter(newest_here).map(|(id, slot)| summary(*id, &slot.states)).collect(),
            false => Vec::new(),
        };
        Carried { finished, progress }
    }

    pub(super) fn forget_segment(&mut self, segment: u64) {
        self.uses.remove(&segment);
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
