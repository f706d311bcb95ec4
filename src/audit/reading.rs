//! A file of the log read from its start to its end, over the seam to the disk.

use std::io::{self, Read};
use std::path::Path;

use crate::journal::filesystem::{File, FileSystem};

#[derive(Debug)]
pub(super) struct Reading {
    file: Box<dyn File>,
    offset: u64,
}

impl Reading {
    pub(super) fn open(fs: &dyn FileSystem, path: &Path) -> io::Result<Self> {
        Ok(Self { file: fs.open(path)?, offset: 0 })
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.offset, buffer)?;
        self.offset += read as u64;
        Ok(read)
    }
}
