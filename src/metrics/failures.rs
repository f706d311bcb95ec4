//! What did not go, by reason: what senders were refused, what was not delivered, and what waits for TLS.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use crate::model::reason::Reason;

use super::labels::DeliveryResult;
use super::register::{counters, gauges};

const REFUSALS: &str = "Commands and contents that were refused or put off.";
const FAILURES: &str = "Recipients whom an attempt did not serve.";
const WAITING: &str =
    "Groups of recipients in the queue that travel together and whose last attempt failed for want of TLS.";

/// The series that have a reason.
#[derive(Clone, Debug)]
pub struct Failures {
    smtpd_refusals: IntCounterVec,
    smtp_failures: IntCounterVec,
    queue_waiting_for_tls: IntGaugeVec,
}

impl Failures {
    /// With all that does not depend on the configuration.
    pub(super) fn registered(registry: &Registry) -> Result<Self, prometheus::Error> {
        let failures = Self {
            smtpd_refusals: counters(registry, "smtpd_refusals_total", REFUSALS, &["listener", "reason"])?,
            smtp_failures: counters(registry, "smtp_failures_total", FAILURES, &["result", "reason"])?,
            queue_waiting_for_tls: gauges(registry, "queue_waiting_for_tls", WAITING, &["reason"])?,
        };
        for reason in Reason::OUTBOUND_TLS {
            failures.queue_waiting_for_tls.with_label_values(&[reason.as_str()]);
        }
        for result in DeliveryResult::FAILED {
            for reason in Reason::outbound() {
                failures.smtp_failures.with_label_values(&[result.as_str(), reason.as_str()]);
            }
        }
        Ok(failures)
    }

    /// Makes the series of a listener exist.
    pub(super) fn fill(&self, listener: &str) {
        for reason in Reason::INBOUND {
            self.smtpd_refusals.with_label_values(&[listener, reason.as_str()]);
        }
    }

    /// Something that a client said was not taken.
    pub fn refused(&self, listener: &str, reason: Reason) {
        self.smtpd_refusals.with_label_values(&[listener, reason.as_str()]).inc();
    }

    /// `result` is not `Delivered`.
    pub fn not_delivered(&self, result: DeliveryResult, reason: Reason, recipients: u64) {
        self.smtp_failures.with_label_values(&[result.as_str(), reason.as_str()]).inc_by(recipients);
    }

    /// How many wait for this.
    pub fn wait_for_tls(&self, reason: Reason, count: usize) {
        let gauge = self.queue_waiting_for_tls.with_label_values(&[reason.as_str()]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
