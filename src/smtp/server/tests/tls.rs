//! STARTTLS: where it is allowed, what it forgets, what may not stand behind it. REQUIRETLS: under TLS only.

use super::driver::{Driver, Feed, check, check_with};
use super::{facts, settings, shared};
use crate::model::time::Instant;
use crate::smtp::server::{Action, CloseReason, ServerSession, Settings};

#[test]
fn everything_is_forgotten_after_the_handshake() {
    check(
        "C: EHLO client.example
         S: 250-mx.example.org
         S: 250-PIPELINING
         S: 250-SIZE 1000
         S: 250-STARTTLS
         S: 250-8BITMIME
         S: 250-ENHANCEDSTATUSCODES
         S: 250-SMTPUTF8
         S: 250 DSN
         C: MAIL FROM:<a@b.example>
         S: 250 2.1.0 Sender ok
         C: STARTTLS
         S: 220 2.0.0 Ready to start TLS
         A: starttls
         !tls
         C: RCPT TO:<a@b.example>
         S: 503 5.5.1 Send MAIL first
         C: MAIL FROM:<a@b.example>
         S: 503 5.5.1 Send EHLO or HELO first
         C: EHLO client.example
         S: 250-mx.example.org
         S: 250-PIPELINING
         S: 250-SIZE 1000
         S: 250-REQUIRETLS
         S: 250-8BITMIME
         S: 250-ENHANCEDSTATUSCODES
         S: 250-SMTPUTF8
         S: 250 DSN
         C: STARTTLS
         S: 503 5.5.1 TLS is already active
         C: MAIL FROM:<a@b.example>
         S: 250 2.1.0 Sender ok",
    );
}

#[test]
fn starttls_takes_no_argument_and_must_be_offered() {
    check("C: STARTTLS now\nS: 501 5.5.4 This command takes no argument\nC: NOOP\nS: 250 2.0.0 Ok");
    check_with(
        &Settings { starttls: false, ..settings() },
        &[Feed::Lines, Feed::Bytes, Feed::Pipelined],
        "C: STARTTLS
         S: 502 5.5.1 STARTTLS is not offered
         C: NOOP
         S: 250 2.0.0 Ok",
    );
}

#[test]
fn a_session_that_began_with_tls_offers_none() {
    let mut driver = Driver::new(ServerSession::new(shared(settings()), Instant::ZERO, Some(facts())));
    assert!(!driver.ask("EHLO x\r\n").contains("STARTTLS"));
    assert_eq!(driver.ask("STARTTLS\r\n"), "503 5.5.1 TLS is already active\r\n");
}

#[test]
fn what_stands_behind_starttls_ends_the_session_and_is_not_interpreted() {
    for injected in ["MAIL FROM:<a@b.example>\r\n", "NOOP", "\n", "\0"] {
        let mut driver = Driver::greeted(settings());
        let refused = driver.ask(&format!("NOOP\r\nSTARTTLS\r\n{injected}"));
        assert_eq!(refused, "250 2.0.0 Ok\r\n501 5.5.1 Nothing may follow STARTTLS before the handshake\r\n");
        assert_eq!(driver.actions, ["close Injection"]);
    }
}

#[test]
fn what_comes_in_clear_before_the_handshake_ends_the_session_without_a_reply() {
    let mut driver = Driver::greeted(settings());
    assert_eq!(driver.ask("STARTTLS\r\n"), "220 2.0.0 Ready to start TLS\r\n");
    assert!(!driver.session.wants_input());
    assert_eq!(driver.ask("EHLO evil\r\n"), "");
    assert_eq!(driver.actions, ["starttls", "close Injection"]);
    driver.session.handle_tls(Instant::ZERO, facts());
    assert_eq!(driver.session.poll_action(), None);
    assert_eq!(driver.session.tls(), None);
}

#[test]
fn the_reply_is_handed_out_before_the_handshake() {
    let mut session = ServerSession::new(shared(settings()), Instant::ZERO, None);
    session.handle_bytes(Instant::ZERO, b"STARTTLS\r\n");
    assert!(matches!(session.poll_action(), Some(Action::Send(sent)) if sent.ends_with(b"start TLS\r\n")));
    assert_eq!(session.poll_action(), Some(Action::StartTls));
    assert_eq!(session.poll_action(), None);
}

#[test]
fn a_handshake_that_does_not_come_or_breaks_off_ends_the_session_without_a_reply_in_clear() {
    check(
        "C: STARTTLS
         S: 220 2.0.0 Ready to start TLS
         A: starttls
         !tick 59s
         !tick 1s
         A: close Timeout",
    );
    let mut driver = Driver::greeted(settings());
    driver.ask("STARTTLS\r\n");
    driver.session.handle_eof(Instant::ZERO);
    assert_eq!(driver.session.poll_action(), Some(Action::Close(CloseReason::Eof)));
}

#[test]
fn a_drain_during_the_handshake_is_told_under_tls() {
    check(
        "C: STARTTLS
         S: 220 2.0.0 Ready to start TLS
         A: starttls
         !drain
         !tls
         S: 421 4.3.2 Service is stopping, try again later
         A: close Drain",
    );
}

/// RFC 8689 section 2: with each row the replies to one MAIL in clear and under TLS.
#[test]
fn requiretls_is_for_sessions_under_tls_and_has_no_value() {
    const NO_TLS: &str = "530 5.7.10 Encryption needed: REQUIRETLS demands TLS, and this session has none";
    const OK: &str = "250 2.1.0 Sender ok";
    const FORM: &str = "501 5.5.4 A parameter has the form KEYWORD or KEYWORD=value";
    const VALUE: &str = "501 5.5.4 Bad value of REQUIRETLS: it has none";
    const TWICE: &str = "501 5.5.4 Parameter REQUIRETLS is given twice";
    for (parameters, in_clear, under_tls) in [
        ("", OK, OK),
        ("REQUIRETLS", NO_TLS, OK),
        ("requiretls SIZE=10", NO_TLS, OK),
        ("RET=FULL REQUIRETLS ENVID=a", NO_TLS, OK),
        ("REQUIRETLS=", FORM, FORM),
        ("REQUIRETLS=yes", VALUE, VALUE),
        ("REQUIRETLS REQUIRETLS", TWICE, TWICE),
    ] {
        for starttls in [true, false] {
            for (tls, expected) in [(None, in_clear), (Some(facts()), under_tls)] {
                let settings = shared(Settings { starttls, ..settings() });
                let mut driver = Driver::new(ServerSession::new(settings, Instant::ZERO, tls.clone()));
                driver.sent.clear();
                assert_eq!(driver.ask("EHLO x\r\n").contains("250-REQUIRETLS\r\n"), tls.is_some());
                let reply = driver.ask(&format!("MAIL FROM:<a@b.example> {parameters}\r\n"));
                assert_eq!(reply, format!("{expected}\r\n"), "{parameters}, {tls:?}");
            }
        }
    }
}

#[test]
fn the_demand_of_requiretls_goes_with_the_transaction_and_ends_with_it() {
    let mut session = ServerSession::new(shared(settings()), Instant::ZERO, Some(facts()));
    for (mail, expected) in [("MAIL FROM:<> REQUIRETLS", true), ("RSET\r\nMAIL FROM:<>", false)] {
        session.handle_bytes(Instant::ZERO, format!("EHLO x\r\n{mail}\r\n").as_bytes());
        let judged = std::iter::from_fn(|| session.poll_action()).find_map(|action| match action {
            Action::JudgeMail(sender) => Some(sender.require_tls),
            _ => None,
        });
        assert_eq!(judged, Some(expected), "{mail}");
        session.handle_judgement(Instant::ZERO, Ok(()));
    }
}
