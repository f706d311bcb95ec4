//! Names of sites, who tells them, and what is said of those that are gone.

use std::net::IpAddr;

use super::*;
use crate::dns::Security;
use crate::model::address::Host;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::outbound::destination::Destination;
use crate::policy::settings::{HostPort, IpChoice, OutboundLayer, Route, Source};
use tokio::sync::mpsc;

/// `10 mx.example` by MX, `mx.example:2525` or `[192.0.2.1]:25` as written.
fn host(text: &str) -> NextHost {
    let (preference, host) =
        text.split_once(' ').map_or((None, text), |(preference, host)| (preference.parse().ok(), host));
    let (host, port) = host.rsplit_once(':').map_or((host, 25), |(host, port)| (host, port.parse().unwrap()));
    let ip: Option<IpAddr> = host.strip_prefix('[').map(|ip| ip.trim_end_matches(']').parse().unwrap());
    NextHost {
        name: Domain::parse(host).ok().filter(|_| ip.is_none()),
        name_is_trusted: false,
        preference,
        port,
        addresses: vec![ip.unwrap_or([192, 0, 2, 9].into())],
        failed: None,
        security: Security::Unknown,
        address_security: Security::Unknown,
        alias: None,
        next_hop_domains: Arc::default(),
        is_by_mx: preference.is_some(),
    }
}

fn route(source: Option<&str>) -> NextHop {
    NextHop::Route(Arc::new(Route {
        name: "store".into(),
        source: Source::BuiltIn,
        hosts: vec![HostPort { host: Host::parse("store.example").unwrap(), port: 25 }],
        tls: OutboundLayer::default(),
        source_address: source.map(|source| source.parse().unwrap()),
        ehlo: None,
        ip: IpChoice::Any,
        client_certificate: None,
    }))
}

#[test]
fn a_site_is_named_by_the_hosts_that_mail_goes_to_first() {
    for (hop, hosts, expected) in [
        (NextHop::Mx, &["10 mx.example"][..], Some("mx.example")),
        (NextHop::Mx, &["10 b.example", "10 a.example", "20 c.example"], Some("a.example,b.example")),
        (NextHop::Mx, &["10 a.example", "10 b.example", "30 d.example"], Some("a.example,b.example")),
        (NextHop::Mx, &["10 a.example", "20 b.example"], Some("a.example")),
        (NextHop::Mx, &["bank.example"], Some("bank.example")),
        (NextHop::Mx, &["[192.0.2.1]:25"], Some("[192.0.2.1]:25")),
        (NextHop::Mx, &[], None),
        (route(None), &["b.example:2525", "a.example"], Some("a.example,b.example:2525")),
        (route(Some("192.0.2.25")), &["a.example"], Some("a.example from 192.0.2.25")),
    ] {
        let hosts: Vec<NextHost> = hosts.iter().map(|text| host(text)).collect();
        assert_eq!(name(&hop, &hosts).as_deref(), expected, "{hosts:?}");
    }
}

#[test]
fn who_serves_a_lane_is_told_once_and_again_when_it_is_somebody_else() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let teller = Teller { lane: Arc::new(Lane::of(Destination::named("bank.example"))), told };
    let mut tell = |hosts: &[&str]| {
        _ = teller.tell(&NextHop::Mx, &hosts.iter().map(|text| host(text)).collect::<Vec<_>>());
        heard.try_recv().ok().map(|told| told.site.to_string())
    };
    for (hosts, expected) in [
        (&["10 a.example"][..], Some("a.example")),
        (&["10 a.example"], None),
        (&["10 a.example", "20 b.example"], None),
        (&["10 b.example"], Some("b.example")),
        (&["10 a.example"], Some("a.example")),
        (&[], None),
    ] {
        assert_eq!(tell(hosts).as_deref(), expected, "{hosts:?}");
    }
}

#[test]
fn mail_for_a_site_that_is_gone_fails_as_the_last_attempt_did_and_says_that_it_was_not_tried() {
    let (mut sites, site) = (Sites::default(), SiteKey::new("mx.example"));
    let at = |secs: i64| Timestamp::from_secs(1_800_000_000 + secs);
    let failure = |detail: &str| {
        let target = host("10 mx.example").first_target(Arc::default());
        Failure { target, ..Failure::ours(Reason::ConnectTimeout, false, detail.to_owned()) }
    };
    sites.showed(&site, Signal::Unreachable, Some(&failure("first")), at(0));
    sites.showed(&site, Signal::Unreachable, Some(&failure("second")), at(60));
    sites.showed(&site, Signal::Neutral, None, at(61));
    let told = sites.gone(&site).unwrap().failure();
    assert_eq!((told.reason, told.permanent, told.next_host), (Reason::ConnectTimeout, false, false));
    assert!(told.doubtful && Gone::unknown().doubtful, "of the TLS of what was not tried nothing is certain");
    assert_eq!(told.detail, "not tried: mx.example has not been reachable since 2027-01-15T08:00:00Z (last: second)");
    assert_eq!(told.target.unwrap().shown(), "mx.example");
    for back in [Signal::Good, Signal::Answers, Signal::Busy] {
        sites.showed(&site, back, None, at(70));
        assert!(sites.gone(&site).is_none() && sites.are_all_there(), "{back:?}");
        sites.showed(&site, Signal::Unreachable, Some(&failure("again")), at(80));
    }
    sites.tidy(|known| known.as_str() == "mx.example");
    assert!(sites.gone(&site).is_some());
    sites.tidy(|_| false);
    assert!(sites.are_all_there());
}

#[test]
fn mail_that_was_not_tried_does_not_fail_for_want_of_tls() {
    let (mut sites, site) = (Sites::default(), SiteKey::new("mx.example"));
    let failure = Failure::ours(Reason::ValidationFailure, false, "the handshake did not end".to_owned());
    sites.showed(&site, Signal::Unreachable, Some(&failure), Timestamp::from_secs(1_800_000_000));
    let told = sites.gone(&site).unwrap().failure();
    assert_eq!((told.reason, told.doubtful), (Reason::ConnectFailed, true));
    assert!(told.detail.ends_with("(last: the handshake did not end)"), "{}", told.detail);
}
