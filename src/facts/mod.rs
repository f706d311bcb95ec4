//! L3: what is known about a destination beyond its MX records and addresses.
//!
//! Must not: decide what follows from a fact (the policy engine does), or know inbound and outbound.

pub mod back_ends;
