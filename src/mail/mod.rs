//! Message text: the trace field that we add, the scan of what passes through, and the notices and TLS reports that
//! we write (RFC 5322).
//!
//! Must not: hold a whole message that passes through, or let text of a peer begin a header field.

pub mod dkim;
pub mod dsn;
mod fold;
pub mod headers;
pub mod received;
pub mod tlsrpt;
