//! TLS reports (RFC 8460): what is counted in a day, the report that is made of it, and the mail that carries it.
//!
//! Must not: know how a report is delivered, or count the sessions that delivered reports (RFC 8460 section 3): the
//! caller leaves those out, else each report would be the reason of the next.

pub mod day;
mod gzip;
pub mod message;
pub mod report;
pub mod result_type;
pub mod session;
pub mod tally;
#[cfg(test)]
mod tests;

pub use gzip::gzip;

/// The media type of a compressed report, in mail and in a POST (RFC 8460 section 6.5).
pub const CONTENT_TYPE_GZIP: &str = "application/tlsrpt+gzip";
