//! L1: a configuration of Postfix as it would read it: its grammar, its tables, its routing and its TLS policy.
//!
//! Must not: read a file, or know what Gatepost makes of it.

pub mod ciphers;
pub mod expand;
pub mod lines;
pub mod lists;
pub mod main_cf;
pub mod master_cf;
pub mod next_hop;
pub mod parameters;
pub mod protocols;
pub mod routing;
pub mod tables;
pub mod tls_client;
pub mod tls_policy;

use std::fmt;
use std::sync::Arc;

/// Where something was written: `main.cf:12`, or `tls_policy:3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The name of the file without its folder.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
}

impl Place {
    pub fn new(file: &str, line: u32) -> Self {
        Self { file: file.into(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
