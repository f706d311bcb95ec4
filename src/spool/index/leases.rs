//! Leases on messages, in memory: those of a process that has the folder for itself. They end with it.
//!
//! What is reported under a lease becomes known to the index only when it is durable. Until then nobody else is given
//! the message: while a report is under way not at all, and after one that waits for the next batch only behind a
//! barrier, a commit that began later. Each commit is one.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::time::{Instant, Timestamp};

use super::super::Fault;
use super::super::kept::Kept;
use super::super::state::{Change, RecipientState};
use super::super::store::due::due;
use super::super::store::{Claim, Claimed, NodeId, Recorded, Refused, Token};
use super::{Index, Slot};

/// Messages that wait for a barrier. With more of them the next report is one.
const LAGGING_MAX: usize = 10_000;
/// After this a report that is under way is worth another look.
const UNDER_WAY_TIME: Duration = Duration::from_millis(100);

/// All leases. As many as messages at most: what is finished has none.
#[derive(Debug, Default)]
pub(in crate::spool) struct Leases {
    /// Higher with each start, so that no token comes twice.
    epoch: u64,
    given: u64,
    entries: BTreeMap<MessageId, Entry>,
    /// Barriers so far, and the messages that wait for the next one, with the number that it has to be above.
    barriers: u64,
    lagging: VecDeque<(u64, MessageId)>,
}

/// What is known of one message.
#[derive(Debug, Default)]
struct Entry {
    lease: Option<Lease>,
    /// Reports on their way.
    under_way: BTreeSet<u16>,
    /// The barriers that had begun when something was last reported `Soon`, if the index may not know of that.
    lag: Option<u64>,
    /// Recipients that reports have settled, or would, which the index may not know of.
    settled: BTreeSet<u32>,
    settling: BTreeSet<u32>,
    not_before: Option<Timestamp>,
}

#[derive(Debug)]
struct Lease {
    token: Token,
    node: NodeId,
    until: Instant,
    /// Reports that are written.
    numbers: BTreeSet<u16>,
}

/// Whether a message can be given to somebody.
#[derive(Debug)]
pub(in crate::spool) enum Standing {
    Free,
    /// Behind a barrier.
    Lags,
    Taken {
        by: Option<NodeId>,
        left: Duration,
    },
}

/// A report that is under way.
#[derive(Debug)]
pub(in crate::spool) struct Ticket {
    message: MessageId,
    token: Token,
    number: u16,
    settles: Vec<u32>,
    /// A commit for this report is this barrier.
    barrier: u64,
    /// Too much waits for a barrier: this report has to be one.
    pub(in crate::spool) must_be_now: bool,
}

/// How a report ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spool) enum Ended {
    Durable,
    Appended,
    Refused,
    InDoubt,
}

/// What is looked for.
#[derive(Debug)]
pub(in crate::spool) struct Look<'a> {
    pub(in crate::spool) by: Timestamp,
    pub(in crate::spool) now: Instant,
    pub(in crate::spool) except: &'a [Domain],
    pub(in crate::spool) limit: usize,
}

/// What was found so far: the longest due.
#[derive(Debug, Default)]
pub(in crate::spool) struct Due {
    found: BinaryHeap<(Timestamp, MessageId)>,
    pub(in crate::spool) again_in: Option<Duration>,
    /// Some that are free are behind a barrier: when they are due is not known.
    pub(in crate::spool) is_behind: bool,
}

impl Due {
    pub(in crate::spool) fn ids(self) -> Vec<MessageId> {
        self.found.into_sorted_vec().into_iter().map(|(_, id)| id).collect()
    }

    fn add(&mut self, due: Timestamp, id: MessageId, limit: usize) {
        self.found.push((due, id));
        if self.found.len() > limit {
            self.found.pop();
            self.again_in = Some(Duration::ZERO);
        }
    }
}

impl Leases {
    /// Begins with nothing leased. `epoch` is higher than that of every start before.
    pub(in crate::spool) fn begin(&mut self, epoch: u64) {
        *self = Self { epoch, ..Self::default() };
    }

    /// The message is finished.
    pub(super) fn forget(&mut self, id: MessageId) {
        if !self.entries.is_empty() {
            self.entries.remove(&id);
        }
    }

    fn standing(&self, id: MessageId, now: Instant) -> Standing {
        let Some(entry) = self.entries.get(&id) else { return Standing::Free };
        let lease = entry.lease.as_ref();
        let left = lease.map_or(Duration::ZERO, |lease| lease.until.saturating_since(now));
        let by = lease.map(|lease| lease.node.clone());
        match (entry.under_way.is_empty(), entry.lag) {
            (false, _) => Standing::Taken { by, left: left.max(UNDER_WAY_TIME) },
            (true, _) if left > Duration::ZERO => Standing::Taken { by, left },
            (true, Some(_)) => Standing::Lags,
            (true, None) => Standing::Free,
        }
    }

    /// Whether there are reports on it that the index may not know of.
    fn lags(&self, id: MessageId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.lag.is_some() || !entry.under_way.is_empty())
    }

    fn give(&mut self, message: MessageId, node: &NodeId, until: Instant) -> Claim {
        self.given += 1;
        let token = Token(u128::from(self.epoch) << 64 | u128::from(self.given));
        let lease = Lease { token, node: node.clone(), until, numbers: BTreeSet::new() };
        self.entries.insert(message, Entry { lease: Some(lease), ..Entry::default() });
        Claim { message, token, until }
    }

    /// The lease of this token, if it is the newest.
    fn newest(&mut self, message: MessageId, token: Token) -> Option<&mut Lease> {
        self.entries.get_mut(&message)?.lease.as_mut().filter(|lease| lease.token == token)
    }

    fn note_lag(&mut self, message: MessageId) {
        if let Some(entry) = self.entries.get_mut(&message) {
            entry.lag = Some(self.barriers);
            self.lagging.push_back((self.barriers, message));
        }
    }

    fn passed(&mut self, barrier: u64) {
        while let Some((_, message)) = self.lagging.pop_front_if(|(before, _)| *before < barrier) {
            if let Some(entry) = self.entries.get_mut(&message)
                && entry.lag.is_some_and(|before| before < barrier)
            {
                entry.lag = None;
                self.tidy(message);
            }
        }
    }

    fn tidy(&mut self, message: MessageId) {
        let is_idle = |entry: &Entry| entry.lease.is_none() && entry.under_way.is_empty() && entry.lag.is_none();
        if self.entries.get(&message).is_some_and(|entry| is_idle(entry) && entry.not_before.is_none()) {
            self.entries.remove(&message);
        }
    }
}

impl Entry {
    fn is_settled(&self, slot: &Slot, place: u32) -> bool {
        self.settled.contains(&place) || slot.is_settled(place) != Some(false)
    }

    fn is_finished(&self, slot: &Slot) -> bool {
        let count = u32::try_from(slot.packed.recipient_count()).unwrap_or(u32::MAX);
        (0..count).all(|place| self.is_settled(slot, place))
    }
}

impl Index {
    /// `None`: it is not here.
    pub(in crate::spool) fn standing(&self, id: MessageId, now: Instant) -> Option<Standing> {
        self.slots.contains_key(&id).then(|| self.leases.standing(id, now))
    }

    /// Gives a message to a node. It has to be free.
    pub(in crate::spool) fn give(&mut self, id: MessageId, node: &NodeId, until: Instant) -> Option<Claimed> {
        let outline = self.outline(id)?;
        Some(Claimed { claim: self.leases.give(id, node, until), outline })
    }

    /// When it is due as far as is known now.
    pub(in crate::spool) fn due(&self, id: MessageId, except: &[Domain]) -> Option<Timestamp> {
        let due = due(&self.outline(id)?, except)?;
        Some(due.max(self.not_before(id).unwrap_or(due)))
    }

    fn not_before(&self, id: MessageId) -> Option<Timestamp> {
        self.leases.entries.get(&id).and_then(|entry| entry.not_before)
    }

    /// Looks for what is due among the next `looks_max` messages behind `after`. Gives where that ended, `None` at the
    /// end of the queue.
    pub(in crate::spool) fn find_due(
        &self,
        look: &Look<'_>,
        after: Option<MessageId>,
        looks_max: usize,
        into: &mut Due,
    ) -> Option<MessageId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        for (id, slot) in self.slots.range((from, Bound::Unbounded)).take(looks_max) {
            last = Some(*id);
            let Some(mut due) = slot.due() else { continue };
            due = due.max(self.not_before(*id).unwrap_or(due));
            if due <= look.by && !look.except.is_empty() {
                let Some(other) = self.due(*id, look.except) else { continue };
                due = other;
            }
            let rest = due.saturating_since(look.by);
            let wait = match self.leases.standing(*id, look.now) {
                Standing::Free => rest,
                // What was reported may have made it due earlier.
                Standing::Taken { left, .. } if self.leases.lags(*id) => left,
                Standing::Taken { left, .. } => left.max(rest),
                Standing::Lags => {
                    (into.is_behind, into.again_in) = (true, Some(Duration::ZERO));
                    continue;
                }
            };
            match wait.is_zero() {
                true => into.add(due, *id, look.limit),
                false => into.again_in = into.again_in.into_iter().chain([wait]).min(),
            }
        }
        last
    }

    pub(in crate::spool) fn renew(&mut self, claim: &Claim, until: Instant) -> bool {
        let lease = self.leases.newest(claim.message, claim.token);
        lease.map(|lease| lease.until = until).is_some()
    }

    pub(in crate::spool) fn give_back(&mut self, claim: &Claim, not_before: Option<Timestamp>) {
        if self.leases.newest(claim.message, claim.token).is_none() {
            return;
        }
        if let Some(entry) = self.leases.entries.get_mut(&claim.message) {
            (entry.lease, entry.not_before) = (None, not_before);
        }
        self.leases.tidy(claim.message);
        self.announce(claim.message);
    }

    /// A report is about to be given to the journal; `None` if it was before.
    pub(in crate::spool) fn report_begins(
        &mut self,
        (message, token): (MessageId, Token),
        number: u16,
        changes: &[Change],
    ) -> Result<Option<Ticket>, Refused> {
        let slot = self.slots.get(&message).ok_or(Refused::Gone)?;
        let entry = self.leases.entries.get_mut(&message).ok_or(Refused::Fenced)?;
        if entry.is_finished(slot) {
            return Err(Refused::Gone);
        }
        let lease = entry.lease.as_ref().filter(|lease| lease.token == token).ok_or(Refused::Fenced)?;
        if lease.numbers.contains(&number) {
            return Ok(None);
        }
        if entry.under_way.contains(&number) {
            return Err(Refused::Fault(Fault::Busy));
        }
        let (mut named, mut settles) = (BTreeSet::new(), Vec::new());
        for (place, state) in changes.iter().flat_map(|change| change.recipients.iter().map(|at| (*at, &change.state)))
        {
            if !named.insert(place) || entry.settling.contains(&place) || entry.is_settled(slot, place) {
                return Err(Refused::Unfit);
            }
            if matches!(state, RecipientState::Settled(_)) {
                settles.push(place);
            }
        }
        entry.under_way.insert(number);
        entry.settling.extend(&settles);
        let must_be_now = self.leases.lagging.len() >= LAGGING_MAX;
        Ok(Some(Ticket { message, token, number, settles, barrier: self.barrier_begins(), must_be_now }))
    }

    pub(in crate::spool) fn report_ends(&mut self, ticket: Ticket, how: Ended) -> Recorded {
        let Ticket { message, token, number, settles, barrier, .. } = ticket;
        if how == Ended::Durable {
            self.leases.passed(barrier);
        }
        let (Some(slot), Some(entry)) = (self.slots.get(&message), self.leases.entries.get_mut(&message)) else {
            return Recorded::Finished;
        };
        entry.under_way.remove(&number);
        entry.settling.retain(|place| !settles.contains(place));
        let lease = entry.lease.as_mut().filter(|lease| lease.token == token);
        match how {
            Ended::Durable | Ended::Appended => {
                entry.settled.extend(settles);
                lease.map(|lease| lease.numbers.insert(number));
            }
            // Whoever goes on with the message has to begin with what the journal says.
            Ended::InDoubt => _ = lease.is_some().then(|| entry.lease = None),
            Ended::Refused => {}
        }
        let is_finished = entry.is_finished(slot);
        if is_finished {
            entry.lease = None;
        }
        if matches!(how, Ended::Appended | Ended::InDoubt) {
            self.leases.note_lag(message);
        }
        self.leases.tidy(message);
        if is_finished { Recorded::Finished } else { Recorded::Open }
    }

    /// A commit that is begun after this is the barrier of this number.
    pub(in crate::spool) fn barrier_begins(&mut self) -> u64 {
        self.leases.barriers += 1;
        self.leases.barriers
    }

    pub(in crate::spool) fn barrier_passed(&mut self, barrier: u64) {
        self.leases.passed(barrier);
    }
}

impl Slot {
    /// `None`: there is no such recipient.
    fn is_settled(&self, place: u32) -> Option<bool> {
        let place = usize::try_from(place).ok().filter(|place| *place < self.packed.recipient_count())?;
        Some(self.states.as_ref().and_then(|states| states.get(place)).is_some_and(Kept::is_settled))
    }

    /// When the first of its recipients is due.
    fn due(&self) -> Option<Timestamp> {
        let received_at = self.packed.received_at()?;
        match &self.states {
            Some(states) => states.iter().filter_map(|state| state.due(received_at)).min(),
            None => Some(received_at),
        }
    }
}
