//! L5: what the operator asks of a running daemon: the control socket, and the port for Prometheus.
//!
//! Must not: change anything that the caller on the socket was not let to; the HTTP port changes nothing at all.

pub mod client;
pub mod control;
pub mod http;
pub mod learned;
pub mod protocol;
pub mod queue;
pub mod reading;
mod spool;
pub mod tlsrpt;
