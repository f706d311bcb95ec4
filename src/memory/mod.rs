//! L2: what the daemon remembers besides mail and its log: small facts about the world, kept through restarts.
//!
//! All of it is in memory, in closed tables of bounded size, so a question never waits for the disk and never fails. A
//! thread of its own writes what changed to one file, soon after. A file that is damaged is set aside, and while the
//! disk does not take writes the facts in memory are the truth. A file that somebody else has, or that may not be
//! opened, is an error: what it holds is there, and mail must not go as if it were not.
//!
//! Invariants:
//! * What [`Memory::put`] took is read at once, and is in the file at the latest [`WRITE_DELAY`] and one sync later,
//!   unless the disk fails; then it is when the disk works again.
//! * The file has all changes of one write or none of them.
//!
//! Must not: know what the facts mean, or hold what cannot be learned again (that is the spool's and the log's).

mod file;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clock;

pub use tables::{KEY_BYTES_MAX, Refused, Table, VALUE_BYTES_MAX};

use file::MemoryFile;
use tables::Tables;
use writer::Shared;

/// The name of the file in its folder.
pub const FILE_NAME: &str = "memory.redb";
/// The name that a damaged file gets. It takes the place of an older one.
pub const DAMAGED_NAME: &str = "memory.redb.damaged";
/// How long a change waits for others to be written with it.
pub const WRITE_DELAY: Duration = Duration::from_millis(500);
/// How long after a failed write the next one is tried.
pub const RETRY_DELAY: Duration = Duration::from_secs(10);
/// Most entries that one scan gives.
pub const SCAN_ENTRIES_MAX: usize = 1000;

/// How often a file that another process has is tried while it is waited for.
const IN_USE_DELAY: Duration = Duration::from_millis(100);

/// Why the file cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// Another process has locked it.
    #[error("{path} is in use by another process")]
    InUse { path: PathBuf },
    /// The next start of the daemon sets it aside.
    #[error("{path} is damaged: {why}")]
    Damaged { path: PathBuf, why: String },
    #[error("{path}: {kind}")]
    Io { path: PathBuf, kind: io::ErrorKind },
}

/// The file could not be written. What is in memory stands, and writing is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is remembered cannot be written to disk at present")]
pub struct NotWritten;

/// One entry of a table.
pub type Entry = (String, Arc<[u8]>);

/// The tables. Cheap to clone; the last clone that goes writes what is not written yet.
#[derive(Clone)]
pub struct Memory(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Memory {
    /// Opens the file of `folder` and reads all of it; makes it if there is none (mode 0600). A damaged file is set
    /// aside and the memory begins empty. Blocks.
    pub fn open(folder: &Path) -> Result<Self, MemoryError> {
        let (file, tables) = MemoryFile::open(folder)?;
        Self::with_file(file, tables)
    }

    /// As [`Memory::open`], and waits as long as `wait` for another process that has the file. Blocks.
    #[expect(clippy::disallowed_methods, reason = "the other process tells nobody when it is done")]
    pub fn open_within(folder: &Path, wait: Duration) -> Result<Self, MemoryError> {
        let begun = clock::now();
        loop {
            match Self::open(folder) {
                Err(MemoryError::InUse { .. }) if clock::now().saturating_since(begun) < wait => {
                    thread::sleep(IN_USE_DELAY);
                }
                result => return result,
            }
        }
    }

    /// What the file has now, for commands, which may run as another user than the daemon and beside it: nothing is
    /// made, locked, set aside or ever written. `None` if there is no file. Blocks.
    pub fn peek(folder: &Path) -> Result<Option<Self>, MemoryError> {
        Ok(file::peek(folder)?.map(Self::of_tables))
    }

    /// Keeps nothing beyond its own life.
    pub fn ephemeral() -> Self {
        Self::of_tables(Tables::default())
    }

    fn of_tables(tables: Tables) -> Self {
        Self(Arc::new(Handle { shared: Arc::new(Shared::new(tables, false)), thread: None }))
    }

    fn with_file(file: MemoryFile, tables: Tables) -> Result<Self, MemoryError> {
        let path = file.path().to_owned();
        let shared = Arc::new(Shared::new(tables, true));
        let thread =
            writer::start(file, shared.clone()).map_err(|error| MemoryError::Io { path, kind: error.kind() })?;
        Ok(Self(Arc::new(Handle { shared, thread: Some(thread) })))
    }

    pub fn get(&self, table: Table, key: &str) -> Option<Arc<[u8]>> {
        self.0.shared.read(|tables| tables.get(table, key))
    }

    /// Sets the value of a key. It can be read at once and is durable soon. Never blocks for the disk.
    pub fn put(&self, table: Table, key: &str, value: impl Into<Arc<[u8]>>) -> Result<(), Refused> {
        let value = value.into();
        self.0.shared.change(|tables| tables.put(table, key, value))
    }

    /// Forgets a key. Nothing happens if it is not there.
    pub fn remove(&self, table: Table, key: &str) {
        self.0.shared.change(|tables| tables.remove(table, key));
    }

    /// The entries from `from` on, in the order of their keys: at most `limit` and at most [`SCAN_ENTRIES_MAX`]. The
    /// next page begins behind the last key: at that key with a zero character appended.
    pub fn scan(&self, table: Table, from: &str, limit: usize) -> Vec<Entry> {
        self.0.shared.read(|tables| tables.scan(table, from, limit.min(SCAN_ENTRIES_MAX)))
    }

    /// All entries of a table, page by page: others may change it meanwhile.
    pub fn entries(&self, table: Table) -> impl Iterator<Item = Entry> {
        let mut from = Some(String::new());
        let pages = std::iter::from_fn(move || {
            let page = self.scan(table, &from.take()?, SCAN_ENTRIES_MAX);
            from = page.last().map(|(key, _)| format!("{key}\0"));
            Some(page)
        });
        pages.flatten()
    }

    /// How many entries a table has.
    pub fn len(&self, table: Table) -> usize {
        self.0.shared.read(|tables| tables.len(table))
    }

    pub fn is_empty(&self, table: Table) -> bool {
        self.len(table) == 0
    }

    /// Waits until all that was put and removed so far is durable, or a write of it has failed. Blocks.
    pub fn flush(&self) -> Result<(), NotWritten> {
        self.0.shared.flush()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been told by then.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Memory");
        for table in Table::ALL {
            shown.field(table.name(), &self.len(table));
        }
        shown.finish()
    }
}
