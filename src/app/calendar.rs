//! What changes by itself while the daemon runs: steps, exceptions and the emergency switch come and go by date.
//!
//! The engine looks at the date with each question, so nothing has to be done for a change to take effect. It is told
//! here, once: to the log, to the audit log and to the metrics.

use std::sync::Arc;

use crate::admin::protocol::{ChangeStatus, ExceptionStatus, PolicyStatus, SuspensionStatus};
use crate::audit::event::{Event, Record, Stamp};
use crate::inbound::Inbound;
use crate::metrics::Metrics;
use crate::model::time::Timestamp;
use crate::policy::changes::Change;
use crate::policy::rules::PolicySet;
use crate::policy::timed::Enforcement;
use crate::random;
use crate::spool::Spool;

/// Changes that are recorded in one batch.
const BATCH_CHANGES_MAX: usize = 100;

/// Up to when changes were told, and when to look again.
#[derive(Debug)]
pub(super) struct Calendar {
    seen: Timestamp,
    /// `None`: nothing changes any more.
    due: Option<Timestamp>,
    policies: Arc<PolicySet>,
}

impl Calendar {
    pub(super) fn new(policies: Arc<PolicySet>, now: Timestamp) -> Self {
        Self { seen: now, due: due(&policies, now), policies }
    }

    /// What has changed since the last look, earliest first; `None` if there is nothing to do. Policies that were put
    /// in force meanwhile are looked at anew. After the clock was set back changes come again and are told again.
    fn turn(&mut self, policies: &Arc<PolicySet>, now: Timestamp) -> Option<Vec<String>> {
        let is_same = Arc::ptr_eq(&self.policies, policies);
        let since = std::mem::replace(&mut self.seen, now);
        if is_same && now >= since && self.due.is_none_or(|due| due > now) {
            return None;
        }
        let mut changes: Vec<_> = policies.changes().filter(|change| change.at > since && change.at <= now).collect();
        changes.sort_by_key(|change| change.at);
        let told = changes.iter().map(Change::to_string).collect();
        self.due = due(policies, now);
        self.policies = policies.clone();
        Some(told)
    }

    /// Tells what has changed since the last look.
    pub(super) async fn tell(&mut self, inbound: &Inbound, now: Timestamp) {
        let snapshot = inbound.snapshot.load_full();
        let Some(changes) = self.turn(&snapshot.policies, now) else { return };
        set_gauges(&inbound.metrics, &snapshot.policies, now);
        for change in &changes {
            tracing::warn!("{change}");
        }
        for changes in changes.chunks(BATCH_CHANGES_MAX) {
            record(&inbound.spool, &snapshot.stamp, changes, now).await;
        }
    }
}

fn due(policies: &PolicySet, now: Timestamp) -> Option<Timestamp> {
    policies.next_change(now).map(|change| change.at).into_iter().chain(policies.next_expiring(now)).min()
}

async fn record(spool: &Spool, stamp: &Stamp, changes: &[String], now: Timestamp) {
    let entry = |change: &String| {
        let mut record = Record::new(stamp, now, random::record_id(now), Event::ConfigLoaded);
        record.detail = Some(change.clone());
        record.entry()
    };
    if let Err(fault) = spool.record(None, Vec::new(), changes.iter().map(entry).collect()).await {
        tracing::error!(%fault, "what has changed by date could not be recorded");
    }
}

pub(super) fn set_gauges(metrics: &Metrics, policies: &PolicySet, now: Timestamp) {
    metrics.exceptions(policies.exception_counts(now));
    metrics.enforcement_suspended.set(i64::from(policies.enforcement.is_suspended(now)));
}

/// `reloaded`, and loudly where policies are suspended: for the log, and with that for the audit log.
pub(super) fn told_with_suspension(what: &str, policies: &PolicySet, now: Timestamp) -> String {
    let Enforcement::ReportUntil { until, source } = &policies.enforcement else { return what.to_owned() };
    if !policies.enforcement.is_suspended(now) {
        return what.to_owned();
    }
    let until = until.brief();
    tracing::warn!(%until, rule = %source, "ENFORCEMENT IS SUSPENDED: what inbound policies refuse is let through");
    format!("{what}; {source}: enforcement is suspended until {until}")
}

pub(super) fn status(policies: &PolicySet, now: Timestamp) -> PolicyStatus {
    let suspended = match &policies.enforcement {
        Enforcement::ReportUntil { until, source } if now < *until => {
            Some(SuspensionStatus { until: *until, rule: source.to_string() })
        }
        _ => None,
    };
    PolicyStatus {
        suspended,
        exceptions: ExceptionStatus::of(policies.exception_counts(now)),
        next_change: policies.next_change(now).map(|change| ChangeStatus {
            at: change.at,
            kind: change.kind.as_str().to_owned(),
            rule: change.rule.to_string(),
            owner: change.owner.map(str::to_owned),
        }),
    }
}

#[cfg(test)]
mod tests;
