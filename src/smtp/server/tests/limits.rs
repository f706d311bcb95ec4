//! Limits of a session and its ends: errors, messages, recipients, time, drain, refusal.

use std::time::Duration;

use super::driver::{Driver, Feed, check, check_with, refusal};
use super::{facts, settings, shared};
use crate::model::time::Instant;
use crate::smtp::line::LINE_BYTES_HARD_MAX;
use crate::smtp::server::{Action, CloseReason, PIPELINE_BYTES_MAX, ServerSession, Settings};

const ALL: [Feed; 3] = [Feed::Lines, Feed::Bytes, Feed::Pipelined];

#[test]
fn the_last_error_that_is_allowed_ends_the_session() {
    let settings = Settings { errors_max: 3, ..settings() };
    check_with(
        &settings,
        &ALL,
        "C: FOO
         S: 500 5.5.2 Command not recognised
         C: NOOP
         S: 250 2.0.0 Ok
         C: MAIL FROM:<>
         S: 503 5.5.1 Send EHLO or HELO first
         C: EXPN x
         S: 502 5.5.1 Command not implemented
         S: 421 4.7.0 Too many errors, closing connection
         A: close TooManyErrors
         C: NOOP",
    );
}

#[test]
fn permanent_refusals_count_as_errors_and_temporary_ones_do_not() {
    let settings = Settings { errors_max: 2, ..settings() };
    check_with(
        &settings,
        &ALL,
        "C: HELO x
         S: 250 mx.example.org
         C: MAIL FROM:<>
         S: 250 2.1.0 Sender ok
         !judge 450 4.2.0 Later
         C: RCPT TO:<a@b.example>
         S: 450 4.2.0 Later
         !judge 450 4.2.0 Later
         C: RCPT TO:<a@b.example>
         S: 450 4.2.0 Later
         !judge 550 5.1.1 No such user
         C: RCPT TO:<a@b.example>
         S: 550 5.1.1 No such user
         !judge 550 5.7.1 Relaying denied
         C: RCPT TO:<a@b.example>
         S: 550 5.7.1 Relaying denied
         S: 421 4.7.0 Too many errors, closing connection
         A: close TooManyErrors",
    );
}

#[test]
fn recipients_above_the_limit_are_put_off_and_the_others_stay() {
    check(
        "C: HELO x
         S: 250 mx.example.org
         C: MAIL FROM:<>
         S: 250 2.1.0 Sender ok
         C: RCPT TO:<a@b.example>
         S: 250 2.1.5 Recipient ok
         C: RCPT TO:<b@b.example>
         S: 250 2.1.5 Recipient ok
         C: RCPT TO:<c@b.example>
         S: 250 2.1.5 Recipient ok
         C: RCPT TO:<d@b.example>
         S: 452 4.5.3 Too many recipients
         C: RCPT TO:<a@b.example>
         S: 250 2.1.5 Recipient ok
         C: DATA
         S: 354 End data with <CR><LF>.<CR><LF>
         A: begin x <> <a@b.example> <b@b.example> <c@b.example>",
    );
}

#[test]
fn the_mail_after_the_last_message_ends_the_session() {
    let settings = Settings { messages_max: 1, ..settings() };
    check_with(
        &settings,
        &ALL,
        "C: HELO x
         S: 250 mx.example.org
         C: MAIL FROM:<>
         S: 250 2.1.0 Sender ok
         C: RCPT TO:<a@b.example>
         S: 250 2.1.5 Recipient ok
         C: DATA
         S: 354 End data with <CR><LF>.<CR><LF>
         A: begin x <> <a@b.example>
         C: .
         S: 250 2.0.0 Ok: queued as 00000000000000000000000007
         A: commit
         C: NOOP
         S: 250 2.0.0 Ok
         C: MAIL FROM:<>
         S: 421 4.7.0 Too many messages in one session, closing connection
         A: close Refused",
    );
}

#[test]
fn a_command_must_be_complete_in_time() {
    check(
        "!tick 299s
         C: NOOP
         S: 250 2.0.0 Ok
         !tick 299s
         R: NOO
         !tick 1s
         S: 421 4.4.2 Timeout, closing connection
         A: close Timeout
         R: P\\r\\n
         !tick 1000s",
    );
}

#[test]
fn no_time_runs_while_the_driver_owes_an_answer() {
    let mut session = ServerSession::new(shared(settings()), Instant::ZERO, None);
    assert!(session.poll_action().is_some());
    let late = Instant::from_start(Duration::from_secs(1_000_000));
    session.handle_bytes(Instant::ZERO, b"HELO x\r\nMAIL FROM:<>\r\n");
    assert!(matches!(session.poll_action(), Some(Action::JudgeMail(_))));
    assert!(session.deadline() > late);
    session.handle_timeout(late);
    assert_eq!(session.poll_action(), None);
    session.handle_judgement(late, Ok(()));
    assert_eq!(session.deadline(), late + Duration::from_secs(300));
}

#[test]
fn what_came_before_the_end_of_input_is_answered() {
    check("C: NOOP\nS: 250 2.0.0 Ok\n!eof\nA: close Eof");
    check("R: NOO\n!eof\nA: close Eof");
    let mut session = ServerSession::new(shared(settings()), Instant::ZERO, None);
    assert!(session.poll_action().is_some());
    session.handle_bytes(Instant::ZERO, b"HELO x\r\nMAIL FROM:<>\r\nNOOP\r\n");
    session.handle_eof(Instant::ZERO);
    assert!(matches!(session.poll_action(), Some(Action::JudgeMail(_))));
    assert_eq!(session.poll_action(), None);
    session.handle_judgement(Instant::ZERO, Ok(()));
    let expected = b"250 mx.example.org\r\n250 2.1.0 Sender ok\r\n250 2.0.0 Ok\r\n".to_vec();
    assert_eq!(session.poll_action(), Some(Action::Send(expected)));
    assert_eq!(session.poll_action(), Some(Action::Close(CloseReason::Eof)));
}

#[test]
fn a_drain_waits_for_the_transaction_and_then_closes() {
    check(
        "C: HELO x\nS: 250 mx.example.org\n!drain\nS: 421 4.3.2 Service is stopping, try again later\nA: close Drain",
    );
    check(
        "C: HELO x
         S: 250 mx.example.org
         C: MAIL FROM:<>
         S: 250 2.1.0 Sender ok
         !drain
         C: RCPT TO:<a@b.example>
         S: 250 2.1.5 Recipient ok
         C: DATA
         S: 354 End data with <CR><LF>.<CR><LF>
         A: begin x <> <a@b.example>
         C: a
         C: .
         S: 250 2.0.0 Ok: queued as 00000000000000000000000007
         A: commit a\\r\\n
         S: 421 4.3.2 Service is stopping, try again later
         A: close Drain",
    );
}

#[test]
fn a_refused_session_greets_with_the_refusal_and_closes() {
    let reply = refusal("554 5.7.1 Not you");
    let driver = Driver::new(ServerSession::refuse(shared(settings()), Instant::ZERO, reply));
    assert_eq!(driver.sent, "554 5.7.1 Not you\r\n");
    assert_eq!(driver.actions, ["close Refused"]);
}

#[test]
fn a_line_without_end_ends_the_session() {
    for chunk in [4096, 65536] {
        let mut driver = Driver::greeted(settings());
        for piece in vec![b'x'; LINE_BYTES_HARD_MAX].chunks(chunk) {
            driver.feed(piece);
            assert!(driver.session.buffered_bytes() <= 3 * PIPELINE_BYTES_MAX);
        }
        assert_eq!(driver.ask("x"), "500 5.5.2 Line without end, closing connection\r\n");
        assert_eq!(driver.actions, ["close Protocol"]);
    }
}

#[test]
fn a_full_window_stops_input_and_one_that_is_overfilled_ends_the_session() {
    let mut session = ServerSession::new(shared(settings()), Instant::ZERO, None);
    assert!(session.poll_action().is_some());
    session.handle_bytes(Instant::ZERO, b"HELO x\r\nMAIL FROM:<>\r\n");
    assert!(matches!(session.poll_action(), Some(Action::JudgeMail(_))));
    session.handle_bytes(Instant::ZERO, &vec![b'x'; PIPELINE_BYTES_MAX - 1]);
    assert!(session.wants_input());
    session.handle_bytes(Instant::ZERO, b"x");
    assert!(!session.wants_input());
    session.handle_bytes(Instant::ZERO, b"x");
    assert!(matches!(session.poll_action(), Some(Action::Send(_))));
    assert_eq!(session.poll_action(), Some(Action::Close(CloseReason::Protocol)));
}

#[test]
fn getters_tell_what_the_client_said() {
    let mut driver = Driver::new(ServerSession::new(shared(settings()), Instant::ZERO, Some(facts())));
    assert_eq!((driver.session.helo(), driver.session.is_esmtp(), driver.session.is_idle()), (None, false, true));
    driver.ask("EHLO [192.0.2.1]\r\n");
    assert_eq!((driver.session.helo(), driver.session.is_esmtp()), (Some("[192.0.2.1]"), true));
    driver.ask("HELO x\r\nMAIL FROM:<>\r\n");
    assert_eq!((driver.session.helo(), driver.session.is_esmtp(), driver.session.is_idle()), (Some("x"), false, false));
    assert_eq!(driver.session.tls(), Some(&facts()));
}
