//! Explanations of deliveries for real configuration files, as they are printed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use clap::Parser as _;
use serde_json::Value;

use super::*;
use crate::cli::arguments::{Arguments, Command, PolicyCommand};
use crate::cli::tests::{Ran, run};
use crate::dns::fake::FakeResolver;
use crate::dns::{Exchange, LookupError};
use crate::model::domain::Domain;

const MAIN: &str = r#"hostname = "mx1.example.org"
spool = { path = "spool" }
audit = { path = "audit" }
relay = { trusted = ["10.0.0.0/8"] }
[dns]
servers = ["127.0.0.1:1"]
[admin]
socket = "none.sock"
[[listener]]
name = "out"
bind = ["127.0.0.1:2525"]
role = "smarthost"
tls = "off"
[[route]]
name = "escrow"
hosts = ["portal.example.net:25"]
tls = "verify"
"#;

const BANK: &str = r#"domains = ["bank.example"]
[outbound]
tls = "verify"
min_version = "TLSv1.2"
[[outbound.step]]
from = 2027-01-01
min_version = "TLSv1.3"
[[outbound.exception]]
clients = ["203.0.113.0/24"]
tls = "encrypt"
min_version = "TLSv1"
owner = "facilities"
reason = "scanner fleet"
expires = 2027-03-01
"#;

const ROUTED: &str = r#"domains = ["routed.example"]
[route]
hosts = ["192.0.2.25:2525"]
tls = "encrypt"
[outbound]
on_tls_failure = "bounce"
"#;

const NAMED: &str = r#"domains = ["named.example"]
[route]
hosts = ["mx.named.example"]
tls = "verify"
"#;

const ESCROWED: &str = r#"domains = ["escrowed.example"]
[outbound]
tls = "verify"
on_tls_failure = "route:escrow"
route_after = "2h"
notify_sender = "30m"
"#;

const FACTS: &str = r#"{"hosts": [
    {"name": "mx1.host.example", "preference": 10, "addresses": ["192.0.2.1", "2001:db8::1"], "dnssec": "insecure"},
    {"name": "mx2.host.example", "preference": 20, "addresses": ["192.0.2.2"]}]}"#;

const PINNED: &str = r#"domains = ["pinned.example"]
[outbound]
dane = "required"
on_tls_failure = "bounce"
"#;

pub(super) fn write(folder: &Path) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("gatepost.toml", MAIN);
    write("domains.d/bank.toml", BANK);
    write("domains.d/routed.toml", ROUTED);
    write("domains.d/named.toml", NAMED);
    write("domains.d/escrowed.toml", ESCROWED);
    write("domains.d/pinned.toml", PINNED);
    write("facts.json", FACTS);
}

/// The question with the words of `line`; `FACTS` stands for the file.
fn ask(line: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let line = line.replace("FACTS", folder.path().join("facts.json").to_str().unwrap());
    run(folder.path(), &format!("policy explain --direction outbound --from a@x.example {line}"))
}

/// The same with answers of the DNS.
pub(super) fn ask_dns(line: &str, resolver: FakeResolver) -> (String, Value, Exit) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    ask_dns_in(folder.path(), line, resolver)
}

pub(super) fn ask_dns_in(folder: &Path, line: &str, resolver: FakeResolver) -> (String, Value, Exit) {
    let words = format!("gatepost policy explain --direction outbound --from a@x.example {line}");
    let Command::Policy { command: PolicyCommand::Explain(asked) } =
        Arguments::try_parse_from(words.split_whitespace()).unwrap().command
    else {
        panic!("{line}")
    };
    let config = crate::config::load(&folder.join("gatepost.toml")).unwrap().0;
    let chosen = session(&asked).unwrap();
    let resolver: Arc<dyn Resolver> = Arc::new(resolver);
    let explained = explain(&config, &asked, &chosen, None, &|_| Ok(resolver.clone())).unwrap();
    let page = anstream::adapter::strip_str(&page::page(&explained)).to_string();
    (page, explained.json(), exit(&explained))
}

#[track_caller]
fn check(line: &str, expected: &str) {
    let ran = ask(&format!("--json --facts FACTS {line}"));
    let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{line}: {error}: {ran:?}"));
    let word = |key: &str| answer[key].as_str().unwrap_or("-").to_owned();
    assert_eq!(format!("{} {} {}", ran.exit, word("verdict"), word("reason")), expected, "{line}");
}

#[test]
fn verdicts_are_those_of_the_daemon() {
    let bank = |line: &str, expected: &str| check(&format!("--to b@bank.example --at 2026-12-01 {line}"), expected);
    bank("", "0 - -");
    bank("--plaintext", "1 defer starttls-not-supported");
    bank("--tls TLSv1.1", "1 defer version-below-minimum");
    bank("--tls TLSv1.2", "0 deliver -");
    bank("--tls TLSv1.2 --certificate trusted", "1 defer certificate-host-mismatch");
    let named = "--certificate-name bank.example";
    bank(&format!("--tls TLSv1.2 --certificate trusted {named}"), "0 deliver -");
    bank(&format!("--tls TLSv1.2 --certificate untrusted {named}"), "1 defer certificate-not-trusted");
    bank(&format!("--tls TLSv1.2 --certificate expired {named}"), "1 defer certificate-expired");
    bank(&format!("--tls TLSv1.2 --certificate trusted {named} --client 203.0.113.9"), "0 deliver -");
    bank("--tls TLSv1.1 --client 203.0.113.9", "0 deliver -");
    bank("--plaintext --client 203.0.113.9", "1 defer starttls-not-supported");
    let later = |line: &str, expected: &str| check(&format!("--to b@bank.example {line}"), expected);
    later("--at 2027-01-01 --tls TLSv1.2 --certificate trusted", "1 defer version-below-minimum");
    later("--at 2027-03-01 --tls TLSv1.1 --client 203.0.113.9", "1 defer version-below-minimum");
    check("--to b@y.example --plaintext", "0 deliver -");
    check("--to b@routed.example --plaintext", "1 bounce starttls-not-supported");
    check("--to b@routed.example --tls TLSv1", "0 deliver -");
}

#[test]
fn a_session_that_is_not_good_enough_is_explained_whole() {
    let line = "--to b@bank.example --at 2026-12-01 --tls TLSv1.2 --certificate trusted --facts FACTS";
    let ran = ask(line);
    let expected = "\
Would be deferred: certificate-host-mismatch

from      a@x.example
to        b@bank.example
session   TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 (aead, 256 bits)
shows     a certificate: trusted, for mx1.host.example
at        2026-12-01 00:00:00 UTC

Where it goes
  to the mail hosts of bank.example, given by --facts
  PREF  HOST              PORT  ADDRESSES               DNSSEC
    10  mx1.host.example  25    192.0.2.1, 2001:db8::1  insecure
    20  mx2.host.example  25    192.0.2.2               unknown

What this session gets
  HOST              MESSAGE   REASON
  mx1.host.example  deferred  certificate-host-mismatch
  mx2.host.example  deferred  certificate-host-mismatch

What a session must meet
  KEY             VALUE              WHERE FROM             SET BY
  tls             verify             domains.d/bank.toml:3  domain file
  min_version     TLSv1.2            domains.d/bank.toml:4  domain file
  cipher          any                built-in
  match           domain, mx         built-in
  on_tls_failure  defer              built-in
  The certificate must be for bank.example.

What is to come
  2027-01-01: min_version = TLSv1.3, domains.d/bank.toml:5; this session is then
  deferred: version-below-minimum

What comes of it
retries   after 1m, 5m, 15m, then every 1h, until 5d have passed
warning   to the sender after 4h, if a trusted client brought the message
bounce    after 5d, with status 4.4.7 and the reason certificate-host-mismatch:
          \"The policy for this destination requires an encrypted connection, and
          the certificate of the receiving mail server is for another name.\"

Note: A certificate for mx1.host.example does not count: the name comes from
DNS, not from you.

Note: There are exceptions for clients; --client names the one that brought the
message.
";
    assert_eq!((ran.out.as_str(), ran.exit), (expected, 1), "{}", ran.err);
}

#[test]
fn another_route_and_a_word_to_the_sender_are_told_as_the_daemon_does_them() {
    let ran = ask("--to b@escrowed.example --plaintext --facts FACTS");
    let expected = "\
What comes of it
retries   after 1m, 5m, 15m, then every 1h, until 2h have passed
warning   to the sender after 30m that it waits for TLS, if a trusted client
          brought the message
rerouted  after 2h, by the route \"escrow\", which has a requirement of its own
";
    assert!(ran.out.contains(expected), "{}", ran.out);
    let answer = ask("--to b@escrowed.example --plaintext --facts FACTS --json");
    let answer: Value = serde_json::from_str(&answer.out).unwrap();
    let notice = &answer["notice"];
    assert_eq!((&notice["tls_warning_seconds"], &notice["reroute"]["after_seconds"]), (&1800.into(), &7200.into()));
    assert_eq!(notice["reroute"]["route"], "escrow");
}

#[test]
fn a_certificate_of_which_nothing_is_said_is_assumed_to_do_and_told() {
    let ran = ask("--to b@bank.example --at 2026-12-01 --tls TLSv1.2 --facts FACTS");
    let shows =
        "shows     a certificate: trusted, for bank.example (assumed; --certificate names\n          another)\n";
    assert!(ran.exit == 0 && ran.out.contains(shows), "{}", ran.out);
    let answer = |line: &str| -> Value {
        let ran = ask(&format!("--json --to b@bank.example --at 2026-12-01 --facts FACTS {line}"));
        serde_json::from_str(&ran.out).unwrap()
    };
    let seen = |line: &str| answer(line)["session"]["certificate_assumed"].clone();
    assert_eq!((seen("--tls TLSv1.2"), seen("--tls TLSv1.2 --certificate trusted")), (true.into(), false.into()));
}

#[test]
fn programs_read_what_set_a_key_and_which_rule_decides_as_they_do_inbound() {
    let answer = |line: &str| -> Value {
        let ran = ask(&format!("--json --to b@bank.example --facts FACTS {line}"));
        serde_json::from_str(&ran.out).unwrap()
    };
    let low = answer("--at 2027-01-01 --tls TLSv1.2");
    assert_eq!(low["rule"], "domains.d/bank.toml:7");
    let set_by = |key: usize| low["requirement"]["policy"][key]["set_by"].clone();
    assert_eq!([set_by(0), set_by(1), set_by(2)], ["domain-file", "step", "built-in"].map(Value::from));
    assert_eq!(answer("--at 2026-12-01 --plaintext")["rule"], "domains.d/bank.toml:3");
    assert_eq!(answer("--at 2026-12-01")["rule"], Value::Null);
}

#[test]
fn without_a_session_every_kind_is_compared() {
    let ran = ask("--to b@bank.example --at 2026-12-01 --client 198.51.100.7 --facts FACTS");
    let beginning = "\
Would be delivered over TLSv1.2 or later with a certificate that proves the
host, else deferred

from      a@x.example
to        b@bank.example
client    198.51.100.7, which brought the message
";
    assert!(ran.out.starts_with(beginning), "{}", ran.out);
    let table = "\
What sessions with mx1.host.example get
  SESSION    CERTIFICATE                    MESSAGE    REASON
  plaintext  -                              deferred   starttls-not-supported
  TLSv1      trusted, for bank.example      deferred   version-below-minimum
  TLSv1.1    trusted, for bank.example      deferred   version-below-minimum
  TLSv1.2    trusted, for bank.example      delivered  -
  TLSv1.3    trusted, for bank.example      delivered  -
  TLSv1.3    trusted, for mx1.host.example  deferred   certificate-host-mismatch
  TLSv1.3    trusted, for another name      deferred   certificate-host-mismatch
  TLSv1.3    untrusted, for bank.example    deferred   certificate-not-trusted
  TLSv1.3    expired, for bank.example      deferred   certificate-expired
";
    assert!(ran.out.contains(table), "{}", ran.out);
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
    assert_eq!(ran.exit, 0);
}

#[test]
fn an_exception_in_force_is_named_with_its_owner_reason_and_end() {
    let ran = ask("--to b@bank.example --at 2026-12-01 --client 203.0.113.9 --plaintext --facts FACTS");
    for expected in ["facilities", "scanner fleet", "2027-03-01", "domains.d/bank.toml:8"] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }
    let ran = ask("--json --to b@bank.example --at 2026-12-01 --client 203.0.113.9 --plaintext --facts FACTS");
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["exception"]["owner"], "facilities");
    assert_eq!(answer["exceptions"][0]["state"], "holds");
    assert_eq!((&answer["steps"][0]["in_force"], answer["to_come"].as_array().unwrap().len()), (&false.into(), 2));
}

#[test]
fn an_answer_is_taken_for_facts_and_gives_itself_again() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let ask = |file: &str| {
        let file = folder.path().join(file);
        let line = format!("--to b@bank.example --at 2026-12-01 --facts {}", file.display());
        run(folder.path(), &format!("--json policy explain --direction outbound --from a@x.example {line}"))
    };
    let first = ask("facts.json");
    fs::write(folder.path().join("answer.json"), &first.out).unwrap();
    let second = ask("answer.json");
    assert_eq!((first.exit, &first.out), (0, &second.out));
}

#[test]
fn a_route_needs_no_look_up_of_mail_hosts_and_answers_to_its_own_keys() {
    let ran = ask("--to b@routed.example --plaintext");
    for expected in [
        "Would be bounced: starttls-not-supported\n",
        "over the route domains.d/routed.toml (domains.d/routed.toml:2), looked up now\n",
        "[192.0.2.25]  2525  192.0.2.25  unknown\n",
        "encrypt            domains.d/routed.toml:4  route\n",
        "at once, with status 5.7.10",
    ] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }
    assert_eq!(ran.exit, 1);
}

pub(super) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

#[test]
fn what_the_dns_says_decides_before_any_session() {
    let good = FakeResolver::new()
        .with_mx_answer(
            domain("y.example"),
            [(10, Exchange::Host(domain("mx.y.example")))],
            crate::dns::Security::Secure,
        )
        .with_addresses(domain("mx.y.example"), [[192, 0, 2, 9].into()]);
    let null = FakeResolver::new().with_mx(domain("y.example"), [(0, Exchange::Root)]);
    let failing = FakeResolver::new().with_mx_error(domain("y.example"), LookupError::ServFail);
    let private = FakeResolver::new().with_addresses(domain("y.example"), [[10, 0, 0, 1].into()]);
    let asked = "--to b@y.example";
    let plain = "--to b@y.example --plaintext";
    for (line, resolver, exit, expected) in [
        (asked, good.clone(), Exit::Done, "mx.y.example  25    198.51.100.9"),
        (plain, good, Exit::Done, "Would be delivered\n"),
        (plain, null.clone(), Exit::No, "Would be bounced: null-mx\n"),
        (asked, null, Exit::No, "at once, with status 5.1.10"),
        (asked, failing.clone(), Exit::Unreachable, "Would be deferred as long as this lasts: dns-failure\n"),
        (plain, failing, Exit::Done, "dns-failure: the mail hosts cannot be looked up"),
        (asked, private, Exit::No, "Would be bounced: target-forbidden\n"),
        ("--to b@named.example", FakeResolver::new(), Exit::No, "The certificate must be for mx.named.example."),
    ] {
        let expected = expected.replace("198.51.100.9", "192.0.2.9");
        let (page, answer, found) = ask_dns(line, resolver);
        assert!(page.contains(&expected) && found == exit, "{expected} {found:?}\n{page}\n{answer:#}");
        let is_certain = answer["next_hop"]["failure"]["permanent"] == true;
        assert!(!(is_certain && page.contains("What sessions")), "{page}");
    }
}

#[test]
fn the_null_sender_is_told_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let facts = folder.path().join("facts.json");
    let line = format!("--from <> --to b@bank.example --plaintext --facts {}", facts.display());
    let ran = run(folder.path(), &format!("policy explain --direction outbound {line}"));
    assert!(ran.out.contains("dropped   after 24h; nobody is told"), "{}", ran.out);
    assert!(!ran.out.contains("warning"), "{}", ran.out);
}

#[test]
fn what_cannot_be_asked_names_the_remedy() {
    for (line, error, help) in [
        ("--to b@bank.example --listener out", "--listener is about inbound sessions", "leave it out"),
        ("--to b@bank.example --tls TLSv1.2 --certificate good", "invalid value", "\"trusted\""),
        ("--to b@bank.example --certificate trusted", "--tls VERSION is missing", "--help"),
        ("--to b@bank.example --tls TLSv1.2 --certificate-name a.example", "--certificate WHICH is missing", "--help"),
        ("--to b@bank.example --facts /nowhere.json", "/nowhere.json: there is no such file", "--facts FILE"),
    ] {
        let ran = ask(line);
        assert!(ran.exit == 2 && ran.out.is_empty(), "{line}: {ran:?}");
        let said = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.starts_with("error: ") && said.contains(error) && said.contains(help), "{line}: {ran:?}");
    }
}
