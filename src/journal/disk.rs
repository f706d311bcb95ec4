//! The filesystem of the operating system.

use std::collections::HashMap;
use std::fs;
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::filesystem::{File, FileSystem, Holder, Lock, LockError};
use super::regular::{self, Links};

const LOCK_FILE: &str = "lock";
/// Any access of the group or of others.
const MODE_OF_OTHERS: u32 = 0o077;
/// Digits of a process id in the lock file.
const PID_BYTES_MAX: u64 = 20;
/// Whoever looks for the holder of a folder has it for a moment: the lock is tried this often.
const LOCK_TRIES_MAX: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Zeros are written in pieces of this size.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Real files. Keeps every folder that it was told of open, so that a sync of one never fails for want of a descriptor.
#[derive(Debug, Default)]
pub struct Disk {
    folders: Mutex<HashMap<PathBuf, Arc<fs::File>>>,
    readers: Readers,
}

/// Who may read what is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Readers {
    #[default]
    Owner,
    Group,
}

impl Readers {
    const fn folder_mode(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Group => 0o750,
        }
    }

    /// Whoever puts a link in a folder that others look into must not choose what is read or written.
    const fn links(self) -> Links {
        match self {
            Self::Owner => Links::Follow,
            Self::Group => Links::Refuse,
        }
    }

    const fn file_mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o640,
        }
    }
}

impl Disk {
    /// One whose new files and folders the group may read, for what people and their tools look at. Links in the place
    /// of files are not followed.
    pub fn readable_by_group() -> Self {
        Self { readers: Readers::Group, ..Self::default() }
    }

    /// The open handle of a folder. There are as many as the journal and the spool have folders.
    fn folder(&self, folder: &Path) -> io::Result<Arc<fs::File>> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = folders.get(folder) {
            return Ok(handle.clone());
        }
        let handle = Arc::new(fs::File::open(folder)?);
        folders.insert(folder.to_owned(), handle.clone());
        Ok(handle)
    }
}

impl FileSystem for Disk {
    fn ensure_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return self.folder(folder).map(drop);
        }
        fs::DirBuilder::new().recursive(true).mode(self.readers.folder_mode()).create(folder)?;
        match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => fs::File::open(parent)?.sync_all()?,
            _ => {}
        }
        self.folder(folder).map(drop)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a lock tells nobody but who waits for it without end that it is free"
    )]
    fn lock(&self, folder: &Path) -> Result<Box<dyn Lock>, LockError> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(self.readers.file_mode());
        let opened = regular::open_with(&mut options, &folder.join(LOCK_FILE), self.readers.links());
        let mut file = opened.map_err(LockError::Io)?;
        let mut tries = 1;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if tries < LOCK_TRIES_MAX => thread::sleep(LOCK_PAUSE),
                Err(fs::TryLockError::WouldBlock) => return Err(LockError::Taken { pid: read_pid(&mut file) }),
                Err(fs::TryLockError::Error(error)) => return Err(LockError::Io(error)),
            }
            tries += 1;
        }
        write_pid(&mut file).map_err(LockError::Io)?;
        Ok(Box::new(DiskLock { _file: file }))
    }

    fn holder(&self, folder: &Path) -> io::Result<Option<Holder>> {
        let mut options = fs::OpenOptions::new();
        let opened = regular::open_with(options.read(true), &folder.join(LOCK_FILE), self.readers.links());
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(fs::TryLockError::WouldBlock) => Ok(Some(Holder { pid: read_pid(&mut file) })),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        Ok(Box::new(DiskFile(
            options.write(true).read(true).create_new(true).mode(self.readers.file_mode()).open(path)?,
        )))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        Ok(Box::new(DiskFile(regular::open_with(options.read(true), path, self.readers.links())?)))
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        let file = regular::open_with(options.append(true).read(true), path, self.readers.links())?;
        Ok(Box::new(DiskFile(file)))
    }

    fn lies_in(&self, file: &Path, folder: &Path) -> bool {
        lies_in(file, folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.folder(folder)?.sync_all()
    }

    fn is_private(&self, path: &Path) -> io::Result<bool> {
        Ok(fs::metadata(path)?.permissions().mode() & MODE_OF_OTHERS == 0)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let facts = nix::sys::statvfs::statvfs(folder)?;
        Ok(facts.blocks_available().saturating_mul(facts.fragment_size()))
    }
}

/// Whether the file, or what is made beside it, is in this folder or below, whatever links lead there.
pub fn lies_in(file: &Path, folder: &Path) -> bool {
    let folder = resolved(folder);
    [Some(file), file.parent()].into_iter().flatten().any(|path| resolved(path).starts_with(&folder))
}

/// The path without links, as far as it exists; the rest is taken as it is written.
fn resolved(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|ancestor| {
        let is_here = ancestor.as_os_str().is_empty();
        let found = fs::canonicalize(if is_here { Path::new(".") } else { ancestor }).ok()?;
        Some((found, path.strip_prefix(ancestor).ok()?))
    });
    let Some((mut found, rest)) = known else { return path.to_owned() };
    for component in rest.components() {
        match component {
            Component::ParentDir => _ = found.pop(),
            component => found.push(component),
        }
    }
    found
}

#[derive(Debug)]
struct DiskFile(fs::File);

impl File for DiskFile {
    fn append(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match self.0.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn zero_ahead(&mut self, count: u64) -> io::Result<()> {
        let from = self.0.stream_position()?;
        let mut written = 0;
        while written < count {
            let size = usize::try_from(count - written).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            let zeros = ZEROS.get(..size).unwrap_or_default();
            self.0.write_all_at(zeros, from.saturating_add(written))?;
            written += size as u64;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)?;
        self.0.seek(SeekFrom::Start(length)).map(drop)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// The advisory lock ends with the descriptor, so also when the process dies.
#[derive(Debug)]
struct DiskLock {
    _file: fs::File,
}

impl Lock for DiskLock {}

fn read_pid(file: &mut fs::File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut fs::File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_hides_that_a_file_lies_in_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for folder in ["log/keys", "etc", "logs"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("log/key"), "").unwrap();
        fs::write(root.join("etc/real"), "").unwrap();
        symlink(root.join("log"), root.join("alias")).unwrap();
        symlink(root.join("log/key"), root.join("etc/key")).unwrap();
        symlink(root.join("log/keys"), root.join("etc/keys")).unwrap();
        symlink(root.join("etc/real"), root.join("log/out")).unwrap();
        for (file, folder, expected) in [
            ("etc/real", "log", false),
            ("etc/new", "log", false),
            ("key", "log", false),
            ("logs/key", "log", false),
            ("log/key", "log", true),
            ("log/keys/new", "log", true),
            ("log/not/yet/new", "log", true),
            ("etc/../log/new", "log", true),
            ("not/../log/new", "log", true),
            // By a link to the folder, in either place.
            ("alias/new", "log", true),
            ("log/new", "alias", true),
            ("alias/../etc/new", "log", false),
            // By a link to the file, to a folder, and out of the folder, where its companions stay.
            ("etc/key", "log", true),
            ("etc/keys/new", "log", true),
            ("log/out", "log", true),
            ("log/key", "not/yet", false),
        ] {
            assert_eq!(lies_in(&root.join(file), &root.join(folder)), expected, "{file} in {folder}");
        }
        assert!(lies_in(Path::new("not-yet/key"), Path::new("./not-yet")));
        assert!(!lies_in(Path::new("key"), Path::new("not-yet")));
    }
}
