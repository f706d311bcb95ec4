//! The text of MAIL and RCPT: parameters that the server offers, and no others.

use crate::model::envelope::{BodyType, DsnReturn, Notify, Recipient};
use crate::smtp::capabilities::Capabilities;

use super::Transaction;

/// Longest value of ENVID and ORCPT that is passed on (RFC 3461 section 4.2: 500 characters).
const PARAMETER_BYTES_MAX: usize = 500;

/// `MAIL FROM` with its parameters (RFC 1870, 3461, 6152, 6531, 8689), line end included.
pub(super) fn mail_command(transaction: &Transaction, capabilities: &Capabilities) -> String {
    let sender = &transaction.sender;
    let mut line = format!("MAIL FROM:<{}>", sender.path);
    if capabilities.size.is_some() {
        line.push_str(&format!(" SIZE={}", transaction.size));
    }
    let eight_bit = transaction.eight_bit || sender.body == BodyType::EightBitMime;
    if eight_bit && capabilities.eight_bit_mime {
        line.push_str(" BODY=8BITMIME");
    }
    if passes_smtputf8(transaction, capabilities) {
        line.push_str(" SMTPUTF8");
    }
    if sender.require_tls && capabilities.requiretls {
        line.push_str(" REQUIRETLS");
    }
    if capabilities.dsn {
        match sender.ret {
            Some(DsnReturn::Full) => line.push_str(" RET=FULL"),
            Some(DsnReturn::Headers) => line.push_str(" RET=HDRS"),
            None => {}
        }
        if let Some(envid) = sender.envid.as_deref().filter(|value| is_value(value)) {
            line.push_str(&format!(" ENVID={envid}"));
        }
    }
    line.push_str("\r\n");
    line
}

/// `RCPT TO` with its parameters (RFC 3461), line end included.
pub(super) fn rcpt_command(recipient: &Recipient, transaction: &Transaction, capabilities: &Capabilities) -> String {
    let mut line = format!("RCPT TO:<{}>", recipient.address);
    if capabilities.dsn {
        if let Some(notify) = recipient.notify {
            line.push_str(" NOTIFY=");
            line.push_str(&notify_value(notify));
        }
        let orcpt = recipient.orcpt.as_deref().map(|given| {
            match given.is_ascii() || passes_smtputf8(transaction, capabilities) {
                true => given.to_owned(),
                false => utf8_as_xtext(given),
            }
        });
        if let Some(orcpt) = orcpt.filter(|value| is_value(value)) {
            line.push_str(&format!(" ORCPT={orcpt}"));
        }
    }
    line.push_str("\r\n");
    line
}

/// Whether the message can, whoever it is for, only go to a server that offers SMTPUTF8 (RFC 6531 section 3.2).
/// What was submitted with SMTPUTF8 but holds nothing of it goes as ordinary mail.
pub(super) fn message_needs_smtputf8(transaction: &Transaction) -> bool {
    let sender = &transaction.sender;
    let sender_needs = sender.path.mailbox().is_some_and(|address| address.needs_utf8());
    sender_needs || (sender.smtputf8 && transaction.eight_bit)
}

fn passes_smtputf8(transaction: &Transaction, capabilities: &Capabilities) -> bool {
    capabilities.smtputf8
        && (transaction.sender.smtputf8
            || message_needs_smtputf8(transaction)
            || transaction.recipients.iter().any(|recipient| recipient.address.needs_utf8()))
}

fn notify_value(notify: Notify) -> String {
    let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    let chosen: Vec<&str> = words.into_iter().filter_map(|(on, word)| on.then_some(word)).collect();
    if chosen.is_empty() { "NEVER".to_owned() } else { chosen.join(",") }
}

/// RFC 6533 section 3: the form of a `utf-8` address that passes without SMTPUTF8.
fn utf8_as_xtext(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => out.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
        }
    }
    out
}

/// `esmtp-value` of RFC 5321 section 4.1.2, with the characters of RFC 6531. What is none is not passed on.
fn is_value(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= PARAMETER_BYTES_MAX
        && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && c != '=')
}
