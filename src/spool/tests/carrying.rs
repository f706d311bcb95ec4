//! Facts outlive the segment that they were written in for as long as another segment needs them.

use std::io::ErrorKind;

use super::*;
use crate::journal::simulated::{Crash, Trouble};

/// Numbers of messages that only fill segments.
const FILLERS: [std::ops::Range<u32>; 3] = [100..200, 200..300, 300..400];

/// Message 1 with some recipients in a segment of its own. Nothing is left of the fillers but what they took.
fn begun(recipients: usize) -> (Simulated, Opened) {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept_for(&opened, 1, 50, recipients).unwrap();
    rotate(&opened, FILLERS[0].clone());
    (fs, opened)
}

fn reopened(fs: &Simulated) -> Opened {
    let opened = open(&fs.crash(Crash::Lose)).unwrap();
    assert_eq!((opened.recovered.damage.len(), opened.recovered.unreadable.len()), (0, 0));
    opened
}

#[test]
fn an_older_state_of_another_recipient_is_carried_too() {
    let (fs, opened) = begun(2);
    commit_progress(&opened, progress(1, &[0], delivered()));
    rotate(&opened, FILLERS[1].clone());
    commit_progress(&opened, progress(1, &[1], deferred(1)));
    rotate(&opened, FILLERS[2].clone());
    assert!(maintain(&opened).segments_removed >= 2);
    let expected = Some(vec![delivered(), deferred(1)]);
    assert_eq!(states(&opened.spool, 1), expected);
    assert_eq!(states(&reopened(&fs).spool, 1), expected);
}

#[test]
fn an_end_that_several_segments_tell_together_outlives_each_of_them() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    accept_for(&opened, 1, 50, 2).unwrap();
    // Keeps the segment of both.
    accept(&opened, 2, 50).unwrap();
    rotate(&opened, FILLERS[0].clone());
    commit_progress(&opened, progress(1, &[0], delivered()));
    rotate(&opened, FILLERS[1].clone());
    commit_progress(&opened, progress(1, &[1], delivered()));
    assert_eq!(maintain(&opened).segments_removed, 1, "the one with the first half");
    assert_eq!(reopened(&fs).recovered.pending, [id(2)]);
    rotate(&opened, FILLERS[2].clone());
    assert!(maintain(&opened).segments_removed >= 1);
    assert_eq!(reopened(&fs).recovered.pending, [id(2)]);
}

#[test]
fn a_state_that_waits_in_the_queue_is_newer_than_what_is_carried() {
    let (fs, opened) = begun(2);
    commit_progress(&opened, progress(1, &[0, 1], deferred(1)));
    rotate(&opened, FILLERS[1].clone());
    opened.spool.record_lazily(Some(progress(1, &[0], delivered())), Vec::new()).unwrap();
    assert!(maintain(&opened).segments_removed >= 1);
    let expected = Some(vec![delivered(), deferred(1)]);
    assert_eq!(states(&opened.spool, 1), expected);
    assert_eq!(states(&reopened(&fs).spool, 1), expected);
}

#[test]
fn an_end_that_waits_in_the_queue_is_not_undone_by_what_is_carried() {
    let (fs, opened) = begun(1);
    commit_progress(&opened, progress(1, &[0], deferred(1)));
    rotate(&opened, FILLERS[1].clone());
    opened.spool.record_lazily(Some(progress(1, &[0], delivered())), Vec::new()).unwrap();
    assert_eq!(maintain(&opened).segments_removed, 1, "its state is carried");
    assert_eq!((opened.spool.message_count(), reopened(&fs).recovered.pending), (0, Vec::new()));
}

#[test]
fn the_mark_of_the_audit_log_outlives_its_segment() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    let mark = |sequence| Mark { sequence, note: format!("note {sequence}") };
    opened.spool.audit_is_durable(mark(1)).unwrap();
    rotate(&opened, FILLERS[0].clone());
    opened.spool.audit_is_durable(mark(2)).unwrap();
    assert_eq!(reopened(&fs).recovered.mark, Some(mark(1)), "the second waits for company");
    assert!(maintain(&opened).segments_removed >= 1);
    assert_eq!(reopened(&fs).recovered.mark, Some(mark(2)));
}

#[test]
fn while_the_spool_is_copied_the_journal_says_no_more_of_the_audit_log_than_before() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    let mark = |sequence| Mark { sequence, note: format!("note {sequence}") };
    let written = || {
        wait(opened.spool.flush()).unwrap();
        reopened(&fs).recovered.mark
    };
    opened.spool.audit_is_durable(mark(1)).unwrap();
    assert_eq!(written(), Some(mark(1)));
    wait(opened.spool.keep_still(Duration::from_secs(600))).unwrap();
    let left = wait(opened.spool.keep_still(Duration::from_secs(1))).unwrap();
    assert!(left > Duration::from_secs(500), "who asked before still has the time that was asked for");
    opened.spool.audit_is_durable(mark(2)).unwrap();
    assert_eq!(written(), Some(mark(1)));
    // A start reads no more than it can hold.
    opened.spool.audit_is_durable(mark(100_000)).unwrap();
    assert_eq!(written(), Some(mark(100_000)));
    opened.spool.audit_is_durable(mark(100_001)).unwrap();
    assert_eq!(written(), Some(mark(100_000)));
    rotate(&opened, FILLERS[0].clone());
    assert!(opened.spool.end_stillness() && !opened.spool.end_stillness());
    assert!(maintain(&opened).segments_removed >= 1);
    assert_eq!(reopened(&fs).recovered.mark, Some(mark(100_001)), "no record goes before it");
}

#[test]
fn records_go_with_their_segment_only_when_the_log_has_them() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    wait(opened.spool.record(None, Vec::new(), vec![record(1), record(2)])).unwrap();
    rotate(&opened, FILLERS[0].clone());
    assert_eq!(maintain(&opened).segments_removed, 0);
    assert_eq!(reopened(&fs).recovered.audit, [(1, vec![record(1), record(2)])]);
    opened.spool.audit_is_durable(Mark { sequence: 1, note: String::new() }).unwrap();
    assert_eq!(maintain(&opened).segments_removed, 1);
    assert_eq!(reopened(&fs).recovered.audit, []);
}

#[test]
fn facts_of_many_messages_are_carried_in_parts_that_fit() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    for number in 1..=20 {
        accept(&opened, number, 800).unwrap();
    }
    let all: Vec<Progress> = (1..=20).map(|number| progress(number, &[0], deferred(number))).collect();
    all.into_iter().for_each(|progress| commit_progress(&opened, progress));
    rotate(&opened, FILLERS[0].clone());
    assert!(maintain(&opened).segments_removed >= 1);
    let again = reopened(&fs);
    for number in 1..=20 {
        assert_eq!(states(&again.spool, number), Some(vec![deferred(number)]));
    }
}

#[test]
fn a_full_disk_is_relieved_by_segments_that_leave_nothing_behind() {
    let (fs, opened) = begun(1);
    commit_progress(&opened, progress(1, &[0], deferred(1)));
    rotate(&opened, FILLERS[1].clone());
    rotate(&opened, FILLERS[2].clone());
    fs.set_space(Some(0));
    let done = maintain(&opened);
    assert_eq!((done.segments_removed, done.problems.len()), (1, 1), "{done:?}");
    fs.set_space(None);
    assert_eq!(maintain(&opened).segments_removed, 1);
    assert_eq!(states(&reopened(&fs).spool, 1), Some(vec![deferred(1)]));
}

#[test]
fn a_segment_stays_when_what_it_leaves_behind_cannot_be_written() {
    for trouble in [Trouble::Before(ErrorKind::Other), Trouble::Short(ErrorKind::Other), Trouble::Die] {
        for operation in 1..=2 {
            let (fs, opened) = begun(2);
            commit_progress(&opened, progress(1, &[0], delivered()));
            rotate(&opened, FILLERS[1].clone());
            fs.trouble_at(fs.operations() + operation, trouble);
            assert_eq!(maintain(&opened).segments_removed, 0);
            let expected = Some(vec![delivered(), RecipientState::default()]);
            assert_eq!(states(&reopened(&fs).spool, 1), expected, "{trouble:?} at {operation}");
        }
    }
}

#[test]
fn what_may_come_back_at_the_next_start_keeps_its_file() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    let sealed = wait(fill(&opened.spool, 1, 2500)).unwrap();
    // The sync of the journal fails, and so does the mark that would tell the next start.
    for operation in 2..=3 {
        fs.trouble_at(fs.operations() + operation, Trouble::Before(ErrorKind::Other));
    }
    let message = NewMessage { envelope: envelope(1, 1), content: sealed };
    assert_eq!(wait(opened.spool.accept(message, Vec::new())), Err(Fault::Unavailable));
    let again = open(&fs.restart()).unwrap();
    let stored = load(&again, 1);
    assert_eq!(read(&again.spool, &stored), Ok(content(1, 2500)));
}
