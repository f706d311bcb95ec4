//! Laws 4 to 10: leases.

use super::Fixture;
use super::rig::*;
use crate::spool::store::{NodeId, Refused, Taken, Which};

pub(crate) fn law_04_a_lease_keeps_others_away<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    (1..=4).for_each(|number| rig.accept(number));
    let mine = rig.claim(0, Which::These(&[id(1), id(3), id(9)]), MANY);
    assert_eq!((ids(&mine), mine.taken), (vec![id(1), id(3)], vec![]));
    let others = rig.claim(1, Which::These(&[id(1), id(2)]), MANY);
    assert_eq!(ids(&others), [id(2)]);
    assert_eq!(others.taken, [Taken { message: id(1), by: Some(NodeId("node0".into())) }]);
    assert_eq!(ids(&rig.claim_due(1)), [id(4)]);
    rig.fixture.advance(LEASE - SECOND);
    for node in [0, 1] {
        assert_eq!(ids(&rig.claim_due(node)), [], "also the holder itself is not given it again");
        assert_eq!(rig.try_one(node, 3), None);
    }
}

pub(crate) fn law_05_tokens_rise_and_none_comes_twice<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept(1);
    let mut last = rig.one(0, 1);
    for round in 0..6 {
        match round {
            0 | 3 => rig.fixture.advance(LEASE),
            1 | 4 => rig.release(round % 2, &last, None),
            _ => {
                rig.fixture.crash();
                rig.fixture.advance(LEASE);
            }
        }
        let next = rig.one((round + 1) % 2, 1);
        assert!(next.token > last.token, "round {round}: {:?} after {:?}", next.token, last.token);
        last = next;
    }
}

pub(crate) fn law_06_a_lease_is_over_after_its_length_and_not_before<F: Fixture>() {
    for (first, second) in [(0, 1), (1, 0), (0, 0)] {
        let mut rig = Rig::<F>::new();
        rig.accept(1);
        let claim = rig.one(first, 1);
        assert_eq!(claim.until, rig.fixture.now(first) + LEASE);
        rig.fixture.advance(LEASE - SECOND);
        assert_eq!((rig.try_one(second, 1), ids(&rig.claim_due(second))), (None, vec![]));
        rig.fixture.advance(SECOND);
        assert_eq!(ids(&rig.claim_due(second)), [id(1)]);
    }
}

pub(crate) fn law_07_a_renewed_lease_lasts_and_a_lost_one_stays_lost<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept(1);
    let claim = rig.one(1, 1);
    for _ in 0..3 {
        rig.fixture.advance(LEASE - SECOND);
        let renewed = rig.renew(1, &claim);
        assert_eq!((renewed.until, renewed.lost), (rig.fixture.now(1) + LEASE, vec![]));
    }
    rig.fixture.advance(LEASE - SECOND);
    assert_eq!(rig.try_one(0, 1), None);
    rig.fixture.advance(SECOND);
    let other = rig.one(0, 1);
    assert_eq!(rig.renew(1, &claim).lost, [id(1)]);
    rig.fixture.advance(LEASE);
    assert_eq!(rig.renew(1, &claim).lost, [id(1)], "though the other one's is over");
    assert_eq!(rig.renew(0, &other).lost, []);
    rig.release(0, &other, None);
    assert_eq!(rig.renew(0, &other).lost, [id(1)]);
}

pub(crate) fn law_08_nothing_is_written_under_an_old_token<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept_two(1);
    let old = rig.one(0, 1);
    rig.fixture.advance(LEASE);
    let new = rig.one(1, 1);
    let is_fenced = |rig: &Rig<F>, case: &str| {
        for words in [
            Words { record: Some(50), ..now(1, vec![change(&[0], delivered())]) },
            Words { record: Some(51), ..soon(2, vec![change(&[1], delivered())]) },
            Words { record: Some(52), notice: Some(60), ..now(3, Vec::new()) },
        ] {
            assert_eq!(rig.record(0, &old, &words), Err(Refused::Fenced), "{case}: {words:?}");
        }
        assert_eq!(rig.states(1).unwrap(), [Default::default(), Default::default()], "{case}");
        assert_eq!(([50, 51, 52].map(|number| rig.times_recorded(number)), rig.content(0, 60)), ([0; 3], None));
    };
    is_fenced(&rig, "another has it");
    rig.release(0, &old, None);
    assert_eq!(rig.try_one(0, 1), None, "nobody gives back what another has");
    rig.release(1, &new, None);
    is_fenced(&rig, "nobody has it");
    let again = rig.one(0, 1);
    is_fenced(&rig, "the same node has it anew");
    rig.fixture.crash();
    is_fenced(&rig, "after a crash");
    rig.fixture.advance(LEASE);
    rig.one(0, 1);
    is_fenced(&rig, "leased after a crash");
    assert_eq!(rig.record(0, &again, &now(1, Vec::new())), Err(Refused::Fenced));
}

pub(crate) fn law_09_a_lease_that_is_over_counts_until_somebody_else_has_one<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept_two(1);
    let claim = rig.one(0, 1);
    rig.fixture.advance(LEASE * 10);
    rig.record(0, &claim, &now(1, vec![change(&[0], delivered())])).unwrap();
    assert_eq!(rig.renew(0, &claim).lost, []);
    assert_eq!(rig.try_one(1, 1), None);
    rig.fixture.advance(LEASE);
    rig.one(1, 1);
    assert_eq!(rig.record(0, &claim, &now(2, vec![change(&[1], delivered())])), Err(Refused::Fenced));
}

pub(crate) fn law_10_what_is_given_back_can_be_claimed_at_once_and_is_not_due_before_its_moment<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept(1);
    rig.release(0, &rig.one(0, 1), None);
    let claim = rig.one(1, 1);
    rig.release(1, &claim, Some(rig.fixture.date() + 10 * SECOND));
    assert_eq!(ids(&rig.claim_due(0)), []);
    rig.fixture.advance(9 * SECOND);
    assert_eq!(ids(&rig.claim_due(1)), []);
    rig.fixture.advance(SECOND);
    let due = rig.claim_due(1);
    assert_eq!(ids(&due), [id(1)]);
    rig.release(1, &due.given[0].claim, Some(rig.fixture.date() + LEASE));
    rig.one(0, 1);
}
