//! What is delivered together: recipients of a message that share a destination and about whom the same was decided.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::address::{Address, Host};
use crate::model::domain::Domain;
use crate::model::envelope::Envelope;
use crate::model::rate::Rate;
use crate::model::reason::Reason;
use crate::model::time::{Instant, Timestamp};
use crate::policy::alternate::{Refusal, by_route};
use crate::policy::names::NamePattern;
use crate::policy::outbound::{Decision, NextHop, decide};
use crate::policy::rules::PolicySet;
use crate::policy::timed::Asker;
use crate::schedule::backoff;
use crate::schedule::lane::LaneKey;
use crate::spool::Outline;
use crate::spool::state::{Pending, RecipientState, Via};

use super::holds::InForce;

/// Where mail goes, and how much of it at once. Jobs for one destination take turns in one lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Destination {
    hop: Hop,
    /// What the policies permit, `None` for the general limit. Policies that differ in it have a lane each, so that
    /// none lends its limit to another.
    concurrency: Option<u32>,
    /// The same for how much of it in a time; `None` for as much as can be.
    rate: Option<Rate>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        Self { hop, concurrency: decision.concurrency, rate: decision.rate }
    }

    pub(super) fn concurrency(&self) -> Option<u32> {
        self.concurrency
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Whether it is a route and not a host of the recipients' own.
    pub(super) fn is_route(&self) -> bool {
        !matches!(self.hop, Hop::Own(_))
    }

    /// The name of the route, if it is one.
    pub(super) fn route(&self) -> Option<&str> {
        match &self.hop {
            Hop::Own(_) => None,
            Hop::Route(name) | Hop::RouteFor(name, _) => Some(name),
        }
    }

    /// The domain, if it is one domain's.
    pub(super) fn domain(&self) -> Option<Domain> {
        match &self.hop {
            Hop::Own(host) => Domain::parse(host).ok(),
            Hop::Route(_) => None,
            Hop::RouteFor(_, domain) => Some(domain.clone()),
        }
    }

    pub(super) fn lane(&self) -> LaneKey {
        let kind = match self.hop {
            Hop::Own(_) => "own",
            Hop::Route(_) => "route",
            Hop::RouteFor(..) => "route-for",
        };
        let concurrency = self.concurrency.unwrap_or_default();
        let rate = self.rate.map(|Rate { messages, per }| format!(" {messages}/{}s", per.as_secs()));
        LaneKey::new(&format!("{kind} {self} {concurrency}{}", rate.unwrap_or_default()))
    }
}

#[cfg(test)]
impl Destination {
    /// A host of the recipients' own.
    pub(super) fn named(name: &str) -> Self {
        Self { hop: Hop::Own(name.into()), concurrency: None, rate: None }
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
    pub(super) decision: Decision,
    /// Places in the envelope.
    pub(super) recipients: Vec<u32>,
    /// When it is due, `None` at once.
    next_attempt: Option<Timestamp>,
    /// The most attempts that any of the recipients has had.
    pub(super) attempts: u32,
    /// Why the last attempt for the first of them failed.
    pub(super) last_reason: Option<Reason>,
    /// The operator holds them, one by one or with their destination.
    pub(super) held: bool,
    /// When the first of their own holds is over.
    pub(super) held_until: Option<Timestamp>,
}

impl Share {
    /// The moment to wait for. `retry` is the schedule of those whose policy has none.
    pub(super) fn due(&self, now: Instant, wall_now: Timestamp, retry: &[Duration]) -> Instant {
        let retry_max = backoff::wait_max(self.decision.retry.as_deref().unwrap_or(retry));
        self.next_attempt.map_or(now, |due| backoff::due_instant(now, wall_now, due, retry_max))
    }
}

/// Decides about the recipients of one message at one moment.
#[derive(Clone, Debug)]
pub(super) struct Decider<'a> {
    policies: &'a PolicySet,
    recipients: Vec<&'a Address>,
    states: &'a [RecipientState],
    asker: Asker<'a>,
    holds: Option<&'a InForce>,
}

impl<'a> Decider<'a> {
    pub(super) fn new(
        policies: &'a PolicySet,
        envelope: &'a Envelope,
        states: &'a [RecipientState],
        at: Timestamp,
    ) -> Self {
        let recipients = envelope.recipients.iter().map(|recipient| &recipient.address).collect();
        Self { policies, recipients, states, asker: asker(envelope, at), holds: None }
    }

    /// The same for a message of which no more than the outline is in memory.
    pub(super) fn of_outline(policies: &'a PolicySet, outline: &'a Outline, at: Timestamp) -> Self {
        let asker = Asker { at, client: outline.client, sender: &outline.sender };
        let recipients = outline.recipients.iter().collect();
        Self { policies, recipients, states: &outline.states, asker, holds: None }
    }

    /// The same while these destinations are held.
    pub(super) fn under(self, holds: &'a InForce) -> Self {
        Self { holds: Some(holds), ..self }
    }

    /// Groups those that are pending. Who shares a destination is apart from the others if its policy wants anything
    /// else to be done: what becomes of one recipient never depends on whom the message is for besides.
    pub(super) fn shares(&self) -> Vec<Share> {
        let mut shares: BTreeMap<Destination, Vec<Share>> = BTreeMap::new();
        for ((place, address), state) in (0..).zip(&self.recipients).zip(self.states) {
            let Some(pending) = state.pending() else { continue };
            let (destination, decision) = self.decide(address, state);
            let held = self.is_held(address, &destination, pending);
            let held_until = pending.held.as_ref().and_then(|held| held.until);
            let beside = shares.entry(destination.clone()).or_default();
            match beside.iter_mut().find(|share| share.held == held && share.decision.is_like(&decision)) {
                Some(share) => {
                    share.held_until = share.held_until.into_iter().chain(held_until).min();
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
                    last_reason: pending.last.as_ref().map(|last| last.reason),
                    held,
                    held_until,
                }),
            }
        }
        shares.into_values().flatten().collect()
    }

    /// What holds for all of these recipients; `None` if they do not travel together.
    pub(super) fn together(&self, places: &[u32]) -> Option<(Destination, Decision)> {
        let decide = |place: &u32| {
            let place = usize::try_from(*place).ok()?;
            Some(self.decide(self.recipients.get(place)?, self.states.get(place)?))
        };
        let mut decisions = places.iter().map(decide);
        let first = decisions.next()??;
        let (destination, decision) = &first;
        let is_like = |other: Option<(Destination, Decision)>| {
            other.is_some_and(|(other, its)| other == *destination && its.is_like(decision))
        };
        decisions.all(is_like).then_some(first)
    }

    /// Whether any of these recipients is to stay where it is.
    pub(super) fn holds_any(&self, places: &[u32]) -> bool {
        let is_held = |place: &u32| {
            let state = self.states.get(usize::try_from(*place).ok()?)?;
            let address = self.address(*place)?;
            let (destination, _) = self.decide(address, state);
            Some(self.is_held(address, &destination, state.pending()?))
        };
        places.iter().any(|place| is_held(place) == Some(true))
    }

    fn address(&self, place: u32) -> Option<&'a Address> {
        self.recipients.get(usize::try_from(place).ok()?).copied()
    }

    fn is_held(&self, address: &Address, destination: &Destination, pending: &Pending) -> bool {
        let catches = |holds: &InForce| holds.catches(address.domain(), destination.route()).is_some();
        pending.held.is_some() || self.holds.is_some_and(catches)
    }

    /// The way that the operator has chosen for a recipient, if its policy does not let it.
    pub(super) fn refused_way(&self, place: u32) -> Option<(Arc<Via>, Refusal)> {
        let state = self.states.get(usize::try_from(place).ok()?)?;
        let via = state.pending()?.via.clone()?;
        let refusal = self.by_way(self.address(place)?, &via.route).err()?;
        Some((via, refusal))
    }

    /// What is decided about mail for `address` by the `[[route]]` of this name.
    pub(super) fn by_way(&self, address: &Address, route: &str) -> Result<Decision, Refusal> {
        let own = decide(self.policies, address.domain(), &self.asker);
        by_route(self.policies, address.domain(), &own, route)
    }

    fn decide(&self, address: &Address, state: &RecipientState) -> (Destination, Decision) {
        let decision = decide(self.policies, address.domain(), &self.asker);
        // The operator's choice holds as long as the policy lets it.
        let chosen = state.pending().and_then(|pending| pending.via.as_ref());
        let chosen = chosen.and_then(|via| by_route(self.policies, address.domain(), &decision, &via.route).ok());
        if let Some(decision) = chosen {
            return (Destination::of(&decision, address), decision);
        }
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
    let place = usize::try_from(*places.first()?).ok()?;
    envelope.recipients.get(place).map(|recipient| &recipient.address)
}

#[cfg(test)]
mod tests;
