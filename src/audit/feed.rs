//! The way to the thread that writes the log: batches of the journal and wishes, and how the log is doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use tokio::sync::oneshot;

use crate::model::record::AuditEntry;

use super::checkpoint::{Removed, Why};
use super::event::Stamp;
use super::keyfile::KeyError;

/// Records that wait for the log; with more of them no mail is taken.
const BACKLOG_RECORDS_MAX: u64 = 200_000;

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
    backlog: AtomicU64,
}

impl Health {
    /// Whether the log takes records; if not, no mail may be accepted and no delivery begun.
    pub fn is_writable(&self) -> bool {
        !self.0.failed.load(Ordering::Relaxed) && self.0.backlog.load(Ordering::Relaxed) < BACKLOG_RECORDS_MAX
    }

    pub(super) fn set_failed(&self, failed: bool) {
        self.0.failed.store(failed, Ordering::Relaxed);
    }

    /// So many records do not wait any more.
    pub(super) fn written(&self, records: usize) {
        self.0.backlog.fetch_sub(records as u64, Ordering::Relaxed);
    }
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
        self.health.0.backlog.fetch_add(batch.entries.len() as u64, Ordering::Relaxed);
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
