//! The journal when nothing breaks.

use std::io::Read;

use super::*;
use crate::journal::simulated::Crash;

#[test]
fn what_was_committed_is_replayed_in_order_with_its_bodies() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    let all: Vec<Item> = (0..20).map(|id| item(id, [0, 1, 99, 250][id as usize % 4])).collect();
    for pair in all.chunks(2) {
        commit(&opened.journal, pair).unwrap();
    }
    let observed = opened.observed.lock().unwrap().clone();
    opened.journal.close();
    let again = open(&fs).unwrap();
    assert_eq!(again.replayed, observed);
    assert_eq!(again.replayed.iter().map(|(item, _)| item.clone()).collect::<Vec<_>>(), all);
    assert_bodies(&again);
    assert_eq!((again.recovery.entries, &again.recovery.damage, again.recovery.torn), (20, &vec![], None));
    assert!(again.journal.segments().len() > 3, "it rotates");
    assert!(again.journal.segments().iter().all(|segment| segment.bytes <= SMALL.segment_bytes_max));
}

#[test]
fn an_orderly_end_makes_lazy_entries_durable() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    opened.journal.append_lazily(vec![item(1, 10)]).unwrap();
    opened.journal.close();
    assert_eq!(ids(&open(&fs.crash(Crash::Lose)).unwrap().replayed), [1]);
}

#[test]
fn lazy_entries_ride_with_the_next_commit() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    let before = fs.syncs();
    opened.journal.append_lazily(vec![item(1, 10)]).unwrap();
    commit(&opened.journal, &[item(2, 10)]).unwrap();
    assert_eq!(fs.syncs() - before, 1);
    assert_eq!(ids(&open(&fs.crash(Crash::Lose)).unwrap().replayed), [1, 2]);
}

#[test]
fn lazy_entries_without_company_are_written_after_the_delay() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let limits = Limits { lazy_delay_max: Duration::from_millis(1), ..SMALL };
    let options = Options { folder: FOLDER.into(), salt: 1, limits };
    let observer = Box::new(move |batch: Batch<Item>| sender.send(batch.sequence).unwrap());
    let fs = Arc::new(Simulated::default());
    let (journal, _) = Journal::open(options, fs, &mut |_| {}, observer).unwrap();
    journal.append_lazily(vec![item(1, 10)]).unwrap();
    assert_eq!(receiver.recv(), Ok(1));
}

#[test]
fn lazy_entries_beyond_the_bound_are_refused() {
    let limits = Limits { lazy_queue_bytes_max: 4 << 10, ..SMALL };
    let opened = open_with(Arc::new(Simulated::default()), Path::new(FOLDER), limits).unwrap();
    let results: Vec<_> = (0..10).map(|id| opened.journal.append_lazily(vec![item(id, 500)])).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    assert_eq!(results.last(), Some(&Err(Fault::QueueFull)));
}

#[test]
fn a_commit_that_can_never_fit_is_refused_and_the_rest_goes_on() {
    let opened = open(&Simulated::default()).unwrap();
    let too_many: Vec<Item> = (0..17).map(|id| item(id, 0)).collect();
    assert_eq!(commit(&opened.journal, &[item(1, 1000)]), Err(Fault::TooLarge));
    assert_eq!(commit(&opened.journal, &too_many), Err(Fault::TooLarge));
    assert_eq!(commit(&opened.journal, &[item(1, 850)]), Ok(()));
}

#[test]
fn a_closed_journal_takes_nothing() {
    let opened = open(&Simulated::default()).unwrap();
    let clone = opened.journal.clone();
    opened.journal.close();
    assert_eq!(clone.state(), State::Closed);
    assert_eq!(commit(&clone, &[item(1, 1)]), Err(Fault::Stopped));
    assert_eq!(clone.append_lazily(vec![item(1, 1)]), Err(Fault::Stopped));
}

#[test]
fn a_panic_in_the_observer_stops_the_journal_and_refuses_who_waits() {
    let options = Options { folder: FOLDER.into(), salt: 1, limits: SMALL };
    let observer = Box::new(|_: Batch<Item>| panic!("by the test"));
    let (journal, _) = Journal::open(options, Arc::new(Simulated::default()), &mut |_| {}, observer).unwrap();
    assert_eq!(commit(&journal, &[item(1, 1)]), Err(Fault::Stopped));
    assert_eq!(journal.state(), State::Failed(Fault::Stopped));
}

#[test]
fn a_folder_serves_one_journal_at_a_time() {
    let fs = Simulated::default();
    let first = open(&fs).unwrap();
    assert_eq!(open(&fs).err(), Some(OpenError::Locked { pid: None }));
    first.journal.close();
    assert!(open(&fs).is_ok());
}

#[test]
fn removed_segments_are_gone_and_are_no_damage() {
    // Which of the full segments are removed, in this order.
    for order in [vec![0], vec![1], vec![2, 0], vec![1, 3], vec![0, 1, 2], vec![2, 1, 0]] {
        let fs = Simulated::default();
        let opened = open(&fs).unwrap();
        for id in 0..10 {
            commit(&opened.journal, &[item(id, 400)]).unwrap();
        }
        let segments = opened.journal.segments();
        let active = segments.last().unwrap().number;
        assert_eq!(opened.journal.remove_segment(active), Err(RemoveError::Active));
        let removed: Vec<u64> = order.iter().map(|&at| segments[at].number).collect();
        for &number in &removed {
            assert_eq!(opened.journal.remove_segment(number), Ok(()));
            assert_eq!(opened.journal.remove_segment(number), Err(RemoveError::Unknown));
        }
        let kept: Vec<u32> =
            places(&opened).into_iter().filter(|(_, at)| !removed.contains(at)).map(|(id, _)| id).collect();
        let mut boot = fs.crash(Crash::Lose);
        for _ in 0..3 {
            let again = open(&boot).unwrap();
            assert_eq!(again.recovery.damage, [], "{order:?}");
            assert_eq!(ids(&again.replayed), kept);
            boot = boot.crash(Crash::Lose);
        }
    }
}

#[test]
fn restarts_without_work_leave_no_files_behind() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    commit(&opened.journal, &[item(1, 1)]).unwrap();
    opened.journal.close();
    let files = fs.paths().len();
    for _ in 0..5 {
        open(&fs).unwrap().journal.close();
    }
    assert_eq!(fs.paths().len(), files + 1, "the empty active segment");
}

#[test]
fn a_large_body_is_read_in_pieces_and_checked_at_its_end() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    commit(&opened.journal, &[item(3, 700)]).unwrap();
    let (item, location) = opened.observed.lock().unwrap()[0].clone();
    let mut body = Vec::new();
    opened.journal.open_body(&location).unwrap().read_to_end(&mut body).unwrap();
    assert_eq!(body, item.body_content());
    let wrong = Location { crc: location.crc ^ 1, ..location };
    assert!(opened.journal.open_body(&wrong).unwrap().read_to_end(&mut body).is_err());
    assert_eq!(opened.journal.read_body(&wrong), Err(ReadError::Damaged));
    assert_eq!(opened.journal.read_body(&Location { segment: 99, ..location }), Err(ReadError::Gone));
    assert_eq!(opened.journal.read_body(&Location { length: u64::MAX, ..location }), Err(ReadError::Damaged));
}

#[test]
fn a_scan_reads_beside_the_daemon_and_changes_nothing() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    commit(&opened.journal, &[item(1, 300)]).unwrap();
    let operations = fs.operations();
    let mut seen = Vec::new();
    let request = ScanRequest { folder: Path::new(FOLDER), verify_bodies: true };
    let found = scan(&fs, request, &mut |found| seen.push(decode(found).0.id)).unwrap();
    assert_eq!((seen, found.damage, found.next_sequence), (vec![1], vec![], 2));
    assert_eq!(fs.operations(), operations);
}
