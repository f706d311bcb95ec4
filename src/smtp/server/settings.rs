//! What a session needs to know of its listener.

use std::time::Duration;

use crate::model::address::Address;
use crate::model::domain::Domain;

/// Shared by all sessions of a listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name in the greeting and in the replies to EHLO and HELO.
    pub hostname: Domain,
    /// Whether STARTTLS is offered. A session under TLS does not offer it again.
    pub starttls: bool,
    /// Largest content in octets, without stuffed dots; told in SIZE (RFC 1870).
    pub message_bytes_max: u64,
    /// Recipients of a transaction; more get 452 4.5.3.
    pub recipients_max: u32,
    /// The how-manieth 5xx reply of a session ends it with 421 4.7.0.
    pub errors_max: u32,
    /// Contents begun in a session, whatever became of them; MAIL after that ends it with 421 4.7.0.
    pub messages_max: u32,
    /// Time for the next command to be complete (RFC 5321 section 4.5.3.2.7).
    pub command_timeout: Duration,
    /// Time for the next octets of content (RFC 5321 section 4.5.3.2.5).
    pub data_timeout: Duration,
    /// Time for the handshake after STARTTLS.
    pub tls_timeout: Duration,
    /// What `RCPT TO:<postmaster>` means; `None`: postmaster at `hostname`.
    pub postmaster: Option<Address>,
}
