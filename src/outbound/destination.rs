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
use crate::policy::timed::Asker;
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
    at: Timestamp,
) -> BTreeMap<Arc<str>, Share> {
    let mut shares: BTreeMap<Arc<str>, Share> = BTreeMap::new();
    let asker = asker(envelope, at);
    for ((place, recipient), state) in (0..).zip(&envelope.recipients).zip(states) {
        let Some(pending) = state.pending() else { continue };
        let decision = decide(policies, recipient.address.domain(), &asker);
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

/// On whose behalf the policies are asked about a message.
pub(super) fn asker(envelope: &Envelope, at: Timestamp) -> Asker<'_> {
    Asker { at, client: envelope.origin.ip, sender: &envelope.sender.path }
}

/// The name of the destination that `address` belongs to: its domain, or the route that replaces the look-up. A route
/// that asks for the recipient's own name in the certificate is a destination for each domain.
pub(super) fn name(decision: &Decision, address: &Address) -> Arc<str> {
    match (&decision.next_hop, address.host()) {
        (NextHop::Route(route), Host::Name(domain)) if names_domain(decision) => {
            format!("{}:{domain}", route.name).into()
        }
        (NextHop::Route(route), _) => route.name.clone(),
        (NextHop::Mx, host) => host.to_string().into(),
    }
}

fn names_domain(decision: &Decision) -> bool {
    decision.requirement.match_names.value.contains(&NamePattern::Domain)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::domain::DomainPattern;
    use crate::model::envelope::{Origin, Recipient, Sender, Trust};
    use crate::model::id::{MessageId, SessionId};
    use crate::policy::rules::{Defaults, DomainPolicy};
    use crate::policy::settings::{HostPort, IpChoice, OutboundLayer, Route, Source, Sourced};
    use crate::spool::state::{Pending, Settled};

    fn route(name: &str, names: Option<NamePattern>) -> Arc<Route> {
        let match_names = names.map(|name| Sourced { value: vec![name], source: Source::BuiltIn });
        Arc::new(Route {
            name: name.into(),
            source: Source::BuiltIn,
            hosts: vec![HostPort { host: Host::parse("relay.example").unwrap(), port: 25 }],
            tls: OutboundLayer { match_names, ..OutboundLayer::default() },
            source_address: None,
            ehlo: None,
            ip: IpChoice::Any,
            client_certificate: None,
        })
    }

    fn policies() -> PolicySet {
        let file = |patterns: &[&str], route| DomainPolicy {
            patterns: patterns.iter().map(|pattern| DomainPattern::parse(pattern).unwrap()).collect(),
            route: Some(route),
            ..DomainPolicy::default()
        };
        let files = vec![
            file(&["one.example", "two.example"], route("store", None)),
            file(&["*.named.example"], route("named", Some(NamePattern::Domain))),
        ];
        PolicySet::new(Defaults::default(), files).unwrap()
    }

    fn envelope(recipients: &[&str]) -> Envelope {
        Envelope {
            id: MessageId::from_u128(1),
            received_at: Timestamp::from_secs(0),
            sender: Sender::plain(crate::model::address::ReversePath::Null),
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
        }
    }

    #[test]
    fn recipients_share_a_delivery_where_next_hop_and_requirement_are_the_same() {
        let envelope = envelope(&[
            "a@one.example",
            "b@two.example",
            "c@mx.example",
            "d@MX.example",
            "e@x.named.example",
            "f@y.named.example",
            "g@[192.0.2.1]",
        ]);
        let states = vec![RecipientState::default(); 7];
        let found: Vec<(String, Vec<u32>)> = shares(&policies(), &envelope, &states, Timestamp::default())
            .into_iter()
            .map(|(name, share)| (name.to_string(), share.recipients))
            .collect();
        let expected = [
            ("[192.0.2.1]", vec![6]),
            ("mx.example", vec![2, 3]),
            ("named:x.named.example", vec![4]),
            ("named:y.named.example", vec![5]),
            ("store", vec![0, 1]),
        ];
        assert_eq!(found, expected.map(|(name, places)| (name.to_owned(), places)));
    }

    #[test]
    fn only_pending_recipients_are_planned_and_the_earliest_decides_when() {
        let envelope = envelope(&["a@one.example", "b@one.example", "c@one.example"]);
        let pending = |attempts, secs| {
            let next_attempt = Some(Timestamp::from_secs(secs));
            RecipientState::Pending(Pending { attempts, next_attempt, ..Pending::default() })
        };
        let states = [RecipientState::Settled(Settled::Delivered), pending(3, 90), pending(1, 60)];
        let shares = shares(&policies(), &envelope, &states, Timestamp::default());
        let share = &shares["store"];
        assert_eq!((&share.recipients[..], share.attempts), (&[1, 2][..], 3));
        assert_eq!(share.next_attempt, Some(Timestamp::from_secs(60)));
    }
}
