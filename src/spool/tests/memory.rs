//! Content in memory stays within its budget, and nothing of it is forgotten there.

use std::collections::BTreeSet;

use tokio::sync::mpsc::unbounded_channel;

use super::super::cache::envelope_bytes;
use super::*;

fn open_with_budget(bytes: u64) -> (Simulated, Opened, BodyBudget) {
    let (fs, budget) = (Simulated::default(), BodyBudget::new(bytes));
    let opened = open_with(&fs, budget.clone(), 0).unwrap();
    (fs, opened, budget)
}

/// What a message with so much content takes of the budget while it is in memory.
fn held(bytes: u64) -> u64 {
    envelope_bytes(&envelope(1, 1)) + bytes
}

fn is_cached(opened: &Opened, number: u32) -> bool {
    load(opened, number).cached.is_some()
}

#[test]
fn content_goes_to_a_file_when_it_is_large_or_memory_is_scarce() {
    for (budget_bytes, bytes, in_file) in [
        (20_000, 1000, false),
        (10_000, 1001, true),
        (10_000, 3000, true),
        (999, 1000, true),
        (0, 1, true),
        (0, 3000, true),
    ] {
        let (fs, opened, budget) = open_with_budget(budget_bytes);
        accept(&opened, 1, bytes).unwrap();
        let case = format!("{bytes} bytes, budget of {budget_bytes}");
        assert_eq!(!body_files(&fs).is_empty(), in_file, "{case}");
        assert_eq!(budget.used(), if in_file { 0 } else { held(bytes as u64) }, "{case}");
        let stored = load(&opened, 1);
        assert_eq!(read(&opened.spool, &stored), Ok(content(1, bytes)), "{case}");
        commit_progress(&opened, progress(1, &[0], delivered()));
        maintain(&opened);
        assert_eq!((budget.used(), body_files(&fs)), (0, vec![]), "{case}");
    }
}

#[test]
fn what_comes_in_never_holds_more_than_the_budget() {
    let (fs, opened, budget) = open_with_budget(1000);
    wait(async {
        let mut intakes: Vec<Intake> = (1..=5).map(|number| opened.spool.begin(id(number)).unwrap()).collect();
        for at in 0..10 {
            for intake in &mut intakes {
                intake.push(Bytes::from(vec![at; 170])).await.unwrap();
                assert!(budget.used() <= 1000);
            }
        }
        assert_eq!(body_files(&fs).len(), 5);
    });
    assert_eq!((budget.used(), body_files(&fs)), (0, vec![]), "what was not sealed is forgotten");
}

#[test]
fn content_that_is_not_accepted_is_forgotten() {
    let (fs, opened, budget) = open_with_budget(10_000);
    for (number, bytes) in [(1, 500), (2, 2500)] {
        drop(wait(fill(&opened.spool, number, bytes)).unwrap());
    }
    drop(opened.spool.sealed(vec![0; 100]));
    assert_eq!((budget.used(), body_files(&fs)), (0, vec![]));
}

#[test]
fn kept_content_makes_room_from_the_oldest_on_when_memory_is_tight() {
    let (_, opened, budget) = open_with_budget(3 * held(300));
    for number in 1..=2 {
        accept(&opened, number, 300).unwrap();
    }
    assert_eq!(budget.used(), 2 * held(300));
    accept(&opened, 3, 300).unwrap();
    let cached = [1, 2, 3].map(|number| is_cached(&opened, number));
    assert_eq!((budget.used(), cached), (2 * held(300), [false, true, true]));
    for number in 1..=3 {
        let stored = load(&opened, number);
        assert_eq!(read(&opened.spool, &stored), Ok(content(number, 300)));
    }
    opened.spool.forget_cached(id(2));
    assert_eq!(budget.used(), held(300));
    commit_progress(&opened, progress(3, &[0], delivered()));
    assert_eq!(budget.used(), 0);
}

#[test]
fn notices_are_kept_in_memory_only_as_far_as_the_budget_goes() {
    let (_, opened, budget) = open_with_budget(held(400) * 4 / 3 + 1);
    for number in 1..=2 {
        let notice = NewMessage { envelope: envelope(number, 1), content: opened.spool.sealed(content(number, 400)) };
        wait(opened.spool.record(None, vec![notice], Vec::new())).unwrap();
        let stored = load(&opened, number);
        assert_eq!(read(&opened.spool, &stored), Ok(content(number, 400)));
    }
    assert_eq!((budget.used(), [1, 2].map(|number| is_cached(&opened, number))), (held(400), [true, false]));
}

#[test]
fn the_budget_is_whole_again_after_the_end() {
    let (fs, opened, budget) = open_with_budget(10_000);
    let subscribed = unbounded_channel();
    opened.spool.subscribe(subscribed.0);
    for number in 1..=3 {
        accept(&opened, number, 300).unwrap();
    }
    let mut announced = subscribed.1;
    let ids: BTreeSet<MessageId> = std::iter::from_fn(|| announced.try_recv().ok()).collect();
    assert_eq!(ids, BTreeSet::from([1, 2, 3].map(id)));
    assert_eq!((opened.spool.take_commit_times().len(), opened.spool.take_commit_times().len()), (3, 0));
    opened.spool.close();
    drop(opened);
    assert_eq!(budget.used(), 0);
    assert_eq!(open(&fs.restart()).unwrap().recovered.pending.len(), 3);
}
