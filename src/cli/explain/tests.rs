//! Explanations of real configuration files, as they are printed.

use std::fs;

use serde_json::Value;

use crate::cli::tests::{Ran, run};
use crate::config::{self, Config};

const MAIN: &str = r#"hostname = "mx1.bank.example"
postmaster = "postmaster@bank.example"
spool = { path = "spool" }
audit = { path = "audit" }
relay = { trusted = ["10.0.0.0/8", "sha256:1111111111111111111111111111111111111111111111111111111111111111"] }
certificate = [{ chain = "a.pem", key = "a.key" }]
[default.inbound]
mode = "defer"
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
[[listener]]
name = "asking"
bind = ["127.0.0.1:2528"]
role = "mx"
relay = true
request_client_certificate = true
[[listener]]
name = "door"
bind = ["127.0.0.1:2530"]
role = "mx"
tls = "implicit"
[[listener]]
name = "users"
bind = ["127.0.0.1:2529"]
role = "submission"
request_client_certificate = true
"#;

const BANK: &str = r#"domains = ["bank.example"]
hosted = true
recipients = { file = "recipients.txt" }
route = { hosts = ["127.0.0.1:2527"], tls = "opportunistic" }
[inbound]
tls = "required"
min_version = "TLSv1.2"
mode = "enforce"
applies_to = ["recipient"]
"#;

const PARTNER: &str = r#"domains = ["partner.example"]
[inbound]
tls = "required"
cipher = "aead"
mode = "report"
"#;

const PRINTER: &str = r#"domains = ["printer.example"]
[inbound]
tls = "required"
client_certificate = ["sha256:2222222222222222222222222222222222222222222222222222222222222222"]
"#;

/// `policy explain` with the words of `line`, in the configuration above.
fn explain(line: &str) -> Ran {
    run(folder().path(), &format!("policy explain {line}"))
}

/// The configuration above.
pub(in crate::cli) fn configured() -> Config {
    config::load(&folder().path().join("gatepost.toml")).unwrap().0
}

pub(in crate::cli) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("gatepost.toml", MAIN);
    write("domains.d/bank.toml", BANK);
    write("domains.d/partner.toml", PARTNER);
    write("domains.d/printer.toml", PRINTER);
    write("domains.d/recipients.txt", "b\n");
    folder
}

/// Verdict, stage, code and reason of the JSON answer, and the exit code; of a session that cannot be, by the policy
/// alone.
#[track_caller]
fn check(line: &str, expected: &str) {
    let ran = explain(&format!("--json {line}"));
    let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{line}: {error}: {ran:?}"));
    let end = answer.get("policy_alone").unwrap_or(&answer);
    let word = |key: &str| end[key].as_str().unwrap_or("-").to_owned();
    let code: String = word("reply").chars().take_while(|c| !c.is_ascii_alphabetic()).collect();
    let seen = format!("{} {} {} {} {}", ran.exit, word("verdict"), word("stage"), code.trim(), word("reason"));
    assert_eq!(seen, expected, "{line}");
}

#[test]
fn verdicts_are_those_of_the_daemon_in_its_order() {
    for (line, expected) in [
        ("--from a@x.example --to b@bank.example --tls TLSv1.2", "0 accept rcpt 250 2.1.5 -"),
        ("--from a@x.example --to b@bank.example --plaintext", "1 refuse rcpt 550 5.7.10 tls-required"),
        ("--from a@x.example --to b@bank.example --tls TLSv1.1", "1 refuse rcpt 554 5.7.10 version-below-minimum"),
        ("--from <> --to b@bank.example --plaintext", "1 refuse rcpt 550 5.7.10 tls-required"),
        ("--from a@x.example --to postmaster@bank.example --plaintext", "0 accept rcpt 250 2.1.5 -"),
        ("--from a@x.example --to c@bank.example --plaintext", "1 refuse rcpt 550 5.7.10 tls-required"),
        ("--from a@x.example --to c@bank.example --tls TLSv1.3", "1 refuse rcpt 550 5.1.1 no-such-user"),
        ("--from a@x.example --to b@y.example --plaintext", "1 refuse rcpt 550 5.7.1 relay-denied"),
        ("--from a@partner.example --to b@bank.example --plaintext", "1 refuse rcpt 550 5.7.10 tls-required"),
        (
            "--from a@partner.example --to b@bank.example --tls TLSv1.2 --cipher AES128-SHA",
            "0 would_refuse rcpt 250 2.1.5 cipher-below-minimum",
        ),
        ("--from a@x.example --to b@bank.example --plaintext --client 10.1.2.3", "0 accept rcpt 250 2.1.5 -"),
        (
            "--from a@x.example --to b@y.example --tls TLSv1.2 --client 10.1.2.3 --listener out",
            "1 refuse mail 554 5.7.10 version-below-minimum",
        ),
        (
            "--from a@x.example --to b@y.example --tls TLSv1.3 --client ::ffff:10.1.2.3 --listener out",
            "0 accept rcpt 250 2.1.5 -",
        ),
        ("--from a@x.example --to b@bank.example --tls TLSv1.3 --listener out", "1 refuse rcpt 550 5.7.1 relay-denied"),
    ] {
        check(line, expected);
    }
}

#[test]
fn a_refusal_is_explained_with_every_key_and_its_line() {
    let ran = explain("--from a@x.example --to b@bank.example --tls TLSv1.1");
    let expected = "\
No such session: listener in offers TLSv1.2 and later

It fails before any policy is asked. What the policy alone would say of it:

Refused at RCPT TO: version-below-minimum

  554 5.7.10 Encryption needed: bank.example requires TLSv1.2 or later; this
  session uses TLSv1.1 ECDHE-RSA-AES128-SHA; id=…

from      a@x.example
to        b@bank.example
listener  in, role mx, offers TLSv1.2 and later
client    192.0.2.1, a stranger (assumed; --client names another)
session   TLSv1.1 ECDHE-RSA-AES128-SHA (forward-secret, 128 bits)

MAIL FROM  accepted  built-in
           the session meets what [default.inbound] asks for
RCPT TO    refused  domains.d/bank.toml:7
           version-below-minimum: bank.example requires TLSv1.2 or later

Policy of [default.inbound] at MAIL FROM
  KEY                 VALUE              WHERE FROM       SET BY
  tls                 optional           built-in
  min_version         none               built-in
  cipher              any                built-in
  client_certificate  none               built-in
  applies_to          sender, recipient  built-in
  mode                defer              gatepost.toml:8  default

Policy of bank.example at RCPT TO
  KEY                 VALUE              WHERE FROM             SET BY
  tls                 required           domains.d/bank.toml:6  domain file
  min_version         TLSv1.2            domains.d/bank.toml:7  domain file
  cipher              any                built-in
  client_certificate  none               built-in
  applies_to          recipient          domains.d/bank.toml:9  domain file
  mode                enforce            domains.d/bank.toml:8  domain file
";
    assert_eq!((ran.out.as_str(), ran.exit), (expected, 1));
}

#[test]
fn without_a_session_plaintext_is_explained_and_every_version_compared() {
    let ran = explain("--from a@partner.example --to postmaster@bank.example");
    let expected = "\
Accepted, but would be refused if enforced: tls-required

  250 2.1.5 Recipient ok

mode = \"enforce\" would answer
  530 5.7.10 Encryption needed: partner.example requires TLS with a
  forward-secret AEAD cipher; this session is not encrypted; id=…

from      a@partner.example
to        postmaster@bank.example
listener  in, role mx, offers TLSv1.2 and later
client    192.0.2.1, a stranger (assumed; --client names another)
session   plaintext

MAIL FROM  would refuse  domains.d/partner.toml:3
           tls-required: partner.example requires TLS with a forward-secret AEAD
           cipher; mode = \"report\" lets it pass
RCPT TO    accepted  domains.d/bank.toml:6
           not judged: postmaster of a hosted domain is exempt
           domains.d/bank.toml hosts the domain, so mail is taken for it
";
    assert!(ran.out.starts_with(expected), "{}", ran.out);
    let table = "\
What other sessions get
  SESSION    CIPHER                       MAIL FROM     RCPT TO   ANSWER
  plaintext  -                            would refuse  accepted  250 2.1.5
  TLSv1      ECDHE-RSA-AES128-SHA         -             -         no session
  TLSv1.1    ECDHE-RSA-AES128-SHA         -             -         no session
  TLSv1.2    ECDHE-RSA-AES256-GCM-SHA384  accepted      accepted  250 2.1.5
  TLSv1.3    TLS_AES_256_GCM_SHA384       accepted      accepted  250 2.1.5
";
    assert!(ran.out.contains(table), "{}", ran.out);
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
    assert_eq!(ran.exit, 0);
}

#[test]
fn a_certificate_counts_where_it_is_asked_for_and_from_tls_1_2_on() {
    let (ours, other) = ("1".repeat(64), "2".repeat(64));
    let ask = |to: &str, version: &str, certificate: &str, listener: &str, expected: &str| {
        let shown = if certificate.is_empty() { String::new() } else { format!("--client-certificate {certificate}") };
        check(&format!("--from a@x.example --to {to} --tls {version} {shown} --listener {listener}"), expected);
    };
    let (taken, denied) = ("0 accept rcpt 250 2.1.5 -", "1 refuse rcpt 550 5.7.1 relay-denied");
    let (ours, other) = (&*format!("sha256:{ours}"), &*format!("sha256:{other}"));
    ask("b@y.example", "TLSv1.2", ours, "asking", taken);
    ask("b@y.example", "TLSv1.1", ours, "asking", denied);
    ask("b@y.example", "TLSv1.2", other, "asking", denied);
    ask("b@y.example", "TLSv1.2", ours, "users", taken);
    ask("b@y.example", "TLSv1.2", "", "users", denied);
    ask("b@y.example", "TLSv1.1", ours, "users", "1 refuse mail 554 5.7.10 version-below-minimum");
    ask("b@y.example", "TLSv1.3", "verified", "users", denied);

    let ask = |certificate: &str, listener: &str, expected: &str| {
        let line = format!("--tls TLSv1.2 --client-certificate {certificate} --listener {listener}");
        check(&format!("--from a@printer.example --to b@bank.example {line}"), expected);
    };
    ask(other, "asking", taken);
    ask("verified", "asking", "1 defer mail 450 4.7.10 client-certificate");
    ask(other, "in", "1 defer mail 450 4.7.10 client-certificate");
}

#[test]
fn the_page_tells_what_the_client_shows_and_what_the_listener_does_not_ask_for() {
    let shown = format!("sha256:{}", "2".repeat(64));
    let line = "--from a@printer.example --to b@bank.example --tls TLSv1.3 --client-certificate";
    let ran = explain(&format!("{line} {shown}"));
    for expected in [
        "450 4.7.10 Encryption needed: printer.example requires TLS with a client\n  certificate that is listed; this \
         session shows none; id=…\n",
        "shows     a certificate or key whose SHA-256 is\n          22222222",
        "Note: Listener in asks for no client certificate (request_client_certificate),\nso none is shown there.\n",
    ] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
    let ran = explain(&format!("{line} {shown} --listener asking"));
    assert!(ran.exit == 0 && !ran.out.contains("Note:"), "{}", ran.out);
}

#[test]
fn what_the_listener_offers_says_which_sessions_are_possible() {
    let answer = |line: &str| -> Value { serde_json::from_str(&explain(line).out).unwrap() };
    let whole = answer("--json --from a@x.example --to b@bank.example");
    assert_eq!(whole["listener"]["offer"], "TLSv1.2");
    let sessions = whole["sessions"].as_array().unwrap();
    let seen: Vec<_> = sessions.iter().map(|session| (&session["tls"]["version"], &session["offered"])).collect();
    let expected = [
        (Value::Null, true),
        ("TLSv1".into(), false),
        ("TLSv1.1".into(), false),
        ("TLSv1.2".into(), true),
        ("TLSv1.3".into(), true),
    ];
    assert_eq!(seen.len(), expected.len());
    for ((version, offered), (expected, possible)) in seen.into_iter().zip(expected) {
        assert_eq!((version, offered), (&expected, &Value::Bool(possible)));
    }
    for session in sessions {
        assert_eq!(session["verdict"] == "no_session", session["offered"] == false, "{session}");
    }
}

#[test]
fn over_a_session_that_cannot_be_nothing_is_accepted() {
    for (line, headline, alone) in [
        (
            "--from a@x.example --to postmaster@bank.example --tls TLSv1.1",
            "No such session: listener in offers TLSv1.2 and later\n\nIt fails before any policy is asked.",
            "accept",
        ),
        (
            "--from a@x.example --to b@bank.example --plaintext --listener door",
            "No such session: listener door has tls = \"implicit\", so nothing there is\nplaintext\n",
            "refuse",
        ),
    ] {
        let ran = explain(line);
        assert!(ran.exit == 1 && ran.out.starts_with(headline), "{}", ran.out);
        let answer: Value = serde_json::from_str(&explain(&format!("--json {line}")).out).unwrap();
        let seen = (&answer["verdict"], &answer["offered"], &answer["policy_alone"]["verdict"]);
        assert_eq!(seen, (&"no_session".into(), &false.into(), &alone.into()), "{line}");
    }
    let ran = explain("--from a@x.example --to b@bank.example --listener door");
    assert!(
        ran.exit == 0 && ran.out.starts_with("Accepted\n") && ran.out.contains("session   TLSv1.3 "),
        "{}",
        ran.out
    );
}

#[test]
fn the_answer_names_the_rule_that_decides_as_the_audit_log_does() {
    for (line, expected) in [
        ("--from a@x.example --to b@bank.example --tls TLSv1.2", "domains.d/bank.toml:6"),
        ("--from a@x.example --to b@bank.example --tls TLSv1.1", "domains.d/bank.toml:7"),
        ("--from a@partner.example --to b@bank.example --tls TLSv1.2 --cipher AES128-SHA", "domains.d/partner.toml:4"),
        ("--from a@x.example --to c@bank.example --tls TLSv1.3", "built-in"),
    ] {
        let answer: Value = serde_json::from_str(&explain(&format!("--json {line}")).out).unwrap();
        assert_eq!(answer["rule"], expected, "{line}");
    }
}

#[test]
fn what_cannot_be_asked_names_the_remedy() {
    for (line, error, help) in [
        ("--from a@x.example --to b@bank.example --facts x", "--facts is about deliveries", "--direction outbound"),
        ("--from a@x.example --to b@bank.example --at 2027-1-1", "a day such as 2027-01-02", ""),
        ("--from a@x.example --to b@bank.example --at 2027-01-01T10:00:00", "2027-01-02T03:04:05Z", ""),
        ("--from a@x.example --to b@bank.example --listener ni", "no listener is named \"ni\"", "out, in"),
        ("--from a@x.example --to b@bank.example --client-certificate x", "invalid value", "or \"verified\""),
        ("--from a@x.example --to b@bank.example --client-certificate verified --plaintext", "cannot stand beside", ""),
        (
            "--from a@x.example --to b@bank.example --tls TLSv1.3 --cipher AES128-SHA",
            "does not exist in TLSv1.3",
            "TLS_AES",
        ),
        (
            "--from a@x.example --to b@bank.example --tls TLSv1.1 --cipher TLS_AES_128_GCM_SHA256",
            "does not exist",
            "AES256-SHA",
        ),
        ("--from a@x.example --to b@bank.example --tls TLSv1.1 --cipher AES", "no cipher suite is named", "AES256-SHA"),
        ("--from a@x.example --to b@bank.example --tls TLSv1.22", "invalid value", "TLSv1.2"),
        ("--from a@x.example --to b --plaintext", "local-part@domain", ""),
        ("--from a@x.example --to b@bank.example --cipher AES128-SHA", "--tls VERSION is missing", "--help"),
    ] {
        let ran = explain(line);
        assert!(ran.exit == 2 && ran.out.is_empty(), "{line}: {ran:?}");
        let said = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.starts_with("error: ") && said.contains(error) && said.contains(help), "{line}: {ran:?}");
    }
}

#[test]
fn a_broken_configuration_is_told_whole_and_a_missing_one_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let question = "policy explain --from a@x.example --to b@bank.example";
    let ran = run(folder.path(), question);
    assert!(ran.exit == 2 && ran.err.contains("gatepost init DIR"), "{ran:?}");
    fs::write(folder.path().join("gatepost.toml"), "hostnam = \"x\"\n").unwrap();
    let ran = run(folder.path(), question);
    assert!(ran.exit == 2 && ran.err.contains("did you mean `hostname`?"), "{ran:?}");
    assert!(ran.err.ends_with("errors: the configuration cannot be used\n"), "{ran:?}");
    assert_eq!(ran.out, "");
}
