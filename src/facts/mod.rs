//! L3: what is known of a destination besides what is written: the only place that asks the world about it.
//!
//! Must not: decide what is required (that is policy), connect to mail hosts, or know messages and queues.

pub mod back_ends;
pub mod gather;
pub mod learned;
pub mod sts_cache;
pub mod sts_fetch;
pub mod sts_plan;
pub mod tlsa_lookup;
pub mod tlsrpt;

#[cfg(test)]
pub(crate) mod fake_policy_host;

pub use gather::{DomainFacts, Gatherer, KnownHost};
