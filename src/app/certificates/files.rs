//! The files of certificates as a look at the disk shows them, and when a change to them has settled.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::tls::certificates::CertificatePaths;

/// What one look at a file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) enum FileState {
    Missing,
    /// It cannot be looked at: mostly since rights were given up.
    Hidden,
    Seen {
        stamp: Stamp,
        readable: bool,
    },
}

/// What changes with the content of a file. A copy that keeps size and time of the old one still changes `changed`, and
/// so does what mends its rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
    /// Without links.
    leads_to: PathBuf,
}

impl FileState {
    /// Looks at the file that a path leads to. Blocks on the disk.
    fn look(path: &Path) -> Self {
        let told = match fs::metadata(path) {
            Ok(told) => told,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::Missing,
            Err(_) => return Self::Hidden,
        };
        // To open anything else could wait for ever.
        let readable = told.is_file() && File::open(path).is_ok();
        Self::Seen { stamp: Stamp::new(path, &told), readable }
    }

    /// Whether it is worth reading again. That rights were given up since is not: the content may be the same.
    fn is_news_after(&self, before: &Self) -> bool {
        match (before, self) {
            (_, Self::Hidden) => false,
            (Self::Seen { stamp: old, readable: true }, Self::Seen { stamp: new, readable: false }) => old != new,
            _ => before != self,
        }
    }

    fn is_readable(&self) -> bool {
        matches!(self, Self::Seen { readable: true, .. })
    }
}

impl Stamp {
    fn new(path: &Path, told: &Metadata) -> Self {
        Self {
            device: told.dev(),
            inode: told.ino(),
            size: told.size(),
            modified: (told.mtime(), told.mtime_nsec()),
            changed: (told.ctime(), told.ctime_nsec()),
            leads_to: fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        }
    }
}

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct PairFiles {
    pub(super) paths: CertificatePaths,
    chain: FileState,
    key: FileState,
    ocsp: Option<FileState>,
}

impl PairFiles {
    /// Blocks on the disk.
    pub(super) fn look(paths: &CertificatePaths) -> Self {
        Self {
            chain: FileState::look(&paths.chain),
            key: FileState::look(&paths.key),
            ocsp: paths.ocsp.as_deref().map(FileState::look),
            paths: paths.clone(),
        }
    }

    /// Whether chain or key are worth reading again.
    pub(super) fn pair_is_news_after(&self, before: &Self) -> bool {
        self.chain.is_news_after(&before.chain) || self.key.is_news_after(&before.key)
    }

    /// Whether any of the files is.
    pub(super) fn is_news_after(&self, before: &Self) -> bool {
        let ocsp = self.ocsp.as_ref().zip(before.ocsp.as_ref());
        self.pair_is_news_after(before) || ocsp.is_some_and(|(now, before)| now.is_news_after(before))
    }

    /// The files that could be read then and cannot now, though they are there: a renewal of them would be in vain.
    pub(super) fn closed_since(&self, before: &Self) -> Vec<&Path> {
        let (now, then) = (self.states(), before.states());
        let both = now.into_iter().zip(then).filter_map(|(now, then)| Some((now?, then?)));
        let closed = both.filter(|((_, now), (_, then))| {
            then.is_readable() && !now.is_readable() && !matches!(now, FileState::Missing)
        });
        closed.map(|((path, _), _)| path).collect()
    }

    fn states(&self) -> [Option<(&Path, &FileState)>; 3] {
        let ocsp = self.paths.ocsp.as_deref().zip(self.ocsp.as_ref());
        [Some((&self.paths.chain, &self.chain)), Some((&self.paths.key, &self.key)), ocsp]
    }
}

/// Waits until files that change have stood still from one look to the next, so that chain and key are both written.
#[derive(Debug, Default)]
pub(super) struct Settling {
    before: Vec<PairFiles>,
}

impl Settling {
    /// Takes a look at all files, in the order of those in force. If some differ from those and are as they were at the
    /// look before: the files to put in force, where the rest is as it is in force.
    pub(super) fn look(&mut self, in_force: &[PairFiles], seen: Vec<PairFiles>) -> Option<Vec<PairFiles>> {
        let pairs = in_force.iter().zip(&seen).enumerate();
        let settled: Vec<_> = pairs
            .map(|(at, (in_force, seen))| {
                let stood_still = self.before.get(at) == Some(seen);
                if stood_still && seen.is_news_after(in_force) { seen } else { in_force }
            })
            .cloned()
            .collect();
        self.before = seen;
        (settled != in_force).then_some(settled)
    }
}

#[cfg(test)]
pub(super) mod tests;
