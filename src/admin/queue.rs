//! The queue as an operator sees it: each message with what every recipient waits for, and one sentence about it.

use std::sync::Arc;
use std::time::Duration;

use mail_parser::MessageParser;
use tokio::sync::oneshot;

use crate::clock;
use crate::model::address::Address;
use crate::model::escape::{PEER_TEXT_BYTES_MAX, peer_text};
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::outbound::dispatch::{Command, Standing, StandingState};
use crate::outbound::outlook::{Outlook, outlook};
use crate::policy::settings::Fact;
use crate::spool::Stored;
use crate::spool::state::{OtherHost, Pending, RecipientState, Settled};

use super::control::Desk;
use super::protocol::{Filter, Prospects, QUEUE_PAGE_MAX, QueueMessage, QueueRecipient, RecipientStanding, Response};

/// The part of a message that is read for its Subject.
const HEADER_BYTES_MAX: usize = 64 * 1024;

pub(super) async fn list(desk: &Desk, filter: &Filter, after: Option<MessageId>) -> Response {
    let now = clock::timestamp();
    let mut messages = Vec::new();
    let mut position = after;
    loop {
        let page = desk.spool.list(position, QUEUE_PAGE_MAX);
        let Some(last) = page.last().map(|stored| stored.envelope.id) else {
            return Response::Queue { messages, more: false };
        };
        position = Some(last);
        for stored in page.iter().filter(|stored| matches(filter, stored, now)) {
            if messages.len() == QUEUE_PAGE_MAX {
                return Response::Queue { messages, more: true };
            }
            messages.push(message(desk, stored).await);
        }
    }
}

pub(super) async fn show(desk: &Desk, id: MessageId) -> Response {
    let Some(stored) = desk.spool.load(id) else { return Response::NotFound };
    let mut message = message(desk, &stored).await;
    if let Ok(head) = desk.spool.body(&stored).head(HEADER_BYTES_MAX).await {
        let parsed = MessageParser::default().parse_headers(&head);
        let subject = parsed.as_ref().and_then(|parsed| parsed.subject());
        message.subject = subject.map(|subject| peer_text(subject, PEER_TEXT_BYTES_MAX).into_owned());
    }
    Response::Message(Box::new(message))
}

fn matches(filter: &Filter, stored: &Stored, now: Timestamp) -> bool {
    let envelope = &stored.envelope;
    let pending = || envelope.recipients.iter().zip(&stored.states).filter(|(_, state)| state.pending().is_some());
    let to = filter.to_domain.as_ref().is_none_or(|domain| pending().any(|(r, _)| r.address.domain() == Some(domain)));
    let from = filter.from_domain.as_ref().is_none_or(|domain| envelope.sender.path.domain() == Some(domain));
    let age = now.saturating_since(envelope.received_at).as_secs();
    let old = filter.older_than_secs.is_none_or(|seconds| age >= seconds);
    let has_reason = |state: &RecipientState, reason| {
        state.pending().and_then(|pending| pending.last.as_ref()).is_some_and(|last| last.reason == reason)
    };
    let because = filter.reason.is_none_or(|reason| pending().any(|(_, state)| has_reason(state, reason)));
    to && from && old && because
}

async fn message(desk: &Desk, stored: &Stored) -> QueueMessage {
    let envelope = &stored.envelope;
    let standings = standings(desk, envelope.id).await;
    let (snapshot, now) = (desk.outbound.snapshot.load_full(), clock::timestamp());
    let recipients: Vec<QueueRecipient> = (0..)
        .zip(&envelope.recipients)
        .zip(&stored.states)
        .map(|((place, recipient), state)| {
            let standing = standings.iter().find(|standing| standing.recipients.contains(&place));
            let outlook = outlook(&snapshot, stored, place, now);
            queue_recipient(&recipient.address, state, (standing, outlook))
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
        why: why(&recipients),
        recipients,
        subject: None,
    }
}

async fn standings(desk: &Desk, id: MessageId) -> Vec<Standing> {
    let (sender, receiver) = oneshot::channel();
    _ = desk.commands.send(Command::Standing(id, sender)).await;
    receiver.await.unwrap_or_default()
}

fn queue_recipient(
    address: &Address,
    state: &RecipientState,
    (standing, outlook): (Option<&Standing>, Option<Outlook>),
) -> QueueRecipient {
    let pending = state.pending().cloned().unwrap_or_default();
    let prospects = prospects(&pending, outlook);
    let Pending { attempts, next_attempt, last, lacks_tls_since, route, .. } = pending;
    let now = clock::timestamp();
    let next_attempt = match standing.map(|standing| standing.state) {
        // What the scheduler waits for counts, should the clock have been set since.
        Some(StandingState::Waiting(left)) => Some(now + left),
        Some(_) => None,
        None => next_attempt,
    };
    let last = last.as_ref();
    QueueRecipient {
        address: peer_text(address.as_str(), PEER_TEXT_BYTES_MAX).into_owned(),
        destination: standing.map(|standing| standing.destination.clone()),
        state: recipient_standing(state, standing),
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
    }
}

fn recipient_standing(state: &RecipientState, standing: Option<&Standing>) -> RecipientStanding {
    match (state, standing.map(|standing| standing.state)) {
        (RecipientState::Settled(Settled::Delivered), _) => RecipientStanding::Delivered,
        (RecipientState::Settled(Settled::Bounced), _) => RecipientStanding::Bounced,
        (RecipientState::Settled(Settled::Expired), _) => RecipientStanding::Expired,
        (RecipientState::Settled(Settled::Dropped), _) => RecipientStanding::Dropped,
        (RecipientState::Pending(_), Some(StandingState::Waiting(_))) => RecipientStanding::Waiting,
        (RecipientState::Pending(_), Some(StandingState::Active)) => RecipientStanding::Active,
        (RecipientState::Pending(_), Some(StandingState::Held)) => RecipientStanding::Held,
        (RecipientState::Pending(_), Some(StandingState::Ready) | None) => RecipientStanding::Ready,
    }
}

/// Why the message is still here and when it is tried next, about the recipient that is due first.
fn why(recipients: &[QueueRecipient]) -> String {
    let open = |recipient: &&QueueRecipient| {
        use RecipientStanding::{Active, Held, Ready, Waiting};
        matches!(recipient.state, Active | Held | Ready | Waiting)
    };
    let open: Vec<&QueueRecipient> = recipients.iter().filter(open).collect();
    let Some(first) = open.iter().min_by_key(|recipient| recipient.next_attempt) else {
        return "All recipients are settled; the message is being removed.".to_owned();
    };
    let same = |recipient: &&&QueueRecipient| (recipient.reason, &recipient.mx) == (first.reason, &first.mx);
    let alike = open.iter().filter(same).count();
    let others = match (alike - 1, open.len() - alike) {
        (0, 0) => String::new(),
        (0, others) => format!(" ({others} more for other reasons)"),
        (alike, 0) => format!(" (and {alike} more)"),
        (alike, others) => format!(" (and {alike} more; {others} for other reasons)"),
    };
    let whom = format!("{}{others}", first.address);
    let now = clock::timestamp();
    match (first.state, &first.reason) {
        (RecipientStanding::Active, _) => format!("It is being delivered to {whom} right now."),
        (RecipientStanding::Held, _) => format!("The delivery to {whom} is held."),
        (_, Some(reason)) => {
            let at = first.mx.as_ref().map(|mx| format!(" at {mx}")).unwrap_or_default();
            let detail = first.detail.as_deref().filter(|detail| !detail.is_empty()).map(|d| format!(" ({d})"));
            let next = first.next_attempt.map_or_else(|| "now".to_owned(), |next| within(next.saturating_since(now)));
            format!(
                "Delivery to {whom} failed {} with {reason}{at}{}; it is tried again {next}{}.{}",
                times(first.attempts),
                detail.unwrap_or_default(),
                by_way(first, now),
                beside(first, now),
            )
        }
        (_, None) => format!("Delivery to {whom} has not been tried yet; it waits for its turn."),
    }
}

/// What TLS has to do with it: by which route it goes now, or since when it waits.
fn by_way(recipient: &QueueRecipient, now: Timestamp) -> String {
    match (&recipient.route, recipient.lacks_tls_since) {
        (Some(route), _) => {
            format!(", by the route {route}, because its own mail hosts could not meet its policy for too long")
        }
        (None, Some(since)) => format!("; it has waited for TLS for {}", span(now.saturating_since(since))),
        (None, None) => String::new(),
    }
}

/// Who asks for TLS, the other hosts, what comes next, and what the sender knows: a sentence each.
fn beside(recipient: &QueueRecipient, now: Timestamp) -> String {
    let Prospects { asked_by, other_hosts, expires_at, reroute_to, reroute_at, told_at, tell_at } =
        &recipient.prospects;
    let mut sentences = Vec::new();
    if !asked_by.is_empty() {
        sentences.push(format!("TLS is asked for by {}.", asked_by.join(", ")));
    }
    let domain = recipient.address.rsplit_once('@').map(|(_, domain)| domain);
    if let Some(domain) = domain.filter(|_| asked_by.iter().any(|by| by == Fact::Learned.as_str())) {
        sentences.push(format!("If its hosts will not meet what was learned again: gatepost learned forget {domain}"));
    }
    if !other_hosts.is_empty() {
        let hosts: Vec<String> = other_hosts.iter().map(|other| format!("{} ({})", other.mx, other.reason)).collect();
        sentences.push(format!("Other hosts failed too: {}.", hosts.join(", ")));
    }
    let moment = |at: Timestamp| format!("{} ({})", within(at.saturating_since(now)), at.brief());
    match (reroute_to, reroute_at, expires_at) {
        (Some(route), Some(at), _) => {
            sentences.push(format!("If that is not met by then, it goes by the route {route} {}.", moment(*at)));
        }
        (_, _, Some(at)) => sentences.push(format!("It is given up {}.", moment(*at))),
        _ => {}
    }
    sentences.extend(told_at.map(|at| format!("The sender was told {}.", at.brief())));
    sentences.extend(tell_at.map(|at| format!("The sender is told {}.", moment(at))));
    sentences.iter().map(|sentence| format!(" {sentence}")).collect()
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn times(count: u32) -> Arc<str> {
    match count {
        0 | 1 => "once".into(),
        2 => "twice".into(),
        count => format!("{count} times").into(),
    }
}

fn within(left: Duration) -> String {
    match left.as_secs() {
        0 => "now".to_owned(),
        _ => format!("in {}", span(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn waiting(prospects: Prospects) -> QueueRecipient {
        QueueRecipient {
            address: "b@bank.example".into(),
            destination: Some("bank.example".into()),
            state: RecipientStanding::Waiting,
            attempts: 3,
            next_attempt: None,
            last_attempt: None,
            reason: Some(Reason::CertificateExpired),
            mx: Some("mx1.bank.example".into()),
            detail: Some("Expired".into()),
            lacks_tls_since: None,
            route: None,
            prospects,
        }
    }

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
        let why = why(&[waiting(Prospects::default())]);
        assert_eq!(
            why,
            "Delivery to b@bank.example failed 3 times with certificate-expired at mx1.bank.example (Expired); it is \
             tried again now."
        );
    }

    #[test]
    fn what_can_be_done_and_what_comes_next_is_part_of_why() {
        let hours = |count: u64| Some(NOW + Duration::from_secs(count * 3600));
        let other = OtherHost { mx: "mx2.bank.example".into(), reason: Reason::ConnectTimeout, detail: String::new() };
        for (prospects, expected) in [
            (Prospects::default(), ""),
            (
                Prospects { asked_by: vec!["domains.d/bank.toml:12".into(), "DANE".into()], ..Prospects::default() },
                " TLS is asked for by domains.d/bank.toml:12, DANE.",
            ),
            (
                Prospects { asked_by: vec!["learned".into()], ..Prospects::default() },
                " TLS is asked for by learned. If its hosts will not meet what was learned again: gatepost learned \
                 forget bank.example",
            ),
            (
                Prospects {
                    other_hosts: vec![other],
                    expires_at: hours(5),
                    told_at: Some(NOW),
                    ..Prospects::default()
                },
                " Other hosts failed too: mx2.bank.example (connect-timeout). It is given up in 5 h \
                 (2027-01-15T13:00:00Z). The sender was told 2027-01-15T08:00:00Z.",
            ),
            (
                Prospects {
                    expires_at: hours(5),
                    reroute_to: Some("escrow".into()),
                    reroute_at: hours(3),
                    tell_at: hours(2),
                    ..Prospects::default()
                },
                " If that is not met by then, it goes by the route escrow in 3 h (2027-01-15T11:00:00Z). The sender is \
                 told in 2 h (2027-01-15T10:00:00Z).",
            ),
        ] {
            assert_eq!(beside(&waiting(prospects), NOW), expected);
        }
    }
}
