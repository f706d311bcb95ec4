//! The end of an attempt: from outcomes to states, records, notices and metrics, written in one batch.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::event::Event;
use crate::clock;
use crate::metrics::DeliveryResult;
use crate::model::address::ReversePath;
use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_text};
use crate::model::record::AuditEntry;
use crate::model::reply::Reply;
use crate::model::time::Timestamp;
use crate::model::tls::{TlsFacts, TlsOrNone};
use crate::policy::outbound::Decision;
use crate::policy::settings::OnTlsFailure;
use crate::random;
use crate::schedule::backoff;
use crate::spool::Stored;
use crate::spool::state::{Change, LastAttempt, Pending, Progress, RecipientState, Settled};

use super::attempt::Ended;
use super::notices::{self, Told};
use super::outcome::{Failure, Outcome};
use super::records::{Situation, Subject};
use super::targets::Target;
use super::{Outbound, Snapshot};

/// An attempt that has run.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) outbound: Arc<Outbound>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) stored: Stored,
    pub(super) decision: Decision,
    pub(super) subject: Subject,
    pub(super) outcomes: Vec<(u32, Outcome)>,
    pub(super) took: Duration,
}

/// What a failure means for its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Retry,
    Bounce,
    Expire,
}

/// Recipients with the same outcome.
struct Group {
    outcome: Outcome,
    places: Vec<u32>,
}

/// The spool is full or broken: the recipients stay as they were and are tried again later.
const UNRECORDED_RETRY: Duration = Duration::from_secs(60);

/// Writes down what the attempt changed and says what is left to do.
pub(super) async fn conclude(attempted: Attempted) -> Ended {
    let now = clock::timestamp();
    let mut plan = Plan::default();
    let is_delivered = |group: &Group| matches!(group.outcome, Outcome::Delivered { .. });
    let (delivered, others): (Vec<Group>, Vec<Group>) = attempted.groups().into_iter().partition(is_delivered);
    delivered.into_iter().for_each(|group| attempted.plan(&mut plan, group, now));
    let delivered = (plan.changes.clone(), plan.records.clone());
    others.into_iter().for_each(|group| attempted.plan(&mut plan, group, now));
    let notices = notices::compose(&attempted, &plan.told, now).await;
    let progress = (!plan.changes.is_empty())
        .then(|| Progress { message: attempted.stored.envelope.id, changes: std::mem::take(&mut plan.changes) });
    let spool = &attempted.outbound.spool;
    spool.forget_cached(attempted.stored.envelope.id);
    // Only a notice has to be on disk before anything else happens; the rest may lag a second.
    let written = match notices.is_empty() {
        true => match spool.record_lazily(progress.clone(), plan.records.clone()) {
            Ok(()) => Ok(()),
            Err(_) => spool.record(progress, notices, plan.records).await,
        },
        false => spool.record(progress, notices, plan.records).await,
    };
    if let Err(fault) = written {
        tracing::error!(id = %attempted.stored.envelope.id, %fault, "the end of an attempt could not be recorded");
        return attempted.keep_delivered(delivered);
    }
    match plan.retry.is_empty() {
        true => Ended::Done,
        false => Ended::Again { recipients: plan.retry, after: plan.after.unwrap_or(UNRECORDED_RETRY) },
    }
}

/// What is to be written.
#[derive(Debug, Default)]
struct Plan {
    changes: Vec<Change>,
    records: Vec<AuditEntry>,
    told: Vec<Told>,
    retry: Vec<u32>,
    after: Option<Duration>,
}

impl Attempted {
    /// Where everything together could not be written: what was delivered is not sent again. Its record waits for room
    /// in memory; the other recipients are tried again.
    fn keep_delivered(&self, (changes, records): (Vec<Change>, Vec<AuditEntry>)) -> Ended {
        let delivered: Vec<u32> = changes.iter().flat_map(|change| change.recipients.clone()).collect();
        let progress = Progress { message: self.stored.envelope.id, changes };
        let is_kept = self.outbound.spool.record_lazily(Some(progress), records).is_ok();
        let is_open = |place: &u32| !(is_kept && delivered.contains(place));
        let again: Vec<u32> = self.outcomes.iter().map(|(place, _)| *place).filter(is_open).collect();
        match again.is_empty() {
            true => Ended::Done,
            false => Ended::Again { recipients: again, after: UNRECORDED_RETRY },
        }
    }

    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (place, outcome) in &self.outcomes {
            match groups.iter_mut().find(|group| group.outcome == *outcome) {
                Some(group) => group.places.push(*place),
                None => groups.push(Group { outcome: outcome.clone(), places: vec![*place] }),
            }
        }
        groups
    }

    fn plan(&self, plan: &mut Plan, group: Group, now: Timestamp) {
        match &group.outcome {
            Outcome::Delivered { reply, target, tls, notifies } => {
                let situation = Situation {
                    target: target.clone(),
                    tls: tls.clone(),
                    reply: Some(reply.clone()),
                    took: self.took,
                    ..Situation::default()
                };
                plan.records.extend(self.subject.records(Event::OutboundDelivered, &group.places, &situation));
                if !notifies {
                    plan.told.extend(notices::relayed(self, &group.places, reply, target.as_ref()));
                }
                self.count(DeliveryResult::Delivered, tls.as_ref(), &group.places);
                tracing::info!(
                    id = %self.stored.envelope.id, mx = %shown_target(target.as_ref()), recipients = group.places.len(),
                    tls = %TlsOrNone(tls.as_ref()), reply = %shown(reply), "delivered"
                );
                let state = RecipientState::Settled(Settled::Delivered);
                plan.changes.push(Change { recipients: group.places, state });
            }
            Outcome::Failed(failure) => {
                match fate(failure, &self.decision.on_tls_failure.value, now >= self.expires_at()) {
                    Fate::Retry => self.defer(plan, failure, &group.places, now),
                    Fate::Bounce => self.give_up(plan, failure, &group.places, Settled::Bounced),
                    Fate::Expire => self.give_up(plan, failure, &group.places, Settled::Expired),
                }
            }
        }
    }

    pub(super) fn expires_at(&self) -> Timestamp {
        let envelope = &self.stored.envelope;
        let lifetime = match envelope.sender.path {
            ReversePath::Null => self.snapshot.bounce_lifetime,
            ReversePath::Mailbox(_) => self.decision.lifetime.unwrap_or(self.snapshot.lifetime),
        };
        backoff::expires_at(envelope.received_at, lifetime)
    }

    fn defer(&self, plan: &mut Plan, failure: &Failure, places: &[u32], now: Timestamp) {
        let schedule = self.decision.retry.as_ref().unwrap_or(&self.snapshot.retry);
        let attempts = self.subject.attempt;
        let wait = backoff::next_attempt(schedule, attempts, random::number());
        // The last attempt is made when the lifetime ends, not hours before.
        let left = self.expires_at().saturating_since(now).max(Duration::from_secs(1));
        let wait = wait.min(left);
        let next_attempt = Some(now + wait);
        let mut situation = self.failed_situation(failure);
        situation.next_attempt = next_attempt;
        plan.records.extend(self.subject.records(Event::OutboundDeferred, places, &situation));
        self.count(DeliveryResult::Deferred, failure.tls.as_ref(), places);
        tracing::info!(
            id = %self.stored.envelope.id, mx = %shown_target(failure.target.as_ref()), recipients = places.len(),
            reason = %failure.reason, detail = %failure.detail, retry_in = ?wait, "deferred"
        );
        let warned = notices::delayed(self, places, failure, now);
        let last = LastAttempt {
            at: now,
            reason: failure.reason,
            mx: failure.target.as_ref().map(Target::shown),
            detail: peer_text(&failure.detail, PEER_TEXT_BYTES_MAX).into_owned(),
        };
        for delay_notified in [false, true] {
            let recipients: Vec<u32> =
                places.iter().copied().filter(|place| self.is_warned(*place, &warned) == delay_notified).collect();
            if !recipients.is_empty() {
                let last = Some(last.clone());
                let state = RecipientState::Pending(Pending { attempts, next_attempt, last, delay_notified });
                plan.changes.push(Change { recipients, state });
            }
        }
        plan.told.extend(warned);
        plan.retry.extend_from_slice(places);
        plan.after = Some(plan.after.map_or(wait, |after| after.min(wait)));
    }

    fn is_warned(&self, place: u32, warned: &[Told]) -> bool {
        let before = usize::try_from(place).ok().and_then(|place| self.stored.states.get(place));
        let before = before.and_then(RecipientState::pending).is_some_and(|pending| pending.delay_notified);
        before || warned.iter().any(|told| told.place == place)
    }

    fn give_up(&self, plan: &mut Plan, failure: &Failure, places: &[u32], settled: Settled) {
        let expired = settled == Settled::Expired;
        let told = notices::failed(self, places, failure, expired);
        let mut situation = self.failed_situation(failure);
        situation.expired = expired;
        plan.records.extend(self.subject.records(Event::OutboundBounced, places, &situation));
        let result = if expired { DeliveryResult::Expired } else { DeliveryResult::Bounced };
        self.count(result, failure.tls.as_ref(), places);
        tracing::info!(
            id = %self.stored.envelope.id, mx = %shown_target(failure.target.as_ref()), recipients = places.len(),
            reason = %failure.reason, detail = %failure.detail, expired, notices = told.len(), "given up"
        );
        for (state, keep) in [(settled, true), (Settled::Dropped, false)] {
            let is_told = |place: &u32| told.iter().any(|told| told.place == *place) == keep;
            let recipients: Vec<u32> = places.iter().copied().filter(is_told).collect();
            if !recipients.is_empty() {
                plan.changes.push(Change { recipients, state: RecipientState::Settled(state) });
            }
        }
        plan.told.extend(told);
    }

    fn failed_situation(&self, failure: &Failure) -> Situation {
        Situation {
            target: failure.target.clone(),
            tls: failure.tls.clone(),
            reason: Some(failure.reason),
            reply: failure.reply.clone(),
            detail: failure.reply.is_none().then(|| failure.detail.clone()),
            took: self.took,
            ..Situation::default()
        }
    }

    fn count(&self, result: DeliveryResult, tls: Option<&TlsFacts>, places: &[u32]) {
        let count = places.len() as u64;
        self.outbound.metrics.recipients_ended(result, self.decision.requirement.level(), tls, count);
    }
}

/// The one map from a failure to what it means.
fn fate(failure: &Failure, on_tls_failure: &OnTlsFailure, lifetime_is_over: bool) -> Fate {
    let tls_bounces = *on_tls_failure == OnTlsFailure::Bounce && failure.reason.is_outbound_tls() && !failure.mixed;
    match (failure.permanent || tls_bounces, lifetime_is_over) {
        (true, _) => Fate::Bounce,
        (false, true) => Fate::Expire,
        (false, false) => Fate::Retry,
    }
}

/// A reply in one bounded line.
fn shown(reply: &Reply) -> String {
    peer_text(&reply.to_string(), PEER_TEXT_BYTES_MAX).into_owned()
}

fn shown_target(target: Option<&Target>) -> String {
    target.map_or_else(|| "none".to_owned(), Target::shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reason::Reason;

    #[test]
    fn only_what_cannot_pass_bounces_and_only_time_expires() {
        use Fate::{Bounce, Expire, Retry};
        use OnTlsFailure::{Bounce as TlsBounce, Defer};
        for (reason, permanent, on_tls_failure, over, expected) in [
            (Reason::RemoteDeferred, false, Defer, false, Retry),
            (Reason::RemoteDeferred, false, Defer, true, Expire),
            (Reason::RemoteRefused, true, Defer, false, Bounce),
            (Reason::RemoteRefused, true, Defer, true, Bounce),
            (Reason::StarttlsNotSupported, false, Defer, false, Retry),
            (Reason::StarttlsNotSupported, false, Defer, true, Expire),
            (Reason::StarttlsNotSupported, false, TlsBounce, false, Bounce),
            (Reason::CertificateHostMismatch, false, TlsBounce, false, Bounce),
            (Reason::DnsFailure, false, TlsBounce, false, Retry),
        ] {
            let failure = Failure::ours(reason, permanent, String::new());
            assert_eq!(fate(&failure, &on_tls_failure, over), expected, "{reason} {on_tls_failure:?} {over}");
        }
    }
}
