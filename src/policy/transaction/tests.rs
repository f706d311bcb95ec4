//! Whole transactions at doors of every role, by every kind of client.

use crate::model::address::Charset;
use crate::model::cipher::CipherSuite;
use crate::model::domain::DomainPattern;
use crate::model::tls::{PeerCertificate, ProtocolVersion};
use crate::policy::names::Fingerprint;
use crate::policy::rules::{Defaults, DomainPolicy, Recipients};
use crate::policy::settings::{InboundLayer, InboundTls, Mode, Sourced};

use super::*;

/// `hosted.example` requires TLS and has the recipient b; `report.example` hosts nobody and only reports that its
/// senders lack TLS.
fn policies() -> PolicySet {
    let required = Some(Sourced::built_in(InboundTls::Required));
    let listed = Recipients::Listed { file: "list".into(), names: std::sync::Arc::new(["b".to_owned()].into()) };
    let hosted = DomainPolicy {
        patterns: vec![DomainPattern::parse("hosted.example").unwrap()],
        hosted: true,
        recipients: listed,
        inbound: InboundLayer { tls: required.clone(), ..InboundLayer::default() }.into(),
        ..DomainPolicy::default()
    };
    let report = DomainPolicy {
        patterns: vec![DomainPattern::parse("report.example").unwrap()],
        inbound: InboundLayer { tls: required, mode: Some(Sourced::built_in(Mode::Report)), ..InboundLayer::default() }
            .into(),
        ..DomainPolicy::default()
    };
    PolicySet::new(Defaults::default(), vec![hosted, report]).unwrap()
}

fn fingerprint() -> Fingerprint {
    Fingerprint::from_bytes([9; 32])
}

/// `plain`, `old`, `new`, or `cert`: as `new`, with the trusted certificate.
fn tls(word: &str) -> Option<TlsFacts> {
    let facts = |version, suite| TlsFacts::assumed(version, CipherSuite::by_name(suite).unwrap());
    let new = facts(ProtocolVersion::Tls1_2, "ECDHE-RSA-AES128-GCM-SHA256");
    let peer = PeerCertificate { key_sha256: fingerprint().hex(), ..PeerCertificate::assumed(String::new()) };
    match word {
        "plain" => None,
        "old" => Some(facts(ProtocolVersion::Tls1_0, "DES-CBC3-SHA")),
        "new" => Some(new),
        "cert" => Some(TlsFacts { peer: Some(peer), ..new }),
        other => panic!("{other}"),
    }
}

const STRANGER: &str = "192.0.2.1";
const INSIDE: &str = "10.0.0.1";

/// `accept rcpt`, or verdict, stage, reply and reason.
fn walk(role: Role, relay: bool, (ip, session): (&str, &str), from: &str, to: &str) -> String {
    let policies = policies();
    let trusted = TrustedClients { networks: vec!["10.0.0.0/8".parse().unwrap()], certificates: vec![fingerprint()] };
    let floor = Floor::of(role, Floor::default());
    let door = Door { policies: &policies, trusted: &trusted, role, relay, floor: &floor };
    let tls = tls(session);
    let visitor = Visitor { at: Timestamp::default(), ip: ip.parse().unwrap(), tls: tls.as_ref() };
    let sender = ReversePath::Mailbox(Address::parse(from, Charset::Ascii).unwrap());
    let transacted = door.transact(&visitor, &sender, &Address::parse(to, Charset::Ascii).unwrap());
    let outcome = transacted.outcome(tls.as_ref(), "X");
    let code = outcome.reply.map(|reply| format!(" {} {}", reply.code, reply.enhanced.unwrap())).unwrap_or_default();
    let reason = outcome.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
    format!("{} {}{code}{reason}", outcome.verdict.as_str(), outcome.stage.as_str())
}

#[test]
fn every_role_answers_every_kind_of_client() {
    let (denied, taken) = ("refuse rcpt 550 5.7.1 relay-denied", "accept rcpt");
    for (role, relay, visitor, to, expected) in [
        (Role::Mx, false, (STRANGER, "new"), "b@hosted.example", taken),
        (Role::Mx, false, (STRANGER, "plain"), "b@hosted.example", "refuse rcpt 550 5.7.10 tls-required"),
        (Role::Mx, false, (STRANGER, "cert"), "b@away.example", denied),
        (Role::Mx, true, (STRANGER, "new"), "b@away.example", denied),
        (Role::Mx, true, (STRANGER, "cert"), "b@away.example", taken),
        (Role::Mx, true, (INSIDE, "plain"), "b@away.example", taken),
        (Role::Smarthost, false, (STRANGER, "new"), "b@hosted.example", denied),
        (Role::Smarthost, false, (INSIDE, "plain"), "b@hosted.example", taken),
        (Role::Smarthost, false, (STRANGER, "cert"), "b@away.example", taken),
        (Role::Submission, false, (STRANGER, "new"), "b@hosted.example", denied),
        (Role::Submission, false, (INSIDE, "new"), "b@away.example", denied),
        (Role::Submission, false, (INSIDE, "plain"), "b@away.example", "refuse mail 530 5.7.10 tls-required"),
        (Role::Submission, false, (INSIDE, "old"), "b@away.example", "refuse mail 554 5.7.10 version-below-minimum"),
        (Role::Submission, false, (STRANGER, "cert"), "b@away.example", taken),
        (Role::Submission, false, (STRANGER, "cert"), "c@hosted.example", "refuse rcpt 550 5.1.1 no-such-user"),
    ] {
        assert_eq!(walk(role, relay, visitor, "a@x.example", to), expected, "{role:?} {relay} {visitor:?} {to}");
    }
}

#[test]
fn the_policy_speaks_after_relaying_and_before_the_list_of_recipients() {
    for (session, from, to, expected) in [
        ("plain", "a@hosted.example", "b@away.example", "refuse mail 530 5.7.10 tls-required"),
        ("plain", "a@x.example", "c@hosted.example", "refuse rcpt 550 5.7.10 tls-required"),
        ("new", "a@x.example", "c@hosted.example", "refuse rcpt 550 5.1.1 no-such-user"),
        ("plain", "a@report.example", "b@away.example", "refuse rcpt 550 5.7.1 relay-denied"),
        ("plain", "a@report.example", "postmaster@hosted.example", "would_refuse rcpt tls-required"),
    ] {
        assert_eq!(walk(Role::Mx, false, (STRANGER, session), from, to), expected, "{session} {from} {to}");
    }
}
