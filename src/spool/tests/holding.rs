//! Destinations that are held stay held over restarts and the removal of segments.

use super::*;
use crate::model::actor::Actor;
use crate::model::domain::Domain;
use crate::spool::holds::{DestinationHold, Held, HeldPlace, Holds};

fn holds(version: u64, domains: &[&str]) -> Holds {
    let held =
        Held { reason: Some("maintenance".into()), until: None, by: Actor::Account(1000), at: Timestamp::from_secs(7) };
    let hold =
        |name: &&str| DestinationHold { place: HeldPlace::Domain(Domain::parse(name).unwrap()), held: held.clone() };
    Holds { version, list: domains.iter().map(hold).collect() }
}

#[test]
fn the_newest_list_of_holds_outlasts_restarts_and_the_segment_that_it_was_written_in() {
    let fs = Simulated::default();
    let opened = open(&fs).unwrap();
    assert_eq!(opened.spool.holds(), Holds::default());
    for list in [holds(1, &["a.example"]), holds(2, &["a.example", "b.example"])] {
        wait(opened.spool.record_holds(list.clone(), vec![record(1)])).unwrap();
        assert_eq!(opened.spool.holds(), list);
    }
    opened.spool.audit_is_durable(Mark { sequence: u64::MAX, note: String::new() }).unwrap();
    let written_in = opened.spool.shared.journal.segments().last().unwrap().number;
    rotate(&opened, 10..60);
    rotate(&opened, 60..99);
    maintain(&opened);
    let segments = opened.spool.shared.journal.segments();
    assert!(segments.iter().all(|info| info.number != written_in), "{segments:?}");
    opened.spool.close();
    drop(opened);
    let opened = open(&fs).unwrap();
    assert_eq!(opened.spool.holds(), holds(2, &["a.example", "b.example"]));
    wait(opened.spool.record_holds(holds(3, &[]), Vec::new())).unwrap();
    drop(opened);
    assert_eq!(open(&fs).unwrap().spool.holds(), holds(3, &[]));
}

#[test]
fn an_older_list_that_is_carried_forward_does_not_take_the_place_of_a_newer_one() {
    let opened = open(&Simulated::default()).unwrap();
    wait(opened.spool.record_holds(holds(5, &["b.example"]), Vec::new())).unwrap();
    wait(opened.spool.record_holds(holds(4, &["a.example"]), Vec::new())).unwrap();
    assert_eq!(opened.spool.holds(), holds(5, &["b.example"]));
}

#[test]
fn what_was_recorded_lazily_is_known_after_catching_up() {
    let opened = open(&Simulated::default()).unwrap();
    accept(&opened, 1, 10).unwrap();
    opened.spool.record_lazily(Some(progress(1, &[0], deferred(3))), Vec::new()).unwrap();
    assert_eq!(states(&opened.spool, 1), Some(vec![RecipientState::default()]));
    wait(opened.spool.catch_up()).unwrap();
    assert_eq!(states(&opened.spool, 1), Some(vec![deferred(3)]));
}
