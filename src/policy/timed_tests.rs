//! Steps, exceptions, the shadow and the emergency switch, as the inbound verdict and the requirement show them.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::address::{Address, Charset, ReversePath};
use crate::model::cipher::{CipherGrade, CipherSuite};
use crate::model::domain::{Domain, DomainPattern};
use crate::model::time::Timestamp;
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::policy::inbound::{Client, Floor, Judgement, Question, judge};
use crate::policy::names::{Fingerprint, NamePattern};
use crate::policy::outbound::decide;
use crate::policy::refusal_text::RefusalText;
use crate::policy::relay::Role;
use crate::policy::rules::{Defaults, DomainPolicy, PolicySet};
use crate::policy::settings::{
    DaneUse, DeliveryLayer, InboundLayer, Mode, OnTlsFailure, OutboundLayer, OutboundTls, Route, Source, Sourced,
};

use super::{Asker, Enforcement, Exception, Rules, Step, Terms};

const SCANNER: &str = "203.0.113.7";
const STRANGER: &str = "192.0.2.1";

fn day(n: i64) -> Timestamp {
    Timestamp::from_secs(n * 86_400)
}

fn at(line: u32) -> Source {
    Source::File { file: "bank".into(), line }
}

/// The minimum version `v`, and the mode, both written in `line`.
fn layer(version: Option<&str>, mode: Option<Mode>, line: u32) -> InboundLayer {
    let version = version.map(|version| ProtocolVersion::parse(version).unwrap());
    InboundLayer {
        min_version: version.map(|value| Sourced { value, source: at(line) }),
        mode: mode.map(|value| Sourced { value, source: at(line) }),
        ..InboundLayer::default()
    }
}

fn excepted<L>(layer: L, line: u32) -> Exception<L> {
    let terms = Terms {
        source: at(line),
        clients: vec!["203.0.113.0/24".parse().unwrap()],
        senders: Vec::new(),
        owner: "facilities".to_owned(),
        reason: "scanner fleet".to_owned(),
        expires: day(30),
    };
    Exception { terms: Arc::new(terms), layer }
}

/// TLSv1.2 reported from the start, deferred from day 10, enforced from day 20; scanners may use TLSv1 until day 30;
/// TLSv1.3 in the shadow.
fn bank() -> Rules<InboundLayer> {
    let step = |days, mode, line| Step { from: day(days), source: at(line), layer: layer(None, Some(mode), line) };
    Rules {
        base: layer(Some("TLSv1.2"), Some(Mode::Report), 1),
        steps: vec![step(10, Mode::Defer, 2), step(20, Mode::Enforce, 3)],
        shadow: Some(layer(Some("TLSv1.3"), None, 4)),
        exceptions: vec![excepted(layer(Some("TLSv1"), None, 5), 5)],
    }
}

fn policies(inbound: Rules<InboundLayer>, outbound: Rules<OutboundLayer>) -> PolicySet {
    let bank = DomainPolicy {
        patterns: vec![DomainPattern::parse("bank.example").unwrap()],
        hosted: true,
        inbound,
        outbound,
        ..DomainPolicy::default()
    };
    PolicySet::new(Defaults::default(), vec![bank]).unwrap()
}

fn session(version: &str) -> TlsFacts {
    let suite = if version == "TLSv1.3" { "TLS_AES_128_GCM_SHA256" } else { "ECDHE-RSA-AES128-SHA" };
    TlsFacts::assumed(ProtocolVersion::parse(version).unwrap(), CipherSuite::by_name(suite).unwrap())
}

/// `verdict rule`, with what reports it and the line of the exception.
fn ask(policies: &PolicySet, at: Timestamp, ip: &str, version: &str) -> String {
    let judgement = judge_rcpt(policies, at, ip, version);
    let by = judgement.reported_by.map(|by| format!(" by {}", by.as_str())).unwrap_or_default();
    let excepted = judgement.exception.map(|terms| format!(" excepted {}", terms.source)).unwrap_or_default();
    format!("{} {}{by}{excepted}", judgement.verdict.as_str(), judgement.rule)
}

fn judge_rcpt(policies: &PolicySet, at: Timestamp, ip: &str, version: &str) -> Judgement {
    let (sender, ip): (_, IpAddr) = (path("a@x.example"), ip.parse().unwrap());
    let recipient = Address::parse("b@bank.example", Charset::Ascii).unwrap();
    let (recipient, tls) = (Some(&recipient), session(version));
    judge(policies, &Question { at, ip, client: Client::Stranger, sender: &sender, recipient, tls: Some(&tls) })
}

fn path(text: &str) -> ReversePath {
    ReversePath::Mailbox(Address::parse(text, Charset::Ascii).unwrap())
}

#[test]
fn the_schedule_tightens_day_by_day_around_the_exception_and_the_shadow_only_reports() {
    let policies = policies(bank(), Rules::default());
    for (days, ip, version, expected) in [
        (0, STRANGER, "TLSv1", "would_refuse bank:1 by mode"),
        (9, STRANGER, "TLSv1", "would_refuse bank:1 by mode"),
        (10, STRANGER, "TLSv1", "defer bank:1"),
        (20, STRANGER, "TLSv1", "refuse bank:1"),
        (20, STRANGER, "TLSv1.2", "would_refuse bank:4 by shadow"),
        (20, STRANGER, "TLSv1.3", "accept bank:1"),
        (20, SCANNER, "TLSv1", "accept bank:5 excepted bank:5"),
        (29, SCANNER, "TLSv1.1", "accept bank:5 excepted bank:5"),
        (30, SCANNER, "TLSv1", "refuse bank:1"),
    ] {
        assert_eq!(ask(&policies, day(days), ip, version), expected, "day {days} {ip} {version}");
    }
}

#[test]
fn an_exception_of_the_default_never_lowers_what_a_domain_file_says() {
    use CipherGrade::{Aead, ForwardSecret};
    use Mode::{Defer, Enforce, Report};
    let keys = |version, cipher: Option<CipherGrade>, mode, line| InboundLayer {
        cipher: cipher.map(|value| Sourced { value, source: at(line) }),
        ..layer(version, mode, line)
    };
    // The default, its exception, the domain file, and what a session with TLSv1 gets of it with and without the
    // exception.
    for (default, exception, own, with, without) in [
        // What only the default asks for is let pass, by a lower key and by the mode.
        ((Some("TLSv1.2"), None), (Some("TLSv1"), None), (None, None, None), "accept -", "refuse 1"),
        ((Some("TLSv1.2"), None), (None, Some(Report)), (None, None, None), "would_refuse 1", "refuse 1"),
        (
            (Some("TLSv1.2"), None),
            (None, Some(Report)),
            (None, Some(ForwardSecret), None),
            "would_refuse 1",
            "refuse 1",
        ),
        // A key of the file is not replaced, and the mode does not answer for it, whoever wrote the mode below it.
        ((None, None), (Some("TLSv1"), None), (Some("TLSv1.2"), None, None), "refuse 3", "refuse 3"),
        ((None, None), (None, Some(Report)), (Some("TLSv1.2"), None, None), "refuse 3", "refuse 3"),
        ((None, None), (None, Some(Defer)), (Some("TLSv1.2"), None, None), "refuse 3", "refuse 3"),
        ((None, Some(Defer)), (None, Some(Report)), (Some("TLSv1.2"), None, None), "defer 3", "defer 3"),
        ((None, Some(Report)), (None, Some(Report)), (Some("TLSv1.2"), None, None), "would_refuse 3", "would_refuse 3"),
        ((Some("TLSv1.1"), None), (None, Some(Report)), (Some("TLSv1.2"), None, None), "refuse 3", "refuse 3"),
        // Of what lacks, that which is let pass does not hide that which is not.
        ((Some("TLSv1.2"), None), (None, Some(Report)), (None, Some(Aead), None), "refuse 3", "refuse 1"),
        ((Some("TLSv1.2"), None), (Some("TLSv1"), Some(Report)), (None, Some(Aead), None), "refuse 3", "refuse 1"),
        // The mode of the file holds for all that is asked for, and a stricter exception is one of the file too.
        ((Some("TLSv1.2"), None), (None, Some(Report)), (None, None, Some(Defer)), "defer 1", "defer 1"),
        ((None, None), (None, Some(Report)), (Some("TLSv1.2"), None, Some(Report)), "would_refuse 3", "would_refuse 3"),
        ((None, Some(Report)), (None, Some(Enforce)), (Some("TLSv1.2"), None, None), "refuse 3", "would_refuse 3"),
    ] {
        let own = keys(own.0, own.1, own.2, 3);
        let mut policies = policies(own.into(), Rules::default());
        let exceptions = vec![excepted(layer(exception.0, exception.1, 2), 2)];
        policies.defaults.inbound = Rules { exceptions, ..Rules::from(layer(default.0, default.1, 1)) };
        let seen = |ip| {
            let judged = judge_rcpt(&policies, day(0), ip, "TLSv1");
            let rule = judged.reason.map_or("-".to_owned(), |_| judged.rule.to_string().replace("bank:", ""));
            format!("{} {rule}", judged.verdict.as_str())
        };
        let case = format!("{default:?} {exception:?} {:?}", policies.policies().next());
        assert_eq!((seen(SCANNER).as_str(), seen(STRANGER).as_str()), (with, without), "{case}");
    }
}

#[test]
fn the_mode_that_answers_is_the_one_that_is_told() {
    let mut policies = policies(layer(Some("TLSv1.2"), None, 3).into(), Rules::default());
    let exceptions = vec![excepted(layer(None, Some(Mode::Report), 2), 2)];
    policies.defaults.inbound = Rules { exceptions, ..Rules::from(layer(None, Some(Mode::Defer), 1)) };
    for (version, expected) in [("TLSv1", (Mode::Defer, at(1))), ("TLSv1.2", (Mode::Report, at(2)))] {
        let mode = judge_rcpt(&policies, day(0), SCANNER, version).in_force.mode;
        assert_eq!((mode.value, mode.source), expected, "{version}");
    }
}

#[test]
fn an_exception_of_the_default_leaves_verify_to_a_domain_file_that_names_certificates() {
    use OutboundTls::{Encrypt, Verify};
    let tls = |value, line| OutboundLayer { tls: Some(Sourced { value, source: at(line) }), ..Default::default() };
    let named = |names: &str| OutboundLayer {
        match_names: Some(Sourced { value: vec![NamePattern::parse(names).unwrap()], source: at(3) }),
        ..Default::default()
    };
    let key = Sourced { value: vec![Fingerprint::from_bytes([1; 32])], source: at(3) };
    let keyed = OutboundLayer { fingerprints: Some(key), ..Default::default() };
    for (own, expected) in [
        (OutboundLayer::default(), (Encrypt, 2)),
        (tls(Encrypt, 3), (Encrypt, 3)),
        (named("domain"), (Verify, 1)),
        (keyed, (Verify, 1)),
    ] {
        let mut policies = policies(Rules::default(), own.into());
        let exceptions = vec![excepted(tls(Encrypt, 2), 2)];
        policies.defaults.outbound = Rules { exceptions, ..Rules::from(tls(Verify, 1)) };
        let (domain, sender) = (Domain::parse("bank.example").unwrap(), ReversePath::Null);
        let asker = Asker { at: day(0), client: Some(SCANNER.parse().unwrap()), sender: &sender };
        let tls = decide(&policies, Some(&domain), &asker).requirement.tls;
        assert_eq!((tls.value, tls.source), (expected.0, at(expected.1)));
    }
}

#[test]
fn the_emergency_switch_lets_everything_through_until_its_end() {
    let mut policies = policies(bank(), Rules::default());
    policies.enforcement = Enforcement::ReportUntil { until: day(25), source: at(99) };
    for (days, expected) in [
        (0, "would_refuse bank:1 by mode"),
        (10, "would_refuse bank:1 by enforcement"),
        (24, "would_refuse bank:1 by enforcement"),
        (25, "refuse bank:1"),
    ] {
        assert_eq!(ask(&policies, day(days), STRANGER, "TLSv1"), expected, "day {days}");
    }
}

#[test]
fn the_emergency_switch_suspends_what_was_written_and_not_what_a_role_has_built_in() {
    let mut policies = PolicySet::default();
    policies.enforcement = Enforcement::ReportUntil { until: day(25), source: at(99) };
    let written = Floor { min_version: Some(Sourced { value: ProtocolVersion::Tls1_3, source: at(1) }), cipher: None };
    let sender = path("a@x.example");
    for (role, version, expected) in [
        (Role::Smarthost, "TLSv1", "would_refuse"),
        (Role::Submission, "TLSv1", "refuse"),
        (Role::Submission, "TLSv1.2", "would_refuse"),
    ] {
        let (floor, tls) = (Floor::of(role, written.clone()), session(version));
        let question = Question {
            at: day(0),
            ip: STRANGER.parse().unwrap(),
            client: Client::Trusted(&floor, role),
            sender: &sender,
            recipient: None,
            tls: Some(&tls),
        };
        assert_eq!(judge(&policies, &question).verdict.as_str(), expected, "{role:?} {version}");
    }
}

#[test]
fn refusals_carry_the_text_and_the_url_of_their_domain() {
    let text = RefusalText::parse("Sorry, {domain} wants {required} ({negotiated})").unwrap();
    let base = InboundLayer {
        refusal_text: Some(Sourced { value: text, source: at(2) }),
        refusal_url: Some(Sourced { value: "https://bank.example/tls".into(), source: at(3) }),
        ..layer(Some("TLSv1.2"), None, 1)
    };
    let policies = policies(base.into(), Rules::default());
    let (sender, tls) = (path("a@x.example"), session("TLSv1"));
    let recipient = Address::parse("b@bank.example", Charset::Ascii).unwrap();
    let question = Question {
        at: day(0),
        ip: STRANGER.parse().unwrap(),
        client: Client::Stranger,
        sender: &sender,
        recipient: Some(&recipient),
        tls: Some(&tls),
    };
    let reply = judge(&policies, &question).reply(Some(&tls), "01X").unwrap().to_string();
    let expected = "554 5.7.10 Sorry, bank.example wants TLSv1.2 or later (this session uses TLSv1 \
                    ECDHE-RSA-AES128-SHA); see https://bank.example/tls; id=01X";
    assert_eq!(reply, expected);
}

#[test]
fn outbound_requirements_follow_steps_and_exceptions_too() {
    let layer =
        |value, line| OutboundLayer { tls: Some(Sourced { value, source: at(line) }), ..OutboundLayer::default() };
    let rules = Rules {
        base: layer(OutboundTls::Opportunistic, 1),
        steps: vec![Step { from: day(10), source: at(2), layer: layer(OutboundTls::Verify, 2) }],
        shadow: None,
        exceptions: vec![excepted(layer(OutboundTls::Encrypt, 3), 3)],
    };
    let policies = policies(Rules::default(), rules);
    let (domain, sender) = (Domain::parse("bank.example").unwrap(), ReversePath::Null);
    for (days, client, expected, excepted) in [
        (0, None, OutboundTls::Opportunistic, false),
        (10, None, OutboundTls::Verify, false),
        (10, Some(SCANNER), OutboundTls::Encrypt, true),
        (30, Some(SCANNER), OutboundTls::Verify, false),
    ] {
        let client = client.map(|ip| ip.parse().unwrap());
        let decision = decide(&policies, Some(&domain), &Asker { at: day(days), client, sender: &sender });
        let seen = (decision.requirement.level(), decision.exception.is_some());
        assert_eq!(seen, (expected, excepted), "day {days} {client:?}");
    }
}

fn of_deliveries(dane: Option<DaneUse>, end: Option<OnTlsFailure>, line: u32) -> DeliveryLayer {
    DeliveryLayer {
        dane: dane.map(|value| Sourced { value, source: at(line) }),
        on_tls_failure: end.map(|value| Sourced { value, source: at(line) }),
        ..DeliveryLayer::default()
    }
}

/// The default bounces from day 5 on, and leaves DANE out for scanners. The file requires DANE from day 10 on, and
/// defers for scanners.
fn deliveries(dane_in_base: Option<DaneUse>, route: Option<Arc<Route>>) -> PolicySet {
    let layer = |delivery| OutboundLayer { delivery, ..OutboundLayer::default() };
    let step = |days, delivery, line| Step { from: day(days), source: at(line), layer: layer(delivery) };
    let rules = |step, exception, line| Rules {
        steps: vec![step],
        exceptions: vec![excepted(layer(exception), line)],
        ..Rules::from(OutboundLayer::default())
    };
    let default = rules(
        step(5, of_deliveries(None, Some(OnTlsFailure::Bounce), 1), 1),
        of_deliveries(Some(DaneUse::Off), None, 2),
        2,
    );
    let own = rules(
        step(10, of_deliveries(Some(DaneUse::Required), None, 4), 4),
        of_deliveries(None, Some(OnTlsFailure::Defer), 5),
        5,
    );
    let bank = DomainPolicy {
        patterns: vec![DomainPattern::parse("bank.example").unwrap()],
        outbound: own,
        delivery: of_deliveries(dane_in_base, None, 3),
        route,
        ..DomainPolicy::default()
    };
    PolicySet::new(Defaults { outbound: default, ..Defaults::default() }, vec![bank]).unwrap()
}

#[test]
fn what_is_said_of_deliveries_has_its_days_and_exceptions_with_and_without_a_route() {
    use crate::policy::settings::IpChoice;
    let route = Arc::new(Route {
        name: "store".into(),
        source: at(9),
        hosts: Vec::new(),
        tls: OutboundLayer::default(),
        source_address: None,
        ehlo: None,
        ip: IpChoice::Any,
        client_certificate: None,
    });
    for (dane_in_base, days, client, expected) in [
        (None, 0, STRANGER, "auto defer -"),
        (None, 5, STRANGER, "auto bounce -"),
        (None, 10, STRANGER, "required bounce -"),
        (None, 0, SCANNER, "off defer bank:5"),
        (None, 10, SCANNER, "required defer bank:5"),
        // What the file says stands above an exception of the default.
        (Some(DaneUse::Required), 0, SCANNER, "required defer bank:5"),
        (None, 30, SCANNER, "required bounce -"),
    ] {
        for route in [None, Some(route.clone())] {
            let policies = deliveries(dane_in_base, route);
            let asker = Asker { at: day(days), client: client.parse::<IpAddr>().ok(), sender: &ReversePath::Null };
            let decision = decide(&policies, Some(&Domain::parse("bank.example").unwrap()), &asker);
            let exception = decision.exception.map_or_else(|| "-".to_owned(), |terms| terms.source.to_string());
            let dane = decision.following.dane.value.as_str();
            assert_eq!(format!("{dane} {} {exception}", decision.on_tls_failure.value), expected, "{days} {client}");
        }
    }
}
