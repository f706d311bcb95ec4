//! The end of an attempt: from outcomes to states, records, notices and metrics, written in one batch.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::event::Event;
use crate::clock;
use crate::metrics::DeliveryResult;
use crate::model::address::ReversePath;
use crate::model::envelope::Envelope;
use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_text, shortened};
use crate::model::reason::Reason;
use crate::model::record::AuditEntry;
use crate::model::reply::Reply;
use crate::model::time::Timestamp;
use crate::model::tls::{TlsFacts, TlsOrNone};
use crate::policy::outbound::Decision;
use crate::policy::settings::{Fact, OutboundTls, Source};
use crate::policy::waiting::{Fate, Standing};
use crate::random;
use crate::schedule::backoff;
use crate::spool::Stored;
use crate::spool::state::{Change, LastAttempt, Pending, Progress, RecipientState, Settled};

use super::attempt::Ended;
use super::notices::{self, Told};
use super::outcome::{Failure, Outcome};
use super::outlook::Terms;
use super::records::{Situation, Subject};
use super::reporting;
use super::targets::Target;
use super::{Outbound, Snapshot};

pub(super) mod by_operator;

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
    // A notice has to be on disk before anything else happens, and so has another route; the rest may lag a second.
    let written = match notices.is_empty() && plan.rerouted.is_empty() {
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
    if !plan.rerouted.is_empty() {
        return Ended::Replan([plan.retry, plan.rerouted].concat());
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
    /// They are to be planned anew, behind what is written about them.
    rerouted: Vec<u32>,
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
                self.count(DeliveryResult::Delivered, (target.as_ref(), tls.as_ref()), &group.places);
                tracing::info!(
                    id = %self.stored.envelope.id, mx = %shown_target(target.as_ref()), recipients = group.places.len(),
                    tls = %TlsOrNone(tls.as_ref()), reply = %shown(reply), "delivered"
                );
                let state = RecipientState::Settled(Settled::Delivered);
                plan.changes.push(Change { recipients: group.places, state });
            }
            Outcome::Failed(failure) => {
                for (fate, places) in self.fates(failure, &group.places, now) {
                    match fate {
                        Fate::Retry => self.defer(plan, failure, &places, now),
                        Fate::Bounce => self.give_up(plan, failure, &places, Settled::Bounced),
                        Fate::Expire => self.give_up(plan, failure, &places, Settled::Expired),
                        Fate::Reroute(name) => self.reroute(plan, failure, &places, &name),
                    }
                }
            }
        }
    }

    /// What becomes of each, those together that end alike.
    fn fates(&self, failure: &Failure, places: &[u32], now: Timestamp) -> Vec<(Fate, Vec<u32>)> {
        let mut fates: Vec<(Fate, Vec<u32>)> = Vec::new();
        for place in places {
            let standing = self.standing(*place, failure, now);
            let fate = standing.fate(failure.setback());
            let fate = if self.snapshot.soft_bounce { fate.softened(&standing) } else { fate };
            match fates.iter_mut().find(|(other, _)| *other == fate) {
                Some((_, places)) => places.push(*place),
                None => fates.push((fate, vec![*place])),
            }
        }
        fates
    }

    /// Where a recipient stands now that it has failed by this.
    pub(super) fn standing(&self, place: u32, failure: &Failure, now: Timestamp) -> Standing<'_> {
        let before = self.pending(place).and_then(|pending| pending.lacks_tls_since);
        let lacks_tls = self.decision.lacks_tls(failure.reason);
        // A host that was content to talk under TLS has ended the wait for it.
        let is_met = !lacks_tls && failure.tls.is_some();
        let lacks_tls_since = before.filter(|_| !is_met).or(Some(now).filter(|_| lacks_tls));
        Standing { decision: &self.decision, lacks_tls_since, now, expires_at: self.expires_at() }
    }

    /// The state of a recipient before the attempt.
    pub(super) fn pending(&self, place: u32) -> Option<&Pending> {
        let state = usize::try_from(place).ok().and_then(|place| self.stored.states.get(place));
        state.and_then(RecipientState::pending)
    }

    /// From now on by another route, at once.
    fn reroute(&self, plan: &mut Plan, failure: &Failure, places: &[u32], route: &str) {
        let mut situation = self.failed_situation(failure);
        situation.rerouted_to = Some(route.to_owned());
        plan.records.extend(self.subject.records(Event::OutboundRerouted, places, &situation));
        self.count_failed(DeliveryResult::Rerouted, failure, places);
        tracing::warn!(
            id = %self.stored.envelope.id, mx = %shown_target(failure.target.as_ref()), recipients = places.len(),
            reason = %failure.reason, detail = %failure.detail, route, "rerouted: TLS could not be met for too long"
        );
        for place in places {
            let before = self.pending(*place).cloned().unwrap_or_default();
            let pending = Pending {
                attempts: self.subject.attempt,
                next_attempt: None,
                last: Some(self.last_attempt(failure, clock::timestamp())),
                route: Some(route.to_owned()),
                ..before
            };
            plan.changes.push(Change { recipients: vec![*place], state: RecipientState::Pending(pending) });
        }
        plan.rerouted.extend_from_slice(places);
    }

    pub(super) fn expires_at(&self) -> Timestamp {
        expires_at(&self.stored.envelope, &self.decision, &self.snapshot.terms())
    }

    fn defer(&self, plan: &mut Plan, failure: &Failure, places: &[u32], now: Timestamp) {
        let schedule = self.decision.retry.as_ref().unwrap_or(&self.snapshot.retry);
        let attempts = self.subject.attempt;
        let wait = backoff::next_attempt(schedule, attempts, random::number());
        // Something is decided when the lifetime ends, or another route is due, not hours after.
        let due = places.iter().map(|place| self.standing(*place, failure, now).wait_max()).min();
        let wait = due.map_or(wait, |due| wait.min(due));
        let next_attempt = Some(now + wait);
        let mut situation = self.failed_situation(failure);
        situation.next_attempt = next_attempt;
        plan.records.extend(self.subject.records(Event::OutboundDeferred, places, &situation));
        self.count_failed(DeliveryResult::Deferred, failure, places);
        tracing::info!(
            id = %self.stored.envelope.id, mx = %shown_target(failure.target.as_ref()), recipients = places.len(),
            reason = %failure.reason, detail = %failure.detail, retry_in = ?wait, "deferred"
        );
        let warned = notices::delayed(self, places, failure, now);
        let last = self.last_attempt(failure, now);
        let mut states: Vec<(Pending, Vec<u32>)> = Vec::new();
        for place in places {
            let pending = Pending {
                attempts,
                next_attempt,
                last: Some(last.clone()),
                delay_notified: self.is_warned(*place, &warned),
                tls_notified: self.is_told_of_tls(*place, failure, &warned),
                told_at: self.told_at(*place, &warned, now),
                lacks_tls_since: self.standing(*place, failure, now).lacks_tls_since,
                route: self.pending(*place).and_then(|pending| pending.route.clone()),
                held: None,
                via: self.pending(*place).and_then(|pending| pending.via.clone()),
            };
            match states.iter_mut().find(|(other, _)| *other == pending) {
                Some((_, places)) => places.push(*place),
                None => states.push((pending, vec![*place])),
            }
        }
        let change = |(pending, recipients)| Change { recipients, state: RecipientState::Pending(pending) };
        plan.changes.extend(states.into_iter().map(change));
        plan.told.extend(warned);
        plan.retry.extend_from_slice(places);
        plan.after = Some(plan.after.map_or(wait, |after| after.min(wait)));
    }

    fn is_warned(&self, place: u32, warned: &[Told]) -> bool {
        let before = self.pending(place).is_some_and(|pending| pending.delay_notified);
        before || warned.iter().any(|told| told.place == place)
    }

    fn told_at(&self, place: u32, warned: &[Told], now: Timestamp) -> Option<Timestamp> {
        let is_told_now = warned.iter().any(|told| told.place == place);
        if is_told_now { Some(now) } else { self.pending(place).and_then(|pending| pending.told_at) }
    }

    fn is_told_of_tls(&self, place: u32, failure: &Failure, warned: &[Told]) -> bool {
        let before = self.pending(place).is_some_and(|pending| pending.tls_notified);
        before || self.decision.lacks_tls(failure.reason) && warned.iter().any(|told| told.place == place)
    }

    fn give_up(&self, plan: &mut Plan, failure: &Failure, places: &[u32], settled: Settled) {
        let expired = settled == Settled::Expired;
        let told = notices::failed(self, places, failure, expired);
        let mut situation = self.failed_situation(failure);
        situation.expired = expired;
        plan.records.extend(self.subject.records(Event::OutboundBounced, places, &situation));
        let result = if expired { DeliveryResult::Expired } else { DeliveryResult::Bounced };
        self.count_failed(result, failure, places);
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

    fn last_attempt(&self, failure: &Failure, at: Timestamp) -> LastAttempt {
        LastAttempt {
            at,
            reason: failure.reason,
            mx: failure.target.as_ref().map(Target::shown),
            detail: shortened(&failure.detail, PEER_TEXT_BYTES_MAX).into_owned(),
            asked_by: asked_by(&self.decision, failure).iter().map(ToString::to_string).collect(),
            others: failure.others.clone(),
        }
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

    fn count_failed(&self, result: DeliveryResult, failure: &Failure, places: &[u32]) {
        self.outbound.metrics.failures.not_delivered(result, failure.reason, places.len() as u64);
        self.count(result, failure.session(), places);
    }

    fn count(&self, result: DeliveryResult, (target, tls): (Option<&Target>, Option<&TlsFacts>), places: &[u32]) {
        let count = places.len() as u64;
        self.outbound.metrics.recipients_ended(result, level(&self.decision, target), tls, count);
    }
}

/// The end of a message's lifetime.
pub(super) fn expires_at(envelope: &Envelope, decision: &Decision, terms: &Terms<'_>) -> Timestamp {
    let lifetime = match envelope.sender.path {
        _ if envelope.tls_report => reporting::MAIL_LIFETIME,
        ReversePath::Null => terms.bounce_lifetime,
        ReversePath::Mailbox(_) => decision.lifetime.unwrap_or(terms.lifetime),
    };
    backoff::expires_at(envelope.received_at, lifetime)
}

/// Who asks for the TLS that was lacking.
fn asked_by(decision: &Decision, failure: &Failure) -> Vec<Source> {
    let Some(target) = &failure.target else { return Vec::new() };
    match (failure.reason, &target.requirement) {
        (reason, _) if !reason.is_outbound_tls() => Vec::new(),
        (_, Some(requirement)) => requirement.asked_by(),
        (Reason::DaneRequired, None) => vec![decision.following.dane.source.clone()],
        (Reason::ValidationFailure, None) => vec![Source::Fact(Fact::MtaSts)],
        (_, None) => vec![Source::Fact(Fact::Tlsa)],
    }
}

/// The level that was asked for at the host, whatever asked for it; without a host the one that is written.
fn level(decision: &Decision, target: Option<&Target>) -> OutboundTls {
    target.and_then(Target::asked).map_or(&decision.requirement, |asked| &asked.session).level()
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
    use crate::dns::Security;
    use crate::model::domain::Domain;
    use crate::policy::host_requirement::asked;
    use crate::policy::outbound::{HostIdentity, decide};
    use crate::policy::published::{MtaSts, Published};
    use crate::policy::rules::PolicySet;
    use crate::policy::timed::Asker;

    #[test]
    fn the_level_that_counts_is_the_one_that_was_asked_for_at_the_host() {
        let asker = Asker { at: Timestamp::from_secs(0), client: None, sender: &ReversePath::Null };
        let decision = decide(&PolicySet::default(), None, &asker);
        let name = Domain::parse("mx.bank.example").unwrap();
        let identity = HostIdentity { recipient_domain: None, name: Some(&name), name_is_trusted: false };
        let policy = |lists_host| Some(MtaSts { is_enforced: true, lists_host });
        let target = |mta_sts: Option<MtaSts>| {
            let asked = Arc::new(asked(&decision, &identity, &Published { mta_sts, ..Published::default() }));
            let is_met = mta_sts.is_none_or(|sts| sts.lists_host);
            Target {
                name: Some(name.clone()),
                name_is_trusted: false,
                address: ([192, 0, 2, 1], 25).into(),
                security: Security::Unknown,
                published: Arc::default(),
                requirement: Some(asked.clone()).filter(|_| is_met),
                unmet: Some(asked).filter(|_| !is_met),
            }
        };
        for (target, expected) in [
            (None, OutboundTls::Opportunistic),
            (Some(target(None)), OutboundTls::Opportunistic),
            (Some(target(policy(true))), OutboundTls::Verify),
            (Some(target(policy(false))), OutboundTls::Verify),
        ] {
            assert_eq!(level(&decision, target.as_ref()), expected, "{target:?}");
        }
    }
}
