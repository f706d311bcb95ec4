//! A copy of the spool's files that is taken while it works, in the order of `docs/operations/backup.md`, holds every
//! message.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::journal::disk::Disk;

const LIMITS: journal::Limits = journal::Limits {
    segment_bytes_max: 60_000,
    batch_bytes_max: 50_000,
    lazy_delay_max: Duration::from_millis(5),
    room_ahead_bytes: 20_000,
    ..super::LIMITS
};

fn open_disk(path: &Path) -> (Spool, Recovered) {
    let options =
        Options { path: path.into(), min_free_bytes: 0, budget: BodyBudget::new(1 << 24), limits: LIMITS, salt: 3 };
    Spool::open_sized(
        options,
        Sizes { compact_after: Duration::ZERO, ..SIZES },
        Arc::new(Disk::default()),
        Box::new(|_, _| {}),
    )
    .unwrap()
}

/// As `cp -a` does: the names first, then one file after the other, each in pieces that the daemon is faster than.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>() {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() { copy(&from, &to) } else { copy_file(&from, &to) }
    }
}

fn copy_file(from: &Path, to: &Path) {
    let (mut from, mut to) = (fs::File::open(from).unwrap(), fs::File::create(to).unwrap());
    let mut piece = [0; 1500];
    loop {
        let count = from.read(&mut piece).unwrap();
        if count == 0 {
            return;
        }
        to.write_all(&piece[..count]).unwrap();
        std::thread::yield_now();
    }
}

/// Takes messages and delivers most of them until it is told to stop. Says which are taken, and which may be finished.
fn load(spool: &Spool, until: &AtomicBool, taken: &AtomicU32) -> BTreeSet<u32> {
    let mut finished = BTreeSet::new();
    for number in 1.. {
        if until.load(Ordering::Relaxed) {
            break;
        }
        wait(async {
            let content = fill(spool, number, if number.is_multiple_of(50) { 2500 } else { 700 }).await.unwrap();
            let message = NewMessage { envelope: envelope(number, 1), content };
            spool.accept(message, Vec::new()).await.unwrap();
        });
        taken.store(number, Ordering::Release);
        if number % 20 != 0 {
            finished.insert(number);
            spool.record_lazily(Some(progress(number, &[0], delivered())), Vec::new()).unwrap();
        }
        if number % 16 == 0 {
            wait(spool.maintain());
        }
    }
    finished
}

#[test]
fn a_copy_that_is_taken_under_load_starts_and_has_every_message_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let (original, copied) = (folder.path().join("spool"), folder.path().join("copy"));
    let (spool, _) = open_disk(&original);
    let (until, taken) = (AtomicBool::new(false), AtomicU32::new(0));
    let (before, finished) = std::thread::scope(|scope| {
        let work = scope.spawn(|| load(&spool, &until, &taken));
        let reach = |count| {
            while taken.load(Ordering::Acquire) < count {
                std::thread::yield_now()
            }
        };
        reach(600);
        wait(spool.keep_still(Duration::from_secs(600))).unwrap();
        let before = taken.load(Ordering::Acquire);
        copy(&original, &copied);
        assert!(spool.end_stillness());
        reach(before + 200);
        until.store(true, Ordering::Relaxed);
        (before, work.join().unwrap())
    });
    let (restored, recovered) = open_disk(&copied);
    assert_eq!((recovered.damage, recovered.unreadable), (Vec::new(), Vec::<String>::new()));
    let there: BTreeSet<u32> = recovered.pending.iter().map(|id| id.as_u128() as u32).collect();
    let must: BTreeSet<u32> = (1..=before).filter(|number| !finished.contains(number)).collect();
    assert!(must.len() > 20 && must.is_subset(&there), "{must:?} {there:?}");
    for stored in list(&restored) {
        let number = stored.envelope.id.as_u128() as u32;
        let bytes = if number.is_multiple_of(50) { 2500 } else { 700 };
        assert_eq!(read(&restored, &stored).unwrap(), content(number, bytes), "{number}");
    }
    let removed = |path: &Path| !path.join("journal/0000000000000001.journal").exists();
    assert!(removed(&original), "segments came and went before and after");
}
