//! Opens spool and audit log and ties them together: what the journal makes durable, the log writes down.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::audit::derive::{Derived, Observer, Start};
use crate::audit::event::Stamp;
use crate::audit::feed::{Batch, Feed, Health, channel};
use crate::audit::keyfile::{KeyError, KeyFiles};
use crate::audit::log::{Bounds, Log, LogError, Opening, Resumed};
use crate::audit::segments::Segment;
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
    /// The way to the log's thread.
    pub(super) feed: Feed,
    pub(super) audit_thread: JoinHandle<()>,
    /// Messages from before the start.
    pub(super) pending: Vec<MessageId>,
    /// What the log cannot vouch for, to be recorded.
    pub(super) gaps: Vec<String>,
}

/// Blocks: reads the whole journal's metadata. `stamp` is that of the log's checkpoints.
pub(super) fn open(
    config: &Config,
    stamp: Stamp,
    metrics: &Arc<Metrics>,
    accept_damage: bool,
) -> Result<Storage, StartError> {
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
    let (log, resumed) = open_log(config, stamp, &recovered)?;
    let Resumed { present, problems, cut, new_key, wants_checkpoint } = resumed;
    if let Some(cut) = cut {
        tracing::warn!("the last write of the audit log was not finished before the stop: {cut}");
    }
    if let Some(key) = new_key {
        let path = config.audit.key.display();
        tracing::warn!(%key, %path, "the audit log has a new key; keep its public half elsewhere, to verify by");
    }
    gaps.extend(problems);
    for gap in &gaps {
        tracing::error!("{gap}");
    }
    // Before anything new: the log keeps the order of the journal.
    for (sequence, entries) in recovered.audit {
        feed.push(Batch { sequence, entries });
    }
    let audit = source.health();
    let keeper = Keeper { spool: spool.clone(), metrics: metrics.clone(), segment: 0 };
    let start = Start { log, present, wants_checkpoint, checkpoint_every: config.audit.checkpoint_every };
    let audit_thread = source.spawn(start, Box::new(keeper)).map_err(StartError::System)?;
    tracing::info!(messages = recovered.pending.len(), "the spool is open");
    Ok(Storage { spool, audit, feed, audit_thread, pending: recovered.pending, gaps })
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

fn open_log(config: &Config, stamp: Stamp, recovered: &Recovered) -> Result<(Log, Resumed), StartError> {
    let derived: Option<Derived> = recovered.mark.as_ref().and_then(|mark| serde_json::from_str(&mark.note).ok());
    let folder = &config.audit.path;
    let keys = KeyFiles::new(Arc::new(Disk::default()), &config.audit.key, folder)?;
    let opening = Opening {
        filesystem: Arc::new(Disk::readable_by_group()),
        folder,
        keys,
        stamp,
        mark: derived.as_ref().map(|derived| &derived.mark),
        replayed: &recovered.audit.iter().flat_map(|(_, entries)| entries).map(|entry| entry.id).collect(),
        bounds: Bounds::default(),
    };
    Ok(Log::open(opening)?)
}

/// Remembers in the journal how far the log is, counts, and reports.
struct Keeper {
    spool: Spool,
    metrics: Arc<Metrics>,
    /// The segment of the log that the journal knows of.
    segment: u64,
}

impl Observer for Keeper {
    fn derived(&mut self, derived: Derived, records: u64) {
        self.metrics.audit_records.inc_by(records);
        let sequence = derived.sequence;
        // Strings and numbers only: this cannot fail, and an empty note only costs reading at the next start.
        let note = serde_json::to_string(&derived).unwrap_or_default();
        let is_new_segment = std::mem::replace(&mut self.segment, derived.mark.segment) != derived.mark.segment;
        if (records > 0 || is_new_segment)
            && let Err(fault) = self.spool.audit_is_durable(Mark { sequence, note })
        {
            tracing::debug!(%fault, "the state of the audit log was not remembered");
        }
    }

    fn checkpointed(&mut self, _: &str) {}

    fn closed(&mut self, segment: &Segment) {
        tracing::debug!(segment = segment.number, "a segment of the audit log is closed");
    }

    fn failed(&mut self, error: &LogError) {
        self.metrics.audit_write_errors.inc();
        tracing::error!(%error, "the audit log cannot be written");
    }

    fn recovered(&mut self) {
        tracing::info!("the audit log is written again");
    }

    fn not_remembered(&mut self, error: &KeyError) {
        tracing::error!(%error, "the newest checkpoint could not be kept beside the key of the audit log");
    }
}
