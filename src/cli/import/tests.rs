//! Whole imports: what is written passes `check`, and says what Postfix says.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::tests::{Ran, run};

const MASTER: &str = "smtp inet n - y - - smtpd\n\
                      submission inet n - y - - smtpd -o smtpd_sasl_auth_enable=yes\n\
                      smtp unix - - y - - smtp\nrelay unix - - y - - smtp -o syslog_name=relay\n\
                      strict unix - - y - - smtp -o smtp_tls_security_level=encrypt\n\
                      local unix - n n - - local\nvirtual unix - n n - - virtual\nlmtp unix - - y - - lmtp\n\
                      error unix - - y - - error\ndiscard unix - - y - - discard\n";

/// Imports these files into `out` of the folder.
fn import(folder: &Path, files: &[(&str, &str)]) -> Ran {
    let dir = folder.join("postfix");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("master.cf"), MASTER).unwrap();
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
    let out = folder.join("out");
    run(folder, &format!("import postfix {} --out {} --json", dir.display(), out.display()))
}

#[track_caller]
fn imported(folder: &Path, files: &[(&str, &str)]) -> Value {
    let ran = import(folder, files);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    let checked = run(&folder.join("out"), "check --json");
    assert_eq!(checked.exit, 0, "{checked:?}\n{}", written(folder));
    serde_json::from_str(&ran.out).unwrap()
}

/// All that was written, for messages.
fn written(folder: &Path) -> String {
    let mut text = fs::read_to_string(folder.join("out/gatepost.toml")).unwrap_or_default();
    for entry in fs::read_dir(folder.join("out/domains.d")).into_iter().flatten().filter_map(Result::ok) {
        text.push_str(&format!("== {:?}\n{}", entry.file_name(), fs::read_to_string(entry.path()).unwrap_or_default()));
    }
    text
}

/// What `explain` says of a delivery: the level, and the route's file.
fn explained(folder: &Path, to: &str) -> (String, String) {
    let facts = folder.join("facts.json");
    fs::write(&facts, r#"{"hosts": [{"name": "mx.any.example", "dnssec": "insecure"}]}"#).unwrap();
    let line = format!(
        "policy explain --direction outbound --json --from a@here.example --to {to} --facts {}",
        facts.display()
    );
    let ran = run(&folder.join("out"), &line);
    let answer: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let level = answer["requirement"]["level"].as_str().unwrap().to_owned();
    (level, answer["route"]["name"].as_str().unwrap_or("mx").to_owned())
}

fn told(answer: &Value, list: &str) -> String {
    answer[list].to_string()
}

#[test]
fn a_relay_with_policies_and_routes_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let main = "myhostname = mx.here.example\nmynetworks = 127.0.0.0/8 192.0.2.0/24\nmydestination =\n\
                relay_domains = in.example\nrelay_recipient_maps = hash:/etc/postfix/rcpt\n\
                transport_maps = hash:/etc/postfix/transport\nsmtp_tls_security_level = may\n\
                smtp_tls_policy_maps = hash:/etc/postfix/tls_policy\nsmtp_tls_CApath = /etc/ssl/certs\n\
                smtpd_tls_security_level = may\nsmtpd_milters = inet:127.0.0.1:11332\n";
    let transport = "in.example relay:[store.here.example]:2525\n.in.example relay:[store.here.example]:2525\n\
                     via.example smtp:[gate.example]:587\nstrict.example strict:\nbad.example error:no\n";
    let policy = "bank.example secure\n.bank.example encrypt\nvia.example secure\n[gate.example]:587 encrypt\n\
                  plain.example none\n";
    let files = [
        ("main.cf", main),
        ("transport", transport),
        ("tls_policy", policy),
        ("rcpt", "a@in.example x\nb@sub.in.example x\n"),
    ];
    let answer = imported(folder.path(), &files);
    for (to, expected) in [
        ("x@far.example", ("opportunistic", "mx")),
        ("x@bank.example", ("verify", "mx")),
        ("x@a.b.bank.example", ("encrypt", "mx")),
        ("x@plain.example", ("off", "mx")),
        ("x@strict.example", ("encrypt", "mx")),
        ("x@via.example", ("encrypt", "domains.d/via.example.toml")),
        ("a@in.example", ("opportunistic", "domains.d/in.example.toml")),
        ("x@bad.example", ("encrypt", "domains.d/bad.example.toml")),
    ] {
        let (level, route) = explained(folder.path(), to);
        assert_eq!((level.as_str(), route.as_str()), expected, "{to}\n{}", written(folder.path()));
    }
    let differs = told(&answer, "differs");
    assert!(differs.contains("via.example (tls_policy:3)"), "{differs}");
    assert!(told(&answer, "missing").contains("smtpd_milters"), "{answer:#}");
    let list = fs::read_to_string(folder.path().join("out/domains.d/in.example.recipients.txt")).unwrap();
    assert_eq!(list, "a@in.example\nb@sub.in.example\n");
}

#[test]
fn a_null_client_sends_all_by_its_relay_host() {
    let folder = tempfile::tempdir().unwrap();
    let main = "myhostname = host.here.example\nrelayhost = [smtp.here.example]:587\nmydestination =\n\
                inet_interfaces = loopback-only\nsmtp_tls_security_level = verify\n\
                smtp_tls_mandatory_protocols = >=TLSv1.2\ntls_append_default_CA = yes\n";
    imported(folder.path(), &[("main.cf", main)]);
    let text = fs::read_to_string(folder.path().join("out/gatepost.toml")).unwrap();
    for expected in [
        "[default.route]\nhosts = [\"smtp.here.example:587\"]\ntls = \"verify\"\nmin_version = \"TLSv1.2\"\n",
        "match = [\"mx\"]\n",
        "bind = [\"127.0.0.1:25\", \"[::1]:25\"]\n",
        "tls = \"off\"\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert_eq!(explained(folder.path(), "x@far.example").0, "verify");
}

#[test]
fn mandatory_tls_for_senders_becomes_a_policy_for_all_and_a_floor_for_our_own() {
    let folder = tempfile::tempdir().unwrap();
    let main = "myhostname = mx.here.example\nmydestination = here.example, localhost\nmynetworks = 192.0.2.0/24\n\
                smtpd_tls_security_level = encrypt\nsmtpd_tls_mandatory_protocols = !SSLv2,!SSLv3,!TLSv1,!TLSv1.1\n\
                smtpd_tls_mandatory_ciphers = high\nsmtp_tls_security_level = dane\nsmtp_dns_support_level = dnssec\n";
    let answer = imported(folder.path(), &[("main.cf", main)]);
    let text = fs::read_to_string(folder.path().join("out/gatepost.toml")).unwrap();
    let inbound = text.split_once("[default.inbound]").unwrap().1;
    assert!(inbound.contains("tls = \"required\"") && inbound.contains("min_version = \"TLSv1.2\""), "{text}");
    assert!(text.contains("dnssec = \"validate\"") && text.contains("relay = true"), "{text}");
    let differs = told(&answer, "differs");
    for expected in ["self-signed", "postmaster", "localhost", "mailboxes by local"] {
        assert!(differs.contains(expected), "{expected}: {differs}");
    }
    let refused = run(&folder.path().join("out"), "policy explain --from a@x.example --to b@here.example --plaintext");
    assert!(refused.out.contains("5.7.10"), "{refused:?}");
}

#[test]
fn without_out_nothing_is_written_and_lines_fit_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let long = "smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination, reject_rbl_client \
                zen.example.org, reject_rbl_client another.example.org, check_policy_service unix:private/policy\n";
    fs::write(folder.path().join("main.cf"), format!("myhostname = mx.here.example\n{long}")).unwrap();
    let ran = run(folder.path(), &format!("import postfix {}", folder.path().display()));
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
    for expected in ["Carried over\n", "No equivalent\n", "Nothing was written", "smtpd_recipient_restrictions"] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn wrong_folders_are_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &format!("import postfix {}/none", folder.path().display()));
    assert!(ran.exit == 2 && ran.err.contains("main.cf"), "{ran:?}");
    fs::write(folder.path().join("main.cf"), "myhostname = mx.here.example\n").unwrap();
    let dir = folder.path().display();
    let ran = run(folder.path(), &format!("import postfix {dir} --out {dir}"));
    assert!(ran.exit == 2 && ran.err.contains("is not empty"), "{ran:?}");
}
