//! Which lines are commands, and what is wrong with the others.

use proptest::prelude::*;

use super::*;
use crate::model::address::{Address, ReversePath};
use crate::model::domain::DomainError;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn check(line: &str, expected: Command) {
    assert_eq!(Command::parse(line.as_bytes()), Ok(expected), "{line}");
}

fn check_error(lines: &[&str], expected: SyntaxError) {
    for line in lines {
        assert_eq!(Command::parse(line.as_bytes()), Err(expected), "{line}");
    }
}

fn mail(path: &str) -> Sender {
    let path = if path.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(address(path)) };
    Sender::plain(path)
}

fn check_mail(argument: &str, sender: Sender) {
    let has_parameters = argument.contains("> ");
    check(&format!("MAIL FROM:{argument}"), Command::Mail(Mail { sender, has_parameters }));
}

fn check_rcpt(argument: &str, notify: Option<Notify>, orcpt: Option<&str>) {
    let path = ForwardPath::Mailbox(address("a@b.example"));
    let has_parameters = argument.contains("> ");
    let expected = Rcpt { path, notify, orcpt: orcpt.map(str::to_owned), has_parameters };
    check(&format!("RCPT TO:{argument}"), Command::Rcpt(expected));
}

#[test]
fn verbs_are_known_in_any_case_and_spaces_at_the_end_do_not_matter() {
    check("DATA", Command::Data);
    check("data  ", Command::Data);
    check("rSeT", Command::Rset);
    check("NOOP", Command::Noop);
    check("NOOP anything at all", Command::Noop);
    check("VRFY someone", Command::Vrfy);
    check("HELP", Command::Help);
    check("HELP MAIL", Command::Help);
    check("QUIT", Command::Quit);
    check("StartTLS", Command::StartTls);
}

#[test]
fn what_is_no_command_is_told_from_what_is_not_offered() {
    check_error(&["", " ", " NOOP", "MAI", "MAILFROM:<a@b.example>", "GET / HTTP/1.1"], SyntaxError::UnknownCommand);
    check_error(&["EXPN list", "TURN", "auth PLAIN", "BDAT 5 LAST"], SyntaxError::NotImplemented);
    check_error(&["DATA now", "RSET x", "QUIT x", "STARTTLS now"], SyntaxError::ArgumentGiven);
    check_error(&["VRFY"], SyntaxError::ArgumentMissing);
    check_error(&["NOOP \0", "NOOP\tx", "\u{1b}NOOP", "NOOP \u{7f}"], SyntaxError::ControlCharacter);
    assert_eq!(Command::parse(b"NOOP \xff"), Err(SyntaxError::Encoding));
}

#[test]
fn any_printable_token_is_a_client_name_and_is_kept_escaped() {
    for (name, kept) in [
        ("client.example", "client.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("my_pc", "my_pc"),
        ("[not an", ""),
        ("192.0.2.1", "192.0.2.1"),
        ("b\u{fc}ro", "b\\u{fc}ro"),
    ] {
        if kept.is_empty() {
            check_error(&[&format!("EHLO {name}")], SyntaxError::HeloName);
        } else {
            check(&format!("EHLO {name}"), Command::Ehlo(kept.to_owned()));
            check(&format!("helo  {name} "), Command::Helo(kept.to_owned()));
        }
    }
    let long = "x".repeat(HELO_NAME_BYTES_MAX);
    check(&format!("EHLO {long}"), Command::Ehlo(long.clone()));
    check_error(&["EHLO", "HELO ", &format!("EHLO {long}x")], SyntaxError::HeloName);
}

#[test]
fn mail_takes_a_path_and_its_parameters() {
    check_mail("<>", mail(""));
    check_mail("<a@b.example>", mail("a@b.example"));
    check_mail("  <a@b.example>", mail("a@b.example"));
    check_mail("<\"a b\"@b.example>", mail("\"a b\"@b.example"));
    check_mail("<a@b.example> SIZE=10", Sender { declared_size: Some(10), ..mail("a@b.example") });
    check_mail("<> size=99999999999999999999", Sender { declared_size: Some(u64::MAX), ..mail("") });
    check_mail("<> BODY=8bitmime", Sender { body: BodyType::EightBitMime, ..mail("") });
    check_mail("<> BODY=7BIT", mail(""));
    check_mail("<\u{f6}@b.example> SMTPUTF8", Sender { smtputf8: true, ..mail("\u{f6}@b.example") });
    check_mail("<> RET=hdrs", Sender { ret: Some(DsnReturn::Headers), ..mail("") });
    check_mail("<> RET=FULL", Sender { ret: Some(DsnReturn::Full), ..mail("") });
    check_mail("<a@b.example> RequireTLS", Sender { require_tls: true, ..mail("a@b.example") });
    check_mail("<> ENVID=a+2Bb", Sender { envid: Some("a+2Bb".to_owned()), ..mail("") });
}

#[test]
fn rcpt_takes_a_path_and_its_parameters() {
    check_rcpt("<a@b.example>", None, None);
    check_rcpt(" <@x.example:a@b.example>", None, None);
    check_rcpt("<a@b.example> NOTIFY=never", Some(Notify::NEVER), None);
    check_rcpt("<a@b.example> NOTIFY=FAILURE,delay", Some(Notify::DEFAULT), None);
    check_rcpt(
        "<a@b.example> ORCPT=rfc822;x+2By@z.example NOTIFY=SUCCESS",
        Some(Notify { success: true, ..Notify::NEVER }),
        Some("rfc822;x+2By@z.example"),
    );
    let postmaster = Rcpt { path: ForwardPath::Postmaster, notify: None, orcpt: None, has_parameters: false };
    check("RCPT TO:<Postmaster>", Command::Rcpt(postmaster));
}

#[test]
fn malformed_paths_are_told_apart() {
    check_error(&["MAIL", "MAIL <a@b.example>", "MAIL TO:<a@b.example>"], SyntaxError::MailForm);
    check_error(&["MAIL FROM:a@b.example", "MAIL FROM:", "MAIL FROM:<a@b.example"], SyntaxError::MailForm);
    check_error(
        &["RCPT TO:a@b.example", "RCPT", "RCPT FROM:<a@b.example>", "RCPT TO:<a@b.example>x"],
        SyntaxError::RcptForm,
    );
    check_error(&["MAIL FROM:<a>"], SyntaxError::SenderAddress(AddressError::NoAt));
    check_error(&["RCPT TO:<>"], SyntaxError::RecipientAddress(AddressError::NoAt));
    check_error(&["RCPT TO:<a b@c.example>"], SyntaxError::RecipientAddress(AddressError::LocalPart));
    check_error(&["RCPT TO:<a@b..example>"], SyntaxError::RecipientAddress(AddressError::Domain(DomainError::Empty)));
    check_error(&["RCPT TO:<a@[1.2.3]>"], SyntaxError::RecipientAddress(AddressError::Literal));
    check_error(&["RCPT TO:<@x.example;a@b.example>"], SyntaxError::SourceRoute);
}

#[test]
fn parameters_are_checked_one_by_one() {
    let long_envid = format!("MAIL FROM:<> ENVID={}", "x".repeat(ENVID_BYTES_MAX + 1));
    let long_orcpt = format!("RCPT TO:<a@b.example> ORCPT=rfc822;{}", "x".repeat(ORCPT_BYTES_MAX));
    let value = SyntaxError::ParameterValue;
    check_error(&["MAIL FROM:<> SIZE", "MAIL FROM:<> SIZE=x", "MAIL FROM:<> SIZE=-1"], value(Parameter::Size));
    check_error(&["MAIL FROM:<> SIZE=000000000000000000001"], value(Parameter::Size));
    check_error(&["MAIL FROM:<> BODY=BINARYMIME", "MAIL FROM:<> BODY"], value(Parameter::Body));
    check_error(&["MAIL FROM:<> SMTPUTF8=yes"], value(Parameter::SmtpUtf8));
    check_error(&["MAIL FROM:<> REQUIRETLS=yes", "MAIL FROM:<> REQUIRETLS=NO"], value(Parameter::RequireTls));
    check_error(&["MAIL FROM:<> RET=ALL"], value(Parameter::Ret));
    check_error(&["MAIL FROM:<> ENVID=a+", &long_envid], value(Parameter::Envid));
    check_error(
        &[
            "RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY",
            "RCPT TO:<a@b.example> NOTIFY=SUCCESS,",
            "RCPT TO:<a@b.example> NOTIFY",
        ],
        value(Parameter::Notify),
    );
    check_error(&["RCPT TO:<a@b.example> ORCPT=a@b.example", &long_orcpt], value(Parameter::Orcpt));
    check_error(&["MAIL FROM:<> SIZE=1 size=2"], SyntaxError::RepeatedParameter(Parameter::Size));
    check_error(&["MAIL FROM:<> REQUIRETLS requiretls"], SyntaxError::RepeatedParameter(Parameter::RequireTls));
    check_error(&["MAIL FROM:<> BODY=7BIT BODY=7BIT"], SyntaxError::RepeatedParameter(Parameter::Body));
    check_error(
        &[
            "MAIL FROM:<> FOO",
            "MAIL FROM:<> NOTIFY=NEVER",
            "RCPT TO:<a@b.example> SIZE=1",
            "RCPT TO:<a@b.example> REQUIRETLS",
        ],
        SyntaxError::UnknownParameter,
    );
    check_error(&["MAIL FROM:<> =x", "MAIL FROM:<> SIZE=", "RCPT TO:<a@b.example> A=B=C"], SyntaxError::ParameterForm);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Command::parse(&line);
    }

    #[test]
    fn no_text_behind_a_verb_makes_the_parser_panic(
        verb in prop::sample::select(vec!["EHLO ", "MAIL FROM:", "RCPT TO:", "RCPT TO:<", "MAIL FROM:<> "]),
        text in "\\PC{0,80}",
    ) {
        let _ = Command::parse(format!("{verb}{text}").as_bytes());
    }
}
