//! The command over small logs, from its arguments to what is printed.

use std::fs;

use serde_json::Value;

use crate::audit::event::Event;
use crate::cli::tests::run;
use crate::model::id::RecordId;
use crate::model::reason::Reason;

use super::super::paper::check_page;
use super::super::recorded::{ACCEPTED, Mail, OLD, folder, json, write};

const ASKED: &str = "audit what-if --from 2027-01-01 --to 2027-01-31 --at 2027-02-01";

/// Three old messages of one sender, one of another in plaintext, two new ones, and one with two records.
fn mails() -> Vec<Mail> {
    let old = Mail { from: "a@old.example", tls: OLD, ..ACCEPTED };
    vec![
        Mail { number: 1, ..old },
        Mail { number: 2, time: "2027-01-05T10:00:00Z", ip: "192.0.2.9", from: "Other@OLD.example", ..old },
        Mail { number: 3, time: "2027-01-04T10:00:00Z", tls: Some(("TLSv1.1", "AES128-SHA")), ..old },
        Mail { number: 4, from: "c@plain.example", tls: None, ip: "2001:db8::1", ..ACCEPTED },
        Mail { number: 5, ..ACCEPTED },
        Mail { number: 6, ..ACCEPTED },
        Mail { number: 7, from: "d@two.example", tls: OLD, ..ACCEPTED },
        Mail { number: 7, from: "d@two.example", tls: OLD, to: "e@bank.example", ..ACCEPTED },
        // Out of the span.
        Mail { number: 8, time: "2027-02-01T00:00:00Z", ..old },
    ]
}

#[test]
fn the_page_says_in_one_sentence_who_is_hit_and_lists_them() {
    let folder = folder(&mails());
    let ran = run(folder.path(), &format!("{ASKED} --domain bank.example --set min_version=TLSv1.2"));
    let expected = "\
Of 7 messages from or to bank.example from 2027-01-01 to 2027-01-31, 5 (71.4 %)
from 3 senders would have been refused.

setting   min_version = \"TLSv1.2\" in [inbound] of domains.d/bank.toml
judged    by the policy engine, as of 2027-02-01 00:00:00 UTC

SENDER                    MESSAGES  WOULD BE  REASON                 LAST SEEN
old.example                      3  refused   version-below-minimum  2027-01-05
  record 00000000000000000000000002: TLSv1 ECDHE-RSA-AES128-SHA (2), TLSv1.1
  AES128-SHA (1); from 192.0.2.0/24 (3)
plain.example                    1  refused   tls-required           2027-01-02
  record 00000000000000000000000004: plaintext (1); from 2001:db8::/64 (1)
two.example                      1  refused   version-below-minimum  2027-01-02
  record 00000000000000000000000007: TLSv1 ECDHE-RSA-AES128-SHA (1); from
  192.0.2.0/24 (1)

The log begins at 2027-01-02 03:04:05 UTC.
";
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{ran:?}");
    assert_eq!(ran.out, expected, "{}", ran.out);
}

fn answer(folder: &tempfile::TempDir, more: &str) -> Value {
    let ran = run(folder.path(), &format!("{ASKED} --json {more}"));
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{more}");
    serde_json::from_str(&ran.out).unwrap()
}

fn outcomes(answer: &Value) -> Vec<u64> {
    let number = |name: &str| answer["outcomes"][name].as_u64().unwrap();
    ["newly_refused", "newly_deferred", "newly_reported", "newly_accepted", "unchanged", "unknown"].map(number).to_vec()
}

#[test]
fn every_setting_is_judged_as_if_it_were_written() {
    let folder = folder(&mails());
    for (more, expected) in [
        ("--domain bank.example --set tls=optional", [0, 0, 0, 0, 7, 0]),
        ("--domain bank.example --set tls=required", [1, 0, 0, 0, 6, 0]),
        ("--domain bank.example --set min_version=TLSv1.2 --set mode=defer", [0, 5, 0, 0, 2, 0]),
        ("--domain bank.example --set inbound.min_version=TLSv1.2 --set mode=report", [0, 0, 5, 0, 2, 0]),
        ("--domain bank.example --set cipher=aead", [5, 0, 0, 0, 2, 0]),
        ("--domain old.example --set tls=required", [0, 0, 0, 0, 3, 0]),
        ("--domain old.example --set min_version=TLSv1.1", [2, 0, 0, 0, 1, 0]),
        ("--set min_version=TLSv1.3", [5, 0, 0, 0, 2, 0]),
    ] {
        assert_eq!(outcomes(&answer(&folder, more)), expected, "{more}");
    }
}

/// The log with `more` at the end of the domain file.
fn beside(more: &str) -> tempfile::TempDir {
    let folder = folder(&mails());
    let file = folder.path().join("domains.d/bank.toml");
    fs::write(&file, format!("{}{more}", fs::read_to_string(&file).unwrap())).unwrap();
    folder
}

/// How many would be refused and newly accepted, and what is told of the keys that the settings overrule.
#[track_caller]
fn check_overruled(folder: &tempfile::TempDir, set: &str, hits: (u64, u64), expected: &[&str]) {
    let found = answer(folder, set);
    let notes: Vec<_> =
        found["overruled"].as_array().unwrap().iter().map(|one| one["note"].as_str().unwrap()).collect();
    let seen = outcomes(&found);
    assert_eq!(((seen[0], seen[3]), notes.as_slice()), (hits, expected), "{set}");
}

#[test]
fn what_contradicts_a_setting_gives_way_and_is_told() {
    let check = |file: &str, set: &str, hits, expected: &[&str]| {
        check_overruled(&beside(file), &format!("--domain bank.example {set}"), hits, expected);
    };
    let raised = "tls = optional (domains.d/bank.toml:7): what is set needs tls = required, so that is judged by";
    let optional = "[inbound]\ntls = \"optional\"\n";
    for set in ["--set min_version=TLSv1.2", "--set cipher=aead", "--set min_version=TLSv1.2 --set cipher=aead"] {
        check(optional, set, (5, 0), &[raised]);
    }
    let dropped = [
        "min_version = TLSv1.2 (domains.d/bank.toml:7): it contradicts what is set, and is left out",
        "cipher = aead (domains.d/bank.toml:8): it contradicts what is set, and is left out",
    ];
    let floor = "[inbound]\nmin_version = \"TLSv1.2\"\ncipher = \"aead\"\n";
    check(floor, "--set tls=optional", (0, 5), &dropped);
    let whole = "[inbound]\ntls = \"required\"\nmin_version = \"TLSv1\"\n";
    check(whole, "--set min_version=TLSv1.2", (4, 0), &["min_version = TLSv1 (domains.d/bank.toml:8)"]);
    check("", "--set min_version=TLSv1.2", (5, 0), &[]);
}

#[test]
fn a_default_gives_way_where_it_is_set_and_is_told_where_it_is_shared() {
    let check = |default: &str, set: &str, hits, expected: &[&str]| {
        let folder = folder(&mails());
        let main = folder.path().join("gatepost.toml");
        let text = fs::read_to_string(&main).unwrap();
        fs::write(&main, format!("{text}[default.inbound]\n{default}\n")).unwrap();
        check_overruled(&folder, set, hits, expected);
    };
    let raised = "tls = optional (gatepost.toml:12): what is set needs tls = required, so that is judged by";
    check("tls = \"optional\"", "--set min_version=TLSv1.2", (5, 0), &[raised]);
    check("tls = \"optional\"", "--domain bank.example --set min_version=TLSv1.2", (5, 0), &[raised]);
    let kept = "not min_version = TLSv1.2 (gatepost.toml:12): other domains share it, so it is asked for as before";
    check("min_version = \"TLSv1.2\"", "--domain bank.example --set tls=optional", (0, 0), &[kept]);
    let dropped = "min_version = TLSv1.2 (gatepost.toml:12): it contradicts what is set, and is left out";
    check("min_version = \"TLSv1.2\"", "--set tls=optional", (0, 5), &[dropped]);
}

#[test]
fn a_setting_lies_above_the_steps_in_force_and_below_those_to_come() {
    let step = |day: &str, key: &str| format!("[[inbound.step]]\nfrom = {day}\n{key}\n");
    let check = |file: &str, set: &str, hits, told: &str| {
        check_overruled(&beside(file), &format!("--domain bank.example {set}"), hits, &[told]);
    };
    let old = format!("[inbound]\ntls = \"required\"\n{}", step("2026-06-01", "min_version = \"TLSv1\""));
    let told = "min_version = TLSv1 (domains.d/bank.toml:10, the step of 2026-06-01)";
    check(&old, "--set min_version=TLSv1.2", (4, 0), told);
    let to_come = step("2027-03-01", "min_version = \"TLSv1.3\"");
    check(&format!("{old}{to_come}"), "--set min_version=TLSv1.2", (4, 0), told);
    let mode = format!("[inbound]\nmin_version = \"TLSv1.2\"\n{}", step("2026-06-01", "mode = \"report\""));
    let told = "mode = report (domains.d/bank.toml:10, the step of 2026-06-01)";
    check(&mode, "--set mode=enforce", (5, 0), told);
}

#[test]
fn a_setting_of_deliveries_raises_or_leaves_out_what_it_contradicts() {
    let check = |file: &str, set: &str, expected: &[&str]| {
        let folder = folder(&mails());
        fs::write(folder.path().join("domains.d/out.toml"), format!("domains = [\"out.example\"]\n{file}")).unwrap();
        let set = format!("--domain out.example --direction outbound {set}");
        check_overruled(&folder, &set, (0, 0), expected);
    };
    let raised = "tls = encrypt (domains.d/out.toml:3): what is set needs tls = verify, so that is judged by";
    check("[outbound]\ntls = \"encrypt\"\n", "--set match=[\"domain\"]", &[raised]);
    let dropped = [
        "tls = verify (domains.d/out.toml:3)",
        "match = domain (domains.d/out.toml:4): it contradicts what is set, and is left out",
    ];
    let verified = "[outbound]\ntls = \"verify\"\nmatch = [\"domain\"]\n";
    check(verified, "--set tls=encrypt", &dropped);
    check(verified, "--set min_version=TLSv1.3", &[]);
    let off = "[outbound]\ntls = \"off\"\ndane = \"off\"\nmta_sts = \"off\"\n";
    let raised = "tls = off (domains.d/out.toml:3): what is set needs tls = encrypt, so that is judged by";
    check(off, "--set min_version=TLSv1.2", &[raised]);
    let bounced = "[outbound]\ntls = \"encrypt\"\n[[outbound.step]]\nfrom = 2026-06-01\non_tls_failure = \"bounce\"\n";
    let replaced = "on_tls_failure = bounce (domains.d/out.toml:6, the step of 2026-06-01)";
    check(bounced, "--set on_tls_failure=defer", &[replaced]);
}

#[test]
fn an_exception_stands_above_every_setting_and_is_told() {
    let exception = "[[inbound.exception]]\nclients = [\"192.0.2.0/24\"]\nmin_version = \"TLSv1\"\nowner = \"o\"\n\
                     reason = \"r\"\nexpires = 2028-01-01\n";
    let folder = beside(exception);
    let found = answer(&folder, "--domain bank.example --set min_version=TLSv1.2");
    assert_eq!(outcomes(&found), [1, 0, 0, 0, 6, 0]);
    assert_eq!(found["excepted"], serde_json::json!([{ "rule": "domains.d/bank.toml:6", "recipients": 7 }]));
    let ran = run(folder.path(), &format!("{ASKED} --domain bank.example --set min_version=TLSv1.2"));
    let note = "7 recipients come under the exception domains.d/bank.toml:6, which stands above\n\
                every setting and answers as before.\n";
    assert!(ran.out.contains(note), "{}", ran.out);
}

#[test]
fn a_group_lists_the_networks_of_its_clients_in_every_form() {
    let folder = folder(
        &[mails(), vec![Mail { number: 9, from: "a@old.example", tls: OLD, ip: "198.51.100.4", ..ACCEPTED }]].concat(),
    );
    let strict = "--domain bank.example --set min_version=TLSv1.2";
    let found = answer(&folder, strict);
    let expected = serde_json::json!([
        { "client": "192.0.2.0/24", "messages": 3 },
        { "client": "198.51.100.0/24", "messages": 1 },
    ]);
    assert_eq!(found["groups"][0]["clients"], expected);
    let csv = run(folder.path(), &format!("{ASKED} {strict} --format csv")).out;
    let first = csv.lines().nth(1).unwrap();
    assert!(first.ends_with(",\"192.0.2.0/24 (3), 198.51.100.0/24 (1)\","), "{csv}");
}

#[test]
fn it_is_said_whose_mail_is_counted() {
    let folder = folder(&mails());
    let file = folder.path().join("domains.d/bank.toml");
    let text = fs::read_to_string(&file).unwrap();
    for (patterns, expected) in [
        ("\"bank.example\", \"*.bank.example\"", "from or to bank.example and *.bank.example"),
        (
            "\"bank.example\", \"b.example\", \"c.example\", \"d.example\"",
            "c.example and 1 more of domains.d/bank.toml",
        ),
    ] {
        fs::write(&file, text.replace("\"bank.example\"", patterns)).unwrap();
        let found = run(folder.path(), &format!("{ASKED} --domain bank.example --set tls=required"));
        assert!(found.out.replace('\n', " ").contains(expected), "{}", found.out);
    }
}

#[test]
fn another_configuration_or_domain_file_is_judged_whole() {
    let folder = folder(&mails());
    let strict = "domains = [\"bank.example\", \"*.bank.example\"]\nhosted = true\nrecipients = \"any\"\n\
                  [route]\nhosts = [\"store.bank.example\"]\n[inbound]\nmin_version = \"TLSv1.2\"\n";
    let draft = folder.path().join("draft.toml");
    fs::write(&draft, strict).unwrap();
    let found = answer(&folder, &format!("--with-domain {}", draft.display()));
    assert_eq!(outcomes(&found), [5, 0, 0, 0, 2, 0]);
    assert_eq!(found["groups"][0]["rule"], "draft.toml:7");

    let main = fs::read_to_string(folder.path().join("gatepost.toml")).unwrap();
    let other = folder.path().join("other.toml");
    fs::write(&other, main.replace("\"domains.d\"", "\"none.d\"")).unwrap();
    fs::create_dir(folder.path().join("none.d")).unwrap();
    let found = answer(&folder, &format!("--with {}", other.display()));
    assert_eq!(
        (outcomes(&found), &found["groups"][0]["reason"]),
        (vec![7, 0, 0, 0, 0, 0], &Value::from("relay-denied"))
    );
    fs::write(&other, main.replace("\"mx\"\nbind", "\"in\"\nbind")).unwrap();
    let found = answer(&folder, &format!("--with {}", other.display()));
    assert_eq!((outcomes(&found), &found["unknown"]["listener-gone"]), (vec![0, 0, 0, 0, 0, 7], &Value::from(8)));
}

#[test]
fn what_was_refused_is_judged_by_its_session_and_what_has_no_record_is_told() {
    let refused = Mail { event: Event::InboundRefused, reason: Some(Reason::VersionBelowMinimum), ..ACCEPTED };
    let folder = folder(&[]);
    let strict = fs::read_to_string(folder.path().join("domains.d/bank.toml")).unwrap();
    let records = [
        json(&Mail { number: 1, tls: OLD, ..refused }),
        json(&Mail { number: 2, tls: OLD, from: "x@bank.example", to: "", ..refused }),
        json(&Mail { number: 3, tls: None, ..refused }),
        "{\"time\":\"2027-01-02T03:04:05.000000Z\",\"id\":\"s\",\"event\":\"audit.summary\",\"count\":12}".to_owned(),
    ];
    write(&folder, &records);
    let file = folder.path().join("domains.d/bank.toml");
    fs::write(file, format!("{strict}[inbound]\nmin_version = \"TLSv1.2\"\n")).unwrap();
    let found = answer(&folder, "--domain bank.example --set min_version=TLSv1");
    assert_eq!(outcomes(&found), [0, 0, 0, 2, 1, 0]);
    assert_eq!((&found["accepted_without_recipient"], &found["unrecorded_refusals"]), (&1.into(), &12.into()));
    assert_eq!((&found["refused_already"], &found["groups"][0]["recorded"]["refuse"]), (&1.into(), &1.into()));
}

#[test]
fn lists_are_made_by_client_destination_and_session_too() {
    let folder = folder(&mails());
    let check = |by: &str, expected: &[(&str, u64)]| {
        let found = answer(&folder, &format!("--domain bank.example --set min_version=TLSv1.2 --by {by}"));
        let name = found["by"].as_str().unwrap();
        let groups = found["groups"].as_array().unwrap();
        let rows: Vec<_> =
            groups.iter().map(|row| (row[name].as_str().unwrap(), row["messages"].as_u64().unwrap())).collect();
        assert_eq!(rows, expected, "{by}");
    };
    check("sender", &[("old.example", 3), ("plain.example", 1), ("two.example", 1)]);
    check("client", &[("192.0.2.0/24", 4), ("2001:db8::/64", 1)]);
    check("destination", &[("bank.example", 4), ("bank.example", 1)]);
    check("tls", &[("TLSv1 ECDHE-RSA-AES128-SHA", 3), ("TLSv1.1 AES128-SHA", 1), ("none", 1)]);
}

#[test]
fn csv_has_a_row_for_each_group_and_a_hit_can_fail_a_script() {
    let folder = folder(&mails());
    let strict = "--domain bank.example --set min_version=TLSv1.2";
    let ran = run(folder.path(), &format!("{ASKED} {strict} --format csv --fail-if-hit"));
    assert_eq!((ran.exit, ran.out.matches("\r\n").count()), (1, 4), "{ran:?}");
    let first = "inbound,sender,old.example,newly_refused,version-below-minimum,3,2027-01-02T03:04:05.000000Z,";
    assert!(ran.out.lines().nth(1).unwrap().starts_with(first), "{ran:?}");
    let ran = run(folder.path(), &format!("{ASKED} --domain bank.example --set tls=optional --fail-if-hit"));
    assert!(ran.exit == 0 && ran.out.contains("2027-01-31, none would\nhave met with another answer."), "{ran:?}");
}

#[test]
fn wrong_settings_are_told_as_in_a_configuration() {
    let folder = folder(&mails());
    for (more, exit, expected) in [
        ("--set min_version=TLSv9 --domain bank.example", 2, "--set:2:15"),
        ("--set min_versoin=TLSv1.2", 2, "did you mean `min_version`?"),
        ("--direction both --set tls=required", 2, "write inbound.tls=… or outbound.tls=…"),
        ("--set route.tls=encrypt", 2, "there is no [route] to change"),
        ("--with /nonexistent.toml", 2, "nonexistent"),
        ("--with a --set tls=required", 2, "cannot stand beside"),
    ] {
        let ran = run(folder.path(), &format!("{ASKED} {more}"));
        assert!(ran.exit == exit && ran.err.contains(expected), "{more}: {ran:?}");
    }
    let ran = run(folder.path(), "audit what-if --domain bank.example");
    assert!(ran.exit == 2 && ran.err.contains("no other setting"), "{ran:?}");
}

/// The records of one mail whose recipients take three of them.
fn parts(mail: &Mail) -> Vec<String> {
    let whole = json(mail);
    let id = RecordId::from_u128(mail.number);
    let part = |number: u128| {
        let part = whole.replacen(&id.to_string(), &RecordId::from_u128(mail.number + number).to_string(), 1);
        part.replacen("],\"tls\"", &format!("],\"part_of\":\"{id}\",\"tls\""), 1)
    };
    vec![whole.clone(), part(1), part(2)]
}

#[test]
fn what_a_back_end_cannot_promise_is_left_out_whatever_the_setting_is() {
    let reason = Some(Reason::NeedsRequireTls);
    let folder = folder(&[Mail { event: Event::InboundRefused, reason, ..ACCEPTED }]);
    let found = answer(&folder, "--domain bank.example --set min_version=TLSv1.2");
    assert_eq!((outcomes(&found), &found["left_out"]), (vec![0; 6], &1.into()));
}

#[test]
fn a_message_whose_recipients_take_several_records_counts_once() {
    let refused = Mail { event: Event::InboundRefused, reason: Some(Reason::TooBig), ..ACCEPTED };
    let folder = folder(&[]);
    let content = parts(&Mail { number: 30, ..refused });
    let records = [
        parts(&Mail { number: 10, tls: OLD, ..ACCEPTED }),
        parts(&Mail { number: 20, ..ACCEPTED }),
        content.iter().map(|json| json.replace("\"stage\":\"rcpt\"", "\"stage\":\"data\"")).collect(),
    ];
    write(&folder, &records.concat());
    let found = answer(&folder, "--domain bank.example --set min_version=TLSv1.2");
    assert_eq!((outcomes(&found), &found["left_out"]), (vec![1, 0, 0, 0, 1, 0], &1.into()));
    assert_eq!((&found["groups"][0]["messages"], &found["refused_already"]), (&1.into(), &0.into()));

    let file = folder.path().join("domains.d/bank.toml");
    let strict = fs::read_to_string(&file).unwrap() + "[inbound]\nmin_version = \"TLSv1.2\"\n";
    fs::write(file, strict).unwrap();
    let found = answer(&folder, "--domain bank.example --set cipher=aead");
    assert_eq!((outcomes(&found), &found["refused_already"]), (vec![0, 0, 0, 0, 2, 0], &1.into()));
}

#[test]
fn the_page_of_one_file_says_who_is_hit_why_and_what_they_would_be_told() {
    let folder = folder(&[]);
    let hostile = |record: String| record.replace(&RecordId::from_u128(4).to_string(), "<b>&\u{202e}");
    write(&folder, &mails().iter().map(json).map(hostile).collect::<Vec<_>>());
    let asked = format!("{ASKED} --domain bank.example --format html");
    let setting =
        "<dt>Setting</dt><dd><code>min_version = &quot;TLSv1.2&quot; in [inbound] of domains.d/bank.toml</code>";
    let checks: [(&str, &[&str]); 3] = [
        (
            "--set min_version=TLSv1.2",
            &[
                "Of 7 messages from or to bank.example from 2027-01-01 to 2027-01-31, 5 (71.4 %)",
                setting,
                "<dt>would be refused</dt><dd>5</dd>",
                "<dt>answered as before</dt><dd>2</dd>",
                "<th scope=\"row\">old.example</th><td class=\"number\" data-name=\"Messages\">3</td>",
                "<span class=\"tag bad\">refused</span>",
                "<dt>Rule</dt><dd>--set:2</dd>",
                "<dt>Reply</dt><dd><code>554 5.7.10 Encryption needed: ",
                "<dt>From</dt><dd>192.0.2.0/24 (3)</dd>",
                "<dt>Sessions</dt><dd>plaintext (1)</dd>",
                "record <code>&lt;b&gt;&amp;\\u{202e}</code>, message <code>&lt;b&gt;&amp;\\u{202e}</code>",
                "The log begins at 2027-01-02 03:04:05 UTC.",
            ],
        ),
        ("--set min_version=TLSv1.2 --limit 1", &["And 2 more groups with 2 messages"]),
        ("--set tls=optional", &["none would have met with another answer", "<dt>would be refused</dt><dd>0</dd>"]),
    ];
    for (more, expected) in checks {
        let ran = run(folder.path(), &format!("{asked} {more}"));
        assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{more}");
        let page = check_page(&ran.out);
        for text in expected {
            assert!(page.contains(text), "{more}: {text}: {page}");
        }
    }
}

#[test]
fn the_page_of_one_file_tells_exceptions_and_what_gave_way() {
    let exception = "[inbound]\ntls = \"optional\"\n[[inbound.exception]]\nclients = [\"2001:db8::/32\"]\n\
                     min_version = \"TLSv1\"\nowner = \"o\"\nreason = \"r\"\nexpires = 2028-01-01\n";
    let folder = beside(exception);
    let ran = run(folder.path(), &format!("{ASKED} --domain bank.example --set min_version=TLSv1.2 --format html"));
    let page = check_page(&ran.out);
    for text in [
        "<dt>Overrules</dt><dd>tls = optional (domains.d/bank.toml:7)",
        "under the exception domains.d/bank.toml:8, which stands",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}
