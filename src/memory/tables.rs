//! The tables as they are in memory, their bounds, and which keys have changed since the file was written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Longest key.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest value.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// Changed keys that are counted singly; if there are more, the next write replaces all that the file has. So nothing
/// has to wait or to be dropped while the disk does not take writes.
pub(super) const CHANGED_KEYS_MAX: usize = 16_384;

/// The kinds of facts. The file is written with these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// MTA-STS policies by domain.
    Sts,
    /// What TLS destinations have shown.
    Learned,
    /// Counts for TLS reports.
    TlsRpt,
    /// Alerts that have been raised.
    Alerts,
}

impl Table {
    pub const ALL: [Self; 4] = [Self::Sts, Self::Learned, Self::TlsRpt, Self::Alerts];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sts => "sts",
            Self::Learned => "learned",
            Self::TlsRpt => "tlsrpt",
            Self::Alerts => "alerts",
        }
    }

    /// Most entries.
    pub const fn entries_max(self) -> usize {
        match self {
            Self::Sts => 20_000,
            Self::Learned => 100_000,
            Self::TlsRpt => 50_000,
            Self::Alerts => 10_000,
        }
    }

    /// Most octets of keys and values together.
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::Sts | Self::Learned | Self::TlsRpt => 64 * 1024 * 1024,
            Self::Alerts => 8 * 1024 * 1024,
        }
    }
}

/// Why an entry is not taken: the caller's fault, or time for the caller to remove others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the key is empty or longer than {KEY_BYTES_MAX} octets")]
    Key,
    #[error("the value is longer than {VALUE_BYTES_MAX} octets")]
    Value,
    #[error("the table has no room left")]
    Full,
}

/// All tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    tables: BTreeMap<Table, Rows>,
    changed: Changed,
}

#[derive(Debug, Default)]
struct Rows {
    rows: BTreeMap<Box<str>, Arc<[u8]>>,
    bytes: usize,
}

/// What the file lacks.
#[derive(Debug)]
enum Changed {
    Keys(BTreeSet<(Table, Box<str>)>),
    Everything,
}

/// What is to be written, all at once.
#[derive(Debug)]
pub(super) struct Changes {
    /// Whether the rows are all that there is: what else the file has goes.
    pub(super) replace: bool,
    pub(super) rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) table: Table,
    pub(super) key: Box<str>,
    /// The new value, `None` if the key is gone.
    pub(super) value: Option<Arc<[u8]>>,
}

impl Tables {
    pub(super) fn get(&self, table: Table, key: &str) -> Option<Arc<[u8]>> {
        self.tables.get(&table)?.rows.get(key).cloned()
    }

    pub(super) fn len(&self, table: Table) -> usize {
        self.tables.get(&table).map_or(0, |rows| rows.rows.len())
    }

    pub(super) fn scan(&self, table: Table, from: &str, limit: usize) -> Vec<(String, Arc<[u8]>)> {
        let rows = self.tables.get(&table).into_iter();
        let rows = rows.flat_map(|rows| rows.rows.range::<str, _>((Bound::Included(from), Bound::Unbounded)));
        rows.take(limit).map(|(key, value)| (key.to_string(), value.clone())).collect()
    }

    pub(super) fn put(&mut self, table: Table, key: &str, value: Arc<[u8]>) -> Result<(), Refused> {
        if self.get(table, key).as_ref() == Some(&value) {
            return Ok(());
        }
        self.tables.entry(table).or_default().put(table, key, value)?;
        self.changed.add(table, key);
        Ok(())
    }

    pub(super) fn remove(&mut self, table: Table, key: &str) {
        if self.tables.get_mut(&table).is_some_and(|rows| rows.remove(key)) {
            self.changed.add(table, key);
        }
    }

    /// Takes in a row of the file. One that is beyond the bounds is left out and leaves the file with the next write.
    pub(super) fn load(&mut self, table: Table, key: &str, value: &[u8]) {
        if self.tables.entry(table).or_default().put(table, key, value.into()).is_err() {
            self.changed.add(table, key);
        }
    }

    pub(super) fn has_changed(&self) -> bool {
        match &self.changed {
            Changed::Keys(keys) => !keys.is_empty(),
            Changed::Everything => true,
        }
    }

    /// What the file lacks; from now on it counts as written.
    pub(super) fn take_changes(&mut self) -> Changes {
        match std::mem::take(&mut self.changed) {
            Changed::Keys(keys) => {
                let row = |(table, key): (Table, Box<str>)| Row { table, value: self.get(table, &key), key };
                Changes { replace: false, rows: keys.into_iter().map(row).collect() }
            }
            Changed::Everything => {
                let rows = self.tables.iter().flat_map(|(table, rows)| rows.rows.iter().map(move |row| (*table, row)));
                let rows =
                    rows.map(|(table, (key, value))| Row { table, key: key.clone(), value: Some(value.clone()) });
                Changes { replace: true, rows: rows.collect() }
            }
        }
    }

    /// Nobody knows what the file has.
    pub(super) fn file_is_lost(&mut self) {
        self.changed = Changed::Everything;
    }
}

impl Rows {
    fn put(&mut self, table: Table, key: &str, value: Arc<[u8]>) -> Result<(), Refused> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Refused::Key);
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(Refused::Value);
        }
        let before = self.rows.get(key).map(|value| key.len() + value.len());
        let bytes = self.bytes - before.unwrap_or(0) + key.len() + value.len();
        let entries = self.rows.len() + usize::from(before.is_none());
        // A value that becomes smaller is always welcome.
        if entries > table.entries_max() || bytes > table.bytes_max().max(self.bytes) {
            return Err(Refused::Full);
        }
        self.bytes = bytes;
        self.rows.insert(key.into(), value);
        Ok(())
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(value) = self.rows.remove(key) else { return false };
        self.bytes -= key.len() + value.len();
        true
    }
}

impl Changed {
    fn add(&mut self, table: Table, key: &str) {
        if let Self::Keys(keys) = self {
            keys.insert((table, key.into()));
            if keys.len() > CHANGED_KEYS_MAX {
                *self = Self::Everything;
            }
        }
    }
}

impl Default for Changed {
    fn default() -> Self {
        Self::Keys(BTreeSet::new())
    }
}
