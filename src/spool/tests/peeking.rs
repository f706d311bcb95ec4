//! Looking into a spool that no daemon has open.

use std::io::Read;

use super::super::peek::{PeekError, Peeked, peek};
use super::*;
use crate::journal::disk::Disk;

fn look(fs: &Simulated) -> Result<Peeked, PeekError> {
    peek(Path::new(FOLDER), Arc::new(fs.clone()))
}

#[test]
fn a_stopped_spool_is_read_as_the_next_start_finds_it_and_nothing_changes() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept(&opened, 1, 300).unwrap();
    accept_for(&opened, 2, 2500, 2).unwrap();
    accept(&opened, 3, 10).unwrap();
    commit_progress(&opened, progress(2, &[1], deferred(1)));
    commit_progress(&opened, progress(3, &[0], delivered()));
    drop(opened);
    let stopped = fs.restart();
    let peeked = look(&stopped).unwrap();
    assert_eq!(
        (peeked.message_count(), peeked.ids(None, 9), peeked.ids(Some(id(1)), 9)),
        (2, vec![id(1), id(2)], vec![id(2)])
    );
    for (number, bytes) in [(1, 300), (2, 2500)] {
        let stored = peeked.load(id(number)).unwrap().unwrap();
        assert_eq!(*stored.envelope, *envelope(number, stored.states.len()));
        let mut whole = Vec::new();
        peeked.content(&stored).unwrap().read_to_end(&mut whole).unwrap();
        assert_eq!(whole, content(number, bytes));
        assert_eq!(peeked.head(&stored, 7).unwrap(), content(number, 7));
    }
    assert_eq!(peeked.load(id(2)).unwrap().unwrap().states, [RecipientState::default(), deferred(1)]);
    assert!(peeked.load(id(3)).unwrap().is_none());
    assert_eq!((peeked.damage.len(), peeked.torn, peeked.unreadable.len()), (0, None, 0));
    assert_eq!(stopped.operations(), 0);
}

#[test]
fn a_spool_that_is_in_use_is_not_looked_into() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    assert_eq!(look(&fs).unwrap_err(), PeekError::InUse { path: FOLDER.into(), pid: None });
    drop(opened);
    assert!(look(&fs).is_ok());
}

#[test]
fn content_files_that_are_gone_are_named() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept(&opened, 1, 2500).unwrap();
    drop(opened);
    let stopped = fs.restart();
    stopped.remove(&Path::new(FOLDER).join("bodies").join(format!("{}.body", id(1)))).unwrap();
    let peeked = look(&stopped).unwrap();
    assert_eq!(peeked.unreadable, [format!("message {}: its content file is missing", id(1))]);
    let stored = peeked.load(id(1)).unwrap().unwrap();
    assert_eq!(peeked.content(&stored).err(), Some(BodyError::Gone));
}

#[test]
fn the_real_lock_tells_of_its_holder_and_is_free_again_after_the_look() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let missing = peek(folder.path(), Arc::new(Disk::default())).unwrap_err();
    assert_eq!(missing, PeekError::Missing { path: folder.path().into() });
    let journal = folder.path().join("journal");
    disk.ensure_folder(&journal).unwrap();
    assert_eq!(disk.holder(&journal).unwrap(), None);
    let lock = disk.lock(&journal).unwrap();
    let error = peek(folder.path(), Arc::new(Disk::default())).unwrap_err();
    assert_eq!(error, PeekError::InUse { path: folder.path().into(), pid: Some(std::process::id()) });
    drop(lock);
    assert_eq!(peek(folder.path(), Arc::new(Disk::default())).unwrap().message_count(), 0);
    drop(disk.lock(&journal).unwrap());
}
