//! When a message is due, as all implementations see it.

use crate::model::domain::Domain;
use crate::model::time::Timestamp;

use super::super::holds::Held;
use super::super::outline::Outline;
use super::super::state::Pending;

/// When the first of the recipients outside of these domains is due; `None`: not without a word of the operator.
pub fn due(outline: &Outline, except: &[Domain]) -> Option<Timestamp> {
    let counts = |domain: Option<&Domain>| domain.is_none_or(|domain| !except.contains(domain));
    let recipients = outline.recipients.iter().zip(&outline.states).filter(|(address, _)| counts(address.domain()));
    let pending = recipients.filter_map(|(_, state)| state.pending());
    pending
        .filter_map(|Pending { next_attempt, held, .. }| {
            recipient_due(outline.received_at, *next_attempt, held.as_deref())
        })
        .min()
}

/// When a recipient that is pending is due. One that is held is when that ends, so that somebody ends it.
pub fn recipient_due(
    received_at: Timestamp,
    next_attempt: Option<Timestamp>,
    held: Option<&Held>,
) -> Option<Timestamp> {
    let due = next_attempt.unwrap_or(received_at);
    held.map_or(Some(due), |held| held.until.map(|until| until.max(due)))
}
