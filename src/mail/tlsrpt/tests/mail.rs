//! The mail that carries a report, as another parser reads it.

use mail_parser::{MessageParser, MimeHeaders};

use crate::mail::dkim::Signer;
use crate::mail::tlsrpt::message::{ComposeError, ReportMail, Submitter, SubmitterError, compose_mail};
use crate::mail::tlsrpt::report::Report;
use crate::mail::tlsrpt::{CONTENT_TYPE_GZIP, gzip};
use crate::model::address::{Address, Charset};
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

use super::{at_host, domain, met, report_of, session, sts, submitter, tlsa};

fn address(text: &str) -> Address {
    Address::parse(text, Charset::Ascii).unwrap()
}

fn signer(name: &str) -> Signer {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    Signer::from_pem(domain(name), "tlsrpt", key.serialize_pem().as_bytes()).unwrap()
}

fn report() -> Report {
    let both = || vec![met(tlsa()), met(sts())];
    let failed = |reason, host| session(both(), Some(at_host(reason, host)));
    report_of(&[
        session(both(), None),
        failed(Reason::CertificateExpired, 1),
        failed(Reason::CertificateExpired, 2),
        failed(Reason::CipherBelowMinimum, 1),
    ])
}

fn mail(report: &Report, to: &str) -> Vec<u8> {
    let gzipped = gzip(&report.to_json().unwrap());
    let mail = ReportMail {
        report,
        gzipped: &gzipped,
        domain: &domain("dest.example"),
        submitter: &submitter(),
        to: &address(to),
        id: MessageId::from_u128(9),
        now: Timestamp::from_secs(1_798_938_000),
    };
    compose_mail(&mail, &signer("sender.example")).unwrap()
}

#[test]
fn the_mail_has_the_fields_and_parts_of_the_rfc() {
    let report = report();
    let bytes = mail(&report, "reports@dest.example");
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.is_ascii());
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));

    let parsed = MessageParser::default().parse(&bytes).unwrap();
    let unfolded = |name: &str| {
        let raw = parsed.header_raw(name).unwrap_or_else(|| panic!("no {name}"));
        raw.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (name, expected) in [
        ("From", "<tls-reports@sender.example>"),
        ("To", "<reports@dest.example>"),
        (
            "Subject",
            "Report Domain: dest.example Submitter: sender.example \
             Report-ID: <2027-01-02.00000000000000000000000007@sender.example>",
        ),
        ("Date", "Sun, 03 Jan 2027 01:00:00 +0000"),
        ("Message-ID", "<00000000000000000000000009@sender.example>"),
        ("TLS-Report-Domain", "dest.example"),
        ("TLS-Report-Submitter", "sender.example"),
        ("TLS-Required", "No"),
        ("Auto-Submitted", "auto-generated"),
        ("MIME-Version", "1.0"),
    ] {
        assert_eq!(unfolded(name), expected);
    }
    assert!(unfolded("Content-Type").starts_with("multipart/report; report-type=\"tlsrpt\"; boundary="));
    assert!(unfolded("DKIM-Signature").contains("d=sender.example; s=tlsrpt;"));

    let file = parsed.attachment(0).unwrap();
    let kind = file.content_type().unwrap();
    assert_eq!(format!("{}/{}", kind.ctype(), kind.subtype().unwrap()), CONTENT_TYPE_GZIP);
    assert_eq!(file.attachment_name().unwrap(), report.file_name(&domain("sender.example"), &domain("dest.example")));
    assert_eq!(file.contents(), gzip(&report.to_json().unwrap()));
}

#[test]
fn people_read_the_numbers_without_tools() {
    let bytes = mail(&report(), "reports@dest.example");
    let parsed = MessageParser::default().parse(&bytes).unwrap();
    let expected = "This is an aggregate TLS report from sender.example\r\n\r\n\
        SMTP sessions with mail hosts of dest.example on 2027-01-02 (UTC), by policy:\r\n\r\n\
        \x20 tlsa (mx1.dest.example): 1 succeeded, 3 failed\r\n\
        \x20   certificate-expired: 2\r\n\
        \x20   validation-failure: 1\r\n\r\n\
        \x20 sts (dest.example): 1 succeeded, 3 failed\r\n\
        \x20   certificate-expired: 2\r\n\
        \x20   validation-failure: 1\r\n\r\n\
        The attached file has the details in the format of RFC 8460. Questions go to\r\n\
        tls-reports@sender.example.\r\n";
    assert_eq!(parsed.body_text(0).unwrap().trim_end(), expected.trim_end());
}

#[test]
fn lines_stay_short_and_no_address_begins_a_field() {
    let bytes = mail(&report(), "\"a\\\"b: c\"@dest.example");
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.split("\r\n").all(|line| line.len() <= 998));
    assert!(text.contains("\r\nTo: <\"a\\\"b: c\"@dest.example>\r\n"));
}

#[test]
fn only_the_domain_of_the_contact_signs() {
    let report = report();
    let mail = ReportMail {
        report: &report,
        gzipped: &[],
        domain: &domain("dest.example"),
        submitter: &submitter(),
        to: &address("reports@dest.example"),
        id: MessageId::from_u128(9),
        now: Timestamp::from_secs(0),
    };
    for name in ["other.example", "mail.sender.example", "example"] {
        assert_eq!(compose_mail(&mail, &signer(name)), Err(ComposeError::Signer), "{name}");
    }
}

#[test]
fn a_submitter_has_a_mailbox_at_a_named_domain() {
    let contact = |text, charset| Submitter::new(String::new(), Address::parse(text, charset).unwrap());
    assert_eq!(contact("a@[192.0.2.1]", Charset::Ascii), Err(SubmitterError::Contact));
    assert_eq!(contact("\u{f6}@sender.example", Charset::Utf8), Err(SubmitterError::Contact));
    assert!(contact("a@sender.example", Charset::Ascii).is_ok());
}
