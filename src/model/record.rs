//! One audit record on its way from where it happened to the log: an id and its text.

use std::sync::Arc;

use super::id::RecordId;

/// Longest text of one record in bytes. No writer makes a longer one, and readers take a longer one for no record.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// A record before it has its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub id: RecordId,
    /// A JSON object without `seq` and `prev`, which the log adds.
    pub json: Arc<str>,
}
