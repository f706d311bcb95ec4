//! A filesystem in memory for tests: it forgets what was not synced, fails at a chosen operation, and runs full.
//!
//! Two states are kept: what programs see, and what a crash leaves. Changing operations are counted from 1.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::filesystem::{File, FileSystem, Holder, Lock, LockError};

const SECTOR_BYTES: usize = 64;

/// What happens at a chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It fails and has no effect. After a failed sync the data will never be durable, though later syncs succeed.
    Before(ErrorKind),
    /// Half of an append is done, then it fails; other operations fail as with `Before`.
    Short(ErrorKind),
    /// It has its effect and fails.
    After(ErrorKind),
    /// The machine stops: it has its effect in memory (a sync has none), and it and all that follow fail.
    Die,
}

/// What a crash leaves of the bytes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Nothing, and no name that was not synced.
    Lose,
    /// The first bytes, and all names.
    Keep(usize),
    /// Each sector and each name by chance; lost sectors read as zeros.
    Scatter(u64),
}

#[derive(Clone, Debug, Default)]
pub struct Simulated(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    contents: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Since the last sync of the folder.
    name_changes: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    troubles: BTreeMap<u64, Trouble>,
    operations: u64,
    syncs: u64,
    dead: bool,
    space_bytes: Option<usize>,
}

/// One change of the folder; a crash leaves it whole or not at all.
#[derive(Clone, Debug)]
struct NameChange {
    gone: Option<PathBuf>,
    new: Option<(PathBuf, u64)>,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        names.retain(|path, _| Some(path) != self.gone.as_ref());
        names.extend(self.new.clone());
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Where the next append goes: before the zeros that lie ahead.
    end: usize,
    /// Where it was at the last sync.
    synced_end: usize,
    /// A failed sync dropped what was seen from here to there.
    dropped: Vec<(usize, usize)>,
}

impl Simulated {
    pub fn trouble_at(&self, operation: u64, trouble: Trouble) {
        self.world().troubles.insert(operation, trouble);
    }

    /// How many changing operations there were.
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// How many of them were syncs of files.
    pub fn syncs(&self) -> u64 {
        self.world().syncs
    }

    /// From now on this many bytes can be added to files; `None` is without end.
    pub fn set_space(&self, bytes: Option<usize>) {
        self.world().space_bytes = bytes;
    }

    /// The filesystem that the next boot finds.
    pub fn crash(&self, crash: Crash) -> Self {
        let world = self.world();
        let mut chance = fastrand::Rng::with_seed(if let Crash::Scatter(seed) = crash { seed } else { 0 });
        let mut names = world.durable_names.clone();
        for change in &world.name_changes {
            let keep = match crash {
                Crash::Lose => false,
                Crash::Keep(_) => true,
                Crash::Scatter(_) => chance.bool(),
            };
            if keep {
                change.apply(&mut names);
            }
        }
        let contents = world.contents.iter().map(|(id, content)| (*id, content.after(crash, &mut chance))).collect();
        let booted = World { contents, durable_names: names.clone(), names, ..World::default() };
        Self(Arc::new(Mutex::new(booted)))
    }

    /// The process is gone, the machine goes on: all that was written is seen.
    pub fn restart(&self) -> Self {
        let mut world = self.world();
        world.locks.clear();
        let booted = World {
            contents: world.contents.clone(),
            names: world.names.clone(),
            durable_names: world.durable_names.clone(),
            name_changes: world.name_changes.clone(),
            ..World::default()
        };
        Self(Arc::new(Mutex::new(booted)))
    }

    /// All files, by path.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.world().names.keys().cloned().collect()
    }

    pub fn content(&self, path: &Path) -> Vec<u8> {
        let world = self.world();
        world.contents[&world.names[path]].seen.clone()
    }

    /// Puts other bytes in a file, durably.
    pub fn overwrite(&self, path: &Path, bytes: Vec<u8>) {
        let mut world = self.world();
        let id = world.names[path];
        world.contents.insert(id, Content::settled(bytes));
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, id: u64) -> Box<dyn File> {
        Box::new(SimulatedFile { world: self.clone(), id })
    }

    fn find(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let id = self.world().alive()?.names.get(path).copied().ok_or(ErrorKind::NotFound)?;
        Ok(self.handle(id))
    }

    /// Runs an operation that either has its effect or not.
    fn change<T>(&self, effect: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.world();
        match world.next_operation()? {
            None => effect(&mut world),
            Some(Trouble::Before(kind) | Trouble::Short(kind)) => Err(kind.into()),
            Some(Trouble::After(kind)) => effect(&mut world).and(Err(kind.into())),
            Some(Trouble::Die) => effect(&mut world).and(Err(dead())),
        }
    }
}

impl World {
    fn alive(&self) -> io::Result<&Self> {
        if self.dead { Err(dead()) } else { Ok(self) }
    }

    fn next_operation(&mut self) -> io::Result<Option<Trouble>> {
        self.alive()?;
        self.operations += 1;
        let trouble = self.troubles.get(&self.operations).copied();
        self.dead = trouble == Some(Trouble::Die);
        Ok(trouble)
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn append(&mut self, id: u64, bytes: &[u8]) -> io::Result<()> {
        let content = self.contents.get_mut(&id).unwrap();
        let over = bytes.len().min(content.seen.len() - content.end);
        let room = over + self.space_bytes.unwrap_or(usize::MAX).min(bytes.len() - over);
        if let Some(space) = &mut self.space_bytes {
            *space -= room - over;
        }
        let (replacing, new) = bytes[..room].split_at(over);
        content.seen[content.end..][..over].copy_from_slice(replacing);
        content.seen.extend(new);
        content.end += room;
        if room < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn zero_ahead(&mut self, id: u64, count: usize) -> io::Result<()> {
        let end = self.contents[&id].end;
        let written = self.append(id, &vec![0; count]);
        self.contents.get_mut(&id).unwrap().end = end;
        written
    }
}

impl Content {
    /// Bytes that are on the disk.
    fn settled(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { durable: bytes.clone(), seen: bytes, end, synced_end: end, dropped: Vec::new() }
    }

    fn sync(&mut self) {
        self.durable = self.seen.clone();
        self.synced_end = self.end;
        for &(from, to) in &self.dropped {
            let to = to.min(self.durable.len());
            if from < to {
                self.durable[from..to].fill(0);
            }
        }
    }

    fn after(&self, crash: Crash, chance: &mut fastrand::Rng) -> Self {
        let mut synced = self.clone();
        synced.sync();
        let start = self.synced_end.min(self.durable.len()).min(self.seen.len());
        let is_cut = self.seen.len() < self.durable.len();
        let is_same = self.seen.len() == self.durable.len() && self.end <= self.synced_end;
        let mut left = match crash {
            Crash::Lose => self.durable.clone(),
            _ if is_cut || is_same => synced.durable,
            Crash::Keep(count) => {
                let kept = self.seen.len().min(start.saturating_add(count));
                let ahead = self.durable.get(kept..).unwrap_or_default();
                [&synced.durable[..kept], ahead].concat()
            }
            Crash::Scatter(_) => {
                let mut bytes = synced.durable;
                for sector in bytes[start..].chunks_mut(SECTOR_BYTES).filter(|_| chance.bool()) {
                    sector.fill(0);
                }
                let shortest = start.max(self.durable.len());
                let length = shortest + chance.usize(0..=bytes.len() - shortest);
                if chance.bool() {
                    bytes.truncate(length)
                }
                bytes
            }
        };
        left.shrink_to_fit();
        Self::settled(left)
    }
}

impl FileSystem for Simulated {
    fn ensure_folder(&self, _folder: &Path) -> io::Result<()> {
        self.world().alive().map(|_| ())
    }

    fn lock(&self, folder: &Path) -> Result<Box<dyn Lock>, LockError> {
        if self.world().locks.insert(folder.to_owned()) {
            Ok(Box::new(SimulatedLock { world: self.clone(), folder: folder.to_owned() }))
        } else {
            Err(LockError::Taken { pid: None })
        }
    }

    fn holder(&self, folder: &Path) -> io::Result<Option<Holder>> {
        Ok(self.world().alive()?.locks.contains(folder).then_some(Holder { pid: None }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        let inside = world.alive()?.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let id = self.change(|world| {
            if world.names.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let id = world.contents.len() as u64;
            world.contents.insert(id, Content::default());
            world.rename(NameChange { gone: None, new: Some((path.to_owned(), id)) });
            Ok(id)
        })?;
        Ok(self.handle(id))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.find(path)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = self.find(path)?;
        let mut world = self.world();
        let id = world.names[path];
        let content = world.contents.get_mut(&id).unwrap();
        content.end = content.seen.len();
        Ok(file)
    }

    fn lies_in(&self, file: &Path, folder: &Path) -> bool {
        file.starts_with(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|world| {
            let id = *world.names.get(from).ok_or(ErrorKind::NotFound)?;
            world.rename(NameChange { gone: Some(from.to_owned()), new: Some((to.to_owned(), id)) });
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|world| {
            world.names.get(path).ok_or(ErrorKind::NotFound)?;
            world.rename(NameChange { gone: Some(path.to_owned()), new: None });
            Ok(())
        })
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        let mut world = self.world();
        let trouble = world.next_operation()?;
        if matches!(trouble, None | Some(Trouble::After(_))) {
            world.durable_names = world.names.clone();
            world.name_changes.clear();
        }
        trouble.map_or(Ok(()), |trouble| Err(trouble.error()))
    }

    fn is_private(&self, _path: &Path) -> io::Result<bool> {
        self.world().alive().map(|_| true)
    }

    fn free_bytes(&self, _folder: &Path) -> io::Result<u64> {
        Ok(self.world().space_bytes.map_or(u64::MAX, |bytes| bytes as u64))
    }
}

#[derive(Debug)]
struct SimulatedFile {
    world: Simulated,
    id: u64,
}

impl File for SimulatedFile {
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut world = self.world.world();
        let trouble = world.next_operation()?;
        let done = match trouble {
            Some(Trouble::Before(_)) => 0,
            Some(Trouble::Short(_)) => bytes.len() / 2,
            _ => bytes.len(),
        };
        world.append(self.id, &bytes[..done])?;
        trouble.map_or(Ok(()), |trouble| Err(trouble.error()))
    }

    fn zero_ahead(&mut self, count: u64) -> io::Result<()> {
        self.world.change(|world| world.zero_ahead(self.id, count as usize))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut world = self.world.world();
        world.syncs += 1;
        let trouble = world.next_operation()?;
        let content = world.contents.get_mut(&self.id).unwrap();
        match trouble {
            None | Some(Trouble::After(_)) => content.sync(),
            Some(Trouble::Before(_) | Trouble::Short(_)) => {
                content.dropped.push((content.synced_end.min(content.durable.len()), content.seen.len()));
            }
            Some(Trouble::Die) => {}
        }
        trouble.map_or(Ok(()), |trouble| Err(trouble.error()))
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.world.change(|world| {
            let content = world.contents.get_mut(&self.id).unwrap();
            let freed = content.seen.len().saturating_sub(length as usize);
            content.seen.truncate(length as usize);
            content.end = content.seen.len();
            content.synced_end = content.synced_end.min(content.end);
            // What is written there from now on is new to the disk.
            content.dropped.iter_mut().for_each(|(_, to)| *to = (*to).min(length as usize));
            if let Some(space) = &mut world.space_bytes {
                *space += freed;
            }
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let world = self.world.world();
        let rest = world.alive()?.contents[&self.id].seen.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.world.world().alive()?.contents[&self.id].seen.len() as u64)
    }
}

#[derive(Debug)]
struct SimulatedLock {
    world: Simulated,
    folder: PathBuf,
}

impl Lock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.world.world().locks.remove(&self.folder);
    }
}

impl Trouble {
    fn error(self) -> io::Error {
        match self {
            Self::Before(kind) | Self::Short(kind) | Self::After(kind) => kind.into(),
            Self::Die => dead(),
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the simulated machine is off")
}
