//! The spool keeps the contract of a store.

use super::*;
use crate::journal::simulated::Crash;
use crate::model::time::Instant;
use crate::spool::store::suite::{Fixture, contract_tests};
use crate::spool::store::{Claimed, NodeId, Refused, Report, Store, When, Which, Wish};

/// One process, with two that deliver from one spool.
struct OneProcess {
    fs: Simulated,
    opened: Opened,
    clock: Instant,
}

impl Fixture for OneProcess {
    type Store = Spool;

    fn new() -> Self {
        let fs = Simulated::default();
        let opened = open(&fs).unwrap();
        Self { fs, opened, clock: Instant::from_start(Duration::from_secs(1)) }
    }

    fn node(&self, _: usize) -> Spool {
        self.opened.spool.clone()
    }

    fn now(&self, _: usize) -> Instant {
        self.clock
    }

    fn advance(&mut self, time: Duration) {
        self.clock = self.clock + time;
    }

    fn crash(&mut self) {
        self.fs = self.fs.crash(Crash::Lose);
        self.opened = open(&self.fs).unwrap();
    }

    fn set_full(&mut self, is_full: bool) {
        self.fs.set_space(is_full.then_some(0));
        if !is_full {
            maintain(&self.opened);
        }
    }

    fn records(&self) -> Vec<RecordId> {
        self.opened.log.lock().unwrap().iter().flat_map(|(_, records)| records).map(|record| record.id).collect()
    }
}

contract_tests!(OneProcess);

fn claim(spool: &Spool, number: u32, now: Instant) -> Option<Claimed> {
    let (node, ids) = (NodeId("node".into()), [id(number)]);
    let wish = Wish { node: &node, which: Which::These(&ids), limit: 1, now, lease: Duration::from_secs(60) };
    wait(spool.claim(wish)).unwrap().given.pop()
}

fn report(number: u16, place: u32) -> Report<Sealed> {
    let changes = vec![Change { recipients: vec![place], state: delivered() }];
    Report { number, when: When::Now, changes, notices: Vec::new(), audit: Vec::new() }
}

#[test]
fn a_report_that_is_dropped_under_way_costs_the_lease_and_is_seen_by_the_next() {
    let opened = open(&Simulated::default()).unwrap();
    let now = Instant::ZERO;
    for number in 1..50 {
        accept_for(&opened, number, 10, 2).unwrap();
        let given = claim(&opened.spool, number, now).unwrap();
        let is_done = wait(async {
            tokio::select! {
                biased;
                _ = Store::record(&opened.spool, &given.claim, report(1, 0)) => true,
                () = std::future::ready(()) => false,
            }
        });
        // The disk was quicker than we.
        if is_done {
            continue;
        }
        assert_eq!(wait(Store::record(&opened.spool, &given.claim, report(2, 1))), Err(Refused::Fenced));
        let next = claim(&opened.spool, number, now).unwrap();
        assert_eq!(next.outline.states, [delivered(), RecipientState::default()]);
        assert!(next.claim.token > given.claim.token);
        return;
    }
    panic!("no report was ever under way");
}
