//! Laws 1 to 3: what is accepted, and what is not.

use super::Fixture;
use super::rig::*;
use crate::spool::Fault;
use crate::spool::store::{Incoming, Store};

pub(crate) fn law_01_accepted_mail_is_there_after_a_crash_with_its_content<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept(1);
    rig.accept_two(2);
    for _ in 0..2 {
        for node in [0, 1] {
            assert_eq!(rig.waiting_ids(node), [id(1), id(2)]);
            for number in [1, 2] {
                assert_eq!(rig.content(node, number), Some(content(number)));
                assert_eq!(rig.times_recorded(number), 1);
            }
        }
        rig.fixture.crash();
    }
}

pub(crate) fn law_02_mail_that_was_not_accepted_is_not_there<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    let mut begun = rig.node(0).begin(id(1)).unwrap();
    wait(begun.append(content(1).into())).unwrap();
    drop(begun);
    drop(rig.fill(2).unwrap_or_else(|fault| panic!("{fault}")));
    let full = rig.fill(3).unwrap_or_else(|fault| panic!("{fault}"));
    rig.fixture.set_full(true);
    assert_eq!(rig.hand_in(3, &["a@one.example"], full), Err(Fault::NoSpace));
    assert_eq!(rig.try_accept(4, &["a@one.example"]), Err(Fault::NoSpace));
    rig.fixture.set_full(false);
    rig.accept(5);
    for _ in 0..2 {
        assert_eq!(rig.waiting_ids(1), [id(5)]);
        for number in 1..=4 {
            assert_eq!((rig.try_one(0, number), rig.content(0, number), rig.times_recorded(number)), (None, None, 0));
        }
        rig.fixture.crash();
    }
}

pub(crate) fn law_03_a_report_is_written_with_its_notices_and_records_or_not_at_all<F: Fixture>() {
    let mut rig = Rig::<F>::new();
    rig.accept_two(1);
    let claim = rig.one(0, 1);
    let bounce = |number, places: &[u32], notice, record| Words {
        notice: Some(notice),
        record: Some(record),
        ..now(number, vec![change(places, delivered())])
    };
    rig.record(0, &claim, &bounce(1, &[0], 2, 20)).unwrap();
    // It names a recipient who is settled.
    rig.record(0, &claim, &bounce(2, &[1, 0], 3, 30)).unwrap_err();
    rig.fixture.set_full(true);
    rig.record(0, &claim, &bounce(3, &[1], 4, 40)).unwrap_err();
    rig.fixture.set_full(false);
    for _ in 0..2 {
        assert_eq!(rig.waiting_ids(1), [id(1), id(2)]);
        assert_eq!(rig.states(1).unwrap(), [delivered(), Default::default()]);
        assert_eq!(rig.content(0, 2), Some(content(2)));
        assert_eq!([20, 30, 40].map(|number| rig.times_recorded(number)), [1, 0, 0]);
        rig.fixture.crash();
    }
}
