//! The spool as a store: one process has the folder for itself, and its leases live and end with it.
//!
//! To find what is due is a walk over the index, as nothing is kept in the order of time. Who has all of the queue to
//! itself would claim by id what its scheduler chose.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::model::id::MessageId;
use crate::model::record::AuditEntry;
use crate::model::time::{Instant, Timestamp};

use super::super::body::Pieces;
use super::super::holds::Holds;
use super::super::index::Index;
use super::super::index::leases::{Due, Ended, Look, Standing, Ticket};
use super::super::state::Progress;
use super::super::{Body, BodyError, Fault, Intake, LoadError, NewMessage, Outline, Sealed, Spool, lock};
use super::{
    Claim, Claims, Content, ContentPieces, HoldsRefused, Incoming, Loaded, Recorded, Refused, Renewed, Report, Store,
    Taken, When, Which, Wish,
};

/// Messages that are looked at while the index is held.
const LOOKS_AT_ONCE_MAX: usize = 10_000;

impl Store for Spool {
    type Intake = Intake;
    type Sealed = Sealed;
    type Body = Body;

    fn admission(&self) -> Result<(), Fault> {
        Self::admission(self)
    }

    fn begin(&self, id: MessageId) -> Result<Intake, Fault> {
        Self::begin(self, id)
    }

    fn sealed(&self, content: Vec<u8>) -> Sealed {
        Self::sealed(self, content)
    }

    async fn accept(&self, message: NewMessage, audit: Vec<AuditEntry>) -> Result<(), Fault> {
        Self::accept(self, message, audit).await
    }

    async fn outlines(&self, after: Option<MessageId>, limit: usize) -> Result<Vec<Outline>, Fault> {
        Ok(Self::outlines(self, after, limit))
    }

    async fn load(&self, id: MessageId) -> Result<Option<Loaded<Body>>, LoadError> {
        let stored = Self::load(self, id).await?;
        Ok(stored.map(|stored| {
            let body = self.body(&stored);
            Loaded { envelope: stored.envelope, states: stored.states, body }
        }))
    }

    async fn claim(&self, wish: Wish<'_>) -> Result<Claims, Fault> {
        let mut wanted = self.wanted(&wish);
        if wanted.is_behind {
            self.pass_barrier().await?;
            // What was reported may have made it due at another time.
            wanted = self.wanted(&wish);
        }
        let again_in = wanted.again_in;
        Ok(give(&mut lock(&self.shared.index), &wish, &wanted.ids, again_in))
    }

    async fn renew(&self, claims: &[Claim], now: Instant, lease: Duration) -> Result<Renewed, Fault> {
        let until = now + lease;
        let mut index = lock(&self.shared.index);
        let lost = claims.iter().filter(|claim| !index.renew(claim, until)).map(|claim| claim.message).collect();
        Ok(Renewed { until, lost })
    }

    async fn release(&self, claims: &[Claim], not_before: Option<Timestamp>) -> Result<(), Fault> {
        let mut index = lock(&self.shared.index);
        claims.iter().for_each(|claim| index.give_back(claim, not_before));
        Ok(())
    }

    async fn record(&self, claim: &Claim, report: Report<Sealed>) -> Result<Recorded, Refused> {
        let Report { number, when, changes, notices, audit } = report;
        let begun = lock(&self.shared.index).report_begins((claim.message, claim.token), number, &changes)?;
        let Some(ticket) = begun else { return Ok(Recorded::Open) };
        let is_soon = when == When::Soon && notices.is_empty() && !ticket.must_be_now;
        let report = UnderWay { index: &self.shared.index, ticket: Some(ticket) };
        let is_nothing = changes.is_empty() && notices.is_empty() && audit.is_empty();
        let progress = (!changes.is_empty()).then_some(Progress { message: claim.message, changes });
        let (written, how) = match is_soon {
            true => (self.record_lazily(progress, audit), Ended::Appended),
            // What was reported before it becomes durable with it.
            false if is_nothing => (self.catch_up().await, Ended::Durable),
            false => (Self::record(self, progress, notices, audit).await, Ended::Durable),
        };
        match written {
            Ok(()) => Ok(report.ends(how)),
            Err(fault) => {
                let is_sure = is_soon || matches!(fault, Fault::NoSpace | Fault::Busy);
                report.ends(if is_sure { Ended::Refused } else { Ended::InDoubt });
                Err(Refused::Fault(fault))
            }
        }
    }

    async fn holds(&self) -> Result<Holds, Fault> {
        Ok(Self::holds(self))
    }

    async fn put_holds(&self, holds: Holds, audit: Vec<AuditEntry>) -> Result<(), HoldsRefused> {
        let _one_at_a_time = self.shared.putting_holds.lock().await;
        if holds.version <= Self::holds(self).version {
            return Err(HoldsRefused::Outdated);
        }
        Ok(self.record_holds(holds, audit).await?)
    }

    fn subscribe(&self, sender: UnboundedSender<MessageId>) {
        Self::subscribe(self, sender);
    }
}

impl Spool {
    /// The messages that the wish is about, as far as the index knows, in order.
    fn wanted(&self, wish: &Wish<'_>) -> Wanted {
        match wish.which {
            Which::These(ids) => {
                let index = lock(&self.shared.index);
                let lags = |id: &MessageId| matches!(index.standing(*id, wish.now), Some(Standing::Lags));
                Wanted { ids: ids.to_vec(), again_in: None, is_behind: ids.iter().any(lags) }
            }
            Which::Due { by, except } => {
                let due = self.find_due(&Look { by, now: wish.now, except, limit: wish.limit });
                Wanted { again_in: due.again_in, is_behind: due.is_behind, ids: due.ids() }
            }
        }
    }

    fn find_due(&self, look: &Look<'_>) -> Due {
        let (mut due, mut after) = (Due::default(), None);
        loop {
            after = lock(&self.shared.index).find_due(look, after, LOOKS_AT_ONCE_MAX, &mut due);
            if after.is_none() {
                return due;
            }
        }
    }

    /// When this returns, the index knows of all that was reported before.
    async fn pass_barrier(&self) -> Result<(), Fault> {
        let barrier = lock(&self.shared.index).barrier_begins();
        self.catch_up().await?;
        lock(&self.shared.index).barrier_passed(barrier);
        Ok(())
    }
}

/// The messages that a wish is about.
struct Wanted {
    ids: Vec<MessageId>,
    again_in: Option<Duration>,
    /// A barrier would tell more.
    is_behind: bool,
}

fn give(index: &mut Index, wish: &Wish<'_>, ids: &[MessageId], again_in: Option<Duration>) -> Claims {
    let mut claims = Claims { again_in, ..Claims::default() };
    let again_in = |wait: Duration, claims: &mut Claims| {
        claims.again_in = claims.again_in.into_iter().chain([wait]).min();
    };
    for id in ids {
        match index.standing(*id, wish.now) {
            None => {}
            Some(Standing::Taken { by, left }) => {
                again_in(left, &mut claims);
                if matches!(wish.which, Which::These(_)) {
                    claims.taken.push(Taken { message: *id, by });
                }
            }
            Some(Standing::Lags) => again_in(Duration::ZERO, &mut claims),
            Some(Standing::Free) if claims.given.len() >= wish.limit => again_in(Duration::ZERO, &mut claims),
            Some(Standing::Free) => {
                let is_meant = match wish.which {
                    Which::These(_) => true,
                    Which::Due { by, except } => index.due(*id, except).is_some_and(|due| due <= by),
                };
                match is_meant {
                    true => claims.given.extend(index.give(*id, wish.node, wish.now + wish.lease)),
                    // It was found due before a report on it was known.
                    false => again_in(Duration::ZERO, &mut claims),
                }
            }
        }
    }
    if !claims.given.is_empty() {
        again_in(wish.lease, &mut claims);
    }
    claims
}

/// A report on its way into the journal. Dropped before its end, it may be written or not.
struct UnderWay<'a> {
    index: &'a Mutex<Index>,
    ticket: Option<Ticket>,
}

impl UnderWay<'_> {
    fn ends(mut self, how: Ended) -> Recorded {
        match self.ticket.take() {
            Some(ticket) => lock(self.index).report_ends(ticket, how),
            None => Recorded::Open,
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            lock(self.index).report_ends(ticket, Ended::InDoubt);
        }
    }
}

impl Incoming for Intake {
    type Sealed = Sealed;

    async fn append(&mut self, piece: Bytes) -> Result<(), Fault> {
        self.push(piece).await
    }

    async fn seal(self) -> Result<Sealed, Fault> {
        Self::seal(self).await
    }
}

impl Content for Body {
    type Pieces = Pieces;

    async fn pieces(&self) -> Result<Pieces, BodyError> {
        Self::pieces(self).await
    }
}

impl ContentPieces for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        Self::next(self).await
    }
}
