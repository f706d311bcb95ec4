//! Laws 11 to 16: reports.

use super::Fixture;
use super::rig::*;
use crate::spool::Fault;
use crate::spool::state::RecipientState;
use crate::spool::store::{Recorded, Refused, Which};

pub(crate) fn law_11_a_report_given_again_changes_nothing_more<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept_two(1);
    let claim = rig.one(0, 1);
    let later = deferred(1, rig.fixture.date() + LEASE);
    let first = Words { notice: Some(2), record: Some(20), ..now(7, vec![change(&[0], delivered())]) };
    let second = Words { record: Some(21), ..now(8, vec![change(&[1], later.clone())]) };
    // A record without a change, as an attempt is put on record.
    let third = Words { record: Some(22), ..now(9, Vec::new()) };
    for words in [&first, &second, &third] {
        assert_eq!(rig.record(0, &claim, words), Ok(Recorded::Open));
    }
    let notice = rig.one(1, 2);
    rig.record(1, &notice, &now(7, vec![change(&[0], delivered())])).unwrap();
    let again = change(&[1], deferred(9, rig.fixture.date()));
    let third = Words { changes: vec![again], ..third };
    for words in [&first, &third, &second] {
        assert_eq!(rig.record(0, &claim, words), Ok(Recorded::Open));
    }
    rig.record(0, &claim, &now(10, Vec::new())).unwrap();
    assert_eq!(rig.waiting_ids(0), [id(1)], "a notice that was delivered does not come back");
    assert_eq!(rig.states(1).unwrap(), [delivered(), later]);
    assert_eq!([20, 21, 22].map(|number| rig.times_recorded(number)), [1, 1, 1]);
    // Under another lease the number is free.
    rig.fixture.advance(LEASE);
    let claim = rig.one(0, 1);
    assert_eq!(rig.record(0, &claim, &now(8, vec![change(&[1], delivered())])), Ok(Recorded::Finished));
}

pub(crate) fn law_12_a_report_about_somebody_who_is_settled_or_unknown_is_refused_whole<F: Fixture>() {
    let rig = Rig::<F>::new();
    rig.try_accept(1, &["a@one.example", "b@one.example", "c@one.example"]).unwrap();
    let claim = rig.one(0, 1);
    rig.record(0, &claim, &now(1, vec![change(&[0], delivered())])).unwrap();
    rig.record(0, &claim, &soon(2, vec![change(&[1], delivered())])).unwrap();
    let waits = || RecipientState::default();
    for changes in [
        vec![change(&[2], delivered()), change(&[0], delivered())],
        vec![change(&[2], delivered()), change(&[0], waits())],
        vec![change(&[2, 1], delivered())],
        vec![change(&[2, 3], delivered())],
        vec![change(&[2], delivered()), change(&[2], waits())],
    ] {
        for words in [now(3, changes.clone()), soon(3, changes.clone())] {
            let words = Words { record: Some(30), ..words };
            assert_eq!(rig.record(0, &claim, &words), Err(Refused::Unfit), "{changes:?}");
        }
    }
    rig.record(0, &claim, &now(4, Vec::new())).unwrap();
    assert_eq!(rig.states(1).unwrap(), [delivered(), delivered(), waits()]);
    assert_eq!(rig.times_recorded(30), 0);
    assert_eq!(rig.record(0, &claim, &now(3, vec![change(&[2], delivered())])), Ok(Recorded::Finished));
}

pub(crate) fn law_13_the_last_settled_recipient_finishes_the_message_for_good<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    (1..=3).for_each(|number| rig.accept_two(number));
    let old = rig.one(1, 1);
    rig.fixture.advance(LEASE);
    let claims = [1, 2].map(|number| rig.one(0, number));
    let halves = [(1, vec![change(&[1], delivered())]), (2, vec![change(&[0], delivered())])];
    for (number, changes) in halves.clone() {
        let expected = if number == 1 { Recorded::Open } else { Recorded::Finished };
        assert_eq!(rig.record(0, &claims[0], &now(number, changes.clone())), Ok(expected));
        assert_eq!(rig.record(0, &claims[1], &soon(number, changes)), Ok(expected));
    }
    let is_gone = |rig: &Rig<F>| {
        for (node, claim) in [(0, &claims[0]), (1, &old)] {
            assert_eq!(rig.record(node, claim, &now(3, halves[0].1.clone())), Err(Refused::Gone));
            assert_eq!(rig.renew(node, claim).lost, [id(1)]);
        }
        let found = rig.claim(1, Which::These(&[id(1), id(2)]), MANY);
        assert_eq!((ids(&found), found.taken), (vec![], vec![]));
        assert_eq!(rig.waiting_ids(1), [id(3)]);
        assert_eq!((rig.content(0, 1), rig.content(1, 2)), (None, None));
    };
    assert_eq!(rig.record(0, &claims[1], &now(3, Vec::new())), Err(Refused::Gone), "that waits to be written too");
    // With this all is durable.
    rig.record(1, &rig.one(1, 3), &now(1, Vec::new())).unwrap();
    is_gone(&rig);
    rig.fixture.crash();
    is_gone(&rig);
}

pub(crate) fn law_14_who_is_given_a_message_sees_all_that_was_reported<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept_two(1);
    let due = deferred(1, rig.fixture.date());
    let mut states = vec![RecipientState::default(), RecipientState::default()];
    for round in 0..6 {
        let (node, other) = (round % 2, (round + 1) % 2);
        let claim = rig.one(node, 1);
        let state = deferred(round as u32, rig.fixture.date());
        let words = if round < 4 { soon(1, vec![change(&[0], state.clone())]) } else { now(1, Vec::new()) };
        rig.record(node, &claim, &words).unwrap();
        if round < 4 {
            states[0] = state;
        }
        match round {
            0 | 3 => rig.release(node, &claim, None),
            _ => rig.fixture.advance(LEASE),
        }
        let claims = if round < 2 { rig.claim_due(other) } else { rig.claim(other, Which::These(&[id(1)]), MANY) };
        assert_eq!(claims.given[0].outline.states, states, "round {round}");
        rig.release(other, &claims.given[0].claim, None);
    }
    // What was due before the report and is not due after it is not given.
    let claim = rig.one(0, 1);
    let later = deferred(1, rig.fixture.date() + LEASE * 2);
    rig.record(0, &claim, &soon(1, vec![change(&[0, 1], later)])).unwrap();
    rig.release(0, &claim, None);
    assert_eq!(ids(&rig.claim_due(1)), [], "{due:?}");
}

pub(crate) fn law_15_what_is_reported_soon_outlasts_a_crash_whole_or_not_at_all<F: Fixture>() {
    for then in ["crash", "report", "empty report", "mail"] {
        let mut rig = Rig::<F>::new();
        rig.accept_two(1);
        rig.accept(2);
        let claim = rig.one(0, 1);
        let words = Words { record: Some(10), ..soon(1, vec![change(&[0], delivered())]) };
        rig.record(0, &claim, &words).unwrap();
        let other = rig.one(1, 2);
        match then {
            "report" => _ = rig.record(1, &other, &Words { record: Some(11), ..now(1, Vec::new()) }).unwrap(),
            "empty report" => _ = rig.record(1, &other, &now(1, Vec::new())).unwrap(),
            "mail" => rig.accept(3),
            _ => {}
        }
        rig.fixture.crash();
        let (states, times) = (rig.states(1).unwrap(), rig.times_recorded(10));
        let is_there = states[0] == delivered();
        assert_eq!(times, usize::from(is_there), "{then}: {states:?}");
        assert_eq!(states[1], RecipientState::default(), "{then}");
        assert!(is_there || then == "crash", "{then}");
        rig.fixture.advance(LEASE);
        assert_eq!(rig.claim(1, Which::These(&[id(1)]), MANY).given[0].outline.states, states);
    }
}

pub(crate) fn law_16_a_refusal_for_want_of_space_leaves_all_as_it_was<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept(1);
    let claim = rig.one(0, 1);
    let words = Words { notice: Some(2), record: Some(10), ..now(1, vec![change(&[0], delivered())]) };
    rig.fixture.set_full(true);
    for _ in 0..2 {
        assert_eq!(rig.record(0, &claim, &words), Err(Refused::Fault(Fault::NoSpace)));
        assert_eq!((rig.waiting_ids(1), rig.times_recorded(10)), (vec![id(1)], 0));
    }
    assert_eq!(rig.try_one(1, 1), None, "the lease goes on");
    rig.fixture.set_full(false);
    assert_eq!(rig.record(0, &claim, &words), Ok(Recorded::Finished));
    assert_eq!((rig.waiting_ids(1), rig.times_recorded(10)), (vec![id(2)], 1));
}
