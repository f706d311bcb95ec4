//! What is kept in memory of messages that came in, for their first delivery: envelope and content.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::model::envelope::Envelope;
use crate::model::id::MessageId;

use super::budget::Reservation;

/// Ids in the order that may be of nobody any more, beside as many as are held.
const STALE_MAX: usize = 1024;

/// A message that is in memory whole.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) envelope: Arc<Envelope>,
    pub(super) chunks: Vec<Bytes>,
    /// For both.
    pub(super) _reservation: Reservation,
}

/// Messages in memory, the oldest to go first.
#[derive(Debug, Default)]
pub(super) struct Cache {
    held: HashMap<MessageId, Cached>,
    order: VecDeque<MessageId>,
}

impl Cache {
    pub(super) fn insert(&mut self, id: MessageId, cached: Cached) {
        self.held.insert(id, cached);
        self.order.push_back(id);
        if self.order.len() > 2 * self.held.len() + STALE_MAX {
            self.order.retain(|id| self.held.contains_key(id));
        }
    }

    pub(super) fn get(&self, id: MessageId) -> Option<&Cached> {
        self.held.get(&id)
    }

    pub(super) fn remove(&mut self, id: MessageId) {
        self.held.remove(&id);
    }

    /// Gives up the oldest while `is_tight` says so.
    pub(super) fn relieve(&mut self, is_tight: impl Fn() -> bool) {
        while is_tight() {
            let Some(id) = self.order.pop_front() else { return };
            self.held.remove(&id);
        }
    }
}

/// About what an envelope takes in memory. What has no bound is counted.
pub(super) fn envelope_bytes(envelope: &Envelope) -> u64 {
    let recipients = envelope.recipients.iter().map(|to| 200 + to.address.as_str().len());
    let strings = [&envelope.origin.listener, &envelope.origin.helo].map(String::len);
    (1024 + recipients.chain(strings).sum::<usize>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::envelope::{Origin, Sender, Trust};
    use crate::model::id::SessionId;
    use crate::model::time::Timestamp;
    use crate::spool::BodyBudget;

    fn cached(number: u128) -> Cached {
        let origin = Origin {
            session: SessionId::from_u128(1),
            listener: String::new(),
            ip: None,
            port: 0,
            helo: String::new(),
            trust: Trust::Local,
            tls: None,
        };
        let envelope = Envelope {
            id: MessageId::from_u128(number),
            received_at: Timestamp::from_secs(1),
            sender: Sender::plain(crate::model::address::ReversePath::Null),
            recipients: Vec::new(),
            origin,
            size: 0,
            eight_bit: false,
            tls_required_no: false,
            tls_report: false,
        };
        let _reservation = BodyBudget::new(1).reservation();
        Cached { envelope: Arc::new(envelope), chunks: Vec::new(), _reservation }
    }

    #[test]
    fn what_has_left_leaves_no_trace_beyond_a_bound() {
        let mut cache = Cache::default();
        cache.insert(MessageId::from_u128(0), cached(0));
        for number in 1..10 * STALE_MAX as u128 {
            cache.insert(MessageId::from_u128(number), cached(number));
            cache.remove(MessageId::from_u128(number));
            assert!(cache.order.len() <= STALE_MAX + 4, "{}", cache.order.len());
        }
        assert!(cache.get(MessageId::from_u128(0)).is_some());
        let tight = std::cell::Cell::new(true);
        cache.relieve(|| tight.replace(false));
        assert!(cache.get(MessageId::from_u128(0)).is_none(), "the oldest goes first");
    }
}
