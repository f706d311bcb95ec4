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
    tracing::warn!(%until, rule = %source, "ENFORCEMENT IS SUSPENDED: what inbound policies would refuse is let through");
    format!("{what}; {source}: enforcement is suspended until {until}")
}

pub(super) fn status(policies: &PolicySet, now: Timestamp) -> PolicyStatus {
    let counts = policies.exception_counts(now);
    let suspended = match &policies.enforcement {
        Enforcement::ReportUntil { until, source } if now < *until => {
            Some(SuspensionStatus { until: *until, rule: source.to_string() })
        }
        _ => None,
    };
    PolicyStatus {
        suspended,
        exceptions: ExceptionStatus { active: counts.active, expiring: counts.expiring, expired: counts.expired },
        next_change: policies.next_change(now).map(|change| ChangeStatus {
            at: change.at,
            kind: change.kind.as_str().to_owned(),
            rule: change.rule.to_string(),
            owner: change.owner.map(str::to_owned),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::rules::{Defaults, DomainPolicy};
    use crate::policy::settings::{InboundLayer, Source};
    use crate::policy::timed::{Exception, Rules, Step, Terms};

    const DAY: Duration = Duration::from_secs(86_400);
    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn source(line: u32) -> Source {
        Source::File { file: "bank.toml".into(), line }
    }

    /// A step on day 2, an exception until day 20, the switch until day 3.
    fn policies() -> Arc<PolicySet> {
        let step = Step { from: START + DAY * 2, source: source(1), layer: InboundLayer::default() };
        let terms = Terms {
            source: source(2),
            clients: Vec::new(),
            senders: Vec::new(),
            owner: "facilities".to_owned(),
            reason: "scanners".to_owned(),
            expires: START + DAY * 20,
        };
        let exception = Exception { terms: Arc::new(terms), layer: InboundLayer::default() };
        let inbound = Rules { steps: vec![step], exceptions: vec![exception], ..Rules::default() };
        let bank = DomainPolicy { owner: Some("treasury".to_owned()), inbound, ..DomainPolicy::default() };
        let mut set = PolicySet::new(Defaults::default(), vec![bank]).unwrap();
        set.enforcement = Enforcement::ReportUntil { until: START + DAY * 3, source: source(3) };
        Arc::new(set)
    }

    #[test]
    fn what_changes_by_date_is_told_once_and_again_only_if_the_clock_goes_back() {
        let set = policies();
        let mut calendar = Calendar::new(set.clone(), START);
        let step = "bank.toml:1: step of 2027-01-17T08:00:00Z is in force (owner: treasury)";
        let switch = "bank.toml:3: policies are enforced again, report_until 2027-01-18T08:00:00Z has passed";
        let exception = "bank.toml:2: exception has expired, 2027-02-04T08:00:00Z (owner: facilities)";
        for (day, expected) in [
            (1, None),
            (2, Some(vec![step])),
            (2, None),
            (4, Some(vec![switch])),
            (6, Some(vec![])),
            (7, None),
            (1, Some(vec![])),
            (30, Some(vec![step, switch, exception])),
            (31, None),
        ] {
            let told = calendar.turn(&set, START + DAY * day);
            let told = told.as_ref().map(|told| told.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(told, expected, "day {day}");
        }
    }

    #[test]
    fn other_policies_are_looked_at_anew() {
        let mut calendar = Calendar::new(Arc::new(PolicySet::default()), START);
        assert_eq!(calendar.turn(&policies(), START + DAY), Some(Vec::new()));
        let told = calendar.turn(&calendar.policies.clone(), START + DAY * 2).unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn metrics_status_and_words_say_that_policies_are_suspended_while_they_are() {
        let (set, metrics) = (policies(), Metrics::new().unwrap());
        for (day, is_suspended, gauges) in
            [(0, true, [1, 1, 0, 0]), (6, false, [0, 0, 1, 0]), (20, false, [0, 0, 0, 1])]
        {
            let now = START + DAY * day;
            set_gauges(&metrics, &set, now);
            let text = String::from_utf8(metrics.render().unwrap()).unwrap();
            let names = [
                "gatepost_enforcement_suspended".to_owned(),
                "gatepost_policy_exceptions{state=\"active\"}".to_owned(),
                "gatepost_policy_exceptions{state=\"expiring\"}".to_owned(),
                "gatepost_policy_exceptions{state=\"expired\"}".to_owned(),
            ];
            for (name, gauge) in names.iter().zip(gauges) {
                assert!(text.lines().any(|line| line == format!("{name} {gauge}")), "day {day}: {name} {gauge}");
            }
            let status = status(&set, now);
            assert_eq!(status.suspended.is_some(), is_suspended, "day {day}");
            let words = told_with_suspension("reloaded", &set, now);
            let suspended = "reloaded; bank.toml:3: enforcement is suspended until 2027-01-18T08:00:00Z";
            assert_eq!(words, if is_suspended { suspended } else { "reloaded" });
        }
    }
}
