//! L2: sockets as the rest of the relay sees them: listening, dialling, and hearing replies.
//!
//! Must not: know what is said over a connection, look up names, or decide what to connect to.

pub mod bounded;
pub mod dial;
pub mod listener;
pub mod passed;
pub mod talk;
