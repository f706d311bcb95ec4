//! L0: the vocabulary. Plain values whose constructors parse, so that a value that exists is valid.
//!
//! Must not: do I/O, read a clock, log, or know any other module of this crate.

pub mod actor;
pub mod address;
pub mod assumed;
pub mod base64;
pub mod cipher;
pub mod client_offer;
pub mod destination;
pub mod domain;
pub mod envelope;
pub mod escape;
pub mod hex;
pub mod human;
pub mod id;
pub mod name_server;
pub mod near_domain;
pub mod os_error;
pub mod rate;
pub mod reason;
pub mod record;
pub mod reply;
pub mod spelling;
pub mod time;
pub mod tls;
pub mod tlsa;
