//! The part of a notice for programs: `message/delivery-status` (RFC 3464 section 2).

use crate::mail::fold::field;
use crate::model::address::{Address, Host};
use crate::model::reply::Reply;

use super::encode::{embedded, xtext_decoded};
use super::{Action, Charset, Notice, RecipientNotice};

/// Most octets of a reply in `Diagnostic-Code`.
const DIAGNOSTIC_BYTES_MAX: usize = 1024;

/// The fields about the message, and a block of fields for each recipient.
pub(super) fn status_fields(notice: &Notice<'_>, charset: Charset) -> String {
    let mut out = message_fields(notice);
    for recipient in notice.recipients {
        out.push_str("\r\n");
        out.push_str(&recipient_fields(recipient, charset));
    }
    out
}

fn message_fields(notice: &Notice<'_>) -> String {
    let envelope = notice.envelope;
    let mut out = String::new();
    let envid = envelope.sender.envid.as_deref().and_then(xtext_decoded).filter(|text| text.is_ascii());
    if let Some(envid) = envid {
        out.push_str(&field("Original-Envelope-Id", &envid));
    }
    out.push_str(&field("Reporting-MTA", &format!("dns; {}", notice.hostname)));
    let helo = &envelope.origin.helo;
    if helo.is_ascii() && Host::parse(helo).is_ok() {
        out.push_str(&field("Received-From-MTA", &format!("dns; {helo}")));
    }
    out.push_str(&field("Arrival-Date", &envelope.received_at.rfc5322()));
    out.push_str(&field("X-Gatepost-Message", &envelope.id.to_string()));
    out
}

fn recipient_fields(notice: &RecipientNotice<'_>, charset: Charset) -> String {
    let mut out = String::new();
    if let Some(original) = notice.recipient.orcpt.as_deref().and_then(|orcpt| original_recipient(orcpt, charset)) {
        out.push_str(&field("Original-Recipient", &original));
    }
    out.push_str(&field("Final-Recipient", &final_recipient(&notice.recipient.address, charset)));
    out.push_str(&field("Action", notice.action.as_str()));
    out.push_str(&field("Status", &notice.status.to_string()));
    if let Some(remote) = notice.remote {
        out.push_str(&field("Remote-MTA", &format!("dns; {remote}")));
    }
    if let Some(reply) = notice.reply {
        out.push_str(&field("Diagnostic-Code", &format!("smtp; {}", diagnostic(reply))));
    }
    if let Some(at) = notice.last_attempt {
        out.push_str(&field("Last-Attempt-Date", &at.rfc5322()));
    }
    // RFC 3464 section 2.3.9: only where the action is "delayed".
    if let Some(until) = notice.retry_until.filter(|_| notice.action == Action::Delayed) {
        out.push_str(&field("Will-Retry-Until", &until.rfc5322()));
    }
    if let Some(reason) = notice.reason {
        out.push_str(&field("X-Gatepost-Reason", reason.as_str()));
    }
    out
}

/// The reply as it was said, as far as the bound allows.
pub(super) fn diagnostic(reply: &Reply) -> String {
    let mut text = reply.to_string();
    text.truncate(text.floor_char_boundary(DIAGNOSTIC_BYTES_MAX));
    text
}

/// RFC 3461 section 6.3 (d): ORCPT without the encoding of the SMTP parameter.
fn original_recipient(orcpt: &str, charset: Charset) -> Option<String> {
    let (kind, address) = orcpt.split_once(';')?;
    let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_kind {
        return None;
    }
    let address = xtext_decoded(address)?;
    Some(format!("{kind}; {}", in_charset(&address, charset)))
}

fn final_recipient(address: &Address, charset: Charset) -> String {
    let kind = if address.needs_utf8() { "utf-8" } else { "rfc822" };
    format!("{kind}; {}", in_charset(address.as_str(), charset))
}

fn in_charset(address: &str, charset: Charset) -> String {
    match charset {
        Charset::Ascii => embedded(address),
        Charset::Utf8 => address.to_owned(),
    }
}
