//! What the operator asks of the dispatcher: how things stand, and what is to be changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};

use crate::clock;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;
use crate::schedule::job::{JobId, JobState, Selection, Signal};
use crate::spool::state::RecipientState;

use super::attempt::Ended;
use super::destination::Decider;
use super::dispatch::Dispatcher;
use super::orders::{self, Action, Carried, Errand, Order, Tally};
use super::overview::{self, Overview, Standing};

/// What an operator asks for.
#[derive(Debug)]
pub enum Command {
    /// How the recipients of these messages stand.
    Standings(Vec<MessageId>, oneshot::Sender<HashMap<MessageId, Vec<Standing>>>),
    /// At most so many destinations, and what is so for all.
    Overview(usize, overview::Order, oneshot::Sender<Overview>),
    /// Try what waits at once. Answers how many jobs that moved.
    Retry(Retry, oneshot::Sender<usize>),
    /// Plan every waiting message anew: the configuration has changed.
    Replan,
    /// Change what waits.
    Steer(Steer),
}

/// Recipients of some messages that an order is about.
#[derive(Debug)]
pub struct Steer {
    pub order: Arc<Order>,
    pub selected: Vec<Selected>,
    /// What came of it, once all of it is durable.
    pub answer: oneshot::Sender<Tally>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    pub message: MessageId,
    /// Places in the envelope.
    pub places: Vec<u32>,
}

/// Messages that are released in one tick because their time is over.
const RELEASED_AT_ONCE: usize = 1000;

/// What the operator has ordered and what is not done yet.
#[derive(Debug, Default)]
pub(super) struct Steering {
    errands: JoinSet<Vec<Carried>>,
    under_way: HashMap<Id, UnderWay>,
    /// What is to be done about jobs that run, if they come back. No more than run.
    later: HashMap<JobId, Vec<Late>>,
    /// The same of messages on which an errand is out. No more than are claimed.
    after: HashMap<MessageId, Vec<Late>>,
    /// When holds of messages are over. One that was released before stays here until then, and does no harm.
    ends: BTreeSet<(Timestamp, MessageId)>,
}

/// An order, and the recipients that it is about.
type Late = (Arc<Order>, Vec<u32>);

/// Errands on which a task is out. Nothing else touches their recipients meanwhile: they have no job.
#[derive(Debug)]
struct UnderWay {
    claimed: Vec<(MessageId, Vec<u32>)>,
    tally: Tally,
    /// `None`: nobody waits.
    answer: Option<oneshot::Sender<Tally>>,
}

pub(super) type Done = Result<(Id, Vec<Carried>), JoinError>;

impl Steering {
    pub(super) fn is_busy(&self) -> bool {
        !self.errands.is_empty()
    }

    pub(super) async fn next_done(&mut self) -> Option<Done> {
        self.errands.join_next_with_id().await
    }

    /// Recipients of a message on which an errand is out.
    fn claimed(&self, message: MessageId) -> Vec<u32> {
        let claimed = self.under_way.values().flat_map(|under_way| &under_way.claimed);
        claimed.filter(|(id, _)| *id == message).flat_map(|(_, places)| places).copied().collect()
    }

    /// What was ordered meanwhile about these recipients of a message.
    fn take_after(&mut self, message: MessageId, places: &[u32]) -> Vec<Late> {
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for (order, about) in self.after.remove(&message).unwrap_or_default() {
            let (own, others): (Vec<u32>, Vec<u32>) = about.into_iter().partition(|place| places.contains(place));
            taken.extend(Some((order.clone(), own)).filter(|(_, places)| !places.is_empty()));
            left.extend(Some((order, others)).filter(|(_, places)| !places.is_empty()));
        }
        if !left.is_empty() {
            self.after.insert(message, left);
        }
        taken
    }

    pub(super) fn hold_ends(&mut self, at: Timestamp, message: MessageId) {
        self.ends.insert((at, message));
    }
}

/// What is to be tried at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    All,
    Message(MessageId),
    Domain(Domain),
}

impl Dispatcher {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Standings(messages, answer) => _ = answer.send(self.standings(&messages)),
            Command::Overview(limit, order, answer) => _ = answer.send(self.overview(limit, order)),
            Command::Retry(retry, answer) => _ = answer.send(self.retry(&retry)),
            Command::Replan => {
                self.snapshot = self.outbound.snapshot.load_full();
                self.scheduler.set_limits(self.snapshot.limits);
                self.replans = self.jobs.messages().collect::<Vec<_>>().into_iter();
            }
            Command::Steer(steer) => self.steer(steer),
        }
    }

    fn retry(&mut self, retry: &Retry) -> usize {
        let now = clock::now();
        match retry {
            Retry::All => self.scheduler.retry_now(now, Selection::All),
            Retry::Message(message) => {
                let jobs = self.jobs.of_message(*message);
                jobs.into_iter().map(|id| self.scheduler.retry_now(now, Selection::Job(id))).sum()
            }
            Retry::Domain(domain) => {
                let jobs: Vec<JobId> = self.jobs.messages().flat_map(|id| self.jobs_for(id, domain)).collect();
                jobs.into_iter().map(|id| self.scheduler.retry_now(now, Selection::Job(id))).sum()
            }
        }
    }

    /// The jobs of a message that have a recipient of this domain.
    fn jobs_for(&self, message: MessageId, domain: &Domain) -> Vec<JobId> {
        let Some(outline) = self.outbound.spool.outline(message) else { return Vec::new() };
        let recipient = |place: &u32| outline.recipients.get(usize::try_from(*place).ok()?);
        let is_for = |id: &JobId| {
            self.jobs.recipients(*id).iter().filter_map(recipient).any(|address| address.domain() == Some(domain))
        };
        self.jobs.of_message(message).into_iter().filter(is_for).collect()
    }
}

/// What changes the queue: jobs that do not run are taken out, changed on disk, and planned anew. Those that run are
/// never torn out.
impl Dispatcher {
    fn steer(&mut self, Steer { order, selected, answer }: Steer) {
        let mut tally = Tally::default();
        let errands: Vec<Errand> =
            selected.iter().filter_map(|selected| self.claim(&order, selected, &mut tally)).collect();
        if errands.is_empty() {
            _ = answer.send(tally);
        } else {
            self.begin(errands, tally, Some(answer));
        }
    }

    /// Takes what the order is about out of the scheduler.
    fn claim(&mut self, order: &Arc<Order>, selected: &Selected, tally: &mut Tally) -> Option<Errand> {
        let message = selected.message;
        let mut errand = Errand { message, open: Vec::new(), orders: Vec::new() };
        let mut chosen = Vec::new();
        let before = tally.recipients;
        for id in self.jobs.of_message(message) {
            if !self.jobs.lane_of(id).is_some_and(|lane| order.concerns(&lane.destination)) {
                continue;
            }
            let recipients = self.jobs.recipients(id);
            let places: Vec<u32> = recipients.iter().copied().filter(|place| selected.places.contains(place)).collect();
            let Some(state) = self.scheduler.job(id).map(|job| job.state).filter(|_| !places.is_empty()) else {
                continue;
            };
            tally.recipients += places.len();
            let is_held = state == JobState::Held;
            match (&order.action, state) {
                (_, JobState::Running) => {
                    tally.active += places.len();
                    if order.counts_later() {
                        self.steering.later.entry(id).or_default().push((order.clone(), places));
                    }
                }
                (Action::Release | Action::ReleaseExpired | Action::ReleaseWithDestination, _) if !is_held => {
                    tally.unchanged += places.len()
                }
                (Action::Retry, _) => {
                    let is_moved = match order.is_rehearsal {
                        true => matches!(state, JobState::Waiting { .. }),
                        false => self.scheduler.retry_now(clock::now(), Selection::Job(id)) > 0,
                    };
                    let count = if is_moved { &mut tally.done } else { &mut tally.unchanged };
                    *count += places.len();
                    tally.still_held += if is_held { places.len() } else { 0 };
                }
                (Action::Release | Action::ReleaseWithDestination, _) if order.is_rehearsal => {
                    self.rehearse_release(id, &places, &order.action, tally);
                }
                (Action::Reroute { via }, _) if order.is_rehearsal => self.rehearse(message, &places, via, tally),
                _ if order.is_rehearsal => tally.done += places.len(),
                (_, _) => {
                    errand.open.extend_from_slice(recipients);
                    chosen.extend(places);
                    self.scheduler.remove(id);
                    self.forget_job(id);
                }
            }
        }
        self.put_off(order, selected, tally);
        tally.count_message(message, before);
        if errand.open.is_empty() {
            return None;
        }
        if order.action == Action::Replan {
            self.plan(message, &errand.open);
            return None;
        }
        errand.orders.push((order.clone(), chosen));
        Some(errand)
    }

    /// Whose errand is out is seen to when it is back.
    fn put_off(&mut self, order: &Arc<Order>, selected: &Selected, tally: &mut Tally) {
        let message = selected.message;
        let claimed = self.steering.claimed(message);
        let Some(outline) = self.outbound.spool.outline(message).filter(|_| !claimed.is_empty()) else { return };
        let is_meant = |place: &u32| claimed.contains(place) && selected.places.contains(place);
        let decider = Decider::of_outline(&self.snapshot.policies, &outline, clock::timestamp());
        let shares = decider.shares().into_iter().filter(|share| order.concerns(&share.destination));
        let places: Vec<u32> = shares.flat_map(|share| share.recipients).filter(is_meant).collect();
        if places.is_empty() {
            return;
        }
        tally.recipients += places.len();
        tally.active += places.len();
        if order.counts_later() {
            self.steering.after.entry(message).or_default().push((order.clone(), places));
        }
    }

    /// Counts who would be free: a message may be held by itself, with its destination, or both ways.
    fn rehearse_release(&self, job: JobId, places: &[u32], action: &Action, tally: &mut Tally) {
        let Some(outline) = self.jobs.message(job).and_then(|message| self.outbound.spool.outline(message)) else {
            return;
        };
        let holds = self.outbound.holds.load();
        let route = self.jobs.lane_of(job).and_then(|lane| lane.destination.route());
        for place in places.iter().filter_map(|place| usize::try_from(*place).ok()) {
            let pending = outline.states.get(place).and_then(RecipientState::pending);
            let by_itself = pending.is_some_and(|pending| pending.held.is_some());
            let domain = outline.recipients.get(place).and_then(|address| address.domain());
            let (stays, changes) = match action {
                Action::Release => (holds.catches(domain, route).is_some(), by_itself),
                _ => (by_itself, !by_itself),
            };
            tally.still_held += usize::from(stays);
            *if changes || !stays { &mut tally.done } else { &mut tally.unchanged } += 1;
        }
    }

    /// Counts whom the route would take.
    fn rehearse(&self, message: MessageId, places: &[u32], via: &str, tally: &mut Tally) {
        let Some(outline) = self.outbound.spool.outline(message) else { return };
        let decider = Decider::of_outline(&self.snapshot.policies, &outline, clock::timestamp());
        for place in places {
            let address = usize::try_from(*place).ok().and_then(|place| outline.recipients.get(place));
            match address.map(|address| (address, decider.by_way(address, via))) {
                Some((address, Err(refusal))) => tally.refuse(address.host().to_string(), refusal.to_string(), 1),
                _ => tally.done += 1,
            }
        }
    }

    fn begin(&mut self, errands: Vec<Errand>, tally: Tally, answer: Option<oneshot::Sender<Tally>>) {
        let claimed = errands.iter().map(|errand| (errand.message, errand.open.clone())).collect();
        let task = self.steering.errands.spawn(orders::carry_out(self.outbound.clone(), errands));
        self.steering.under_way.insert(task.id(), UnderWay { claimed, tally, answer });
    }

    /// Plans what is left of the messages of some errands.
    pub(super) fn carried_out(&mut self, done: Done) {
        let (id, carried) = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "an order of the operator ended by a panic");
                (error.id(), Vec::new())
            }
        };
        let Some(UnderWay { claimed, mut tally, answer }) = self.steering.under_way.remove(&id) else { return };
        let mut errands = Vec::new();
        for (message, open) in claimed {
            let orders = self.steering.take_after(message, &open);
            let open = match carried.iter().find(|carried| carried.message == message) {
                Some(carried) => carried.open.clone(),
                None => {
                    tally.failed += open.len();
                    open
                }
            };
            match orders.is_empty() {
                true => self.plan(message, &open),
                false => errands.push(Errand { message, open, orders }),
            }
        }
        if !errands.is_empty() {
            self.begin(errands, Tally::default(), None);
        }
        carried.into_iter().for_each(|carried| tally.add(carried.tally));
        if let Some(answer) = answer {
            _ = answer.send(tally);
        }
    }

    /// Does what was ordered about a job while it ran, now that it has come back. Gives its end where nothing was.
    pub(super) fn obey_late(&mut self, id: JobId, ended: Option<Ended>, signal: Signal) -> Option<Option<Ended>> {
        let Some(orders) = self.steering.later.remove(&id) else { return Some(ended) };
        let Some(message) = self.jobs.message(id) else { return Some(ended) };
        let open = match &ended {
            Some(Ended::Done) => return Some(ended),
            Some(Ended::Again { recipients, .. } | Ended::Replan(recipients)) => recipients.clone(),
            None => self.jobs.recipients(id).to_vec(),
        };
        let errand = Errand { message, open, orders };
        self.end_job(id, signal);
        self.begin(vec![errand], Tally::default(), None);
        None
    }

    /// Releases the messages whose hold is over.
    pub(super) fn release_expired(&mut self) {
        let now = clock::timestamp();
        let order = Arc::new(Order::expiry());
        let mut errands = Vec::new();
        while errands.len() < RELEASED_AT_ONCE {
            let Some((_, message)) = self.steering.ends.first().copied().filter(|(at, _)| *at <= now) else { break };
            self.steering.ends.pop_first();
            let count = self.outbound.spool.outline(message).map_or(0, |outline| outline.states.len());
            let places = (0..u32::MAX).take(count).collect();
            errands.extend(self.claim(&order, &Selected { message, places }, &mut Tally::default()));
        }
        if !errands.is_empty() {
            self.begin(errands, Tally::default(), None);
        }
    }
}
