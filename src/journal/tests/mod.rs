//! What the journal promises, on a filesystem that fails on purpose.

mod behaviour;
mod damage;
mod faults;
mod group_commit;
mod model;
mod real_files;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::filesystem::FileSystem;
use super::simulated::Simulated;
use super::*;

const FOLDER: &str = "/journal";
const META_FILLER: [u8; 9] = *b"some meta";

/// Small enough that a few commits fill a segment.
const SMALL: Limits = Limits {
    segment_bytes_max: 1000,
    batch_bytes_max: 600,
    batch_entries_max: 16,
    queue_bytes_max: 1 << 20,
    lazy_queue_bytes_max: 1 << 20,
    lazy_delay_max: Duration::from_secs(3600),
    room_ahead_bytes: 0,
};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    id: u32,
    body_bytes: usize,
}

impl Item {
    fn body_content(&self) -> Vec<u8> {
        (0..self.body_bytes).map(|at| (at as u32 * 7 + self.id * 31) as u8).collect()
    }
}

impl Entry for Item {
    fn kind(&self) -> u8 {
        if self.body_bytes > 0 { 1 } else { 2 }
    }

    fn encode_meta(&self, out: &mut Vec<u8>) {
        out.extend(self.id.to_le_bytes());
        out.extend((self.body_bytes as u32).to_le_bytes());
        out.extend(META_FILLER);
    }

    fn body(&self) -> Vec<Bytes> {
        self.body_content().chunks(100).map(Bytes::copy_from_slice).collect()
    }
}

fn item(id: u32, body_bytes: usize) -> Item {
    Item { id, body_bytes }
}

/// An open journal, what it replayed and what its observer saw.
struct Opened {
    journal: Journal<Item>,
    recovery: Recovery,
    replayed: Vec<(Item, Location)>,
    observed: Arc<Mutex<Vec<(Item, Location)>>>,
}

fn open(fs: &Simulated) -> Result<Opened, OpenError> {
    open_with(Arc::new(fs.clone()), Path::new(FOLDER), SMALL)
}

/// With room ahead for one or two more batches.
fn open_roomy(fs: &Simulated) -> Result<Opened, OpenError> {
    open_with(Arc::new(fs.clone()), Path::new(FOLDER), Limits { room_ahead_bytes: 300, ..SMALL })
}

fn open_with(fs: Arc<dyn FileSystem>, folder: &Path, limits: Limits) -> Result<Opened, OpenError> {
    let mut replayed = Vec::new();
    let observed = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&observed);
    let observer = Box::new(move |batch: Batch<Item>| {
        seen.lock().unwrap().extend(batch.entries.into_iter().map(|done| (done.entry, done.location)));
    });
    let options = Options { folder: folder.to_owned(), salt: 0x5a17_5a17_0000_0001, limits };
    let (journal, recovery) = Journal::open(options, fs, &mut |found| replayed.push(decode(found)), observer)?;
    Ok(Opened { journal, recovery, replayed, observed })
}

fn decode(found: Replayed<'_>) -> (Item, Location) {
    assert_eq!(found.meta[8..], META_FILLER);
    let number = |at: usize| u32::from_le_bytes(found.meta[at..at + 4].try_into().unwrap());
    let item = item(number(0), number(4) as usize);
    assert_eq!((found.kind, found.location.length), (item.kind(), item.body_bytes as u64));
    (item, found.location)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn commit(journal: &Journal<Item>, items: &[Item]) -> Result<(), Fault> {
    wait(journal.commit(items.to_vec()))
}

fn ids(items: &[(Item, Location)]) -> Vec<u32> {
    items.iter().map(|(item, _)| item.id).collect()
}

/// Every replayed body must be what was committed.
fn assert_bodies(opened: &Opened) {
    for (item, location) in &opened.replayed {
        assert_eq!(opened.journal.read_body(location).as_deref(), Ok(item.body_content().as_slice()), "{item:?}");
    }
}

/// Which segment each item was put in.
fn places(opened: &Opened) -> BTreeMap<u32, u64> {
    opened.observed.lock().unwrap().iter().map(|(item, location)| (item.id, location.segment)).collect()
}
