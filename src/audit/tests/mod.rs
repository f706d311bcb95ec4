//! The writing side as a whole: a log on a disk that fails and forgets, held against what it reported as durable.

mod faults;
mod forged;
mod model;
mod opening;
mod thread;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::disk::Disk;
use crate::journal::simulated::Simulated;
use crate::model::id::RecordId;
use crate::model::record::AuditEntry;
use crate::model::time::Timestamp;

use super::chain::{Hash, Tip};
use super::checkpoint::{Checkpoint, Why, verify_signature};
use super::event::{Event, Record, Stamp};
use super::key::PublicKey;
use super::keyfile::KeyFiles;
use super::log::{Bounds, Log, LogOrKeyError, Mark, Opening, Resumed};
use super::tree::TreeBuilder;

/// Small enough for several segments and trees in a short run.
const SMALL: Bounds = Bounds { segment_bytes_max: 4000, checkpoint_lines_max: 7 };
const NOON: Timestamp = Timestamp::from_secs(1_800_014_400);

/// A log on the real disk whose key is kept in memory, for tests of its readers.
pub(crate) fn scratch(folder: &Path) -> Log {
    let keys = KeyFiles::new(Arc::new(Simulated::default()), Path::new("/keys/audit.key"), folder).unwrap();
    let (filesystem, replayed) = (Arc::new(Disk::readable_by_group()), []);
    let opening = Opening {
        filesystem,
        folder,
        keys,
        stamp: stamp(),
        mark: None,
        replayed: &replayed,
        bounds: Bounds::default(),
    };
    Log::open(opening).unwrap().0
}

fn stamp() -> Stamp {
    Stamp { node: "mx1".into(), config: "abc".into() }
}

fn folder() -> PathBuf {
    PathBuf::from("/log")
}

fn keys(disk: &Simulated) -> KeyFiles {
    KeyFiles::new(Arc::new(disk.clone()), Path::new("/keys/audit.key"), &folder()).unwrap()
}

fn open(disk: &Simulated, mark: Option<&Mark>, replayed: &[AuditEntry]) -> Result<(Log, Resumed), LogOrKeyError> {
    let (filesystem, folder) = (Arc::new(disk.clone()), folder());
    let opening =
        Opening { filesystem, folder: &folder, keys: keys(disk), stamp: stamp(), mark, replayed, bounds: SMALL };
    Log::open(opening)
}

/// A log without a mark and with nothing to be replayed.
fn open_alone(disk: &Simulated) -> (Log, Resumed) {
    open(disk, None, &[]).unwrap()
}

fn id(n: u128) -> RecordId {
    RecordId::from_u128(n)
}

fn entry(n: u128) -> AuditEntry {
    entry_at(n, NOON)
}

fn entry_at(n: u128, time: Timestamp) -> AuditEntry {
    let stamp = stamp();
    let mut record = Record::new(&stamp, time, id(n), Event::QueueAdmin);
    // Lines of different lengths, some over several sectors.
    record.detail = Some("x".repeat((n as usize * 37) % 150));
    record.entry()
}

fn segment_path(number: u64) -> PathBuf {
    folder().join(format!("{number:08}.jsonl"))
}

/// The lines of each segment.
fn lines(disk: &Simulated) -> Vec<Vec<String>> {
    let paths = disk.paths();
    let segments = paths.iter().filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    segments.map(|path| String::from_utf8(disk.content(path)).unwrap().lines().map(str::to_owned).collect()).collect()
}

/// What a log that holds has.
#[derive(Debug, Default)]
struct Whole {
    tip: Tip,
    records: Vec<RecordId>,
    checkpoints: Vec<Checkpoint>,
    /// Lines behind the last checkpoint.
    tail: u64,
}

/// Proves that the chain is whole, that every checkpoint is signed by the key in force and tells the tree of its lines,
/// and that every closed segment ends with one.
fn prove(disk: &Simulated, case: &str) -> Whole {
    let mut whole = Whole::default();
    let mut tree = TreeBuilder::default();
    let segments = lines(disk);
    for (number, segment) in segments.iter().enumerate() {
        for line in segment {
            whole.tip.follow(line.as_bytes()).unwrap_or_else(|error| panic!("{case}: {error}: {line}"));
            let Some(checkpoint) = Checkpoint::parse(line.as_bytes()) else {
                tree.push(&whole.tip.hash);
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                whole.records.push(serde_json::from_value(value["id"].clone()).unwrap());
                continue;
            };
            let statement = &checkpoint.statement;
            let lines = (statement.first, checkpoint.lines(), statement.root);
            assert_eq!(lines, (checkpoint.seq - tree.len(), tree.len(), tree.root()), "{case}: {line}");
            assert!(verify_signature(line.as_bytes(), &statement.key), "{case}: {line}");
            let key = whole.checkpoints.last().map_or(statement.key, Checkpoint::key_in_force);
            assert_eq!(statement.key, key, "{case}: {line}");
            whole.checkpoints.push(checkpoint);
            tree = TreeBuilder::default();
        }
        let is_closed = number + 1 < segments.len();
        assert!(!is_closed || tree.is_empty(), "{case}: segment {} has no closing checkpoint", number + 1);
        assert!(!is_closed || !segment.is_empty(), "{case}: segment {} is empty", number + 1);
    }
    whole.tail = tree.len();
    whole
}
