//! Which settings a delivery has, and by which way it goes.

use super::*;
use crate::model::address::{Host, ReversePath};
use crate::model::domain::DomainPattern;
use crate::model::time::Timestamp;
use crate::policy::rules::{Defaults, DomainPolicy};
use crate::policy::settings::{HostPort, IpChoice};

const ASKER: Asker<'static> = Asker { at: Timestamp::from_secs(0), client: None, sender: &ReversePath::Null };

fn outbound(tls: Option<OutboundTls>, min: Option<ProtocolVersion>, line: u32) -> OutboundLayer {
    let source = Source::File { file: "f".into(), line };
    OutboundLayer {
        tls: tls.map(|value| Sourced { value, source: source.clone() }),
        min_version: min.map(|value| Sourced { value, source: source.clone() }),
        ..OutboundLayer::default()
    }
}

fn route(name: &str, tls: OutboundLayer) -> Arc<Route> {
    Arc::new(Route {
        name: name.into(),
        source: Source::BuiltIn,
        hosts: vec![HostPort { host: Host::parse("relay.example").unwrap(), port: 25 }],
        tls,
        source_address: None,
        ehlo: None,
        ip: IpChoice::Any,
        client_certificate: None,
    })
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn describe(policies: &PolicySet, name: Option<&str>) -> String {
    let name = name.map(domain);
    let decision = decide(policies, name.as_ref(), &ASKER);
    let hop = match &decision.next_hop {
        NextHop::Mx => "mx".to_owned(),
        NextHop::Route(route) => route.name.to_string(),
    };
    let plaintext = if decision.requirement.permits_plaintext() { "plaintext-ok" } else { "tls-only" };
    format!("{hop} {} {plaintext} {}", decision.requirement.level().as_str(), decision.requirement.tls.source)
}

#[test]
fn routes_answer_to_their_own_keys_and_look_ups_to_the_layers() {
    use OutboundTls::{Encrypt, Off, Opportunistic, Verify};
    let file = |name: &str, outbound: OutboundLayer, route| DomainPolicy {
        patterns: vec![DomainPattern::parse(name).unwrap()],
        outbound: outbound.into(),
        route,
        ..DomainPolicy::default()
    };
    let files = || {
        vec![
            file("verify.example", outbound(Some(Verify), None, 1), None),
            file("min.example", outbound(Some(Opportunistic), Some(ProtocolVersion::Tls1_2), 2), None),
            file("quiet.example", OutboundLayer::default(), None),
            file("off.example", outbound(Some(Off), None, 3), None),
            file("routed.example", OutboundLayer::default(), Some(route("store", OutboundLayer::default()))),
        ]
    };
    let encrypted = Defaults { outbound: outbound(Some(Encrypt), None, 9).into(), ..Defaults::default() };
    let smarthost = Defaults {
        outbound: outbound(Some(Encrypt), None, 9).into(),
        route: Some(route("smart", outbound(Some(Verify), None, 8))),
        ..Defaults::default()
    };
    for (defaults, name, expected) in [
        (Defaults::default(), Some("verify.example"), "mx verify tls-only f:1"),
        (Defaults::default(), Some("min.example"), "mx encrypt tls-only f:2"),
        (Defaults::default(), Some("off.example"), "mx off plaintext-ok f:3"),
        (Defaults::default(), Some("quiet.example"), "mx opportunistic plaintext-ok built-in"),
        (encrypted.clone(), Some("quiet.example"), "mx encrypt tls-only f:9"),
        (encrypted.clone(), Some("unknown.example"), "mx encrypt tls-only f:9"),
        (encrypted.clone(), Some("routed.example"), "store opportunistic plaintext-ok built-in"),
        (encrypted, None, "mx encrypt tls-only f:9"),
        (smarthost.clone(), Some("unknown.example"), "smart verify tls-only f:8"),
        (smarthost.clone(), Some("routed.example"), "store opportunistic plaintext-ok built-in"),
        (smarthost, None, "mx encrypt tls-only f:9"),
    ] {
        let policies = PolicySet::new(defaults, files()).unwrap();
        assert_eq!(describe(&policies, name), expected, "{name:?}");
    }
}

#[test]
fn dane_that_is_required_of_a_domain_is_not_required_of_hosts_that_were_written_down_elsewhere() {
    use DaneUse::{Auto, Off, Required};
    let delivery = |dane: Option<DaneUse>| DeliveryLayer {
        dane: dane.map(Sourced::built_in),
        on_tls_failure: Some(Sourced::built_in(OnTlsFailure::Route("escrow".into()))),
        ..DeliveryLayer::default()
    };
    for (default, default_route, own, own_route, expected) in [
        (Some(Required), false, None, false, Required),
        (Some(Required), true, None, false, Required),
        (Some(Required), false, None, true, Auto),
        (Some(Off), false, None, true, Off),
        (Some(Auto), false, Some(Required), true, Required),
        (Some(Auto), true, Some(Required), false, Required),
    ] {
        let route = |is_there: bool| is_there.then(|| route("hop", OutboundLayer::default()));
        let defaults = Defaults { delivery: delivery(default), route: route(default_route), ..Defaults::default() };
        let policy = DomainPolicy {
            patterns: vec![DomainPattern::parse("bank.example").unwrap()],
            delivery: delivery(own),
            route: route(own_route),
            ..DomainPolicy::default()
        };
        let mut policies = PolicySet::new(defaults, vec![policy]).unwrap();
        policies.routes.insert("escrow".into(), self::route("escrow", OutboundLayer::default()));
        let decision = decide(&policies, Some(&domain("bank.example")), &ASKER);
        assert_eq!(decision.following.dane.value, expected, "{default:?} {own:?} {default_route} {own_route}");
        assert_ne!(decision.rerouted().unwrap().following.dane.value, Required);
    }
}

#[test]
fn verify_on_a_route_asks_for_the_host_and_not_for_a_domain_that_a_sender_can_choose() {
    let smarthost =
        Defaults { route: Some(route("smart", outbound(Some(OutboundTls::Verify), None, 1))), ..Defaults::default() };
    let policies = PolicySet::new(smarthost, Vec::new()).unwrap();
    let (recipient, host) = (domain("attacker.example"), domain("relay.example"));
    let requirement = decide(&policies, Some(&recipient), &ASKER).requirement;
    let identity = requirement.identity(&HostIdentity {
        recipient_domain: Some(&recipient),
        name: Some(&host),
        name_is_trusted: true,
    });
    assert_eq!(identity.names, [host]);
}

#[test]
fn the_name_of_a_host_counts_only_where_it_can_be_trusted() {
    let requirement = requirement(&[], &[NamePattern::Domain, NamePattern::Mx]);
    let (recipient, host) = (domain("bank.example"), domain("mx1.host.example"));
    for (trusted, expected) in [(true, vec![recipient.clone(), host.clone()]), (false, vec![recipient.clone()])] {
        let identity = requirement.identity(&HostIdentity {
            recipient_domain: Some(&recipient),
            name: Some(&host),
            name_is_trusted: trusted,
        });
        assert_eq!(identity.names, expected);
    }
}
