//! The book-keeping of segments, without a journal.

use super::super::entry::Carried;
use super::super::index::{Added, Index};
use super::super::packed::{Lies, Place};
use super::*;
use crate::journal::{Location, SegmentInfo};

/// One change of an index.
enum Event {
    /// A message with that many recipients, in a segment.
    Add(u32, usize, u64),
    Progress(u32, &'static [u32], RecipientState, u64),
    Carried(Carried, u64),
    /// Records in a batch.
    Audit(u64, u64),
    Mark(u64),
    Keep(u64),
    Forget(u64),
}

fn index(events: Vec<Event>) -> Index {
    let mut index = Index::default();
    for event in events {
        match event {
            Event::Add(number, recipients, segment) => {
                let meta = Location { segment, offset: 0, length: 0, crc: 0 };
                let lies = Lies { meta, place: Place::Journal(meta) };
                index.add(Added::new(Outline::of(&envelope(number, recipients)), &lies));
            }
            Event::Progress(number, places, state, segment) => {
                index.progress(&progress(number, places, state), segment)
            }
            Event::Carried(carried, segment) => index.carried(&carried, segment),
            Event::Audit(segment, sequence) => index.needs_audit(segment, sequence),
            Event::Mark(sequence) => _ = index.audit_is_durable(Mark { sequence, note: String::new() }),
            Event::Keep(segment) => index.keep_segment(segment),
            Event::Forget(segment) => index.forget_segment(segment),
        }
    }
    index
}

fn segment(number: u64, bytes: u64) -> SegmentInfo {
    SegmentInfo { number, bytes, first_sequence: number * 10, last_sequence: number * 10 + 9, damaged: false }
}

/// Segments 1 to 4, the last being written.
fn removable(index: &Index) -> Vec<u64> {
    index.removable(&[1, 2, 3, 4].map(|number| segment(number, 1 << 20)))
}

#[test]
fn a_segment_goes_when_nothing_lives_in_it_and_the_log_has_its_records() {
    use Event::{Add, Audit, Carried as Carry, Keep, Mark, Progress};
    let check = |events: Vec<Event>, expected: &[u64]| assert_eq!(removable(&index(events)), expected);
    check(vec![], &[1, 2, 3]);
    check(vec![Add(1, 1, 1)], &[2, 3]);
    check(vec![Add(1, 1, 1), Progress(1, &[0], deferred(1), 2)], &[2, 3]);
    check(vec![Add(1, 1, 1), Progress(1, &[0], delivered(), 2)], &[1, 2, 3]);
    check(vec![Add(1, 2, 1), Progress(1, &[0], delivered(), 2)], &[2, 3]);
    check(vec![Add(1, 2, 1), Progress(1, &[0], delivered(), 2), Progress(1, &[1], delivered(), 3)], &[1, 2, 3]);
    check(vec![Add(1, 1, 1), Carry(Carried { from: 2, finished: vec![id(1)], progress: vec![] }, 4)], &[1, 2, 3]);
    check(vec![Add(1, 1, 4)], &[1, 2, 3]);
    check(vec![Audit(2, 21)], &[1, 3]);
    check(vec![Audit(2, 21), Mark(20)], &[1, 3]);
    check(vec![Audit(2, 21), Mark(21)], &[1, 2, 3]);
    check(vec![Audit(2, 21), Mark(21), Mark(20)], &[1, 2, 3]);
    check(vec![Keep(3)], &[1, 2]);
    let damaged = SegmentInfo { damaged: true, ..segment(1, 1) };
    assert_eq!(Index::default().removable(&[damaged, segment(2, 1), segment(3, 1)]), [2]);
    assert_eq!(Index::default().removable(&[]), [0; 0]);
}

#[test]
fn a_segment_full_of_states_is_kept_rather_than_copied_round_and_round() {
    let backlog = |count: u32| {
        let messages = (0..count).map(|number| Event::Add(number, 1, 1));
        let states = (0..count).map(|number| Event::Progress(number, &[0], deferred(1), 2));
        index(messages.chain(states).collect())
    };
    let check = |count, bytes, expected: &[u64]| {
        assert_eq!(backlog(count).removable(&[segment(1, 1), segment(2, bytes), segment(3, 0)]), expected);
    };
    check(1, 100, &[2]);
    check(128, 100, &[2]);
    check(129, 100, &[]);
    check(129, 1 << 20, &[2]);
    check(2000, 1 << 20, &[]);
}

#[test]
fn what_others_need_of_a_segment_is_what_only_it_tells() {
    use Event::{Add, Carried as Carry, Forget, Progress};
    let state = |number, places: &[u32], state| vec![progress(number, places, state)];
    let check = |events: Vec<Event>, finished: &[u32], progress: Vec<super::super::state::Progress>| {
        let finished = finished.iter().map(|number| id(*number)).collect();
        let needed = index(events).needed_of(2);
        assert_eq!((needed.finished, needed.progress), (finished, progress));
    };
    check(vec![], &[], vec![]);
    check(vec![Add(1, 1, 2), Progress(1, &[0], deferred(1), 2)], &[], vec![]);
    check(vec![Add(1, 2, 1), Progress(1, &[1], deferred(1), 2)], &[], state(1, &[1], deferred(1)));
    check(vec![Add(1, 1, 1), Progress(1, &[0], deferred(1), 2), Progress(1, &[0], deferred(2), 3)], &[], vec![]);
    check(
        vec![Add(1, 2, 1), Progress(1, &[0, 1], deferred(1), 2), Progress(1, &[0], deferred(2), 3)],
        &[],
        state(1, &[1], deferred(1)),
    );
    check(vec![Add(1, 1, 1), Progress(1, &[0], delivered(), 2)], &[1], vec![]);
    check(vec![Add(1, 2, 1), Progress(1, &[0], delivered(), 2), Progress(1, &[1], delivered(), 3)], &[1], vec![]);
    check(vec![Add(1, 1, 1), Progress(1, &[0], delivered(), 2), Forget(1)], &[], vec![]);
    let carried = Carried { from: 2, finished: vec![id(1)], progress: vec![] };
    check(vec![Add(1, 1, 1), Progress(1, &[0], delivered(), 2), Carry(carried, 3)], &[], vec![]);
    // It was finished in segment 1 while its state was on the way to segment 2, where a start would look for it.
    let carried = Carried { from: 1, finished: vec![], progress: state(1, &[0], delivered()) };
    check(
        vec![
            Add(1, 2, 0),
            Progress(1, &[0], delivered(), 1),
            Progress(1, &[1], delivered(), 2),
            Carry(carried, 2),
            Forget(1),
        ],
        &[1],
        vec![],
    );
}

#[test]
fn what_is_carried_never_undoes_what_is_newer() {
    use Event::{Add, Carried as Carry, Progress};
    let carried =
        |from, places: &[u32], state| Carried { from, finished: vec![], progress: vec![progress(1, places, state)] };
    let check = |events: Vec<Event>, expected: Vec<RecipientState>| {
        assert_eq!(index(events).states(id(1)).unwrap(), expected);
    };
    // While it runs, and at a start that still finds segment 2 or finds it gone.
    let newer = || Progress(1, &[0], delivered(), 3);
    let old = || Carry(carried(2, &[0, 1], deferred(1)), 3);
    check(vec![Add(1, 2, 1), Progress(1, &[0, 1], deferred(1), 2), newer(), old()], vec![delivered(), deferred(1)]);
    check(vec![Add(1, 2, 1), newer(), old()], vec![delivered(), deferred(1)]);
    check(vec![Add(1, 2, 1), old(), newer()], vec![delivered(), deferred(1)]);
    check(vec![Add(1, 1, 1), Carry(carried(2, &[0, 7], deferred(1)), 3)], vec![deferred(1)]);
}

#[test]
fn carried_facts_are_divided_and_none_is_lost() {
    let finished: Vec<MessageId> = (0..50).map(id).collect();
    let changes = |number: u32| Progress {
        message: id(number),
        changes: (0..4).map(|place| Change { recipients: vec![place], state: deferred(place) }).collect(),
    };
    let whole = Carried { from: 7, finished: finished.clone(), progress: (0..9).map(changes).collect() };
    for bytes_max in [1, 300, 1000, 1 << 20] {
        let parts = whole.clone().parts(bytes_max);
        let ids: Vec<MessageId> = parts.iter().flat_map(|part| part.finished.clone()).collect();
        let divided = parts.iter().flat_map(|part| &part.progress);
        let divided: Vec<(MessageId, Change)> = divided
            .flat_map(|progress| progress.changes.iter().map(|change| (progress.message, change.clone())))
            .collect();
        let expected: Vec<(MessageId, Change)> =
            whole.progress.iter().flat_map(|p| p.changes.iter().map(|change| (p.message, change.clone()))).collect();
        assert_eq!((ids, divided), (finished.clone(), expected), "{bytes_max}");
        for part in &parts {
            let facts = part.finished.len() + part.progress.len();
            let bytes = serde_json::to_vec(part).unwrap().len();
            assert!(part.from == 7 && (facts == 1 || bytes <= bytes_max + 100), "{bytes} of {bytes_max}");
        }
    }
    assert_eq!(Carried::default().parts(100), []);
}

#[test]
fn the_oldest_of_each_kind_is_found_without_a_walk_through_the_others() {
    let mut index = Index::default();
    let received = |number: u32| Timestamp::from_secs(number.into());
    let add = |index: &mut Index, number| {
        let lies = Location { segment: 1, offset: 0, length: 0, crc: 0 };
        let outline = Outline { received_at: received(number), ..Outline::of(&envelope(number, 2)) };
        index.add(Added::new(outline, &Lies { meta: lies, place: Place::Journal(lies) }));
    };
    let check = |index: &mut Index, untried: Option<u32>, tried: Option<u32>| {
        let expected = Oldest { untried: untried.map(received), tried: tried.map(received) };
        assert_eq!(index.oldest(100), expected);
    };
    check(&mut index, None, None);
    (10..20).for_each(|number| add(&mut index, number));
    check(&mut index, Some(10), None);
    index.progress(&progress(12, &[0], deferred(1)), 2);
    check(&mut index, Some(10), Some(12));
    for number in 10..=11 {
        index.progress(&progress(number, &[0], deferred(1)), 2);
    }
    check(&mut index, Some(13), Some(10));
    index.progress(&progress(10, &[0, 1], delivered()), 2);
    check(&mut index, Some(13), Some(11));
    // The one that was tried is served, the other was not tried.
    index.progress(&progress(11, &[0], delivered()), 2);
    check(&mut index, Some(11), Some(12));
    add(&mut index, 5);
    check(&mut index, Some(5), Some(12));
    index.progress(&progress(12, &[0, 1], delivered()), 2);
    check(&mut index, Some(5), None);
    index.progress(&progress(19, &[0], deferred(1)), 2);
    check(&mut index, Some(5), Some(19));
    for number in (13..=18).chain([5, 11]) {
        index.progress(&progress(number, &[0, 1], delivered()), 2);
    }
    check(&mut index, None, Some(19));
    // A look that ends at its bound goes on there.
    let mut index = Index::default();
    (1..=9).for_each(|number| add(&mut index, number));
    index.progress(&progress(1, &[0], deferred(1)), 2);
    index.progress(&progress(1, &[0, 1], delivered()), 2);
    index.progress(&progress(9, &[0], deferred(1)), 2);
    index.progress(&progress(2, &[0], deferred(1)), 2);
    index.progress(&progress(2, &[0, 1], delivered()), 2);
    assert_eq!([(); 3].map(|()| index.oldest(3).tried), [None, None, Some(received(9))]);
}
