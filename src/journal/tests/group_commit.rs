//! Those who wait share a sync.

use std::collections::BTreeSet;
use std::sync::mpsc;

use super::*;
use crate::journal::simulated::Crash;

#[test]
fn commits_that_wait_together_are_synced_together() {
    const COMMITS: u32 = 100;
    let fs = Simulated::default();
    let (release, gate) = mpsc::channel::<()>();
    let (told, begun) = mpsc::channel::<u64>();
    let observer = Box::new(move |batch: Batch<Item>| {
        told.send(batch.entries.len() as u64).unwrap();
        if batch.sequence == 1 {
            gate.recv().unwrap();
        }
    });
    let limits = Limits { segment_bytes_max: 1 << 20, batch_bytes_max: 1 << 20, batch_entries_max: 60, ..SMALL };
    let options = Options { folder: FOLDER.into(), salt: 1, limits };
    let (journal, _) = Journal::open(options, Arc::new(fs.clone()), &mut |_| {}, observer).unwrap();
    let before = fs.syncs();
    wait(async {
        let spawn = |id| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.commit(vec![item(id, 100)]).await })
        };
        let first = spawn(0);
        tokio::task::yield_now().await;
        // The writer is held in its observer while all others queue.
        assert_eq!(begun.recv(), Ok(1));
        let others: Vec<_> = (1..=COMMITS).map(spawn).collect();
        for _ in 0..COMMITS {
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
        for task in [first].into_iter().chain(others) {
            task.await.unwrap().unwrap();
        }
    });
    assert_eq!(fs.syncs() - before, 3, "one alone, sixty, and the rest");
    // Nobody comes along with these, whom the writer might wait for.
    assert_eq!((commit(&journal, &[item(200, 1)]), commit(&journal, &[item(201, 1)])), (Ok(()), Ok(())));
    assert_eq!(begun.try_iter().collect::<Vec<_>>(), [60, 40, 1, 1]);
}

#[test]
fn a_full_queue_makes_commits_wait_and_loses_none() {
    let fs = Simulated::default();
    let limits = Limits { queue_bytes_max: 2 << 10, ..SMALL };
    let opened = open_with(Arc::new(fs), Path::new(FOLDER), limits).unwrap();
    wait(async {
        let tasks: Vec<_> = (0..50)
            .map(|id| {
                let journal = opened.journal.clone();
                tokio::spawn(async move { journal.commit(vec![item(id, 400)]).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(()));
        }
    });
    // Tasks that were woken together go on in any order.
    let mut committed = ids(&opened.observed.lock().unwrap());
    committed.sort_unstable();
    assert_eq!(committed, (0..50).collect::<Vec<_>>());
}

#[test]
fn what_is_patient_shares_the_sync_of_what_comes_next_and_is_written_without_it() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    let mut shared = 0;
    wait(async {
        for id in 0..20 {
            let before = fs.syncs();
            let patient = opened.journal.begin_commit(vec![item(2 * id, 10)], Haste::Patient).await.unwrap();
            opened.journal.commit(vec![item(2 * id + 1, 10)]).await.unwrap();
            patient.end().await.unwrap();
            shared += u32::from(fs.syncs() - before == 1);
        }
        // Nothing comes that it could go with.
        let alone = opened.journal.begin_commit(vec![item(40, 10)], Haste::Patient).await.unwrap();
        alone.end().await.unwrap();
    });
    assert_eq!(ids(&opened.observed.lock().unwrap()), (0..=40).collect::<Vec<_>>());
    // A thread that is kept waiting may be later than patience lasts.
    assert!(shared >= 10, "{shared} of 20");
}

#[test]
fn small_batches_go_where_room_was_made_for_them_and_what_is_left_of_it_goes_in_the_end() {
    let fs = Simulated::default();
    let limits = Limits { room_ahead_bytes: 5000, segment_bytes_max: 4500, ..SMALL };
    let open = |fs: &Simulated| open_with(Arc::new(fs.clone()), Path::new(FOLDER), limits).unwrap();
    let opened = open(&fs);
    let path = fs.paths()[0].clone();
    let mut sizes = BTreeSet::new();
    for id in 0..20 {
        commit(&opened.journal, &[item(id, 100)]).unwrap();
        sizes.insert(fs.content(&path).len());
    }
    let written = usize::try_from(opened.journal.segments()[0].bytes).unwrap();
    assert!(sizes.len() == 1 && sizes.first() > Some(&written), "{written}: {sizes:?}");
    let killed = open(&fs.crash(Crash::Lose));
    assert_eq!(
        (ids(&killed.replayed), killed.recovery.torn, killed.recovery.damage),
        ((0..20).collect(), None, vec![])
    );
    // Into the next segment.
    for id in 20..30 {
        commit(&opened.journal, &[item(id, 100)]).unwrap();
    }
    let bytes: Vec<u64> = opened.journal.segments().iter().map(|segment| segment.bytes).collect();
    assert!(bytes.len() == 2 && fs.content(&path).len() as u64 == bytes[0]);
    opened.journal.close();
    let sealed = fs.content(fs.paths().last().unwrap()).len() as u64;
    assert!((bytes[1]..bytes[1] + 100).contains(&sealed), "{sealed} {bytes:?}");
}
