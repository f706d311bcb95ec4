//! Notices to the sender (RFC 3464): who is to be told what, and the messages that tell it.

use std::sync::Arc;

use crate::mail::dsn::{
    Action, AskedBy, Composed, Notice, Original, RETURN_FULL_BYTES_MAX, RETURN_HEADER_BYTES_MAX, RecipientNotice,
    compose as compose_dsn, explanation_for, notice_due, returned_part, status_for, status_of_reply, waiting_for,
};
use crate::model::address::ReversePath;
use crate::model::envelope::{BodyType, DsnReturn, Envelope, Notify, Origin, Recipient, Sender, Trust};
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::reply::{EnhancedCode, Reply};
use crate::model::time::Timestamp;
use crate::policy::host_requirement::HostRequirement;
use crate::policy::rules::PolicySet;
use crate::policy::settings::{Fact, Source};
use crate::random;
use crate::spool::NewMessage;

use super::conclude::Attempted;
use super::outcome::Failure;
use super::targets::Target;

/// One recipient that the sender is told about.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) place: u32,
    action: Action,
    status: EnhancedCode,
    reason: Option<Reason>,
    remote: Option<String>,
    reply: Option<Reply>,
    retry_until: Option<Timestamp>,
    other_route_from: Option<Timestamp>,
    explanation: Option<String>,
}

/// Recipients that asked for a notice of success, delivered to a host that does not know DSN and so will not send one
/// (RFC 3461 section 5.2.2).
pub(super) fn relayed(attempted: &Attempted, places: &[u32], reply: &Reply, target: Option<&Target>) -> Vec<Told> {
    let told = |place: u32| Told {
        place,
        action: Action::Relayed,
        status: EnhancedCode::new(2, 0, 0),
        reason: None,
        remote: target.map(Target::shown),
        reply: Some(reply.clone()),
        retry_until: None,
        other_route_from: None,
        explanation: None,
    };
    due(attempted, places, Action::Relayed).map(told).collect()
}

/// Recipients that have waited long enough for a first warning. Only senders whose address can be relied on get one:
/// trusted clients' and those of hosted domains.
pub(super) fn delayed(attempted: &Attempted, places: &[u32], failure: &Failure, now: Timestamp) -> Vec<Told> {
    let envelope = &attempted.stored.envelope;
    let waited = now.saturating_since(envelope.received_at);
    if !is_reliable(envelope, &attempted.snapshot.policies) {
        return Vec::new();
    }
    let is_late = waited >= attempted.snapshot.delay_warning;
    let lacks_tls = attempted.decision.lacks_tls(failure.reason);
    let is_due = |place: &u32| {
        let is_time = attempted.standing(*place, failure, now).notice_at().is_some_and(|at| at <= now);
        // That it waits for TLS is news also to whom has heard that it is late.
        attempted
            .pending(*place)
            .is_some_and(|pending| is_late && !pending.delay_notified || lacks_tls && is_time && !pending.tls_notified)
    };
    let told = |place| {
        let until = attempted.expires_at();
        let other_route = attempted.standing(place, failure, now).reroute().map(|(_, at)| at);
        let other_route_from = other_route.filter(|_| attempted.decision.lacks_tls(failure.reason));
        Told {
            retry_until: Some(until),
            other_route_from,
            explanation: waiting_for(failure.reason, asked_by(failure), until, other_route_from)
                .filter(|_| is_explained(attempted, failure)),
            ..of_failure(place, Action::Delayed, failure, false)
        }
    };
    due(attempted, places, Action::Delayed).filter(is_due).map(told).collect()
}

/// Whether the address of the sender is one that delays are told to.
pub(super) fn is_reliable(envelope: &Envelope, policies: &PolicySet) -> bool {
    let hosted = envelope.sender.path.domain().is_some_and(|domain| policies.is_hosted(domain));
    envelope.origin.trust == Trust::Trusted || hosted
}

/// Recipients that are given up.
pub(super) fn failed(attempted: &Attempted, places: &[u32], failure: &Failure, expired: bool) -> Vec<Told> {
    let explanation = match failure.reason {
        Reason::Operator => Some(format!("{}.", failure.detail)),
        reason => explanation_for(reason, asked_by(failure)).filter(|_| is_explained(attempted, failure)),
    };
    let told = |place| Told { explanation: explanation.clone(), ..of_failure(place, Action::Failed, failure, expired) };
    due(attempted, places, Action::Failed).map(told).collect()
}

/// Whether what is said of TLS fits.
fn is_explained(attempted: &Attempted, failure: &Failure) -> bool {
    !failure.reason.is_outbound_tls() || attempted.decision.lacks_tls(failure.reason)
}

fn of_failure(place: u32, action: Action, failure: &Failure, expired: bool) -> Told {
    let permanent = action == Action::Failed;
    let status = match &failure.reply {
        _ if expired => status_for(Reason::Expired, permanent),
        Some(reply) if permanent => status_of_reply(reply),
        // A "no" for good that is not taken for one still tells what it is about.
        Some(reply) => EnhancedCode { class: 4, ..status_of_reply(reply) },
        None => status_for(failure.reason, permanent),
    };
    Told {
        place,
        action,
        status,
        reason: Some(failure.reason),
        remote: failure.target.as_ref().map(Target::shown),
        reply: failure.reply.clone(),
        retry_until: None,
        other_route_from: None,
        explanation: None,
    }
}

/// Whose demand is not met.
fn asked_by(failure: &Failure) -> AskedBy {
    let requirement = failure.target.as_ref().and_then(|target| target.requirement.as_ref());
    let is_by_sender = |requirement: &Arc<HostRequirement>| {
        let is_raised = *requirement.session.rule(Some(failure.reason)) == Source::Fact(Fact::RequireTls);
        requirement.is_for_message_alone(failure.reason) || is_raised && failure.reason == Reason::ValidationFailure
    };
    if requirement.is_some_and(is_by_sender) { AskedBy::Sender } else { AskedBy::Policy }
}

fn due(attempted: &Attempted, places: &[u32], action: Action) -> impl Iterator<Item = u32> {
    let envelope = &attempted.stored.envelope;
    let is_due = move |place: &u32| recipient(envelope, *place).is_some_and(|r| notice_due(envelope, r, action));
    places.iter().copied().filter(is_due)
}

fn recipient(envelope: &Envelope, place: u32) -> Option<&Recipient> {
    envelope.recipients.get(usize::try_from(place).ok()?)
}

/// The notices as messages of our own, one for each kind.
pub(super) async fn compose(attempted: &Attempted, told: &[Told], now: Timestamp) -> Vec<NewMessage> {
    let mut notices = Vec::new();
    for action in [Action::Failed, Action::Delayed, Action::Relayed] {
        let of_kind: Vec<&Told> = told.iter().filter(|told| told.action == action).collect();
        if !of_kind.is_empty() {
            notices.extend(compose_one(attempted, action, &of_kind, now).await);
        }
    }
    notices
}

async fn compose_one(attempted: &Attempted, action: Action, told: &[&Told], now: Timestamp) -> Option<NewMessage> {
    let envelope = &attempted.stored.envelope;
    let full = returned_part(envelope, action) == DsnReturn::Full;
    let bytes_max =
        if full { usize::try_from(RETURN_FULL_BYTES_MAX).unwrap_or(usize::MAX) } else { RETURN_HEADER_BYTES_MAX };
    // A notice without the original is better than none.
    let original = attempted.outbound.spool.body(&attempted.stored).head(bytes_max).await.unwrap_or_default();
    let recipients: Vec<RecipientNotice<'_>> = told
        .iter()
        .filter_map(|told| {
            Some(RecipientNotice {
                recipient: recipient(envelope, told.place)?,
                action,
                status: told.status,
                reason: told.reason,
                remote: told.remote.as_deref(),
                reply: told.reply.as_ref(),
                last_attempt: Some(now),
                retry_until: told.retry_until,
                other_route_from: told.other_route_from,
            })
        })
        .collect();
    let id = random::message_id(now);
    let notice = Notice {
        hostname: attempted.snapshot.hostname.as_str(),
        envelope,
        recipients: &recipients,
        original: if full { Original::Full(&original) } else { Original::Headers(&original) },
        explanation: told.iter().find_map(|told| told.explanation.as_deref()),
        now,
        id,
    };
    let composed = compose_dsn(&notice)?;
    let notice_envelope = envelope_of(envelope, &composed, id, now)?;
    Some(NewMessage { envelope: Arc::new(notice_envelope), content: attempted.outbound.spool.sealed(composed.content) })
}

/// The envelope of a notice about a message: it goes from nobody, as protected as the message was.
fn envelope_of(about: &Envelope, notice: &Composed, id: MessageId, now: Timestamp) -> Option<Envelope> {
    let to = about.sender.path.mailbox()?.clone();
    Some(Envelope {
        id,
        received_at: now,
        sender: Sender {
            smtputf8: notice.smtputf8,
            body: if notice.eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit },
            // RFC 8689 section 5.
            require_tls: about.sender.require_tls,
            ..Sender::plain(ReversePath::Null)
        },
        recipients: vec![Recipient { notify: Some(Notify::NEVER), ..Recipient::plain(to) }],
        origin: Origin {
            session: random::session_id(now),
            listener: String::new(),
            ip: None,
            port: 0,
            helo: String::new(),
            trust: Trust::Local,
            tls: None,
        },
        size: notice.content.len() as u64,
        eight_bit: notice.eight_bit,
        tls_required_no: notice.tls_required_no,
        tls_report: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Security;
    use crate::model::id::SessionId;
    use crate::policy::host_requirement::require;
    use crate::policy::outbound::{HostIdentity, decide};
    use crate::policy::published::{Asks, Published};
    use crate::policy::rules::{Defaults, PolicySet};
    use crate::policy::settings::{OutboundLayer, OutboundTls, Sourced};
    use crate::policy::timed::{Asker, Rules};

    fn message(sender: Sender, tls_required_no: bool) -> Envelope {
        Envelope {
            id: MessageId::from_u128(1),
            received_at: Timestamp::from_secs(0),
            sender,
            recipients: vec![Recipient::plain("b@bank.example".parse().unwrap())],
            origin: Origin {
                session: SessionId::from_u128(1),
                listener: "mx".to_owned(),
                ip: None,
                port: 0,
                helo: String::new(),
                trust: Trust::Stranger,
                tls: None,
            },
            size: 0,
            eight_bit: false,
            tls_required_no,
            tls_report: false,
        }
    }

    #[test]
    fn the_sender_is_named_for_what_the_message_alone_demands() {
        use OutboundTls::{Encrypt, Opportunistic, Verify};
        use Reason::{CertificateExpired, StarttlsNotSupported, ValidationFailure, VersionBelowMinimum};
        for (level, require_tls, reason, expected) in [
            (Opportunistic, true, StarttlsNotSupported, AskedBy::Sender),
            (Opportunistic, true, CertificateExpired, AskedBy::Sender),
            (Opportunistic, true, ValidationFailure, AskedBy::Sender),
            (Encrypt, true, StarttlsNotSupported, AskedBy::Policy),
            (Encrypt, true, CertificateExpired, AskedBy::Sender),
            (Encrypt, true, VersionBelowMinimum, AskedBy::Policy),
            (Verify, true, CertificateExpired, AskedBy::Policy),
            (Encrypt, false, StarttlsNotSupported, AskedBy::Policy),
        ] {
            let layer = OutboundLayer { tls: Some(Sourced::built_in(level)), ..OutboundLayer::default() };
            let defaults = Defaults { outbound: Rules::from(layer), ..Defaults::default() };
            let policies = PolicySet::new(defaults, Vec::new()).unwrap();
            let asker = Asker { at: Timestamp::from_secs(0), client: None, sender: &ReversePath::Null };
            let decision = decide(&policies, None, &asker);
            let published = Published { asks: Asks { require_tls, ..Asks::default() }, ..Published::default() };
            let host = HostIdentity { recipient_domain: None, name: None, name_is_trusted: false };
            let target = Target {
                name: None,
                name_is_trusted: false,
                address: ([192, 0, 2, 1], 25).into(),
                security: Security::Unknown,
                requirement: Some(Arc::new(require(&decision, &host, &published).unwrap())),
                unmet: None,
                published: Arc::new(published),
            };
            let failure = Failure { target: Some(target), ..Failure::ours(reason, false, String::new()) };
            assert_eq!(asked_by(&failure), expected, "{level:?} {require_tls} {reason}");
        }
    }

    #[test]
    fn a_notice_goes_from_nobody_to_the_sender_alone_and_is_protected_as_the_message_was() {
        for (require_tls, tls_required_no) in [(false, false), (true, false), (false, true)] {
            let path = ReversePath::Mailbox("a@partner.example".parse().unwrap());
            let about = message(Sender { require_tls, ..Sender::plain(path) }, tls_required_no);
            let composed = Composed { content: vec![0; 7], eight_bit: false, tls_required_no, smtputf8: false };
            let id = MessageId::from_u128(2);
            let notice = envelope_of(&about, &composed, id, Timestamp::from_secs(9)).unwrap();
            assert_eq!((&notice.sender.path, notice.sender.require_tls), (&ReversePath::Null, require_tls));
            assert_eq!((notice.id, notice.size, notice.tls_required_no), (id, 7, tls_required_no));
            let to: Vec<_> = notice.recipients.iter().map(|to| (to.address.as_str(), to.notify)).collect();
            assert_eq!(to, [("a@partner.example", Some(Notify::NEVER))]);
        }
        let composed = Composed { content: Vec::new(), eight_bit: false, tls_required_no: false, smtputf8: false };
        let from_nobody = message(Sender::plain(ReversePath::Null), false);
        assert_eq!(envelope_of(&from_nobody, &composed, MessageId::from_u128(2), Timestamp::from_secs(9)), None);
    }
}
