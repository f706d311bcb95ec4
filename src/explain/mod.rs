//! L3: what the engine answers to mail that is only thought of, and why: for people and for programs.
//!
//! Must not: look anything up, read a file or a clock, or know who asks.

pub mod error;
pub mod held;
pub mod inbound;
mod json;
pub mod outbound;
pub mod session;
pub mod set_by;
