//! Random work with random faults, crashes and restarts, against the ledger.

use std::io::ErrorKind;

use proptest::prelude::*;

use super::ledger::{Attempt, Ledger, Outcome, Step};
use super::*;
use crate::journal::simulated::{Crash, Trouble};

#[derive(Clone, Debug)]
enum Action {
    Step(Step),
    /// The operation from now on at which something happens.
    Trouble(u64, Trouble),
    Space(Option<usize>),
    /// An orderly end and a new start.
    Reopen,
    Kill,
    Crash(Crash),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![4 => 1usize..1000, 1 => 1001usize..3000];
    let outcome = prop_oneof![3 => Just(Outcome::Delivered), 3 => Just(Outcome::Deferred), 1 => Just(Outcome::Bounced)];
    let attempt = (any::<usize>(), any::<u8>(), outcome, any::<bool>());
    prop_oneof![
        6 => (1usize..4, bytes).prop_map(|(recipients, bytes)| Step::Accept { recipients, bytes }),
        9 => attempt.prop_map(|(pick, places, outcome, lazily)| {
            Step::Progress(Attempt { pick, places, outcome, lazily })
        }),
        2 => Just(Step::Mark),
        3 => Just(Step::Maintain),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let crash =
        prop_oneof![Just(Crash::Lose), (0usize..1500).prop_map(Crash::Keep), any::<u64>().prop_map(Crash::Scatter)];
    let kind = prop_oneof![Just(ErrorKind::StorageFull), Just(ErrorKind::Other)];
    let trouble = prop_oneof![
        kind.clone().prop_map(Trouble::Before),
        kind.clone().prop_map(Trouble::Short),
        kind.prop_map(Trouble::After),
        Just(Trouble::Die)
    ];
    prop_oneof![
        40 => step().prop_map(Action::Step),
        2 => (1u64..15, trouble).prop_map(|(at, trouble)| Action::Trouble(at, trouble)),
        1 => prop::option::of(0usize..2000).prop_map(Action::Space),
        1 => Just(Action::Reopen),
        1 => Just(Action::Kill),
        2 => crash.prop_map(Action::Crash),
    ]
}

/// What the spool says of its messages.
fn told(spool: &Spool) -> Vec<(MessageId, Vec<RecipientState>)> {
    spool.outlines(None, usize::MAX).into_iter().map(|outline| (outline.id, outline.states)).collect()
}

/// Opens what the next start finds, while the last run is still there to be compared with.
fn start(ledger: &mut Ledger, fs: &Simulated, case: &str) -> Opened {
    let opened = open(fs).unwrap();
    ledger.check_opened(fs, &opened, case);
    opened
}

fn reopen(ledger: &mut Ledger, fs: Simulated, opened: Opened) -> (Simulated, Opened) {
    opened.spool.close();
    let before = told(&opened.spool);
    let boot = fs.restart();
    drop(opened);
    let opened = start(ledger, &boot, "an orderly end");
    assert_eq!(told(&opened.spool), before, "the index is what the journal says");
    (boot, opened)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_work_with_crashes_keeps_every_promise(actions in prop::collection::vec(action(), 1..120)) {
        let mut ledger = Ledger::default();
        let mut fs = Simulated::default();
        let mut opened = start(&mut ledger, &fs, "new");
        // One fault a run; `docs/QUEUE_FORMAT.md` tells what a second one can do.
        let mut troubled = false;
        for action in actions {
            let brings_trouble = matches!(action, Action::Trouble(..) | Action::Space(Some(_)));
            if brings_trouble && std::mem::replace(&mut troubled, true) {
                continue;
            }
            let boot = match action {
                Action::Step(step) => {
                    ledger.perform(&opened, &step);
                    continue;
                }
                Action::Trouble(at, trouble) => {
                    fs.trouble_at(fs.operations() + at, trouble);
                    continue;
                }
                Action::Space(bytes) => {
                    fs.set_space(bytes);
                    continue;
                }
                Action::Reopen if !troubled => {
                    (fs, opened) = reopen(&mut ledger, fs, opened);
                    continue;
                }
                Action::Reopen | Action::Kill => fs.restart(),
                Action::Crash(crash) => fs.crash(crash),
            };
            troubled = false;
            opened = start(&mut ledger, &boot, "a crash");
            fs = boot;
        }
        let boot = fs.crash(Crash::Lose);
        start(&mut ledger, &boot, "the last crash");
    }
}
