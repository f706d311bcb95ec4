//! What the operator asks of many messages: they are walked through in batches, so that nothing else waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::audit::event::{Event, Record};
use crate::clock;
use crate::model::actor::Actor;
use crate::model::address::Address;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::record::AuditEntry;
use crate::model::time::{Instant, Timestamp};
use crate::random;
use crate::spool::Outline;
use crate::spool::holds::HeldPlace;

use super::Outbound;
use super::holds::HoldError;
use super::steering::{Command, Selected, Steer};

pub use super::orders::{Action, FIRST_MAX, Order, Tally};

/// Messages that are changed before the next ones are looked at.
const BATCH_MESSAGES: usize = 256;
/// Between two words on how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Between two looks at holds whose time may be over.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Which messages, and which of their recipients: those that meet all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Empty: any.
    pub ids: Vec<MessageId>,
    pub to_domain: Option<Domain>,
    pub from_domain: Option<Domain>,
    pub older_than: Option<Duration>,
    pub reason: Option<Reason>,
}

impl Selection {
    /// The recipients of a message that are meant.
    fn places(&self, outline: &Outline, now: Timestamp) -> Vec<u32> {
        let from = self.from_domain.as_ref().is_none_or(|domain| outline.sender.domain() == Some(domain));
        let old = self.older_than.is_none_or(|age| now.saturating_since(outline.received_at) >= age);
        let named = self.ids.is_empty() || self.ids.contains(&outline.id);
        if !(from && old && named) {
            return Vec::new();
        }
        let recipients = (0..).zip(&outline.recipients).zip(&outline.states);
        let is_meant = |((place, address), state): ((u32, &Address), _)| {
            let pending = crate::spool::state::RecipientState::pending(state)?;
            let to = self.to_domain.as_ref().is_none_or(|domain| address.domain() == Some(domain));
            let last = pending.last.as_ref().map(|last| last.reason);
            (to && (self.reason.is_none() || self.reason == last)).then_some(place)
        };
        recipients.filter_map(is_meant).collect()
    }
}

/// How far a walk has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub looked_at: usize,
    /// About how many there are.
    pub total: usize,
    /// Messages that are meant, so far.
    pub messages: usize,
}

/// The daemon is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is stopping")]
pub struct Stopping;

/// What came of a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    pub tally: Tally,
    /// Messages that were named and are not in the queue.
    pub unknown: Vec<MessageId>,
    /// Whoever asked has gone away before the end.
    pub is_cut_short: bool,
}

/// One walk through the queue.
#[derive(Debug)]
pub struct Walk<'a> {
    pub outbound: &'a Outbound,
    pub commands: &'a mpsc::Sender<Command>,
    pub order: Arc<Order>,
    pub selection: &'a Selection,
    /// Told now and then; closed: the walk ends early.
    pub progress: Option<mpsc::Sender<Progress>>,
}

impl Walk<'_> {
    /// Gives the order about all messages that are meant and that have come before it.
    pub async fn run(self) -> Result<Walked, Stopping> {
        let mut walked = Walked::default();
        if !self.selection.ids.is_empty() {
            for ids in self.selection.ids.chunks(BATCH_MESSAGES) {
                let found: Vec<Outline> = ids.iter().filter_map(|id| self.outbound.spool.outline(*id)).collect();
                let is_found = |id: &&MessageId| found.iter().any(|outline| outline.id == **id);
                walked.unknown.extend(ids.iter().filter(|id| !is_found(id)));
                walked.tally.add(self.order_about(&found).await?);
            }
            return Ok(walked);
        }
        let (mut position, mut told) = (None, clock::now());
        let mut at = Progress { total: self.outbound.spool.message_count(), ..Progress::default() };
        loop {
            // What comes in meanwhile stands behind the others and is not meant, or the walk might never end.
            let left = at.total.saturating_sub(at.looked_at);
            let page = self.outbound.spool.outlines(position, BATCH_MESSAGES.min(left));
            let Some(last) = page.last() else { return Ok(walked) };
            position = Some(last.id);
            walked.tally.add(self.order_about(&page).await?);
            at.looked_at += page.len();
            at.messages = walked.tally.messages;
            if !self.tell(at, &mut told) && self.order.action.may_be_cut() {
                walked.is_cut_short = true;
                return Ok(walked);
            }
        }
    }

    async fn order_about(&self, messages: &[Outline]) -> Result<Tally, Stopping> {
        let now = clock::timestamp();
        let selected = |outline: &Outline| {
            let places = self.selection.places(outline, now);
            (!places.is_empty()).then_some(Selected { message: outline.id, places })
        };
        let selected: Vec<Selected> = messages.iter().filter_map(selected).collect();
        if selected.is_empty() {
            // The runtime has other work too.
            tokio::task::yield_now().await;
            return Ok(Tally::default());
        }
        let (answer, tally) = oneshot::channel();
        let steer = Steer { order: self.order.clone(), selected, answer };
        self.commands.send(Command::Steer(steer)).await.map_err(|_| Stopping)?;
        tally.await.map_err(|_| Stopping)
    }

    /// False if nobody listens any more.
    fn tell(&self, at: Progress, told: &mut Instant) -> bool {
        let Some(progress) = &self.progress else { return true };
        if clock::now().saturating_since(*told) >= PROGRESS_INTERVAL {
            *told = clock::now();
            _ = progress.try_send(at);
        }
        !progress.is_closed()
    }
}

/// The record of an order as a whole.
pub fn record(outbound: &Outbound, message: Option<MessageId>, detail: String, count: Option<u64>) -> AuditEntry {
    let (snapshot, time) = (outbound.snapshot.load(), clock::timestamp());
    let mut record = Record::new(&snapshot.stamp, time, random::record_id(time), Event::QueueAdmin);
    record.message = message;
    record.detail = Some(detail);
    record.count = count;
    record.entry()
}

/// Ends the holds of destinations whose time is over, for as long as the daemon runs.
pub async fn watch(outbound: Arc<Outbound>, commands: mpsc::Sender<Command>) {
    let mut interval = tokio::time::interval(WATCH_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let now = clock::timestamp();
        for place in outbound.holds.load().expired(now) {
            let detail = format!("the hold of {place} is over, its time has come");
            let audit = vec![record(&outbound, None, detail, None)];
            match outbound.holds.end(&outbound.spool, |hold| hold.place == place && hold.is_over(now), audit).await {
                Ok(_) => _ = replan(&outbound, &commands, &place).await,
                Err(HoldError::Fault(fault)) => {
                    tracing::warn!(%place, %fault, "a hold that is over could not be ended")
                }
                Err(HoldError::TooMany) => {}
            }
        }
    }
}

/// Plans anew what goes there: it is held from now on, or is no more.
pub async fn replan(
    outbound: &Outbound,
    commands: &mpsc::Sender<Command>,
    place: &HeldPlace,
) -> Result<Walked, Stopping> {
    let (to_domain, route) = match place {
        HeldPlace::Domain(domain) => (Some(domain.clone()), None),
        HeldPlace::Route(route) => (None, Some(route.clone())),
    };
    let order = Arc::new(Order { action: Action::Replan, route, by: Actor::Time, why: None, is_rehearsal: false });
    let selection = Selection { to_domain, ..Selection::default() };
    Walk { outbound, commands, order, selection: &selection, progress: None }.run().await
}
