//! L3: what is known of a destination besides what is written: the only place that asks the world about it.
//!
<<<<<<< .merge_file_Unn9HX
//! Must not: decide what is required (that is policy), connect to mail hosts, or know messages and queues.

pub mod back_ends;
pub mod gather;
pub mod tlsa_lookup;

pub use gather::{DomainFacts, Gatherer, KnownHost};
=======
//! Must not: decide what follows from a fact (that is `policy`), connect to mail hosts, or know messages and queues.

pub mod sts_cache;
pub mod sts_fetch;
pub mod sts_plan;

#[cfg(test)]
mod policy_host;
>>>>>>> .merge_file_787BIc
