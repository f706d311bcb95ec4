//! Receipts: the records of one message with all that proves them, to be checked without the log.
//!
//! A receipt proves that its records stand in the log as they are, under checkpoints that a key signed. It does not
//! prove that there are no other records of the message.

mod check;
mod make;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::chain::Hash;

pub use check::{Proof, Refusal, check};
pub use make::{MakeError, make};

/// The form that is written and read.
pub const RECEIPT_VERSION: u32 = 1;
/// Records of one receipt.
pub const RECEIPT_RECORDS_MAX: usize = 10_000;
/// Checkpoints of one receipt: one for each record, and those by which keys named the next.
pub const RECEIPT_CHECKPOINTS_MAX: usize = 2 * RECEIPT_RECORDS_MAX;
/// Bytes of a receipt that is read.
pub const RECEIPT_BYTES_MAX: u64 = 256 << 20;

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_VERSION`].
    pub receipt: u32,
    pub message: MessageId,
    pub made: Timestamp,
    /// In the order of the log.
    pub records: Vec<Entry>,
    /// The lines of the checkpoints: those that cover the records, and those by which one key named the next.
    pub checkpoints: Vec<String>,
}

/// One record and its way to the root of a checkpoint's tree (RFC 6962 section 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Without its line end.
    pub line: String,
    /// The number of the checkpoint that covers it.
    pub checkpoint: u64,
    pub path: Vec<Hash>,
}
