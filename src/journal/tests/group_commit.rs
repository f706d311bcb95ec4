//! Those who wait share a sync.

use std::sync::mpsc;

use super::*;

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
