//! Delivery status notifications: what became of a message, for people and for programs (RFC 3461 to 3464, RFC 6533,
//! RFC 8689 section 5).
//!
//! Must not: write a notice to the null reverse-path, or show text of a peer that is not escaped.

mod decide;
mod encode;
mod human;
mod machine;
mod status;
#[cfg(test)]
mod tests;

use crate::model::address::Address;
use crate::model::envelope::{Envelope, Recipient};
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::reply::{EnhancedCode, Reply};
use crate::model::time::Timestamp;

use super::fold::field;
use encode::quoted_printable;

pub use decide::{notice_due, returned_part};
pub use human::{AskedBy, explanation_for, waiting_for};
pub use status::{status_for, status_of_reply};

/// Largest message that a notice returns whole. Of a larger one it returns the header.
pub const RETURN_FULL_BYTES_MAX: u64 = 1024 * 1024;
/// Most octets of a header that a notice returns.
pub const RETURN_HEADER_BYTES_MAX: usize = 64 * 1024;

/// What became of a recipient (RFC 3464 section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Given up.
    Failed,
    /// Still being tried.
    Delayed,
    /// Passed to a host that sends no notices itself (RFC 3461 section 5.2.2).
    Relayed,
}

impl Action {
    /// The word of the `Action` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Relayed => "relayed",
        }
    }
}

/// One recipient of a notice.
#[derive(Clone, Debug)]
pub struct RecipientNotice<'a> {
    pub recipient: &'a Recipient,
    pub action: Action,
    /// See [`status_for`] and [`status_of_reply`].
    pub status: EnhancedCode,
    /// `None` where nothing went wrong.
    pub reason: Option<Reason>,
    /// The host that was talked to, escaped.
    pub remote: Option<&'a str>,
    /// What that host answered, escaped.
    pub reply: Option<&'a Reply>,
    pub last_attempt: Option<Timestamp>,
    /// For `Delayed`: when the relay gives up.
    pub retry_until: Option<Timestamp>,
    /// For `Delayed`: when it goes by another route, should TLS be lacking still.
    pub other_route_from: Option<Timestamp>,
}

/// What the notice returns of the message. See [`returned_part`].
#[derive(Clone, Copy, Debug)]
pub enum Original<'a> {
    /// The header; what follows an empty line is left out.
    Headers(&'a [u8]),
    /// The whole message. Beyond `RETURN_FULL_BYTES_MAX`, or if it demands TLS, only its header is returned.
    Full(&'a [u8]),
}

/// All that goes into a notice.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    /// Our host name.
    pub hostname: &'a str,
    /// The message that the notice is about.
    pub envelope: &'a Envelope,
    pub recipients: &'a [RecipientNotice<'a>],
    pub original: Original<'a>,
    /// A sentence or two more, such as "The message waits because the next hop offers no TLS."
    pub explanation: Option<&'a str>,
    pub now: Timestamp,
    /// The id of the notice itself. Its random part keeps the boundary out of the returned message.
    pub id: MessageId,
}

impl Notice<'_> {
    /// RFC 8689 section 5: of a message that demands TLS nothing but the header goes back, whatever RET says.
    fn returns_all_of(&self, content: &[u8]) -> bool {
        !self.envelope.sender.require_tls && content.len() as u64 <= RETURN_FULL_BYTES_MAX
    }
}

/// A finished notice. It goes from the null reverse-path to the sender of the message, with NOTIFY=NEVER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// Header and body, CRLF line ends.
    pub content: Vec<u8>,
    /// Whether any octet is above 127.
    pub eight_bit: bool,
    /// Whether the header says `TLS-Required: No`, as that of the message did.
    pub tls_required_no: bool,
    /// Whether MAIL needs the SMTPUTF8 parameter: the address that it goes to is not ASCII (RFC 6531).
    pub smtputf8: bool,
}

/// Writes the notice. `None` if the message has the null reverse-path: nobody is to be told (RFC 5321 section 4.5.5).
pub fn compose(notice: &Notice<'_>) -> Option<Composed> {
    let to = notice.envelope.sender.path.mailbox()?;
    let charset = if to.needs_utf8() { Charset::Utf8 } else { Charset::Ascii };
    let boundary = format!("=_{}", notice.id);
    let parts = [human_part(notice, charset), machine_part(notice, charset), returned(notice, charset)];

    let mut content = header(notice, to, &boundary).into_bytes();
    content.extend_from_slice(b"\r\nThis is a report in MIME format.\r\n");
    for part in parts {
        content.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        content.extend_from_slice(field("Content-Description", part.description).as_bytes());
        content.extend_from_slice(field("Content-Type", part.kind).as_bytes());
        content.extend_from_slice(field("Content-Transfer-Encoding", part.encoding).as_bytes());
        content.extend_from_slice(b"\r\n");
        content.extend_from_slice(&part.body);
    }
    content.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let eight_bit = !content.is_ascii();
    let tls_required_no = notice.envelope.tls_required_no;
    Some(Composed { content, eight_bit, tls_required_no, smtputf8: charset == Charset::Utf8 })
}

/// What the notice may hold. To an ASCII address it goes without SMTPUTF8, so that every host can pass it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charset {
    Ascii,
    Utf8,
}

struct Part {
    description: &'static str,
    kind: &'static str,
    encoding: &'static str,
    body: Vec<u8>,
}

fn header(notice: &Notice<'_>, to: &Address, boundary: &str) -> String {
    let host = notice.hostname;
    // Whoever would rather have the message than TLS would rather hear of it, too.
    let tls_required = notice.envelope.tls_required_no.then(|| field("TLS-Required", "No"));
    [
        field("From", &format!("Mail Delivery System <MAILER-DAEMON@{host}>")),
        field("To", &format!("<{to}>")),
        field("Subject", &human::subject(notice.recipients)),
        field("Date", &notice.now.rfc5322()),
        field("Message-ID", &format!("<{}@{host}>", notice.id)),
        // RFC 3834 section 5.
        field("Auto-Submitted", "auto-replied"),
        field("MIME-Version", "1.0"),
        field("Content-Type", &format!("multipart/report; report-type=delivery-status; boundary=\"{boundary}\"")),
        tls_required.unwrap_or_default(),
    ]
    .concat()
}

fn human_part(notice: &Notice<'_>, charset: Charset) -> Part {
    let text = human::text(notice);
    let (kind, encoding, body) = match (text.is_ascii(), charset) {
        (true, _) => ("text/plain; charset=us-ascii", "7bit", text.into_bytes()),
        (false, Charset::Utf8) => ("text/plain; charset=utf-8", "8bit", text.into_bytes()),
        (false, Charset::Ascii) => ("text/plain; charset=utf-8", "quoted-printable", quoted_printable(text.as_bytes())),
    };
    Part { description: "Notification", kind, encoding, body }
}

fn machine_part(notice: &Notice<'_>, charset: Charset) -> Part {
    let body = machine::status_fields(notice, charset).into_bytes();
    let (kind, encoding) = match charset {
        Charset::Ascii => ("message/delivery-status", "7bit"),
        Charset::Utf8 => ("message/global-delivery-status", "8bit"),
    };
    Part { description: "Delivery report", kind, encoding, body }
}

/// The third part (RFC 6522 section 4, RFC 6533 sections 4.2 to 4.4).
fn returned(notice: &Notice<'_>, charset: Charset) -> Part {
    let utf8_header = notice.envelope.sender.smtputf8;
    match notice.original {
        Original::Full(content) if notice.returns_all_of(content) => {
            let (kind, encoding) = match (content.is_ascii(), utf8_header, charset) {
                (true, ..) => ("message/rfc822", "7bit"),
                (false, false, _) => ("message/rfc822", "8bit"),
                (false, true, Charset::Utf8) => ("message/global", "8bit"),
                (false, true, Charset::Ascii) => ("message/global", "quoted-printable"),
            };
            Part { description: "Undelivered message", kind, encoding, body: encoded(content, encoding) }
        }
        Original::Full(content) | Original::Headers(content) => {
            let header = header_of(content);
            let (kind, encoding) = match (header.is_ascii(), utf8_header, charset) {
                (true, ..) => ("text/rfc822-headers", "7bit"),
                (false, false, _) => ("text/rfc822-headers", "quoted-printable"),
                (false, true, Charset::Utf8) => ("message/global-headers", "8bit"),
                (false, true, Charset::Ascii) => ("message/global-headers", "quoted-printable"),
            };
            Part { description: "Header of the message", kind, encoding, body: encoded(&header, encoding) }
        }
    }
}

fn encoded(bytes: &[u8], encoding: &str) -> Vec<u8> {
    if encoding == "quoted-printable" { quoted_printable(bytes) } else { bytes.to_vec() }
}

/// The whole lines of the header, up to the bound.
fn header_of(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() || out.len() + text.len() + 2 > RETURN_HEADER_BYTES_MAX {
            break;
        }
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    }
    out
}
