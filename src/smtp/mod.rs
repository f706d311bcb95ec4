//! L1: the wire protocol, sans-io: lines, commands, replies, message data, and the sessions that speak it (RFC 5321).
//!
//! Must not: do I/O, read a clock, log, draw random numbers, or know why a sender or recipient is refused: the driver
//! carries the question to the policy and the answer back.

pub mod capabilities;
pub mod client;
pub mod command;
pub mod data;
pub mod grammar;
pub mod line;
pub mod reply_parser;
pub mod reply_writer;
pub mod server;
