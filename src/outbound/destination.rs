//! What is delivered together: the recipients of a message that share a next hop and its requirement.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::address::{Address, Host};
use crate::model::domain::Domain;
use crate::model::envelope::Envelope;
use crate::model::time::Timestamp;
use crate::policy::names::NamePattern;
use crate::policy::outbound::{Decision, NextHop, decide};
use crate::policy::rules::PolicySet;
use crate::policy::settings::Route;
use crate::schedule::lane::LaneKey;
use crate::spool::state::RecipientState;

/// The recipients of one message that go to one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Places in the envelope.
    pub(super) recipients: Vec<u32>,
    /// When it is due, `None` at once.
    pub(super) next_attempt: Option<Timestamp>,
    /// The most attempts that any of the recipients has had.
    pub(super) attempts: u32,
    pub(super) concurrency: Option<u32>,
}

/// Groups the pending recipients of a message by destination.
pub(super) fn shares(
    policies: &PolicySet,
    envelope: &Envelope,
    states: &[RecipientState],
) -> BTreeMap<Arc<str>, Share> {
    let mut shares: BTreeMap<Arc<str>, Share> = BTreeMap::new();
    for ((place, recipient), state) in (0..).zip(&envelope.recipients).zip(states) {
        let Some(pending) = state.pending() else { continue };
        let decision = decide(policies, recipient.address.domain());
        let share = shares.entry(name(&decision, &recipient.address)).or_insert(Share {
            recipients: Vec::new(),
            next_attempt: pending.next_attempt,
            attempts: 0,
            concurrency: decision.concurrency,
        });
        share.recipients.push(place);
        share.attempts = share.attempts.max(pending.attempts);
        share.next_attempt = share.next_attempt.min(pending.next_attempt);
    }
    shares
}

/// The name of the destination that `address` belongs to: its domain, or the route that replaces the look-up. A route
/// that asks for the recipient's own name in the certificate is a destination for each domain.
pub(super) fn name(decision: &Decision, address: &Address) -> Arc<str> {
    match (&decision.next_hop, address.host()) {
        (NextHop::Route(route), Host::Name(domain)) if names_domain(route) => format!("{}:{domain}", route.name).into(),
        (NextHop::Route(route), _) => route.name.clone(),
        (NextHop::Mx, host) => host.to_string().into(),
    }
}

fn names_domain(route: &Route) -> bool {
    route.tls.match_names.as_ref().is_some_and(|names| names.value.contains(&NamePattern::Domain))
}

pub(super) fn lane(name: &str) -> LaneKey {
    LaneKey::new(name)
}

/// The domain by whose policy a share is decided; `None` for an address literal.
pub(super) fn domain<'a>(envelope: &'a Envelope, recipients: &[u32]) -> Option<&'a Domain> {
    address(envelope, recipients).and_then(Address::domain)
}

/// The first recipient of a share.
pub(super) fn address<'a>(envelope: &'a Envelope, recipients: &[u32]) -> Option<&'a Address> {
    let place = usize::try_from(*recipients.first()?).ok()?;
    envelope.recipients.get(place).map(|recipient| &recipient.address)
}
