//! L3: what a destination publishes and has shown, beyond its mail hosts: asked of the world, and kept.
//!
//! Must not: decide what follows from a fact (that is `policy`), connect to mail hosts, or know messages and queues.

pub mod sts_cache;
pub mod sts_fetch;
pub mod sts_plan;

#[cfg(test)]
mod policy_host;
