//! Laws 17 to 21: what there is to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;

use super::Fixture;
use super::rig::*;
use crate::model::actor::Actor;
use crate::model::domain::Domain;
use crate::spool::holds::{DestinationHold, Held, HeldPlace, Holds};
use crate::spool::state::Pending;
use crate::spool::store::{HoldsRefused, Store, Which};

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// Reports on recipients of a message, and gives it back.
fn report<F: Fixture>(rig: &Rig<F>, number: u32, changes: Vec<crate::spool::state::Change>) {
    let claim = rig.one(0, number);
    rig.record(0, &claim, &now(1, changes)).unwrap();
    rig.release(0, &claim, None);
}

pub(crate) fn law_17_what_is_given_as_due_is_due_and_the_longest_due_comes_first<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.fixture.advance(100 * SECOND);
    (1..=6).for_each(|number| rig.accept_two(number));
    let date = rig.fixture.date();
    let held = |until| Some(Arc::new(Held { reason: None, until, by: Actor::Time, at: date }));
    let hold = |until| pending(Pending { held: held(until), ..Pending::default() });
    report(&rig, 1, vec![change(&[0, 1], deferred(1, date + 30 * SECOND))]);
    report(&rig, 2, vec![change(&[0], deferred(1, date + 20 * SECOND)), change(&[1], delivered())]);
    report(&rig, 3, vec![change(&[0, 1], hold(None))]);
    report(&rig, 4, vec![change(&[0, 1], hold(Some(date + 10 * SECOND)))]);
    report(&rig, 5, vec![change(&[0], hold(None)), change(&[1], deferred(1, date + 40 * SECOND))]);
    let due = |rig: &Rig<F>, except: &[Domain], limit| {
        let claims = rig.claim(1, Which::Due { by: rig.fixture.date(), except }, limit);
        claims.given.iter().for_each(|claimed| rig.release(1, &claimed.claim, None));
        ids(&claims)
    };
    let one = [domain("one.example")];
    let both = [domain("two.example"), domain("one.example")];
    for (seconds, all, but_one) in [
        (0, &[6][..], &[6][..]),
        (9, &[6], &[6]),
        (10, &[6, 4], &[6, 4]),
        (20, &[6, 4, 2], &[6, 4]),
        (30, &[6, 4, 2, 1], &[6, 4, 1]),
        (40, &[6, 4, 2, 1, 5], &[6, 4, 1, 5]),
    ] {
        let passed = rig.fixture.date().saturating_since(date);
        rig.fixture.advance(Duration::from_secs(seconds) - passed);
        let numbers = |numbers: &[u32]| numbers.iter().map(|number| id(*number)).collect::<Vec<_>>();
        assert_eq!(due(&rig, &[], MANY), numbers(all), "after {seconds} s");
        assert_eq!(due(&rig, &one, MANY), numbers(but_one), "after {seconds} s, not to one.example");
        assert_eq!(due(&rig, &both, MANY), []);
        assert_eq!(due(&rig, &[], 2), numbers(&all[..all.len().min(2)]));
        assert_eq!(due(&rig, &[], 0), []);
    }
}

pub(crate) fn law_17_what_was_reported_last_says_when_it_is_due<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept(1);
    let date = rig.fixture.date();
    report(&rig, 1, vec![change(&[0], deferred(1, date + 90 * SECOND))]);
    let claim = rig.one(0, 1);
    rig.record(0, &claim, &soon(1, vec![change(&[0], deferred(1, date + 20 * SECOND))])).unwrap();
    assert!(rig.claim_due(1).again_in.is_some_and(|wait| wait <= LEASE), "while the lease lasts");
    rig.release(0, &claim, None);
    rig.fixture.advance(20 * SECOND);
    assert_eq!(ids(&rig.claim_due(1)), [id(1)]);
}

pub(crate) fn law_18_the_next_look_is_never_too_late<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.fixture.advance(100 * SECOND);
    let again_in = |rig: &Rig<F>, node| rig.claim_due(node).again_in;
    assert_eq!(again_in(&rig, 0), None, "there is nothing");
    (1..=3).for_each(|number| rig.accept(number));
    let date = rig.fixture.date();
    report(&rig, 1, vec![change(&[0], deferred(1, date + 20 * SECOND))]);
    report(&rig, 2, vec![change(&[0], deferred(1, date + 90 * SECOND))]);
    let cut = rig.claim(0, Which::Due { by: date, except: &[] }, 0);
    assert_eq!((ids(&cut), cut.again_in), (vec![], Some(Duration::ZERO)), "there is more than was asked for");
    let claims = rig.claim_due(0);
    assert_eq!((ids(&claims), claims.again_in), (vec![id(3)], Some(20 * SECOND)), "when the next one is due");
    let named = rig.claim(1, Which::These(&[id(3)]), MANY);
    assert_eq!((named.taken.len(), named.again_in), (1, Some(LEASE)), "when the lease is over");
    rig.fixture.advance(25 * SECOND);
    let claims = rig.claim_due(1);
    assert_eq!((ids(&claims), claims.again_in), (vec![id(1)], Some(35 * SECOND)), "when the other lease is over");
    // Whoever looks when it is told to is never too late, and comes to the end.
    let mut found = Vec::new();
    for _ in 0..10 {
        let claims = rig.claim_due(1);
        found.extend(ids(&claims));
        for claimed in &claims.given {
            rig.record(1, &claimed.claim, &now(1, vec![change(&[0], delivered())])).unwrap();
        }
        let Some(wait) = claims.again_in else { break };
        rig.fixture.advance(wait);
    }
    assert_eq!(found, [id(3), id(1), id(2)]);
}

pub(crate) fn law_19_what_can_be_claimed_is_announced_to_all<F: Fixture>() {
    let rig = Rig::<F>::new();
    rig.accept(1);
    let (first, mut heard_first) = unbounded_channel();
    let (second, mut heard_second) = unbounded_channel();
    rig.node(0).subscribe(first);
    rig.node(1).subscribe(second);
    rig.accept(2);
    let claim = rig.one(1, 2);
    let words = Words { notice: Some(3), ..now(1, Vec::new()) };
    rig.record(1, &claim, &words).unwrap();
    rig.one(0, 3);
    rig.release(1, &claim, None);
    rig.one(0, 2);
    for heard in [&mut heard_first, &mut heard_second] {
        let all: Vec<_> = std::iter::from_fn(|| heard.try_recv().ok()).collect();
        assert_eq!(all, [id(2), id(3), id(2)]);
    }
}

pub(crate) fn law_20_after_a_crash_all_that_is_unfinished_can_be_claimed<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    (1..=5).for_each(|number| rig.accept_two(number));
    let claims = [1, 2, 3].map(|number| rig.one(number as usize % 2, number));
    rig.record(1, &claims[0], &now(1, vec![change(&[0, 1], delivered())])).unwrap();
    rig.record(0, &claims[1], &now(1, vec![change(&[0], delivered())])).unwrap();
    rig.release(1, &claims[2], Some(rig.fixture.date() + 10 * SECOND));
    rig.one(0, 4);
    rig.fixture.crash();
    rig.fixture.advance(LEASE);
    let claims = rig.claim_due(1);
    let mut found = ids(&claims);
    found.sort();
    assert_eq!(found, [id(2), id(3), id(4), id(5)]);
    for claimed in claims.given {
        let open = (0..).zip(&claimed.outline.states).filter(|(_, state)| state.pending().is_some());
        let places: Vec<u32> = open.map(|(place, _)| place).collect();
        rig.record(1, &claimed.claim, &now(1, vec![change(&places, delivered())])).unwrap();
    }
    rig.fixture.crash();
    assert_eq!(rig.waiting(0), []);
}

pub(crate) fn law_21_the_list_of_holds_with_the_higher_version_stands<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    let list = |version, names: &[&str]| {
        let held = Held { reason: None, until: None, by: Actor::Account(7), at: rig.fixture.date() };
        let hold = |name: &&str| DestinationHold { place: HeldPlace::Domain(domain(name)), held: held.clone() };
        Holds { version, list: names.iter().map(hold).collect() }
    };
    let lists = [list(1, &["a.example"]), list(2, &["a.example", "b.example"]), list(5, &[])];
    let old = list(5, &["c.example"]);
    let put =
        |rig: &Rig<F>, node, list: &Holds, record| wait(rig.node(node).put_holds(list.clone(), vec![audit(record)]));
    for (record, list) in (1..).zip(&lists) {
        assert_eq!(put(&rig, 0, list, record), Ok(()));
        assert_eq!(put(&rig, 1, &Holds { version: list.version, ..old.clone() }, 50), Err(HoldsRefused::Outdated));
        for node in [0, 1] {
            assert_eq!(wait(rig.node(node).holds()).as_ref(), Ok(list));
        }
        rig.fixture.crash();
        assert_eq!(wait(rig.node(1).holds()).as_ref(), Ok(list));
        assert_eq!((rig.times_recorded(record), rig.times_recorded(50)), (1, 0));
    }
}
