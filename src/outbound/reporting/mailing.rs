//! The mail that carries a report, as an ordinary message of our own queue.

use std::sync::Arc;

use crate::mail::dkim::Signer;
use crate::mail::tlsrpt::message::{ComposeError, ReportMail, Submitter, compose_mail};
use crate::mail::tlsrpt::report::Report;
use crate::model::address::{Address, ReversePath};
use crate::model::domain::Domain;
use crate::model::envelope::{Envelope, Notify, Origin, Recipient, Sender, Trust};
use crate::model::id::{MessageId, SessionId};
use crate::model::time::Timestamp;
use crate::spool::{NewMessage, Spool};

/// What is mailed to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letter<'a> {
    pub(super) report: &'a Report,
    pub(super) gzipped: &'a [u8],
    /// The domain that is reported about.
    pub(super) domain: &'a Domain,
    pub(super) submitter: &'a Submitter,
    pub(super) to: &'a Address,
    pub(super) id: MessageId,
    pub(super) session: SessionId,
    pub(super) now: Timestamp,
}

/// The message. It goes from the contact, so that SPF is checked for the domain that signs; a report that cannot be
/// delivered is nobody's loss, so no notice is made of that.
pub(super) fn message(letter: &Letter<'_>, signer: &Signer, spool: &Spool) -> Result<NewMessage, ComposeError> {
    let Letter { report, gzipped, domain, submitter, to, id, now, .. } = *letter;
    let content = compose_mail(&ReportMail { report, gzipped, domain, submitter, to, id, now }, signer)?;
    let envelope = Arc::new(envelope(letter, content.len()));
    Ok(NewMessage { envelope, content: spool.sealed(content) })
}

fn envelope(letter: &Letter<'_>, bytes: usize) -> Envelope {
    Envelope {
        id: letter.id,
        received_at: letter.now,
        sender: Sender::plain(ReversePath::Mailbox(letter.submitter.contact().clone())),
        recipients: vec![Recipient { notify: Some(Notify::NEVER), ..Recipient::plain(letter.to.clone()) }],
        origin: Origin {
            session: letter.session,
            listener: String::new(),
            ip: None,
            port: 0,
            helo: String::new(),
            trust: Trust::Local,
            tls: None,
        },
        size: bytes as u64,
        eight_bit: false,
        tls_required_no: true,
        tls_report: true,
    }
}
