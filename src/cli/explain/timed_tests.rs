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
    let config = Config { policies: Arc::new(policies), ..configured() };
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
    let page = ask(policies, question, |explained| page::page(explained));
    let page = anstream::adapter::strip_str(&page).to_string();
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    page
}

/// Everything behind the way to the verdict.
fn rest(page: &str) -> String {
    page.split_once("\n\n").unwrap().1.split_once("RCPT TO ").unwrap().1.to_owned()
}

#[test]
fn show_pages() {
    println!("{}", page(policies(), QUESTION));
    println!("=====\n{}", page(policies(), Question { client: Some(SCANNER), tls: Some("TLSv1"), ..QUESTION }));
    println!("=====\n{}", page(policies(), Question { tls: Some("TLSv1.2"), at: "2027-02-01", ..QUESTION }));
    println!("=====\n{}", page(policies(), Question { at: "2027-06-01", client: Some(SCANNER), ..QUESTION }));
    println!("=====\n{}", page(policies(), Question { to: "b@bamk.example", ..QUESTION }));
    let mut suspended = policies();
    let until = "2027-01-20T12:00:00Z".parse().unwrap();
    suspended.enforcement =
        Enforcement::ReportUntil { until, source: Source::File { file: "gatepost.toml".into(), line: 3 } };
    println!("=====\n{}", page(suspended, QUESTION));
    println!(
        "{}",
        serde_json::to_string_pretty(&ask(policies(), Question { client: Some(SCANNER), ..QUESTION }, |e| {
            json::answer(e)
        }))
        .unwrap()
    );
}
