//! Content: smuggling, size, failures while it comes.

use super::driver::{Driver, Feed, check, check_with};
use super::settings;
use crate::smtp::server::Settings;

const OPEN: &str = "C: HELO x
    S: 250 mx.example.org
    C: MAIL FROM:<>
    S: 250 2.1.0 Sender ok
    C: RCPT TO:<a@b.example>
    S: 250 2.1.5 Recipient ok
    C: DATA
    S: 354 End data with <CR><LF>.<CR><LF>
    A: begin x <> <a@b.example>\n";

const QUEUED: &str = "S: 250 2.0.0 Ok: queued as 00000000000000000000000007\n";
const BARE: &str = "S: 554 5.6.0 Message not taken: CR or LF alone in the content; lines end with CR and LF\n";
const TOO_BIG: &str = "S: 552 5.3.4 Message exceeds the size limit\n";

#[test]
fn content_with_a_bare_cr_or_lf_is_read_to_its_true_end_and_refused() {
    for content in [
        "a\\n.\\nb",
        "a\\n.\\r\\nb",
        "a\\r\\n.\\nb",
        "a\\r.\\rb",
        "a\\r.\\r\\nb",
        "a\\r\\n.\\rb",
        "a\\nMAIL FROM:<x@y.example>",
        ".\\n",
    ] {
        check(&format!("{OPEN}R: {content}\\r\\n.\\r\\n\n{BARE}A: abort client-protocol\nC: NOOP\nS: 250 2.0.0 Ok"));
    }
}

#[test]
fn a_smuggled_transaction_is_content_of_a_refused_message() {
    let transaction = "MAIL FROM:<x@y.example>\\r\\nRCPT TO:<z@y.example>\\r\\nDATA\\r\\nb\\r\\n";
    let after = "C: DATA\nS: 503 5.5.1 Send MAIL first";
    for end in ["\\n.\\n", "\\r.\\r", "\\r\\n.\\n", "\\n.\\r\\n"] {
        check(&format!("{OPEN}R: a{end}{transaction}.\\r\\n\n{BARE}A: abort client-protocol\n{after}"));
    }
    // A NUL is an octet like others; the line it begins is no end.
    let content = format!("a\\r\\n\\x00.\\r\\n{transaction}");
    check(&format!("{OPEN}R: a\\r\\n\\0.\\r\\n{transaction}.\\r\\n\n{QUEUED}A: commit {content}\n{after}"));
}

#[test]
fn content_up_to_the_limit_is_taken_and_one_octet_more_is_read_to_its_end_and_refused() {
    let line = "x".repeat(998);
    check(&format!("{OPEN}C: {line}\nC: .\n{QUEUED}A: commit {line}\\r\\n"));
    check(&format!("{OPEN}C: {line}x\nA: abort too-big\nC: .\n{TOO_BIG}C: NOOP\nS: 250 2.0.0 Ok"));
    // Stuffed dots do not count.
    check(&format!("{OPEN}C: ..{}\nC: .\n{QUEUED}A: commit .{}\\r\\n", &line[1..], &line[1..]));
    // The first cause is the one that is told.
    check(&format!("{OPEN}R: {line}xxx\\n\\r\\n.\\r\\n\nA: abort too-big\n{TOO_BIG}"));
}

#[test]
fn too_big_is_told_to_the_driver_at_once() {
    let mut driver = Driver::greeted(Settings { message_bytes_max: 10, ..settings() });
    driver.ask("HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
    driver.feed(b"12345678901");
    assert_eq!(driver.actions.last().map(String::as_str), Some("abort too-big"));
}

#[test]
fn content_without_end_is_given_up() {
    let settings = Settings { message_bytes_max: 10, ..settings() };
    let wire_bytes_max = 4 * 10 + 1024 * 1024;
    for chunk in [1000, 65536, wire_bytes_max + 1] {
        let mut driver = Driver::greeted(settings.clone());
        driver.ask("HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
        for piece in vec![b'x'; wire_bytes_max].chunks(chunk) {
            driver.feed(piece);
        }
        assert_eq!(driver.sent, "", "{chunk}");
        assert_eq!(driver.ask("x"), "421 4.7.0 Far too much data, closing connection\r\n", "{chunk}");
        assert_eq!(driver.actions[1..], ["abort too-big", "close Protocol"]);
    }
}

#[test]
fn a_failed_commit_is_answered_as_the_driver_says_and_the_session_goes_on() {
    check(&format!(
        "{OPEN}!commit 451 4.3.0 No durable record
         C: a
         C: .
         S: 451 4.3.0 No durable record
         A: commit a\\r\\n
         C: MAIL FROM:<>
         S: 250 2.1.0 Sender ok"
    ));
}

#[test]
fn content_that_stops_is_void() {
    check(&format!("{OPEN}C: a\n!eof\nA: abort connection-lost\nA: close Eof"));
    check(&format!(
        "{OPEN}C: a\n!tick 179s\n!tick 1s\nA: abort timeout\nS: 421 4.4.2 Timeout, closing connection\nA: close Timeout"
    ));
    // Void already: once is enough.
    let too_big = "x".repeat(1001);
    check(&format!("{OPEN}C: {too_big}\nA: abort too-big\n!eof\nA: close Eof"));
}

#[test]
fn eight_bit_content_and_long_lines_are_taken_whatever_was_announced() {
    let settings = Settings { message_bytes_max: 10_000, ..settings() };
    let line = "\u{e9}".repeat(1000);
    let escaped = line.as_bytes().escape_ascii();
    check_with(
        &settings,
        &[Feed::Lines, Feed::Bytes, Feed::Pipelined],
        &format!("{OPEN}C: {line}\nC: .\n{QUEUED}A: commit {escaped}\\r\\n"),
    );
}
