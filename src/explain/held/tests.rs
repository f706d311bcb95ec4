//! Forms about real configuration files, with and without what a daemon holds.

use std::fs;
use std::time::Duration;

use super::*;
use crate::config;
use crate::model::address::Charset;
use crate::model::tls::ProtocolVersion;
use crate::policy::sts_policy::StsPolicy;
use crate::policy::sts_record::StsId;

const FILES: [(&str, &str); 6] = [
    (
        "gatepost.toml",
        r#"hostname = "mx1.example.org"
spool = { path = "spool" }
audit = { path = "audit" }
relay = { trusted = ["10.0.0.0/8"] }
certificate = [{ chain = "a.pem", key = "a.key" }]
[dns]
servers = ["127.0.0.1:1"]
[[listener]]
name = "out"
bind = ["127.0.0.1:2525"]
role = "smarthost"
min_version = "TLSv1.3"
[[listener]]
name = "in"
bind = ["127.0.0.1:2526"]
role = "mx"
offer = "TLSv1.2"
"#,
    ),
    (
        "domains.d/hosted.toml",
        r#"domains = ["hosted.example"]
hosted = true
recipients = "any"
route = { hosts = ["mx.inner.example", "192.0.2.25:2525"], tls = "encrypt" }
[outbound]
on_tls_failure = "bounce"
[inbound]
tls = "required"
mode = "enforce"
[[inbound.step]]
from = 2027-01-01
min_version = "TLSv1.3"
"#,
    ),
    ("domains.d/written.toml", "domains = [\"written.example\"]\n[outbound]\ntls = \"verify\"\n"),
    ("domains.d/learned.toml", "domains = [\"learned.example\"]\n[outbound]\nlearn = \"enforce\"\n"),
    ("domains.d/pinned.toml", "domains = [\"pinned.example\"]\n[outbound]\ndane = \"required\"\n"),
    ("domains.d/deaf.toml", "domains = [\"deaf.example\"]\n[outbound]\ndane = \"off\"\nmta_sts = \"off\"\n"),
];

fn configured() -> Config {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("domains.d")).unwrap();
    for (name, text) in FILES {
        fs::write(folder.path().join(name), text).unwrap();
    }
    config::load(&folder.path().join("gatepost.toml")).unwrap().0
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    moment("2026-12-01T00:00:00Z")
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text, Charset::Utf8).unwrap()
}

/// `any`, `plaintext`, or a version.
fn session(word: &str) -> Session {
    match word {
        "any" => Session::Any,
        "plaintext" => Session::Plaintext,
        version => Session::of(ProtocolVersion::parse(version).unwrap(), None).unwrap(),
    }
}

/// The JSON of the answer; `at` may be empty.
fn ask(to: &str, (session, at, client): (Session, &str, Option<&str>), way: Way<'_>) -> Result<Value, QuestionError> {
    let (config, from, to) = (configured(), ReversePath::Mailbox(address("a@x.example")), address(to));
    let form = Form {
        config: &config,
        from: &from,
        to: &to,
        client: client.map(|ip| ip.parse().unwrap()),
        session,
        at: (!at.is_empty()).then(|| moment(at)),
        now: now(),
        way,
    };
    Ok(form.explain()?.json())
}

fn words(answer: &Value, keys: &[&str]) -> String {
    let word = |key: &&str| answer[*key].as_str().unwrap_or("-").to_owned();
    keys.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A policy of a domain, fetched some days ago, that holds for a week.
fn policy(of: &str, mode: &str, days_ago: u64) -> Held {
    let text = format!("version: STSv1\nmode: {mode}\nmx: mx1.{of}\nmx: *.pool.{of}\nmx: {of}\nmax_age: 604800\n");
    let policy = StsPolicy::parse(text.as_bytes()).unwrap();
    let fetched = now() - Duration::from_secs(days_ago * 86_400);
    let cached = CachedPolicy { id: StsId::parse("7").unwrap(), policy, fetched };
    Held { policies: vec![(domain(of), cached)], learned: None }
}

fn learned(level: Learned) -> Held {
    Held { policies: Vec::new(), learned: Some(level) }
}

/// Verdict, reason and rule; the level that is required and whether plaintext would do.
fn outbound(to: &str, word: &str, held: &Held) -> String {
    let answer = ask(to, (session(word), "", None), Way::Outbound(held.clone())).unwrap();
    assert_eq!(answer["looked_up"], false, "{to}");
    assert!(word != "any" || answer["sessions"].is_array(), "{to}: no kinds are compared");
    // It can be given to the command as a file of facts.
    let facts: Facts = serde_json::from_value(answer["next_hop"].clone()).unwrap();
    assert_eq!(serde_json::to_value(facts).unwrap(), answer["next_hop"], "{to}");
    let requirement = &answer["requirement"];
    let required = format!("{} {}", words(requirement, &["level"]), requirement["permits_plaintext"]);
    format!("{} | {required}", words(&answer, &["verdict", "reason", "rule"]))
}

#[test]
fn deliveries_are_judged_by_what_is_written_and_what_is_held() {
    let mut wrong = Vec::new();
    let nothing = Held::default();
    let enforced = policy("y.example", "enforce", 1);
    let of_route = policy("mx.inner.example", "enforce", 1);
    let level = learned(Learned::Verify(vec![domain("mx.learned.example")]));
    for (to, session, held, expected) in [
        // A written route.
        ("b@hosted.example", "any", &nothing, "- - - | encrypt false"),
        (
            "b@hosted.example",
            "plaintext",
            &nothing,
            "bounce starttls-not-supported domains.d/hosted.toml:4 | encrypt false",
        ),
        ("b@hosted.example", "TLSv1.2", &nothing, "deliver - domains.d/hosted.toml:4 | encrypt false"),
        (
            "b@hosted.example",
            "plaintext",
            &of_route,
            "bounce starttls-not-supported domains.d/hosted.toml:4 | encrypt false",
        ),
        // MX hosts of which nothing is known.
        ("b@y.example", "any", &nothing, "- - - | opportunistic true"),
        ("b@y.example", "plaintext", &nothing, "deliver - built-in | opportunistic true"),
        (
            "b@written.example",
            "plaintext",
            &nothing,
            "defer starttls-not-supported domains.d/written.toml:3 | verify false",
        ),
        // A policy of MTA-STS.
        ("b@y.example", "any", &enforced, "- - - | verify false"),
        ("b@y.example", "plaintext", &enforced, "defer starttls-not-supported MTA-STS | verify false"),
        ("b@y.example", "TLSv1.1", &enforced, "defer version-below-minimum MTA-STS | verify false"),
        ("b@y.example", "TLSv1.3", &enforced, "deliver - MTA-STS | verify false"),
        ("b@y.example", "plaintext", &policy("y.example", "testing", 1), "deliver - built-in | opportunistic true"),
        ("b@y.example", "plaintext", &policy("y.example", "enforce", 8), "deliver - built-in | opportunistic true"),
        ("b@y.example", "plaintext", &policy("z.example", "enforce", 1), "deliver - built-in | opportunistic true"),
        (
            "b@deaf.example",
            "plaintext",
            &policy("deaf.example", "enforce", 1),
            "deliver - built-in | opportunistic true",
        ),
        // A learned level, and where it is not followed.
        ("b@learned.example", "any", &level, "- - - | verify false"),
        ("b@learned.example", "plaintext", &level, "defer starttls-not-supported learned | verify false"),
        ("b@learned.example", "TLSv1", &learned(Learned::Encrypt), "deliver - learned | encrypt false"),
        ("b@y.example", "plaintext", &level, "deliver - built-in | opportunistic true"),
        // DANE that is required, of hosts nobody asked about.
        ("b@pinned.example", "any", &nothing, "- - - | verify false"),
        ("b@pinned.example", "plaintext", &nothing, "defer starttls-not-supported DANE | verify false"),
        // An address.
        ("b@[192.0.2.9]", "plaintext", &nothing, "deliver - built-in | opportunistic true"),
        ("b@[10.0.0.1]", "plaintext", &nothing, "bounce target-forbidden - | opportunistic true"),
    ] {
        let seen = outbound(to, session, held);
        if seen != expected {
            wrong.push(format!("{to} {session} {held:?}: {seen}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_was_not_looked_up_is_said_and_which_hosts_are_meant() {
    let enforced = policy("y.example", "enforce", 1);
    for (to, held, hosts, expected) in [
        (
            "b@hosted.example",
            &policy("mx.inner.example", "enforce", 1),
            &["mx.inner.example", "[192.0.2.25]"][..],
            &["The hosts are those of the route; their names were not looked up.", "TLSA records"][..],
        ),
        (
            "b@hosted.example",
            &Held::default(),
            &["mx.inner.example", "[192.0.2.25]"],
            &["The hosts are those of the route", "No MTA-STS policy of mx.inner.example is held", "TLSA records"],
        ),
        (
            "b@y.example",
            &Held::default(),
            &["a host"],
            &[
                "The mail hosts of y.example were not looked up: the answer is about any of them.",
                "No MTA-STS policy of y.example is held: nobody was asked whether there is one.",
                "TLSA records were not looked up: where a host has any, its certificate must match one.",
            ],
        ),
        (
            "b@y.example",
            &enforced,
            &["mx1.y.example", "any.pool.y.example", "y.example"],
            &["any.pool.y.example stands for any of *.pool.y.example.", "TLSA records"],
        ),
        ("b@y.example", &policy("y.example", "none", 1), &["a host"], &["any of them", "TLSA records"]),
        (
            "b@y.example",
            &policy("y.example", "enforce", 8),
            &["a host"],
            &["any of them", "No MTA-STS", "TLSA records"],
        ),
        (
            "b@pinned.example",
            &Held::default(),
            &["a host"],
            &["any of them", "No MTA-STS", "a host is taken to have some that can be used"],
        ),
        ("b@deaf.example", &Held::default(), &["a host"], &["any of them"]),
        ("b@[192.0.2.9]", &Held::default(), &["[192.0.2.9]"], &[]),
    ] {
        let answer = ask(to, (Session::Any, "", None), Way::Outbound(held.clone())).unwrap();
        let facts: Facts = serde_json::from_value(answer["next_hop"].clone()).unwrap();
        assert_eq!(facts.hosts.iter().map(HostFact::shown).collect::<Vec<_>>(), hosts, "{to}");
        let said: Vec<String> = serde_json::from_value(answer["unasked"].clone()).unwrap_or_default();
        assert_eq!(said.len(), expected.len(), "{to} {said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{to}: {expected}: {said}");
        }
    }
}

#[test]
fn a_policy_that_is_held_names_the_certificate_and_how_long_it_holds() {
    let answer =
        ask("b@y.example", (Session::Any, "", None), Way::Outbound(policy("y.example", "enforce", 1))).unwrap();
    let first = &answer["next_hop"]["hosts"][0];
    assert_eq!(first["found"][0], "MTA-STS: mode enforce, lists this host, holds until 2026-12-07");
    assert_eq!(answer["requirement"]["identities"][0]["names"], serde_json::json!(["mx1.y.example"]));
    assert_eq!(answer["sessions_by_host"].as_array().unwrap().len(), 1, "all hosts are of one kind: {answer:#}");
}

#[test]
fn domains_whose_policies_count_are_the_recipients_or_those_of_the_route() {
    let config = configured();
    for (to, expected) in [
        ("b@y.example", &["y.example"][..]),
        ("b@hosted.example", &["mx.inner.example"]),
        ("b@deaf.example", &[]),
        ("b@[192.0.2.9]", &[]),
    ] {
        let form = Form {
            config: &config,
            from: &ReversePath::Null,
            to: &address(to),
            client: None,
            session: Session::Any,
            at: None,
            now: now(),
            way: Way::Outbound(Held::default()),
        };
        assert_eq!(form.policy_domains().iter().map(Domain::as_str).collect::<Vec<_>>(), expected, "{to}");
    }
}

#[test]
fn transactions_are_judged_as_the_listener_would() {
    let (stranger, ours) = (None, Some("10.1.2.3"));
    for (to, listener, client, session_asked, at, expected) in [
        ("b@hosted.example", None, stranger, "plaintext", "", "refuse rcpt tls-required domains.d/hosted.toml:8"),
        ("b@hosted.example", None, stranger, "TLSv1.2", "", "accept rcpt - domains.d/hosted.toml:8"),
        (
            "b@hosted.example",
            Some("in"),
            stranger,
            "TLSv1.2",
            "2027-01-02T00:00:00Z",
            "refuse rcpt version-below-minimum domains.d/hosted.toml:12",
        ),
        ("b@y.example", None, stranger, "TLSv1.3", "", "refuse rcpt relay-denied built-in"),
        ("b@y.example", Some("out"), ours, "TLSv1.3", "", "accept rcpt - gatepost.toml:12"),
        ("b@y.example", Some("out"), ours, "TLSv1.2", "", "refuse mail version-below-minimum gatepost.toml:12"),
        ("b@hosted.example", None, stranger, "TLSv1.1", "", "no_session - - domains.d/hosted.toml:8"),
        ("b@hosted.example", None, stranger, "any", "", "refuse rcpt tls-required domains.d/hosted.toml:8"),
    ] {
        let answer = ask(to, (session(session_asked), at, client), Way::Inbound { listener }).unwrap();
        assert_eq!(words(&answer, &["verdict", "stage", "reason", "rule"]), expected, "{to} {listener:?} {answer:#}");
        assert_eq!(answer["sessions"].is_array(), session_asked == "any");
        assert_eq!(answer["client"]["assumed"], client.is_none());
    }
}

#[test]
fn what_cannot_be_asked_says_what_to_write_instead() {
    let of = |version: &str, cipher: &str| Session::of(ProtocolVersion::parse(version).unwrap(), Some(cipher));
    let listener = ask("b@y.example", (Session::Any, "", None), Way::Inbound { listener: Some("i\u{1b}n") });
    for (error, message, remedy) in [
        (listener.unwrap_err(), "no listener is named \"i\\u{1b}n\"", "name one of these: out, in"),
        (
            of("TLSv1.3", "NONE").unwrap_err(),
            "no cipher suite is named \"NONE\"",
            "in TLSv1.3 there is for example TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 or \
             TLS_AES_128_GCM_SHA256",
        ),
        (
            of("TLSv1.3", "aes128-sha").unwrap_err(),
            "the cipher suite AES128-SHA does not exist in TLSv1.3",
            "in TLSv1.3 there is for example TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 or \
             TLS_AES_128_GCM_SHA256",
        ),
    ] {
        assert_eq!((error.to_string().as_str(), error.remedy().as_str()), (message, remedy));
    }
}
