//! What the operator sees of the dispatcher: how the recipients of a message stand, and the destinations.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::model::actor::Actor;
use crate::model::id::MessageId;
use crate::model::time::{Instant, Timestamp};
use crate::schedule::job::{JobId, JobState, Signal};
use crate::schedule::lane::{LaneKey, LaneView};

use super::attempt::Note;
use super::books::{Book, Rate, Trouble};
use super::dispatch::Dispatcher;
use super::holds::InForce;

/// Destinations in one answer.
pub const DESTINATIONS_MAX: usize = 1000;

/// How the recipients of a message that travel together stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// A domain, an address, or the name of a route.
    pub destination: String,
    pub recipients: Vec<u32>,
    pub state: StandingState,
    pub around: Circumstances,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingState {
    /// Until it is due.
    Waiting(Duration),
    /// Due, and waits for a free place.
    Ready,
    /// Being delivered.
    Active,
    Held,
}

/// What else an operator has to know to say why a delivery has not been made. As of the moment of the question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// A domain, an address, or the name of a route; empty where it is not known.
    pub destination: String,
    /// The deliveries to it that are due, this one included, and those that run.
    pub ready: usize,
    pub active: usize,
    /// How many of them may run at once: now, and at most.
    pub concurrency: u32,
    pub concurrency_max: u32,
    /// Its hosts said lately that so many were too many.
    pub had_enough: bool,
    /// The same for all destinations together.
    pub total_active: usize,
    pub total_concurrency: u32,
    /// The run of this delivery, if it runs.
    pub run: Option<Run>,
    /// When the rate of the destination lets the next one go.
    pub rate_until: Option<Timestamp>,
    /// The destination is taken to be down: when it is probed next.
    pub down_until: Option<Timestamp>,
    /// It refused even a single connection, and is left alone until then.
    pub rests_until: Option<Timestamp>,
    pub hold: Option<Hold>,
    pub stop: Option<Stop>,
}

/// A delivery that is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub since: Timestamp,
    /// The host that is being talked to.
    pub host: Option<String>,
}

/// An operator's hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub scope: HoldScope,
    pub by: Actor,
    pub at: Timestamp,
    /// `None`: until it is released.
    pub until: Option<Timestamp>,
    pub reason: Option<String>,
}

/// What is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldScope {
    Message,
    Domain(String),
    Route(String),
}

/// Why no delivery at all is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The daemon does not run.
    NotRunning,
    /// The spool cannot be written.
    Spool,
    /// The audit log cannot be written, and the configuration asks for it.
    Audit,
}

/// By what destinations are ordered, the most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Deliveries that are not made yet.
    #[default]
    Count,
    Age,
    Active,
    Rate,
}

/// The destinations from above.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    pub destination_count: usize,
    pub held_destinations: usize,
    pub down_destinations: usize,
    /// When the oldest message came in.
    pub oldest: Option<Timestamp>,
    /// Messages that come in, and deliveries, of about the last ten seconds.
    pub arrived_per_second: f64,
    pub delivered_per_second: f64,
    pub deferred_per_second: f64,
    /// All deliveries by state, and how many may run.
    pub ready: usize,
    pub waiting: usize,
    pub held: usize,
    pub active: usize,
    pub concurrency: u32,
    /// The first ones by the order that was asked for.
    pub destinations: Vec<DestinationView>,
}

/// One destination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DestinationView {
    /// A domain, an address, or the name of a route.
    pub name: String,
    pub is_route: bool,
    /// Due.
    pub ready: usize,
    /// For their next try.
    pub waiting: usize,
    pub held: usize,
    pub active: usize,
    /// How many may run at once: now, and at most.
    pub concurrency: u32,
    pub concurrency_max: u32,
    /// The whole destination is held.
    pub is_held: bool,
    /// When the oldest message came in, a few seconds early at most.
    pub oldest: Option<Timestamp>,
    pub delivered_per_second: f64,
    pub deferred_per_second: f64,
    /// When it is probed next, should it be down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_until: Option<Timestamp>,
    /// When its rate lets the next one go, should that be what is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_until: Option<Timestamp>,
    pub last: Option<Trouble>,
}

/// A run of the dispatcher's.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) job: JobId,
    pub(super) since: Timestamp,
    pub(super) note: Note,
}

impl Dispatcher {
    /// How the recipients of some messages stand. Costs a look at every lane, once for all of them.
    pub(super) fn standings(&self, messages: &[MessageId]) -> HashMap<MessageId, Vec<Standing>> {
        let running: HashMap<JobId, &Running> = self.tasks.values().map(|running| (running.job, running)).collect();
        let mut standings: HashMap<MessageId, Vec<Standing>> = HashMap::new();
        let mut by_lane: HashMap<LaneKey, Vec<(MessageId, usize)>> = HashMap::new();
        let common = self.common();
        for message in messages {
            for id in self.jobs.of_message(*message).into_iter().rev() {
                let Some((standing, lane)) = self.standing(id, running.get(&id).copied(), &common) else { continue };
                let of_message = standings.entry(*message).or_default();
                by_lane.entry(lane).or_default().push((*message, of_message.len()));
                of_message.push(standing);
            }
        }
        for view in self.scheduler.lanes() {
            for (message, place) in by_lane.get(view.key).into_iter().flatten() {
                if let Some(standing) = standings.get_mut(message).and_then(|all| all.get_mut(*place)) {
                    place_in(&view, standing);
                }
            }
        }
        standings
    }

    fn standing(&self, id: JobId, running: Option<&Running>, common: &Circumstances) -> Option<(Standing, LaneKey)> {
        let lane = self.jobs.lane_of(id)?;
        let job = self.scheduler.job(id)?;
        let state = match job.state {
            JobState::Waiting { due } => StandingState::Waiting(due.saturating_since(clock::now())),
            JobState::Ready => StandingState::Ready,
            JobState::Running => StandingState::Active,
            JobState::Held => StandingState::Held,
        };
        let destination = lane.destination.to_string();
        let run = running.map(|running| Run { since: running.since, host: running.note.host() });
        let around = Circumstances { destination: destination.clone(), run, ..common.clone() };
        let recipients = self.jobs.recipients(id).to_vec();
        Some((Standing { destination, recipients, state, around }, lane.key.clone()))
    }

    /// What is so for all.
    fn common(&self) -> Circumstances {
        let stop = match () {
            () if self.outbound.spool.failure().is_some() => Some(Stop::Spool),
            () if !self.may_begin() => Some(Stop::Audit),
            () => None,
        };
        let (running, total_concurrency) = (self.scheduler.counts().running, self.snapshot.limits.total_concurrency);
        let total = usize::try_from(total_concurrency).unwrap_or(usize::MAX);
        // Some that run do not count: they hang, or connect to nobody.
        let total_active =
            if self.scheduler.is_full() { running.max(total) } else { running.min(total.saturating_sub(1)) };
        Circumstances { total_active, total_concurrency, stop, ..Circumstances::default() }
    }

    /// The destinations from above; at most `limit` of them by name. Costs a look at every lane.
    pub(super) fn overview(&self, limit: usize, order: Order) -> Overview {
        let (now, counts) = (clock::now(), self.scheduler.counts());
        let mut overview = Overview {
            oldest: self.books.iter().filter_map(|(_, book)| book.oldest()).min(),
            arrived_per_second: hundredths(&self.books.arrived, now),
            delivered_per_second: hundredths(&self.books.delivered, now),
            deferred_per_second: hundredths(&self.books.deferred, now),
            ready: counts.ready,
            waiting: counts.waiting,
            held: counts.held,
            active: counts.running,
            concurrency: self.snapshot.limits.total_concurrency,
            ..Overview::default()
        };
        let mut views: HashMap<&LaneKey, LaneView<'_>> = HashMap::new();
        for view in self.scheduler.lanes() {
            overview.destination_count += 1;
            overview.down_destinations += usize::from(view.down_until.is_some());
            views.insert(view.key, view);
        }
        let holds = self.outbound.holds.load();
        overview.held_destinations = holds.count();
        // Those too that have no mail at this moment, because it goes out as it comes in.
        let ranked = self.books.iter().map(|(lane, book)| {
            let view = views.get(lane);
            (rank(view, book, order, now), (view, book))
        });
        let ranked = ranked.filter(|((first, count), _)| *first > 0 || *count > 0).collect();
        overview.destinations =
            first_of(ranked, limit).into_iter().map(|(view, book)| destination(view, book, &holds, now)).collect();
        overview
    }
}

fn destination(view: Option<&LaneView<'_>>, book: &Book, holds: &InForce, now: Instant) -> DestinationView {
    let is_held = holds.catches(book.destination.domain().as_ref(), book.destination.route()).is_some();
    let (ready, waiting, held_jobs) = view.map_or((0, 0, 0), |view| (view.ready, view.waiting, view.held_jobs));
    DestinationView {
        name: book.destination.to_string(),
        is_route: book.destination.is_route(),
        ready: if is_held { 0 } else { ready },
        waiting: if is_held { 0 } else { waiting },
        held: held_jobs + if is_held { ready + waiting } else { 0 },
        active: view.map_or(0, |view| view.running),
        concurrency: view.map_or(0, |view| view.window),
        concurrency_max: view.map_or(0, |view| view.cap),
        is_held,
        oldest: book.oldest(),
        delivered_per_second: hundredths(&book.delivered, now),
        deferred_per_second: hundredths(&book.deferred, now),
        down_until: view.and_then(|view| view.down_until).map(moment),
        rate_until: view.and_then(|view| view.rate_wait).map(moment),
        last: book.last.as_deref().cloned(),
    }
}

/// As much of it as means anything.
fn hundredths(rate: &Rate, now: Instant) -> f64 {
    (rate.per_second(now) * 100.0).round() / 100.0
}

fn place_in(view: &LaneView<'_>, standing: &mut Standing) {
    let around = &mut standing.around;
    (around.ready, around.active) = (view.ready, view.running);
    (around.concurrency, around.concurrency_max) = (view.window, view.cap);
    around.had_enough = view.last_signal == Some(Signal::Busy);
    around.down_until = view.down_until.map(moment);
    around.rests_until = view.rests_until.map(moment);
    around.rate_until = view.rate_wait.map(moment);
}

/// A moment of the scheduler's, on the clock.
fn moment(at: Instant) -> Timestamp {
    clock::timestamp() + at.saturating_since(clock::now())
}

/// Greater ones come first. Those that are equal go by the number of their deliveries; those without any do not count.
type Rank = (u64, usize);

fn rank(view: Option<&LaneView<'_>>, book: &Book, order: Order, now: Instant) -> Rank {
    let count = view.map_or(0, |view| view.waiting + view.ready + view.running + view.held_jobs);
    let first = match order {
        Order::Count => 0,
        Order::Age => book.oldest().map_or(0, |oldest| u64::MAX - u64::try_from(oldest.micros()).unwrap_or(0)),
        Order::Active => view.map_or(0, |view| view.running as u64),
        // In thousandths, so that it compares.
        Order::Rate => (book.delivered.per_second(now) * 1000.0) as u64,
    };
    (first, count)
}

/// The `limit` greatest, the greatest first; among equals those that came first.
fn first_of<T>(ranked: Vec<(Rank, T)>, limit: usize) -> Vec<T> {
    let placed = ranked.into_iter().enumerate().map(|(place, (rank, item))| ((Reverse(rank), place), item));
    let mut placed: Vec<((Reverse<Rank>, usize), T)> = placed.collect();
    if limit < placed.len() {
        placed.select_nth_unstable_by_key(limit, |(key, _)| *key);
        placed.truncate(limit);
    }
    placed.sort_unstable_by_key(|(key, _)| *key);
    placed.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_come_first_and_no_more_than_asked_for() {
        let ranked = |ranks: &[Rank]| ranks.iter().copied().zip(0..).collect::<Vec<(Rank, u32)>>();
        for (ranks, limit, expected) in [
            (&[][..], 3, vec![]),
            (&[(0, 1), (0, 5), (0, 3)][..], 2, vec![1, 2]),
            (&[(0, 1), (0, 5), (0, 3)][..], 3, vec![1, 2, 0]),
            (&[(0, 1), (0, 5), (0, 3)][..], 9, vec![1, 2, 0]),
            (&[(2, 0), (1, 9), (2, 1), (2, 1)][..], 3, vec![2, 3, 0]),
            (&[(0, 1)][..], 0, vec![]),
        ] {
            assert_eq!(first_of(ranked(ranks), limit), expected, "{ranks:?} {limit}");
        }
    }
}
