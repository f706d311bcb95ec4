//! Files of cases in, cases or findings out.

use super::*;
use crate::config::load;
use crate::config::tests::{HEAD, LISTENER};

/// The titles of what was read, and the findings on one line each.
fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("gatepost.toml", &format!("{HEAD}{LISTENER}"));
    std::fs::create_dir(folder.path().join("tests.d")).unwrap();
    write("tests.d/a.toml", text);
    let (config, _) = load(&folder.path().join("gatepost.toml")).unwrap();
    let (files, findings) = load_cases(&config, std::slice::from_ref(&config.cases));
    let titles = files
        .iter()
        .flat_map(|file| file.cases.iter().map(|case| format!("{}:{} {}", file.name(), file.line(case), case.title())));
    (titles.collect(), findings.iter().map(ToString::to_string).collect())
}

const GOOD: &str = "from = \"a@x.example\"\nto = \"b@y.example\"\n";

#[test]
fn cases_are_read_with_their_lines() {
    let text = format!(
        "# two\n[[case]]\n{GOOD}expect = \"accept\"\n\n\
         [[case]]\nname = \"bounces\"\nfrom = \"<>\"\nto = \"b@y.example\"\n\
         tls = \"TLSv1.1\"\ncipher = \"ECDHE-RSA-AES128-SHA\"\nat = 2027-01-02\nclient = \"203.0.113.7\"\n\
         expect = \"554 5.7.10\"\nstage = \"rcpt\"\nreason = \"version-below-minimum\"\n"
    );
    let (titles, findings) = read(&text);
    assert_eq!(titles, ["tests.d/a.toml:2 a@x.example → b@y.example", "tests.d/a.toml:7 bounces"]);
    assert_eq!(findings, Vec::<String>::new());
}

/// `lines` follow sender and recipient, from line 4 on.
#[track_caller]
fn check(lines: &str, expected: &[&str]) {
    let (titles, findings) = read(&format!("[[case]]\n{GOOD}{lines}\n"));
    assert_eq!(findings, expected, "{lines}");
    assert_eq!(titles.len(), usize::from(expected.is_empty()), "{lines}: {titles:?}");
}

#[test]
fn every_form_of_a_value_is_taken() {
    for lines in [
        "expect = \"530\"",
        "expect = \"250 2.1.5\"",
        "tls = \"none\"\nexpect = \"would_refuse\"",
        "tls = \"TLSv1.3\"\nclient_certificate = \"verified\"\nlistener = \"mx\"\nexpect = \"defer\"",
        "at = 2027-01-02T03:04:05+01:00\nexpect = \"refuse\"",
        "direction = \"outbound\"\nexpect = \"starttls-not-supported\"",
        "direction = \"outbound\"\ntls = \"TLSv1.3\"\ncertificate = \"trusted\"\nmx = \"mx.y.example\"\n\
         certificate_names = [\"*.y.example\", \"y.example\"]\nexpect = \"deliver\"",
        "direction = \"outbound\"\nexpect = \"bounce\"\nreason = \"starttls-not-supported\"",
    ] {
        check(lines, &[]);
    }
    for reason in Reason::OUTBOUND_TLS {
        check(&format!("direction = \"outbound\"\nexpect = \"{reason}\""), &[]);
        check(&format!("direction = \"outbound\"\nexpect = \"defer\"\nreason = \"{reason}\""), &[]);
    }
    let hash = "2".repeat(64);
    check(&format!("tls = \"TLSv1.2\"\nclient_certificate = \"sha256:{hash}\"\nexpect = \"accept\""), &[]);
    let outbound = "direction = \"outbound\"\ntls = \"TLSv1.2\"";
    check(&format!("{outbound}\ncertificate = \"sha256:{hash}\"\nexpect = \"defer\""), &[]);
}

/// The finding of a case at line and column.
fn at(place: &str, rest: &str) -> String {
    format!("tests.d/a.toml:{place}: error: {rest}")
}

/// `check` for what has one finding.
#[track_caller]
fn wrong(lines: &str, (place, rest): (&str, &str)) {
    check(lines, &[&at(place, rest)]);
}

#[test]
fn a_wrong_value_is_told_with_its_place_and_remedy() {
    for (lines, finding) in [
        ("expect = \"acept\"", ("4:10", "case.expect: unknown value \"acept\" (did you mean \"accept\"?)")),
        (
            "expect = \"deliver\"",
            (
                "4:10",
                "case.expect: unknown value \"deliver\" (use \"accept\", \"would_refuse\", \"defer\" or \"refuse\")",
            ),
        ),
        (
            "expect = \"5544\"",
            (
                "4:10",
                "case.expect: \"5544\" is no reply of an SMTP server (write its code, such as \"530\", or also its \
                 enhanced code, such as \"554 5.7.10\")",
            ),
        ),
        (
            "expect = \"554 4.7.10\"",
            (
                "4:10",
                "case.expect: \"554 4.7.10\" contradicts itself: both codes begin with the same digit (write the \
                 codes of one reply, such as \"554 5.7.10\")",
            ),
        ),
        (
            "expect = \"accept\"\ntls = \"TLSv1.0\"",
            ("5:7", "case.tls: unknown value \"TLSv1.0\" (did you mean \"TLSv1\"?)"),
        ),
        (
            "expect = \"accept\"\nclient = \"10.0.0.0/8\"",
            ("5:10", "case.client: \"10.0.0.0/8\" is no IP address (write it as \"192.0.2.25\" or \"2001:db8::25\")"),
        ),
        (
            "expect = \"accept\"\nat = 2027-01-02T03:04:05",
            (
                "5:6",
                "case.at: 2027-01-02T03:04:05 is a different moment in each time zone (add the distance from UTC: \
                 2027-01-02T03:04:05Z, or 2027-01-02T03:04:05+01:00)",
            ),
        ),
        (
            "expect = \"deliver\"\ndirection = \"outbund\"\nmx = \"mx.y.example\"",
            ("5:13", "case.direction: unknown value \"outbund\" (did you mean \"outbound\"?)"),
        ),
    ] {
        wrong(lines, finding);
    }
}

#[test]
fn keys_that_do_not_go_together_are_told_with_their_remedy() {
    for (lines, finding) in [
        (
            "direction = \"outbound\"\ntls = \"TLSv1.3\"\nexpect = \"deliver\"\ncertificate_names = [\"x.example\"]",
            (
                "7:21",
                "case.certificate_names: `certificate_names` are those of a `certificate`, and there is none \
                 (write certificate = \"trusted\" beside it)",
            ),
        ),
        (
            "expect = \"accept\"\nreason = \"tls-required\"",
            ("5:10", "case.reason: what is accepted has no reason (remove it, or expect something else)"),
        ),
        (
            "expect = \"accept\"\ncipher = \"AES128-SHA\"",
            (
                "5:10",
                "case.cipher: a plaintext session has no cipher suite (write tls = \"TLSv1.2\" or another version)",
            ),
        ),
        (
            "expect = \"accept\"\ntls = \"TLSv1.3\"\ncipher = \"AES128-SHA\"",
            (
                "6:10",
                "case.cipher: the cipher suite AES128-SHA does not exist in TLSv1.3 (in TLSv1.3 there is for example \
                 TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 or TLS_AES_128_GCM_SHA256)",
            ),
        ),
        (
            "expect = \"accept\"\nclient_certificate = \"verified\"",
            (
                "5:22",
                "case.client_certificate: a plaintext session has no certificate (write tls = \"TLSv1.2\" or another \
                 version)",
            ),
        ),
        (
            "expect = \"accept\"\nmx = \"mx.y.example\"",
            ("5:6", "case.mx: `mx` belongs to outbound cases (remove it, or write direction = \"outbound\")"),
        ),
        (
            "expect = \"defer\"\ndirection = \"outbound\"\nstage = \"mail\"",
            ("6:9", "case.stage: `stage` belongs to inbound cases (remove it, or write direction = \"inbound\")"),
        ),
    ] {
        wrong(lines, finding);
    }
}

#[test]
fn misspelt_and_missing_keys_are_told_together() {
    let missing = "case.expect: `expect` is missing (write what must come of it, such as expect = \"accept\" or \
                   \"554 5.7.10\")";
    let unknown = "case.expct: unknown key `expct` (did you mean `expect`?)";
    check("expct = \"accept\"", &[&at("1:1", missing), &at("4:1", unknown)]);
    let (titles, findings) = read("[[cases]]\nx = 1\n");
    assert_eq!(titles, Vec::<String>::new());
    assert_eq!(findings, [at("1:3", "cases: unknown key `cases` (did you mean `case`?)")]);
}
