//! Messages that are written anew into a younger segment, so that the old one can go.
//!
//! A copy replaces the message by its id, with the states that it carries. So it may be written only if no change of a
//! state is under way that would come before it in the journal: [`Index::begin_moving`] begins to watch the messages,
//! what was under way is waited for, and [`Index::may_move`] says whether anything has come up since. And as long as a
//! segment with an older copy exists, a message that is finished must say so in a younger one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use crate::journal::SegmentInfo;
use crate::model::id::MessageId;

use super::super::packed::{Lies, Place};
use super::{Index, Slot, Use};

/// The head of an entry and its share of a batch.
const ENTRY_BYTES: u64 = 32;

/// What is known of messages that were moved or are to be.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Messages with changes on their way into the journal, and how many.
    on_way: HashMap<MessageId, u32>,
    /// Messages that are watched, and whether a change has come up since.
    watched: HashMap<MessageId, bool>,
    /// Segments that still hold an older copy of a message; of one that is finished, all that hold it.
    copies: BTreeMap<MessageId, BTreeSet<u64>>,
}

/// Part of a walk over the queue.
#[derive(Debug, Default)]
pub(in crate::spool) struct Walked {
    pub(in crate::spool) ids: Vec<MessageId>,
    /// Where it goes on; `None` at the end of the queue.
    pub(in crate::spool) next: Option<MessageId>,
}

impl Moves {
    /// The message lies in a younger segment than `segment` now.
    pub(super) fn leaves(&mut self, id: MessageId, segment: u64) {
        self.copies.entry(id).or_default().insert(segment);
    }

    pub(super) fn has_copies(&self, id: MessageId) -> bool {
        self.copies.contains_key(&id)
    }

    /// Whether no segment holds the message any more beside its own, now that `segment` is gone.
    pub(super) fn forget(&mut self, id: MessageId, segment: u64) -> bool {
        let Some(left) = self.copies.get_mut(&id) else { return true };
        left.remove(&segment);
        let is_last = left.is_empty();
        if is_last {
            self.copies.remove(&id);
        }
        is_last
    }
}

impl Index {
    /// A change of this message's states is about to be given to the journal.
    pub(in crate::spool) fn change_begins(&mut self, id: MessageId) {
        *self.moves.on_way.entry(id).or_default() += 1;
        self.moves.watched.entry(id).and_modify(|touched| *touched = true);
    }

    /// It is in the journal's hands, or never will be.
    pub(in crate::spool) fn change_ends(&mut self, id: MessageId) {
        if let Some(count) = self.moves.on_way.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.moves.on_way.remove(&id);
            }
        }
        self.moves.watched.entry(id).and_modify(|touched| *touched = true);
    }

    /// Watches these messages, and no others.
    pub(in crate::spool) fn begin_moving(&mut self, ids: &[MessageId]) {
        self.moves.watched = ids.iter().map(|id| (*id, false)).collect();
    }

    pub(in crate::spool) fn end_moving(&mut self) {
        self.moves.watched = HashMap::new();
    }

    /// Whether the message lies where it lay, and its states are what all of the journal says that was begun before the
    /// last barrier. The caller gives the copy to the journal before it lets go of the index.
    pub(in crate::spool) fn may_move(&self, id: MessageId, lies: &Lies) -> bool {
        let is_quiet = self.moves.watched.get(&id) == Some(&false) && !self.moves.on_way.contains_key(&id);
        is_quiet && self.lies(id).as_ref() == Some(lies)
    }

    /// The closed segments of whose bytes less than `percent` live, and that could go without those.
    pub(in crate::spool) fn sparse(&self, segments: &[SegmentInfo], percent: u64) -> Vec<u64> {
        let Some((_, closed)) = segments.split_last() else { return Vec::new() };
        let audited = self.mark.as_ref().map_or(0, |mark| mark.sequence);
        let is_sparse = |info: &&SegmentInfo| {
            let Some(of) = self.uses.get(&info.number) else { return false };
            let is_stuck = info.damaged || of.keep || of.audit_sequence > audited || !of.is_worth_removing(info.bytes);
            !is_stuck && of.alive > 0 && of.alive_bytes.saturating_mul(100) < info.bytes.saturating_mul(percent)
        };
        closed.iter().filter(is_sparse).map(|info| info.number).collect()
    }

    /// The bytes that live in these segments.
    pub(in crate::spool) fn alive_bytes(&self, segments: &[u64]) -> u64 {
        segments.iter().filter_map(|number| self.uses.get(number)).map(|of| of.alive_bytes).sum()
    }

    /// The messages that live in these segments, among the next `looks_max` of the queue from `from` on.
    pub(in crate::spool) fn living_in(&self, segments: &BTreeSet<u64>, from: MessageId, looks_max: usize) -> Walked {
        let mut walked = Walked::default();
        for (count, (id, slot)) in self.slots.range((Bound::Included(from), Bound::Unbounded)).enumerate() {
            if count == looks_max {
                walked.next = Some(*id);
                break;
            }
            if segments.contains(&slot.packed.home()) {
                walked.ids.push(*id);
            }
        }
        walked
    }

    /// A message that was finished, whose end a segment must tell as long as another one holds it.
    pub(in crate::spool) fn is_buried(&self, id: MessageId) -> bool {
        self.graves.contains_key(&id)
    }
}

impl Slot {
    /// What it takes of its segment.
    pub(super) fn bytes(&self) -> u64 {
        let lies = self.packed.lies();
        let content = |lies: &Lies| match lies.place {
            Place::Journal(location) => location.length,
            Place::File(_) => 0,
        };
        lies.map_or(0, |lies| ENTRY_BYTES.saturating_add(lies.meta.length).saturating_add(content(&lies)))
    }
}

impl Use {
    pub(super) fn takes_in(&mut self, bytes: u64) {
        self.alive += 1;
        self.alive_bytes = self.alive_bytes.saturating_add(bytes);
    }

    pub(super) fn lets_go(&mut self, bytes: u64) {
        self.alive = self.alive.saturating_sub(1);
        self.alive_bytes = self.alive_bytes.saturating_sub(bytes);
    }
}
