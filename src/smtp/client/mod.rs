//! The client side of SMTP without I/O: events in (`handle_*`, `begin`, `quit`), actions out (`poll_action`).
//!
//! A driver opens the connection, passes on what it reads and does what `poll_action` says until it gives `None`,
//! before it reads again. One [`ClientSession`] is one connection; each [`Transaction`] is one message for some
//! recipients.
//!
//! Must not: decide whether a session is safe enough for a message (the driver does, at [`Action::Ready`]), or see
//! a body.

mod exchange;
mod outcome;
mod parameters;
mod session;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::model::envelope::{Recipient, Sender};

pub use outcome::{Fault, FaultKind, ProtocolFault, RecipientOutcome, Stage, TransactionResult};
pub use session::ClientSession;

/// What a session needs to know at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of EHLO and HELO: ours, a host name or an address literal.
    pub ehlo_name: String,
    pub tls: TlsPlan,
    pub timeouts: Timeouts,
}

/// What the session does about TLS. Whether the outcome satisfies a policy is for the driver to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPlan {
    Never,
    /// STARTTLS where the server offers it, else plaintext.
    IfOffered,
    /// STARTTLS or nothing.
    Required,
    /// TLS is up before the greeting; no STARTTLS.
    Implicit,
}

/// How long the server may take for each answer (RFC 5321 section 4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub greeting: Duration,
    /// EHLO, HELO, STARTTLS and RSET, and how long a ready session waits for work before it says QUIT.
    pub command: Duration,
    pub mail: Duration,
    pub rcpt: Duration,
    /// The answer to DATA.
    pub data_init: Duration,
    /// Each block of the body to be written.
    pub data_block: Duration,
    /// The answer to the end of the body.
    pub data_done: Duration,
    /// The TLS handshake after STARTTLS.
    pub tls: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            greeting: minutes(5),
            command: minutes(5),
            mail: minutes(5),
            rcpt: minutes(5),
            data_init: minutes(2),
            data_block: minutes(3),
            data_done: minutes(10),
            tls: minutes(1),
        }
    }
}

/// One message for the recipients that share this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub sender: Sender,
    pub recipients: Vec<Recipient>,
    /// Octets of the content, before dot-stuffing (RFC 1870 section 5).
    pub size: u64,
    /// Whether any octet of the content is above 127.
    pub eight_bit: bool,
}

/// What the driver is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Write this, in one piece.
    Send(Vec<u8>),
    /// Run the TLS handshake, then call `handle_tls`. Nothing came behind the server's 220.
    StartTls,
    /// The session can take a transaction: check what the policy requires of it, then `begin` or `quit`.
    Ready,
    /// Stream the body, dot-stuffed and with the final dot, then call `handle_body_sent` before reading further input.
    /// If `Failed` comes meanwhile, stop.
    SendBody,
    /// A transaction has ended. `Ready` follows, at once or after RSET, if the session can take another.
    Finished(TransactionResult),
    /// The session is unusable: write what was to be sent before this, as far as possible, and close the connection.
    Failed(Fault),
    /// The session has ended as `quit` asked: close the connection.
    Closed,
}
