//! Opens spool and audit log and ties them together: what the journal makes durable, the log writes down.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::audit::derive::{Derived, Observer, Start};
use crate::audit::event::Stamp;
use crate::audit::feed::{Batch, Feed, Health, channel};
use crate::audit::keep::{Keeper, KeeperHandle, Kept};
use crate::audit::keyfile::{self, KeyError, KeyFiles};
use crate::audit::log::{self, Bounds, Log, LogError, Resumed};
use crate::audit::segments::Segment;
use crate::audit::ship::Shipper;
use crate::config::Config;
use crate::facts::learned::LearnedStore;
use crate::journal;
use crate::journal::disk::Disk;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::model::id::MessageId;
use crate::random;
use crate::spool::{BodyBudget, Mark, Options, Recovered, Spool};

use super::build::learn_terms;
use super::{StartError, evidence};

/// Refusals and ends of attempts wait at most this long for company. With the log's own delay it makes less than the
/// second within which a refusal is on record.
const LAZY_DELAY_MAX: Duration = Duration::from_millis(400);

/// How long another process that has the memory's file, such as a backup, is waited for.
const MEMORY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Spool and log, open.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) spool: Spool,
    pub(super) memory: Memory,
    /// What deliveries have shown.
    pub(super) learned: LearnedStore,
    pub(super) audit: Health,
    /// The way to the log's thread.
    pub(super) feed: Feed,
    pub(super) audit_thread: JoinHandle<()>,
    /// Looks after closed segments.
    pub(super) keeper: Keeper,
    /// Messages from before the start.
    pub(super) pending: Vec<MessageId>,
    /// What the log cannot vouch for, to be recorded.
    pub(super) gaps: Vec<String>,
}

/// What spool and log are opened with, beside the configuration.
#[derive(Debug)]
pub(super) struct Opening {
    /// Of the log's checkpoints.
    pub(super) stamp: Stamp,
    pub(super) metrics: Arc<Metrics>,
    /// Takes the checkpoints.
    pub(super) shipper: Shipper,
    pub(super) accept_damage: bool,
}

/// Blocks: reads the whole journal's metadata.
pub(super) fn open(config: &Config, opening: Opening) -> Result<Storage, StartError> {
    let Opening { stamp, metrics, shipper, accept_damage } = opening;
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
    let memory = remember(&config.spool.path, MEMORY_WAIT_MAX)?;
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
    if let Ok(Some(seen)) = keyfile::seen(&config.audit.key) {
        // What did not arrive before the stop.
        evidence::ship(&shipper, &seen);
    }
    let keeper = keep(config, &feed, log.segment())?;
    let scribe = Scribe { spool: spool.clone(), metrics, segment: 0, shipper, keeper: keeper.handle() };
    let start = Start { log, present, wants_checkpoint, checkpoint_every: config.audit.checkpoint_every };
    let audit_thread = source.spawn(start, Box::new(scribe)).map_err(StartError::System)?;
    tracing::info!(messages = recovered.pending.len(), "the spool is open");
    let learned = LearnedStore::open(memory.clone(), learn_terms(config));
    Ok(Storage { spool, memory, learned, audit, feed, audit_thread, keeper, pending: recovered.pending, gaps })
}

/// Without it mail would go below what was learned, and without policies that are kept. A damaged file is set aside and
/// learned anew; one that is there and cannot be had stops the start.
fn remember(folder: &Path, wait: Duration) -> Result<Memory, StartError> {
    Memory::open_within(folder, wait).map_err(StartError::Memory)
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
    let replayed: Vec<_> = recovered.audit.iter().flat_map(|(_, entries)| entries).cloned().collect();
    let opening = log::Opening {
        filesystem: Arc::new(Disk::readable_by_group()),
        folder,
        keys,
        stamp,
        mark: derived.as_ref().map(|derived| &derived.mark),
        replayed: &replayed,
        bounds: Bounds::default(),
    };
    Ok(Log::open(opening)?)
}

/// Starts to look after the segments before the active one. Nothing is appended yet.
fn keep(config: &Config, feed: &Feed, active: u64) -> Result<Keeper, StartError> {
    let feed = feed.clone();
    let tombstone = move |removed| match feed.tombstone(removed).blocking_recv() {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the daemon is stopping".to_owned()),
    };
    let kept = Kept {
        fs: Arc::new(Disk::readable_by_group()),
        folder: config.audit.path.clone(),
        closed: active.saturating_sub(1),
        settings: evidence::keep_settings(&config.audit),
        tombstone: Box::new(tombstone),
    };
    Keeper::spawn(kept).map_err(StartError::System)
}

/// Remembers in the journal how far the log is, hands on its checkpoints and closed segments, counts, and reports.
struct Scribe {
    spool: Spool,
    metrics: Arc<Metrics>,
    /// The segment of the log that the journal knows of.
    segment: u64,
    shipper: Shipper,
    keeper: KeeperHandle,
}

impl Observer for Scribe {
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

    fn checkpointed(&mut self, line: &str) {
        evidence::ship(&self.shipper, line.as_bytes());
    }

    fn closed(&mut self, segment: &Segment) {
        self.keeper.closed(segment.number);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::FILE_NAME;

    #[test]
    fn a_memory_that_is_there_and_cannot_be_had_stops_the_start_and_a_damaged_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let held = remember(folder.path(), Duration::ZERO).unwrap();
        let error = remember(folder.path(), Duration::ZERO).unwrap_err();
        let expected = format!("what was learned of other hosts: {} is in use by another process", path.display());
        assert_eq!(error.to_string(), expected);
        drop(held);
        std::fs::write(&path, b"no database at all").unwrap();
        drop(remember(folder.path(), Duration::ZERO).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(remember(folder.path(), Duration::ZERO), Err(StartError::Memory(_))));
    }
}
