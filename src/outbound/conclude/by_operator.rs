//! What ends because the operator said so: by the ordinary rules, without an attempt.

use crate::clock;
use crate::model::reason::Reason;
use crate::outbound::notices;
use crate::outbound::outcome::Failure;
use crate::spool::Fault;
use crate::spool::state::{Progress, Settled};

use super::{Attempted, Plan};

/// Recipients of one message, those together about whom the same was decided, go back to the sender, who gets one
/// notice. All of it is durable when this returns.
pub(in crate::outbound) async fn bounce(shares: &[(Attempted, Vec<u32>)], detail: &str) -> Result<(), Fault> {
    let Some((first, _)) = shares.first() else { return Ok(()) };
    let failure = Failure::ours(Reason::Operator, true, detail.to_owned());
    let mut plan = Plan::default();
    for (share, places) in shares {
        share.give_up(&mut plan, &failure, places, Settled::Bounced);
    }
    let notices = notices::compose(first, &plan.told, clock::timestamp()).await;
    let progress = Progress { message: first.stored.envelope.id, changes: plan.changes };
    first.outbound.spool.record(Some(progress), notices, plan.records).await
}
