//! A message as the operator is told of it, from what is stored and what the dispatcher says.

use crate::admin::protocol::steering::HoldInForce;
use crate::admin::protocol::{Filter, Prospects, QueueMessage, QueueRecipient, RecipientStanding};
use crate::model::address::Address;
use crate::model::envelope::{Envelope, Recipient};
use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_text};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::outbound::holds::InForce;
use crate::outbound::outlook::{Outlook, Terms, outlook, route};
use crate::outbound::overview::{Circumstances, Hold, HoldScope, Standing, StandingState, Stop};
use crate::spool::Outline;
use crate::spool::holds::{DestinationHold, Held, HeldPlace};
use crate::spool::state::{OtherHost, Pending, RecipientState, Settled};

use super::matching::OpenRecipient;
use super::why::why;

/// What a view is made with beside the message.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub now: Timestamp,
    /// `None` where the configuration cannot be read: nothing is told of what is to come.
    pub terms: Option<Terms<'a>>,
    /// What holds where the dispatcher says nothing.
    pub stop: Option<Stop>,
    /// The destinations that are held.
    pub holds: Option<&'a InForce>,
}

/// Whether the filter means the message.
pub fn is_meant(filter: &Filter, outline: &Outline, around: &Around<'_>) -> bool {
    if !filter.takes_message(outline.sender.domain(), outline.received_at, around.now) {
        return false;
    }
    let takes = |(place, (address, state)): (u32, (&Address, &RecipientState))| {
        let Some(pending) = state.pending() else { return false };
        let terms = around.terms.filter(|_| filter.asks_for_route());
        let decided = terms.and_then(|terms| route(&terms, outline, place, around.now));
        let open = OpenRecipient {
            domain: address.domain(),
            reason: pending.last.as_ref().map(|last| last.reason),
            route: decided.as_deref().or(pending.route.as_deref()),
        };
        filter.takes_recipient(&open)
    };
    !filter.asks_for_recipients() || (0..).zip(outline.recipients.iter().zip(&outline.states)).any(takes)
}

/// The whole message, without its subject.
pub fn message(
    (envelope, states): (&Envelope, &[RecipientState]),
    standings: &[Standing],
    around: &Around<'_>,
) -> QueueMessage {
    let recipients: Vec<(QueueRecipient, Circumstances)> = (0..)
        .zip(envelope.recipients.iter().zip(states))
        .map(|(place, (recipient, state))| {
            let standing = standings.iter().find(|standing| standing.recipients.contains(&place));
            let outlook = around.terms.and_then(|terms| outlook(&terms, envelope, states, place, around.now));
            let hold = state.pending().and_then(|pending| hold(recipient, pending, outlook.as_ref(), around));
            let circumstances = match standing {
                Some(standing) => standing.around.clone(),
                None => Circumstances { stop: around.stop, ..Circumstances::default() },
            };
            let mut told = queue_recipient(recipient, state, (standing, outlook), around.now);
            // Without the dispatcher what is held is what will be.
            if hold.is_some() && standing.is_none() {
                (told.state, told.next_attempt) = (RecipientStanding::Held, None);
            }
            told.prospects.hold = hold.as_ref().map(in_force);
            (told, Circumstances { hold, ..circumstances })
        })
        .collect();
    QueueMessage {
        id: envelope.id,
        received_at: envelope.received_at,
        from: envelope.sender.path.to_string(),
        size: envelope.size,
        listener: envelope.origin.listener.clone(),
        client: envelope.origin.ip.map(|ip| ip.to_string()),
        tls: envelope.origin.tls.as_ref().map(ToString::to_string),
        why: why(envelope.id, &recipients, around.now),
        recipients: recipients.into_iter().map(|(recipient, _)| recipient).collect(),
        subject: None,
    }
}

/// What keeps a recipient here: a hold of its own goes before that of its destination.
fn hold(recipient: &Recipient, pending: &Pending, outlook: Option<&Outlook>, around: &Around<'_>) -> Option<Hold> {
    let route = outlook.and_then(|outlook| outlook.route.as_deref());
    let of_destination = || {
        let DestinationHold { place, held } = around.holds?.caught(recipient.address.domain(), route)?;
        let scope = match place {
            HeldPlace::Domain(domain) => HoldScope::Domain(domain.to_string()),
            HeldPlace::Route(route) => HoldScope::Route(route),
        };
        Some((scope, held))
    };
    let own = pending.held.as_deref().map(|held| (HoldScope::Message, held.clone()));
    let (scope, Held { reason, until, by, at }) = own.or_else(of_destination)?;
    Some(Hold { scope, by, at, until, reason })
}

fn in_force(hold: &Hold) -> HoldInForce {
    let (domain, route) = match &hold.scope {
        HoldScope::Message => (None, None),
        HoldScope::Domain(name) => (Some(name.clone()), None),
        HoldScope::Route(name) => (None, Some(name.clone())),
    };
    HoldInForce { domain, route, reason: hold.reason.clone(), since: hold.at, until: hold.until, by: hold.by }
}

fn queue_recipient(
    recipient: &Recipient,
    state: &RecipientState,
    (standing, outlook): (Option<&Standing>, Option<Outlook>),
    now: Timestamp,
) -> QueueRecipient {
    let pending = state.pending().cloned().unwrap_or_default();
    let planned = standing.map(|standing| &standing.destination);
    let destination = planned.or(outlook.as_ref().map(|outlook| &outlook.destination)).cloned();
    let prospects = prospects(&pending, outlook);
    let Pending { attempts, next_attempt, last, lacks_tls_since, route, .. } = pending;
    let next_attempt = match standing.map(|standing| standing.state) {
        // What the scheduler waits for counts, should the clock have been set since.
        Some(StandingState::Waiting(left)) => Some(now + left),
        Some(_) => None,
        None => next_attempt.filter(|next| *next > now),
    };
    let last = last.as_ref();
    QueueRecipient {
        address: peer_text(recipient.address.as_str(), PEER_TEXT_BYTES_MAX).into_owned(),
        destination,
        state: recipient_standing(state, standing, next_attempt),
        attempts,
        next_attempt,
        last_attempt: last.map(|last| last.at),
        reason: last.map(|last| last.reason),
        mx: last.and_then(|last| last.mx.clone()),
        detail: last.map(|last| beyond(last.reason, &last.detail).to_owned()),
        lacks_tls_since,
        route,
        prospects,
    }
}

/// What the detail says beyond the reason, which is told beside it.
fn beyond(reason: Reason, detail: &str) -> &str {
    detail.strip_prefix(reason.as_str()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(detail)
}

fn prospects(pending: &Pending, outlook: Option<Outlook>) -> Prospects {
    let (asked_by, others) = pending.last.as_ref().map(|l| (l.asked_by.clone(), l.others.clone())).unwrap_or_default();
    let in_short = |other: OtherHost| OtherHost { detail: beyond(other.reason, &other.detail).to_owned(), ..other };
    let reroute = outlook.as_ref().and_then(|outlook| outlook.reroute.clone());
    Prospects {
        asked_by,
        other_hosts: others.into_iter().map(in_short).collect(),
        expires_at: outlook.as_ref().map(|outlook| outlook.expires_at),
        reroute_to: reroute.as_ref().map(|(route, _)| route.to_string()),
        reroute_at: reroute.map(|(_, at)| at),
        told_at: pending.told_at,
        tell_at: outlook.and_then(|outlook| outlook.tell_at),
        hold: None,
    }
}

/// Without the dispatcher's word the recorded next attempt says whether it waits.
fn recipient_standing(
    state: &RecipientState,
    standing: Option<&Standing>,
    next_attempt: Option<Timestamp>,
) -> RecipientStanding {
    match (state, standing.map(|standing| standing.state)) {
        (RecipientState::Settled(Settled::Delivered), _) => RecipientStanding::Delivered,
        (RecipientState::Settled(Settled::Bounced), _) => RecipientStanding::Bounced,
        (RecipientState::Settled(Settled::Expired), _) => RecipientStanding::Expired,
        (RecipientState::Settled(Settled::Dropped), _) => RecipientStanding::Dropped,
        (RecipientState::Pending(_), Some(StandingState::Waiting(_))) => RecipientStanding::Waiting,
        (RecipientState::Pending(_), Some(StandingState::Active)) => RecipientStanding::Active,
        (RecipientState::Pending(_), Some(StandingState::Held)) => RecipientStanding::Held,
        (RecipientState::Pending(_), Some(StandingState::Ready)) => RecipientStanding::Ready,
        (RecipientState::Pending(_), None) if next_attempt.is_some() => RecipientStanding::Waiting,
        (RecipientState::Pending(_), None) => RecipientStanding::Ready,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::Charset;

    #[test]
    fn a_reason_is_told_once() {
        let expired = Reason::CertificateExpired;
        for (detail, expected) in [
            ("certificate-expired: Expired", "Expired"),
            ("the certificate of mx has expired", "the certificate of mx has expired"),
            ("certificate-expired", "certificate-expired"),
        ] {
            assert_eq!(beyond(expired, detail), expected);
        }
    }

    #[test]
    fn without_the_dispatcher_the_recorded_next_attempt_tells_waiting_from_due() {
        let now = Timestamp::from_secs(1_800_000_000);
        let at = |secs: i64| Some(Timestamp::from_secs(1_800_000_000 + secs));
        for (next_attempt, state, shown) in [
            (None, RecipientStanding::Ready, None),
            (at(60), RecipientStanding::Waiting, at(60)),
            (at(0), RecipientStanding::Ready, None),
            (at(-60), RecipientStanding::Ready, None),
        ] {
            let pending = RecipientState::Pending(Pending { attempts: 1, next_attempt, ..Pending::default() });
            let address = Address::parse("b@bank.example", Charset::Ascii).unwrap();
            let seen = queue_recipient(&Recipient::plain(address), &pending, (None, None), now);
            assert_eq!((seen.state, seen.next_attempt), (state, shown), "{next_attempt:?}");
        }
    }
}
