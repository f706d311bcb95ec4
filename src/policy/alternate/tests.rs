//! Who may go by which route.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::model::address::ReversePath;
use crate::model::domain::DomainPattern;
use crate::model::time::Timestamp;
use crate::policy::outbound::{NextHop, decide};
use crate::policy::rules::{Defaults, DomainPolicy};
use crate::policy::settings::{DeliveryLayer, HostPort, IpChoice, Source, Sourced};
use crate::policy::timed::{Asker, Rules, Step};

fn tls(level: OutboundTls) -> OutboundLayer {
    OutboundLayer { tls: Some(Sourced::built_in(level)), ..OutboundLayer::default() }
}

fn version(version: ProtocolVersion) -> OutboundLayer {
    OutboundLayer { min_version: Some(Sourced::built_in(version)), ..OutboundLayer::default() }
}

fn route(name: &str, host: &str, tls: OutboundLayer) -> Arc<Route> {
    Arc::new(Route {
        name: name.into(),
        source: Source::BuiltIn,
        hosts: vec![HostPort { host: Host::parse(host).unwrap(), port: 25 }],
        tls,
        source_address: None,
        ehlo: None,
        ip: IpChoice::Any,
        client_certificate: None,
    })
}

fn policies() -> PolicySet {
    let file = |name: &str, outbound: Rules<OutboundLayer>, delivery: DeliveryLayer| DomainPolicy {
        patterns: vec![DomainPattern::parse(name).unwrap()],
        outbound,
        delivery,
        ..DomainPolicy::default()
    };
    let later =
        Step { from: Timestamp::from_secs(1000), source: Source::BuiltIn, layer: version(ProtocolVersion::Tls1_3) };
    let dane = DeliveryLayer { dane: Some(Sourced::built_in(DaneUse::Required)), ..DeliveryLayer::default() };
    let learn = DeliveryLayer { learn: Some(Sourced::built_in(Learn::Enforce)), ..DeliveryLayer::default() };
    let none = DeliveryLayer::default;
    let mut files = vec![
        file("verify.example", tls(OutboundTls::Verify).into(), none()),
        file("later.example", Rules { steps: vec![later], ..Rules::from(tls(OutboundTls::Encrypt)) }, none()),
        file("dane.example", Rules::default(), dane),
        file("learn.example", Rules::default(), learn),
        file("store.example", Rules::default(), none()),
    ];
    files[4].route = Some(route("store", "store.example", tls(OutboundTls::Verify)));
    let mut set = PolicySet::new(Defaults::default(), files).unwrap();
    let strong =
        OutboundLayer { min_version: version(ProtocolVersion::Tls1_3).min_version, ..tls(OutboundTls::Verify) };
    let routes = [
        route("plain", "plain.example", tls(OutboundTls::Opportunistic)),
        route("encrypt", "encrypt.example", tls(OutboundTls::Encrypt)),
        route("verify", "verify.example", tls(OutboundTls::Verify)),
        route("strong", "strong.example", strong.clone()),
        route("numbers", "[192.0.2.1]", strong),
    ];
    set.routes = routes.into_iter().map(|route| (route.name.clone(), route)).collect::<BTreeMap<_, _>>();
    set
}

#[test]
fn mail_goes_by_no_route_that_is_weaker_than_its_policy_on_any_day() {
    let policies = policies();
    let asker = Asker { at: Timestamp::from_secs(0), client: None, sender: &ReversePath::Null };
    for (domain, name, expected) in [
        ("other.example", "encrypt", ""),
        ("other.example", "plain", "route \"plain\" is weaker than its policy: it lacks tls = \"encrypt\""),
        ("other.example", "none", "there is no [[route]] named \"none\""),
        ("verify.example", "verify", ""),
        ("verify.example", "encrypt", "route \"encrypt\" is weaker than its policy: it lacks tls = \"verify\""),
        ("later.example", "encrypt", "route \"encrypt\" is weaker than its policy: it lacks min_version = \"TLSv1.3\""),
        ("later.example", "strong", ""),
        ("dane.example", "encrypt", "route \"encrypt\" is weaker than its policy: it lacks tls = \"verify\""),
        ("dane.example", "verify", ""),
        ("dane.example", "numbers", "route \"numbers\" names addresses, which never meet dane = \"required\""),
        ("learn.example", "encrypt", "route \"encrypt\" is weaker than its policy: it lacks tls = \"verify\""),
        ("learn.example", "verify", ""),
        ("store.example", "encrypt", "route \"encrypt\" is weaker than its policy: it lacks tls = \"verify\""),
        ("store.example", "numbers", ""),
    ] {
        let domain = Domain::parse(domain).unwrap();
        let own = decide(&policies, Some(&domain), &asker);
        match by_route(&policies, Some(&domain), &own, name) {
            Ok(decision) => {
                assert_eq!("", expected, "{domain} {name}");
                let NextHop::Route(route) = &decision.next_hop else { panic!("{decision:?}") };
                assert_eq!((&*route.name, &decision.fallback), (name, &None));
                assert!(!decision.requirement.permits_plaintext());
            }
            Err(refusal) => assert_eq!(refusal.to_string(), expected, "{domain} {name}"),
        }
    }
}
