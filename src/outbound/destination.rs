//! What is delivered together: recipients of a message that share a destination and about whom the same was decided.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::address::{Address, Host};
use crate::model::domain::Domain;
use crate::model::envelope::Envelope;
use crate::model::time::{Instant, Timestamp};
use crate::policy::names::NamePattern;
use crate::policy::outbound::{Decision, NextHop, decide};
use crate::policy::rules::PolicySet;
use crate::policy::timed::Asker;
use crate::schedule::backoff;
use crate::schedule::lane::LaneKey;
use crate::spool::state::RecipientState;

/// Where mail goes, and how much of it at once. Jobs for one destination take turns in one lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Destination {
    hop: Hop,
    /// What the policies permit, `None` for the general limit. Policies that differ in it have a lane each, so that
    /// none lends its limit to another.
    concurrency: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hop {
    /// The recipient's own host: its mail hosts are looked up, or it is an address.
    Own(Arc<str>),
    /// The hosts of the route with this name.
    Route(Arc<str>),
    /// The same, for one domain only: the certificate must be for it.
    RouteFor(Arc<str>, Domain),
}

impl Destination {
    fn of(decision: &Decision, address: &Address) -> Self {
        let names_domain = decision.requirement.match_names.value.contains(&NamePattern::Domain);
        let hop = match (&decision.next_hop, address.host()) {
            (NextHop::Route(route), Host::Name(domain)) if names_domain => {
                Hop::RouteFor(route.name.clone(), domain.clone())
            }
            (NextHop::Route(route), _) => Hop::Route(route.name.clone()),
            (NextHop::Mx, host) => Hop::Own(host.to_string().into()),
        };
        Self { hop, concurrency: decision.concurrency }
    }

    pub(super) fn concurrency(&self) -> Option<u32> {
        self.concurrency
    }

    pub(super) fn lane(&self) -> LaneKey {
        let kind = match self.hop {
            Hop::Own(_) => "own",
            Hop::Route(_) => "route",
            Hop::RouteFor(..) => "route-for",
        };
        LaneKey::new(&format!("{kind} {self} {}", self.concurrency.unwrap_or_default()))
    }
}

/// The host or the route, for the operator.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hop {
            Hop::Own(name) | Hop::Route(name) => f.write_str(name),
            Hop::RouteFor(name, domain) => write!(f, "{name}:{domain}"),
        }
    }
}

/// The recipients of one message that travel together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) destination: Destination,
    /// What was decided about each of them.
    decision: Decision,
    /// Places in the envelope.
    pub(super) recipients: Vec<u32>,
    /// When it is due, `None` at once.
    next_attempt: Option<Timestamp>,
    /// The most attempts that any of the recipients has had.
    pub(super) attempts: u32,
}

impl Share {
    /// The moment to wait for. `retry` is the schedule of those whose policy has none.
    pub(super) fn due(&self, now: Instant, wall_now: Timestamp, retry: &[Duration]) -> Instant {
        let retry_max = backoff::wait_max(self.decision.retry.as_deref().unwrap_or(retry));
        self.next_attempt.map_or(now, |due| backoff::due_instant(now, wall_now, due, retry_max))
    }
}

/// Decides about the recipients of one message at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decider<'a> {
    policies: &'a PolicySet,
    envelope: &'a Envelope,
    states: &'a [RecipientState],
    asker: Asker<'a>,
}

impl<'a> Decider<'a> {
    pub(super) fn new(
        policies: &'a PolicySet,
        envelope: &'a Envelope,
        states: &'a [RecipientState],
        at: Timestamp,
    ) -> Self {
        Self { policies, envelope, states, asker: asker(envelope, at) }
    }

    /// Groups those that are pending. Who shares a destination is apart from the others if its policy wants anything
    /// else to be done: what becomes of one recipient never depends on whom the message is for besides.
    pub(super) fn shares(&self) -> Vec<Share> {
        let mut shares: BTreeMap<Destination, Vec<Share>> = BTreeMap::new();
        for ((place, recipient), state) in (0..).zip(&self.envelope.recipients).zip(self.states) {
            let Some(pending) = state.pending() else { continue };
            let (destination, decision) = self.decide(&recipient.address, state);
            let beside = shares.entry(destination.clone()).or_default();
            match beside.iter_mut().find(|share| share.decision.is_like(&decision)) {
                Some(share) => {
                    share.recipients.push(place);
                    share.attempts = share.attempts.max(pending.attempts);
                    share.next_attempt = share.next_attempt.min(pending.next_attempt);
                }
                None => beside.push(Share {
                    destination,
                    decision,
                    recipients: vec![place],
                    next_attempt: pending.next_attempt,
                    attempts: pending.attempts,
                }),
            }
        }
        shares.into_values().flatten().collect()
    }

    /// What holds for all of these recipients; `None` if they do not travel together.
    pub(super) fn together(&self, places: &[u32]) -> Option<(Destination, Decision)> {
        let decide = |place: &u32| {
            let state = self.states.get(usize::try_from(*place).ok()?)?;
            Some(self.decide(address(self.envelope, *place)?, state))
        };
        let mut decisions = places.iter().map(decide);
        let first = decisions.next()??;
        let (destination, decision) = &first;
        let is_like = |other: Option<(Destination, Decision)>| {
            other.is_some_and(|(other, its)| other == *destination && its.is_like(decision))
        };
        decisions.all(is_like).then_some(first)
    }

    fn decide(&self, address: &Address, state: &RecipientState) -> (Destination, Decision) {
        let decision = decide(self.policies, address.domain(), &self.asker);
        // The other route holds as long as the policy still names it.
        let taken = state.pending().and_then(|pending| pending.route.as_deref());
        let is_named = decision.fallback.as_ref().is_some_and(|fallback| Some(&*fallback.route.name) == taken);
        let decision = if is_named { decision.clone().rerouted().unwrap_or(decision) } else { decision };
        (Destination::of(&decision, address), decision)
    }
}

/// On whose behalf the policies are asked about a message.
pub(super) fn asker(envelope: &Envelope, at: Timestamp) -> Asker<'_> {
    Asker { at, client: envelope.origin.ip, sender: &envelope.sender.path }
}

/// The first of these recipients. It speaks for the others of its share: where its host or domain matters, they have
/// the same.
pub(super) fn first<'a>(envelope: &'a Envelope, places: &[u32]) -> Option<&'a Address> {
    address(envelope, *places.first()?)
}

fn address(envelope: &Envelope, place: u32) -> Option<&Address> {
    let place = usize::try_from(place).ok()?;
    envelope.recipients.get(place).map(|recipient| &recipient.address)
}

#[cfg(test)]
mod tests;
