//! The seam to the disk: what the journal asks of a filesystem, so that tests can put one under it that fails.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;

/// A filesystem. Names become durable with [`FileSystem::sync_folder`], contents with [`File::sync`].
pub trait FileSystem: Send + Sync + Debug + 'static {
    /// Makes the folder, for the owner alone, if it is missing.
    fn ensure_folder(&self, folder: &Path) -> io::Result<()>;
    /// Takes the folder for this process until the value is dropped.
    fn lock(&self, folder: &Path) -> Result<Box<dyn Lock>, LockError>;
    /// Who has the folder, without taking or changing anything; `None` if nobody has.
    fn holder(&self, folder: &Path) -> io::Result<Option<Holder>>;
    /// The names of the files in the folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes a new file, open for appending; one that exists is an error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens a file for cutting and syncing.
    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Whether the file, or what is made beside it, is in this folder or below, whatever links lead there.
    fn lies_in(&self, file: &Path, folder: &Path) -> bool;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Whether nobody but its owner may read or write the file.
    fn is_private(&self, path: &Path) -> io::Result<bool>;
    /// Bytes that this process may still write.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// An open file.
pub trait File: Send + Debug {
    /// Writes all parts behind the end, over zeros that lie ahead. After an error any part of them may be there.
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Writes so many zeros behind the end. What is appended next takes their place, so that the file need not grow for
    /// it. After an error some of them may be there; [`File::set_length`] takes them away.
    fn zero_ahead(&mut self, count: u64) -> io::Result<()>;
    /// Returns when content and length are on stable storage. After an error the file must not be trusted any more.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file, and goes on at its new end.
    fn set_length(&mut self, length: u64) -> io::Result<()>;
    /// Fills the buffer from `offset`, less at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    fn length(&self) -> io::Result<u64>;
}

/// Holds a folder while it lives.
pub trait Lock: Send + Debug {}

/// A process that has a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// If that could be read.
    pub pid: Option<u32>,
}

/// Why a folder was not taken.
#[derive(Debug)]
pub enum LockError {
    /// By the process named, if that could be read.
    Taken {
        pid: Option<u32>,
    },
    Io(io::Error),
}
