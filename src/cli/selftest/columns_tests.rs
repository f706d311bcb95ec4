//! Which transactions are tried for which policies.

use std::collections::HashSet;

use super::*;
use crate::policy::rules::{Defaults, Recipients};
use crate::policy::settings::{AppliesTo, InboundLayer, Source, Sourced};
use crate::policy::timed::{Exception, Rules, Step, Terms};

/// What the patterns of a file are, and what else stands in it: `hosted`, `listed`, `required`, `aead`, `senders`.
fn policies(files: &[(&[&str], &[&str])]) -> PolicySet {
    let policy = |(patterns, words): &(&[&str], &[&str])| {
        let has = |word| words.contains(&word);
        let listed =
            Recipients::Listed { file: "r.txt".into(), names: Arc::new(HashSet::from(["somebody".to_owned()])) };
        let sides = AppliesTo { sender: true, recipient: false };
        DomainPolicy {
            file: patterns[0].into(),
            patterns: patterns.iter().map(|pattern| DomainPattern::parse(pattern).unwrap()).collect(),
            hosted: has("hosted") || has("listed"),
            recipients: if has("listed") { listed } else { Recipients::Any },
            inbound: InboundLayer {
                tls: has("required").then_some(Sourced::built_in(InboundTls::Required)),
                cipher: has("aead").then_some(Sourced::built_in(CipherGrade::Aead)),
                applies_to: has("senders").then_some(Sourced::built_in(sides)),
                ..InboundLayer::default()
            }
            .into(),
            ..DomainPolicy::default()
        }
    };
    PolicySet::new(Defaults::default(), files.iter().map(policy).collect()).unwrap()
}

/// On day 1 of the clock.
pub(in crate::cli::selftest) fn stranger(answers_to_floor: bool) -> Tester {
    Tester { client: IpAddr::from([192, 0, 2, 1]), at: Timestamp::from_secs(86_400), answers_to_floor }
}

/// Each column as `side from>to domains`.
#[track_caller]
fn check(policies: &PolicySet, (floor, domains): (bool, &[&str]), expected: &[&str]) {
    let domains: Vec<Domain> = domains.iter().map(|name| Domain::parse(name).unwrap()).collect();
    let shorten = |text: &str| text.replace(NAME, "G");
    let seen: Vec<String> = plan(policies, &stranger(floor), &domains)
        .columns
        .iter()
        .map(|column| {
            let to = column.to.as_ref().map_or("-", Address::as_str);
            let line = format!("{} {}>{to} {}", column.side.as_str(), column.from, column.covers.join(","));
            shorten(line.trim_end())
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn domains_with_the_same_settings_are_one_column_wherever_they_are_written() {
    let set = policies(&[
        (&["a.example", "*.a.example"], &["hosted", "required"]),
        (&["b.example"], &["hosted"]),
        (&["c.example"], &["hosted", "required"]),
        (&["d.example"], &["listed", "required"]),
        (&["e.example"], &["required"]),
        (&["f.example"], &["aead"]),
        (&["g.example"], &["required", "aead"]),
    ]);
    let expected = [
        "to >G@a.example a.example,*.a.example,c.example",
        "to >G@b.example b.example",
        "to >G@d.example d.example",
        "from G@e.example>postmaster@a.example e.example",
        "from G@f.example>postmaster@a.example f.example,g.example",
        "default G@G.invalid>postmaster@a.example",
        "relaying >G@G.invalid",
    ];
    check(&set, (false, &[]), &expected);
}

#[test]
fn the_side_follows_hosting_and_what_the_policy_applies_to() {
    let set = policies(&[(&["a.example"], &["hosted", "senders"]), (&["b.example"], &["senders", "aead"])]);
    let expected = [
        "from G@a.example>postmaster@a.example a.example",
        "from G@b.example>postmaster@a.example b.example",
        "default G@G.invalid>postmaster@a.example",
        "relaying >G@G.invalid",
    ];
    check(&set, (false, &[]), &expected);
}

#[test]
fn named_domains_are_tried_alone_and_a_trusted_client_tries_the_floor() {
    let set = policies(&[(&["*.a.example"], &["hosted"]), (&["b.example"], &[])]);
    let expected = ["to >G@x.a.example x.a.example", "from G@c.example>postmaster@G.a.example c.example"];
    check(&set, (false, &["x.a.example", "c.example"]), &expected);
    check(&set, (true, &[]), &["floor G@G.invalid>G@G.invalid"]);
    check(&set, (true, &["b.example"]), &["from G@b.example>postmaster@G.a.example b.example"]);
    check(&policies(&[]), (false, &[]), &["default G@G.invalid>-", "relaying >G@G.invalid"]);
}

#[test]
fn a_name_that_another_file_claims_stands_for_nothing() {
    let set = policies(&[
        (&["*.a.example"], &["aead"]),
        (&["gatepost-selftest.a.example"], &[]),
        (&["*.invalid"], &["required"]),
    ]);
    let expected = [
        "from G@G.a.example>- G.a.example",
        "from G@G.invalid>- *.invalid",
        "default G@G.example>-",
        "relaying >G@G.example",
    ];
    check(&set, (false, &[]), &expected);
}

#[test]
fn more_sets_of_settings_than_fit_are_counted() {
    let names: Vec<String> = (0..60).map(|n| format!("d{n}.example")).collect();
    let defaults = Defaults::default();
    let policy = |(n, name): (u8, &String)| DomainPolicy {
        file: name.as_str().into(),
        patterns: vec![DomainPattern::parse(name).unwrap()],
        inbound: InboundLayer {
            client_certificate: Some(Sourced::built_in(ClientCertificateRule::Fingerprints(
                vec![crate::policy::names::Fingerprint::from_bytes([n; 32])].into(),
            ))),
            ..InboundLayer::default()
        }
        .into(),
        ..DomainPolicy::default()
    };
    let set = PolicySet::new(defaults, (0..).zip(&names).map(policy).collect()).unwrap();
    let plan = plan(&set, &stranger(false), &[]);
    assert_eq!((plan.columns.len(), plan.left_out), (COLUMNS_MAX, 22));
}

#[test]
fn columns_say_whom_they_stand_for_and_what_is_asked() {
    let set = policies(&[
        (&["a.example", "b.example", "c.example"], &["hosted", "required", "aead"]),
        (&["d.example"], &["listed"]),
        (&["e.example"], &["required"]),
    ]);
    let (trusted, floor) = (Default::default(), Default::default());
    let role = crate::policy::relay::Role::Mx;
    let door = Door { policies: &set, trusted: &trusted, role, relay: false, floor: &floor };
    let client = IpAddr::from([192, 0, 2, 1]);
    let texts: Vec<String> = plan(&set, &stranger(false), &[])
        .columns
        .iter()
        .map(|column| format!("{}: {}", column.name(), column.asks(&door, client)))
        .collect();
    let expected = [
        "to a.example and 2 more: TLS with a forward-secret AEAD cipher",
        "to d.example: TLS optional; no such recipient",
        "from e.example: TLS",
        "from any other domain: TLS optional",
        "to any other domain: no relaying",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn domains_whose_steps_exceptions_or_shadows_differ_for_this_client_now_are_columns_of_their_own() {
    let required = || InboundLayer { tls: Some(Sourced::built_in(InboundTls::Required)), ..InboundLayer::default() };
    let step = |secs| Step { from: Timestamp::from_secs(secs), source: Source::BuiltIn, layer: required() };
    let exception = |network: &str| Exception {
        terms: Arc::new(Terms {
            source: Source::BuiltIn,
            clients: vec![network.parse().unwrap()],
            senders: Vec::new(),
            owner: String::new(),
            reason: String::new(),
            expires: Timestamp::from_secs(100_000),
        }),
        layer: required(),
    };
    let rules = Rules::<InboundLayer>::default;
    let files = [
        ("none.example", rules()),
        ("past.example", Rules { steps: vec![step(86_400)], ..rules() }),
        ("future.example", Rules { steps: vec![step(86_401)], ..rules() }),
        ("ours.example", Rules { exceptions: vec![exception("192.0.2.0/24")], ..rules() }),
        ("others.example", Rules { exceptions: vec![exception("198.51.100.0/24")], ..rules() }),
        ("shadow.example", Rules { shadow: Some(required()), ..rules() }),
    ];
    let policy = |(name, inbound): (&str, Rules<InboundLayer>)| DomainPolicy {
        patterns: vec![DomainPattern::parse(name).unwrap()],
        inbound,
        ..DomainPolicy::default()
    };
    let set = PolicySet::new(Defaults::default(), files.into_iter().map(policy).collect()).unwrap();
    let expected = [
        "from G@none.example>- none.example,future.example,others.example",
        "from G@past.example>- past.example,ours.example",
        "from G@shadow.example>- shadow.example",
        "default G@G.invalid>-",
        "relaying >G@G.invalid",
    ];
    check(&set, (false, &[]), &expected);
}
