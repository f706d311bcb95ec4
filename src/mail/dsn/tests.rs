//! Notices as other software reads them, and the tables behind them.

use std::time::Duration;

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};

use super::*;
use crate::model::address::ReversePath;
use crate::model::envelope::{DsnReturn, Notify, Origin, Sender, Trust};
use crate::model::id::SessionId;
use crate::model::reply::Code;

const HEADER: &[u8] = b"Subject: hello\r\nFrom: a@a.example\r\n\r\nbody\r\n";
const NOW: Timestamp = Timestamp::from_secs(1_798_859_045);

fn envelope(from: &str, to: &[&str]) -> Envelope {
    let path = match from {
        "" => ReversePath::Null,
        address => ReversePath::Mailbox(address.parse().unwrap()),
    };
    let origin = Origin {
        session: SessionId::from_u128(1),
        listener: "mx".to_owned(),
        ip: None,
        port: 0,
        helo: "client.example".to_owned(),
        trust: Trust::Stranger,
        tls: None,
    };
    Envelope {
        id: MessageId::from_u128(2),
        received_at: Timestamp::from_secs(1_798_800_000),
        sender: Sender::plain(path),
        recipients: to.iter().map(|to| Recipient::plain(to.parse().unwrap())).collect(),
        origin,
        size: 100,
        eight_bit: false,
        tls_required_no: false,
        tls_report: false,
    }
}

fn failed(recipient: &Recipient) -> RecipientNotice<'_> {
    RecipientNotice {
        recipient,
        action: Action::Failed,
        status: EnhancedCode::new(5, 1, 1),
        reason: Some(Reason::RemoteRefused),
        remote: Some("mail.b.example"),
        reply: None,
        last_attempt: Some(NOW),
        retry_until: None,
        other_route_from: None,
    }
}

fn notice<'a>(envelope: &'a Envelope, recipients: &'a [RecipientNotice<'a>], original: Original<'a>) -> Notice<'a> {
    let id = MessageId::from_u128(3);
    Notice { hostname: "mx1.example.org", envelope, recipients, original, explanation: None, now: NOW, id }
}

/// Types of the three parts below `multipart/report`, as another parser sees them.
fn part_types(message: &Message<'_>) -> Vec<String> {
    let PartType::Multipart(children) = &message.root_part().body else { panic!("not a multipart") };
    let children = children.iter().map(|id| message.part(*id).unwrap());
    children
        .map(|part| {
            let kind = part.content_type().unwrap();
            format!("{}/{}", kind.ctype(), kind.subtype().unwrap())
        })
        .collect()
}

fn part_bytes(message: &Message<'_>, index: usize) -> Vec<u8> {
    let PartType::Multipart(children) = &message.root_part().body else { panic!("not a multipart") };
    message.part(children[index]).unwrap().contents().to_vec()
}

#[test]
fn a_failure_is_a_multipart_report_that_other_software_reads() {
    let mut envelope = envelope("a@a.example", &["b@b.example"]);
    envelope.sender.envid = Some("job+2B7".to_owned());
    envelope.recipients[0].orcpt = Some("rfc822;old+2Btag@b.example".to_owned());
    let text = "no such user";
    let reply = Reply::new(Code::REFUSED, EnhancedCode::new(5, 1, 1), text);
    let recipients = [RecipientNotice { reply: Some(&reply), ..failed(&envelope.recipients[0]) }];
    let composed = compose(&notice(&envelope, &recipients, Original::Headers(HEADER))).unwrap();
    assert!(!composed.eight_bit && !composed.smtputf8);

    let message = MessageParser::new().parse(&composed.content).unwrap();
    assert_eq!(message.subject(), Some("Mail not delivered: b@b.example"));
    assert_eq!(message.from().unwrap().first().unwrap().address(), Some("MAILER-DAEMON@mx1.example.org"));
    assert_eq!(message.to().unwrap().first().unwrap().address(), Some("a@a.example"));
    assert_eq!(message.message_id(), Some("00000000000000000000000003@mx1.example.org"));
    assert_eq!(message.header("Auto-Submitted").unwrap().as_text(), Some("auto-replied"));
    assert_eq!(message.header("MIME-Version").unwrap().as_text(), Some("1.0"));
    assert_eq!(message.date().unwrap().to_timestamp(), 1_798_859_045);
    let kind = message.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    assert_eq!(part_types(&message), ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
    assert_eq!(
        String::from_utf8(part_bytes(&message, 1)).unwrap().trim_end(),
        "Original-Envelope-Id: job+7\r\n\
         Reporting-MTA: dns; mx1.example.org\r\n\
         Received-From-MTA: dns; client.example\r\n\
         Arrival-Date: Fri, 01 Jan 2027 10:40:00 +0000\r\n\
         X-Gatepost-Message: 00000000000000000000000002\r\n\
         \r\n\
         Original-Recipient: rfc822; old+tag@b.example\r\n\
         Final-Recipient: rfc822; b@b.example\r\n\
         Action: failed\r\n\
         Status: 5.1.1\r\n\
         Remote-MTA: dns; mail.b.example\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
         Last-Attempt-Date: Sat, 02 Jan 2027 03:04:05 +0000\r\n\
         X-Gatepost-Reason: remote-refused"
    );
    assert_eq!(part_bytes(&message, 2).trim_ascii_end(), b"Subject: hello\r\nFrom: a@a.example");
}

#[test]
fn people_are_told_what_happened_why_and_what_comes_next() {
    let envelope = envelope("a@a.example", &["b@b.example", "c@c.example", "d@d.example"]);
    let [b, c, d] = envelope.recipients.as_slice() else { panic!("three recipients") };
    let reply = Reply::new(Code::REFUSED, EnhancedCode::new(5, 1, 1), "no such user");
    let recipients = [
        RecipientNotice {
            action: Action::Delayed,
            reason: Some(Reason::StarttlsNotSupported),
            retry_until: Some(NOW),
            ..failed(c)
        },
        RecipientNotice { reply: Some(&reply), ..failed(b) },
        RecipientNotice { action: Action::Relayed, reason: None, ..failed(d) },
    ];
    let notice = Notice {
        explanation: Some("The message waits because the next hop offers no TLS."),
        ..notice(&envelope, &recipients, Original::Headers(HEADER))
    };
    assert_eq!(
        human::text(&notice).replace("\r\n", "\n"),
        "This is the mail relay mx1.example.org.

The message waits because the next hop offers no TLS.

Your message of Fri, 01 Jan 2027 10:40:00 +0000 could not be delivered to:

  <b@b.example>
    mail.b.example said: 550 5.1.1 no such user
    It will not be tried again.

Your message of Fri, 01 Jan 2027 10:40:00 +0000 has not been delivered yet to:

  <c@c.example>
    Encryption is required and the next host does not offer it. (host
    mail.b.example)
    It will be tried again until Sat, 02 Jan 2027 03:04:05 +0000. You need not
    send it again.

Your message of Fri, 01 Jan 2027 10:40:00 +0000 was passed on to the next mail
host for:

  <d@d.example>
    mail.b.example took the message.
    That host sends no notices of delivery, so you may hear no more of it.

The header of your message is attached.
If you ask for help, name the message: 00000000000000000000000002
"
    );
}

#[test]
fn the_subject_tells_the_worst() {
    let envelope = envelope("a@a.example", &["b@b.example", "\u{f6}@c.example"]);
    let [b, c] = envelope.recipients.as_slice() else { panic!("two recipients") };
    let with = |recipient, action| RecipientNotice { action, ..failed(recipient) };
    for (recipients, expected) in [
        (vec![with(b, Action::Delayed)], "Mail delayed: b@b.example"),
        (vec![with(b, Action::Delayed), with(c, Action::Relayed)], "Mail delayed: b@b.example"),
        (vec![with(c, Action::Relayed)], "Mail passed on"),
        (vec![with(b, Action::Failed), with(c, Action::Failed)], "Mail not delivered: 2 recipients"),
    ] {
        assert_eq!(human::subject(&recipients), expected);
    }
}

#[test]
fn the_forms_follow_the_sender_the_message_and_what_is_returned() {
    let utf8_header: &[u8] = "Subject: caf\u{e9}\r\n\r\nbody\r\n".as_bytes();
    let full_eight: &[u8] = "Subject: x\r\n\r\ncaf\u{e9}\r\n".as_bytes();
    let status = "message/delivery-status";
    let global = "message/global-delivery-status";
    let ascii = ("a@a.example", false);
    let mail8 = ("\u{f6}@a.example", true);
    for ((from, smtputf8), original, middle, last, eight_bit) in [
        (ascii, Original::Headers(HEADER), status, "text/rfc822-headers", false),
        (ascii, Original::Headers(utf8_header), status, "text/rfc822-headers", false),
        (("a@a.example", true), Original::Headers(utf8_header), status, "message/global-headers", false),
        (ascii, Original::Full(HEADER), status, "message/rfc822", false),
        (ascii, Original::Full(full_eight), status, "message/rfc822", true),
        (("a@a.example", true), Original::Full(full_eight), status, "message/global", false),
        (mail8, Original::Headers(utf8_header), global, "message/global-headers", true),
        (mail8, Original::Full(full_eight), global, "message/global", true),
        (mail8, Original::Headers(HEADER), global, "text/rfc822-headers", true),
    ] {
        let mut envelope = envelope(from, &["\u{fc}@b.example"]);
        envelope.sender.smtputf8 = smtputf8;
        let recipients = [failed(&envelope.recipients[0])];
        let composed = compose(&notice(&envelope, &recipients, original)).unwrap();
        let message = MessageParser::new().parse(&composed.content).unwrap();
        assert_eq!(part_types(&message), ["text/plain", middle, last], "{from} {original:?}");
        assert_eq!((composed.eight_bit, composed.smtputf8), (eight_bit, !from.is_ascii()), "{from} {original:?}");
        assert!(message.body_text(0).unwrap().contains("<\u{fc}@b.example>"));
        let address = if from.is_ascii() { "utf-8; \\x{FC}@b.example" } else { "utf-8; \u{fc}@b.example" };
        assert!(String::from_utf8(part_bytes(&message, 1)).unwrap().contains(address));
    }
}

#[test]
fn a_message_that_is_too_large_returns_its_header() {
    let envelope = envelope("a@a.example", &["b@b.example"]);
    let recipients = [failed(&envelope.recipients[0])];
    let large = [HEADER, vec![b'x'; RETURN_FULL_BYTES_MAX as usize].as_slice()].concat();
    let composed = compose(&notice(&envelope, &recipients, Original::Full(&large))).unwrap();
    let message = MessageParser::new().parse(&composed.content).unwrap();
    assert_eq!(part_types(&message)[2], "text/rfc822-headers");

    let endless = b"X: y\r\n".repeat(RETURN_HEADER_BYTES_MAX);
    let composed = compose(&notice(&envelope, &recipients, Original::Headers(&endless))).unwrap();
    assert!(composed.content.len() < RETURN_HEADER_BYTES_MAX + 4096);
}

#[test]
fn nothing_that_a_peer_said_leaves_its_field() {
    let mut envelope = envelope("a@a.example", &["b@b.example"]);
    envelope.origin.helo = "x\r\nBcc: y".to_owned();
    envelope.sender.envid = Some("x+0D+0ABcc:y".to_owned());
    envelope.recipients[0].orcpt = Some("rfc822;x+0D+0AAction:+20delivered".to_owned());
    let lines = vec!["a\r\n\r\nAction: delivered".to_owned(), "--=_00000000000000000000000003--".repeat(200)];
    let reply = Reply { code: Code::REFUSED, enhanced: None, lines };
    let recipients =
        [RecipientNotice { reply: Some(&reply), remote: Some("m\r\n\r\n--x"), ..failed(&envelope.recipients[0]) }];
    let composed = compose(&notice(&envelope, &recipients, Original::Headers(HEADER))).unwrap();
    let text = String::from_utf8(composed.content).unwrap();
    assert!(!text.contains("\r\nBcc") && !text.contains("\r\nAction: delivered"), "{text}");
    assert_eq!(text.matches("\r\nAction: ").count(), 1);
    assert_eq!(text.matches("\r\n--").count(), 4, "{text}");
    assert!(text.split("\r\n").all(|line| line.len() <= 998));
}

#[test]
fn nobody_is_told_about_a_message_from_nobody() {
    let envelope = envelope("", &["b@b.example"]);
    let recipients = [failed(&envelope.recipients[0])];
    assert_eq!(compose(&notice(&envelope, &recipients, Original::Headers(HEADER))), None);
}

#[test]
fn who_is_told_follows_notify() {
    let only = |success, failure, delay| Some(Notify { success, failure, delay });
    for (from, notify, expected) in [
        ("a@a.example", None, [true, true, false]),
        ("a@a.example", Some(Notify::NEVER), [false, false, false]),
        ("a@a.example", only(true, false, false), [false, false, true]),
        ("a@a.example", only(false, true, false), [true, false, false]),
        ("a@a.example", only(false, false, true), [false, true, false]),
        ("", only(true, true, true), [false, false, false]),
    ] {
        let mut envelope = envelope(from, &["b@b.example"]);
        envelope.recipients[0].notify = notify;
        let due = |action| notice_due(&envelope, &envelope.recipients[0], action);
        assert_eq!([Action::Failed, Action::Delayed, Action::Relayed].map(due), expected, "{from:?} {notify:?}");
    }
}

#[test]
fn the_whole_message_is_returned_only_on_demand_of_a_failure_and_if_small() {
    use DsnReturn::{Full, Headers};
    for (ret, action, size, expected) in [
        (None, Action::Failed, 100, Headers),
        (Some(Headers), Action::Failed, 100, Headers),
        (Some(Full), Action::Failed, RETURN_FULL_BYTES_MAX, Full),
        (Some(Full), Action::Failed, RETURN_FULL_BYTES_MAX + 1, Headers),
        (Some(Full), Action::Delayed, 100, Headers),
        (Some(Full), Action::Relayed, 100, Headers),
    ] {
        let mut envelope = envelope("a@a.example", &["b@b.example"]);
        envelope.sender.ret = ret;
        envelope.size = size;
        assert_eq!(returned_part(&envelope, action), expected, "{ret:?} {action:?} {size}");
    }
}

#[test]
fn a_message_that_demands_tls_never_goes_back_whole() {
    for (require_tls, expected) in [(false, "message/rfc822"), (true, "text/rfc822-headers")] {
        let mut envelope = envelope("a@a.example", &["b@b.example"]);
        envelope.sender.ret = Some(DsnReturn::Full);
        envelope.sender.require_tls = require_tls;
        assert_eq!(returned_part(&envelope, Action::Failed) == DsnReturn::Headers, require_tls);
        let recipients = [failed(&envelope.recipients[0])];
        let notice = notice(&envelope, &recipients, Original::Full(HEADER));
        let composed = compose(&notice).unwrap();
        let message = MessageParser::new().parse(&composed.content).unwrap();
        assert_eq!(part_types(&message)[2], expected);
        assert_eq!(part_bytes(&message, 2).windows(4).any(|word| word == b"body"), !require_tls);
        assert_eq!(human::text(&notice).contains("Your message is attached."), !require_tls);
    }
}

#[test]
fn a_notice_has_the_tls_required_field_of_its_message() {
    for (message_says_no, expected) in [(true, Some("No")), (false, None)] {
        let mut envelope = envelope("a@a.example", &["b@b.example"]);
        envelope.tls_required_no = message_says_no;
        let recipients = [failed(&envelope.recipients[0])];
        let composed = compose(&notice(&envelope, &recipients, Original::Headers(HEADER))).unwrap();
        let message = MessageParser::new().parse(&composed.content).unwrap();
        assert_eq!(message.header("TLS-Required").and_then(|value| value.as_text()), expected);
        let mut scan = crate::mail::headers::HeaderScan::default();
        scan.push(&composed.content);
        assert_eq!((composed.tls_required_no, scan.tls_required_no()), (message_says_no, message_says_no));
    }
}

#[test]
fn who_demands_tls_is_told_that_the_next_host_does_not_promise_it() {
    let text = explanation_for(Reason::NeedsRequireTls, AskedBy::Sender).unwrap();
    assert!(text.starts_with("You asked (REQUIRETLS)") && text.contains("was not given to it"), "{text}");
}

#[test]
fn whoever_asked_for_tls_is_named_and_nobody_else() {
    for reason in Reason::OUTBOUND_TLS.iter().filter(|reason| **reason != Reason::DnssecInvalid) {
        let text = |asked_by| explanation_for(*reason, asked_by).unwrap();
        let (by_policy, by_sender) = (text(AskedBy::Policy), text(AskedBy::Sender));
        assert!(by_policy.starts_with("The policy for this destination") && !by_policy.contains("You"), "{by_policy}");
        assert!(by_sender.starts_with("You asked for") && !by_sender.contains("The policy for"), "{by_sender}");
    }
}

#[test]
fn mail_that_waits_for_tls_says_until_when_and_all_of_its_parts_agree() {
    let (until, other_route) = (NOW + Duration::from_secs(86_400), NOW + Duration::from_secs(3600));
    let (end, other) = (until.rfc5322(), other_route.rfc5322());
    let held =
        "Your message is held back until the connection can be protected as required. If that is not possible by";
    for (other_route_from, explained, told) in [
        (None, format!("{held} {end}, it is returned to you."), format!("tried again until {end}. You")),
        (
            Some(other_route),
            format!("{held} {other}, it goes by another route, which is protected."),
            format!("tried again until {other}, then by another route until {end}. You"),
        ),
    ] {
        let envelope = envelope("a@a.example", &["b@b.example"]);
        let reason = Reason::StarttlsNotSupported;
        let explanation = waiting_for(reason, AskedBy::Policy, until, other_route_from).unwrap();
        let recipients = [RecipientNotice {
            action: Action::Delayed,
            reason: Some(reason),
            retry_until: Some(until),
            other_route_from,
            ..failed(&envelope.recipients[0])
        }];
        let notice =
            Notice { explanation: Some(&explanation), ..notice(&envelope, &recipients, Original::Headers(HEADER)) };
        let text = human::text(&notice).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(&explained) && text.contains(&told), "{text}");
    }
}

#[test]
fn reasons_and_replies_have_a_status() {
    for (reason, permanent, expected) in [
        (Reason::StarttlsNotSupported, true, "5.7.10"),
        (Reason::CertificateExpired, false, "4.7.10"),
        (Reason::ConnectFailed, false, "4.4.1"),
        (Reason::Expired, true, "4.4.7"),
        (Reason::NullMx, true, "5.1.10"),
        (Reason::NoSuchDomain, true, "5.1.2"),
        (Reason::Loop, true, "5.4.6"),
        (Reason::DnsFailure, false, "4.4.3"),
        (Reason::NeedsSmtpUtf8, true, "5.6.7"),
        (Reason::NeedsEightBit, true, "5.6.1"),
        (Reason::NeedsRequireTls, true, "5.7.30"),
        (Reason::TooBig, true, "5.3.4"),
    ] {
        assert_eq!(status_for(reason, permanent).to_string(), expected, "{reason}");
    }
    for reason in Reason::ALL {
        assert_eq!(status_for(*reason, false).class, 4, "{reason}");
    }
    for (code, enhanced, expected) in [
        (550, Some(EnhancedCode::new(5, 7, 1)), "5.7.1"),
        (550, None, "5.0.0"),
        (452, None, "4.0.0"),
        (250, None, "2.0.0"),
    ] {
        let reply = Reply { code: Code::new(code).unwrap(), enhanced, lines: Vec::new() };
        assert_eq!(status_of_reply(&reply).to_string(), expected);
    }
}

#[test]
fn encodings_follow_their_rfcs() {
    for (plain, expected) in [
        ("a=b\r\n", "a=3Db\r\n"),
        ("caf\u{e9} \r\n", "caf=C3=A9=20\r\n"),
        ("a b\t\r\nc", "a b=09\r\nc"),
        ("bare\nlf\r", "bare=0Alf=0D"),
    ] {
        assert_eq!(encode::quoted_printable(plain.as_bytes()), expected.as_bytes(), "{plain:?}");
    }
    let long = encode::quoted_printable("\u{e9}".repeat(100).as_bytes());
    assert!(long.split(|byte| *byte == b'\n').all(|line| line.len() <= 77));
    for (text, expected) in [
        ("a+2Bb", Some("a+b")),
        ("a+2", None),
        ("a+2b", None),
        ("a+0D+0A", None),
        ("a+FF", None),
        ("+C3+B6", Some("\u{f6}")),
    ] {
        assert_eq!(encode::xtext_decoded(text).as_deref(), expected, "{text:?}");
    }
}
