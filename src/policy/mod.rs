//! L1: decisions. Facts in, verdict and reasons out; the one engine behind the daemon and `policy explain`.
//!
//! Must not: do I/O, read a clock, log, or know the wire protocol.

pub mod alarm;
pub mod alternate;
pub mod assumed;
pub mod candidate;
pub mod changes;
pub mod client_certificate;
pub mod delivery;
pub mod host_requirement;
pub mod in_force;
pub mod inbound;
pub mod interference;
pub mod learned;
pub mod names;
pub mod outbound;
pub mod provenance;
pub mod published;
pub mod refusal_text;
pub mod relay;
pub mod rules;
pub mod session_check;
pub mod settings;
pub mod stricter;
pub mod sts_policy;
pub mod sts_record;
pub mod timed;
pub mod tlsa;
pub mod tlsrpt_record;
pub mod transaction;
pub mod waiting;
