//! L5: what the operator asks of a running daemon: the control socket, the port for Prometheus, the dashboard.
//!
//! Must not: change anything that the caller on the socket, or of the API, was not let to; what a browser shows changes
//! nothing at all.

pub mod client;
pub mod control;
pub mod desk;
mod http;
pub mod learned;
pub mod metrics_port;
pub mod protocol;
pub mod queue;
pub mod reading;
pub mod secret;
mod spool;
pub mod tlsrpt;
pub mod web;
