//! What is done once a second: space, segments, idle connections, summaries, what changes by date, gauges.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::facts::sts_cache::StsCache;
use crate::facts::sts_cache::refresh::Refreshed;
use crate::inbound::Inbound;
use crate::outbound::dispatch::Load;
use crate::outbound::{Outbound, learning};
use crate::spool::FreeSpace;

use super::calendar::Calendar;
use super::evidence::EvidenceWatch;

const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at the MTA-STS policies that are kept.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// What the work needs.
#[derive(Debug)]
pub(super) struct Upkeep {
    pub(super) inbound: Arc<Inbound>,
    pub(super) outbound: Arc<Outbound>,
    pub(super) counts: watch::Receiver<Load>,
    pub(super) evidence: EvidenceWatch,
}

pub(super) async fn run(upkeep: Upkeep) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut enough = true;
    let mut calendar = Calendar::new(upkeep.inbound.snapshot.load().policies.clone(), clock::timestamp());
    loop {
        interval.tick().await;
        let done = upkeep.outbound.spool.maintain().await;
        if done.messages_moved > 0 {
            tracing::debug!(messages = done.messages_moved, "messages were moved out of old segments");
        }
        for problem in done.problems {
            tracing::warn!(problem, "the spool could not be tidied");
        }
        if let Some(free) = done.free {
            tell_space(free, &mut enough);
            upkeep.outbound.metrics.spool_free_bytes.set(i64::try_from(free.bytes).unwrap_or(i64::MAX));
        }
        upkeep.inbound.refusals.summarize(&upkeep.inbound.spool, &upkeep.inbound.snapshot.load().stamp);
        upkeep.outbound.pool.tidy().await;
        learning::tick(&upkeep.outbound).await;
        calendar.tell(&upkeep.inbound, clock::timestamp()).await;
        upkeep.set_gauges();
    }
}

/// Fetches policies of MTA-STS again before they expire.
pub(super) async fn refresh_policies(policies: StsCache) {
    let mut interval = tokio::time::interval(REFRESH_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let round = policies.refresh_due(clock::timestamp()).await;
        if round != Refreshed::default() {
            let Refreshed { refreshed, failed, forgotten } = round;
            tracing::info!(refreshed, failed, forgotten, "MTA-STS policies were looked after");
        }
    }
}

/// Says once that space runs out, and once that it is back.
fn tell_space(free: FreeSpace, enough: &mut bool) {
    if free.enough != *enough {
        *enough = free.enough;
        match free.enough {
            true => tracing::info!(free_bytes = free.bytes, "there is enough free space again"),
            false => {
                tracing::error!(free_bytes = free.bytes, "free space is below [spool].min_free_space: mail is refused")
            }
        }
    }
}

impl Upkeep {
    fn set_gauges(&self) {
        let metrics = &self.outbound.metrics;
        self.evidence.set_gauges(metrics);
        for took in self.outbound.spool.take_commit_times() {
            metrics.spool_commit_duration.observe(took.as_secs_f64());
        }
        let Load { deliveries: counts, lacking_tls } = *self.counts.borrow();
        let states =
            [("ready", counts.ready), ("waiting", counts.waiting), ("active", counts.running), ("held", counts.held)];
        for (state, count) in states {
            metrics.queue_messages.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for (reason, count) in lacking_tls.iter() {
            metrics.failures.wait_for_tls(reason, count);
        }
        let now = clock::timestamp();
        let oldest = self.outbound.spool.oldest();
        for (state, since) in [("ready", oldest.untried), ("waiting", oldest.tried)] {
            let age = since.map_or(0, |since| now.saturating_since(since).as_secs());
            metrics.queue_oldest_age.with_label_values(&[state]).set(i64::try_from(age).unwrap_or(i64::MAX));
        }
    }
}
