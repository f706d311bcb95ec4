//! Whether somebody is to be told, and how much of the message is returned (RFC 3461 section 6.2, RFC 5321
//! section 6.1).

use crate::model::address::ReversePath;
use crate::model::envelope::{DsnReturn, Envelope, Recipient};

use super::{Action, RETURN_FULL_BYTES_MAX};

/// Whether the sender is to be told about this recipient. For `Delayed` the caller also asks whether the sender is one
/// whose address can be relied on. `Relayed` is for next hops that do not offer DSN.
pub fn notice_due(envelope: &Envelope, recipient: &Recipient, action: Action) -> bool {
    if envelope.sender.path == ReversePath::Null {
        return false;
    }
    let notify = recipient.notify_or_default();
    match action {
        Action::Failed => notify.failure,
        Action::Delayed => notify.delay,
        Action::Relayed => notify.success,
    }
}

/// How much of the message a notice of this kind returns: all of it only if the sender asked for that, something failed
/// (RFC 3461 section 4.3), the message is small, and it does not demand TLS (RFC 8689 section 5).
pub fn returned_part(envelope: &Envelope, action: Action) -> DsnReturn {
    let asked = envelope.sender.ret == Some(DsnReturn::Full) && !envelope.sender.require_tls;
    let full = asked && action == Action::Failed && envelope.size <= RETURN_FULL_BYTES_MAX;
    if full { DsnReturn::Full } else { DsnReturn::Headers }
}
