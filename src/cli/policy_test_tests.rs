//! Files of cases in, what is printed and the exit code out, with the configuration of the explanations.

use std::fs;

use serde_json::Value;

use crate::cli::explain::tests::folder;
use crate::cli::tests::{Ran, run};

fn test(cases: &str, line: &str) -> Ran {
    let folder = folder();
    fs::create_dir(folder.path().join("tests.d")).unwrap();
    fs::write(folder.path().join("tests.d/bank.toml"), cases).unwrap();
    run(folder.path(), line)
}

const CASES: &str = r#"[[case]]
name = "bank.example is open to TLS 1.2"
from = "a@x.example"
to = "b@bank.example"
tls = "TLSv1.2"
expect = "accept"

[[case]]
from = "a@x.example"
to = "b@bank.example"
tls = "TLSv1.1"
expect = "450 4.7.10"
stage = "mail"

[[case]]
direction = "outbound"
name = "the store may have any certificate"
from = "a@x.example"
to = "b@bank.example"
tls = "TLSv1.3"
expect = "deliver"
"#;

#[test]
fn a_failing_case_is_told_with_its_place_what_was_expected_and_why_not() {
    let ran = test(CASES, "policy test");
    let expected = "\
ok    bank.example is open to TLS 1.2
FAIL  a@x.example → b@bank.example
      tests.d/bank.toml:8
      expected  450 4.7.10 at MAIL FROM
      got       refuse: 554 5.7.10 at RCPT TO, version-below-minimum

MAIL FROM  accepted  built-in
           the session meets what [default.inbound] asks for
RCPT TO    refused  domains.d/bank.toml:7
           version-below-minimum: bank.example requires TLSv1.2 or later

Policy of bank.example
  KEY                 VALUE              WHERE FROM             SET BY
  tls                 required           domains.d/bank.toml:6  domain file
  min_version         TLSv1.2            domains.d/bank.toml:7  domain file
  cipher              any                built-in
  client_certificate  none               built-in
  applies_to          recipient          domains.d/bank.toml:9  domain file
  mode                enforce            domains.d/bank.toml:8  domain file

Note: Listener in offers TLSv1.2 and later: such a session fails before any
policy is asked.

ok    the store may have any certificate
3 cases: 2 ok, 1 FAIL
";
    assert_eq!((ran.out.as_str(), ran.exit, ran.err.as_str()), (expected, 1, ""));
}

#[test]
fn programs_get_every_case_and_the_explanation_of_those_that_fail() {
    let ran = test(CASES, "policy test --json");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (ran.exit, &report["ok"], &report["passed"], &report["failed"]),
        (1, &false.into(), &2.into(), &1.into())
    );
    let cases = report["cases"].as_array().unwrap();
    let seen: Vec<_> =
        cases.iter().map(|case| (case["ok"].as_bool().unwrap(), case["line"].as_u64().unwrap())).collect();
    assert_eq!(seen, [(true, 1), (false, 8), (true, 15)]);
    assert!(cases[0].get("explanation").is_none(), "{}", cases[0]);
    assert_eq!(cases[1]["explanation"]["stages"][1]["rule"], "domains.d/bank.toml:7");
}

#[test]
fn exit_codes_tell_failing_cases_from_unreadable_ones() {
    let unreadable = CASES.replace("stage =", "stagge =");
    let nowhere = CASES.replace("stage = \"mail\"", "listener = \"ni\"");
    let good = CASES.replace("450 4.7.10", "554").replace("\"mail\"", "\"rcpt\"");
    for (cases, exit, end, error) in [
        (&good, 0, "3 cases: all as expected\n", ""),
        (&unreadable, 2, "2 cases: 2 ok, 0 FAIL, 1 error\n", "did you mean `stage`?"),
        (&nowhere, 2, "2 cases: 2 ok, 0 FAIL, 1 error\n", "name one of these: out, in, asking, door, users"),
        (&String::new(), 0, "tests.d\n", ""),
    ] {
        let ran = test(cases, "policy test");
        assert!(ran.exit == exit && ran.out.ends_with(end) && ran.err.contains(error), "{ran:?}");
        assert_eq!(ran.err.is_empty(), error.is_empty(), "{ran:?}");
    }
    let ran = test(CASES, "policy test nowhere.toml");
    assert!(ran.exit == 2 && ran.err.contains("nowhere.toml"), "{ran:?}");
}

#[test]
fn check_runs_the_cases_beside_the_domain_files() {
    let run = |cases: &str| {
        let ran = test(cases, "check --json");
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let of_cases = |error: &&Value| error["file"] == "tests.d/bank.toml";
        let errors: Vec<Value> = report["errors"].as_array().unwrap().iter().filter(of_cases).cloned().collect();
        errors
    };
    let failing = run(CASES);
    assert_eq!((failing.len(), &failing[0]["line"], &failing[0]["key"]), (1, &12.into(), &"case.expect".into()));
    let message = failing[0]["message"].as_str().unwrap();
    assert!(message.ends_with("got refuse: 554 5.7.10 at RCPT TO, version-below-minimum"), "{message}");
    assert!(failing[0]["remedy"].as_str().unwrap().contains("policy test"), "{failing:?}");
    let misspelt = run(&CASES.replace("expect = \"accept\"", "expct = \"accept\""));
    assert_eq!(misspelt.len(), 3, "{misspelt:?}");
}

#[test]
fn a_case_takes_nothing_over_a_session_that_cannot_be() {
    let case = |version: &str, expect: &str| {
        let who = "[[case]]\nfrom = \"a@x.example\"\nto = \"postmaster@bank.example\"\n";
        test(&format!("{who}tls = \"{version}\"\nexpect = \"{expect}\"\n"), "policy test")
    };
    assert_eq!(case("TLSv1.2", "accept").exit, 0);
    for expect in ["accept", "250", "would_refuse"] {
        let ran = case("TLSv1.1", expect);
        let got = "      got       no such session: listener in offers TLSv1.2 and later\n";
        assert!(ran.exit == 1 && ran.out.contains(got), "{}", ran.out);
    }
}

#[test]
fn a_delivery_is_judged_with_the_right_certificate_unless_the_case_says_otherwise() {
    let case = |more: &str, expect: &str| {
        let who = "[[case]]\ndirection = \"outbound\"\nfrom = \"a@x.example\"\nto = \"c@out.example\"\n";
        let folder = folder();
        fs::write(
            folder.path().join("domains.d/out.toml"),
            "domains = [\"out.example\"]\noutbound = { tls = \"verify\" }\n",
        )
        .unwrap();
        fs::create_dir(folder.path().join("tests.d")).unwrap();
        let text = format!("{who}tls = \"TLSv1.3\"\nexpect = \"{expect}\"\n{more}");
        fs::write(folder.path().join("tests.d/out.toml"), text).unwrap();
        run(folder.path(), "policy test")
    };
    for (more, expect, exit) in [
        ("", "deliver", 0),
        ("", "accept", 0),
        ("certificate = \"untrusted\"\n", "certificate-not-trusted", 0),
        ("certificate = \"expired\"\n", "accept", 1),
    ] {
        let ran = case(more, expect);
        assert_eq!(ran.exit, exit, "{more}{expect}: {}", ran.out);
    }
    let ran = case("", "defer");
    let note = "Note: the host is assumed to show a certificate: trusted, for out.example;\n\
                certificate = \"...\" in the case says otherwise.\n";
    assert!(ran.exit == 1 && ran.out.contains(note), "{}", ran.out);
}

#[test]
fn a_case_expects_what_explain_says() {
    let mut cases = String::new();
    let folder = folder();
    for version in ["none", "TLSv1.2", "TLSv1.3"] {
        for (from, to) in
            [("a@x.example", "b@bank.example"), ("a@partner.example", "b@bank.example"), ("a@x.example", "b@y.example")]
        {
            for client in ["192.0.2.1", "10.1.2.3"] {
                let session = if version == "none" { "--plaintext".to_owned() } else { format!("--tls {version}") };
                let line = format!("policy explain --json --from {from} --to {to} {session} --client {client}");
                let answer: Value = serde_json::from_str(&run(folder.path(), &line).out).unwrap();
                let word = |key: &str| answer[key].as_str().unwrap().to_owned();
                cases += &format!(
                    "[[case]]\nfrom = \"{from}\"\nto = \"{to}\"\ntls = \"{version}\"\nclient = \"{client}\"\n\
                     expect = \"{}\"\nstage = \"{}\"\n",
                    word("verdict"),
                    word("stage")
                );
            }
        }
    }
    let ran = test(&cases, "policy test");
    assert!(ran.out.ends_with("18 cases: all as expected\n"), "{}", ran.out);
}
