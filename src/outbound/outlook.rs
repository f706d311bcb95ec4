//! What lies ahead of a recipient that waits, for the operator: as the next failure would find it.

use std::sync::Arc;
use std::time::Duration;

use crate::mail::dsn::{Action, notice_due};
use crate::model::envelope::Envelope;
use crate::model::time::Timestamp;
use crate::policy::outbound::{Decision, NextHop};
use crate::policy::rules::PolicySet;
use crate::policy::waiting::Standing;
use crate::spool::Outline;
use crate::spool::state::RecipientState;

use super::destination::Decider;
use super::{conclude, notices};

/// What of a configuration tells how long mail waits, and by which way it goes.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub policies: &'a PolicySet,
    pub lifetime: Duration,
    pub bounce_lifetime: Duration,
    pub delay_warning: Duration,
}

/// The way of a recipient, and moments that are to come, should nothing change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Where it goes: a domain, an address, or the name of a route.
    pub destination: String,
    /// The name of the route, if it goes by one.
    pub route: Option<Arc<str>>,
    /// The end of the message's lifetime.
    pub expires_at: Timestamp,
    /// The route that mail takes from then on whose TLS is still lacking.
    pub reroute: Option<(Arc<str>, Timestamp)>,
    /// The sender is told that it takes long.
    pub tell_at: Option<Timestamp>,
}

/// `None` for a recipient that is settled.
pub fn outlook(
    terms: &Terms<'_>,
    envelope: &Envelope,
    states: &[RecipientState],
    place: u32,
    now: Timestamp,
) -> Option<Outlook> {
    let index = usize::try_from(place).ok()?;
    let (recipient, pending) = (envelope.recipients.get(index)?, states.get(index)?.pending()?);
    let (destination, decision) = Decider::new(terms.policies, envelope, states, now).together(&[place])?;
    let expires_at = conclude::expires_at(envelope, &decision, terms);
    let standing = Standing { decision: &decision, lacks_tls_since: pending.lacks_tls_since, now, expires_at };
    let is_told = notices::is_reliable(envelope, terms.policies) && notice_due(envelope, recipient, Action::Delayed);
    let of_delay = (!pending.delay_notified).then(|| envelope.received_at + terms.delay_warning);
    let of_tls = standing.notice_at().filter(|_| !pending.tls_notified);
    let tell_at = of_delay.into_iter().chain(of_tls).min().filter(|at| is_told && *at < expires_at);
    let (route, reroute) = (route_of(&decision), standing.reroute());
    Some(Outlook { destination: destination.to_string(), route, expires_at, reroute, tell_at })
}

/// The name of the route that a recipient goes by; `None` where its own hosts are looked up.
pub fn route(terms: &Terms<'_>, outline: &Outline, place: u32, now: Timestamp) -> Option<Arc<str>> {
    let (_, decision) = Decider::of_outline(terms.policies, outline, now).together(&[place])?;
    route_of(&decision)
}

fn route_of(decision: &Decision) -> Option<Arc<str>> {
    match &decision.next_hop {
        NextHop::Route(route) => Some(route.name.clone()),
        NextHop::Mx => None,
    }
}
