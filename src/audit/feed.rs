//! The way to the thread that writes the log: batches of the journal and wishes, and how the log is doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use tokio::sync::oneshot;

use crate::model::record::AuditEntry;

use super::checkpoint::{Removed, Why};
use super::event::Stamp;
use super::keyfile::KeyError;

/// Memory of the records that wait for the log; with more of it no mail is taken. So much is about 150,000 usual
/// records, many seconds of the fastest node, and does not endanger the memory of a small one.
const BACKLOG_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// What a record takes beside its text.
const RECORD_OVERHEAD_BYTES: u64 = 64;

/// The audit entries of one journal batch.
#[derive(Debug)]
pub struct Batch {
    /// The batch's number in the journal.
    pub sequence: u64,
    pub entries: Vec<AuditEntry>,
}

/// What is handed to the thread.
#[derive(Debug)]
pub(super) enum Message {
    Batch(Batch),
    Demand(Demand),
    Stamp(Stamp),
    Stop,
}

/// A wish, and where to answer.
#[derive(Debug)]
pub(super) struct Demand {
    pub(super) wish: Wish,
    pub(super) answer: oneshot::Sender<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Checkpoint(Why),
    Tombstone(Removed),
    NewKey,
}

/// The line of a checkpoint that is durable, without its line end.
pub type Answer = Result<String, DemandError>;

/// Why a wish was not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DemandError {
    /// The system's fault; may pass.
    #[error("{0}")]
    Log(String),
    /// The key was not replaced, or its file was not: then that is done by the next start or the next try.
    #[error("the key of the audit log: {0}")]
    Key(KeyError),
}

/// A cheap view of how the log is doing.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<HealthState>);

#[derive(Debug, Default)]
struct HealthState {
    failed: AtomicBool,
    backlog_bytes: AtomicU64,
}

impl Health {
    /// Whether the log takes records; if not, no mail may be accepted and no delivery begun.
    pub fn is_writable(&self) -> bool {
        !self.0.failed.load(Ordering::Relaxed) && self.0.backlog_bytes.load(Ordering::Relaxed) < BACKLOG_BYTES_MAX
    }

    pub(super) fn set_failed(&self, failed: bool) {
        self.0.failed.store(failed, Ordering::Relaxed);
    }

    fn pushed(&self, records: &[AuditEntry]) {
        self.0.backlog_bytes.fetch_add(memory_bytes(records), Ordering::Relaxed);
    }

    /// These do not wait any more.
    pub(super) fn written(&self, records: &[AuditEntry]) {
        self.0.backlog_bytes.fetch_sub(memory_bytes(records), Ordering::Relaxed);
    }
}

fn memory_bytes(records: &[AuditEntry]) -> u64 {
    records.iter().map(|record| record.json.len() as u64 + RECORD_OVERHEAD_BYTES).sum()
}

/// The way to the thread. It ends when it is told to, or when every clone is dropped.
#[derive(Clone, Debug)]
pub struct Feed {
    sender: Sender<Message>,
    health: Health,
}

impl Feed {
    /// Hands over a batch in journal order. Never blocks.
    pub fn push(&self, batch: Batch) {
        self.health.pushed(&batch.entries);
        // The receiver lives as long as the spool does, but for a panic of the thread, which health then shows.
        if self.sender.send(Message::Batch(batch)).is_err() {
            self.health.set_failed(true);
        }
    }

    /// Asks for a checkpoint over everything that was pushed before. An answer that never comes: the thread has ended.
    pub fn checkpoint(&self) -> oneshot::Receiver<Answer> {
        self.demand(Wish::Checkpoint(Why::Demand))
    }

    /// Asks for the tombstone of segments. Only when it is durable may they be removed.
    pub fn tombstone(&self, removed: Removed) -> oneshot::Receiver<Answer> {
        self.demand(Wish::Tombstone(removed))
    }

    /// Asks for a new key. The answer is the checkpoint by which the old one names it.
    pub fn rotate_key(&self) -> oneshot::Receiver<Answer> {
        self.demand(Wish::NewKey)
    }

    /// The configuration that later checkpoints name.
    pub fn set_stamp(&self, stamp: Stamp) {
        _ = self.sender.send(Message::Stamp(stamp));
    }

    /// Ends the thread behind everything that was pushed before, with a checkpoint.
    pub fn stop(&self) {
        _ = self.sender.send(Message::Stop);
    }

    fn demand(&self, wish: Wish) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        // If the thread is gone the sender is dropped with the demand, and the receiver tells.
        _ = self.sender.send(Message::Demand(Demand { wish, answer }));
        receiver
    }
}

/// What was pushed, for the thread to be started.
#[derive(Debug)]
pub struct Source {
    pub(super) receiver: Receiver<Message>,
    pub(super) health: Health,
}

impl Source {
    pub fn health(&self) -> Health {
        self.health.clone()
    }
}

/// The way to a thread that is started later: the journal needs the feed before the log can be opened.
pub fn channel() -> (Feed, Source) {
    let (sender, receiver) = mpsc::channel();
    let health = Health::default();
    (Feed { sender, health: health.clone() }, Source { receiver, health })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::RecordId;

    #[test]
    fn mail_waits_when_the_records_that_wait_take_too_much_memory_be_they_many_or_large() {
        for (text_bytes, records_max) in [(0, 2_097_152), (960, 131_072), (64 * 1024, 2_046)] {
            let (feed, source) = channel();
            let entry = AuditEntry { id: RecordId::from_u128(7), json: "x".repeat(text_bytes).into() };
            let waiting = vec![entry.clone(); records_max];
            feed.health.pushed(&waiting[1..]);
            assert!(source.health().is_writable(), "{text_bytes}");
            feed.push(Batch { sequence: 1, entries: vec![entry] });
            feed.health.pushed(&waiting[..1]);
            assert!(!source.health().is_writable(), "{text_bytes}");
            source.health().written(&waiting);
            assert!(source.health().is_writable(), "{text_bytes}");
        }
    }
}
