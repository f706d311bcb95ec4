//! The audit log's upkeep: checkpoints sent elsewhere, closed segments compressed and one day removed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::admin::protocol::{AuditStatus, CheckpointStatus, DestinationStatus};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::keep::{KeepSettings, Keeper, KeeperHandle};
use crate::audit::ship::{Destination, SEND_TIMEOUT, Sender, Shipment, Shipper, Standing};
use crate::clock;
use crate::config::{AuditConfig, Config};
use crate::metrics::Metrics;
use crate::model::time::Timestamp;
use crate::tls::failure::SetupError;
use crate::tls::https::https_client;
use crate::tls::roots::Roots;

/// How long the last checkpoint may take to arrive elsewhere before the process ends.
const LAST_SHIPMENT_TIMEOUT: Duration = Duration::from_secs(3);

/// The running upkeep.
#[derive(Debug)]
pub(super) struct Evidence {
    shipper: Shipper,
    keeper: Keeper,
    tasks: JoinSet<()>,
}

impl Evidence {
    /// Begins to send.
    pub(super) fn start(shipper: Shipper, keeper: Keeper) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(shipper.clone().run());
        Self { shipper, keeper, tasks }
    }

    pub(super) fn watch(&self) -> EvidenceWatch {
        EvidenceWatch { shipper: self.shipper.clone(), keeper: self.keeper.handle() }
    }

    /// Puts what a reload has changed in force.
    pub(super) fn configure(&self, config: &AuditConfig) {
        self.shipper.configure(destinations(config));
        self.keeper.handle().configure(keep_settings(config));
    }

    /// Ends the work on segments, so that nobody but the journal feeds the log any more. What takes longer than
    /// `at_most` is left: no state of a segment needs an end of it.
    pub(super) async fn stop_keeper(self, at_most: Duration) -> LastShipment {
        let Self { shipper, keeper, tasks } = self;
        let ended = tokio::task::spawn_blocking(move || keeper.stop());
        if tokio::time::timeout(at_most, ended).await.is_err() {
            tracing::warn!("a closed segment of the audit log is still worked on; the next start finishes that");
        }
        LastShipment { shipper, tasks }
    }
}

/// What is left to do when the log has ended.
#[derive(Debug)]
pub(super) struct LastShipment {
    shipper: Shipper,
    tasks: JoinSet<()>,
}

impl LastShipment {
    /// Lets the checkpoint of the stop arrive.
    pub(super) async fn finish(mut self) {
        if tokio::time::timeout(LAST_SHIPMENT_TIMEOUT, self.shipper.drained()).await.is_err() {
            tracing::warn!("the last checkpoint of the audit log did not arrive everywhere; the next start sends it");
        }
        self.tasks.shutdown().await;
    }
}

/// A view of it for status and metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct EvidenceWatch {
    shipper: Shipper,
    keeper: KeeperHandle,
}

impl EvidenceWatch {
    pub(super) fn status(&self) -> AuditStatus {
        let report = self.shipper.report();
        AuditStatus {
            checkpoint: report.newest.map(checkpoint_status),
            destinations: report.destinations.into_iter().map(destination_status).collect(),
            fault: self.keeper.fault(),
        }
    }

    pub(super) fn set_gauges(&self, metrics: &Metrics) {
        let report = self.shipper.report();
        let age = report.age(clock::timestamp()).as_secs();
        metrics.audit_checkpoint_age.set(i64::try_from(age).unwrap_or(i64::MAX));
        metrics.audit_checkpoint_behind.set(i64::try_from(report.behind()).unwrap_or(i64::MAX));
    }
}

/// `roots` vouch for webhooks.
pub(super) fn shipper(config: &Config, roots: &Roots) -> Result<Shipper, SetupError> {
    let hostname = Arc::from(config.hostname.as_str());
    let sender = Sender { hostname, tls: https_client(roots)?, timeout: SEND_TIMEOUT };
    Ok(Shipper::new(sender, destinations(&config.audit)))
}

pub(super) fn keep_settings(config: &AuditConfig) -> KeepSettings {
    KeepSettings { keep: config.keep, compress: config.compress }
}

/// Hands a checkpoint of the log on. A line that is none is left alone.
pub(super) fn ship(shipper: &Shipper, line: &[u8]) {
    let checkpoint = Checkpoint::parse(line);
    if let Some((Checkpoint { seq, time, .. }, line)) = checkpoint.zip(str::from_utf8(line).ok()) {
        shipper.put(&Shipment { seq, time, line: line.into() });
    }
}

fn destinations(config: &AuditConfig) -> Vec<Destination> {
    let file = config.checkpoint_file.clone().map(Destination::File);
    let syslog = config.checkpoint_syslog.clone().map(Destination::Syslog);
    let webhook = config.checkpoint_webhook.clone().map(Destination::Webhook);
    [file, syslog, webhook].into_iter().flatten().collect()
}

fn checkpoint_status((seq, time): (u64, Timestamp)) -> CheckpointStatus {
    CheckpointStatus { seq, time }
}

fn destination_status(standing: Standing) -> DestinationStatus {
    let Standing { kind, target, sent, waiting, given_up, trouble, .. } = standing;
    DestinationStatus {
        kind: kind.to_owned(),
        target,
        sent: sent.map(checkpoint_status),
        waiting,
        given_up,
        failing_since: trouble.as_ref().map(|trouble| trouble.since),
        error: trouble.map(|trouble| trouble.error),
    }
}
