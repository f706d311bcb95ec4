//! The files beside the log that make it strong: the key, its successor while it is replaced, and the newest
//! checkpoint. They lie outside of the log's folder, so that whoever has the one has not the other.

use std::fmt::Debug;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::journal::disk::Disk;
use crate::journal::filesystem::FileSystem;
use crate::model::record::RECORD_BYTES_MAX;

use super::key::{CryptoFault, PublicKey, SigningKey};

/// Bytes of a key file that are read. A key in PEM has 119 bytes; comments may stand around it.
const KEY_FILE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a remembered checkpoint that are read: its line and its end.
const SEEN_FILE_BYTES_MAX: usize = RECORD_BYTES_MAX + 1024;

/// Why a key cannot be had. Each but `Io` and `Crypto` is the operator's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("{}: {kind}", path.display())]
    Io { path: PathBuf, kind: ErrorKind },
    #[error("{} may be read by others; whoever has the key can rewrite the log: chmod 600 {}",
            path.display(), path.display())]
    Readable { path: PathBuf },
    #[error("{} is no Ed25519 key in PKCS#8 PEM; put the right file back, or move it away: then a new key is made, \
             and the log says so", path.display())]
    Malformed { path: PathBuf },
    #[error("{} lies in the folder of the log, {}; a key beside what it signs proves little: name another place in \
             [audit].key", path.display(), folder.display())]
    InLog { path: PathBuf, folder: PathBuf },
    #[error(transparent)]
    Crypto(#[from] CryptoFault),
}

impl KeyError {
    fn of(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self::Io { path: path.to_owned(), kind: error.kind() }
    }
}

/// The key's files by name: `KEY`, `KEY.next` and `KEY.seen`.
#[derive(Clone, Debug)]
pub struct KeyFiles {
    filesystem: Arc<dyn FileSystem>,
    path: PathBuf,
}

/// The public half of the key in this file, `None` if there is no file.
pub fn public_key(path: &Path) -> Result<Option<PublicKey>, KeyError> {
    let files = KeyFiles { filesystem: Arc::new(Disk::default()), path: path.to_owned() };
    Ok(files.load()?.map(|key| key.public()))
}

/// The line of the newest checkpoint that is known beside this key file, without its line end.
pub fn seen(path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    KeyFiles { filesystem: Arc::new(Disk::default()), path: path.to_owned() }.seen()
}

impl KeyFiles {
    /// The files of the key at `path`, which signs the log in `folder`. The filesystem must make files for their owner
    /// alone.
    ///
    /// # Errors
    /// [`KeyError::InLog`].
    pub fn new(filesystem: Arc<dyn FileSystem>, path: &Path, folder: &Path) -> Result<Self, KeyError> {
        match filesystem.lies_in(path, folder) {
            true => Err(KeyError::InLog { path: path.to_owned(), folder: folder.to_owned() }),
            false => Ok(Self { filesystem, path: path.to_owned() }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key, `None` if there is none yet.
    pub fn load(&self) -> Result<Option<SigningKey>, KeyError> {
        self.load_from(&self.path)
    }

    /// The key that is to follow, if a replacement was begun.
    fn load_next(&self) -> Result<Option<SigningKey>, KeyError> {
        self.load_from(&self.beside("next"))
    }

    /// Makes a key where there is none. It is durable when this returns.
    fn create(&self) -> Result<SigningKey, KeyError> {
        let folder = self.folder();
        self.filesystem.ensure_folder(folder).map_err(KeyError::of(folder))?;
        self.create_at(&self.path)
    }

    /// Makes the key that is to follow.
    pub(super) fn create_next(&self) -> Result<SigningKey, KeyError> {
        self.create_at(&self.beside("next"))
    }

    /// Puts the next key in the place of the key.
    pub(super) fn promote_next(&self) -> Result<(), KeyError> {
        self.filesystem.rename(&self.beside("next"), &self.path).map_err(KeyError::of(&self.path))?;
        self.sync_folder()
    }

    /// Forgets a next key that never came into force.
    fn discard_next(&self) -> Result<(), KeyError> {
        self.remove(&self.beside("next"))?;
        self.sync_folder()
    }

    /// The key that signs from now on, where the last checkpoint of the log puts `in_force` in force: finishes or
    /// forgets a replacement that was interrupted, and makes a key if there is none.
    ///
    /// Gives whether the key is new, and what the log cannot vouch for.
    pub(super) fn settle(&self, in_force: Option<PublicKey>) -> Result<(SigningKey, bool, Option<String>), KeyError> {
        self.settle_next(in_force)?;
        let loaded = self.load()?;
        let is_new = loaded.is_none();
        let key = loaded.map_or_else(|| self.create(), Ok)?;
        let (path, public) = (self.path.display(), key.public());
        let problem = in_force.filter(|in_force| *in_force != public).map(|in_force| match is_new {
            true => format!("the key of the audit log, {in_force}, is gone from {path}; a new one, {public}, signs"),
            false => format!(
                "the key in {path}, {public}, is not the one of the audit log, {in_force}; it signs from now on, \
                 and the old key does not confirm it"
            ),
        });
        Ok((key, is_new, problem))
    }

    /// The public halves of the keys that are there: the one that signs, and the one that is to follow.
    pub(super) fn at_hand(&self) -> Result<Vec<PublicKey>, KeyError> {
        let keys = [self.load()?, self.load_next()?];
        Ok(keys.iter().flatten().map(SigningKey::public).collect())
    }

    /// Finishes or forgets a replacement that was interrupted.
    pub(super) fn settle_next(&self, in_force: Option<PublicKey>) -> Result<(), KeyError> {
        match self.load_next()? {
            None => Ok(()),
            Some(next) if in_force == Some(next.public()) => self.promote_next(),
            Some(_) => self.discard_next(),
        }
    }

    /// The line of the newest checkpoint that is known, without its line end.
    pub fn seen(&self) -> Result<Option<Vec<u8>>, KeyError> {
        let path = self.beside("seen");
        let Some(text) = self.read(&path, SEEN_FILE_BYTES_MAX)? else { return Ok(None) };
        Ok(text.strip_suffix(b"\n").map(<[u8]>::to_vec))
    }

    /// Remembers the line of a checkpoint that is durable in the log.
    pub(super) fn remember(&self, line: &str) -> Result<(), KeyError> {
        let path = self.beside("seen");
        self.write(&path, &[line.as_bytes(), b"\n"].concat())
    }

    /// Keeps the remembered checkpoint, of this number, in a file of its own, as the log does not have it. Gives the
    /// file.
    pub(super) fn set_aside_seen(&self, seq: u64) -> Result<PathBuf, KeyError> {
        let path = self.beside(&format!("seen.{seq}"));
        if let Some(line) = self.seen()? {
            self.write(&path, &[line.as_slice(), b"\n"].concat())?;
        }
        Ok(path)
    }

    fn load_from(&self, path: &Path) -> Result<Option<SigningKey>, KeyError> {
        let Some(text) = self.read(path, KEY_FILE_BYTES_MAX)? else { return Ok(None) };
        let text = Zeroizing::new(text);
        if !self.filesystem.is_private(path).map_err(KeyError::of(path))? {
            return Err(KeyError::Readable { path: path.to_owned() });
        }
        let key = SigningKey::from_pem(&text).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })?;
        Ok(Some(key))
    }

    fn create_at(&self, path: &Path) -> Result<SigningKey, KeyError> {
        let key = SigningKey::generate()?;
        self.write(path, key.to_pem()?.as_bytes())?;
        Ok(key)
    }

    /// Writes a file whole or not at all, by way of a second one.
    fn write(&self, path: &Path, content: &[u8]) -> Result<(), KeyError> {
        let draft = with_suffix(path, "tmp");
        self.remove(&draft)?;
        let written = self.filesystem.create(&draft).and_then(|mut file| {
            file.append(&mut [IoSlice::new(content)])?;
            file.sync()
        });
        written.map_err(KeyError::of(&draft))?;
        self.filesystem.rename(&draft, path).map_err(KeyError::of(path))?;
        self.sync_folder()
    }

    /// The file's first bytes, as many as a file of ours can have.
    fn read(&self, path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, KeyError> {
        let file = match self.filesystem.open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(KeyError::of(path))?,
        };
        let mut bytes = vec![0; bytes_max];
        let read = file.read_at(0, &mut bytes).map_err(KeyError::of(path))?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    fn remove(&self, path: &Path) -> Result<(), KeyError> {
        match self.filesystem.remove(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(KeyError::of(path)),
        }
    }

    fn sync_folder(&self) -> Result<(), KeyError> {
        self.filesystem.sync_folder(self.folder()).map_err(KeyError::of(self.folder()))
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.path, suffix)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn files(folder: &Path) -> KeyFiles {
        KeyFiles::new(Arc::new(Disk::default()), &folder.join("audit.key"), &folder.join("log")).unwrap()
    }

    #[test]
    fn a_new_key_is_for_its_owner_alone_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        assert!(files.load().unwrap().is_none());
        let key = files.create().unwrap();
        assert_eq!(fs::metadata(files.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(public_key(files.path()).unwrap(), Some(key.public()));
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["audit.key"]);
    }

    #[test]
    fn a_key_that_others_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        files.create().unwrap();
        let path = files.path().to_owned();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(files.load().unwrap_err(), KeyError::Readable { path: path.clone() });
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        files.load().unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "no key", &"x".repeat(KEY_FILE_BYTES_MAX + 1)] {
            fs::write(&path, text).unwrap();
            assert_eq!(files.load().unwrap_err(), KeyError::Malformed { path: path.clone() });
        }
    }

    #[test]
    fn the_log_does_not_hold_its_own_key() {
        let check = |path: &str, folder: &str| {
            KeyFiles::new(Arc::new(Disk::default()), Path::new(path), Path::new(folder)).is_ok()
        };
        assert!(check("/var/lib/gatepost/audit.key", "/var/log/gatepost/audit"));
        assert!(check("/var/log/gatepost/audit.key", "/var/log/gatepost/audit"));
        assert!(!check("/var/log/gatepost/audit/key", "/var/log/gatepost/audit"));
        assert!(!check("/var/log/gatepost/audit/keys/one", "/var/log/gatepost/audit/"));
    }

    #[test]
    fn a_next_key_takes_the_place_or_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        files.create().unwrap();
        let next = files.create_next().unwrap().public();
        files.promote_next().unwrap();
        assert_eq!(files.load().unwrap().unwrap().public(), next);
        assert!(files.load_next().unwrap().is_none());
        files.create_next().unwrap();
        files.discard_next().unwrap();
        files.discard_next().unwrap();
        assert!(files.load_next().unwrap().is_none());
    }

    #[test]
    fn the_newest_checkpoint_is_remembered_alone() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        assert_eq!(seen(files.path()).unwrap(), None);
        files.remember("one").unwrap();
        files.remember("two").unwrap();
        assert_eq!(seen(files.path()).unwrap(), Some(b"two".to_vec()));
    }
}
