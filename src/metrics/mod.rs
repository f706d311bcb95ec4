//! L2: what Prometheus scrapes. One struct; every label set is closed and exists from the start with 0.
//!
//! Must not: have a domain, an address or anything else of the peers as a label.

use prometheus::{
    Encoder, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

use crate::model::cipher::SUITES;
use crate::model::reason::Reason;
use crate::model::tls::{ProtocolVersion, TlsFacts, Verified};
use crate::policy::changes::ExceptionCounts;
use crate::policy::inbound::{Stage, Verdict};
use crate::policy::settings::OutboundTls;

mod failures;
mod labels;
mod process;
mod register;

pub use failures::Failures;
pub use labels::{DeliveryResult, Phase, ReportResult, Transport};
use register::{commit_histogram, counter, counters, gauge, gauges, histograms};

/// The `protocol` label of a plaintext session.
pub const PLAINTEXT: &str = "none";

/// All series of one daemon.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    smtpd_connections_total: IntCounterVec,
    smtpd_connections: IntGaugeVec,
    /// How many connections the daemon takes at once.
    pub smtpd_connections_max: IntGauge,
    smtpd_tls_connections: IntCounterVec,
    smtpd_handshake_failures: IntCounterVec,
    smtpd_messages: IntCounterVec,
    policy_decisions: IntCounterVec,
    smtp_tls_connections: IntCounterVec,
    smtp_deliveries: IntCounterVec,
    smtp_tls_failures: IntCounterVec,
    /// What did not go, by reason.
    pub failures: Failures,
    delivery_duration: HistogramVec,
    /// Counts for TLS reports that were not kept.
    pub tlsrpt_sessions_lost: IntCounter,
    tlsrpt_reports: IntCounterVec,
    pub queue_messages: IntGaugeVec,
    pub queue_oldest_age: IntGaugeVec,
    pub spool_commit_duration: Histogram,
    pub spool_free_bytes: IntGauge,
    /// Below it mail is refused.
    pub spool_min_free_bytes: IntGauge,
    pub audit_records: IntCounter,
    pub audit_write_errors: IntCounter,
    /// Of the newest checkpoint that every destination has, in seconds.
    pub audit_checkpoint_age: IntGauge,
    /// Destinations that lack the newest checkpoint.
    pub audit_checkpoint_behind: IntGauge,
    pub config_last_reload_successful: IntGauge,
    /// When the configuration in force was loaded, in seconds since the epoch.
    pub config_last_reload_success: IntGauge,
    /// 0: a certificate's newer files are not in use, because they are wrong.
    pub certificate_last_reload_successful: IntGauge,
    certificate_not_after: IntGaugeVec,
    policy_exceptions: IntGaugeVec,
    /// 1: the emergency switch is on.
    pub enforcement_suspended: IntGauge,
    learned_domains: IntGaugeVec,
    pub learned_violations: IntCounter,
    /// Destinations that do not meet what was learned of them.
    pub learned_alarms: IntGauge,
    /// 1: TLS seems to be taken out of sessions on our own path.
    pub path_interference: IntGauge,
    /// 1: mail is accepted.
    pub ready: IntGauge,
}

/// The states of `gatepost_queue_messages`.
pub const QUEUE_STATES: [&str; 4] = ["ready", "waiting", "active", "held"];

/// The parts of the configuration that are labels.
#[derive(Clone, Copy, Debug)]
pub struct LabelSets<'a> {
    pub listeners: &'a [String],
    /// Groups of domain files; `default` and `other` are added.
    pub groups: &'a [String],
    /// The reasons of handshake failures.
    pub handshake_failures: &'a [&'static str],
}

const CONNECTIONS_MAX: &str = "Inbound connections that can be open at once.";
const TLS_FAILURES: &str = "Hosts whose TLS failed or did not meet the requirement.";
const SPOOL_MIN_FREE: &str = "Free space below which mail is refused.";
const CONFIG_RELOAD: &str = "Whether the last reload of the configuration succeeded.";
const CONFIG_LOADED: &str = "When the configuration in force was loaded, in seconds since the epoch.";
const CERTIFICATE_RELOAD: &str = "Whether the certificates in use are those in their files.";
const EXCEPTIONS: &str = "Exceptions of the policies; expiring: for at most 14 days more.";
const SUSPENDED: &str = "Whether inbound policies report and do not refuse, by the emergency switch.";
const CHECKPOINT_AGE: &str =
    "Age of the newest audit checkpoint that every destination has; grows while nothing is recorded.";
const CHECKPOINT_BEHIND: &str = "Destinations that lack the newest audit checkpoint.";
const LEARNED: &str =
    "Domains that are held to the TLS that they have shown; those that are only proposed do not count.";
const VIOLATIONS: &str = "Sessions that showed less than their destination had shown for long.";
const LEARNED_ALARMS: &str = "Destinations that show less than was learned of them, until they meet it again.";
const READY: &str = "Whether mail is accepted, as /readyz says.";
const INTERFERENCE: &str = "Whether TLS seems to be taken out of sessions on our own path.";
const QUEUE: &str = "Groups of recipients in the queue that travel together.";
const QUEUE_OLDEST: &str = "Age of the oldest message in the queue.";
const TLSRPT_LOST: &str = "Sessions, or counts of them, that TLS reports lack for want of room.";
const TLSRPT_REPORTS: &str = "Tries to send a TLS report to one place; given-up: not tried again.";
const NOT_AFTER: &str = "End of the validity of a certificate of our own.";

impl Metrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let r = Registry::new();
        let metrics = Self::registered(r)?;
        process::register(&metrics.registry)?;
        metrics.fill_fixed_label_sets()?;
        Ok(metrics)
    }

    fn registered(r: Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            smtpd_connections_total: counters(&r, "smtpd_connections_total", "Accepted connections.", &["listener"])?,
            smtpd_connections: gauges(&r, "smtpd_connections", "Open inbound connections.", &["listener"])?,
            smtpd_connections_max: gauge(&r, "smtpd_connections_max", CONNECTIONS_MAX)?,
            smtpd_tls_connections: counters(
                &r,
                "smtpd_tls_connections_total",
                "Finished inbound TLS handshakes.",
                &["listener", "mode", "protocol", "cipher"],
            )?,
            smtpd_handshake_failures: counters(
                &r,
                "smtpd_tls_handshake_failures_total",
                "Failed inbound TLS handshakes.",
                &["listener", "reason"],
            )?,
            smtpd_messages: counters(&r, "smtpd_messages_total", "Accepted messages.", &["listener", "protocol"])?,
            policy_decisions: counters(
                &r,
                "smtpd_policy_decisions_total",
                "Verdicts of the inbound policy.",
                &["stage", "policy", "verdict", "reason"],
            )?,
            smtp_tls_connections: counters(
                &r,
                "smtp_tls_connections_total",
                "Finished outbound TLS handshakes.",
                &["protocol", "cipher", "trust"],
            )?,
            smtp_deliveries: counters(
                &r,
                "smtp_deliveries_total",
                "Recipients by the end of an attempt.",
                &["result", "requirement", "protocol"],
            )?,
            smtp_tls_failures: counters(&r, "smtp_tls_failures_total", TLS_FAILURES, &["reason"])?,
            failures: Failures::registered(&r)?,
            delivery_duration: histograms(&r)?,
            tlsrpt_sessions_lost: counter(&r, "tlsrpt_sessions_lost_total", TLSRPT_LOST)?,
            tlsrpt_reports: counters(&r, "tlsrpt_reports_total", TLSRPT_REPORTS, &["transport", "result"])?,
            queue_messages: gauges(&r, "queue_messages", QUEUE, &["state"])?,
            queue_oldest_age: gauges(&r, "queue_oldest_message_age_seconds", QUEUE_OLDEST, &["state"])?,
            spool_commit_duration: commit_histogram(&r)?,
            spool_free_bytes: gauge(&r, "spool_free_bytes", "Free space of the spool's file system.")?,
            spool_min_free_bytes: gauge(&r, "spool_min_free_bytes", SPOOL_MIN_FREE)?,
            audit_records: counter(&r, "audit_records_total", "Records written to the audit log.")?,
            audit_write_errors: counter(&r, "audit_write_errors_total", "Failed writes of the audit log.")?,
            audit_checkpoint_age: gauge(&r, "audit_checkpoint_age_seconds", CHECKPOINT_AGE)?,
            audit_checkpoint_behind: gauge(&r, "audit_checkpoint_destinations_behind", CHECKPOINT_BEHIND)?,
            config_last_reload_successful: gauge(&r, "config_last_reload_successful", CONFIG_RELOAD)?,
            config_last_reload_success: gauge(&r, "config_last_reload_success_timestamp_seconds", CONFIG_LOADED)?,
            certificate_last_reload_successful: gauge(&r, "certificate_last_reload_successful", CERTIFICATE_RELOAD)?,
            certificate_not_after: gauges(&r, "certificate_not_after_timestamp_seconds", NOT_AFTER, &["name"])?,
            policy_exceptions: gauges(&r, "policy_exceptions", EXCEPTIONS, &["state"])?,
            enforcement_suspended: gauge(&r, "enforcement_suspended", SUSPENDED)?,
            learned_domains: gauges(&r, "learned_domains", LEARNED, &["level"])?,
            learned_violations: counter(&r, "learned_violations_total", VIOLATIONS)?,
            learned_alarms: gauge(&r, "learned_alarms", LEARNED_ALARMS)?,
            path_interference: gauge(&r, "path_interference_suspected", INTERFERENCE)?,
            ready: gauge(&r, "ready", READY)?,
            registry: r,
        })
    }

    fn fill_fixed_label_sets(&self) -> Result<(), prometheus::Error> {
        let build = gauges(&self.registry, "build_info", "The version that runs.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        self.config_last_reload_successful.set(1);
        self.certificate_last_reload_successful.set(1);
        self.exceptions(ExceptionCounts::default());
        self.learned(0, 0);
        for state in QUEUE_STATES {
            self.queue_messages.with_label_values(&[state]);
            self.queue_oldest_age.with_label_values(&[state]);
        }
        for reason in Reason::OUTBOUND_TLS {
            self.smtp_tls_failures.with_label_values(&[reason.as_str()]);
        }
        for transport in Transport::ALL {
            for result in ReportResult::ALL {
                self.tlsrpt_reports.with_label_values(&[transport.as_str(), result.as_str()]);
            }
        }
        for phase in Phase::ALL {
            self.delivery_duration.with_label_values(&[phase.as_str()]);
        }
        for result in DeliveryResult::ALL {
            for level in OutboundTls::ALL {
                for protocol in protocols() {
                    self.smtp_deliveries.with_label_values(&[result.as_str(), level.as_str(), protocol]);
                }
            }
        }
        Ok(())
    }

    /// Makes the series of these labels exist. Called at start and after each reload.
    pub fn fill(&self, sets: LabelSets<'_>) {
        for listener in sets.listeners {
            self.failures.fill(listener);
            self.smtpd_connections_total.with_label_values(&[listener]);
            self.smtpd_connections.with_label_values(&[listener]);
            for protocol in protocols() {
                self.smtpd_messages.with_label_values(&[listener.as_str(), protocol]);
            }
            for reason in sets.handshake_failures {
                self.smtpd_handshake_failures.with_label_values(&[listener.as_str(), reason]);
            }
        }
        let groups = sets.groups.iter().map(String::as_str).chain(["default", "other"]);
        for group in groups {
            for stage in Stage::ALL {
                self.policy_decisions.with_label_values(&[stage.as_str(), group, Verdict::Accept.as_str(), "none"]);
                for verdict in [Verdict::WouldRefuse, Verdict::Defer, Verdict::Refuse] {
                    for reason in Reason::INBOUND_TLS {
                        let labels = [stage.as_str(), group, verdict.as_str(), reason.as_str()];
                        self.policy_decisions.with_label_values(&labels);
                    }
                }
            }
        }
    }

    pub fn connection_opened(&self, listener: &str) {
        self.smtpd_connections_total.with_label_values(&[listener]).inc();
        self.smtpd_connections.with_label_values(&[listener]).inc();
    }

    pub fn connection_closed(&self, listener: &str) {
        self.smtpd_connections.with_label_values(&[listener]).dec();
    }

    /// `mode` is `starttls` or `implicit`.
    pub fn inbound_tls(&self, listener: &str, mode: &'static str, facts: &TlsFacts) {
        let labels = [listener, mode, facts.version.as_str(), suite_label(facts)];
        self.smtpd_tls_connections.with_label_values(&labels).inc();
    }

    pub fn inbound_handshake_failed(&self, listener: &str, reason: &'static str) {
        self.smtpd_handshake_failures.with_label_values(&[listener, reason]).inc();
    }

    pub fn message_accepted(&self, listener: &str, tls: Option<&TlsFacts>) {
        self.smtpd_messages.with_label_values(&[listener, protocol(tls)]).inc();
    }

    pub fn policy_decision(&self, stage: Stage, policy: &str, verdict: Verdict, reason: Option<Reason>) {
        let labels = [stage.as_str(), policy, verdict.as_str(), reason.map_or("none", Reason::as_str)];
        self.policy_decisions.with_label_values(&labels).inc();
    }

    pub fn outbound_tls(&self, facts: &TlsFacts, trust: Verified) {
        let labels = [facts.version.as_str(), suite_label(facts), trust.as_str()];
        self.smtp_tls_connections.with_label_values(&labels).inc();
    }

    pub fn outbound_tls_failed(&self, reason: Reason) {
        self.smtp_tls_failures.with_label_values(&[reason.as_str()]).inc();
    }

    pub fn recipients_ended(&self, result: DeliveryResult, level: OutboundTls, tls: Option<&TlsFacts>, count: u64) {
        let labels = [result.as_str(), level.as_str(), protocol(tls)];
        self.smtp_deliveries.with_label_values(&labels).inc_by(count);
    }

    pub fn delivery_phase(&self, phase: Phase, took: std::time::Duration) {
        self.delivery_duration.with_label_values(&[phase.as_str()]).observe(took.as_secs_f64());
    }

    pub fn tlsrpt_report(&self, transport: Transport, result: ReportResult) {
        self.tlsrpt_reports.with_label_values(&[transport.as_str(), result.as_str()]).inc();
    }

    /// Replaces all series of certificates.
    pub fn certificates(&self, ends: &[(String, i64)]) {
        self.certificate_not_after.reset();
        for (name, not_after) in ends {
            self.certificate_not_after.with_label_values(&[name]).set(*not_after);
        }
    }

    pub fn exceptions(&self, counts: ExceptionCounts) {
        for (state, count) in [("active", counts.active), ("expiring", counts.expiring), ("expired", counts.expired)] {
            self.policy_exceptions.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Domains by the learned level that is in force.
    pub fn learned(&self, encrypt: usize, verify: usize) {
        for (level, count) in [(OutboundTls::Encrypt, encrypt), (OutboundTls::Verify, verify)] {
            let gauge = self.learned_domains.with_label_values(&[level.as_str()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// The exposition text (Prometheus text format 0.0.4).
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        process::append(&mut text);
        Ok(text)
    }
}

fn protocols() -> impl Iterator<Item = &'static str> {
    ProtocolVersion::ALL.into_iter().map(ProtocolVersion::as_str).chain([PLAINTEXT])
}

fn protocol(tls: Option<&TlsFacts>) -> &'static str {
    tls.map_or(PLAINTEXT, |facts| facts.version.as_str())
}

/// The suite as a label of a closed set.
fn suite_label(facts: &TlsFacts) -> &'static str {
    SUITES.iter().find(|suite| suite.name == facts.cipher).map_or("other", |suite| suite.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_closed_series_exists_before_anything_happens() {
        let metrics = Metrics::new().unwrap();
        metrics.fill(LabelSets {
            listeners: &["mx".to_owned()],
            groups: &["banks".to_owned()],
            handshake_failures: &["timeout"],
        });
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        for line in [
            r#"gatepost_smtpd_connections_total{listener="mx"} 0"#,
            r#"gatepost_smtpd_connections{listener="mx"} 0"#,
            r#"gatepost_smtpd_messages_total{listener="mx",protocol="none"} 0"#,
            r#"gatepost_smtpd_messages_total{listener="mx",protocol="TLSv1.3"} 0"#,
            r#"gatepost_smtpd_tls_handshake_failures_total{listener="mx",reason="timeout"} 0"#,
            concat!(
                r#"gatepost_smtpd_policy_decisions_total{policy="banks",reason="tls-required","#,
                r#"stage="rcpt",verdict="would_refuse"} 0"#
            ),
            r#"gatepost_smtpd_policy_decisions_total{policy="default",reason="none",stage="mail",verdict="accept"} 0"#,
            r#"gatepost_smtp_deliveries_total{protocol="none",requirement="encrypt",result="bounced"} 0"#,
            r#"gatepost_smtp_tls_failures_total{reason="starttls-not-supported"} 0"#,
            r#"gatepost_queue_messages{state="waiting"} 0"#,
            r#"gatepost_smtp_delivery_duration_seconds_count{phase="tls"} 0"#,
            "gatepost_config_last_reload_successful 1",
            r#"gatepost_policy_exceptions{state="expiring"} 0"#,
            "gatepost_enforcement_suspended 0",
            r#"gatepost_learned_domains{level="verify"} 0"#,
            "gatepost_learned_violations_total 0",
            "gatepost_path_interference_suspected 0",
            "gatepost_certificate_last_reload_successful 1",
            "gatepost_audit_write_errors_total 0",
            r#"gatepost_smtpd_refusals_total{listener="mx",reason="relay-denied"} 0"#,
            r#"gatepost_smtp_failures_total{reason="dns-failure",result="deferred"} 0"#,
            r#"gatepost_queue_waiting_for_tls{reason="tlsa-invalid"} 0"#,
            "gatepost_learned_alarms 0",
            "gatepost_ready 0",
            "gatepost_audit_checkpoint_age_seconds 0",
            "gatepost_audit_checkpoint_destinations_behind 0",
            concat!(r#"gatepost_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
            "# TYPE process_resident_memory_bytes gauge",
        ] {
            assert!(text.lines().any(|seen| seen == line), "missing: {line}\n{text}");
        }
    }
}
