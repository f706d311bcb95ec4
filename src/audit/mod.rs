//! L2: the audit log. Records ride in the journal; here they become a readable, hash-chained file of JSON lines.
//!
//! Must not: decide anything, or be the place where a record first becomes durable (the journal is).

pub mod chain;
pub mod compress;
pub mod derive;
pub mod event;
pub mod log;
pub mod ship;
pub mod trace;
pub mod verify;
