//! The digest over small logs: on the terminal, as JSON, and as a mail.

use serde_json::Value;

use crate::audit::digest::{Digest as Tally, Entry};
use crate::audit::event::Event;
use crate::audit::pass::Met;
use crate::cli::tests::run;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

use super::super::recorded::{ACCEPTED, Mail, OLD, folder};
use super::*;

fn answered(mails: &[Mail]) -> Answered {
    let domain = Domain::parse("bank.example").unwrap();
    let lines: Vec<String> = mails.iter().map(super::super::recorded::json).collect();
    let mut tally = Tally::new(domain.clone());
    for line in &lines {
        if let Ok(crate::audit::facts::Said::Facts(facts)) = crate::audit::facts::read(line.as_bytes()) {
            crate::audit::pass::Tally::take(&mut tally, &facts);
        }
    }
    let mut entries: Vec<(Subject, Entry)> = tally.entries.into_iter().collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let span = Span { from: at("2027-01-02T00:00:00Z"), until: at("2027-01-03T00:00:00Z") };
    Answered { domain, span, entries, others: 0, met: Met::default() }
}

fn mails() -> Vec<Mail> {
    let reply = "554 5.7.10 Encryption needed: bank.example requires TLSv1.2 or later; this session uses TLSv1 \
                 ECDHE-RSA-AES128-SHA; id=00000000000000000000000001";
    let refused = Mail { event: Event::InboundRefused, reason: Some(Reason::VersionBelowMinimum), reply, ..ACCEPTED };
    vec![
        Mail { number: 1, tls: OLD, from: "x@old.example", ..refused },
        Mail { number: 2, tls: OLD, from: "\"y\u{1b}[2J\"@old.example", time: "2027-01-02T05:00:00Z", ..refused },
        Mail { number: 3, tls: OLD, from: "", to: "b@else.example", ..refused },
        Mail { number: 4, tls: OLD, from: "c@bank.example", to: "", ..refused },
        Mail { number: 5, is_reported: true, tls: None, reason: Some(Reason::TlsRequired), ..ACCEPTED },
        Mail { number: 6, ..ACCEPTED },
    ]
}

#[test]
fn no_spelling_of_a_domain_hides_a_refusal_from_its_owner() {
    for to in ["b@bank.example", "b@bank.example.", "b@Bank.EXAMPLE."] {
        let refused = Mail { event: Event::InboundRefused, reason: Some(Reason::VersionBelowMinimum), to, ..ACCEPTED };
        let answered = answered(&[refused]);
        let [(subject, entry)] = answered.entries.as_slice() else { panic!("{to}") };
        assert_eq!((subject.recipient.as_deref(), entry.to.as_deref()), (Some("bank.example"), Some(to)));
    }
}

#[test]
fn the_owner_reads_who_was_refused_and_the_exact_answer() {
    let expected = "\
Mail of bank.example from 2027-01-02 00:00 to 2027-01-03 00:00 UTC: 3 refused, 1
accepted though a stricter policy would refuse them.

1 message from bank.example, refused: version-below-minimum
  last at 2027-01-02 03:04:05 UTC from <c@bank.example> with TLSv1
  ECDHE-RSA-AES128-SHA, record 00000000000000000000000004
  the answer was:
  | 554 5.7.10 Encryption needed: bank.example requires TLSv1.2 or later; this
  | session uses TLSv1 ECDHE-RSA-AES128-SHA; id=00000000000000000000000001

2 messages from old.example to bank.example, refused: version-below-minimum
  last at 2027-01-02 05:00:00 UTC from <\"y\\x1b[2J\"@old.example> to
  <b@bank.example> with TLSv1 ECDHE-RSA-AES128-SHA, record
  00000000000000000000000002
  the answer was:
  | 554 5.7.10 Encryption needed: bank.example requires TLSv1.2 or later; this
  | session uses TLSv1 ECDHE-RSA-AES128-SHA; id=00000000000000000000000001

1 message from new.example to bank.example, would be refused: tls-required
  last at 2027-01-02 03:04:05 UTC from <a@new.example> to <b@bank.example>
  without TLS, record 00000000000000000000000005
  the answer would be:
  | 550 5.7.10 Encryption needed
";
    let page = anstream::adapter::strip_str(&page::page(&answered(&mails()))).to_string();
    assert_eq!(page, expected, "{page}");
}

#[test]
fn the_mail_is_a_message_that_nothing_of_a_peer_leaves() {
    let letter = mail::Letter {
        from: "postmaster@mx1.example.org".to_owned(),
        to: "owner@bank.example".to_owned(),
        at: Timestamp::from_secs(0),
        host: Domain::parse("mx1.example.org").unwrap(),
        id: crate::model::id::RecordId::from_u128(1),
    };
    let text = letter.text(&answered(&mails()));
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    for field in [
        "Date: Thu, 01 Jan 1970 00:00:00 +0000",
        "To:\r\n <owner@bank.example>",
        "Subject: Refused mail of\r\n bank.example",
        "MIME-Version: 1.0",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(head.contains(field), "{head}");
    }
    assert!(body.contains("  | 554 5.7.10 Encryption needed: "), "{body}");
    assert!(body.contains("y\\x1b[2J"), "{body}");
    for line in text.split_terminator("\r\n") {
        assert!(line.len() <= 78 && line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
    }
    let parsed = mail_parser::MessageParser::default().parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.subject(), Some("Refused mail of bank.example"));
    assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some("owner@bank.example"));
}

#[test]
fn nothing_refused_is_good_news_and_json_has_every_entry() {
    let past: Vec<_> = mails().into_iter().map(|mail| Mail { time: "2024-01-02T03:04:05Z", ..mail }).collect();
    let folder = folder(&past);
    let ran = run(folder.path(), "audit digest --domain quiet.example --since 7d");
    assert!(ran.exit == 0 && ran.out.ends_with("nothing was\nrefused, deferred or bounced.\n"), "{ran:?}");
    let ran = run(folder.path(), "audit digest --domain bank.example --since 36500d --json");
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    let shown = |entry: &Value| (entry["ending"].to_string(), entry["messages"].as_u64().unwrap());
    let entries: Vec<_> = answer["entries"].as_array().unwrap().iter().map(shown).collect();
    let expected = [("refused", 2), ("refused", 1), ("would_refuse", 1)];
    assert_eq!(entries, expected.map(|(ending, count)| (format!("\"{ending}\""), count)), "{answer}");
    let ran = run(folder.path(), "audit digest --domain bank.example --format mail");
    assert!(ran.exit == 2 && ran.err.contains("--to"), "{ran:?}");
}
