//! Stragglers are moved out of old segments, and no fault makes two of them, none, or takes a state back.

use std::io::ErrorKind;

use super::ledger::{Attempt, Ledger, Outcome, Step};
use super::*;
use crate::journal::simulated::{Crash, Trouble};

/// Segments are emptied as soon as they are closed.
fn open(fs: &Simulated) -> Result<Opened, OpenError> {
    open_sized(fs, BodyBudget::new(1 << 20), 0, Sizes { compact_after: Duration::ZERO, ..SIZES })
}

/// One straggler in a dozen small messages, over and over.
const ROUNDS: u32 = 12;
const EACH: u32 = 12;

fn journal_bytes(opened: &Opened) -> u64 {
    opened.spool.shared.journal.segments().iter().map(|info| info.bytes).sum()
}

fn audited(opened: &Opened) {
    let sequence = opened.spool.shared.journal.segments().last().unwrap().last_sequence;
    opened.spool.audit_is_durable(Mark { sequence, note: String::new() }).unwrap();
}

/// Of each dozen messages one waits on; then what could be tidied is.
fn stragglers(opened: &Opened) -> Vec<u32> {
    let mut left = Vec::new();
    for round in 0..ROUNDS {
        let first = 1 + round * EACH;
        for number in first..first + EACH {
            accept(opened, number, 300).unwrap();
        }
        for number in first + 1..first + EACH {
            commit_progress(opened, progress(number, &[0], delivered()));
        }
        commit_progress(opened, progress(first, &[0], deferred(1)));
        left.push(first);
        audited(opened);
        maintain(opened);
    }
    for number in 0..6 {
        // Each round of maintenance begins what the next commit makes durable.
        accept(opened, 9000 + number, 10).unwrap();
        commit_progress(opened, progress(9000 + number, &[0], delivered()));
        audited(opened);
        maintain(opened);
    }
    left
}

#[test]
fn a_queue_of_stragglers_takes_a_small_multiple_of_what_lives() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    let left = stragglers(&opened);
    let living: u64 = left.len() as u64 * 900;
    let bytes = journal_bytes(&opened);
    assert!(bytes < living * 4, "{bytes} bytes for {living} that live");
    let check = |opened: &Opened| {
        for stored in list(&opened.spool) {
            let number = stored.envelope.id.as_u128() as u32;
            assert_eq!(stored.states, [deferred(1)]);
            assert_eq!(read(&opened.spool, &stored).unwrap(), content(number, 300));
        }
        assert_eq!(opened.spool.message_count(), left.len());
    };
    check(&opened);
    let opened = open(&fs.crash(Crash::Lose)).unwrap();
    assert_eq!(opened.recovered.unreadable, Vec::<String>::new());
    check(&opened);
}

#[test]
fn a_message_that_was_moved_is_delivered_once_whatever_segment_goes_first() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    let left = stragglers(&opened);
    for number in &left {
        commit_progress(&opened, progress(*number, &[0], delivered()));
    }
    assert_eq!(open(&fs.crash(Crash::Lose)).unwrap().recovered.pending, []);
    for number in 0..20 {
        accept(&opened, 9500 + number, 900).unwrap();
        commit_progress(&opened, progress(9500 + number, &[0], delivered()));
        audited(&opened);
        maintain(&opened);
        assert_eq!(open(&fs.crash(Crash::Lose)).unwrap().recovered.pending, [], "{number}");
    }
}

#[test]
fn a_change_that_is_under_way_keeps_its_message_where_it_is() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept_for(&opened, 1, 100, 2).unwrap();
    rotate(&opened, 100..200);
    audited(&opened);
    let lies = || lock(&opened.spool.shared.index).lies(id(1)).unwrap();
    let before = lies();
    lock(&opened.spool.shared.index).change_begins(id(1));
    maintain(&opened);
    accept(&opened, 2, 10).unwrap();
    assert_eq!(lies(), before);
    lock(&opened.spool.shared.index).change_ends(id(1));
    // What waits in the queue is applied before the copy is made.
    opened.spool.record_lazily(Some(progress(1, &[1], delivered())), Vec::new()).unwrap();
    maintain(&opened);
    accept(&opened, 3, 10).unwrap();
    assert_ne!(lies(), before);
    let expected = Some(vec![RecipientState::default(), delivered()]);
    assert_eq!(states(&opened.spool, 1), expected);
    assert_eq!(states(&open(&fs.crash(Crash::Lose)).unwrap().spool, 1), expected);
}

#[test]
fn content_is_read_from_where_it_lies_after_a_move() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept(&opened, 1, 100).unwrap();
    opened.spool.forget_cached(id(1));
    let stored = wait(opened.spool.load(id(1))).unwrap().unwrap();
    rotate(&opened, 100..200);
    audited(&opened);
    maintain(&opened);
    accept(&opened, 2, 10).unwrap();
    assert!(maintain(&opened).segments_removed >= 1);
    assert_eq!(read(&opened.spool, &stored).unwrap(), content(1, 100));
}

fn workload() -> Vec<Step> {
    use Outcome::{Deferred, Delivered};
    let attempt = |pick, places, outcome, lazily| Step::Progress(Attempt { pick, places, outcome, lazily });
    let accept = |recipients, bytes| Step::Accept { recipients, bytes };
    let mut steps = vec![accept(2, 100)];
    for round in 0..4 {
        // The second straggler has a file of its own.
        let new = if round < 2 { 1 } else { 2 };
        steps.extend([
            accept(1, 900),
            attempt(new, 1, Delivered, false),
            accept(1, 900),
            attempt(new, 1, Delivered, true),
            accept(1, 900),
            attempt(new, 1, Delivered, false),
            Step::Mark,
            attempt(0, 0b11, Deferred, round == 1),
            Step::Maintain,
            accept(1, 50),
            attempt(new, 1, Delivered, true),
            Step::Mark,
            Step::Maintain,
        ]);
        if round == 1 {
            steps.push(accept(1, 2500));
        }
    }
    steps.extend([attempt(0, 0b01, Delivered, true), accept(1, 50), Step::Maintain]);
    steps.extend([attempt(0, 0b11, Delivered, false), accept(1, 900), accept(1, 900), Step::Mark, Step::Maintain]);
    steps
}

fn work(fs: &Simulated) -> (Ledger, Option<Opened>) {
    let mut ledger = Ledger::default();
    let Ok(opened) = open(fs) else { return (ledger, None) };
    for step in workload() {
        ledger.perform(&opened, &step);
    }
    (ledger, Some(opened))
}

#[test]
fn a_fault_at_any_point_of_a_move_loses_nothing_and_brings_nothing_back() {
    let quiet = Simulated::default();
    let (ledger, running) = work(&quiet);
    let operations = quiet.operations();
    assert!(ledger.messages_moved >= 2 && ledger.segments_removed >= 3, "{ledger:?}");
    drop(running);
    let broken = ErrorKind::Other;
    let full = ErrorKind::StorageFull;
    let troubles = [Trouble::Before(broken), Trouble::Short(full), Trouble::After(broken), Trouble::Die];
    for operation in 1..=operations {
        for trouble in troubles {
            // What is not synced yet matters most when the machine stops right there.
            let crashes = [Some(Crash::Lose), None, Some(Crash::Scatter(3))];
            for crash in crashes.into_iter().take(if trouble == Trouble::Die { 3 } else { 1 }) {
                let fs = Simulated::default();
                fs.trouble_at(operation, trouble);
                let (mut ledger, running) = work(&fs);
                let boot = crash.map_or_else(|| fs.restart(), |crash| fs.crash(crash));
                drop(running);
                let case = format!("{trouble:?} at {operation}, {crash:?}");
                let opened = open(&boot).unwrap_or_else(|error| panic!("{case}: {error}"));
                ledger.check_opened(&boot, &opened, &case);
                for _ in 0..3 {
                    ledger.perform(&opened, &Step::Accept { recipients: 1, bytes: 100 });
                    ledger.perform(&opened, &Step::Mark);
                    ledger.perform(&opened, &Step::Maintain);
                }
                let again = boot.crash(Crash::Lose);
                drop(opened);
                let opened = open(&again).unwrap_or_else(|error| panic!("{case}, again: {error}"));
                ledger.check_opened(&again, &opened, &format!("{case}, then a second crash"));
            }
        }
    }
}
