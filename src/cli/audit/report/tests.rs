//! The report over small logs, from its arguments to what is printed.

use serde_json::Value;

use crate::audit::event::Event;
use crate::cli::tests::run;
use crate::model::reason::Reason;

use super::super::paper::check_page;
use super::super::recorded::{ACCEPTED, Mail, OLD, folder, json, write};

const ASKED: &str = "audit report --from 2027-01-01 --to 2027-01-31";

fn mails() -> Vec<Mail> {
    let refused = Mail { event: Event::InboundRefused, reason: Some(Reason::VersionBelowMinimum), ..ACCEPTED };
    let out = Mail { from: "b@bank.example", to: "a@mx.new.example", ..ACCEPTED };
    vec![
        Mail { number: 1, ..ACCEPTED },
        Mail { number: 2, ..ACCEPTED },
        Mail { number: 2, to: "e@bank.example", ..ACCEPTED },
        Mail { number: 3, tls: None, time: "2027-01-11T00:00:00Z", ..ACCEPTED },
        Mail { number: 4, tls: OLD, is_reported: true, reason: Some(Reason::VersionBelowMinimum), ..ACCEPTED },
        Mail { number: 5, tls: OLD, ..refused },
        Mail { number: 6, tls: OLD, from: "x@old.example", ..refused },
        Mail { event: Event::OutboundDelivered, number: 7, ..out },
        Mail { event: Event::OutboundDelivered, number: 8, to: "a@other.example", ..out },
    ]
}

#[test]
fn the_page_has_the_trend_and_the_shares_of_both_directions() {
    let folder = folder(&mails());
    let ran = run(folder.path(), ASKED);
    let expected = "\
Mail in from 2027-01-01 to 2027-01-31: 4 messages accepted, 2 refused.

WEEK        MESSAGES  TLSv1.3  TLSv1.2   OLDER   PLAIN  REFUSED  REPORTED
2026-12-28         3   66.7 %      0 %  33.3 %     0 %        2         1
2027-01-11         1      0 %      0 %     0 %   100 %        0         0
all                4   50.0 %      0 %  25.0 %  25.0 %        2         1

TLS                             MESSAGES         SHARE
TLSv1.3                                2        50.0 %
TLSv1                                  1        25.0 %
plaintext                              1        25.0 %

CIPHER                          MESSAGES         SHARE
aead                                   2        50.0 %
forward-secret                         1        25.0 %
plaintext                              1        25.0 %

CLIENT CERTIFICATE              MESSAGES         SHARE
none that was verified                 4         100 %

REFUSED                            TIMES
version-below-minimum                  2

REPORTED                           TIMES
version-below-minimum                  1

Mail out from 2027-01-01 to 2027-01-31: 2 messages delivered.

WEEK        MESSAGES  TLSv1.3  TLSv1.2  OLDER  PLAIN  BOUNCED  DEFERRED
2026-12-28         2    100 %      0 %    0 %    0 %        0         0

TLS                             MESSAGES         SHARE
TLSv1.3                                2         100 %

CIPHER                          MESSAGES         SHARE
aead                                   2         100 %

SERVER CERTIFICATE              MESSAGES         SHARE
none that was verified                 2         100 %

The log begins at 2027-01-02 03:04:05 UTC.
";
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{ran:?}");
    assert_eq!(ran.out, expected, "{}", ran.out);
}

#[test]
fn a_partner_is_who_sends_what_comes_in_and_who_gets_what_goes_out() {
    let folder = folder(&mails());
    let check = |more: &str, expected: [Option<u64>; 4]| {
        let ran = run(folder.path(), &format!("{ASKED} --json {more}"));
        assert_eq!(ran.exit, 0, "{ran:?}");
        let answer: Value = serde_json::from_str(&ran.out).unwrap();
        let (inbound, outbound) = (&answer["inbound"]["total"], &answer["outbound"]["total"]);
        let found = [
            inbound["messages"].as_u64(),
            inbound["version"]["TLSv1"].as_u64(),
            inbound["refused"]["version-below-minimum"].as_u64(),
            outbound["messages"].as_u64(),
        ];
        assert_eq!(found, expected, "{more}: {answer}");
    };
    check("", [Some(4), Some(1), Some(2), Some(2)]);
    check("--partner new.example", [Some(4), Some(1), Some(1), Some(0)]);
    check("--partner new.example --below", [Some(4), Some(1), Some(1), Some(1)]);
    check("--partner old.example", [Some(0), Some(0), Some(1), Some(0)]);
    check("--direction outbound", [None, None, None, Some(2)]);
}

#[test]
fn csv_has_one_number_a_row() {
    let folder = folder(&mails());
    let ran = run(folder.path(), &format!("{ASKED} --format csv --by month"));
    let lines: Vec<_> = ran.out.split("\r\n").collect();
    assert_eq!(&lines[..2], ["direction,period,kind,name,messages", "inbound,2027-01,messages,all,4"]);
    for row in ["inbound,2027-01,version,none,1", "inbound,2027-01,would_refuse,version-below-minimum,1"] {
        assert!(lines.contains(&row), "{row}: {ran:?}");
    }
}

/// The page as it comes out, with one space between words and without the style.
fn html(folder: &tempfile::TempDir, more: &str) -> String {
    let ran = run(folder.path(), &format!("{ASKED} --format html {more}"));
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{more}");
    check_page(&ran.out)
}

#[test]
fn the_page_of_one_file_says_whose_mail_it_is_and_has_every_number() {
    let folder = folder(&mails());
    for (more, expected) in [
        (
            "",
            &[
                "<title>Encryption of mail in and out - mx1.example.org - Gatepost</title>",
                "Mail in from 2027-01-01 to 2027-01-31: 4 messages accepted, 2 refused.",
                "<dt>over TLS</dt><dd>75.0 %</dd>",
                "<span class=\"swatch tls10\"></span>TLSv1</th><td class=\"number\">1</td>",
                "<td class=\"number\">25.0 %</td>",
                "<th scope=\"row\">forward-secret</th><td class=\"number\">1</td>",
                "<th scope=\"row\">not verified</th><td class=\"number\">4</td>",
                "Refused, by reason",
                "<code>version-below-minimum</code></th><td class=\"number\">2</td>",
                "Would be refused, by reason",
                "<th class=\"time\" scope=\"row\">2026-12-28</th><td class=\"number\" data-name=\"Messages\">3</td>",
                "<title>2027-01-11: plaintext 1</title>",
                "Mail out from 2027-01-01 to 2027-01-31: 2 messages delivered.",
                "segment 00000001, 9 lines, of which 9 records",
                "gatepost audit verify --key",
                "There is no checkpoint in the log",
                "The log begins at 2027-01-02 03:04:05 UTC.",
                "<dt>Time</dt><dd>2027-01-01 00:00:00 UTC up to 2027-02-01 00:00:00 UTC</dd>",
            ][..],
        ),
        (
            "--partner new.example",
            &["<h1>Encryption of mail from and to new.example</h1>", "without the domains below it"],
        ),
        ("--partner new.example --below", &["new.example and the domains below it"]),
        (
            "--direction outbound --partner b.example",
            &["<h1>Encryption of mail to b.example</h1>", "0 messages delivered."],
        ),
        ("--by month", &["<th scope=\"col\">Month</th>", "<th class=\"time\" scope=\"row\">2027-01</th>"]),
    ] {
        let page = html(&folder, more);
        for text in expected {
            assert!(page.contains(text), "{more}: {text}: {page}");
        }
    }
    let inbound = html(&folder, "--direction inbound");
    assert!(!inbound.contains("<h2>Mail out</h2>") && !inbound.contains("next hop</h3>"), "{inbound}");
}

#[test]
fn every_period_of_the_span_has_its_column_unless_they_are_too_many() {
    let folder = folder(&mails());
    let page = html(&folder, "--by day");
    // From the beginning of the log on; the drawing has room for days without mail.
    assert!(page.contains("<span>2027-01-02</span><span>2027-01-17</span><span>2027-01-31</span>"), "{page}");
    let ran = run(folder.path(), "audit report --from 2027-01-01 --to 2029-01-01 --by day --format html");
    assert!(check_page(&ran.out).contains("are too many to draw"), "{ran:?}");
}

#[test]
fn what_stands_in_the_log_is_never_markup() {
    let hostile = json(&ACCEPTED).replace("\"TLS_AES_256_GCM_SHA384\"", "\"<script>alert(1)</script>\"");
    let refused = Mail { event: Event::InboundRefused, reason: Some(Reason::TooMany), ..ACCEPTED };
    let reason = "<img src=x onerror=y>\u{202e}";
    let refused = json(&Mail { number: 2, ..refused }).replace("too-many", reason);
    let folder = folder(&[]);
    write(&folder, &[hostile, refused]);
    let page = html(&folder, "");
    assert!(page.contains("&lt;img src=x onerror=y&gt;\\u{202e}") && !page.contains("<img"), "{page}");
}

#[test]
fn an_answer_goes_to_a_file_in_every_form() {
    let folder = folder(&mails());
    let out = folder.path().join("answer");
    let read = || std::fs::read_to_string(&out).unwrap();
    let told = format!("Wrote {}.\n", out.display());
    for (form, begin) in [
        ("--format html", "<!DOCTYPE html>"),
        ("--format table", "Mail in from 2027-01-01"),
        ("--format csv", "direction,"),
        ("--format json", "{\n"),
    ] {
        let ran = run(folder.path(), &format!("{ASKED} {form} --out {}", out.display()));
        assert_eq!((ran.exit, ran.out.as_str()), (0, told.as_str()), "{form}");
        assert!(read().starts_with(begin), "{form}: {}", read());
    }
    let ran = run(folder.path(), &format!("{ASKED} --json --out {}", out.display()));
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer, serde_json::json!({ "file": out }));
    assert!(read().starts_with("{\n"), "{}", read());
    let ran = run(folder.path(), &format!("{ASKED} --out {}", folder.path().display()));
    assert!(ran.exit == 2 && ran.err.contains("cannot write"), "{ran:?}");
}
