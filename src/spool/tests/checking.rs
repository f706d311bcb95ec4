//! Verifying a spool: damage is found, and it is said whose mail it was.

use std::path::PathBuf;

use super::super::check::{Checked, Finding, Owner, check};
use super::*;
use crate::journal::What;

fn look(fs: &Simulated) -> Checked {
    check(Path::new(FOLDER), Arc::new(fs.clone()), &mut |done, total| assert!(done <= total)).unwrap()
}

fn segment(fs: &Simulated, number: u64) -> PathBuf {
    let path = Path::new(FOLDER).join("journal").join(format!("{number:016x}.journal"));
    assert!(fs.paths().contains(&path));
    path
}

/// Changes a bit of the only place that holds these bytes.
fn flip(fs: &Simulated, path: &Path, part: &[u8]) {
    let mut bytes = fs.content(path);
    let at = bytes.windows(part.len()).position(|window| window == part).unwrap();
    bytes[at] ^= 4;
    fs.overwrite(path, bytes);
}

/// Two messages in the journal, one with a file, one that is finished; each in a batch of its own.
fn stopped() -> Simulated {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    for (number, bytes) in [(1, 300), (2, 2500), (3, 310), (4, 320)] {
        wait(async {
            let content = fill(&opened.spool, number, bytes).await.unwrap();
            let message = NewMessage { envelope: envelope(number, 1), content };
            opened.spool.accept(message, vec![record(number)]).await.unwrap();
        });
    }
    commit_progress(&opened, progress(3, &[0], delivered()));
    opened.spool.close();
    drop(opened);
    fs.restart()
}

#[test]
fn a_spool_as_it_was_written_is_clean_and_a_look_changes_nothing() {
    let fs = stopped();
    let checked = look(&fs);
    assert_eq!((checked.findings, checked.torn, checked.in_use), (Vec::new(), None, false));
    assert_eq!((checked.peeked.message_count(), checked.counts.content_files), (3, 1));
    assert_eq!(fs.operations(), 0);
}

#[test]
fn damaged_content_is_told_by_its_message_and_harmless_where_that_is_finished() {
    for (number, bytes, expected) in [(1, 300, Owner::Waiting(id(1))), (3, 310, Owner::Finished(id(3)))] {
        let fs = stopped();
        flip(&fs, &segment(&fs, 1), &content(number, bytes));
        let checked = look(&fs);
        let [Finding::Damage { damage, owner }] = &checked.findings[..] else { panic!("{:?}", checked.findings) };
        assert_eq!((damage.what, *owner), (What::Body, expected));
    }
    let fs = stopped();
    flip(&fs, &segment(&fs, 1), record(4).json.as_bytes());
    let checked = look(&fs);
    let [Finding::Damage { owner, .. }] = &checked.findings[..] else { panic!("{:?}", checked.findings) };
    assert_eq!(*owner, Owner::Record(RecordId::from_u128(4)));
}

#[test]
fn content_files_are_held_against_their_length_and_checksum() {
    let path = Path::new(FOLDER).join("bodies").join(format!("{}.body", id(2)));
    for (bytes, error) in [
        (content(2, 2499), BodyError::Damaged),
        (
            {
                let mut bytes = content(2, 2500);
                bytes[2499] ^= 1;
                bytes
            },
            BodyError::Damaged,
        ),
    ] {
        let fs = stopped();
        fs.overwrite(&path, bytes);
        assert_eq!(look(&fs).findings, [Finding::Content { message: id(2), error }]);
    }
    let fs = stopped();
    fs.remove(&path).unwrap();
    assert_eq!(look(&fs).findings, [Finding::Content { message: id(2), error: BodyError::Gone }]);
}

#[test]
fn a_lost_envelope_leaves_the_record_of_its_batch_to_tell_whose_it_was() {
    let fs = stopped();
    flip(&fs, &segment(&fs, 1), format!("\"envelope\":{{\"id\":\"{}\"", id(1)).as_bytes());
    let checked = look(&fs);
    let [Finding::Damage { damage, owner: Owner::Unknown }] = &checked.findings[..] else {
        panic!("{:?}", checked.findings)
    };
    assert_eq!((damage.what, damage.sequences.clone(), damage.entries), (What::Metadata, Some(1..=1), Some(1)));
    assert_eq!(checked.records, [record(1).json.to_string()]);
    assert_eq!((checked.readable.len(), checked.peeked.message_count()), (0, 2));
}

#[test]
fn beside_a_daemon_what_is_being_written_is_no_finding() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept(&opened, 1, 300).unwrap();
    let path = segment(&fs, 1);
    let mut bytes = fs.content(&path);
    bytes.extend(b"GPbatch\nhalf a batch");
    fs.overwrite(&path, bytes);
    let checked = look(&fs);
    assert_eq!((checked.findings, checked.torn, checked.in_use), (Vec::new(), None, true));
    drop(opened);
}
