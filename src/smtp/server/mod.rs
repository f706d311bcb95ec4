//! One SMTP session from the server's side: `handle_*` takes what happened, `poll_action` gives what is to be done.
//!
//! Must not: decide whom mail is taken from or for (the driver answers that), or give out a 250 for content before
//! the driver says that it is committed.

mod action;
mod body;
mod commands;
mod replies;
mod session;
mod settings;
mod steps;
mod transaction;

#[cfg(test)]
mod tests;

pub use action::{Action, CloseReason};
pub use session::{PIPELINE_BYTES_MAX, ServerSession};
pub use settings::Settings;
pub use transaction::Transaction;
