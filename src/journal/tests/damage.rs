//! Media that changes what it was given: never silently missing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::journal::format::{ALIGNMENT, BatchHeader, HEADER_BYTES};
use crate::journal::simulated::Crash;

/// Three full segments and a fourth, ended in order.
fn filled() -> (Simulated, BTreeMap<u32, Item>, Vec<PathBuf>) {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    let all: Vec<Item> = (0..16).map(|id| item(id, [200, 0, 90, 1][id as usize % 4])).collect();
    for pair in all.chunks(2) {
        commit(&opened.journal, pair).unwrap();
    }
    opened.journal.close();
    let paths = fs.paths();
    assert!(paths.len() >= 3);
    (fs, all.into_iter().map(|item| (item.id, item)).collect(), paths)
}

/// Where the last batch of a file ends: behind that there are zeros.
fn end(fs: &Simulated, path: &Path) -> usize {
    let content = fs.content(path);
    let last = content.iter().rposition(|byte| *byte != 0).unwrap();
    (last + 1).next_multiple_of(ALIGNMENT as usize)
}

fn flip(fs: &Simulated, path: &Path, at: usize) {
    let mut bytes = fs.content(path);
    bytes[at] ^= 0x10;
    fs.overwrite(path, bytes);
}

/// Which items cannot be had any more. All others must be as they were.
fn missing(opened: &Opened, all: &BTreeMap<u32, Item>) -> BTreeSet<u32> {
    let mut missing: BTreeSet<u32> = all.keys().copied().collect();
    for (item, location) in &opened.replayed {
        assert_eq!(all.get(&item.id), Some(item));
        match opened.journal.read_body(location) {
            Ok(body) => {
                assert_eq!(body, item.body_content());
                assert!(missing.remove(&item.id), "twice: {item:?}");
            }
            Err(error) => assert_eq!(error, ReadError::Damaged),
        }
    }
    missing
}

#[test]
fn a_flipped_bit_anywhere_is_reported_and_costs_no_other_batch() {
    let (fs, all, paths) = filled();
    for path in &paths {
        for at in (0..fs.content(path).len()).step_by(3) {
            let broken = fs.crash(Crash::Lose);
            flip(&broken, path, at);
            let opened = open(&broken).unwrap();
            let missing = missing(&opened, &all);
            assert!(missing.len() <= 2, "{} at {at}: {missing:?}", path.display());
            let replayed: BTreeSet<u32> = ids(&opened.replayed).into_iter().collect();
            let gone = all.keys().filter(|id| !replayed.contains(id)).count();
            // A body is checked when it is read; what is not replayed must be told.
            assert!(gone == 0 || !opened.recovery.damage.is_empty(), "{} at {at}: silent loss", path.display());
            for damage in opened.recovery.damage.iter().filter(|_| gone > 0) {
                assert!(damage.sequences.is_some(), "{damage}");
            }
            // What a start saves, the next one has too.
            let again = open(&broken.restart()).unwrap();
            assert_eq!(ids(&again.replayed), ids(&opened.replayed), "{} at {at}", path.display());
        }
    }
}

#[test]
fn a_flipped_bit_in_the_metadata_costs_one_entry() {
    let (fs, all, paths) = filled();
    // In the metadata of the first entry of the first batch.
    flip(&fs, &paths[0], 2 * HEADER_BYTES + 24 + 2);
    let opened = open(&fs).unwrap();
    assert_eq!(missing(&opened, &all), BTreeSet::from([0]));
    let [damage] = &opened.recovery.damage[..] else { panic!("{:?}", opened.recovery) };
    assert_eq!((damage.what, damage.sequences.clone(), damage.entries), (What::Metadata, Some(1..=1), Some(1)));
}

#[test]
fn a_damaged_segment_is_kept() {
    let (fs, _, paths) = filled();
    flip(&fs, &paths[1], HEADER_BYTES + 10);
    let opened = open(&fs).unwrap();
    let damaged: Vec<_> = opened.journal.segments().into_iter().filter(|segment| segment.damaged).collect();
    assert_eq!(damaged.len(), 1);
    assert_eq!(opened.journal.remove_segment(damaged[0].number), Err(RemoveError::Damaged));
    assert!(fs.paths().contains(&paths[1]));
}

#[test]
fn a_lost_segment_file_is_reported_with_the_batches_that_are_gone() {
    let (whole, _, paths) = filled();
    for at in 0..2 {
        let fs = whole.crash(Crash::Lose);
        fs.remove(&paths[at]).unwrap();
        let opened = open(&fs).unwrap();
        let [damage] = &opened.recovery.damage[..] else { panic!("{:?}", opened.recovery) };
        assert_eq!(damage.what, What::Missing);
        assert_eq!(damage.sequences.as_ref().map(|lost| *lost.start()), Some([1, 4][at]), "{damage}");
    }
}

#[test]
fn a_segment_cut_short_is_damage_unless_it_is_the_end() {
    let (whole, all, paths) = filled();
    for length in (0..whole.content(&paths[0]).len()).step_by(5) {
        let fs = whole.crash(Crash::Lose);
        fs.overwrite(&paths[0], fs.content(&paths[0])[..length].to_vec());
        let opened = open(&fs).unwrap();
        assert!(!missing(&opened, &all).is_empty());
        assert!(!opened.recovery.damage.is_empty(), "{length}");
    }
}

#[test]
fn a_damaged_end_of_a_crashed_journal_is_told_as_torn() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    commit(&opened.journal, &[item(1, 100)]).unwrap();
    let start = end(&fs, &fs.paths()[0]);
    commit(&opened.journal, &[item(2, 100)]).unwrap();
    let end = end(&fs, &fs.paths()[0]);
    for at in (start..end - 3).step_by(5) {
        let boot = fs.crash(Crash::Lose);
        flip(&boot, &fs.paths()[0], at);
        let again = open(&boot).unwrap();
        assert_eq!(ids(&again.replayed), [1], "{at}");
        assert_eq!(again.recovery.torn.map(|torn| torn.offset as usize), Some(start), "{at}");
    }
}

#[test]
fn an_unacknowledged_batch_behind_a_damaged_one_does_not_hide_the_damage() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    let path = fs.paths()[0].clone();
    for id in 1..=3 {
        commit(&opened.journal, &[item(id, 100)]).unwrap();
    }
    let boot = fs.crash(Crash::Lose);
    let batch_bytes = (end(&boot, &path) - HEADER_BYTES) / 3;
    flip(&boot, &path, HEADER_BYTES + batch_bytes + 1);
    let mut torn = boot.content(&path);
    torn.truncate(HEADER_BYTES + batch_bytes * 3 - 20);
    boot.overwrite(&path, torn);
    let again = open(&boot).unwrap();
    assert_eq!(ids(&again.replayed), [1]);
    assert_eq!(again.recovery.damage.iter().map(|damage| damage.what).collect::<Vec<_>>(), [What::BatchHeader]);
    assert!(again.recovery.torn.is_some());
}

/// A body that contains what looks like a batch.
#[derive(Debug)]
struct Forger(Vec<u8>);

impl Entry for Forger {
    fn kind(&self) -> u8 {
        9
    }

    fn encode_meta(&self, _out: &mut Vec<u8>) {}

    fn body(&self) -> Vec<Bytes> {
        vec![Bytes::copy_from_slice(&self.0)]
    }
}

#[test]
fn a_body_that_imitates_a_batch_is_never_taken_for_one() {
    let forged =
        BatchHeader { salt: 1, sequence: 2, body_bytes: 0, meta_bytes: 0, entries: 0, seal: false }.encode().repeat(4);
    for (salt, taken) in [(2, false), (1, true)] {
        let fs = Simulated::default();
        let options = Options { folder: FOLDER.into(), salt, limits: SMALL };
        let open = |fs: &Simulated| {
            Journal::<Forger>::open(options.clone(), Arc::new(fs.clone()), &mut |_| {}, Box::new(|_| {})).unwrap()
        };
        let (journal, _) = open(&fs);
        // Pads the body to an aligned place.
        let body = [&b"12345678"[..], &forged].concat();
        wait(journal.commit(vec![Forger(body)])).unwrap();
        let boot = fs.crash(Crash::Lose);
        flip(&boot, &fs.paths()[0], HEADER_BYTES + 1);
        let (_, recovery) = open(&boot);
        // With the salt known to the sender it would work: that is what the salt is for.
        assert_eq!(recovery.torn.is_none(), taken, "{recovery:?}");
    }
}

#[test]
fn a_newer_format_is_refused_and_not_called_damage() {
    use crate::journal::format::{Label, LabelKind};
    let (fs, _, paths) = filled();
    let original = fs.content(&paths[1]);
    let label = Label::decode(LabelKind::Segment, &original[..HEADER_BYTES]).unwrap();
    for version in [0, 2, 99] {
        let mut bytes = original.clone();
        bytes[..HEADER_BYTES].copy_from_slice(&Label { version, ..label }.encode());
        fs.overwrite(&paths[1], bytes.clone());
        let operations = fs.operations();
        let error = open(&fs).err().unwrap();
        assert_eq!(error, OpenError::Version { path: paths[1].clone(), version });
        let expected = format!("{} has format version {version}; this release reads version 1", paths[1].display());
        assert_eq!(error.to_string(), expected);
        assert_eq!((fs.operations(), fs.content(&paths[1])), (operations, bytes), "nothing is changed");
    }
}

#[test]
fn a_verifying_scan_finds_damaged_bodies() {
    let (fs, _, paths) = filled();
    // The first body lies behind one header, two heads and their metadata.
    flip(&fs, &paths[0], 2 * HEADER_BYTES + 2 * (24 + 17) + 5);
    for (verify_bodies, expected) in [(false, vec![]), (true, vec![What::Body])] {
        let request = ScanRequest { folder: Path::new(FOLDER), verify_bodies };
        let found = scan(&fs, request, &mut |_| {}).unwrap();
        assert_eq!(found.damage.iter().map(|damage| damage.what).collect::<Vec<_>>(), expected);
    }
}
