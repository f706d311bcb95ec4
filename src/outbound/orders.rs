//! What the operator orders about messages of the queue, carried out: changed on disk, with a record of each message.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::audit::event::{Event, Record};
use crate::clock;
use crate::model::actor::Actor;
use crate::model::address::Address;
use crate::model::id::MessageId;
use crate::model::record::AuditEntry;
use crate::model::time::Timestamp;
use crate::random;
use crate::spool::holds::Held;
use crate::spool::state::{Change, Pending, Progress, RecipientState, Settled, Via, summary};
use crate::spool::{Fault, LoadError, Stored};

use super::conclude::{Attempted, by_operator};
use super::destination::{self, Decider, Destination};
use super::records::{Subject, addresses};
use super::{Outbound, Snapshot};

/// Messages that are changed at once: each waits for the same sync.
const ERRANDS_AT_ONCE: usize = 128;
/// The same where each may hold a copy of the message for its notice.
const BOUNCES_AT_ONCE: usize = 16;
/// Messages that a tally names.
pub const FIRST_MAX: usize = 10;
/// Domains whose refusal a tally tells apart.
const REFUSALS_MAX: usize = 20;

/// What is to be done, about what, and on whose word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub action: Action,
    /// Only what goes by the route of this name.
    pub route: Option<String>,
    pub by: Actor,
    pub why: Option<String>,
    /// Nothing is changed, only counted.
    pub is_rehearsal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Retry,
    Hold {
        until: Option<Timestamp>,
    },
    Release,
    /// Holds of messages whose time is over.
    ReleaseExpired,
    /// The hold of its destination was ended; what is held by itself stays.
    ReleaseWithDestination,
    Bounce,
    Delete,
    /// By the `[[route]]` of this name.
    Reroute {
        via: String,
    },
    /// Changes nothing of the messages: something else has changed.
    Replan,
}

impl Action {
    /// Whether it may end half way. What a hold that is no more has held would stay, and nobody would see why.
    pub const fn may_be_cut(&self) -> bool {
        !matches!(self, Self::Release | Self::ReleaseWithDestination | Self::Replan)
    }
}

/// What came of an order, in recipients where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that the order is about.
    pub messages: usize,
    /// Some of them.
    pub first: Vec<MessageId>,
    pub recipients: usize,
    /// Changed; in a rehearsal, what would be.
    pub done: usize,
    /// Being delivered now: the order counts if they come back.
    pub active: usize,
    /// There was nothing to change.
    pub unchanged: usize,
    /// Held all the same, one by one or with their destination.
    pub still_held: usize,
    /// By domain, why they do not go by the route.
    pub refused: BTreeMap<String, (String, usize)>,
    /// It could not be written down, so it was not done.
    pub failed: usize,
}

impl Tally {
    /// Counts a message if recipients of it have been counted since.
    pub(super) fn count_message(&mut self, message: MessageId, recipients_before: usize) {
        if self.recipients > recipients_before {
            self.messages += 1;
            if self.first.len() < FIRST_MAX {
                self.first.push(message);
            }
        }
    }

    pub fn add(&mut self, other: Self) {
        // By name, so that a new part is not forgotten.
        let Self { messages, first, recipients, done, active, unchanged, still_held, refused, failed } = other;
        self.messages += messages;
        let room = FIRST_MAX.saturating_sub(self.first.len());
        self.first.extend(first.into_iter().take(room));
        self.recipients += recipients;
        self.done += done;
        self.active += active;
        self.unchanged += unchanged;
        self.still_held += still_held;
        self.failed += failed;
        for (domain, (why, count)) in refused {
            self.refuse(domain, why, count);
        }
    }

    pub(super) fn refuse(&mut self, domain: String, why: String, count: usize) {
        let known = self.refused.contains_key(&domain) || self.refused.len() < REFUSALS_MAX;
        let domain = if known { domain } else { "other domains".to_owned() };
        self.refused.entry(domain).or_insert((why, 0)).1 += count;
    }

    pub fn refused_count(&self) -> usize {
        self.refused.values().map(|(_, count)| count).sum()
    }
}

impl Order {
    pub(super) fn expiry() -> Self {
        Self { action: Action::ReleaseExpired, route: None, by: Actor::Time, why: None, is_rehearsal: false }
    }

    pub(super) fn concerns(&self, destination: &Destination) -> bool {
        self.route.is_none() || self.route.as_deref() == destination.route()
    }

    /// Whether it is kept for recipients that are being delivered.
    pub(super) fn counts_later(&self) -> bool {
        use Action::{Bounce, Delete, Hold, Release, Reroute};
        !self.is_rehearsal && matches!(self.action, Hold { .. } | Release | Bounce | Delete | Reroute { .. })
    }

    /// `held until …, asked for by uid 0: maintenance`.
    pub fn detail(&self, what: &str) -> String {
        let by = match self.by {
            Actor::Time => "its time is over".to_owned(),
            by => format!("asked for by {by}"),
        };
        let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{what}, {by}{why}")
    }
}

/// An order, or several, about one message that no job has at the moment.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) message: MessageId,
    /// All of its recipients that were taken from the scheduler.
    pub(super) open: Vec<u32>,
    /// In the order in which they were given, with the recipients that they are about.
    pub(super) orders: Vec<(Arc<Order>, Vec<u32>)>,
}

/// A message whose errand is done.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) message: MessageId,
    /// Recipients that are to be planned anew.
    pub(super) open: Vec<u32>,
    pub(super) tally: Tally,
}

/// Does all errands. What could not be written down stays as it was. A message that is missing in the answer too.
pub(super) async fn carry_out(outbound: Arc<Outbound>, errands: Vec<Errand>) -> Vec<Carried> {
    // States are changed as the last attempt left them.
    if outbound.spool.catch_up().await.is_err() {
        return Vec::new();
    }
    let bounces = errands.iter().flat_map(|errand| &errand.orders).any(|(order, _)| order.action == Action::Bounce);
    let at_once = if bounces { BOUNCES_AT_ONCE } else { ERRANDS_AT_ONCE };
    let (mut errands, mut under_way, mut carried) = (errands.into_iter(), JoinSet::new(), Vec::new());
    loop {
        while under_way.len() < at_once
            && let Some(errand) = errands.next()
        {
            under_way.spawn(errand.run(outbound.clone()));
        }
        match under_way.join_next().await {
            Some(Ok(done)) => carried.push(done),
            Some(Err(error)) => tracing::error!(%error, "an order of the operator ended by a panic"),
            None => return carried,
        }
    }
}

impl Errand {
    async fn run(self, outbound: Arc<Outbound>) -> Carried {
        let Self { message, mut open, orders } = self;
        let mut tally = Tally::default();
        for (order, places) in orders {
            let stored = match outbound.spool.load(message).await {
                Err(LoadError::Damaged) => outbound.spool.load_known(message).await,
                Err(error @ LoadError::Io(_)) => {
                    tracing::error!(id = %message, %error, "a message that an order is about cannot be read");
                    tally.failed += places.len();
                    continue;
                }
                Ok(found) => found,
            };
            let Some(stored) = stored else {
                open.clear();
                break;
            };
            let is_open = |place: &u32| open.contains(place) && pending(&stored, *place).is_some();
            let places: Vec<u32> = places.into_iter().filter(is_open).collect();
            if places.is_empty() {
                continue;
            }
            let change = OneMessage { outbound: &outbound, stored: &stored, order: &order };
            match change.make(&places, &mut tally).await {
                Ok(End::Open) => {}
                Ok(End::Settled) => open.retain(|place| !places.contains(place)),
                Err(fault) => {
                    tracing::error!(id = %message, %fault, "an order of the operator could not be recorded");
                    tally.failed += places.len();
                }
            }
        }
        Carried { message, open, tally }
    }
}

enum End {
    Open,
    Settled,
}

/// One order about one message.
struct OneMessage<'a> {
    outbound: &'a Arc<Outbound>,
    stored: &'a Stored,
    order: &'a Order,
}

impl OneMessage<'_> {
    async fn make(&self, places: &[u32], tally: &mut Tally) -> Result<End, Fault> {
        let now = clock::timestamp();
        match &self.order.action {
            Action::Hold { until } => {
                let held = Arc::new(Held { reason: self.order.why.clone(), until: *until, by: self.order.by, at: now });
                let what = until.map_or_else(|| "held".to_owned(), |until| format!("held until {}", until.brief()));
                let change = |before: Pending| Pending { held: Some(held.clone()), ..before };
                self.wait_on(places, &what, change, tally).await
            }
            Action::Release => self.release(places, |_| true, tally).await,
            Action::ReleaseWithDestination => self.release(places, |_| false, tally).await,
            Action::ReleaseExpired => {
                self.release(places, |held| held.until.is_some_and(|until| until <= now), tally).await
            }
            Action::Bounce => {
                self.bounce(places).await?;
                tally.done += places.len();
                Ok(End::Settled)
            }
            Action::Delete => {
                let state = RecipientState::Settled(Settled::Dropped);
                let changes = vec![Change { recipients: places.to_vec(), state }];
                let progress = Progress { message: self.stored.envelope.id, changes };
                let records = self.records(places, &self.order.detail("deleted"));
                self.outbound.spool.record(Some(progress), Vec::new(), records).await?;
                tally.done += places.len();
                Ok(End::Settled)
            }
            Action::Reroute { via } => self.reroute(places, via, tally).await,
            Action::Retry | Action::Replan => Ok(End::Open),
        }
    }

    async fn release(&self, places: &[u32], is_meant: impl Fn(&Held) -> bool, tally: &mut Tally) -> Result<End, Fault> {
        let is_held = |place: &u32| pending(self.stored, *place)?.held.as_deref().map(&is_meant);
        let (held, others): (Vec<u32>, Vec<u32>) = places.iter().partition(|place| is_held(place) == Some(true));
        let change = |before: Pending| Pending { held: None, next_attempt: None, ..before };
        if !held.is_empty() {
            self.wait_on(&held, "released", change, tally).await?;
        }
        let (snapshot, holds) = (self.outbound.snapshot.load(), self.outbound.holds.load());
        if let Some(outline) = self.outbound.spool.outline(self.stored.envelope.id) {
            let decider = Decider::of_outline(&snapshot.policies, &outline, clock::timestamp()).under(&holds);
            let is_still_held = |place: &&u32| decider.holds_any(&[**place]);
            tally.still_held += places.iter().filter(is_still_held).count();
            // Those of the others that are free now were held with their destination.
            let left = others.iter().filter(is_still_held).count();
            tally.unchanged += left;
            tally.done += others.len() - left;
        }
        Ok(End::Open)
    }

    async fn reroute(&self, places: &[u32], via: &str, tally: &mut Tally) -> Result<End, Fault> {
        let snapshot = self.outbound.snapshot.load_full();
        let decider = decider(&snapshot, self.stored);
        let mut allowed = Vec::new();
        for place in places {
            let Some(address) = destination::first(&self.stored.envelope, &[*place]) else { continue };
            match decider.by_way(address, via) {
                Ok(_) => allowed.push(*place),
                Err(refusal) => tally.refuse(host(address), refusal.to_string(), 1),
            }
        }
        let (by, at) = (self.order.by, clock::timestamp());
        let chosen = Arc::new(Via { route: via.to_owned(), by, at });
        let change = |before: Pending| Pending { via: Some(chosen.clone()), next_attempt: None, ..before };
        if !allowed.is_empty() {
            self.wait_on(&allowed, &format!("rerouted by {via}"), change, tally).await?;
        }
        Ok(End::Open)
    }

    /// New states of recipients that go on waiting.
    async fn wait_on(
        &self,
        places: &[u32],
        what: &str,
        change: impl Fn(Pending) -> Pending,
        tally: &mut Tally,
    ) -> Result<End, Fault> {
        let progress = changed(self.stored, places, change);
        let records = self.records(places, &self.order.detail(what));
        self.outbound.spool.record(Some(progress), Vec::new(), records).await?;
        tally.done += places.len();
        Ok(End::Open)
    }

    fn records(&self, places: &[u32], detail: &str) -> Vec<AuditEntry> {
        records(&self.outbound.snapshot.load(), self.stored, places, detail)
    }

    async fn bounce(&self, places: &[u32]) -> Result<(), Fault> {
        let snapshot = self.outbound.snapshot.load_full();
        let shares = decider(&snapshot, self.stored).shares();
        let mut chosen = Vec::new();
        for share in shares {
            let places: Vec<u32> = share.recipients.into_iter().filter(|place| places.contains(place)).collect();
            if !places.is_empty() {
                chosen.push((self.unattempted(&snapshot, share.decision, share.attempts), places));
            }
        }
        let why = self.order.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        by_operator::bounce(&chosen, &format!("bounced by the administrator{why}")).await
    }

    /// What the rules about ends know an attempt by, without one.
    fn unattempted(
        &self,
        snapshot: &Arc<Snapshot>,
        decision: crate::policy::outbound::Decision,
        attempts: u32,
    ) -> Attempted {
        let subject = Subject {
            stamp: snapshot.stamp.clone(),
            session: random::session_id(clock::timestamp()),
            envelope: self.stored.envelope.clone(),
            decision: decision.clone(),
            attempt: attempts.max(1),
        };
        Attempted {
            outbound: self.outbound.clone(),
            snapshot: snapshot.clone(),
            stored: self.stored.clone(),
            decision,
            subject,
            outcomes: Vec::new(),
            took: std::time::Duration::ZERO,
        }
    }
}

/// Recipients whose policy no longer lets them go by the way that the operator chose go their own again. Gives whether
/// there were any, all of it written down.
pub(super) async fn gives_up_ways(outbound: &Outbound, stored: &Stored, decider: &Decider<'_>, places: &[u32]) -> bool {
    let refused: Vec<_> = places.iter().filter_map(|place| Some((*place, decider.refused_way(*place)?))).collect();
    let Some((_, (via, refusal))) = refused.first() else { return false };
    let places: Vec<u32> = refused.iter().map(|(place, _)| *place).collect();
    let progress = changed(stored, &places, |before| Pending { via: None, ..before });
    let detail = format!("goes its own way again, not by {}, which {} chose: {refusal}", via.route, via.by);
    let records = records(&outbound.snapshot.load(), stored, &places, &detail);
    let written = outbound.spool.record(Some(progress), Vec::new(), records).await;
    if let Err(fault) = &written {
        tracing::error!(id = %stored.envelope.id, %fault, detail, "not recorded");
    }
    written.is_ok()
}

fn decider<'a>(snapshot: &'a Snapshot, stored: &'a Stored) -> Decider<'a> {
    Decider::new(&snapshot.policies, &stored.envelope, &stored.states, clock::timestamp())
}

fn pending(stored: &Stored, place: u32) -> Option<&Pending> {
    stored.states.get(usize::try_from(place).ok()?)?.pending()
}

fn host(address: &Address) -> String {
    address.host().to_string()
}

fn changed(stored: &Stored, places: &[u32], change: impl Fn(Pending) -> Pending) -> Progress {
    let state = |place: &u32| {
        let state = RecipientState::Pending(change(pending(stored, *place)?.clone()));
        Some((*place, state))
    };
    let states: Vec<(u32, RecipientState)> = places.iter().filter_map(state).collect();
    summary(stored.envelope.id, states.iter().map(|(place, state)| (*place, state)))
}

fn records(snapshot: &Snapshot, stored: &Stored, places: &[u32], detail: &str) -> Vec<AuditEntry> {
    let (time, envelope) = (clock::timestamp(), &stored.envelope);
    let mut record = Record::new(&snapshot.stamp, time, random::record_id(time), Event::QueueAdmin);
    record.message = Some(envelope.id);
    record.from = Some(envelope.sender.path.as_str());
    record.to = addresses(envelope, places);
    record.detail = Some(detail.to_owned());
    record.entries()
}
