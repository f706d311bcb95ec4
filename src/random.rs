//! L0: the only source of randomness, for ids, jitter and shuffles. Not for secrets.

use crate::model::id::{MessageId, RecordId, SessionId};
use crate::model::time::Timestamp;

pub fn number() -> u64 {
    fastrand::u64(..)
}

pub fn message_id(now: Timestamp) -> MessageId {
    MessageId::new(now, fastrand::u128(..))
}

pub fn session_id(now: Timestamp) -> SessionId {
    SessionId::new(now, fastrand::u128(..))
}

pub fn record_id(now: Timestamp) -> RecordId {
    RecordId::new(now, fastrand::u128(..))
}
