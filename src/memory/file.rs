//! The file: one redb database. Opening reads and checks all of it, and sets a damaged one aside.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use redb::backends::InMemoryBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::tables::{Changes, Row, Table, Tables};
use super::{DAMAGED_NAME, FILE_NAME, MemoryError};

/// Pages of the file that redb keeps in memory. Small: the tables themselves are there.
const PAGE_CACHE_BYTES: usize = 4 * 1024 * 1024;
const FILE_MODE: u32 = 0o600;
/// Longest file that is read as a copy. The tables and what redb adds to them are well below.
const COPY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// A copy of a file that is being written may be torn. So often it is made, so far apart, before it counts as damaged.
const COPIES_MAX: u32 = 5;
const COPY_DELAY: Duration = Duration::from_millis(200);

/// The open file.
pub(super) struct MemoryFile {
    path: PathBuf,
    /// `None` after a failed write, until the file is opened again.
    database: Option<Database>,
}

/// Why a file does not open or take a write.
#[derive(Debug)]
enum Fault {
    InUse,
    Damaged(String),
    Io(io::Error),
}

impl MemoryFile {
    /// The file and what it has.
    pub(super) fn open(folder: &Path) -> Result<(Self, Tables), MemoryError> {
        let path = folder.join(FILE_NAME);
        let result = match read(&path) {
            Err(Fault::Damaged(why)) => set_aside(&path, &folder.join(DAMAGED_NAME), &why).and_then(|()| read(&path)),
            result => result,
        };
        match result {
            Ok((database, tables)) => Ok((Self { path, database: Some(database) }, tables)),
            Err(Fault::Io(error)) if has_no_room(&error) => {
                let mut tables = read_copy(&path).unwrap_or_default();
                tables.file_is_lost();
                Ok((Self { path, database: None }, tables))
            }
            Err(fault) => Err(fault.at(path)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the changes, all or none, and syncs. After an error the file is closed, and what is in it is not known:
    /// the next write has to replace everything.
    pub(super) fn write(&mut self, changes: &Changes) -> Result<(), String> {
        if self.database.is_none() {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            let (file, _) = Self::open(folder).map_err(|error| error.to_string())?;
            *self = file;
        }
        let Some(database) = &self.database else { return Err("the file is closed".to_owned()) };
        let result = guarded(|| commit(database, changes));
        if result.is_err() {
            // It takes no more writes after a failed one. To close it may fail as well, or panic if it is damaged.
            let database = self.database.take();
            let _ = guarded(|| {
                drop(database);
                Ok(())
            });
        }
        result.map_err(|fault| match fault {
            Fault::InUse => "it is in use by another process".to_owned(),
            Fault::Damaged(why) => why,
            Fault::Io(error) => error.to_string(),
        })
    }
}

/// What the file of a folder has, from a copy: nothing is written, locked or set aside. `None` if there is no file.
/// Another process may write to it meanwhile; checksums tell a copy that is torn.
#[expect(clippy::disallowed_methods, reason = "the other process tells nobody when it is done")]
pub(super) fn peek(folder: &Path) -> Result<Option<Tables>, MemoryError> {
    let path = folder.join(FILE_NAME);
    let mut tries_left = COPIES_MAX;
    loop {
        tries_left -= 1;
        match read_copy(&path) {
            Ok(tables) => return Ok(Some(tables)),
            Err(Fault::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(Fault::Damaged(_)) if tries_left > 0 => thread::sleep(COPY_DELAY),
            Err(fault) => return Err(fault.at(path)),
        }
    }
}

fn definition(table: Table) -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(table.name())
}

/// Opens the file, checks every page and loads every row.
fn read(path: &Path) -> Result<(Database, Tables), Fault> {
    // Made here, because redb would make it as the umask says.
    OpenOptions::new().read(true).append(true).create(true).mode(FILE_MODE).open(path).map_err(Fault::Io)?;
    guarded(|| {
        let database = builder().create(path)?;
        let tables = load(&database)?;
        Ok((database, tables))
    })
}

/// To open the file is to write to it. This reads its content without that, from a copy in memory.
fn read_copy(path: &Path) -> Result<Tables, Fault> {
    if fs::metadata(path).map_err(Fault::Io)?.len() > COPY_BYTES_MAX {
        return Err(Fault::Io(io::ErrorKind::FileTooLarge.into()));
    }
    let content = fs::read(path).map_err(Fault::Io)?;
    guarded(|| {
        let copy = InMemoryBackend::new();
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        copy.set_len(length).and_then(|()| copy.write(0, &content)).map_err(Fault::Io)?;
        load(&builder().create_with_backend(copy)?)
    })
}

fn has_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(PAGE_CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn load(database: &Database) -> Result<Tables, Fault> {
    let mut tables = Tables::default();
    let transaction = database.begin_read().map_err(redb::Error::from)?;
    for table in Table::ALL {
        let rows = match transaction.open_table(definition(table)) {
            Ok(rows) => rows,
            Err(redb::TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(redb::Error::from(error).into()),
        };
        for row in rows.iter().map_err(redb::Error::from)? {
            let (key, value) = row.map_err(redb::Error::from)?;
            tables.load(table, key.value(), value.value());
        }
    }
    Ok(tables)
}

fn commit(database: &Database, changes: &Changes) -> Result<(), Fault> {
    let transaction = database.begin_write().map_err(redb::Error::from)?;
    if changes.replace {
        for table in Table::ALL {
            transaction.delete_table(definition(table)).map_err(redb::Error::from)?;
        }
    }
    for Row { table, key, value } in &changes.rows {
        let mut rows = transaction.open_table(definition(*table)).map_err(redb::Error::from)?;
        match value {
            Some(value) => rows.insert(&**key, &**value).map(drop),
            None => rows.remove(&**key).map(drop),
        }
        .map_err(redb::Error::from)?;
    }
    transaction.commit().map_err(|error| redb::Error::from(error).into())
}

/// A damaged file may make redb panic. That is the file's fault and ends nothing but the use of this file.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Fault::Damaged("reading it fails".to_owned())))
}

fn set_aside(path: &Path, aside: &Path, why: &str) -> Result<(), Fault> {
    fs::rename(path, aside).map_err(Fault::Io)?;
    tracing::error!(
        file = %path.display(),
        set_aside = %aside.display(),
        why,
        "what was remembered (MTA-STS policies, learned TLS, counts for reports) cannot be read; it is learned anew"
    );
    Ok(())
}

impl Fault {
    fn at(self, path: PathBuf) -> MemoryError {
        match self {
            Self::InUse => MemoryError::InUse { path },
            Self::Damaged(why) => MemoryError::Damaged { path, why },
            Self::Io(error) => MemoryError::Io { path, kind: error.kind() },
        }
    }
}

impl From<DatabaseError> for Fault {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Self::InUse,
            DatabaseError::Storage(error) => redb::Error::from(error).into(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error)
                if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Self::Io(error)
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Memory;
    use super::*;

    #[test]
    fn a_full_disk_hides_nothing_that_the_file_has() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::open(folder.path()).unwrap();
        memory.put(Table::Sts, "a", &b"1"[..]).unwrap();
        memory.flush().unwrap();
        // As a crash leaves it, and as it is closed.
        let tables = read_copy(&folder.path().join(FILE_NAME)).unwrap();
        assert_eq!(tables.get(Table::Sts, "a").as_deref(), Some(&b"1"[..]));
        drop(memory);
        let tables = read_copy(&folder.path().join(FILE_NAME)).unwrap();
        assert_eq!(tables.get(Table::Sts, "a").as_deref(), Some(&b"1"[..]));
    }

    #[test]
    fn a_closed_file_is_opened_by_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, mut tables) = MemoryFile::open(folder.path()).unwrap();
        file.database = None;
        fs::remove_file(file.path()).unwrap();
        tables.put(Table::Sts, "a", (*b"1").into()).unwrap();
        tables.file_is_lost();
        assert_eq!(file.write(&tables.take_changes()), Ok(()));
        drop(file);
        let (_, tables) = MemoryFile::open(folder.path()).unwrap();
        assert_eq!(tables.get(Table::Sts, "a").as_deref(), Some(&b"1"[..]));
    }
}
