//! What is found when a log is opened again, and what is done about it.

use super::*;
use crate::audit::chain::Link;
use crate::audit::specimen::Specimen;
use crate::audit::verify::{Expected, verify_with};
use crate::journal::filesystem::FileSystem;

fn written(count: u128) -> (Simulated, Log) {
    let disk = Simulated::default();
    let (mut log, _) = open_alone(&disk);
    (1..=count).for_each(|n| log.append(&entry(n), NOON).unwrap());
    log.sync().unwrap();
    (disk, log)
}

fn edit(disk: &Simulated, segment: u64, change: impl FnOnce(String) -> String) {
    let path = segment_path(segment);
    let text = String::from_utf8(disk.content(&path)).unwrap();
    disk.overwrite(&path, change(text).into_bytes());
}

/// Opens the log again, appends, and gives what was told.
fn reopen(disk: &Simulated, mark: Option<&Mark>, replayed: &[u128]) -> Resumed {
    let replayed: Vec<_> = replayed.iter().map(|n| entry(*n)).collect();
    let (mut log, resumed) = open(disk, mark, &replayed).unwrap();
    log.append(&entry(100), NOON).unwrap();
    log.checkpoint(Why::Stop, NOON).unwrap();
    log.sync().unwrap();
    resumed
}

#[test]
fn a_log_goes_on_where_it_stopped_and_its_tree_too() {
    for count in 0..30 {
        let (disk, log) = written(count);
        drop(log);
        let resumed = reopen(&disk, None, &[]);
        assert_eq!((resumed.problems.len(), resumed.cut, resumed.new_key), (0, None, None));
        let whole = prove(&disk, "reopened");
        assert_eq!(whole.records, (1..=count).chain([100]).map(id).collect::<Vec<_>>());
        assert_eq!(whole.tail, 0);
    }
}

#[test]
fn an_unfinished_line_is_cut() {
    let (disk, log) = written(5);
    drop(log);
    let length = disk.content(&segment_path(1)).len();
    edit(&disk, 1, |text| text + "{\"seq\":6,\"half");
    let resumed = reopen(&disk, None, &[]);
    assert_eq!(resumed.problems, Vec::<String>::new());
    assert!(resumed.cut.unwrap().contains(&format!("cut at byte {length}")));
    assert_eq!(prove(&disk, "cut").records.len(), 6);
}

#[test]
fn only_what_is_replayed_and_there_is_told_as_present() {
    let (disk, mut log) = written(3);
    let mark = log.sync().unwrap();
    log.append(&entry(4), NOON).unwrap();
    log.checkpoint(Why::Interval, NOON).unwrap();
    log.append(&entry(5), NOON).unwrap();
    log.sync().unwrap();
    drop(log);
    let resumed = reopen(&disk, Some(&mark), &[4, 5, 6]);
    assert_eq!(resumed.present, HashSet::from([id(4), id(5)]));
    let none = reopen(&disk, None, &[2, 6]);
    assert_eq!(none.present, HashSet::from([id(2)]));
}

#[test]
fn a_change_of_a_known_record_is_a_problem_and_nothing_is_cut() {
    let (disk, mut log) = written(5);
    let mark = log.sync().unwrap();
    drop(log);
    let changed = |text: String| text.replacen("queue.admin", "queue.amend", 3);
    edit(&disk, 1, changed);
    let before = disk.content(&segment_path(1));
    let resumed = reopen(&disk, Some(&mark), &[6]);
    assert_eq!(resumed.cut, None);
    assert!(!resumed.problems.is_empty());
    assert!(disk.content(&segment_path(1)).starts_with(&before));
}

#[test]
fn records_that_nobody_else_has_are_never_cut() {
    let (disk, log) = written(6);
    drop(log);
    edit(&disk, 1, |text| text.replacen("queue.admin", "queue.amend", 4));
    let before = disk.content(&segment_path(1));
    let resumed = reopen(&disk, None, &[]);
    assert!(resumed.cut.is_none() && resumed.problems.len() == 4, "{resumed:?}");
    assert!(disk.content(&segment_path(1)).starts_with(&before));
}

#[test]
fn lines_that_do_not_fit_are_cut_if_the_journal_has_their_records() {
    let (disk, mut log) = written(3);
    let mark = log.sync().unwrap();
    (4..=6).for_each(|n| log.append(&entry(n), NOON).unwrap());
    log.sync().unwrap();
    drop(log);
    edit(&disk, 1, |text| {
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        [lines[..4].concat(), "\0".repeat(200) + "\n", lines[5..].concat()].concat()
    });
    let resumed = reopen(&disk, Some(&mark), &[4, 5, 6]);
    assert_eq!(resumed.present, HashSet::from([id(4)]));
    assert!(resumed.cut.is_some() && resumed.problems.is_empty(), "{resumed:?}");
    assert_eq!(prove(&disk, "mended").records, [1, 2, 3, 4, 100].map(id));
}

#[test]
fn a_log_that_ends_before_what_is_known_goes_on_behind_the_gap() {
    let check = |disk: &Simulated, mark: Option<&Mark>, expected: &str| {
        let resumed = reopen(disk, mark, &[]);
        assert!(resumed.problems[0].ends_with(expected), "{resumed:?}");
        let last = lines(disk).pop().unwrap();
        let (mut tip, mut gaps) = (Tip::default(), 0);
        last.iter().for_each(|line| gaps += usize::from(tip.follow(line.as_bytes()).is_err()));
        assert_eq!(gaps, 1);
    };
    // By the mark of the journal.
    let (disk, mut log) = written(5);
    let mark = log.sync().unwrap();
    drop(log);
    edit(&disk, 1, |text| text.split_inclusive('\n').take(3).collect());
    check(&disk, Some(&mark), "records 4 to 5 are gone");
    // By the checkpoint that is kept beside the key.
    let (disk, mut log) = written(5);
    log.checkpoint(Why::Demand, NOON).unwrap();
    log.sync().unwrap();
    let news = log.take_news();
    log.remember(&news.checkpoints[0]).unwrap();
    drop(log);
    edit(&disk, 1, |text| text.split_inclusive('\n').take(5).collect());
    check(&disk, None, "record 6 is gone");
}

#[test]
fn a_log_that_somebody_else_wrote_is_not_taken_over() {
    let (disk, mut log) = written(5);
    let mark = log.sync().unwrap();
    log.checkpoint(Why::Demand, NOON).unwrap();
    log.sync().unwrap();
    let checkpoint = log.take_news().checkpoints.remove(0);
    log.remember(&checkpoint).unwrap();
    drop(log);
    let known = Checkpoint::parse(checkpoint.as_bytes()).unwrap();
    let key = known.statement.key;
    // Whole, signed throughout, and it names our key as the next one; or it says that its first part was removed.
    for removed in [false, true] {
        let mut forged = Specimen::new();
        forged.checkpoint();
        forged.records(8);
        forged.rotate();
        forged.records(2);
        if removed {
            forged.retire(1);
        }
        forged.name_key(key);
        let disk = disk.restart();
        for segment in 1..=2 {
            match std::fs::read(forged.path(segment)) {
                Ok(text) => put(&disk, segment, text),
                Err(_) => FileSystem::remove(&disk, &segment_path(segment)).unwrap(),
            }
        }
        let resumed = reopen(&disk, Some(&mark), &[]);
        assert!(!resumed.problems.is_empty(), "{resumed:?}");
        for path in disk.paths().iter().filter(|path| path.starts_with(folder())) {
            std::fs::write(forged.folder().join(path.file_name().unwrap()), disk.content(path)).unwrap();
        }
        let expected = Expected { pinned: Some(key), ..Expected::default() };
        let report = verify_with(forged.folder(), &expected, &|_| ()).unwrap();
        assert!(report.break_count > 0, "{report:#?}");
        // The first line of ours follows on the last that was known, and nothing before it is vouched for.
        let ours = lines(&disk).pop().unwrap();
        assert_eq!(Link::parse(ours[0].as_bytes()).unwrap().before(), known.tip());
        let signed = Checkpoint::parse(ours[1].as_bytes()).unwrap().statement;
        assert_eq!((signed.key, signed.first), (key, known.seq + 1));
    }
}

fn put(disk: &Simulated, segment: u64, text: Vec<u8>) {
    let path = segment_path(segment);
    drop(FileSystem::create(disk, &path));
    disk.overwrite(&path, text);
}

#[test]
fn a_line_whose_hash_the_next_one_has_is_only_damaged() {
    let (disk, mut log) = written(3);
    let mark = log.sync().unwrap();
    log.append(&entry(4), NOON).unwrap();
    log.sync().unwrap();
    drop(log);
    edit(&disk, 1, |text| {
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        lines[2] = lines[2].replace("queue.admin", "queue.amend");
        lines.concat()
    });
    reopen(&disk, Some(&mark), &[4]);
    let text = lines(&disk).remove(0);
    let follows = Link::parse(text[4].as_bytes()).unwrap().prev;
    assert_eq!(follows, Hash::of(text[3].as_bytes()));
}

#[test]
fn a_log_that_vanished_is_a_gap() {
    let (disk, mut log) = written(5);
    let mark = log.sync().unwrap();
    drop(log);
    let empty = Simulated::default();
    let resumed = reopen(&empty, Some(&mark), &[]);
    assert!(resumed.problems[0].ends_with("records 1 to 5 are gone"), "{resumed:?}");
    assert!(lines(&empty)[0][0].starts_with("{\"seq\":6,"));
    assert_eq!(lines(&disk)[0].len(), 5);
}

#[test]
fn a_day_and_a_size_end_a_segment_with_a_checkpoint() {
    let disk = Simulated::default();
    let (mut log, _) = open_alone(&disk);
    let midnight = Timestamp::from_secs(1_800_057_600);
    for (n, now) in [(1, NOON), (2, midnight - std::time::Duration::from_micros(1)), (3, midnight), (4, NOON)] {
        log.append(&entry_at(n, now), now).unwrap();
    }
    log.sync().unwrap();
    let whys: Vec<_> = prove(&disk, "days").checkpoints.iter().map(|at| at.statement.why).collect();
    assert_eq!(whys, [Why::Rotation]);
    assert_eq!(lines(&disk).iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
    let news = log.take_news();
    assert_eq!(news.closed.iter().map(|segment| segment.number).collect::<Vec<_>>(), [1]);
    assert_eq!(news.checkpoints, [lines(&disk)[0][2].clone()]);
    drop(log);
    // The day of the active segment is known again.
    let (mut log, _) = open_alone(&disk);
    log.append(&entry(5), midnight).unwrap();
    log.append(&entry(6), midnight + std::time::Duration::from_secs(24 * 3600)).unwrap();
    log.sync().unwrap();
    assert_eq!(lines(&disk).len(), 3);
}

#[test]
fn a_compressed_segment_is_read_and_never_appended_to() {
    let (disk, mut log) = written(40);
    let mark = log.sync().unwrap();
    drop(log);
    let count = lines(&disk).len() as u64;
    assert!(count > 2);
    let compress = |number: u64| {
        let text = disk.content(&segment_path(number));
        let compressed = zstd::encode_all(text.as_slice(), 3).unwrap();
        let path = segment_path(number).with_extension("jsonl.zst");
        crate::journal::filesystem::FileSystem::create(&disk, &path).unwrap();
        disk.overwrite(&path, compressed);
    };
    // Twice there: the plain one is a leftover, whatever it holds.
    compress(count - 1);
    edit(&disk, count - 1, |_| "leftover".to_owned());
    let resumed = reopen(&disk, None, &(1..=40).collect::<Vec<_>>());
    assert_eq!((resumed.problems.len(), resumed.present.len()), (0, 40));
    compress(count);
    let resumed = reopen(&disk, Some(&mark), &[]);
    assert_eq!(resumed.problems, Vec::<String>::new());
    assert!(disk.paths().contains(&segment_path(count + 1)));
}

#[test]
fn a_lost_or_other_key_is_a_problem_and_the_new_one_signs() {
    let (disk, mut log) = written(3);
    log.checkpoint(Why::Demand, NOON).unwrap();
    log.sync().unwrap();
    drop(log);
    let old = keys(&disk).load().unwrap().unwrap().public();
    let key_path = Path::new("/keys/audit.key");
    let (log, resumed) = open_alone(&disk);
    assert_eq!((resumed.problems.len(), resumed.wants_checkpoint), (0, false));
    drop(log);
    crate::journal::filesystem::FileSystem::remove(&disk, key_path).unwrap();
    let (mut log, resumed) = open_alone(&disk);
    let new = resumed.new_key.unwrap();
    assert!(resumed.wants_checkpoint && resumed.problems.len() == 1);
    assert!(resumed.problems[0].contains(&old.to_string()) && resumed.problems[0].contains(&new.to_string()));
    log.checkpoint(Why::Start, NOON).unwrap();
    log.sync().unwrap();
    drop(log);
    assert_eq!(open_alone(&disk).1.problems, Vec::<String>::new());
    let last = Checkpoint::parse(lines(&disk)[0].last().unwrap().as_bytes()).unwrap();
    assert_eq!(last.statement.key, new);
    let other = super::super::key::SigningKey::generate().unwrap();
    disk.overwrite(key_path, other.to_pem().unwrap().as_bytes().to_vec());
    let (_, resumed) = open_alone(&disk);
    assert!(resumed.problems.len() == 1 && resumed.new_key.is_none() && resumed.wants_checkpoint);
}

#[test]
fn a_new_key_is_named_by_the_old_one_and_signs_from_then_on() {
    let (disk, mut log) = written(3);
    let first = keys(&disk).load().unwrap().unwrap().public();
    log.rotate_key(NOON).unwrap();
    let second: PublicKey = keys(&disk).load().unwrap().unwrap().public();
    log.append(&entry(4), NOON).unwrap();
    log.checkpoint(Why::Stop, NOON).unwrap();
    log.sync().unwrap();
    drop(log);
    let checkpoints = prove(&disk, "rotated").checkpoints;
    let said: Vec<_> = checkpoints.iter().map(|at| (at.statement.key, at.statement.next_key)).collect();
    assert_eq!(said, [(first, Some(second)), (second, None), (second, None)]);
    assert_eq!(open_alone(&disk).1.problems, Vec::<String>::new());
}

#[test]
fn a_key_that_was_named_and_did_not_sign_does_so_at_the_next_start() {
    let (disk, mut log) = written(3);
    log.rotate_key(NOON).unwrap();
    drop(log);
    assert!(!open_alone(&disk).1.wants_checkpoint);
    edit(&disk, 1, |text| text.split_inclusive('\n').take(4).collect());
    let resumed = open_alone(&disk).1;
    assert_eq!((resumed.wants_checkpoint, resumed.problems), (true, Vec::<String>::new()));
}

#[test]
fn where_old_segments_were_removed_the_oldest_line_tells_what_was_before() {
    let (disk, log) = written(60);
    drop(log);
    let count = lines(&disk).len() as u64;
    (1..count - 1).for_each(|n| crate::journal::filesystem::FileSystem::remove(&disk, &segment_path(n)).unwrap());
    assert_eq!(reopen(&disk, None, &[]).problems, Vec::<String>::new());
    crate::journal::filesystem::FileSystem::remove(&disk, &segment_path(count - 1)).unwrap();
    assert_eq!(reopen(&disk, None, &[]).problems, Vec::<String>::new());
}

#[test]
fn two_writers_of_one_log_are_one_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let log = scratch(folder.path());
    let (filesystem, replayed) = (Arc::new(Disk::default()), []);
    let keys = KeyFiles::new(Arc::new(Simulated::default()), Path::new("/keys/audit.key"), folder.path()).unwrap();
    let opening = Opening {
        filesystem,
        folder: folder.path(),
        keys,
        stamp: stamp(),
        mark: None,
        replayed: &replayed,
        bounds: SMALL,
    };
    let LogOrKeyError::Log(error) = Log::open(opening).unwrap_err() else { panic!("not of the log") };
    assert_eq!(error.source.kind(), std::io::ErrorKind::ResourceBusy);
    drop(log);
    scratch(folder.path());
}

#[test]
fn group_and_owner_read_the_log_and_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    drop(scratch(&path));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("00000001.jsonl"))), (0o750, 0o640));
}

#[test]
fn the_tree_is_that_of_the_lines() {
    let (disk, mut log) = written(3);
    log.checkpoint(Why::Demand, NOON).unwrap();
    log.sync().unwrap();
    let text = lines(&disk).remove(0);
    let mut tree = TreeBuilder::default();
    text[..3].iter().for_each(|line| tree.push(&Hash::of(line.as_bytes())));
    assert_eq!(Checkpoint::parse(text[3].as_bytes()).unwrap().statement.root, tree.root());
}
