//! What deliveries show of the hosts that they go to, handed to those who learn from it.

use crate::clock;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;

use super::attempt::Attempt;
use super::targets::Target;

/// One event at one host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) at: Timestamp,
    /// Name, address, what is published about it and what had to be met.
    pub(super) target: &'a Target,
    pub(super) what: What<'a>,
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// A new session that meets what is required; `None` is plaintext.
    Connected(Option<&'a TlsFacts>),
    /// A message was taken over such a session, new or reused.
    Delivered(Option<&'a TlsFacts>),
    /// A try at TLS that came to nothing, or not to what is required. `lost` says that the message does not go this
    /// way; else plaintext or another library is tried next.
    Failed { reason: Reason, tls: Option<&'a TlsFacts>, lost: bool },
}

impl Attempt {
    /// Tells all who learn from it. Reports of TLS go out over whatever there is, so their sessions teach nothing.
    pub(super) fn saw(&self, target: &Target, what: What<'_>) {
        if self.is_report() {
            return;
        }
        self.learn(&Seen { at: clock::timestamp(), target, what });
    }
}
