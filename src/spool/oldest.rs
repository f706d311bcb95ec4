//! Which messages have waited longest, without a walk through all of them.

use crate::model::id::MessageId;
use crate::model::time::Timestamp;

/// When the oldest messages of the queue came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oldest {
    pub untried: Option<Timestamp>,
    pub tried: Option<Timestamp>,
}

/// Before these ids there is no message of the kind. They move on as messages leave, so that each is passed about once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frontier {
    pub(super) untried: MessageId,
    pub(super) tried: MessageId,
}

impl Default for Frontier {
    fn default() -> Self {
        let end = MessageId::from_u128(u128::MAX);
        Self { untried: end, tried: end }
    }
}

impl Frontier {
    /// A message is of this kind now.
    pub(super) fn note(&mut self, id: MessageId, is_tried: bool) {
        let of_kind = if is_tried { &mut self.tried } else { &mut self.untried };
        *of_kind = id.min(*of_kind);
    }
}
