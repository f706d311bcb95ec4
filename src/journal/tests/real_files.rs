//! The same on the disk of this machine.

use super::*;
use crate::journal::disk::Disk;

fn open_disk(folder: &Path) -> Result<Opened, OpenError> {
    open_with(Arc::new(Disk::default()), folder, SMALL)
}

#[test]
fn real_files_hold_what_was_committed() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("spool").join("journal");
    let opened = open_disk(&folder).unwrap();
    for id in 0..10 {
        // Many chunks make many parts of one vectored write.
        commit(&opened.journal, &[item(id, 400), item(id + 100, 0)]).unwrap();
    }
    let gone = opened.journal.segments()[1].number;
    opened.journal.remove_segment(gone).unwrap();
    let kept = places(&opened).values().filter(|at| **at != gone).count();
    opened.journal.close();
    let again = open_disk(&folder).unwrap();
    assert_eq!((again.recovery.damage.len(), again.recovery.torn), (0, None));
    assert_eq!(again.replayed.len(), kept);
    assert_bodies(&again);
    assert!(again.journal.free_bytes().unwrap() > 0);
}

#[test]
fn a_write_of_more_parts_than_the_system_takes_at_once_is_whole() {
    let home = tempfile::tempdir().unwrap();
    let limits = Limits { segment_bytes_max: 1 << 20, batch_bytes_max: 1 << 20, ..SMALL };
    let opened = open_with(Arc::new(Disk::default()), home.path(), limits).unwrap();
    commit(&opened.journal, &[item(1, 300_000)]).unwrap();
    opened.journal.close();
    let again = open_with(Arc::new(Disk::default()), home.path(), limits).unwrap();
    assert_eq!(ids(&again.replayed), [1]);
    assert_bodies(&again);
}

#[test]
fn a_torn_real_file_is_cut() {
    let home = tempfile::tempdir().unwrap();
    let opened = open_disk(home.path()).unwrap();
    commit(&opened.journal, &[item(1, 100)]).unwrap();
    commit(&opened.journal, &[item(2, 100)]).unwrap();
    let segment = opened.journal.segments()[0];
    opened.journal.close();
    let path = home.path().join(format!("{:016x}.journal", segment.number));
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(segment.bytes - 10).unwrap();
    let again = open_disk(home.path()).unwrap();
    assert_eq!(ids(&again.replayed), [1]);
    let torn = again.recovery.torn.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), torn.offset);
}

#[test]
fn a_folder_in_use_names_the_process() {
    let home = tempfile::tempdir().unwrap();
    let opened = open_disk(home.path()).unwrap();
    assert_eq!(open_disk(home.path()).err(), Some(OpenError::Locked { pid: Some(std::process::id()) }));
    opened.journal.close();
    assert!(open_disk(home.path()).is_ok());
}
