//! Passes over a folder of closed segments: what is removed behind which tombstone, and what is compressed.

use std::fs;

use super::*;
use crate::audit::chain::{Hash, Tip};
use crate::audit::segments::open_segment;
use crate::journal::disk::Disk;
use crate::model::time::Instant;

const LINES: u64 = 10;

fn day(n: u64) -> Timestamp {
    Timestamp::from_secs(i64::try_from(n * 86_400).unwrap())
}

/// Hour `running` of the run.
fn at(wall: Timestamp, running: u64) -> Moment {
    Moment { wall, running: Instant::from_start(Duration::from_secs(running * 3600)) }
}

/// A log of segments 1 to `count`, the last of them active; a closed segment `n` ends on day `n`.
struct Scene {
    folder: tempfile::TempDir,
    hashes: Vec<Hash>,
    tombstones: Arc<Mutex<Vec<Removed>>>,
}

impl Scene {
    /// The active one has lines of each day until day 100.
    fn new(count: u64) -> Self {
        Self::with(count, &(count..=100).collect::<Vec<_>>())
    }

    /// The active one has lines of these days.
    fn with(count: u64, days: &[u64]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut tip, mut hashes) = (Tip::default(), Vec::new());
        for number in 1..=count {
            let line = |n| tip.extend(&format!("{{\"time\":\"{}\",\"text\":\"{}\"}}", day(n), "x".repeat(200))) + "\n";
            let text: String = match number < count {
                true => (0..LINES).map(|_| number).map(line).collect(),
                false => days.iter().copied().map(line).collect(),
            };
            hashes.push(tip.hash);
            fs::write(Segment::plain(folder.path(), number).path, text).unwrap();
        }
        Self { folder, hashes, tombstones: Arc::default() }
    }

    /// `works`: whether tombstones can be written.
    fn kept(&self, settings: KeepSettings, works: bool) -> Kept {
        let tombstones = self.tombstones.clone();
        let tombstone = Box::new(move |removed| {
            tombstones.lock().unwrap().push(removed);
            if works { Ok(()) } else { Err("the disk is full".to_owned()) }
        });
        let closed = self.hashes.len() as u64 - 1;
        Kept { fs: Arc::new(Disk::default()), folder: self.folder.path().to_owned(), closed, settings, tombstone }
    }

    fn worker(&self, settings: KeepSettings, works: bool) -> (Worker, KeeperHandle) {
        let ((sender, receiver), fault) = (mpsc::channel(), Arc::default());
        let worker = Worker::new(self.kept(settings, works), receiver, Arc::clone(&fault));
        (worker, KeeperHandle { orders: sender, fault })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

const PLAIN: KeepSettings = KeepSettings { keep: None, compress: false };
const COMPRESSED: KeepSettings = KeepSettings { keep: None, compress: true };

fn for_days(days: u64) -> KeepSettings {
    KeepSettings { keep: Some(Duration::from_secs(days * 86_400)), compress: false }
}

#[test]
fn what_was_kept_long_enough_goes_behind_its_tombstone_and_the_active_segment_never() {
    for (now, expected, left) in [(6, None, 1), (8, Some(2), 3), (100, Some(3), 4)] {
        let scene = Scene::new(4);
        let (mut worker, _orders) = scene.worker(for_days(5), true);
        worker.pass(at(day(now), 0)).unwrap();
        let tombstones = scene.tombstones.lock().unwrap().clone();
        let expected: Vec<_> = expected
            .map(|last: u64| Removed {
                segments: [1, last],
                first: 1,
                last: last * LINES,
                hash: scene.hashes[usize::try_from(last).unwrap() - 1],
                until: day(last),
            })
            .into_iter()
            .collect();
        assert_eq!(tombstones, expected, "day {now}");
        assert_eq!(scene.names(), (left..=4).map(|n| format!("{n:08}.jsonl")).collect::<Vec<_>>());
        worker.pass(at(day(now), 0)).unwrap();
        assert_eq!(scene.tombstones.lock().unwrap().len(), expected.len(), "the second pass has nothing to do");
    }
}

#[test]
fn without_a_tombstone_nothing_is_removed() {
    let scene = Scene::new(3);
    let (mut worker, _orders) = scene.worker(for_days(1), false);
    assert!(matches!(worker.pass(at(day(50), 0)), Err(KeepError::Tombstone(_))));
    assert_eq!(scene.names().len(), 3);
}

#[test]
fn a_clock_that_jumps_ahead_removes_nothing_until_it_has_stood_for_a_day() {
    let late = |hours| day(5000) + Duration::from_secs(hours * 3600);
    // A start of the daemon left lines under the wrong time, and another follows.
    for days in [&[4, 5][..], &[4, 5, 5000]] {
        let scene = Scene::with(4, days);
        let (mut worker, _orders) = scene.worker(for_days(5), true);
        for hours in [0, 1, 23] {
            assert!(matches!(worker.pass(at(late(hours), hours)), Err(KeepError::Clock(_))), "{days:?} {hours}");
        }
        assert_eq!((scene.names().len(), scene.tombstones.lock().unwrap().len()), (4, 0));
        worker.pass(at(late(24), 24)).unwrap();
        assert_eq!(scene.names(), ["00000004.jsonl"]);
    }
}

#[test]
fn a_clock_in_doubt_is_no_fault_where_nothing_is_due() {
    let scene = Scene::with(4, &[4]);
    let (mut worker, _orders) = scene.worker(for_days(90), true);
    worker.pass(at(day(40), 0)).unwrap();
    worker.pass(at(day(400), 1)).unwrap_err();
    worker.pass(at(day(40), 2)).unwrap();
    assert_eq!(scene.names().len(), 4);
}

#[test]
fn a_removal_that_a_crash_cut_short_is_finished_by_the_next_pass() {
    let scene = Scene::new(4);
    fs::remove_file(scene.path("00000001.jsonl")).unwrap();
    let (mut worker, _orders) = scene.worker(for_days(5), true);
    worker.pass(at(day(8), 0)).unwrap();
    assert_eq!(scene.tombstones.lock().unwrap()[0].segments, [2, 2]);
    assert_eq!(scene.names(), ["00000003.jsonl", "00000004.jsonl"]);
}

#[test]
fn a_segment_that_does_not_read_well_stays_with_all_behind_it() {
    for damage in ["", "not a record\n", "{\"seq\":1,\"cut"] {
        let scene = Scene::new(4);
        fs::write(scene.path("00000001.jsonl"), damage).unwrap();
        let (mut worker, _orders) = scene.worker(for_days(1), true);
        assert!(matches!(worker.pass(at(day(50), 0)), Err(KeepError::NoEnds { .. })), "{damage:?}");
        assert_eq!((scene.names().len(), scene.tombstones.lock().unwrap().len()), (4, 0));
    }
}

#[test]
fn closed_segments_are_compressed_and_still_have_their_time() {
    let scene = Scene::new(4);
    let before = fs::read(scene.path("00000002.jsonl")).unwrap();
    fs::write(scene.path("00000001.jsonl.zst.tmp"), "left by a crash").unwrap();
    let (mut worker, orders) = scene.worker(COMPRESSED, true);
    worker.pass(at(day(8), 0)).unwrap();
    let names = ["00000001.jsonl.zst", "00000002.jsonl.zst", "00000003.jsonl.zst", "00000004.jsonl"];
    assert_eq!(scene.names(), names);
    let mut read = Vec::new();
    let segment = Segment::compressed(scene.folder.path(), 2);
    io::Read::read_to_end(&mut open_segment(&segment).unwrap(), &mut read).unwrap();
    assert_eq!(read, before);

    orders.configure(for_days(5));
    worker.inbox.wait(Duration::ZERO);
    worker.pass(at(day(8), 0)).unwrap();
    assert_eq!(scene.names(), names[2..]);
    assert_eq!(scene.tombstones.lock().unwrap()[0].hash, scene.hashes[1]);
}

#[test]
fn what_a_crash_left_twice_becomes_one_even_if_nothing_is_compressed_any_more() {
    let scene = Scene::new(3);
    for (number, same) in [(1, true), (2, false)] {
        let text = if same { fs::read(scene.path("00000001.jsonl")).unwrap() } else { b"other".to_vec() };
        fs::write(scene.path(&format!("{number:08}.jsonl.zst")), zstd::encode_all(&text[..], 3).unwrap()).unwrap();
    }
    let (mut worker, _orders) = scene.worker(PLAIN, true);
    let error = worker.pass(at(day(8), 0)).unwrap_err();
    assert!(matches!(error, KeepError::Compress(CompressError::Differs { .. })), "{error}");
    assert_eq!(scene.names(), ["00000001.jsonl.zst", "00000002.jsonl", "00000002.jsonl.zst", "00000003.jsonl"]);
}

#[test]
fn the_thread_works_on_what_it_is_told_is_closed_until_it_is_stopped() {
    let scene = Scene::new(3);
    let mut kept = scene.kept(COMPRESSED, true);
    kept.closed = 0;
    let keeper = Keeper::spawn(kept).unwrap();
    keeper.handle().closed(2);
    let began = clock::now();
    while scene.names().iter().filter(|name| name.ends_with(".zst")).count() < 2 {
        assert!(clock::now().saturating_since(began) < Duration::from_secs(20));
        std::thread::yield_now();
    }
    assert_eq!(keeper.handle().fault(), None);
    keeper.stop();
    assert!(scene.path("00000003.jsonl").exists());
}
