//! What a session asks its driver to do.

use crate::model::envelope::{Recipient, Sender};
use crate::model::reason::Reason;

use super::transaction::Transaction;

/// One effect. They are to be carried out in the order in which they come.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Write these octets to the client.
    Send(Vec<u8>),
    /// Run the handshake, then call `handle_tls`. The 220 is in a `Send` before. Octets that the client sent ahead of
    /// the handshake in clear must be given to `handle_bytes`, never to TLS.
    StartTls,
    /// Say in `handle_judgement` whether mail from this sender is taken.
    JudgeMail(Sender),
    /// Say in `handle_judgement` whether mail for this recipient is taken.
    JudgeRcpt(Recipient),
    /// Say in `handle_body_ready` whether content can be taken in.
    BodyBegin(Transaction),
    /// The next octets of the content: decoded, with CRLF line ends.
    BodyChunk(Vec<u8>),
    /// The content is complete: make it durable, then call `handle_commit`.
    Commit,
    /// The content that was begun is void: drop it.
    Abort(Reason),
    /// Flush what was sent, then close the connection. Nothing comes after it.
    Close(CloseReason),
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said QUIT.
    Quit,
    /// The client took too long.
    Timeout,
    /// The client closed the connection.
    Eof,
    /// Too many commands of the client failed.
    TooManyErrors,
    /// The client sent something in clear behind STARTTLS.
    Injection,
    /// The relay is stopping.
    Drain,
    /// The client does not keep to the protocol so far that one can go on.
    Protocol,
    /// The session was refused by its driver or has had its share.
    Refused,
}
