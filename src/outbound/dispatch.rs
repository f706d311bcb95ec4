//! The dispatcher: owns the scheduler, starts attempts and takes their ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use tokio::sync::mpsc::{self, Receiver, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use crate::clock;
use crate::model::id::MessageId;
use crate::random;
use crate::schedule::job::{Counts, End, Finished, Job, JobId, JobState, Pass, Signal};
use crate::schedule::lane::LaneKey;
use crate::schedule::scheduler::{Next, Scheduler};
use crate::schedule::site::SiteKey;
use crate::spool::Outline;

use super::attempt::{self, Ended, Errand, Note};
use super::books::Books;
use super::destination::{Decider, Share};
use super::flow;
use super::jobs::{Jobs, Lane};
use super::lacking::TlsWaits;
use super::overview::Running;
use super::sites::{Sites, Teller, Told};
use super::steering::{Command, Steering};
use super::{Outbound, Snapshot};

/// New messages that are planned before the scheduler is asked again.
const NEW_MESSAGES_AT_ONCE: usize = 256;
/// Messages of a backlog that are planned before the scheduler is asked again.
const BACKLOG_AT_ONCE: usize = 1024;
/// How long nothing is begun while the log or the spool is out of order.
const SYSTEM_PAUSE: Duration = Duration::from_millis(500);
/// How often new configuration, limits and counts are looked at.
const TICK: Duration = Duration::from_secs(1);
/// A panic in an attempt is a bug; its recipients are tried again after this.
const PANIC_RETRY: Duration = Duration::from_secs(300);

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
    pub report: watch::Sender<Load>,
}

/// What there is to be delivered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    pub deliveries: Counts,
    /// Those of them whose last attempt found TLS that does not do.
    pub lacking_tls: TlsWaits,
}

pub(super) struct Dispatcher {
    pub(super) outbound: Arc<Outbound>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) scheduler: Scheduler,
    pub(super) jobs: Jobs,
    /// Messages from before the start that are still to be planned.
    backlog: vec::IntoIter<MessageId>,
    /// Messages that are to be planned anew.
    pub(super) replans: vec::IntoIter<MessageId>,
    /// What the operator wants and is not done yet.
    pub(super) steering: Steering,
    running: JoinSet<Ended>,
    pub(super) tasks: HashMap<Id, Running>,
    pub(super) books: Books,
    /// What attempts tell of the hosts that serve a lane, and what they tell it with.
    told: UnboundedReceiver<Told>,
    teller: UnboundedSender<Told>,
    pub(super) sites: Sites,
}

/// Runs until `drain` turns true and every attempt has ended.
pub async fn run(start: Start) {
    let Start { outbound, pending, mut new_messages, mut commands, mut drain, report } = start;
    let snapshot = outbound.snapshot.load_full();
    let (teller, told) = mpsc::unbounded_channel();
    let mut dispatcher = Dispatcher {
        scheduler: Scheduler::new(snapshot.limits),
        snapshot,
        outbound,
        jobs: Jobs::default(),
        backlog: pending.into_iter(),
        replans: Vec::new().into_iter(),
        steering: Steering::default(),
        running: JoinSet::new(),
        tasks: HashMap::new(),
        books: Books::default(),
        told,
        teller,
        sites: Sites::default(),
    };
    let mut tick = tokio::time::interval(TICK);
    while !*drain.borrow() {
        let is_planned = dispatcher.plan_backlog();
        let wake = dispatcher.start_due();
        tokio::select! {
            Some(id) = new_messages.recv() => {
                dispatcher.add_new(id);
                for _ in 1..NEW_MESSAGES_AT_ONCE {
                    let Ok(id) = new_messages.try_recv() else { break };
                    dispatcher.add_new(id);
                }
            }
            Some(told) = dispatcher.told.recv() => dispatcher.learn_site(&told),
            Some(ended) = dispatcher.running.join_next_with_id(), if !dispatcher.running.is_empty() => {
                dispatcher.take_end(ended);
            }
            // An answer about half a queue would be wrong.
            Some(command) = commands.recv(), if is_planned => dispatcher.command(command),
            Some(done) = dispatcher.steering.next_done(), if dispatcher.steering.is_busy() => {
                dispatcher.carried_out(done);
            }
            _ = tick.tick() => {
                dispatcher.tidy();
                _ = report.send(dispatcher.load());
                dispatcher.release_expired();
            }
            () = tokio::time::sleep(wake), if is_planned => {}
            () = tokio::task::yield_now(), if !is_planned => {}
            _ = drain.changed() => {}
        }
    }
    // Who asks now is told at once that nobody answers.
    drop(commands);
    dispatcher.finish().await;
}

impl Dispatcher {
    /// Plans some of what waits to be planned, so that the first of a long queue need not wait for the last. Whether
    /// nothing is left of it.
    fn plan_backlog(&mut self) -> bool {
        for _ in 0..BACKLOG_AT_ONCE {
            if let Some(id) = self.backlog.next() {
                self.add_message(id);
            } else if let Some(id) = self.replans.next() {
                self.replan(id);
            } else {
                (self.backlog, self.replans) = Default::default();
                return true;
            }
        }
        false
    }

    fn add_new(&mut self, id: MessageId) {
        self.books.arrived.count(clock::now());
        self.add_message(id);
    }

    /// Plans the pending recipients of a message as jobs, one for those that travel together.
    fn add_message(&mut self, id: MessageId) {
        if self.jobs.has_message(id) {
            return;
        }
        let Some(outline) = self.outbound.spool.outline(id) else { return };
        let flow = flow::of(&outline);
        for share in self.shares(&outline) {
            self.add_job(id, share, flow);
        }
    }

    fn shares(&self, outline: &Outline) -> Vec<Share> {
        let decider = Decider::of_outline(&self.snapshot.policies, outline, clock::timestamp());
        decider.under(&self.outbound.holds.load()).shares()
    }

    fn add_job(&mut self, message: MessageId, share: Share, flow: u32) {
        let now = clock::now();
        let due = share.due(now, clock::timestamp(), &self.snapshot.retry);
        let Share { destination, recipients, attempts, last_reason, held, held_until, .. } = share;
        let id = self.jobs.add(message, destination, recipients);
        self.jobs.set_trouble(id, last_reason);
        let Some(lane) = self.jobs.lane_of(id).cloned() else { return };
        if self.scheduler.add(now, Job { id, lane: lane.key.clone(), flow, due, attempts }).is_err() {
            self.jobs.remove(id);
            return;
        }
        self.books.join(&lane.key, &lane.destination, message, now);
        self.prepare(&lane);
        if held {
            self.scheduler.hold_job(id);
        }
        if let Some(until) = held_until {
            self.steering.hold_ends(until, message);
        }
    }

    /// Tells the scheduler what is known of a lane that has just got a job. It forgets that with the last one.
    fn prepare(&mut self, lane: &Lane) {
        if let Some(concurrency) = lane.destination.concurrency() {
            self.scheduler.set_lane_concurrency(&lane.key, concurrency);
        }
        if let Some(rate) = lane.destination.rate() {
            self.scheduler.set_rate(&lane.key, Some(rate));
        }
        if lane.site.load().is_none()
            && let Some(site) = self.books.site(&lane.key)
        {
            lane.site.store(Some(Arc::new(site.clone())));
        }
        if let Some(site) = lane.site.load().as_ref() {
            self.scheduler.set_site(&lane.key, site);
        }
    }

    fn learn_site(&mut self, Told { lane, site }: &Told) {
        self.scheduler.set_site(lane, site);
        self.books.set_site(lane, site);
    }

    fn load(&self) -> Load {
        Load { deliveries: self.scheduler.counts(), lacking_tls: self.jobs.lacking() }
    }

    fn tidy(&mut self) {
        if self.books.tidy(clock::now()) {
            self.sites.tidy(|site| self.scheduler.site(site).is_some());
        }
    }

    /// Starts everything that may run now. Gives the time until the next look.
    fn start_due(&mut self) -> Duration {
        if !self.may_begin() {
            return SYSTEM_PAUSE;
        }
        loop {
            match self.scheduler.poll(clock::now()) {
                Next::Run { job, lane, pass } => self.start(job, &lane, pass),
                Next::WaitUntil(moment) => return moment.saturating_since(clock::now()),
                Next::Idle => return TICK * 60,
            }
        }
    }

    /// Nothing is begun that could not be written down.
    pub(super) fn may_begin(&self) -> bool {
        self.outbound.spool.failure().is_none() && (!self.snapshot.needs_audit || self.outbound.audit.is_writable())
    }

    fn start(&mut self, id: JobId, lane: &LaneKey, pass: Pass) {
        let Some(work) = self.jobs.work(id) else {
            self.scheduler.handle_finished(clock::now(), id, Finished::untold(End::Done));
            return;
        };
        let note = Note::default();
        let errand = match pass {
            Pass::Normal | Pass::Probe => {
                Errand::Deliver(Teller { lane: work.lane.clone(), told: self.teller.clone() })
            }
            Pass::Down => Errand::Leave(self.site_of(lane).and_then(|site| self.sites.gone(site)).cloned()),
        };
        let task = self.running.spawn(attempt::run(self.outbound.clone(), work, errand, note.clone()));
        self.tasks.insert(task.id(), Running { job: id, since: clock::timestamp(), note });
    }

    fn site_of(&self, lane: &LaneKey) -> Option<&SiteKey> {
        self.scheduler.lane(lane)?.site
    }

    fn take_end(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        let (task, ended) = match ended {
            Ok((task, ended)) => (task, Some(ended)),
            Err(error) => {
                tracing::error!(%error, "an attempt ended by a panic");
                (error.id(), None)
            }
        };
        let Some(Running { job: id, note, .. }) = self.tasks.remove(&task) else { return };
        let now = clock::now();
        // What it told of its site goes before how it ended there.
        while let Ok(told) = self.told.try_recv() {
            self.learn_site(&told);
        }
        let lane = self.scheduler.job(id).map(|job| job.lane.clone());
        let (signal, failure) = note.showed(lane.as_ref().and_then(|lane| self.site_of(lane)));
        let end = note.end(matches!(ended, Some(Ended::Again { .. })));
        let reason = end.trouble.as_ref().map(|trouble| trouble.reason);
        if let Some(lane) = lane {
            self.books.ended(&lane, end, now);
            if signal == Signal::Unreachable || !self.sites.are_all_there() {
                let site = self.site_of(&lane).cloned();
                site.into_iter()
                    .for_each(|site| self.sites.showed(&site, signal, failure.as_deref(), clock::timestamp()));
            }
        }
        let Some(ended) = self.obey_late(id, ended, signal) else { return };
        match ended {
            Some(Ended::Done) => self.end_job(id, signal),
            Some(Ended::Again { recipients, after }) => {
                self.jobs.set_recipients(id, recipients);
                self.jobs.set_trouble(id, reason);
                self.finish_job(id, End::RetryAt(now + after), signal);
            }
            Some(Ended::Replan(recipients)) => {
                let message = self.jobs.message(id);
                self.end_job(id, signal);
                // By the settings that it asks for, which may be newer than those that it was planned by.
                self.snapshot = self.outbound.snapshot.load_full();
                if let Some(message) = message {
                    self.plan(message, &recipients);
                }
            }
            None => {
                self.finish_job(id, End::RetryAt(now + PANIC_RETRY), Signal::Neutral);
            }
        }
    }

    fn finish_job(&mut self, id: JobId, end: End, signal: Signal) {
        self.scheduler.handle_finished(clock::now(), id, Finished { end, signal, jitter: random::number() });
    }

    pub(super) fn end_job(&mut self, id: JobId, signal: Signal) {
        self.finish_job(id, End::Done, signal);
        self.forget_job(id);
    }

    pub(super) fn forget_job(&mut self, id: JobId) {
        if let (Some(lane), Some(message)) = (self.jobs.lane_of(id), self.jobs.message(id)) {
            self.books.leave(&lane.key, message, clock::now());
            self.jobs.remove(id);
        }
    }

    /// Takes the jobs of a message that do not run and plans its recipients anew. Those that run plan themselves.
    pub(super) fn replan(&mut self, message: MessageId) {
        let jobs = self.jobs.of_message(message);
        let running = |id: &JobId| self.scheduler.job(*id).is_some_and(|job| job.state == JobState::Running);
        let idle: Vec<JobId> = jobs.into_iter().filter(|id| !running(id)).collect();
        let mut open = Vec::new();
        for id in idle {
            open.extend_from_slice(self.jobs.recipients(id));
            self.scheduler.remove(id);
            self.forget_job(id);
        }
        self.plan(message, &open);
    }

    /// Plans these recipients of a message and no others: the index learns of a delivery a moment after it, and who
    /// was served must not be planned again.
    pub(super) fn plan(&mut self, message: MessageId, open: &[u32]) {
        let Some(outline) = self.outbound.spool.outline(message) else { return };
        let flow = flow::of(&outline);
        for mut share in self.shares(&outline) {
            share.recipients.retain(|place| open.contains(place));
            if !share.recipients.is_empty() {
                self.add_job(message, share, flow);
            }
        }
    }

    /// Lets what runs come to its end. The caller bounds the time; what is cut off is tried again after the start.
    async fn finish(&mut self) {
        while let Some(ended) = self.running.join_next_with_id().await {
            self.take_end(ended);
        }
        while let Some(done) = self.steering.next_done().await {
            self.carried_out(done);
        }
        self.outbound.looks.end().await;
        self.outbound.pool.close().await;
    }
}
