//! smtp

pub mod capabilities;
pub mod client;
pub mod reply_parser;
