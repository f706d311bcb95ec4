//! L2: the audit log. Records ride in the journal; here they become a readable, hash-chained file of JSON lines.
//!
//! Must not: decide anything, or be the place where a record first becomes durable (the journal is).

pub mod bounds;
pub mod chain;
pub mod checkpoint;
mod clock_trust;
pub mod compress;
pub mod derive;
pub mod digest;
pub mod event;
pub mod facts;
pub mod feed;
pub mod fields;
pub mod keep;
pub mod key;
pub mod keyfile;
pub mod lines;
pub mod log;
mod near;
pub mod partners;
pub mod pass;
pub mod posture;
pub mod published;
mod reading;
pub mod receipt;
mod remembered;
pub mod replay;
pub mod report;
mod resume;
mod retention;
pub mod segments;
pub mod ship;
#[cfg(test)]
pub(crate) mod specimen;
pub mod stricter;
pub mod tail;
pub mod told;
pub mod trace;
pub mod tree;
pub mod verify;
pub mod what_if;
mod written;

#[cfg(test)]
pub(crate) mod tests;
