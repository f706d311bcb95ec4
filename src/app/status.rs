//! How the daemon does, for `gatepost status` and `/readyz`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::admin::protocol::{
    ALARMS_SHOWN_MAX, AlarmStatus, DeliveryCounts, DestinationsStatus, InterferenceStatus, ListenerStatus, Status,
};
use crate::audit::feed::Health;
use crate::clock;
use crate::config::Config;
use crate::facts::learned::{LearnedStore, Standing};
use crate::model::time::Timestamp;
use crate::outbound::Outbound;
use crate::outbound::dispatch::Load;
use crate::policy::interference::Suspicion;
use crate::spool::Spool;

use super::calendar;
use super::certificates::Certificates;
use super::evidence::EvidenceWatch;

/// Where the answers come from.
#[derive(Debug)]
pub(super) struct StatusSource {
    pub(super) config: Arc<ArcSwap<Config>>,
    pub(super) certificates: Arc<ArcSwap<Certificates>>,
    pub(super) spool: Spool,
    pub(super) outbound: Arc<Outbound>,
    pub(super) audit: Health,
    pub(super) evidence: EvidenceWatch,
    pub(super) learned: LearnedStore,
    pub(super) counts: watch::Receiver<Load>,
    pub(super) draining: Arc<AtomicBool>,
    /// As it was at the start: no reload changes it.
    pub(super) dnssec: &'static str,
    pub(super) started_at: Timestamp,
}

impl StatusSource {
    pub(super) fn status(&self) -> Status {
        let config = self.config.load();
        let counts = self.counts.borrow().deliveries;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: config.hostname.to_string(),
            started_at: self.started_at,
            config: config.digest.clone(),
            config_file: config.file.display().to_string(),
            dashboard: config.admin.url(&config.hostname),
            listeners: config.listeners.iter().map(listener).collect(),
            certificates: self.certificates.load().status(clock::timestamp()),
            policy: calendar::status(&config.policies, clock::timestamp()),
            messages: self.spool.message_count(),
            deliveries: DeliveryCounts {
                ready: counts.ready,
                waiting: counts.waiting,
                active: counts.running,
                held: counts.held,
            },
            // The dispatcher knows.
            worst: None,
            spool_free_bytes: self.spool.free_bytes(),
            spool_fault: self.spool.admission().err().map(|fault| fault.to_string()),
            audit_writable: self.audit.is_writable(),
            audit: self.evidence.status(),
            destinations: destinations(self.learned.standing()),
            held_destinations: self.outbound.holds.load().count(),
            soft_bounce: config.spool.soft_bounce,
            dnssec: self.dnssec.to_owned(),
            draining: self.draining.load(Ordering::Relaxed),
        }
    }

    /// Whether mail is accepted; if not, why.
    pub(super) fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("stopping".to_owned());
        }
        self.spool.admission().map_err(|fault| fault.to_string())?;
        if self.audit.is_writable() { Ok(()) } else { Err("the audit log cannot be written".to_owned()) }
    }
}

fn destinations(standing: Standing) -> DestinationsStatus {
    let Standing { alarms, suspicion, levels } = standing;
    let alarm_count = alarms.len();
    let alarm = |(domain, since)| AlarmStatus { domain, since };
    DestinationsStatus {
        encrypt: levels.encrypt,
        verify: levels.verify,
        alarm_count,
        alarms: alarms.into_iter().take(ALARMS_SHOWN_MAX).map(alarm).collect(),
        interference: suspicion.map(|Suspicion { since, count, destinations }| InterferenceStatus {
            since,
            count,
            destinations,
        }),
    }
}

fn listener(listener: &crate::config::ListenerConfig) -> ListenerStatus {
    ListenerStatus {
        name: listener.name.clone(),
        role: listener.role.as_str().to_owned(),
        bind: listener.bind.iter().map(ToString::to_string).collect(),
        tls: listener.tls.as_str().to_owned(),
    }
}
