//! A store in memory that several nodes share, as plain as it can be: each call is one step, as a transaction would be.
//!
//! It shows that the suite is about the contract. And each law can be broken in it, to see that its test finds that.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::model::envelope::Envelope;
use crate::model::id::{MessageId, RecordId};
use crate::model::record::AuditEntry;
use crate::model::time::{Instant, Timestamp};

use super::super::holds::Holds;
use super::super::state::{Change, RecipientState};
use super::super::{BodyError, Fault, LoadError, NewMessage, Outline};
use super::due::due;
use super::{
    Claim, Claimed, Claims, Content, ContentPieces, HoldsRefused, Incoming, Loaded, NodeId, Recorded, Refused, Renewed,
    Report, Store, Taken, Token, When, Which, Wish,
};

/// A way to break the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    AcceptsInMemory,
    KeepsWhatItRefused,
    LosesRecords,
    LosesNotices,
    GivesTwice,
    GivesTwiceAsDue,
    ForgetsTokens,
    LeasesForEver,
    LeasesTooShort,
    JudgesByTheCallersClock,
    RenewsNothing,
    RenewsWhatIsLost,
    WritesUnderOldTokens,
    ReleasesUnderOldTokens,
    RefusesWhatIsLate,
    TakesNothingBack,
    ForgetsNotBefore,
    WritesTwice,
    SettlesTwice,
    WritesWhatFits,
    NeverFinishes,
    GivesWhatIsFinished,
    SoonIsUnseen,
    SoonIsHalf,
    NowIsSoon,
    RefusalsCount,
    GivesWhatIsNotDue,
    GivesTheNewestFirst,
    GivesWhatIsHeld,
    KnowsNoExceptions,
    NeverLooksAgain,
    IsSilent,
    IsSilentAboutReleases,
    LeasesOutlastCrashes,
    TakesOldHolds,
}

thread_local! {
    static FLAW: Cell<Option<Flaw>> = const { Cell::new(None) };
}

/// What is made on this thread from now on is broken that way.
pub(crate) fn set_flaw(flaw: Option<Flaw>) {
    FLAW.set(flaw);
}

fn has(flaw: Flaw) -> bool {
    FLAW.get() == Some(flaw)
}

#[derive(Clone, Debug, Default)]
struct Lease {
    token: u128,
    node: Option<NodeId>,
    /// By the clock of the store; `None` if it was given back.
    until: Option<Instant>,
    numbers: BTreeSet<u16>,
}

#[derive(Clone, Debug)]
struct Row {
    envelope: Arc<Envelope>,
    content: Bytes,
    states: Vec<RecipientState>,
    /// What the states were before something was reported `Soon`.
    before: Vec<RecipientState>,
    lease: Lease,
    not_before: Option<Timestamp>,
}

/// What a transaction changes.
#[derive(Clone, Debug, Default)]
struct Tables {
    rows: BTreeMap<MessageId, Row>,
    records: Vec<RecordId>,
    holds: Holds,
    last_token: u128,
}

#[derive(Debug, Default)]
struct World {
    clock: Instant,
    seen: Tables,
    durable: Tables,
    is_full: bool,
    subscribers: Vec<UnboundedSender<MessageId>>,
}

/// One node's handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(crate) fn advance(&self, time: Duration) {
        let mut world = self.world();
        world.clock = world.clock + time;
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.world().is_full = is_full;
    }

    pub(crate) fn records(&self) -> Vec<RecordId> {
        self.world().seen.records.clone()
    }

    /// What is found after the machine of the store has failed. Nodes have to subscribe anew.
    pub(crate) fn crash(&self) {
        let mut world = self.world();
        let mut found = world.durable.clone();
        if has(Flaw::SoonIsHalf) {
            found.records = world.seen.records.clone();
        }
        if has(Flaw::ForgetsTokens) {
            found.last_token = 0;
        }
        if has(Flaw::LeasesOutlastCrashes) {
            let for_ever = world.clock + Duration::from_secs(1 << 30);
            found.rows.values_mut().for_each(|row| row.lease.until = row.lease.until.map(|_| for_ever));
        }
        (world.seen, world.subscribers) = (found, Vec::new());
    }
}

impl World {
    fn check_room(&self) -> Result<(), Fault> {
        if self.is_full { Err(Fault::NoSpace) } else { Ok(()) }
    }

    /// Ends a transaction.
    fn commit(&mut self) {
        self.durable = self.seen.clone();
    }

    fn insert(&mut self, message: NewMessage<Bytes>) {
        let NewMessage { envelope, content } = message;
        let states = vec![RecipientState::default(); envelope.recipients.len()];
        let (id, before) = (envelope.id, states.clone());
        let row = Row { envelope, content, states, before, lease: Lease::default(), not_before: None };
        self.seen.rows.insert(id, row);
    }

    fn announce(&mut self, id: MessageId) {
        if !has(Flaw::IsSilent) {
            self.subscribers.retain(|subscriber| subscriber.send(id).is_ok());
        }
    }

    fn note(&mut self, audit: &[AuditEntry]) {
        if !has(Flaw::LosesRecords) {
            self.seen.records.extend(audit.iter().map(|entry| entry.id));
        }
    }

    /// How long the lease still lasts.
    fn left(&self, lease: &Lease, now: Instant) -> Duration {
        let judge = if has(Flaw::JudgesByTheCallersClock) { now } else { self.clock };
        let left = lease.until.map_or(Duration::ZERO, |until| until.saturating_since(judge));
        if has(Flaw::LeasesForEver) && lease.until.is_some() { Duration::from_secs(1 << 30) } else { left }
    }

    /// The messages that the wish is about, in order, and whether it may have them now.
    fn wanted(&self, wish: &Wish<'_>) -> Vec<(MessageId, Duration)> {
        let left = |row: &Row| self.left(&row.lease, wish.now);
        let (by, except) = match wish.which {
            Which::These(ids) => {
                let known = ids.iter().filter_map(|id| self.seen.rows.get(id).map(|row| (*id, row)));
                let wait = |row: &Row| if has(Flaw::GivesTwice) { Duration::ZERO } else { left(row) };
                return known.map(|(id, row)| (id, wait(row))).collect();
            }
            Which::Due { by, except } => (by, if has(Flaw::KnowsNoExceptions) { &[] } else { except }),
        };
        let mut found: Vec<(Timestamp, MessageId, Duration)> = Vec::new();
        for (id, row) in &self.seen.rows {
            let mut outline = row.outline();
            if has(Flaw::GivesWhatIsHeld) {
                outline.states = vec![RecipientState::default(); outline.states.len()];
            }
            let Some(due) = due(&outline, except) else { continue };
            let due = due.max(row.not_before.unwrap_or(due));
            let early = if has(Flaw::GivesWhatIsNotDue) { Duration::ZERO } else { due.saturating_since(by) };
            let left = if has(Flaw::GivesTwiceAsDue) { Duration::ZERO } else { left(row) };
            found.push((due, *id, left.max(early)));
        }
        found.sort();
        if has(Flaw::GivesTheNewestFirst) {
            found.reverse();
        }
        found.into_iter().map(|(_, id, wait)| (id, wait)).collect()
    }

    fn give(&mut self, id: MessageId, wish: &Wish<'_>) -> Option<Claimed> {
        let clock = if has(Flaw::JudgesByTheCallersClock) { wish.now } else { self.clock };
        let lease = if has(Flaw::LeasesTooShort) { wish.lease / 2 } else { wish.lease };
        self.seen.last_token += 1;
        let token = self.seen.last_token;
        let row = self.seen.rows.get_mut(&id)?;
        row.lease =
            Lease { token, node: Some(wish.node.clone()), until: Some(clock + lease), numbers: BTreeSet::new() };
        row.not_before = None;
        let mut outline = row.outline();
        if has(Flaw::SoonIsUnseen) {
            outline.states.clone_from(&row.before);
        }
        let claim = Claim { message: id, token: Token(token), until: wish.now + wish.lease };
        Some(Claimed { claim, outline })
    }

    fn claim(&mut self, wish: &Wish<'_>) -> Claims {
        let mut claims = Claims::default();
        let mut waits = Vec::new();
        for (id, wait) in self.wanted(wish) {
            if wait.is_zero() && claims.given.len() < wish.limit {
                claims.given.extend(self.give(id, wish));
                waits.push(wish.lease);
                continue;
            }
            waits.push(wait);
            if !wait.is_zero() && matches!(wish.which, Which::These(_)) {
                let by = self.seen.rows.get(&id).and_then(|row| row.lease.node.clone());
                claims.taken.push(Taken { message: id, by });
            }
        }
        claims.again_in = waits.into_iter().min().filter(|_| !has(Flaw::NeverLooksAgain));
        self.commit_leases();
        claims
    }

    /// Leases are durable at once, what was reported `Soon` before is not.
    fn commit_leases(&mut self) {
        self.durable.last_token = self.seen.last_token;
        for (id, row) in &mut self.durable.rows {
            if let Some(seen) = self.seen.rows.get(id) {
                (row.lease.token, row.lease.node, row.lease.until) =
                    (seen.lease.token, seen.lease.node.clone(), seen.lease.until);
                row.not_before = seen.not_before;
            }
        }
    }

    /// The lease of this token, if it is the newest.
    fn newest(&mut self, claim: &Claim, flaw: Flaw) -> Option<&mut Lease> {
        let lease = &mut self.seen.rows.get_mut(&claim.message)?.lease;
        (Token(lease.token) == claim.token || has(flaw)).then_some(lease).filter(|lease| lease.until.is_some())
    }

    fn record(&mut self, claim: &Claim, report: Report<Bytes>) -> Result<Recorded, Refused> {
        let clock = self.clock;
        let row = self.seen.rows.get(&claim.message).ok_or(Refused::Gone)?;
        let mut lease = row.lease.clone();
        let is_late = has(Flaw::RefusesWhatIsLate) && lease.until.is_some_and(|until| until <= clock);
        let is_old = Token(lease.token) != claim.token || lease.until.is_none();
        if (is_old && !has(Flaw::WritesUnderOldTokens)) || is_late {
            return Err(Refused::Fenced);
        }
        if !lease.numbers.insert(report.number) && !has(Flaw::WritesTwice) {
            return Ok(Recorded::Open);
        }
        if let Err(fault) = self.check_room() {
            if has(Flaw::RefusalsCount) {
                self.seen.rows.entry(claim.message).and_modify(|row| row.lease = lease);
            }
            return Err(fault.into());
        }
        let Some(row) = self.seen.rows.get_mut(&claim.message) else { return Err(Refused::Gone) };
        let mut states = row.states.clone();
        if !apply(&mut states, &report.changes) {
            if has(Flaw::WritesWhatFits) {
                row.states = states;
            }
            return Err(Refused::Unfit);
        }
        row.before = std::mem::replace(&mut row.states, states);
        row.lease = lease;
        let is_finished = row.states.iter().all(|state| state.pending().is_none());
        if is_finished && has(Flaw::GivesWhatIsFinished) {
            row.states = vec![RecipientState::default(); row.states.len()];
            row.lease.until = None;
        } else if is_finished && !has(Flaw::NeverFinishes) {
            self.seen.rows.remove(&claim.message);
        }
        self.note(&report.audit);
        let is_now = report.when == When::Now || !report.notices.is_empty();
        let notices = if has(Flaw::LosesNotices) { Vec::new() } else { report.notices };
        let ids: Vec<MessageId> = notices.iter().map(|notice| notice.envelope.id).collect();
        notices.into_iter().for_each(|notice| self.insert(notice));
        ids.into_iter().for_each(|id| self.announce(id));
        if is_now && !has(Flaw::NowIsSoon) {
            self.commit();
        }
        Ok(if is_finished { Recorded::Finished } else { Recorded::Open })
    }
}

/// Makes the changes; whether they fit.
fn apply(states: &mut [RecipientState], changes: &[Change]) -> bool {
    let mut named = BTreeSet::new();
    for change in changes {
        for place in &change.recipients {
            let Some(state) = states.get_mut(*place as usize) else { return false };
            let is_settled = state.pending().is_none() && !has(Flaw::SettlesTwice);
            if is_settled || !named.insert(*place) {
                return false;
            }
            state.clone_from(&change.state);
        }
    }
    true
}

impl Row {
    fn outline(&self) -> Outline {
        Outline { states: self.states.clone(), ..Outline::of(&self.envelope) }
    }
}

impl Store for Shared {
    type Intake = Vec<u8>;
    type Sealed = Bytes;
    type Body = Bytes;

    fn admission(&self) -> Result<(), Fault> {
        self.world().check_room()
    }

    fn begin(&self, _: MessageId) -> Result<Vec<u8>, Fault> {
        self.admission().map(|()| Vec::new())
    }

    fn sealed(&self, content: Vec<u8>) -> Bytes {
        content.into()
    }

    async fn accept(&self, message: NewMessage<Bytes>, audit: Vec<AuditEntry>) -> Result<(), Fault> {
        let mut world = self.world();
        let (id, room) = (message.envelope.id, world.check_room());
        if room.is_ok() || has(Flaw::KeepsWhatItRefused) {
            world.insert(message);
            world.note(&audit);
            world.announce(id);
        }
        if !has(Flaw::AcceptsInMemory) {
            world.commit();
        }
        room
    }

    async fn outlines(&self, after: Option<MessageId>, limit: usize) -> Result<Vec<Outline>, Fault> {
        let world = self.world();
        let behind = world.seen.rows.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        Ok(behind.take(limit).map(|(_, row)| row.outline()).collect())
    }

    async fn load(&self, id: MessageId) -> Result<Option<Loaded<Bytes>>, LoadError> {
        let world = self.world();
        let row = world.seen.rows.get(&id).cloned();
        Ok(row.map(|row| Loaded { envelope: row.envelope, states: row.states, body: row.content }))
    }

    async fn claim(&self, wish: Wish<'_>) -> Result<Claims, Fault> {
        Ok(self.world().claim(&wish))
    }

    async fn renew(&self, claims: &[Claim], now: Instant, lease: Duration) -> Result<Renewed, Fault> {
        let mut world = self.world();
        let until = if has(Flaw::JudgesByTheCallersClock) { now + lease } else { world.clock + lease };
        let mut lost = Vec::new();
        for claim in claims {
            match world.newest(claim, Flaw::RenewsWhatIsLost) {
                Some(_) if has(Flaw::RenewsNothing) => {}
                Some(lease) => lease.until = Some(until),
                None => lost.push(claim.message),
            }
        }
        world.commit_leases();
        Ok(Renewed { until: now + lease, lost })
    }

    async fn release(&self, claims: &[Claim], not_before: Option<Timestamp>) -> Result<(), Fault> {
        let mut world = self.world();
        for claim in claims {
            let Some(lease) = world.newest(claim, Flaw::ReleasesUnderOldTokens) else { continue };
            if !has(Flaw::TakesNothingBack) {
                lease.until = None;
            }
            let not_before = not_before.filter(|_| !has(Flaw::ForgetsNotBefore));
            world.seen.rows.entry(claim.message).and_modify(|row| row.not_before = not_before);
            if !has(Flaw::IsSilentAboutReleases) {
                world.announce(claim.message);
            }
        }
        world.commit_leases();
        Ok(())
    }

    async fn record(&self, claim: &Claim, report: Report<Bytes>) -> Result<Recorded, Refused> {
        self.world().record(claim, report)
    }

    async fn holds(&self) -> Result<Holds, Fault> {
        Ok(self.world().seen.holds.clone())
    }

    async fn put_holds(&self, holds: Holds, audit: Vec<AuditEntry>) -> Result<(), HoldsRefused> {
        let mut world = self.world();
        world.check_room()?;
        if holds.version <= world.seen.holds.version && !has(Flaw::TakesOldHolds) {
            return Err(HoldsRefused::Outdated);
        }
        world.seen.holds = holds;
        world.note(&audit);
        world.commit();
        Ok(())
    }

    fn subscribe(&self, sender: UnboundedSender<MessageId>) {
        self.world().subscribers.push(sender);
    }
}

impl Incoming for Vec<u8> {
    type Sealed = Bytes;

    async fn append(&mut self, piece: Bytes) -> Result<(), Fault> {
        self.extend_from_slice(&piece);
        Ok(())
    }

    async fn seal(self) -> Result<Bytes, Fault> {
        Ok(self.into())
    }
}

impl Content for Bytes {
    type Pieces = Option<Bytes>;

    async fn pieces(&self) -> Result<Option<Bytes>, BodyError> {
        Ok(Some(self.clone()))
    }
}

impl ContentPieces for Option<Bytes> {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        Ok(self.take())
    }
}
