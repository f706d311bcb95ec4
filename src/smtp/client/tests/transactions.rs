//! MAIL, RCPT, DATA: what is sent to which server, and what each reply means for each recipient.

use super::*;
use TlsPlan::Never;

const FULL: &str = "PIPELINING 8BITMIME SMTPUTF8 DSN SIZE_1000";
const TWO: &str = "!begin a@a.example b@b.example,c@b.example";
const ALL: &str = "C: MAIL FROM:<a@a.example>|RCPT TO:<b@b.example>|RCPT TO:<c@b.example>|DATA\n";

/// A transcript of a session that is ready, with these keywords, and goes on with `rest`.
fn check_ready(keywords: &str, rest: &str) {
    check(Never, &ready(keywords, rest));
}

fn ready(keywords: &str, rest: &str) -> String {
    let lines: String = keywords.split(' ').map(|word| format!("S: 250-{}\n", word.replace('_', " "))).collect();
    format!("S: 220 hi\n C: EHLO relay.example\n S: 250-mx\n {lines} S: 250 HELP\n = ready\n {rest}")
}

#[test]
fn without_pipelining_each_command_waits_for_its_answer() {
    check_ready(
        "X",
        &format!(
            "{TWO}
             C: MAIL FROM:<a@a.example>
             S: 250 ok
             C: RCPT TO:<b@b.example>
             S: 550 5.1.1 no
             C: RCPT TO:<c@b.example>
             S: 251 will forward
             C: DATA
             S: 354 go
             = sendbody
             !body
             S: 250 2.0.0 queued
             = finished sent refused rcpt 550, delivered 250
             = ready
             !begin <> d@b.example
             C: MAIL FROM:<>
             S: 250 ok
             C: RCPT TO:<d@b.example>
             S: 452 full
             = finished refused rcpt 452
             C: RSET
             S: 250 ok
             = ready"
        ),
    );
}

#[test]
fn with_pipelining_the_whole_transaction_is_one_write() {
    let table = [
        (
            "S: 250 ok\n S: 250 ok\n S: 250 ok\n S: 354 go\n = sendbody\n !body\n S: 250 queued",
            "= finished sent delivered 250, delivered 250\n = ready",
        ),
        (
            "S: 250 ok\n S: 250 ok\n S: 452 many\n S: 354 go\n = sendbody\n !body\n S: 250 queued",
            "= finished sent delivered 250, refused rcpt 452\n = ready",
        ),
        (
            "S: 250 ok\n S: 250 ok\n S: 550 no\n S: 354 go\n = sendbody\n !body\n S: 554 spam",
            "= finished sent refused done 554, refused rcpt 550\n C: RSET\n S: 250 ok\n = ready",
        ),
        (
            "S: 250 ok\n S: 550 no\n S: 551 no\n S: 503 no recipients",
            "= finished refused rcpt 550, refused rcpt 551\n C: RSET\n S: 250 ok\n = ready",
        ),
        (
            "S: 250 ok\n S: 250 ok\n S: 550 no\n S: 451 later",
            "= finished refused data 451, refused rcpt 550\n C: RSET\n S: 250 ok\n = ready",
        ),
        (
            "S: 554 not you\n S: 503 no\n S: 503 no\n S: 503 no",
            "= finished refused mail 554, refused mail 554\n C: RSET\n S: 250 ok\n = ready",
        ),
        (
            "S: 554 not you\n S: 250 ok\n S: 503 no\n S: 503 no",
            "= finished refused mail 554, refused mail 554\n C: RSET\n S: 500 no\n = failed mail Refused 500",
        ),
    ];
    for (answers, end) in table {
        check_ready("PIPELINING", &format!("{TWO}\n {ALL} {answers}\n {end}"));
    }
}

#[test]
fn data_that_was_accepted_for_nobody_is_ended_with_a_dot() {
    for last in ["250 ok", "554 no recipients"] {
        let answers = "S: 250 ok\n S: 550 no\n S: 450 no\n S: 354 go\n C: .\n";
        let end = format!("S: {last}\n = finished refused rcpt 550, refused rcpt 450\n C: RSET\n S: 250 ok\n = ready");
        check_ready("PIPELINING", &format!("{TWO}\n {ALL} {answers} {end}"));
    }
    // An empty body could be delivered here.
    let answers = "S: 554 not you\n S: 250 ok\n S: 250 ok\n S: 354 go\n";
    let end = "= finished refused mail 554, refused mail 554\n = failed data UnexpectedCode";
    check_ready("PIPELINING", &format!("{TWO}\n {ALL} {answers} {end}"));
}

#[test]
fn codes_that_fit_no_command_end_the_session() {
    for (answers, stage) in [
        ("S: 354 what", "mail"),
        ("S: 250 ok\n S: 354 what", "rcpt"),
        ("S: 250 ok\n S: 250 ok\n S: 250 ok\n S: 250 ok", "data"),
        ("S: 250 ok\n S: 250 ok\n S: 250 ok\n S: 399 what", "data"),
    ] {
        let lost = format!("lost {stage} UnexpectedCode");
        let end = format!("= finished {lost}, {lost}\n = failed {stage} UnexpectedCode");
        check_ready("PIPELINING", &format!("{TWO}\n {ALL} {answers}\n {end}"));
    }
}

#[test]
fn a_421_is_the_outcome_of_all_that_was_open_and_ends_the_session() {
    for (answers, end) in [
        ("S: 421 bye", "= finished refused mail 421, refused mail 421\n = failed mail Refused 421"),
        (
            "S: 250 ok\n S: 550 no\n S: 421 bye",
            "= finished refused rcpt 550, refused rcpt 421\n = failed rcpt Refused 421",
        ),
        (
            "S: 250 ok\n S: 250 ok\n S: 250 ok\n S: 421 bye",
            "= finished refused data 421, refused data 421\n = failed data Refused 421",
        ),
        (
            "S: 250 ok\n S: 250 ok\n S: 250 ok\n S: 354 go\n = sendbody\n S: 421 bye",
            "= finished refused body 421, refused body 421\n = failed body Refused 421",
        ),
        (
            "S: 250 ok\n S: 250 ok\n S: 250 ok\n S: 354 go\n = sendbody\n !body\n S: 421 bye",
            "= finished sent refused done 421, refused done 421\n = failed done Refused 421",
        ),
    ] {
        check_ready("PIPELINING", &format!("{TWO}\n {ALL} {answers}\n {end}\n !body\n !eof"));
    }
}

#[test]
fn a_connection_that_breaks_loses_what_was_open_at_its_stage() {
    let body = "S: 250 ok\n S: 250 ok\n S: 550 no\n S: 354 go\n = sendbody\n";
    for (answers, event, end) in [
        ("", "!eof", "= finished lost mail Closed, lost mail Closed\n = failed mail Closed"),
        ("", "!tick 300s", "= finished lost mail Timeout, lost mail Timeout\n = failed mail Timeout"),
        ("S: 250 ok", "!eof", "= finished lost rcpt Closed, lost rcpt Closed\n = failed rcpt Closed"),
        ("S: 250 ok\n S: 250 ok\n S: 550 no", "!tick 119s\n !tick 1s", {
            "= finished lost data Timeout, refused rcpt 550\n = failed data Timeout"
        }),
        (body, "!eof", "= finished lost body Closed, refused rcpt 550\n = failed body Closed"),
        (body, "!tick 179s\n !progress\n !tick 179s\n !tick 1s", {
            "= finished lost body Timeout, refused rcpt 550\n = failed body Timeout"
        }),
        (body, "!body\n !eof", "= finished sent lost done Closed, refused rcpt 550\n = failed done Closed"),
        (body, "!body\n !tick 599s\n !tick 1s", {
            "= finished sent lost done Timeout, refused rcpt 550\n = failed done Timeout"
        }),
        (body, "!body\n S: nonsense", "= finished sent lost done BadLine, refused rcpt 550\n = failed done BadLine"),
        (body, "!body\n S: 354 again", {
            "= finished sent lost done UnexpectedCode, refused rcpt 550\n = failed done UnexpectedCode"
        }),
        (body, "S: 250 too early", {
            "= finished lost body UnexpectedCode, refused rcpt 550\n = failed body UnexpectedCode"
        }),
        (body, "!quit", "= finished lost body Closed, refused rcpt 550\n = closed"),
    ] {
        check_ready("PIPELINING", &format!("{TWO}\n {ALL} {answers}\n {event}\n {end}"));
    }
}

#[test]
fn a_refusal_during_the_body_is_its_outcome() {
    let body = "S: 250 ok\n S: 250 ok\n S: 250 ok\n S: 354 go\n = sendbody\n S: 552 too big\n S: 450 again\n";
    for (event, end) in [
        ("!body", "= finished sent refused body 552, refused body 552\n C: QUIT\n = failed body Refused 552"),
        ("!eof", "= finished refused body 552, refused body 552\n = failed body Closed"),
        ("!tick 100s\n S: 450 more\n !tick 80s", {
            "= finished refused body 552, refused body 552\n = failed body Timeout"
        }),
    ] {
        check_ready("PIPELINING", &format!("{TWO}\n {ALL} {body} {event}\n {end}"));
    }
}

#[test]
fn answers_behind_the_last_awaited_one_end_the_session() {
    let body = "S: 250 ok\n S: 250 ok\n S: 250 ok\n S: 354 go\n = sendbody\n !body\n";
    let end = "= finished sent delivered 250, delivered 250\n = ready\n = failed mail Unsolicited";
    check_ready("PIPELINING", &format!("{TWO}\n {ALL} {body} S: 250 queued\n S: 250 queued\n {end}"));
}

#[test]
fn parameters_are_passed_only_where_they_are_offered() {
    let commands =
        |mail: &str, rcpt: &str| format!("C: MAIL FROM:<a@a.example>{mail}|RCPT TO:<b@b.example>{rcpt}|DATA");
    for (keywords, options, mail, rcpt) in [
        (FULL, "", " SIZE=100", ""),
        (FULL, "size=1000", " SIZE=1000", ""),
        (FULL, "8bit", " SIZE=100 BODY=8BITMIME", ""),
        (FULL, "body8", " SIZE=100 BODY=8BITMIME", ""),
        (FULL, "utf8", " SIZE=100 SMTPUTF8", ""),
        (FULL, "full envid=x+2By", " SIZE=100 RET=FULL ENVID=x+2By", ""),
        (FULL, "hdrs never", " SIZE=100 RET=HDRS", " NOTIFY=NEVER"),
        (FULL, "notify orcpt=rfc822;b+40b", " SIZE=100", " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;b+40b"),
        (FULL, "envid=x~RCPT", " SIZE=100", ""),
        (FULL, "utf8 orcpt=utf-8;\u{f6}@b", " SIZE=100 SMTPUTF8", " ORCPT=utf-8;\u{f6}@b"),
        ("PIPELINING DSN", "utf8 orcpt=utf-8;\u{f6}@b", "", " ORCPT=utf-8;\\x{F6}@b"),
        ("PIPELINING", "size=5000 body8 utf8 full envid=x never orcpt=rfc822;b", "", ""),
        ("PIPELINING SIZE_0", "size=5000", " SIZE=5000", ""),
    ] {
        let begin = format!("!begin a@a.example b@b.example {options}");
        check_ready(keywords, &format!("{}\n{}", begin.trim(), commands(mail, rcpt)));
    }
}

#[test]
fn what_the_server_cannot_take_is_not_sent() {
    for (keywords, begin, outcome) in [
        ("X", "a@a.example b@b.example 8bit", "unsupported needs-8bitmime"),
        ("X", "a@a.example b@b.example 8bit utf8", "unsupported needs-smtputf8"),
        ("8BITMIME", "a@a.example b@b.example 8bit utf8", "unsupported needs-smtputf8"),
        ("X", "\u{f6}@a.example b@b.example utf8", "unsupported needs-smtputf8"),
        ("X", "a@a.example b@b\u{fc}cher.example utf8", "unsupported needs-smtputf8"),
        ("SIZE_99", "a@a.example b@b.example,c@b.example", "unsupported too-big, unsupported too-big"),
    ] {
        check_ready(keywords, &format!("!begin {begin}\n = finished {outcome}\n = ready"));
    }
    check_ready(
        "PIPELINING",
        "!begin a@a.example b@b.example,\u{f6}@b.example,c@b.example utf8
         C: MAIL FROM:<a@a.example>|RCPT TO:<b@b.example>|RCPT TO:<c@b.example>|DATA
         S: 250 ok
         S: 250 ok
         S: 250 ok
         S: 354 go
         = sendbody
         !body
         S: 250 queued
         = finished sent delivered 250, unsupported needs-smtputf8, delivered 250
         = ready",
    );
}

/// A transcript of a session under TLS that is ready: what the server offers in clear and under TLS, then `rest`.
fn check_under_tls(in_clear: &str, under_tls: &str, rest: &str) {
    let opening = "S: 220 hi\n C: EHLO relay.example\n";
    let starttls = "C: STARTTLS\n S: 220 go\n = starttls\n !tls\n C: EHLO relay.example\n";
    let offers = format!("S: 250-mx\n S: 250-{in_clear}\n S: 250 STARTTLS\n");
    let end = format!("S: 250-mx\n S: 250 {under_tls}\n = ready\n {rest}");
    check(TlsPlan::Required, &format!("{opening} {offers} {starttls} {end}"));
    check(TlsPlan::Implicit, &format!("{opening} {end}"));
}

#[test]
fn what_demands_tls_goes_only_to_a_server_that_promises_it_under_tls() {
    const UNSUPPORTED: &str = "= finished unsupported requiretls-not-supported\n = ready";
    for (in_clear, under_tls, begin, expected) in [
        ("X", "REQUIRETLS", "a@a.example b@b.example requiretls", "C: MAIL FROM:<a@a.example> REQUIRETLS"),
        ("X", "REQUIRETLS", "<> b@b.example requiretls", "C: MAIL FROM:<> REQUIRETLS"),
        ("X", "REQUIRETLS", "a@a.example b@b.example", "C: MAIL FROM:<a@a.example>"),
        ("X", "X", "a@a.example b@b.example", "C: MAIL FROM:<a@a.example>"),
        ("X", "X", "a@a.example b@b.example requiretls", UNSUPPORTED),
        ("REQUIRETLS", "X", "a@a.example b@b.example requiretls", UNSUPPORTED),
        ("REQUIRETLS", "X", "<> b@b.example requiretls", "C: MAIL FROM:<>"),
    ] {
        check_under_tls(in_clear, under_tls, &format!("!begin {begin}\n {expected}"));
    }
    for keywords in ["X", "REQUIRETLS"] {
        for sender in ["a@a.example", "<>"] {
            check_ready(keywords, &format!("!begin {sender} b@b.example requiretls\n {UNSUPPORTED}"));
        }
    }
}

#[test]
fn many_recipients_go_in_windows_and_data_goes_with_the_last() {
    let to = |range: std::ops::Range<usize>| range.map(|n| format!("r{n}@b.example")).collect::<Vec<_>>();
    let rcpt = |range| to(range).iter().map(|to| format!("RCPT TO:<{to}>")).collect::<Vec<_>>().join("|");
    let ok = |count| "S: 250 ok\n".repeat(count);
    let delivered = |count| vec!["delivered 250"; count].join(", ");
    let body = "S: 354 go\n = sendbody\n !body\n S: 250 queued\n";

    let begin = format!("!begin a@a.example {}\n", to(0..150).join(","));
    let first = format!("C: MAIL FROM:<a@a.example>|{}\n{}", rcpt(0..100), ok(101));
    let second = format!("C: {}|DATA\n{}", rcpt(100..150), ok(50));
    let end = format!("= finished sent {}\n = ready", delivered(150));
    check_ready("PIPELINING", &format!("{begin}{first}{second}{body}{end}"));

    let refused = format!("S: 450 no\n{}", "S: 503 no\n".repeat(100));
    let first = format!("C: MAIL FROM:<a@a.example>|{}\n{refused}", rcpt(0..100));
    let end = format!("= finished {}\n C: RSET", vec!["refused mail 450"; 150].join(", "));
    check_ready("PIPELINING", &format!("{begin}{first}{end}"));

    let begin = format!("!begin a@a.example {}\n", to(0..100).join(","));
    let first = format!("C: MAIL FROM:<a@a.example>|{}\n{}", rcpt(0..100), ok(101));
    let end = format!("= finished sent {}\n = ready", delivered(100));
    check_ready("PIPELINING", &format!("{begin}{first}C: DATA\n{body}{end}"));
}
