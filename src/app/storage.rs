//! Opens spool and audit log and ties them together: what the journal makes durable, the log writes down.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::audit::derive::{Batch, Derived, Health, Observer, channel};
use crate::audit::log::{Log, LogError};
use crate::config::Config;
use crate::journal;
use crate::journal::disk::Disk;
use crate::metrics::Metrics;
use crate::model::id::MessageId;
use crate::random;
use crate::spool::{BodyBudget, Mark, Options, Recovered, Spool};

use super::StartError;

/// Refusals and ends of attempts wait at most this long for company. With the log's own delay it makes less than the
/// second within which a refusal is on record.
const LAZY_DELAY_MAX: Duration = Duration::from_millis(400);

/// Spool and log, open.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) spool: Spool,
    pub(super) audit: Health,
    pub(super) audit_thread: JoinHandle<()>,
    /// Messages from before the start.
    pub(super) pending: Vec<MessageId>,
    /// What the log cannot vouch for, to be recorded.
    pub(super) gaps: Vec<String>,
}

/// Blocks: reads the whole journal's metadata.
pub(super) fn open(config: &Config, metrics: &Arc<Metrics>, accept_damage: bool) -> Result<Storage, StartError> {
    let (feed, source) = channel();
    let sink = feed.clone();
    let options = Options {
        path: config.spool.path.clone(),
        min_free_bytes: config.spool.min_free_space,
        budget: BodyBudget::new(config.limits.max_body_memory),
        limits: journal::Limits { lazy_delay_max: LAZY_DELAY_MAX, ..journal::Limits::default() },
        salt: random::number(),
    };
    let audit_sink = Box::new(move |sequence, entries| sink.push(Batch { sequence, entries }));
    let (spool, recovered) = Spool::open(options, Arc::new(Disk::default()), audit_sink)
        .map_err(|source| StartError::Spool { path: config.spool.path.clone(), source })?;
    let mut gaps = report(&recovered, accept_damage)?;
    let (log, resumed) = open_log(&config.audit.path, recovered.mark.as_ref())?;
    gaps.extend(resumed.problems);
    for gap in &gaps {
        tracing::error!("{gap}");
    }
    // Before anything new: the log keeps the order of the journal.
    for (sequence, entries) in recovered.audit {
        feed.push(Batch { sequence, entries });
    }
    let audit = source.health();
    let keeper = Keeper { spool: spool.clone(), metrics: metrics.clone() };
    let audit_thread = source.spawn(log, resumed.present, Box::new(keeper)).map_err(StartError::System)?;
    tracing::info!(messages = recovered.pending.len(), "the spool is open");
    Ok(Storage { spool, audit, audit_thread, pending: recovered.pending, gaps })
}

/// Tells what was found wrong. Damage stops the start unless the operator has said otherwise.
fn report(recovered: &Recovered, accept_damage: bool) -> Result<Vec<String>, StartError> {
    if !recovered.damage.is_empty() && !accept_damage {
        return Err(StartError::Damaged(recovered.damage.clone()));
    }
    if let Some(torn) = &recovered.torn {
        tracing::warn!(
            segment = torn.segment,
            offset = torn.offset,
            bytes = torn.length,
            "the last write was not finished before the stop; nothing of it had been acknowledged"
        );
    }
    let damage = recovered.damage.iter().map(|damage| format!("the spool is damaged: {damage}"));
    Ok(damage
        .chain(recovered.unreadable.iter().map(|what| format!("the spool cannot be understood: {what}")))
        .collect())
}

fn open_log(folder: &Path, mark: Option<&Mark>) -> Result<(Log, crate::audit::log::Resumed), LogError> {
    let derived: Option<Derived> = mark.and_then(|mark| serde_json::from_str(&mark.note).ok());
    Log::open(folder, derived.as_ref().map(|derived| &derived.mark))
}

/// Remembers in the journal how far the log is, counts, and reports.
struct Keeper {
    spool: Spool,
    metrics: Arc<Metrics>,
}

impl Observer for Keeper {
    fn derived(&mut self, derived: Derived, records: u64) {
        self.metrics.audit_records.inc_by(records);
        let sequence = derived.sequence;
        // Strings and numbers only: this cannot fail, and an empty note only costs reading at the next start.
        let note = serde_json::to_string(&derived).unwrap_or_default();
        if records > 0
            && let Err(fault) = self.spool.audit_is_durable(Mark { sequence, note })
        {
            tracing::debug!(%fault, "the state of the audit log was not remembered");
        }
    }

    fn failed(&mut self, error: &LogError) {
        self.metrics.audit_write_errors.inc();
        tracing::error!(%error, "the audit log cannot be written");
    }

    fn recovered(&mut self) {
        tracing::info!("the audit log is written again");
    }
}
