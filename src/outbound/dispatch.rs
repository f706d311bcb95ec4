//! The dispatcher: owns the scheduler, starts attempts, takes their ends, and answers the operator.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinSet};

use crate::clock;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::schedule::job::{Counts, End, Job, JobId, JobState, Selection};
use crate::schedule::scheduler::{Limits, Next, Scheduler};
use crate::spool::Stored;

use super::attempt::{self, Ended, Work};
use super::destination::{Decider, Share};
use super::{Outbound, Snapshot};

/// New messages that are planned before the scheduler is asked again.
const NEW_MESSAGES_AT_ONCE: usize = 256;
/// How long nothing is begun while the log or the spool is out of order.
const SYSTEM_PAUSE: Duration = Duration::from_millis(500);
/// How often new configuration, limits and counts are looked at.
const TICK: Duration = Duration::from_secs(1);
/// A panic in an attempt is a bug; its recipients are tried again after this.
const PANIC_RETRY: Duration = Duration::from_secs(300);

/// What an operator asks for.
#[derive(Debug)]
pub enum Command {
    /// How the recipients of a message stand.
    Standing(MessageId, oneshot::Sender<Vec<Standing>>),
    /// Try what waits at once. Answers how many jobs that moved.
    Retry(Retry, oneshot::Sender<usize>),
    /// Plan every waiting message anew: the configuration has changed.
    Replan,
}

/// What is to be tried at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    All,
    Message(MessageId),
    Domain(Domain),
}

/// How the recipients of a message that travel together stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// A domain, an address, or the name of a route.
    pub destination: String,
    pub recipients: Vec<u32>,
    pub state: StandingState,
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

/// What the dispatcher is started with.
#[derive(Debug)]
pub struct Start {
    pub outbound: Arc<Outbound>,
    /// Messages from before the start.
    pub pending: Vec<MessageId>,
    pub new_messages: UnboundedReceiver<MessageId>,
    pub commands: Receiver<Command>,
    /// Turns true when no attempt is to be begun any more.
    pub drain: watch::Receiver<bool>,
    /// What the operator's metrics want to know, about once a second.
    pub report: watch::Sender<Counts>,
}

struct Dispatcher {
    outbound: Arc<Outbound>,
    snapshot: Arc<Snapshot>,
    scheduler: Scheduler,
    jobs: HashMap<JobId, Work>,
    by_message: HashMap<MessageId, Vec<JobId>>,
    next_job: u64,
    running: JoinSet<Ended>,
    tasks: HashMap<Id, JobId>,
}

/// Runs until `drain` turns true and every attempt has ended.
pub async fn run(start: Start) {
    let Start { outbound, pending, mut new_messages, mut commands, mut drain, report } = start;
    let snapshot = outbound.snapshot.load_full();
    let mut dispatcher = Dispatcher {
        scheduler: Scheduler::new(limits(&snapshot)),
        snapshot,
        outbound,
        jobs: HashMap::new(),
        by_message: HashMap::new(),
        next_job: 0,
        running: JoinSet::new(),
        tasks: HashMap::new(),
    };
    for id in pending {
        dispatcher.add_message(id);
    }
    let mut tick = tokio::time::interval(TICK);
    while !*drain.borrow() {
        let wake = dispatcher.start_due();
        tokio::select! {
            Some(id) = new_messages.recv() => {
                dispatcher.add_message(id);
                for _ in 1..NEW_MESSAGES_AT_ONCE {
                    let Ok(id) = new_messages.try_recv() else { break };
                    dispatcher.add_message(id);
                }
            }
            Some(ended) = dispatcher.running.join_next_with_id(), if !dispatcher.running.is_empty() => {
                dispatcher.take_end(ended);
            }
            Some(command) = commands.recv() => dispatcher.command(command),
            _ = tick.tick() => { _ = report.send(dispatcher.scheduler.counts()); }
            () = tokio::time::sleep(wake) => {}
            _ = drain.changed() => {}
        }
    }
    dispatcher.finish().await;
}

impl Dispatcher {
    /// Plans the pending recipients of a message as jobs, one for those that travel together.
    fn add_message(&mut self, id: MessageId) {
        if self.by_message.contains_key(&id) {
            return;
        }
        let Some(stored) = self.outbound.spool.load(id) else { return };
        for share in self.shares(&stored) {
            self.add_job(id, share);
        }
    }

    fn shares(&self, stored: &Stored) -> Vec<Share> {
        Decider::new(&self.snapshot.policies, &stored.envelope, &stored.states, clock::timestamp()).shares()
    }

    fn add_job(&mut self, message: MessageId, share: Share) {
        let now = clock::now();
        let due = share.due(now, clock::timestamp(), &self.snapshot.retry);
        self.next_job += 1;
        let (id, key) = (JobId(self.next_job), share.destination.lane());
        if self.scheduler.add(now, Job { id, lane: key.clone(), due, attempts: share.attempts }).is_ok() {
            if let Some(concurrency) = share.destination.concurrency() {
                self.scheduler.set_lane_concurrency(&key, concurrency);
            }
            self.jobs.insert(id, Work { message, destination: share.destination, recipients: share.recipients });
            self.by_message.entry(message).or_default().push(id);
        }
    }

    /// Starts everything that may run now. Gives the time until the next look.
    fn start_due(&mut self) -> Duration {
        if !self.may_begin() {
            return SYSTEM_PAUSE;
        }
        loop {
            match self.scheduler.poll(clock::now()) {
                Next::Run(id, _) => self.start(id),
                Next::WaitUntil(moment) => return moment.saturating_since(clock::now()),
                Next::Idle => return TICK * 60,
            }
        }
    }

    /// Nothing is begun that could not be written down.
    fn may_begin(&self) -> bool {
        self.outbound.spool.failure().is_none() && (!self.snapshot.needs_audit || self.outbound.audit.is_writable())
    }

    fn start(&mut self, id: JobId) {
        let Some(work) = self.jobs.get(&id).cloned() else {
            self.scheduler.handle_finished(clock::now(), id, End::Done);
            return;
        };
        let task = self.running.spawn(attempt::run(self.outbound.clone(), work));
        self.tasks.insert(task.id(), id);
    }

    fn take_end(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        let (task, ended) = match ended {
            Ok((task, ended)) => (task, Some(ended)),
            Err(error) => {
                tracing::error!(%error, "an attempt ended by a panic");
                (error.id(), None)
            }
        };
        let Some(id) = self.tasks.remove(&task) else { return };
        let now = clock::now();
        match ended {
            Some(Ended::Done) => self.end_job(id),
            Some(Ended::Again { recipients, after }) => {
                if let Some(work) = self.jobs.get_mut(&id) {
                    work.recipients = recipients;
                }
                self.scheduler.handle_finished(now, id, End::RetryAt(now + after));
            }
            Some(Ended::Replan(recipients)) => {
                let message = self.jobs.get(&id).map(|work| work.message);
                self.end_job(id);
                if let Some(message) = message {
                    self.plan(message, &recipients);
                }
            }
            None => _ = self.scheduler.handle_finished(now, id, End::RetryAt(now + PANIC_RETRY)),
        }
    }

    fn end_job(&mut self, id: JobId) {
        self.scheduler.handle_finished(clock::now(), id, End::Done);
        self.forget_job(id);
    }

    fn forget_job(&mut self, id: JobId) {
        let Some(work) = self.jobs.remove(&id) else { return };
        if let Some(jobs) = self.by_message.get_mut(&work.message) {
            jobs.retain(|job| *job != id);
            if jobs.is_empty() {
                self.by_message.remove(&work.message);
            }
        }
    }

    /// Takes the jobs of a message that do not run and plans its recipients anew. Those that run plan themselves.
    fn replan(&mut self, message: MessageId) {
        let jobs = self.by_message.get(&message).cloned().unwrap_or_default();
        let running = |id: &JobId| self.scheduler.job(*id).is_some_and(|job| job.state == JobState::Running);
        let idle: Vec<JobId> = jobs.into_iter().filter(|id| !running(id)).collect();
        let mut open = Vec::new();
        for id in idle {
            open.extend(self.jobs.get(&id).map(|work| work.recipients.clone()).unwrap_or_default());
            self.scheduler.remove(id);
            self.forget_job(id);
        }
        self.plan(message, &open);
    }

    /// Plans these recipients of a message and no others: the index learns of a delivery a moment after it, and who
    /// was served must not be planned again.
    fn plan(&mut self, message: MessageId, open: &[u32]) {
        let Some(stored) = self.outbound.spool.load(message) else { return };
        for mut share in self.shares(&stored) {
            share.recipients.retain(|place| open.contains(place));
            if !share.recipients.is_empty() {
                self.add_job(message, share);
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Standing(message, answer) => _ = answer.send(self.standing(message)),
            Command::Retry(retry, answer) => _ = answer.send(self.retry(&retry)),
            Command::Replan => {
                self.snapshot = self.outbound.snapshot.load_full();
                self.scheduler.set_limits(limits(&self.snapshot));
                let messages: Vec<MessageId> = self.by_message.keys().copied().collect();
                for message in messages {
                    self.replan(message);
                }
            }
        }
    }

    fn standing(&self, message: MessageId) -> Vec<Standing> {
        let jobs = self.by_message.get(&message).into_iter().flatten();
        let standing = |id: &JobId| {
            let work = self.jobs.get(id)?;
            let state = match self.scheduler.job(*id)?.state {
                JobState::Waiting { due } => StandingState::Waiting(due.saturating_since(clock::now())),
                JobState::Ready => StandingState::Ready,
                JobState::Running => StandingState::Active,
                JobState::Held => StandingState::Held,
            };
            Some(Standing { destination: work.destination.to_string(), recipients: work.recipients.clone(), state })
        };
        jobs.filter_map(standing).collect()
    }

    fn retry(&mut self, retry: &Retry) -> usize {
        let now = clock::now();
        match retry {
            Retry::All => self.scheduler.retry_now(now, Selection::All),
            Retry::Message(message) => {
                let jobs = self.by_message.get(message).cloned().unwrap_or_default();
                jobs.into_iter().map(|id| self.scheduler.retry_now(now, Selection::Job(id))).sum()
            }
            Retry::Domain(domain) => {
                let spool = self.outbound.spool.clone();
                let has_domain = |work: &Work| {
                    let stored = spool.load(work.message);
                    stored.is_some_and(|stored| {
                        let recipient = |place: &u32| stored.envelope.recipients.get(usize::try_from(*place).ok()?);
                        work.recipients.iter().filter_map(recipient).any(|r| r.address.domain() == Some(domain))
                    })
                };
                let jobs: Vec<JobId> =
                    self.jobs.iter().filter(|(_, work)| has_domain(work)).map(|(id, _)| *id).collect();
                jobs.into_iter().map(|id| self.scheduler.retry_now(now, Selection::Job(id))).sum()
            }
        }
    }

    /// Lets what runs come to its end. The caller bounds the time; what is cut off is tried again after the start.
    async fn finish(&mut self) {
        while let Some(ended) = self.running.join_next_with_id().await {
            self.take_end(ended);
        }
        self.outbound.looks.end().await;
        self.outbound.pool.close().await;
    }
}

fn limits(snapshot: &Snapshot) -> Limits {
    Limits { lane_concurrency: snapshot.lane_concurrency, total_concurrency: snapshot.total_concurrency }
}
