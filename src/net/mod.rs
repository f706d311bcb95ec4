//! L2: sockets and disks as the rest of the relay sees them: listening and dialling.
//!
//! Must not: speak a protocol, look up names, or decide what to connect to.

pub mod dial;
pub mod listener;
