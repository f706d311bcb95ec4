//! Pages about days: steps, exceptions, the shadow and the emergency switch, as they are printed.

use std::sync::Arc;

use serde_json::Value;

use super::tests::configured;
use super::*;
use crate::model::address::{Address, Charset, ReversePath};
use crate::model::assumed;
use crate::model::domain::DomainPattern;
use crate::model::time::Timestamp;
use crate::model::tls::ProtocolVersion;
use crate::policy::rules::{Defaults, DomainPolicy, PolicySet};
use crate::policy::settings::{InboundLayer, InboundTls, Mode, Source, Sourced};
use crate::policy::timed::{Enforcement, Exception, Rules, Step, Terms};

const SCANNER: &str = "203.0.113.7";

fn day(text: &str) -> Timestamp {
    format!("{text}T00:00:00Z").parse().unwrap()
}

fn at<T>(line: u32, value: T) -> Sourced<T> {
    Sourced { value, source: source(line) }
}

fn source(line: u32) -> Source {
    Source::File { file: "domains.d/bank.toml".into(), line }
}

fn mode(line: u32, mode: Mode) -> InboundLayer {
    InboundLayer { mode: Some(at(line, mode)), ..InboundLayer::default() }
}

fn version(line: u32, version: ProtocolVersion) -> InboundLayer {
    InboundLayer { min_version: Some(at(line, version)), ..InboundLayer::default() }
}

fn exception(line: u32, reason: &str, expires: &str) -> Exception<InboundLayer> {
    let terms = Terms {
        source: source(line),
        clients: vec!["203.0.113.0/24".parse().unwrap()],
        senders: Vec::new(),
        owner: "facilities".to_owned(),
        reason: reason.to_owned(),
        expires: day(expires),
    };
    Exception { terms: Arc::new(terms), layer: version(line + 2, ProtocolVersion::Tls1_0) }
}

/// TLSv1.2 deferred from 2027 on and enforced from February on; scanners may use TLSv1 until May; TLSv1.3 is the goal.
fn policies() -> PolicySet {
    let step = |line, from, to| Step { from: day(from), source: source(line), layer: mode(line + 2, to) };
    let bank = DomainPolicy {
        file: "domains.d/bank.toml".into(),
        patterns: vec![DomainPattern::parse("bank.example").unwrap()],
        hosted: true,
        inbound: Rules {
            base: InboundLayer {
                tls: Some(at(7, InboundTls::Required)),
                refusal_url: Some(at(10, "https://bank.example/mail-tls".into())),
                ..InboundLayer { min_version: Some(at(8, ProtocolVersion::Tls1_2)), ..mode(9, Mode::Report) }
            },
            steps: vec![step(12, "2027-01-01", Mode::Defer), step(16, "2027-02-01", Mode::Enforce)],
            shadow: Some(version(34, ProtocolVersion::Tls1_3)),
            exceptions: vec![
                exception(20, "old fax", "2026-12-01"),
                exception(27, "scanner fleet, replaced in spring", "2027-05-01"),
            ],
        },
        ..DomainPolicy::default()
    };
    PolicySet::new(Defaults::default(), vec![bank]).unwrap()
}

#[derive(Clone, Copy)]
struct Question<'a> {
    at: &'a str,
    client: Option<&'a str>,
    tls: Option<&'a str>,
    to: &'a str,
}

const QUESTION: Question<'static> =
    Question { at: "2027-01-15", client: None, tls: Some("TLSv1.1"), to: "b@bank.example" };

fn ask<T>(policies: PolicySet, question: Question<'_>, look: impl Fn(&Explained<'_>) -> T) -> T {
    let mut config = Config { policies: Arc::new(policies), ..configured() };
    config.listeners.iter_mut().for_each(|listener| listener.offer = ProtocolVersion::Tls1_0);
    let from = ReversePath::Mailbox(Address::parse("a@x.example", Charset::Ascii).unwrap());
    let to = Address::parse(question.to, Charset::Ascii).unwrap();
    let scene = Scene {
        config: &config,
        listener: listener(&config, None).unwrap(),
        client: question.client.map_or(STRANGER, |client| client.parse().unwrap()),
        certificate: None,
        at: day(question.at),
        from: &from,
        to: &to,
        assumed: Assumed { client: question.client.is_none(), at: false },
    };
    let tls = question.tls.map(|version| assumed::usual(ProtocolVersion::parse(version).unwrap()));
    look(&Explained::of(scene, scene.play(tls)))
}

/// Without colours, and never wider than a terminal.
fn page(policies: PolicySet, question: Question<'_>) -> String {
    let page = ask(policies, question, page::page);
    let page = anstream::adapter::strip_str(&page).to_string();
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    page
}

#[test]
fn an_excepted_session_is_told_until_when_and_what_comes_then() {
    let seen = page(policies(), Question { client: Some(SCANNER), tls: Some("TLSv1"), ..QUESTION });
    let expected = "\
Accepted

  250 2.1.5 Recipient ok

from      a@x.example
to        b@bank.example
listener  in, role mx, offers TLSv1 and later
client    203.0.113.7, a stranger
session   TLSv1 ECDHE-RSA-AES128-SHA (forward-secret, 128 bits)
at        2027-01-15 00:00:00 UTC

MAIL FROM  accepted  built-in
           the session meets what [default.inbound] asks for
RCPT TO    accepted  domains.d/bank.toml:7
           the session meets what bank.example asks for
           excepted until 2027-05-01, domains.d/bank.toml:27: scanner fleet,
           replaced in spring (owner: facilities)
           the exception stands above the shadow: min_version = TLSv1.3 is not
           asked for
           domains.d/bank.toml hosts the domain, so mail is taken for it

Policy of [default.inbound] at MAIL FROM
  KEY                 VALUE              WHERE FROM  SET BY
  tls                 optional           built-in
  min_version         none               built-in
  cipher              any                built-in
  client_certificate  none               built-in
  applies_to          sender, recipient  built-in
  mode                enforce            built-in

Policy of bank.example at RCPT TO
  KEY                 VALUE              WHERE FROM              SET BY
  tls                 required           domains.d/bank.toml:7   domain file
  min_version         TLSv1              domains.d/bank.toml:29  exception
  cipher              any                built-in
  client_certificate  none               built-in
  applies_to          sender, recipient  built-in
  mode                defer              domains.d/bank.toml:14  step 2027-01-01
  refusal_url         https://bank.exa…  domains.d/bank.toml:10  domain file
  min_version         TLSv1.3            domains.d/bank.toml:34  shadow
  exceptions for this client and sender
  holds    until 2027-05-01, domains.d/bank.toml:27: scanner fleet, replaced in
           spring (owner: facilities)
  expired  on 2026-12-01, domains.d/bank.toml:20: old fax (owner: facilities)

What is to come for this session
  2027-02-01  step, domains.d/bank.toml:16: mode = enforce
              no change for this session
  2027-05-01  exception ends, domains.d/bank.toml:27: scanner fleet, replaced in
              spring (owner: facilities)
              then refused at RCPT TO: 554 5.7.10, version-below-minimum
";
    assert_eq!(seen, expected);
}

#[test]
fn the_reply_is_that_of_the_day_with_the_address_to_read_more() {
    for (at, end, reply, coming) in [
        (
            "2026-12-31",
            "Accepted, but would be refused if enforced",
            "250 2.1.5",
            "then deferred at RCPT TO: 450 4.7.10",
        ),
        ("2027-01-01", "Deferred at RCPT TO", "450 4.7.10", "then refused at RCPT TO: 554 5.7.10"),
        ("2027-02-01", "Refused at RCPT TO", "554 5.7.10", ""),
    ] {
        let seen = page(policies(), Question { at, ..QUESTION });
        assert!(seen.starts_with(&format!("{end}: version-below-minimum\n\n  {reply} ")), "{seen}");
        assert!(seen.contains("see https://bank.example/mail-tls;\n  id=…"), "{seen}");
        assert_eq!(seen.contains("What is to come"), !coming.is_empty(), "{seen}");
        assert!(seen.contains(coming), "{seen}");
    }
}

#[test]
fn the_answer_of_the_shadow_is_told_apart_from_what_is_in_force() {
    for (version, expected) in [
        ("TLSv1.1", "           the shadow is not asked where what is in force is not met\n"),
        (
            "TLSv1.2",
            "RCPT TO    would refuse  domains.d/bank.toml:34\n           version-below-minimum: the shadow of \
             bank.example requires TLSv1.3 or\n           later; what is in force is met\n",
        ),
        ("TLSv1.3", "           the shadow is met too\n"),
    ] {
        let seen = page(policies(), Question { tls: Some(version), ..QUESTION });
        assert!(seen.contains(expected), "{seen}");
        let would_be = "the shadow, if it were enforced, would answer\n  554 5.7.10 Encryption needed: bank.example";
        assert_eq!(seen.contains(would_be), version == "TLSv1.2", "{seen}");
    }
}

#[test]
fn the_emergency_switch_is_shown_with_its_end_and_what_holds_then() {
    let mut policies = policies();
    let until = "2027-01-20T12:00:00Z".parse().unwrap();
    let source = Source::File { file: "gatepost.toml".into(), line: 3 };
    policies.enforcement = Enforcement::ReportUntil { until, source };
    let seen = page(policies, QUESTION);
    for expected in [
        "switch    enforcement = \"report\" until 2027-01-20 12:00:00 UTC, gatepost.toml:3:\n",
        "           version-below-minimum: bank.example requires TLSv1.2 or later; the\n           \
         emergency switch lets it pass\n",
        "  2027-01-20T12:00:00Z  the emergency switch ends, gatepost.toml:3\n                        then deferred \
         at RCPT TO: 450 4.7.10,\n",
        "  2027-02-01            step, domains.d/bank.toml:16: mode = enforce\n",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen}");
    }
}

#[test]
fn a_domain_that_is_close_to_one_with_a_file_is_asked_about() {
    let seen = page(policies(), Question { to: "b@bamk.example", ..QUESTION });
    let note = "Note: No file is about bamk.example, the recipient's domain. Is bank.example\n\
                meant (domains.d/bank.toml)?\n";
    assert!(seen.ends_with(note), "{seen}");
    assert!(!page(policies(), QUESTION).contains("No file"));
}

#[test]
fn programs_get_days_exceptions_shadow_and_what_is_to_come() {
    let question = Question { client: Some(SCANNER), tls: Some("TLSv1"), ..QUESTION };
    let answer = ask(policies(), question, |explained| explained.json());
    let at = |path: &str| answer.pointer(path).cloned().unwrap_or_else(|| panic!("{path}: {answer:#}"));
    for (path, expected) in [
        ("/at", Value::from("2027-01-15T00:00:00.000000Z")),
        ("/reported_by", Value::Null),
        ("/enforcement/mode", "on".into()),
        ("/exception/rule", "domains.d/bank.toml:27".into()),
        ("/exception/owner", "facilities".into()),
        ("/exception/expires", "2027-05-01T00:00:00.000000Z".into()),
        ("/shadow/met", Value::Null),
        ("/shadow/excepted/0/key", "min_version".into()),
        ("/shadow/policy/0/value", "TLSv1.3".into()),
        ("/steps/0/in_force", true.into()),
        ("/steps/1/in_force", false.into()),
        ("/steps/1/policy/0/key", "mode".into()),
        ("/stages/1/policy/1/set_by", "exception".into()),
        ("/stages/1/policy/5/set_by", "step".into()),
        ("/stages/1/exceptions/0/state", "expired".into()),
        ("/to_come/0/same", true.into()),
        ("/to_come/1/changes/0/kind", "exception-ends".into()),
        ("/to_come/1/verdict", "refuse".into()),
    ] {
        assert_eq!(at(path), expected, "{path}");
    }
    let reported = ask(policies(), Question { tls: Some("TLSv1.2"), ..QUESTION }, |explained| explained.json());
    assert_eq!((&reported["reported_by"], &reported["shadow"]["met"]), (&"shadow".into(), &false.into()));
}

#[test]
fn of_a_path_that_is_too_long_the_end_is_shown() {
    let mut policies = policies();
    let file: Arc<str> = "domains.d/a-rather-long-name-of-a-file.toml".into();
    let long = |value| Sourced { value, source: Source::File { file: file.clone(), line: 1234 } };
    policies.defaults.inbound =
        InboundLayer { tls: Some(long(InboundTls::Required)), ..InboundLayer::default() }.into();
    let seen = page(policies, QUESTION);
    assert!(seen.contains("  …long-name-of-a-file.toml:1234  default\n"), "{seen}");
}
