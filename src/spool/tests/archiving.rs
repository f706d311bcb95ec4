//! Messages that go out of a spool and into another one: whole and the same, or not at all.

use std::io::ErrorKind;

use super::super::archive::{Archive, ArchiveError, Put};
use super::super::peek::peek;
use super::*;
use crate::journal::simulated::{Crash, Trouble};

const ARCHIVE: &str = "/archive";

/// Two messages, the second with a file of its own and one recipient left.
fn source() -> Simulated {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept(&opened, 1, 300).unwrap();
    accept_for(&opened, 2, 2500, 2).unwrap();
    commit_progress(&opened, progress(2, &[0], delivered()));
    commit_progress(&opened, progress(2, &[1], deferred(3)));
    drop(opened);
    fs.restart()
}

fn export(fs: &Simulated, to: &Simulated) -> Result<Vec<Put>, ArchiveError> {
    let peeked = peek(Path::new(FOLDER), Arc::new(fs.clone())).unwrap();
    let archive = Archive::create(Arc::new(to.clone()), Path::new(ARCHIVE))?;
    let mut done = Vec::new();
    for id in peeked.ids(None, 9) {
        let stored = peeked.load(id).unwrap().unwrap();
        done.push(archive.put(&stored, &mut peeked.content(&stored).unwrap())?);
    }
    archive.sync()?;
    Ok(done)
}

fn import(opened: &Opened, from: &Simulated, number: u32) -> Result<(), ArchiveError> {
    let archive = Archive::open(Arc::new(from.clone()), Path::new(ARCHIVE));
    wait(opened.spool.restore(&archive, id(number), vec![record(number)]))
}

fn check_same(opened: &Opened, number: u32) {
    let stored = wait(opened.spool.load(id(number))).unwrap().unwrap();
    let (bytes, states) =
        if number == 1 { (300, vec![RecipientState::default()]) } else { (2500, vec![delivered(), deferred(3)]) };
    assert_eq!((stored.envelope.clone(), &stored.states), (envelope(number, states.len()), &states));
    assert_eq!(read(&opened.spool, &stored).unwrap(), content(number, bytes));
}

#[test]
fn what_was_exported_is_imported_as_it_was_with_its_record() {
    let outside = Simulated::default();
    assert_eq!(export(&source(), &outside).unwrap(), [Put::Written; 2]);
    assert_eq!(export(&source(), &outside).unwrap(), [Put::Present; 2]);
    assert_eq!(outside.content(&Path::new(ARCHIVE).join(format!("{}.eml", id(1)))), content(1, 300));
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    for number in [1, 2] {
        import(&opened, &outside, number).unwrap();
        check_same(&opened, number);
        assert_eq!(import(&opened, &outside, number), Err(ArchiveError::Queued));
    }
    let opened = open(&fs.crash(Crash::Lose)).unwrap();
    check_same(&opened, 1);
    check_same(&opened, 2);
    let records: Vec<AuditEntry> = opened.recovered.audit.iter().flat_map(|(_, records)| records.clone()).collect();
    assert_eq!(records, [record(1), record(2)]);
}

#[test]
fn what_is_not_as_it_was_exported_is_refused_whole() {
    let outside = Simulated::default();
    export(&source(), &outside).unwrap();
    let path = |number, suffix: &str| Path::new(ARCHIVE).join(format!("{}.{suffix}", id(number)));
    outside.overwrite(&path(1, "eml"), content(1, 299));
    let mut bytes = content(2, 2500);
    bytes[2000] ^= 1;
    outside.overwrite(&path(2, "eml"), bytes);
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    for number in [1, 2] {
        assert_eq!(import(&opened, &outside, number), Err(ArchiveError::Changed));
    }
    let text = String::from_utf8(outside.content(&path(2, "json"))).unwrap();
    outside.overwrite(&path(2, "json"), text.replacen("\"format\": 1", "\"format\": 2", 1).into());
    assert_eq!(import(&opened, &outside, 2), Err(ArchiveError::Format(2)));
    assert_eq!(import(&opened, &outside, 3).map_err(|error| matches!(error, ArchiveError::Io { .. })), Err(true));
    assert_eq!((opened.spool.message_count(), body_files(&fs)), (0, Vec::new()));
}

#[test]
fn a_message_whose_end_the_journal_still_tells_is_not_imported() {
    let outside = Simulated::default();
    export(&source(), &outside).unwrap();
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept(&opened, 1, 300).unwrap();
    accept(&opened, 9, 300).unwrap();
    rotate(&opened, 100..200);
    commit_progress(&opened, progress(1, &[0], delivered()));
    assert_eq!(import(&opened, &outside, 1), Err(ArchiveError::Finished));
}

#[test]
fn a_fault_leaves_an_export_that_goes_on_and_an_import_that_is_whole_or_not_there() {
    let source = source();
    let quiet = Simulated::default();
    export(&source, &quiet).unwrap();
    let operations = quiet.operations();
    for operation in 1..=operations {
        for trouble in [Trouble::Before(ErrorKind::Other), Trouble::Short(ErrorKind::StorageFull), Trouble::Die] {
            let outside = Simulated::default();
            outside.trouble_at(operation, trouble);
            _ = export(&source, &outside);
            let outside = outside.crash(Crash::Scatter(operation));
            let case = format!("{trouble:?} at {operation}");
            assert!(export(&source, &outside).is_ok(), "{case}");
            let opened = open(&Simulated::default()).unwrap();
            assert_eq!([1, 2].map(|number| import(&opened, &outside, number)), [Ok(()), Ok(())], "{case}");
        }
    }
    for operation in 1..=40 {
        for trouble in [Trouble::Before(ErrorKind::Other), Trouble::After(ErrorKind::Other), Trouble::Die] {
            let fs = Simulated::default();
            fs.trouble_at(operation, trouble);
            let imported = open(&fs).map(|opened| [1, 2].map(|number| import(&opened, &quiet, number).is_ok()));
            let opened = open(&fs.crash(Crash::Lose)).unwrap();
            for (number, was_told) in [1, 2].into_iter().zip(imported.unwrap_or_default()) {
                assert!(!was_told || opened.spool.outline(id(number)).is_some(), "{trouble:?} at {operation}");
                if opened.spool.outline(id(number)).is_some() {
                    check_same(&opened, number);
                }
            }
        }
    }
}
