//! A mail transaction: from the accepted MAIL to the accepted DATA.

use std::collections::HashSet;

use crate::model::address::Address;
use crate::model::envelope::{Recipient, Sender};

/// The envelope of content that begins, as the session knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub sender: Sender,
    /// At least one; each mailbox once.
    pub recipients: Vec<Recipient>,
    /// The name of HELO or EHLO, escaped.
    pub helo: String,
    /// Whether the client said EHLO.
    pub esmtp: bool,
}

/// A transaction that still takes recipients.
#[derive(Debug)]
pub(super) struct OpenTransaction {
    pub(super) sender: Sender,
    recipients: Vec<Recipient>,
    /// The addresses of `recipients`.
    known: HashSet<Address>,
    /// Whether any RCPT failed, which makes DATA without recipients another error.
    pub(super) any_refused: bool,
}

impl OpenTransaction {
    pub(super) fn new(sender: Sender) -> Self {
        Self { sender, recipients: Vec::new(), known: HashSet::new(), any_refused: false }
    }

    pub(super) fn accept(&mut self, recipient: Recipient) {
        if self.known.insert(recipient.address.clone()) {
            self.recipients.push(recipient);
        }
    }

    pub(super) fn has(&self, address: &Address) -> bool {
        self.known.contains(address)
    }

    pub(super) fn is_full(&self, recipients_max: u32) -> bool {
        u32::try_from(self.recipients.len()).is_ok_and(|count| count >= recipients_max)
    }

    pub(super) fn has_recipients(&self) -> bool {
        !self.recipients.is_empty()
    }

    pub(super) fn into_transaction(self, helo: String, esmtp: bool) -> Transaction {
        Transaction { sender: self.sender, recipients: self.recipients, helo, esmtp }
    }
}
