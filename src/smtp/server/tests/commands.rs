//! What each command is answered, in and out of order.

use super::driver::{Driver, check, check_with, refusal};
use super::settings;
use crate::model::address::Address;
use crate::model::envelope::{BodyType, DsnReturn, Notify};
use crate::model::time::Instant;
use crate::smtp::server::{Action, Settings};

const EHLO: &str = "C: EHLO client.example
    S: 250-mx.example.org
    S: 250-PIPELINING
    S: 250-SIZE 1000
    S: 250-STARTTLS
    S: 250-8BITMIME
    S: 250-ENHANCEDSTATUSCODES
    S: 250-SMTPUTF8
    S: 250 DSN\n";

fn check_after_ehlo(transcript: &str) {
    check(&format!("{EHLO}{transcript}"));
}

/// One command outside a transaction, after EHLO.
fn check_reply(command: &str, reply: &str) {
    check_after_ehlo(&format!("C: {command}\nS: {reply}"));
}

/// One command within a transaction.
fn check_reply_in_transaction(command: &str, reply: &str) {
    check_after_ehlo(&format!(
        "C: MAIL FROM:<a@b.example>
         S: 250 2.1.0 Sender ok
         C: {command}
         S: {reply}"
    ));
}

#[test]
fn two_transactions_in_one_session() {
    check_after_ehlo(
        "C: MAIL FROM:<a@client.example> SIZE=20 BODY=8BITMIME
         S: 250 2.1.0 Sender ok
         C: RCPT TO:<b@example.org>
         S: 250 2.1.5 Recipient ok
         C: RCPT TO:<c@example.org>
         S: 250 2.1.5 Recipient ok
         C: DATA
         S: 354 End data with <CR><LF>.<CR><LF>
         A: begin client.example <a@client.example> <b@example.org> <c@example.org>
         C: Subject: one
         C:
         C: ..dot
         C: .
         S: 250 2.0.0 Ok: queued as 00000000000000000000000007
         A: commit Subject: one\\r\\n\\r\\n.dot\\r\\n
         C: MAIL FROM:<>
         S: 250 2.1.0 Sender ok
         C: RCPT TO:<d@example.org>
         S: 250 2.1.5 Recipient ok
         C: DATA
         S: 354 End data with <CR><LF>.<CR><LF>
         A: begin client.example <> <d@example.org>
         C: .
         S: 250 2.0.0 Ok: queued as 00000000000000000000000007
         A: commit
         C: QUIT
         S: 221 2.0.0 Bye
         A: close Quit",
    );
}

#[test]
fn commands_that_open_nothing() {
    check_reply("NOOP", "250 2.0.0 Ok");
    check_reply("NOOP what ever", "250 2.0.0 Ok");
    check_reply("RSET", "250 2.0.0 Ok");
    check_reply("VRFY user", "252 2.5.2 Cannot VRFY, but will take mail and attempt delivery");
    check_reply("HELP", "214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT STARTTLS");
    check_reply("FOO", "500 5.5.2 Command not recognised");
    check_reply("", "500 5.5.2 Command not recognised");
    check_reply("EXPN list", "502 5.5.1 Command not implemented");
    check_reply("TURN", "502 5.5.1 Command not implemented");
    check_reply("DATA x", "501 5.5.4 This command takes no argument");
    check_reply("VRFY", "501 5.5.4 This command needs an argument");
    check_reply("EHLO", "501 5.5.4 A host name or an address literal is expected, at most 255 octets without spaces");
}

#[test]
fn lines_that_are_no_commands_are_answered_once() {
    check(
        "R: NOOP\\rNOOP\\r\\n
         S: 500 5.5.2 CR without LF in a command
         R: NOOP\\nNOOP\\r\\n
         S: 500 5.5.2 LF without CR: a command line ends with CR and LF
         R: NOOP \\0\\r\\n
         S: 500 5.5.2 Control characters are not allowed in a command
         C: NOOP
         S: 250 2.0.0 Ok",
    );
    check(&format!("C: NOOP {}\nS: 500 5.5.2 Command line too long\nC: NOOP\nS: 250 2.0.0 Ok", "x".repeat(2042)));
    check(&format!("C: NOOP {}\nS: 250 2.0.0 Ok", "x".repeat(2041)));
}

#[test]
fn commands_out_of_order() {
    check(
        "C: MAIL FROM:<a@b.example>
         S: 503 5.5.1 Send EHLO or HELO first
         C: RCPT TO:<a@b.example>
         S: 503 5.5.1 Send MAIL first
         C: DATA
         S: 503 5.5.1 Send MAIL first",
    );
    check_reply("RCPT TO:<a@b.example>", "503 5.5.1 Send MAIL first");
    check_reply("DATA", "503 5.5.1 Send MAIL first");
    check_reply_in_transaction("MAIL FROM:<a@b.example>", "503 5.5.1 A transaction is already open");
    check_reply_in_transaction("DATA", "503 5.5.1 Send RCPT first");
}

#[test]
fn rset_and_greetings_end_a_transaction() {
    check_after_ehlo(
        "C: MAIL FROM:<a@b.example>
         S: 250 2.1.0 Sender ok
         C: RSET
         S: 250 2.0.0 Ok
         C: RCPT TO:<a@b.example>
         S: 503 5.5.1 Send MAIL first
         C: MAIL FROM:<a@b.example>
         S: 250 2.1.0 Sender ok
         C: HELO again
         S: 250 mx.example.org
         C: RCPT TO:<a@b.example>
         S: 503 5.5.1 Send MAIL first",
    );
}

#[test]
fn bad_addresses_are_refused_with_what_is_wrong() {
    for (command, reply) in [
        ("MAIL FROM:a@b.example", "501 5.5.4 Syntax: MAIL FROM:<address> [parameters]"),
        ("MAIL FROM:<a>", "501 5.1.7 Bad sender address: an address has the form local-part@domain"),
        ("MAIL FROM:<\u{f6}@b.example>", "553 5.6.7 Characters outside ASCII need the SMTPUTF8 parameter of MAIL"),
    ] {
        check_reply(command, reply);
    }
    for (command, reply) in [
        ("RCPT TO:a@b.example", "501 5.5.4 Syntax: RCPT TO:<address> [parameters]"),
        ("RCPT TO:<>", "501 5.1.3 Bad recipient address: an address has the form local-part@domain"),
        ("RCPT TO:<\u{f6}@b.example>", "553 5.6.7 Characters outside ASCII need the SMTPUTF8 parameter of MAIL"),
        (
            "RCPT TO:<a@b.example> ORCPT=utf-8;\u{f6}@b.example",
            "553 5.6.7 Characters outside ASCII need the SMTPUTF8 parameter of MAIL",
        ),
    ] {
        check_reply_in_transaction(command, reply);
    }
}

#[test]
fn parameters_are_refused_where_they_are_wrong() {
    for (parameters, reply) in [
        ("FOO=1", "555 5.5.4 Parameter not recognised or not implemented"),
        ("AUTH=<>", "555 5.5.4 Parameter not recognised or not implemented"),
        ("SIZE=1 SIZE=1", "501 5.5.4 Parameter SIZE is given twice"),
        ("SIZE=1x", "501 5.5.4 Bad value of SIZE: at most 20 digits are expected"),
        ("BODY=BINARYMIME", "501 5.5.4 Bad value of BODY: 7BIT or 8BITMIME is expected"),
        ("SIZE=1001", "552 5.3.4 Message exceeds the size limit"),
        ("SIZE=99999999999999999999", "552 5.3.4 Message exceeds the size limit"),
        ("SIZE=1000", "250 2.1.0 Sender ok"),
    ] {
        check_reply(&format!("MAIL FROM:<a@b.example> {parameters}"), reply);
    }
    check_reply_in_transaction("RCPT TO:<a@b.example> SIZE=1", "555 5.5.4 Parameter not recognised or not implemented");
}

#[test]
fn helo_clients_get_one_line_and_no_parameters() {
    check(
        "C: HELO client.example
         S: 250 mx.example.org
         C: MAIL FROM:<a@b.example> SIZE=1
         S: 555 5.5.4 Parameters are for clients that say EHLO
         C: MAIL FROM: <a@b.example>
         S: 250 2.1.0 Sender ok
         C: RCPT TO:<a@b.example> NOTIFY=NEVER
         S: 555 5.5.4 Parameters are for clients that say EHLO
         C: RCPT TO:  <a@b.example>
         S: 250 2.1.5 Recipient ok",
    );
}

#[test]
fn refusals_go_out_as_the_driver_gave_them() {
    check_after_ehlo(
        "!judge 530 5.7.10 Encryption needed
         C: MAIL FROM:<a@b.example>
         S: 530 5.7.10 Encryption needed
         C: RCPT TO:<a@b.example>
         S: 503 5.5.1 Send MAIL first
         C: MAIL FROM:<a@b.example>
         S: 250 2.1.0 Sender ok
         !judge 450 4.7.10 Later
         C: RCPT TO:<a@b.example>
         S: 450 4.7.10 Later
         C: DATA
         S: 554 5.5.1 No valid recipients
         C: RCPT TO:<c@d.example>
         S: 250 2.1.5 Recipient ok
         !ready 452 4.3.1 No space
         C: DATA
         S: 452 4.3.1 No space
         A: begin client.example <a@b.example> <c@d.example>
         C: RCPT TO:<a@b.example>
         S: 503 5.5.1 Send MAIL first",
    );
}

#[test]
fn a_refusal_with_421_closes_and_one_that_is_no_refusal_is_a_local_error() {
    check_after_ehlo(
        "!judge 421 4.7.0 Go away
         C: MAIL FROM:<a@b.example>
         S: 421 4.7.0 Go away
         A: close Refused",
    );
    check_after_ehlo(
        "!judge 250 2.0.0 Yes
         C: MAIL FROM:<a@b.example>
         S: 451 4.3.0 Local error
         C: RCPT TO:<a@b.example>
         S: 503 5.5.1 Send MAIL first",
    );
}

#[test]
fn a_recipient_given_twice_is_kept_once() {
    check_after_ehlo(
        "C: MAIL FROM:<a@b.example>
         S: 250 2.1.0 Sender ok
         C: RCPT TO:<x@d.example>
         S: 250 2.1.5 Recipient ok
         C: RCPT TO:<\"x\"@D.EXAMPLE>
         S: 250 2.1.5 Recipient ok
         C: RCPT TO:<X@d.example>
         S: 250 2.1.5 Recipient ok
         C: DATA
         S: 354 End data with <CR><LF>.<CR><LF>
         A: begin client.example <a@b.example> <x@d.example> <X@d.example>",
    );
}

#[test]
fn postmaster_without_a_domain_is_a_mailbox_of_this_host_or_the_one_that_is_configured() {
    let transcript = |address: &str| {
        format!(
            "C: HELO x
             S: 250 mx.example.org
             C: MAIL FROM:<>
             S: 250 2.1.0 Sender ok
             C: RCPT TO:<PostMaster>
             S: 250 2.1.5 Recipient ok
             C: DATA
             S: 354 End data with <CR><LF>.<CR><LF>
             A: begin x <> <{address}>"
        )
    };
    check(&transcript("postmaster@mx.example.org"));
    let postmaster: Option<Address> = Some("root@example.org".parse().unwrap());
    check_with(&Settings { postmaster, ..settings() }, &[super::driver::Feed::Lines], &transcript("root@example.org"));
}

#[test]
fn the_driver_is_asked_with_all_parameters_and_gives_the_answers_when_it_likes() {
    let mut driver = Driver::greeted(settings());
    let now = Instant::ZERO;
    driver.ask("EHLO client.example\r\n");
    let session = &mut driver.session;
    session.handle_bytes(
        now,
        b"MAIL FROM:<a@b.example> SIZE=5 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e+2B\r\n\
          RCPT TO:<c@d.example> NOTIFY=SUCCESS ORCPT=rfc822;o@d.example\r\nDATA\r\n",
    );
    let Some(Action::JudgeMail(sender)) = session.poll_action() else { panic!("no question") };
    assert_eq!((sender.path.as_str(), sender.body, sender.smtputf8), ("a@b.example", BodyType::EightBitMime, true));
    assert_eq!((sender.declared_size, sender.ret), (Some(5), Some(DsnReturn::Headers)));
    assert_eq!(sender.envid.as_deref(), Some("e+2B"));
    assert_eq!(session.poll_action(), None);
    assert!(session.is_awaiting() && session.wants_input() && !session.is_idle());
    // Answers to questions that were not asked are nothing.
    session.handle_commit(now, Err(refusal("451 4.3.0 no")));
    session.handle_body_ready(now, Ok(()));
    session.handle_tls(now, super::facts());
    assert_eq!(session.poll_action(), None);
    assert_eq!(session.tls(), None);

    session.handle_judgement(now, Ok(()));
    let Some(Action::JudgeRcpt(recipient)) = session.poll_action() else { panic!("no question") };
    assert_eq!(recipient.address.as_str(), "c@d.example");
    assert_eq!(recipient.notify, Some(Notify { success: true, ..Notify::NEVER }));
    assert_eq!(recipient.orcpt.as_deref(), Some("rfc822;o@d.example"));
    session.handle_judgement(now, Ok(()));
    let Some(Action::BodyBegin(transaction)) = session.poll_action() else { panic!("no begin") };
    assert_eq!((transaction.sender, transaction.recipients), (sender, vec![recipient]));
    assert_eq!((transaction.helo.as_str(), transaction.esmtp), ("client.example", true));
    assert_eq!(session.poll_action(), None);
    session.handle_body_ready(now, Ok(()));
    let Some(Action::Send(sent)) = session.poll_action() else { panic!("no replies") };
    assert_eq!(sent.iter().filter(|byte| **byte == b'\n').count(), 3);
}

#[test]
fn replies_to_pipelined_commands_go_out_in_one_piece() {
    let mut driver = Driver::greeted(settings());
    driver.ask("EHLO client.example\r\n");
    driver.sends = 0;
    let group = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\nDATA\r\n";
    assert_eq!(driver.ask(group).lines().count(), 4);
    assert_eq!(driver.sends, 1);
    let next = "body\r\n.\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nbody\r\n.\r\nQUIT\r\n";
    assert_eq!(driver.ask(next).lines().count(), 6);
    // One before the second commit, one at the end.
    assert_eq!(driver.sends, 3);
}
