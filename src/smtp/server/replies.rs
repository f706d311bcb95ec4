//! Every reply that the session makes by itself.

use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::reply::{Code, EnhancedCode, Reply, Severity};
use crate::smtp::command::SyntaxError;
use crate::smtp::reply_writer;

use super::body::Void;
use super::settings::Settings;

/// A reply of one fixed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: Code,
    enhanced: Option<EnhancedCode>,
    text: &'static str,
}

const fn answer(code: Code, class: u8, detail: (u16, u16), text: &'static str) -> Answer {
    Answer { code, enhanced: Some(EnhancedCode::new(class, detail.0, detail.1)), text }
}

pub(super) const OK: Answer = answer(Code::OK, 2, (0, 0), "Ok");
pub(super) const SENDER_OK: Answer = answer(Code::OK, 2, (1, 0), "Sender ok");
pub(super) const RECIPIENT_OK: Answer = answer(Code::OK, 2, (1, 5), "Recipient ok");
pub(super) const BYE: Answer = answer(Code::CLOSING, 2, (0, 0), "Bye");
pub(super) const CANNOT_VRFY: Answer =
    answer(Code::CANNOT_VRFY, 2, (5, 2), "Cannot VRFY, but will take mail and attempt delivery");
pub(super) const START_TLS: Answer = answer(Code::SERVICE_READY, 2, (0, 0), "Ready to start TLS");
/// RFC 2034 has no enhanced code for 3xx.
pub(super) const START_INPUT: Answer =
    Answer { code: Code::START_INPUT, enhanced: None, text: "End data with <CR><LF>.<CR><LF>" };

pub(super) const BARE_CR: Answer = answer(Code::BAD_COMMAND, 5, (5, 2), "CR without LF in a command");
pub(super) const BARE_LF: Answer =
    answer(Code::BAD_COMMAND, 5, (5, 2), "LF without CR: a command line ends with CR and LF");
pub(super) const LINE_TOO_LONG: Answer = answer(Code::BAD_COMMAND, 5, (5, 2), "Command line too long");

pub(super) const GREET_FIRST: Answer = answer(Code::BAD_SEQUENCE, 5, (5, 1), "Send EHLO or HELO first");
pub(super) const NESTED_MAIL: Answer = answer(Code::BAD_SEQUENCE, 5, (5, 1), "A transaction is already open");
pub(super) const MAIL_FIRST: Answer = answer(Code::BAD_SEQUENCE, 5, (5, 1), "Send MAIL first");
pub(super) const RCPT_FIRST: Answer = answer(Code::BAD_SEQUENCE, 5, (5, 1), "Send RCPT first");
pub(super) const NO_RECIPIENTS: Answer = answer(Code::FAILED, 5, (5, 1), "No valid recipients");
pub(super) const TLS_ACTIVE: Answer = answer(Code::BAD_SEQUENCE, 5, (5, 1), "TLS is already active");
pub(super) const TLS_NOT_OFFERED: Answer = answer(Code::NOT_IMPLEMENTED, 5, (5, 1), "STARTTLS is not offered");
pub(super) const TLS_INJECTION: Answer =
    answer(Code::BAD_PARAMETER, 5, (5, 1), "Nothing may follow STARTTLS before the handshake");

pub(super) const PARAMETERS_NEED_EHLO: Answer =
    answer(Code::UNKNOWN_PARAMETER, 5, (5, 4), "Parameters are for clients that say EHLO");
pub(super) const NEEDS_SMTPUTF8: Answer =
    answer(Code::BAD_MAILBOX, 5, (6, 7), "Characters outside ASCII need the SMTPUTF8 parameter of MAIL");
/// RFC 8689 section 2: the parameter is for sessions under TLS.
pub(super) const REQUIRETLS_NEEDS_TLS: Answer =
    answer(Code::AUTH_REQUIRED, 5, (7, 10), "Encryption needed: REQUIRETLS demands TLS, and this session has none");
pub(super) const TOO_MANY_RECIPIENTS: Answer = answer(Code::NO_STORAGE, 4, (5, 3), "Too many recipients");
pub(super) const NO_POSTMASTER: Answer = answer(Code::LOCAL_ERROR, 4, (3, 5), "No postmaster address is configured");
pub(super) const TOO_BIG: Answer = answer(Code::TOO_BIG, 5, (3, 4), "Message exceeds the size limit");
const BARE_LINE_END: Answer =
    answer(Code::FAILED, 5, (6, 0), "Message not taken: CR or LF alone in the content; lines end with CR and LF");

pub(super) const TIMEOUT: Answer = answer(Code::UNAVAILABLE, 4, (4, 2), "Timeout, closing connection");
pub(super) const TOO_MANY_ERRORS: Answer = answer(Code::UNAVAILABLE, 4, (7, 0), "Too many errors, closing connection");
pub(super) const TOO_MANY_MESSAGES: Answer =
    answer(Code::UNAVAILABLE, 4, (7, 0), "Too many messages in one session, closing connection");
pub(super) const DRAINING: Answer = answer(Code::UNAVAILABLE, 4, (3, 2), "Service is stopping, try again later");
pub(super) const ENDLESS_LINE: Answer = answer(Code::BAD_COMMAND, 5, (5, 2), "Line without end, closing connection");
pub(super) const ENDLESS_DATA: Answer = answer(Code::UNAVAILABLE, 4, (7, 0), "Far too much data, closing connection");
/// For an answer of the driver that refuses with a code that does not.
const BROKEN_REFUSAL: Answer = answer(Code::LOCAL_ERROR, 4, (3, 0), "Local error");

impl Answer {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        reply_writer::write_line(self.code, self.enhanced, self.text, out);
    }
}

/// Why content was not taken.
pub(super) const fn of_void(void: Void) -> Answer {
    match void {
        Void::TooBig => TOO_BIG,
        Void::BareLineEnd => BARE_LINE_END,
    }
}

/// The codes of a line that cannot be run.
pub(super) const fn codes_of(error: SyntaxError) -> (Code, EnhancedCode) {
    match error {
        SyntaxError::UnknownCommand | SyntaxError::ControlCharacter | SyntaxError::Encoding => {
            (Code::BAD_COMMAND, EnhancedCode::new(5, 5, 2))
        }
        SyntaxError::NotImplemented => (Code::NOT_IMPLEMENTED, EnhancedCode::new(5, 5, 1)),
        SyntaxError::SenderAddress(_) => (Code::BAD_PARAMETER, EnhancedCode::new(5, 1, 7)),
        SyntaxError::RecipientAddress(_) => (Code::BAD_PARAMETER, EnhancedCode::new(5, 1, 3)),
        SyntaxError::UnknownParameter => (Code::UNKNOWN_PARAMETER, EnhancedCode::new(5, 5, 4)),
        SyntaxError::ArgumentGiven
        | SyntaxError::ArgumentMissing
        | SyntaxError::HeloName
        | SyntaxError::MailForm
        | SyntaxError::RcptForm
        | SyntaxError::SourceRoute
        | SyntaxError::ParameterForm
        | SyntaxError::RepeatedParameter(_)
        | SyntaxError::ParameterValue(_) => (Code::BAD_PARAMETER, EnhancedCode::new(5, 5, 4)),
    }
}

/// A refusal of the driver as it goes out, and its code. One that would tell the client the opposite is replaced.
pub(super) fn write_refusal(refusal: &Reply, out: &mut Vec<u8>) -> Code {
    if matches!(refusal.severity(), Severity::Transient | Severity::Permanent) {
        reply_writer::write(refusal, out);
        return refusal.code;
    }
    BROKEN_REFUSAL.write(out);
    BROKEN_REFUSAL.code
}

/// RFC 5321 section 4.3.1.
pub(super) fn write_greeting(hostname: &Domain, out: &mut Vec<u8>) {
    reply_writer::write_line(Code::SERVICE_READY, None, &format!("{hostname} ESMTP Gatepost"), out);
}

pub(super) fn write_helo(hostname: &Domain, out: &mut Vec<u8>) {
    reply_writer::write_line(Code::OK, None, hostname.as_str(), out);
}

/// RFC 5321 section 4.1.1.1. `tls` is whether the session is under TLS: then TLS is not offered anew, and REQUIRETLS
/// can be promised (RFC 8689 section 2).
pub(super) fn write_ehlo(settings: &Settings, tls: bool, out: &mut Vec<u8>) {
    let size = format!("SIZE {}", settings.message_bytes_max);
    let before = [settings.hostname.as_str(), "PIPELINING", &size];
    let after = ["8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN"];
    let about_tls = if tls { Some("REQUIRETLS") } else { settings.starttls.then_some("STARTTLS") };
    let lines = before.into_iter().chain(about_tls).chain(after);
    reply_writer::write_lines(Code::OK, None, lines, out);
}

pub(super) fn write_help(out: &mut Vec<u8>) {
    let code = Code::new(214).unwrap_or(Code::OK);
    let text = "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT STARTTLS";
    reply_writer::write_line(code, Some(EnhancedCode::new(2, 0, 0)), text, out);
}

pub(super) fn write_queued(id: MessageId, out: &mut Vec<u8>) {
    let text = format!("Ok: queued as {id}");
    reply_writer::write_line(Code::OK, Some(EnhancedCode::new(2, 0, 0)), &text, out);
}
