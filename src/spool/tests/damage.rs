//! Media that changes what it was given: told, and as much saved as there is.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::journal::Journal;
use crate::journal::filesystem::FileSystem as _;
use crate::journal::simulated::Crash;

/// Messages 1 to 6, of which 3 and 6 have files, over several segments; ended in order.
fn filled() -> Simulated {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    for number in 1..=6 {
        accept(&opened, number, if number % 3 == 0 { 1500 } else { 700 }).unwrap();
    }
    fs
}

fn segments(fs: &Simulated) -> Vec<PathBuf> {
    fs.paths().into_iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "journal")).collect()
}

fn body_path(number: u32) -> PathBuf {
    intake::body_path(&Path::new(FOLDER).join("bodies"), id(number))
}

fn flip(fs: &Simulated, path: &Path, at: usize) {
    let mut bytes = fs.content(path);
    bytes[at] ^= 0x10;
    fs.overwrite(path, bytes);
}

/// The messages that can be had whole.
fn readable(opened: &Opened) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for stored in list(&opened.spool) {
        let number = stored.envelope.id.as_u128() as u32;
        match read(&opened.spool, &stored) {
            Ok(body) => {
                assert_eq!(body, content(number, body.len()));
                found.insert(number);
            }
            Err(error) => assert_eq!(error, BodyError::Damaged),
        }
    }
    found
}

#[test]
fn a_flipped_bit_in_a_segment_costs_one_message_at_most_and_no_file() {
    let fs = filled();
    assert!(segments(&fs).len() >= 2);
    for path in segments(&fs) {
        for at in (0..fs.content(&path).len()).step_by(41) {
            let broken = fs.crash(Crash::Lose);
            flip(&broken, &path, at);
            let opened = open(&broken).unwrap();
            let case = format!("{} at {at}", path.display());
            let listed = opened.recovered.pending.len();
            assert!(readable(&opened).len() >= 5, "{case}");
            assert!(listed == 6 || !opened.recovered.damage.is_empty(), "{case}: silent");
            maintain(&opened);
            assert_eq!(body_files(&broken), [id(3), id(6)], "{case}");
        }
    }
}

#[test]
fn the_file_of_a_message_that_cannot_be_read_is_kept_and_told() {
    let fs = filled();
    let path = segments(&fs)[0].clone();
    let text = fs.content(&path);
    let name = id(3).to_string();
    let at = text.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
    flip(&fs, &path, at);
    let opened = open(&fs).unwrap();
    assert_eq!((opened.recovered.damage.len(), opened.spool.message_count()), (1, 5));
    assert_eq!(opened.recovered.unreadable.len(), 1, "{:?}", opened.recovered.unreadable);
    assert!(opened.recovered.unreadable[0].contains(&name));
}

#[test]
fn files_of_nobody_go_and_those_of_strangers_stay() {
    let fs = filled();
    let folder = Path::new(FOLDER).join("bodies");
    let strangers = ["notes.txt".to_owned(), format!("{}.body", id(11)).to_lowercase(), ".body".to_owned()];
    for name in strangers.iter().cloned().chain([format!("{}.body", id(8))]) {
        fs.create(&folder.join(name)).unwrap();
    }
    let opened = open(&fs).unwrap();
    assert_eq!((opened.recovered.unreadable.len(), fs.paths().contains(&body_path(8))), (3, false));
    for name in strangers {
        assert!(fs.paths().contains(&folder.join(name)));
    }
}

#[test]
fn a_damaged_or_missing_content_file_is_told() {
    let fs = filled();
    for (at, expected) in [(0, Err(BodyError::Damaged)), (1499, Err(BodyError::Damaged))] {
        let broken = fs.crash(Crash::Lose);
        flip(&broken, &body_path(3), at);
        let opened = open(&broken).unwrap();
        assert_eq!(read(&opened.spool, &load(&opened, 3)), expected);
    }
    let short = fs.crash(Crash::Lose);
    short.overwrite(&body_path(3), content(3, 1400));
    let opened = open(&short).unwrap();
    assert_eq!(read(&opened.spool, &load(&opened, 3)), Err(BodyError::Damaged));
    fs.remove(&body_path(3)).unwrap();
    let opened = open(&fs).unwrap();
    assert_eq!(opened.recovered.unreadable, [format!("message {}: its content file is missing", id(3))]);
    assert_eq!(read(&opened.spool, &load(&opened, 3)), Err(BodyError::Gone));
}

#[test]
fn content_that_goes_while_it_is_read_is_gone_and_not_damaged() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept(&opened, 1, 900).unwrap();
    rotate(&opened, 10..50);
    opened.spool.forget_cached(id(1));
    let stored = load(&opened, 1);
    let mut pieces = wait(opened.spool.body(&stored).pieces()).unwrap();
    commit_progress(&opened, progress(1, &[0], delivered()));
    assert_eq!(maintain(&opened).segments_removed, 1);
    assert_eq!(wait(pieces.next()).map(|_| ()), Err(BodyError::Gone));
    assert_eq!(read(&opened.spool, &stored), Err(BodyError::Gone));
}

/// An entry of a later release.
struct Foreign;

impl journal::Entry for Foreign {
    fn kind(&self) -> u8 {
        200
    }

    fn encode_meta(&self, out: &mut Vec<u8>) {
        out.extend(b"of a later release");
    }

    fn body(&self) -> Vec<Bytes> {
        Vec::new()
    }
}

#[test]
fn a_segment_with_an_entry_that_is_not_understood_is_kept() {
    let fs = filled();
    let folder = Path::new(FOLDER).join("journal");
    let options = journal::Options { folder, salt: 1, limits: LIMITS };
    let quiet = Box::new(|_: journal::Batch<Foreign>| ());
    let (foreign, _) = Journal::open(options, Arc::new(fs.clone()), &mut |_| (), quiet).unwrap();
    wait(foreign.commit(vec![Foreign])).unwrap();
    foreign.close();
    let segment = segments(&fs).last().unwrap().clone();
    fs.create(&body_path(8)).unwrap();
    let opened = open(&fs).unwrap();
    assert_eq!(opened.recovered.unreadable.len(), 2, "{:?}", opened.recovered.unreadable);
    maintain(&opened);
    assert!(fs.paths().contains(&segment) && fs.paths().contains(&body_path(8)));
}

/// What another release writes.
struct Stranger;

impl journal::Entry for Stranger {
    fn kind(&self) -> u8 {
        200
    }

    fn encode_meta(&self, out: &mut Vec<u8>) {
        out.extend(b"\x00whatever it is");
    }

    fn body(&self) -> Vec<Bytes> {
        Vec::new()
    }
}

#[test]
fn entries_of_a_later_release_are_kept_and_the_others_count() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept(&opened, 1, 100).unwrap();
    let boot = fs.crash(Crash::Lose);
    drop(opened);
    let options = journal::Options { folder: Path::new(FOLDER).join("journal"), salt: 9, limits: LIMITS };
    let later = Journal::<Stranger>::open(options, Arc::new(boot.clone()), &mut |_| {}, Box::new(|_| {})).unwrap();
    wait(later.0.commit(vec![Stranger])).unwrap();
    later.0.close();
    let opened = open(&boot.crash(Crash::Lose)).unwrap();
    assert_eq!(opened.recovered.pending, [id(1)]);
    assert_eq!(opened.recovered.unreadable, ["batch 2: entry of kind 200: this kind is not known"]);
    rotate(&opened, 100..200);
    maintain(&opened);
    assert!(opened.spool.shared.journal.segments().iter().any(|info| info.first_sequence == 2), "it is kept");
}
