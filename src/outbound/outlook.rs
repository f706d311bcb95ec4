//! What lies ahead of a recipient that waits, for the operator: as the next failure would find it.

use std::sync::Arc;

use crate::mail::dsn::{Action, notice_due};
use crate::model::time::Timestamp;
use crate::policy::waiting::Standing;
use crate::spool::Stored;

use super::destination::Decider;
use super::{Snapshot, conclude, notices};

/// Moments that are to come, should nothing change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The end of the message's lifetime.
    pub expires_at: Timestamp,
    /// The route that mail takes from then on whose TLS is still lacking.
    pub reroute: Option<(Arc<str>, Timestamp)>,
    /// The sender is told that it takes long.
    pub tell_at: Option<Timestamp>,
}

/// `None` for a recipient that is settled.
pub fn outlook(snapshot: &Snapshot, stored: &Stored, place: u32, now: Timestamp) -> Option<Outlook> {
    let envelope = &stored.envelope;
    let index = usize::try_from(place).ok()?;
    let (recipient, pending) = (envelope.recipients.get(index)?, stored.states.get(index)?.pending()?);
    let (_, decision) = Decider::new(&snapshot.policies, envelope, &stored.states, now).together(&[place])?;
    let expires_at = conclude::expires_at(envelope, &decision, snapshot);
    let standing = Standing { decision: &decision, lacks_tls_since: pending.lacks_tls_since, now, expires_at };
    let is_told = notices::is_reliable(envelope, snapshot) && notice_due(envelope, recipient, Action::Delayed);
    let of_delay = (!pending.delay_notified).then(|| envelope.received_at + snapshot.delay_warning);
    let of_tls = standing.notice_at().filter(|_| !pending.tls_notified);
    let tell_at = of_delay.into_iter().chain(of_tls).min().filter(|at| is_told && *at < expires_at);
    Some(Outlook { expires_at, reroute: standing.reroute(), tell_at })
}
