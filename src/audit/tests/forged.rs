//! Logs that somebody with access to their folder, and to nothing else, wrote anew while the daemon did not run.

use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;

use super::*;
use crate::audit::chain::Link;
use crate::audit::checkpoint::{Draft, sign};
use crate::audit::key::SigningKey;
use crate::audit::log::DAMAGE;
use crate::audit::verify::{Expected, Kind, verify_with};
use crate::journal::filesystem::FileSystem;

/// Five records and the checkpoint of a stop, which is remembered beside the key, and the mark of the journal.
fn stopped() -> (Simulated, Mark) {
    let disk = Simulated::default();
    let (mut log, _) = open_alone(&disk);
    (1..=5).for_each(|n| log.append(&entry(n), NOON).unwrap());
    let mark = log.sync().unwrap();
    log.checkpoint(Why::Stop, NOON).unwrap();
    log.sync().unwrap();
    remember(&mut log);
    (disk, mark)
}

fn remember(log: &mut Log) {
    let newest = log.take_news().checkpoints.pop().unwrap();
    log.remember(&newest).unwrap();
}

fn overwrite(disk: &Simulated, lines: &[String]) {
    disk.overwrite(&segment_path(1), (lines.join("\n") + "\n").into_bytes());
}

/// What the fields of a line are without its links.
fn unlinked(line: &str) -> String {
    let (_, fields) = line.split_once(',').unwrap();
    let (fields, _) = fields.rsplit_once(",\"prev\"").unwrap();
    format!("{{{fields}}}")
}

/// The records of a log, changed, without its checkpoints, so many of them, in a chain of their own.
fn rewritten(lines: &[String], count: usize) -> Vec<String> {
    let records: Vec<_> = lines.iter().filter(|line| Checkpoint::parse(line.as_bytes()).is_none()).collect();
    let mut tip = Tip::default();
    let changed = |line: &String| unlinked(line).replace("queue.admin", "queue.amend");
    records.iter().cycle().take(count).map(|line| tip.extend(&changed(line))).collect()
}

fn tip_of(lines: &[String]) -> Tip {
    let line = lines.last().unwrap().as_bytes();
    Tip { seq: Link::parse(line).unwrap().seq, hash: Hash::of(line) }
}

/// Opens the log, writes on and stops as a daemon does. Gives what was told.
fn run(disk: &Simulated, mark: Option<&Mark>, journal: &[u128]) -> Vec<String> {
    let journal: Vec<_> = journal.iter().map(|n| entry(*n)).collect();
    let (mut log, resumed) = open(disk, mark, &journal).unwrap();
    let lost = journal.iter().filter(|entry| !resumed.present.contains(&entry.id));
    lost.for_each(|entry| log.append(entry, NOON).unwrap());
    log.append(&entry(100), NOON).unwrap();
    log.checkpoint(Why::Stop, NOON).unwrap();
    log.sync().unwrap();
    remember(&mut log);
    resumed.problems
}

/// The first segment is as it was found, and the second goes on behind `known` and signs nothing before it.
#[track_caller]
fn check_passed(disk: &Simulated, found: &[String], known: &Tip) {
    let [first, second] = lines(disk).try_into().unwrap();
    assert_eq!(first, found);
    assert_eq!(Link::parse(second[0].as_bytes()).unwrap().before(), *known);
    let signed = second.iter().filter_map(|line| Checkpoint::parse(line.as_bytes()));
    assert!(signed.into_iter().all(|checkpoint| checkpoint.statement.first > known.seq));
}

#[test]
fn a_log_that_was_written_anew_is_never_signed() {
    for count in [6, 9] {
        for (with_mark, with_seen) in [(true, true), (true, false), (false, true)] {
            let (disk, mark) = stopped();
            let mark = with_mark.then_some(&mark);
            let original = lines(&disk).concat();
            let known = if with_seen { tip_of(&original) } else { tip_of(&original[..5]) };
            if !with_seen {
                disk.remove(Path::new("/keys/audit.key.seen")).unwrap();
            }
            let forged = rewritten(&original, count);
            overwrite(&disk, &forged);
            let told = run(&disk, mark, &[]);
            assert!(told.iter().all(|told| told.starts_with(DAMAGE)), "{told:?}");
            let what = format!("record {}, which is known from elsewhere", known.seq);
            assert!(told.iter().any(|told| told.contains(&what)), "{told:?}");
            check_passed(&disk, &forged, &known);
            if with_seen {
                let kept = String::from_utf8(disk.content(Path::new("/keys/audit.key.seen.6"))).unwrap();
                assert_eq!(kept.trim_end(), original[5]);
            }
            // The next start goes on in the second segment.
            run(&disk, None, &[]);
            check_passed(&disk, &forged, &known);
        }
    }
}

#[test]
fn records_that_were_added_behind_the_last_checkpoint_are_never_signed() {
    let foreign = SigningKey::generate().unwrap();
    let added_record = |tip: &mut Tip| tip.extend(&entry(66).json);
    let added_twice = |tip: &mut Tip| tip.extend(&entry(5).json);
    let added_checkpoint = |tip: &mut Tip| {
        let draft = Draft { why: Why::Stop, first: tip.seq + 1, root: Hash::of(b""), next_key: None, removed: None };
        let stamp = stamp();
        let line = sign(draft, Record::new(&stamp, NOON, id(67), Event::Checkpoint), tip, &foreign).unwrap();
        tip.advance(line.as_bytes());
        line
    };
    let added: [&dyn Fn(&mut Tip) -> String; 3] = [&added_record, &added_twice, &added_checkpoint];
    for add in added {
        for journal in [[].as_slice(), &[7]] {
            let (disk, mark) = stopped();
            let mut found = lines(&disk).concat();
            let known = tip_of(&found);
            found.push(add(&mut known.clone()));
            overwrite(&disk, &found);
            let told = run(&disk, Some(&mark), journal);
            assert!(told.iter().any(|told| told.contains("from record 7 on")), "{told:?}");
            check_passed(&disk, &found, &known);
            assert_eq!(run(&disk, Some(&mark), journal).len(), 1, "only that the segments do not fit");
        }
    }
}

#[test]
fn what_was_changed_behind_the_mark_is_written_again_as_the_journal_has_it() {
    let changed = |lines: &mut Vec<String>| lines[1] = lines[1].replace("queue.admin", "queue.amend");
    let dropped = |lines: &mut Vec<String>| _ = lines.remove(1);
    let swapped = |lines: &mut Vec<String>| lines.swap(0, 2);
    let doubled = |lines: &mut Vec<String>| lines.insert(1, lines[0].clone());
    let ways: [&dyn Fn(&mut Vec<String>); 4] = [&changed, &dropped, &swapped, &doubled];
    for change in ways {
        let disk = Simulated::default();
        let (mut log, _) = open_alone(&disk);
        (1..=2).for_each(|n| log.append(&entry(n), NOON).unwrap());
        let mark = log.sync().unwrap();
        (3..=6).for_each(|n| log.append(&entry(n), NOON).unwrap());
        log.sync().unwrap();
        drop(log);
        let mut found = lines(&disk).concat();
        let mut behind: Vec<String> = found.split_off(2).iter().map(|line| unlinked(line)).collect();
        change(&mut behind);
        let mut tip = tip_of(&found);
        found.extend(behind.iter().map(|json| tip.extend(json)));
        overwrite(&disk, &found);
        let told = run(&disk, Some(&mark), &[3, 4, 5, 6]);
        assert!(told.len() == 1 && told[0].contains("is not the one that the journal has"), "{told:?}");
        assert_eq!(prove(&disk, "written again").records, [1, 2, 3, 4, 5, 6, 100].map(id));
    }
}

#[test]
fn a_segment_with_a_far_number_is_not_where_the_log_goes_on() {
    for with_mark in [true, false] {
        let (disk, mark) = stopped();
        let far = folder().join("99999999.jsonl.zst");
        FileSystem::create(&disk, &far).unwrap();
        let told = run(&disk, with_mark.then_some(&mark), &[]);
        assert!(told.len() == 1 && told[0].contains("99999999.jsonl.zst does not follow"), "{told:?}");
        assert_eq!(prove(&disk, "beside it").records, [1, 2, 3, 4, 5, 100].map(id));
        assert!(!disk.paths().contains(&folder().join("100000000.jsonl")));
    }
}

/// A log on the real disk whose daemon stopped.
struct Real(tempfile::TempDir);

impl Real {
    fn stopped() -> Self {
        let log = Self(tempfile::tempdir().unwrap());
        log.run(5);
        log
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("log")
    }

    /// Starts, records what was found as the daemon does, and stops.
    fn run(&self, count: u128) {
        let folder = self.folder();
        let keys = KeyFiles::new(Arc::new(Disk::default()), &self.0.path().join("audit.key"), &folder).unwrap();
        let filesystem = Arc::new(Disk::readable_by_group());
        let bounds = Bounds::default();
        let (mark, replayed, stamp, folder) = (None, &[], stamp(), folder.as_path());
        let (mut log, resumed) =
            Log::open(Opening { filesystem, folder, keys, stamp, mark, replayed, bounds }).unwrap();
        for (n, problem) in resumed.problems.iter().enumerate() {
            let stamp = self::stamp();
            let mut record = Record::new(&stamp, NOON, id(1000 + n as u128), Event::AuditGap);
            record.detail = Some(problem.clone());
            log.append(&record.entry(), NOON).unwrap();
        }
        (1..=count).for_each(|n| log.append(&entry(n), NOON).unwrap());
        log.checkpoint(Why::Stop, NOON).unwrap();
        log.sync().unwrap();
        remember(&mut log);
    }

    /// Whether the log is whole, or what is wrong.
    fn kinds(&self) -> Vec<Kind> {
        let key = self.0.path().join("audit.key");
        let current = crate::audit::keyfile::public_key(&key).unwrap();
        let seen = crate::audit::keyfile::seen(&key).unwrap().map(|line| (key, line));
        let report = verify_with(&self.folder(), &Expected { current, seen, ..Expected::default() }, &|_| ()).unwrap();
        report.breaks.iter().map(|finding| finding.kind).collect()
    }
}

#[test]
fn what_the_daemon_found_at_a_start_is_found_by_verify_for_ever() {
    let log = Real::stopped();
    assert_eq!(log.kinds(), []);
    let path = log.folder().join("00000001.jsonl");
    let original: Vec<_> = std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    for forged in
        [rewritten(&original, 6), rewritten(&original, 9), [&original[..], &rewritten(&original, 7)[6..]].concat()]
    {
        let log = Real::stopped();
        let path = log.folder().join("00000001.jsonl");
        std::fs::write(&path, forged.join("\n") + "\n").unwrap();
        log.run(3);
        log.run(3);
        let kinds = log.kinds();
        assert!(kinds.contains(&Kind::Recorded), "{kinds:?}");
        assert!(kinds.iter().any(|kind| *kind != Kind::Recorded), "{kinds:?}");
    }
}

#[test]
fn what_is_no_file_is_told_and_neither_read_nor_waited_for() {
    let pipe = |path: &Path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap();
    let zeros = |path: &Path| symlink("/dev/zero", path).unwrap();
    let makers: [&dyn Fn(&Path); 2] = [&pipe, &zeros];
    for make in makers {
        let log = Real::stopped();
        make(&log.folder().join("00000002.jsonl"));
        assert_eq!(log.kinds(), [Kind::Unreadable]);
        log.run(3);
        assert!(log.folder().join("00000003.jsonl").exists());
        let kinds = log.kinds();
        assert!(kinds.contains(&Kind::Unreadable) && kinds.contains(&Kind::Recorded), "{kinds:?}");
    }
}

#[test]
fn an_empty_file_with_a_far_number_is_told_by_verify() {
    let log = Real::stopped();
    std::fs::write(log.folder().join("99999999.jsonl.zst"), "").unwrap();
    assert_eq!(log.kinds(), [Kind::Foreign]);
}
