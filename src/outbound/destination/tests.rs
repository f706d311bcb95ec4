//! Who travels with whom, and that nobody's policy is touched by it.

use super::*;
use crate::model::address::ReversePath;
use crate::model::domain::DomainPattern;
use crate::model::envelope::{Origin, Recipient, Sender, Trust};
use crate::model::id::{MessageId, SessionId};
use crate::policy::rules::{Defaults, DomainPolicy};
use crate::policy::settings::{DeliveryLayer, HostPort, IpChoice, OnTlsFailure, OutboundLayer, Route, Source, Sourced};
use crate::spool::state::{LastAttempt, Pending, Settled};

const HOUR: Duration = Duration::from_secs(3600);

fn route(name: &str, names: Option<NamePattern>) -> Option<Arc<Route>> {
    let match_names = names.map(|name| Sourced { value: vec![name], source: Source::BuiltIn });
    Some(Arc::new(Route {
        name: name.into(),
        source: Source::BuiltIn,
        hosts: vec![HostPort { host: Host::parse("relay.example").unwrap(), port: 25 }],
        tls: OutboundLayer { match_names, ..OutboundLayer::default() },
        source_address: None,
        ehlo: None,
        ip: IpChoice::Any,
        client_certificate: None,
    }))
}

fn file(patterns: &[&str], route: Option<Arc<Route>>, delivery: DeliveryLayer) -> DomainPolicy {
    let patterns = patterns.iter().map(|pattern| DomainPattern::parse(pattern).unwrap()).collect();
    DomainPolicy { patterns, route, delivery, ..DomainPolicy::default() }
}

fn on_tls_failure(value: OnTlsFailure, line: u32) -> DeliveryLayer {
    let source = Source::File { file: "f".into(), line };
    DeliveryLayer { on_tls_failure: Some(Sourced { value, source }), ..DeliveryLayer::default() }
}

/// Some routes of files' own; all else is looked up.
fn routes() -> PolicySet {
    let none = DeliveryLayer::default;
    let few = DeliveryLayer { concurrency: Some(2), ..none() };
    let files = vec![
        file(&["one.example", "two.example"], route("store", None), none()),
        file(&["*.named.example"], route("named", Some(NamePattern::Domain)), none()),
        file(&["c.example"], route("mx.example", None), none()),
        file(&["few.example"], None, few),
    ];
    PolicySet::new(Defaults::default(), files).unwrap()
}

/// A route for all, and files that differ in what else is to be done.
fn smarthost() -> PolicySet {
    let none = DeliveryLayer::default;
    let concurrency = |max| DeliveryLayer { concurrency: Some(max), ..none() };
    let files = vec![
        file(&["keep.example"], None, on_tls_failure(OnTlsFailure::Defer, 1)),
        file(&["drop.example"], None, on_tls_failure(OnTlsFailure::Bounce, 2)),
        file(&["drop-too.example"], None, on_tls_failure(OnTlsFailure::Bounce, 3)),
        file(&["short.example"], None, DeliveryLayer { lifetime: Some(HOUR), ..none() }),
        file(&["slow.example"], None, DeliveryLayer { retry: Some(vec![48 * HOUR]), ..none() }),
        file(&["few.example"], None, concurrency(2)),
        file(&["few-too.example"], None, concurrency(2)),
        file(&["many.example"], None, concurrency(50)),
        file(&["inbound.example"], None, none()),
    ];
    let defaults = Defaults { route: route("smart", None), ..Defaults::default() };
    PolicySet::new(defaults, files).unwrap()
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope {
        id: MessageId::from_u128(1),
        received_at: Timestamp::from_secs(0),
        sender: Sender::plain(ReversePath::Null),
        recipients: recipients.iter().map(|to| Recipient::plain(to.parse().unwrap())).collect(),
        origin: Origin {
            session: SessionId::from_u128(1),
            listener: String::new(),
            ip: None,
            port: 0,
            helo: String::new(),
            trust: Trust::Local,
            tls: None,
        },
        size: 0,
        eight_bit: false,
        tls_required_no: false,
        tls_report: false,
    }
}

fn shares(policies: &PolicySet, envelope: &Envelope) -> Vec<Share> {
    let states = vec![RecipientState::default(); envelope.recipients.len()];
    Decider::new(policies, envelope, &states, Timestamp::default()).shares()
}

/// Each group with its destination; a `/` and a number are a limit of its own.
fn check(policies: &PolicySet, recipients: &[&str], expected: &[(&str, &[u32])]) {
    let envelope = envelope(recipients);
    let shares = shares(policies, &envelope);
    let show = |share: &Share| {
        let limit = share.destination.concurrency().map(|limit| format!("/{limit}")).unwrap_or_default();
        (format!("{}{limit}", share.destination), share.recipients.clone())
    };
    let found: Vec<(String, Vec<u32>)> = shares.iter().map(show).collect();
    let expected: Vec<_> = expected.iter().map(|(name, places)| ((*name).to_owned(), places.to_vec())).collect();
    assert_eq!(found, expected, "{recipients:?}");
    // What was planned together is found together when its turn comes.
    let states = vec![RecipientState::default(); envelope.recipients.len()];
    let decider = Decider::new(policies, &envelope, &states, Timestamp::default());
    for share in shares {
        assert_eq!(decider.together(&share.recipients), Some((share.destination, share.decision)), "{recipients:?}");
    }
}

#[test]
fn recipients_travel_together_where_destination_and_requirement_are_the_same() {
    let recipients = [
        "a@one.example",
        "b@two.example",
        "c@mx.example",
        "d@MX.example",
        "e@x.named.example",
        "f@y.named.example",
        "g@[192.0.2.1]",
        "h@few.example",
        "i@c.example",
    ];
    let expected: &[(&str, &[u32])] = &[
        ("[192.0.2.1]", &[6]),
        ("few.example/2", &[7]),
        ("mx.example", &[2, 3]),
        // A route may be called like a domain.
        ("mx.example", &[8]),
        ("store", &[0, 1]),
        ("named:x.named.example", &[4]),
        ("named:y.named.example", &[5]),
    ];
    check(&routes(), &recipients, expected);
    let lanes: std::collections::BTreeSet<LaneKey> =
        shares(&routes(), &envelope(&recipients)).iter().map(|share| share.destination.lane()).collect();
    assert_eq!(lanes.len(), expected.len(), "{lanes:?}");
}

#[test]
fn whoever_has_another_policy_for_the_same_route_travels_apart() {
    let policies = smarthost();
    check(&policies, &["a@keep.example", "b@drop.example"], &[("smart", &[0]), ("smart", &[1])]);
    check(&policies, &["b@drop.example", "a@keep.example"], &[("smart", &[0]), ("smart", &[1])]);
    check(&policies, &["a@other.example", "b@short.example"], &[("smart", &[0]), ("smart", &[1])]);
    check(&policies, &["b@short.example", "a@other.example"], &[("smart", &[0]), ("smart", &[1])]);
    check(&policies, &["a@slow.example", "b@short.example"], &[("smart", &[0]), ("smart", &[1])]);
    let limits = ["a@few.example", "b@many.example", "c@few-too.example", "d@other.example"];
    check(&policies, &limits, &[("smart", &[3]), ("smart/2", &[0, 2]), ("smart/50", &[1])]);
    // Who wants the same, or what is built in, shares one transaction.
    let alike = ["a@x.example", "b@drop.example", "c@inbound.example", "d@keep.example", "e@drop-too.example"];
    check(&policies, &alike, &[("smart", &[0, 2, 3]), ("smart", &[1, 4])]);
}

#[test]
fn what_is_decided_about_a_recipient_does_not_depend_on_those_beside_it() {
    let names = "keep drop drop-too short slow few few-too many inbound other another one";
    let all: Vec<String> = names.split(' ').map(|name| format!("a@{name}.example")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).chain(["a@x.named.example", "a@[192.0.2.1]"]).collect();
    for policies in [smarthost(), routes()] {
        let orders = (0..all.len()).map(|turn| {
            let mut order = all.clone();
            order.rotate_left(turn);
            order
        });
        for order in orders {
            let together = envelope(&order);
            for share in shares(&policies, &together) {
                for place in share.recipients {
                    let to = order[place as usize];
                    let alone = shares(&policies, &envelope(&[to])).remove(0);
                    assert_eq!(share.destination, alone.destination, "{to} in {order:?}");
                    assert!(share.decision.is_like(&alone.decision), "{to} in {order:?}: {:?}", share.decision);
                }
            }
        }
    }
}

#[test]
fn who_no_longer_wants_the_same_is_not_together() {
    let policies = smarthost();
    for (recipients, places, expected) in [
        (&["a@x.example", "b@y.example"][..], &[0, 1][..], true),
        (&["a@x.example", "b@drop.example"], &[0, 1], false),
        (&["b@drop.example", "a@x.example"], &[0, 1], false),
        (&["b@drop.example", "a@x.example"], &[1], true),
        (&["a@x.example", "b@few.example"], &[0, 1], false),
        (&["a@x.example", "b@[192.0.2.1]"], &[0, 1], false),
        (&["a@x.example"], &[0, 7], false),
        (&["a@x.example"], &[], false),
    ] {
        let envelope = envelope(recipients);
        let states = vec![RecipientState::default(); envelope.recipients.len()];
        let together = Decider::new(&policies, &envelope, &states, Timestamp::default()).together(places);
        assert_eq!(together.is_some(), expected, "{recipients:?} {places:?}");
    }
}

#[test]
fn only_pending_recipients_are_planned_and_the_earliest_decides_when() {
    let envelope = envelope(&["a@one.example", "b@one.example", "c@one.example"]);
    let pending = |attempts, secs, reason| {
        let at = Timestamp::from_secs(secs);
        let (mx, detail) = (None, String::new());
        let last = Some(LastAttempt { at, reason, mx, detail, asked_by: Vec::new(), others: Vec::new() });
        RecipientState::Pending(Pending { attempts, next_attempt: Some(at), last, ..Pending::default() })
    };
    let states = [
        RecipientState::Settled(Settled::Delivered),
        pending(3, 90, Reason::StarttlsNotSupported),
        pending(1, 60, Reason::ConnectTimeout),
    ];
    let policies = routes();
    let shares = Decider::new(&policies, &envelope, &states, Timestamp::default()).shares();
    let [share] = &shares[..] else { panic!("{shares:?}") };
    assert_eq!((&share.recipients[..], share.attempts), (&[1, 2][..], 3));
    assert_eq!(share.next_attempt, Some(Timestamp::from_secs(60)));
    assert_eq!(share.last_reason, Some(Reason::StarttlsNotSupported));
}

#[test]
fn a_recorded_moment_is_waited_for_as_long_as_the_domains_own_schedule_may_wait() {
    let policies = smarthost();
    let now = Instant::from_start(HOUR);
    for (to, left, expected) in [
        ("a@x.example", HOUR / 2, HOUR / 2),
        ("a@x.example", 48 * HOUR, HOUR + HOUR / 10),
        ("a@slow.example", 48 * HOUR, 48 * HOUR),
    ] {
        let next_attempt = Some(Timestamp::from_secs(0) + left);
        let state = RecipientState::Pending(Pending { next_attempt, ..Pending::default() });
        let envelope = envelope(&[to]);
        let share = Decider::new(&policies, &envelope, &[state], Timestamp::default()).shares().remove(0);
        let wait = share.due(now, Timestamp::from_secs(0), &[HOUR]).saturating_since(now);
        assert_eq!(wait, expected, "{to} {left:?}");
    }
}
