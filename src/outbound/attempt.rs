//! One attempt to deliver a message to one destination: hosts in order, each held against the requirement first.

mod aim;
mod connect;
mod look;
mod note;
mod tried;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::audit::event::Event;
use crate::clock;
use crate::facts::sts_cache::StsAnswer;
use crate::metrics::Phase;
use crate::model::address::{Address, Host};
use crate::model::domain::Domain;
use crate::model::id::{MessageId, RecordId};
use crate::model::reason::Reason;
use crate::model::time::Instant;
use crate::model::tls::TlsFacts;
use crate::policy::outbound::Decision;
use crate::random;
use crate::smtp::client::Transaction;
use crate::spool::{BodyError, Fault, Stored};

use super::conclude::{self, Attempted};
use super::destination::{self, Decider};
use super::jobs::Lane;
use super::outcome::{Failure, Outcome, Sent, outcome_of};
use super::records::{Situation, Subject};
use super::seen::What;
use super::session::{Connection, OwnFailure};
use super::sites::{Gone, Teller};
use super::targets::{self, NextHost, Target};
use super::{Outbound, Snapshot, orders, signal, unreadable};

pub use look::Looks;
pub(super) use note::Note;
use tried::{Tried, is_of_host};

/// One job of the dispatcher.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) message: MessageId,
    /// The destination that the job was planned for.
    pub(super) lane: Arc<Lane>,
    /// Places in the envelope of recipients about whom the same was decided.
    pub(super) recipients: Vec<u32>,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing is left to do for these recipients.
    Done,
    /// These are left, to be tried again after a while.
    Again { recipients: Vec<u32>, after: Duration },
    /// These go elsewhere or not together now: plan them anew.
    Replan(Vec<u32>),
}

/// Shown when the system itself is what keeps a message: spool or log.
const SYSTEM_RETRY: Duration = Duration::from_secs(10);
/// After this no further host is tried: a destination of tarpits must not hold its place for hours.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(600);

impl Ended {
    /// The same, with more recipients that are left.
    fn and_again(self, open: Vec<u32>) -> Self {
        match self {
            Self::Done => Self::Again { recipients: open, after: SYSTEM_RETRY },
            Self::Again { mut recipients, after } => {
                recipients.extend(open);
                Self::Again { recipients, after: after.min(SYSTEM_RETRY) }
            }
            Self::Replan(mut recipients) => {
                recipients.extend(open);
                Self::Replan(recipients)
            }
        }
    }
}

/// What is to be done about a job.
#[derive(Debug)]
pub(super) enum Errand {
    /// Try it, and tell who serves its lane.
    Deliver(Teller),
    /// Nobody can be reached there: conclude it as the last attempt was, and connect to nobody.
    Leave(Option<Arc<Gone>>),
}

/// Runs one job to its end. `note` hears how it goes.
pub(super) async fn run(outbound: Arc<Outbound>, work: Work, errand: Errand, note: Note) -> Ended {
    let snapshot = outbound.snapshot.load_full();
    let stored = match outbound.spool.load(work.message).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ended::Done,
        Err(error) => return unreadable::defer(&outbound, work, error),
    };
    let Some(host) = destination::first(&stored.envelope, &work.recipients).map(Address::host).cloned() else {
        return Ended::Done;
    };
    let decider = Decider::new(&snapshot.policies, &stored.envelope, &stored.states, clock::timestamp());
    if decider.clone().under(&outbound.holds.load()).holds_any(&work.recipients) {
        return Ended::Replan(work.recipients);
    }
    if orders::gives_up_ways(&outbound, &stored, &decider, &work.recipients).await {
        return Ended::Replan(work.recipients);
    }
    let decision = match decider.together(&work.recipients) {
        Some((destination, decision)) if destination == work.lane.destination => decision,
        _ => return Ended::Replan(work.recipients),
    };
    let attempt = Attempt::new(outbound, snapshot, stored, decision, work.recipients);
    match errand {
        Errand::Deliver(teller) => Attempt { note, teller: Some(teller), ..attempt }.run(&host).await,
        Errand::Leave(gone) => Attempt { note, ..attempt }.leave(gone.as_deref()).await,
    }
}

pub(super) struct Attempt {
    pub(super) outbound: Arc<Outbound>,
    pub(super) snapshot: Arc<Snapshot>,
    stored: Stored,
    pub(super) decision: Decision,
    pub(super) subject: Subject,
    began: Instant,
    /// The domain that the mail is for, where all of it is for one; `None` for an address literal.
    pub(super) domain: Option<Domain>,
    /// The hosts that were found, and their names.
    pub(super) hosts: Vec<NextHost>,
    pub(super) mail_hosts: Vec<Domain>,
    /// Those of them whose TLS should be known and is not.
    pub(super) unseen: OnceLock<Vec<Domain>>,
    /// The newest record of an attempt.
    pub(super) recorded: Option<RecordId>,
    /// The MTA-STS policy of that domain, for reports.
    pub(super) sts: Option<StsAnswer>,
    /// Recipients without an outcome yet.
    open: Vec<u32>,
    outcomes: Vec<(u32, Outcome)>,
    /// Nothing is sent: hosts are only looked at.
    is_look: bool,
    note: Note,
    teller: Option<Teller>,
}

impl Attempt {
    fn new(
        outbound: Arc<Outbound>,
        snapshot: Arc<Snapshot>,
        stored: Stored,
        decision: Decision,
        recipients: Vec<u32>,
    ) -> Self {
        let tried = |place: &u32| stored.states.get(usize::try_from(*place).ok()?)?.pending().map(|p| p.attempts);
        let attempt = recipients.iter().filter_map(tried).max().unwrap_or(0) + 1;
        let subject = Subject {
            stamp: snapshot.stamp.clone(),
            session: random::session_id(clock::timestamp()),
            envelope: stored.envelope.clone(),
            decision: decision.clone(),
            attempt,
        };
        let began = clock::now();
        let domain = destination::first(&stored.envelope, &recipients).and_then(Address::domain).cloned();
        Self {
            outbound,
            snapshot,
            stored,
            decision,
            subject,
            began,
            domain,
            hosts: Vec::new(),
            mail_hosts: Vec::new(),
            unseen: OnceLock::new(),
            recorded: None,
            sts: None,
            open: recipients,
            outcomes: Vec::new(),
            is_look: false,
            note: Note::default(),
            teller: None,
        }
    }

    async fn run(mut self, host: &Host) -> Ended {
        let resolved = clock::now();
        let found = targets::find(&self.outbound, &self.snapshot, &self.decision.next_hop, host).await;
        self.outbound.metrics.delivery_phase(Phase::Resolve, clock::now().saturating_since(resolved));
        match found {
            Ok(hosts) => {
                if let Some(teller) = &self.teller {
                    self.note.is_about(teller.tell(&self.decision.next_hop, &hosts));
                }
                if let Err(fault) = self.try_hosts(hosts).await {
                    let id = self.stored.envelope.id;
                    tracing::error!(%id, %fault, "an attempt could not be recorded, so it was not made");
                    return self.break_off().await;
                }
            }
            Err(none) => {
                if none.reason.is_outbound_tls() {
                    self.outbound.metrics.outbound_tls_failed(none.reason);
                }
                let ours = Failure::ours(none.reason, none.permanent, none.detail);
                self.settle_open(&Outcome::Failed(Failure { reply: none.reply, ..ours }));
            }
        }
        let (look, outbound) = (self.look(), Arc::clone(&self.outbound));
        let ended = self.conclude().await;
        if let Some(look) = look {
            outbound.looks.begin(look.run());
        }
        ended
    }

    /// Ends without a connection. It is on record as put off, like any failure: at the moments of the retry schedule,
    /// so no more often than attempts would be. There is no record of an attempt, as none is made.
    async fn leave(mut self, gone: Option<&Gone>) -> Ended {
        let failure = gone.map_or_else(Gone::unknown, Gone::failure);
        self.settle_open(&Outcome::Failed(failure));
        self.conclude().await
    }

    /// Ends before all is tried: what was decided is kept, the rest is tried again.
    async fn break_off(mut self) -> Ended {
        let open = std::mem::take(&mut self.open);
        let decided = if self.outcomes.is_empty() { Ended::Done } else { self.conclude().await };
        decided.and_again(open)
    }

    /// Goes through the hosts while recipients are open and time is left. Fails only where the system cannot record.
    async fn try_hosts(&mut self, hosts: Vec<NextHost>) -> Result<(), Fault> {
        self.hosts.clone_from(&hosts);
        self.learn_hosts();
        let facts = self.domain_facts().await;
        self.sts.clone_from(&facts.sts);
        let mut tried = Tried::default();
        let first = hosts.first().and_then(|host| host.preference);
        for host in hosts {
            self.note.goes_on(host.preference != first);
            if !self.goes_on(&tried) {
                tried.leave_hosts();
                break;
            }
            match self.aim(&host, &facts).await {
                Ok(targets) => self.try_targets(&mut tried, targets).await?,
                Err(failure) => tried.add(failure),
            }
        }
        if let Some(failure) = tried.failed {
            self.settle_open(&Outcome::Failed(failure));
        }
        Ok(())
    }

    async fn try_targets(&mut self, tried: &mut Tried, targets: Vec<Target>) -> Result<(), Fault> {
        for target in targets {
            if !self.goes_on(tried) {
                break;
            }
            tried.targets += 1;
            if let Some(failure) = self.try_target(&target).await? {
                let rules_out_host = is_of_host(failure.reason);
                tried.add(failure);
                if rules_out_host {
                    break;
                }
            }
        }
        Ok(())
    }

    fn goes_on(&self, tried: &Tried) -> bool {
        let is_late = || clock::now().saturating_since(self.began) >= ATTEMPT_TIME_MAX;
        !self.open.is_empty() && tried.has_room() && (tried.failed.is_none() || !is_late())
    }

    /// One host. Gives the failure that leaves recipients open.
    async fn try_target(&mut self, target: &Target) -> Result<Option<Failure>, Fault> {
        self.note.talks_to(target);
        match self.connect(target).await {
            Ok(connection) => {
                let reused = connection.messages > 0;
                let failed = self.transfer(connection).await?;
                // An idle connection may have been closed under our hands, which says nothing about the host.
                let stale = reused && failed.as_ref().is_some_and(|failure| failure.next_host);
                if stale { self.try_anew(target).await } else { Ok(failed) }
            }
            Err(failure) => {
                tracing::info!(
                    id = %self.stored.envelope.id, mx = %target.shown(), remote = %target.address,
                    reason = %failure.reason, detail = %failure.detail, "host not usable"
                );
                Ok(Some(failure))
            }
        }
    }

    /// The same host over a connection that carried nothing before.
    async fn try_anew(&mut self, target: &Target) -> Result<Option<Failure>, Fault> {
        match self.connect_anew(target).await {
            Ok(connection) => self.transfer(connection).await,
            Err(failure) => Ok(Some(failure)),
        }
    }

    /// Sends the message to the open recipients. Gives the failure of a session that broke before anything was decided,
    /// after which the next host may be tried.
    async fn transfer(&mut self, connection: Box<Connection>) -> Result<Option<Failure>, Fault> {
        let is_new = connection.messages == 0;
        let mut sent = Sent {
            target: connection.target.clone(),
            tls: connection.tls().cloned(),
            notifies: connection.knows_dsn(),
            body_sent: false,
        };
        let situation = self.situation(Some(&sent.target), sent.tls.clone());
        // On record before the first octet of content goes out; while that is written, the host hears for whom it is.
        let records = self.subject.records(Event::OutboundAttempt, &self.open, &situation);
        self.recorded = records.first().map(|record| record.id);
        let outbound = Arc::clone(&self.outbound);
        let recorded = outbound.spool.begin_record(records).await?;
        let began = clock::now();
        let body = outbound.spool.body(&self.stored);
        let (result, reusable) = match connection.deliver(self.transaction(), &body, recorded).await {
            Ok(delivered) => delivered,
            Err(OwnFailure::Unrecorded(fault)) => return Err(fault),
            Err(OwnFailure::Unreadable(error)) => {
                tracing::error!(id = %self.stored.envelope.id, %error, "stored content cannot be read");
                let permanent = error == BodyError::Damaged;
                return Ok(Some(Failure::ours(Reason::SpoolFault, permanent, error.to_string())));
            }
        };
        self.outbound.metrics.delivery_phase(Phase::Transfer, clock::now().saturating_since(began));
        if let Some(connection) = reusable
            && let Err(connection) = self.outbound.pool.put(self.pool_key(&sent.target), connection)
        {
            connection.quit().await;
        }
        sent.body_sent = result.body_sent;
        let places = std::mem::take(&mut self.open);
        let mut broken = None;
        let showed = result.recipients.iter().map(signal::of_outcome).reduce(signal::together);
        for (place, outcome) in places.into_iter().zip(result.recipients) {
            match outcome_of(outcome, &sent) {
                Outcome::Failed(failure) if failure.next_host => {
                    self.open.push(place);
                    broken = Some(failure);
                }
                outcome => self.outcomes.push((place, outcome)),
            }
        }
        // How an idle connection breaks tells nothing.
        if let Some(showed) = showed.filter(|_| is_new || broken.is_none()) {
            self.note.shows(showed);
        }
        if self.outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Delivered { .. })) {
            self.saw(&sent.target, What::Delivered(sent.tls.as_ref()));
        }
        Ok(broken)
    }

    /// Whether there is mail for the hosts; else they are only looked at.
    pub(super) fn carries_mail(&self) -> bool {
        !self.is_look
    }

    /// Whether the message is a TLS report of ours.
    pub(super) fn is_report(&self) -> bool {
        self.stored.envelope.tls_report
    }

    fn transaction(&self) -> Transaction {
        let envelope = &self.stored.envelope;
        let recipient = |place: &u32| envelope.recipients.get(usize::try_from(*place).ok()?).cloned();
        Transaction {
            sender: envelope.sender.clone(),
            recipients: self.open.iter().filter_map(recipient).collect(),
            size: envelope.size,
            eight_bit: envelope.eight_bit,
        }
    }

    fn settle_open(&mut self, outcome: &Outcome) {
        let open = std::mem::take(&mut self.open);
        self.outcomes.extend(open.into_iter().map(|place| (place, outcome.clone())));
    }

    fn situation(&self, target: Option<&Target>, tls: Option<TlsFacts>) -> Situation {
        let took = clock::now().saturating_since(self.began);
        Situation { target: target.cloned(), tls, took, ..Situation::default() }
    }

    /// A host that was not used is on record within a second; nothing was sent to it.
    fn record_attempt(&self, situation: &Situation) {
        if self.open.is_empty() {
            return;
        }
        let records = self.subject.records(Event::OutboundAttempt, &self.open, situation);
        if let Err(fault) = self.outbound.spool.record_lazily(None, records) {
            tracing::warn!(id = %self.stored.envelope.id, %fault, "an attempt could not be recorded");
        }
    }

    async fn conclude(self) -> Ended {
        self.note.ends(&self.outcomes);
        let attempted = Attempted {
            outbound: self.outbound,
            snapshot: self.snapshot,
            stored: self.stored,
            decision: self.decision,
            subject: self.subject,
            outcomes: self.outcomes,
            took: clock::now().saturating_since(self.began),
        };
        conclude::conclude(attempted).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_that_are_left_are_added_to_those_that_are_tried_again() {
        let again = |recipients: &[u32], secs| {
            let after = Duration::from_secs(secs);
            Ended::Again { recipients: recipients.to_vec(), after }
        };
        for (decided, expected) in [
            (Ended::Done, again(&[7, 9], 10)),
            (again(&[1], 3600), again(&[1, 7, 9], 10)),
            (again(&[1], 5), again(&[1, 7, 9], 5)),
            (Ended::Replan(vec![1]), Ended::Replan(vec![1, 7, 9])),
        ] {
            assert_eq!(decided.and_again(vec![7, 9]), expected);
        }
    }
}
