//! Greeting, EHLO, STARTTLS, idling, QUIT, deadlines.

use super::*;
use crate::model::reason::Reason;
use crate::model::reply::Code;
use TlsPlan::{IfOffered, Implicit, Never, Required};

#[test]
fn a_session_is_ready_after_greeting_and_ehlo() {
    check(
        Never,
        "S: 220-mx.example
         S: 220 hello
         C: EHLO relay.example
         S: 250-mx.example
         S: 250-STARTTLS
         S: 250 PIPELINING
         = ready
         !quit
         C: QUIT
         S: 221 bye
         = closed",
    );
}

#[test]
fn a_greeting_other_than_220_ends_the_session() {
    for (greeting, end) in [
        ("554 go away", "Refused 554"),
        ("421 busy", "Refused 421"),
        ("450 later", "Refused 450"),
        ("250 hello", "UnexpectedCode 250"),
        ("SSH-2.0-OpenSSH", "BadLine"),
    ] {
        check(Never, &format!("S: {greeting}\n = failed greeting {end}\n S: 220 again\n !eof\n !tick 9000s"));
    }
}

#[test]
fn helo_follows_where_ehlo_is_not_known() {
    for code in [500, 502, 504, 550] {
        let text = format!(
            "S: 220 hi
             C: EHLO relay.example
             S: {code} what
             C: HELO relay.example
             S: 250 mx
             = ready"
        );
        check(IfOffered, &text);
        check(Implicit, &text);
    }
    check(Never, "S: 220 hi\n C: EHLO relay.example\n S: 554 no\n = failed ehlo Refused 554");
    check(Never, "S: 220 hi\n C: EHLO relay.example\n S: 451 no\n = failed ehlo Refused 451");
    check(Never, "S: 220 hi\n C: EHLO relay.example\n S: 251 odd\n = failed ehlo UnexpectedCode 251");
    let twice = "S: 220 hi\n C: EHLO relay.example\n S: 502 no\n C: HELO relay.example\n";
    check(Never, &format!("{twice} S: 550 no\n = failed ehlo Refused 550"));
}

#[test]
fn required_tls_never_falls_back_to_helo() {
    for (reply, end) in [
        ("502 no", "C: QUIT\n = failed starttls StarttlsNotOffered"),
        ("550 not you", "= failed ehlo Refused 550"),
        ("250-mx\n S: 250 DSN", "C: QUIT\n = failed starttls StarttlsNotOffered"),
    ] {
        check(Required, &format!("S: 220 hi\n C: EHLO relay.example\n S: {reply}\n {end}\n S: 221 bye\n !eof"));
    }
}

#[test]
fn starttls_follows_the_plan_and_what_is_offered() {
    let offered = "S: 220 hi\n C: EHLO relay.example\n S: 250-mx\n S: 250 STARTTLS\n";
    check(Never, &format!("{offered} = ready"));
    check(Implicit, &format!("{offered} = ready"));
    check(IfOffered, "S: 220 hi\n C: EHLO relay.example\n S: 250 mx\n = ready");
    for plan in [IfOffered, Required] {
        let asked = format!("{offered} C: STARTTLS\n");
        let up = "S: 220 go\n = starttls\n !tls\n C: EHLO relay.example\n";
        check(plan, &format!("{asked} {up} S: 250-mx\n S: 250 DSN\n = ready"));
        check(plan, &format!("{asked} {up} S: 250-mx\n S: 250 STARTTLS\n = ready"));
        check(plan, &format!("{asked} {up} S: 502 no\n C: HELO relay.example\n S: 250 mx\n = ready"));
        check(plan, &format!("{asked} S: 454 not now\n = failed starttls Refused 454"));
        check(plan, &format!("{asked} S: 502 never\n = failed starttls Refused 502"));
        check(plan, &format!("{asked} S: 250 what\n = failed starttls UnexpectedCode 250"));
        check(plan, &format!("{asked} !eof\n = failed starttls Closed"));
        check(plan, &format!("{asked} S: 220 go\n = starttls\n !eof\n = failed tls Closed"));
        check(plan, &format!("{asked} S: 220 go\n = starttls\n !tick 60s\n = failed tls Timeout"));
    }
}

#[test]
fn plaintext_behind_the_220_to_starttls_ends_the_session() {
    let asked = "S: 220 hi\n C: EHLO relay.example\n S: 250-mx\n S: 250 STARTTLS\n C: STARTTLS\n";
    let injected = "S: 220 go\n S: 250-mx\n S: 250 AUTH PLAIN\n";
    check_fed(Required, &format!("{asked} {injected} = failed starttls Injected"), Feed::Whole);
    let later = "S: 220 go\n = starttls\n S: 250 mx\n = failed tls Injected\n !tls";
    check(Required, &format!("{asked} {later}"));
}

#[test]
fn an_answer_that_comes_before_its_command_is_none() {
    let early = "S: 220 hi\n S: 250 mx\n C: EHLO relay.example\n = failed ehlo Unsolicited";
    check_fed(Never, early, Feed::Whole);
    let early = "S: 220 hi\n C: EHLO relay.example\n S: 250-mx\n S: 250 STARTTLS\n S: 220 go\n C: STARTTLS
                 = failed starttls Unsolicited";
    check_fed(Required, early, Feed::Whole);
}

#[test]
fn capabilities_of_the_plaintext_session_are_forgotten_under_tls() {
    let mut run = Run::new(Required);
    run.receive(b"220 hi\r\n250-mx\r\n", Feed::Bytes);
    run.receive(b"250-DSN\r\n250 STARTTLS\r\n", Feed::Whole);
    assert!(run.session.capabilities().dsn && !run.session.is_tls());
    run.receive(b"220 go\r\n", Feed::Whole);
    run.event("tls");
    assert!(!run.session.capabilities().dsn && run.session.is_tls());
    run.receive(b"250-mx\r\n250 SIZE 10\r\n", Feed::Whole);
    assert_eq!(run.session.capabilities().size, Some(Some(10)));
    assert_eq!(run.session.greeting().map(|reply| reply.code), Some(Code::SERVICE_READY));
}

#[test]
fn an_idle_session_takes_a_421_and_nothing_else() {
    let ready = "S: 220 hi\n C: EHLO relay.example\n S: 250 mx\n = ready\n";
    check(Never, &format!("{ready} S: 421 4.4.2 idle\n = failed mail Refused 421"));
    check(Never, &format!("{ready} S: 250 ok\n = failed mail Unsolicited"));
    check(Never, &format!("{ready} !eof\n = failed mail Closed\n !quit"));
    let partial = "S: 250-half\n !begin a@a.example b@b.example\n = finished lost mail Unsolicited";
    check(Never, &format!("{ready} {partial}\n = failed mail Unsolicited"));
    check(Never, &format!("{ready} !tick 299s\n !tick 1s\n C: QUIT\n S: 221 bye\n = closed"));
}

#[test]
fn a_transaction_on_a_session_that_is_over_is_lost_with_the_reason_of_its_end() {
    let over = "S: 220 hi\n C: EHLO relay.example\n !tick 300s\n = failed ehlo Timeout\n";
    check(
        Never,
        &format!("{over} !begin a@a.example b@b.example,c@b.example\n = finished lost mail Timeout, lost mail Timeout"),
    );
}

#[test]
fn quit_ends_with_closed_whatever_the_server_does() {
    let asked = "S: 220 hi\n C: EHLO relay.example\n S: 250 mx\n = ready\n !quit\n C: QUIT\n";
    for end in ["S: 221 bye", "S: 421 gone", "S: garbage", "!eof", "!tick 30s"] {
        check(Never, &format!("{asked} {end}\n = closed\n !eof\n !quit"));
    }
    check(Never, "!quit\n C: QUIT\n S: 220 hi\n = closed");
}

#[test]
fn each_stage_has_its_own_deadline_and_half_a_reply_does_not_move_it() {
    check(Never, "!tick 299s\n !tick 1s\n = failed greeting Timeout");
    check(Never, "!tick 200s\n S: 220-half\n !tick 100s\n = failed greeting Timeout");
    check(Never, "!tick 200s\n S: 220 hi\n C: EHLO relay.example\n !tick 299s\n !tick 1s\n = failed ehlo Timeout");
}

#[test]
fn faults_have_a_reason_word() {
    let reply = |code| Some(Reply { code: Code::new(code).unwrap(), enhanced: None, lines: Vec::new() });
    for (stage, kind, reply, expected) in [
        (Stage::Greeting, FaultKind::Timeout, None, Reason::ConnectTimeout),
        (Stage::Greeting, FaultKind::Closed, None, Reason::ConnectFailed),
        (Stage::Ehlo, FaultKind::Timeout, None, Reason::Timeout),
        (Stage::Done, FaultKind::Closed, None, Reason::ConnectionLost),
        (Stage::Tls, FaultKind::Closed, None, Reason::ValidationFailure),
        (Stage::StartTls, FaultKind::StarttlsNotOffered, None, Reason::StarttlsNotSupported),
        (Stage::StartTls, FaultKind::Refused, reply(454), Reason::StarttlsNotSupported),
        (Stage::Greeting, FaultKind::Refused, reply(554), Reason::RemoteRefused),
        (Stage::Greeting, FaultKind::Refused, reply(421), Reason::RemoteDeferred),
        (Stage::Ehlo, FaultKind::Protocol(ProtocolFault::Injected), None, Reason::ServerProtocol),
    ] {
        let fault = Fault { stage, kind, reply };
        assert_eq!(fault.reason(), expected, "{fault}");
    }
}
