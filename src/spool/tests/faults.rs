//! One workload with a fault, a crash or a torn write at its n-th operation, for every n.

use std::io::ErrorKind;

use super::ledger::{Attempt, Ledger, Outcome, Step};
use super::*;
use crate::journal::simulated::{Crash, Trouble};

const FULL: ErrorKind = ErrorKind::StorageFull;
const BROKEN: ErrorKind = ErrorKind::Other;
const TROUBLES: [Trouble; 7] = [
    Trouble::Before(BROKEN),
    Trouble::Before(FULL),
    Trouble::Short(BROKEN),
    Trouble::Short(FULL),
    Trouble::After(BROKEN),
    Trouble::After(FULL),
    Trouble::Die,
];
const CRASHES: [Crash; 5] =
    [Crash::Lose, Crash::Keep(usize::MAX), Crash::Keep(100), Crash::Scatter(1), Crash::Scatter(2)];

fn attempt(pick: usize, places: u8, outcome: Outcome, lazily: bool) -> Step {
    Step::Progress(Attempt { pick, places, outcome, lazily })
}

/// Small and large messages; deferrals, partial deliveries, ends and notices; marks and removals of segments.
fn workload() -> Vec<Step> {
    use Outcome::{Bounced, Deferred, Delivered};
    let accept = |recipients, bytes| Step::Accept { recipients, bytes };
    let mut steps = vec![
        accept(3, 300),
        accept(2, 2500),
        attempt(0, 0b001, Delivered, false),
        attempt(1, 0b11, Deferred, true),
        accept(1, 900),
        accept(1, 400),
        attempt(2, 1, Delivered, true),
        attempt(3, 1, Bounced, false),
        attempt(0, 0b010, Deferred, false),
    ];
    for round in 0..2 {
        steps.extend([
            accept(1, 900),
            attempt(2 + round, 1, Delivered, false),
            accept(1, 950),
            attempt(2, 1, Delivered, round == 1),
            Step::Mark,
            accept(2, 800),
            attempt(3, 0b11, Delivered, false),
            attempt(1, 0b01, Deferred, true),
            Step::Maintain,
        ]);
    }
    steps.extend([attempt(1, 0b11, Delivered, false), Step::Mark, accept(1, 700), Step::Maintain]);
    steps
}

fn work(fs: &Simulated) -> (Ledger, Option<Opened>) {
    let mut ledger = Ledger::default();
    let Ok(opened) = open(fs) else { return (ledger, None) };
    for step in workload() {
        ledger.perform(&opened, &step);
    }
    (ledger, Some(opened))
}

fn carried_entries(fs: &Simulated) -> usize {
    let mut count = 0;
    let folder = Path::new(FOLDER).join("journal");
    let request = journal::ScanRequest { folder: &folder, verify_bodies: true };
    let mut visit = |replayed: journal::Replayed<'_>| count += usize::from(replayed.kind == entry::KIND_CARRIED);
    journal::scan(fs, request, &mut visit).unwrap();
    count
}

/// Opens, works on, loses power and opens again.
fn check(fs: &Simulated, ledger: &mut Ledger, case: &str) {
    let opened = open(fs).unwrap_or_else(|error| panic!("{case}: {error}"));
    ledger.check_opened(fs, &opened, case);
    ledger.perform(&opened, &Step::Maintain);
    ledger.perform(&opened, &Step::Accept { recipients: 1, bytes: 100 });
    let boot = fs.crash(Crash::Lose);
    drop(opened);
    let case = format!("{case}, then a second crash");
    let opened = open(&boot).unwrap_or_else(|error| panic!("{case}: {error}"));
    ledger.check_opened(&boot, &opened, &case);
}

#[test]
fn the_workload_removes_segments_and_carries_facts_forward() {
    let fs = Simulated::default();
    let (mut ledger, opened) = work(&fs);
    assert!(ledger.segments_removed >= 2, "{}", ledger.segments_removed);
    assert!(carried_entries(&fs) > 0);
    drop(opened);
    check(&fs.restart(), &mut ledger, "quiet");
}

#[test]
fn whatever_fails_no_accepted_message_is_lost_and_no_finished_one_comes_back() {
    let quiet = Simulated::default();
    let running = work(&quiet);
    let operations = quiet.operations();
    drop(running);
    assert!(operations > 60, "{operations}");
    for operation in 1..=operations {
        for trouble in TROUBLES {
            // What is not synced yet matters most when the machine stops right there.
            let crashes = if trouble == Trouble::Die { &CRASHES[..] } else { &CRASHES[..1] };
            for crash in crashes.iter().copied().map(Some).chain([None]) {
                let fs = Simulated::default();
                fs.trouble_at(operation, trouble);
                let (mut ledger, running) = work(&fs);
                let boot = crash.map_or_else(|| fs.restart(), |crash| fs.crash(crash));
                drop(running);
                check(&boot, &mut ledger, &format!("{trouble:?} at {operation}, {crash:?}"));
            }
        }
    }
}

#[test]
fn a_fault_while_opening_loses_nothing() {
    let fs = Simulated::default();
    fs.trouble_at(70, Trouble::Die);
    let running = work(&fs);
    let left = fs.crash(Crash::Keep(usize::MAX));
    drop(running);
    let quiet = left.crash(Crash::Lose);
    let opened = open(&quiet).unwrap();
    let operations = quiet.operations();
    drop(opened);
    assert!(operations > 4, "{operations}");
    for operation in 1..=operations {
        for trouble in TROUBLES {
            for crash in [Crash::Lose, Crash::Keep(usize::MAX)] {
                let boot = left.crash(Crash::Lose);
                boot.trouble_at(operation, trouble);
                drop(open(&boot));
                // The same run again, for a ledger of its own.
                let fs = Simulated::default();
                fs.trouble_at(70, Trouble::Die);
                let (mut ledger, running) = work(&fs);
                drop(running);
                check(&boot.crash(crash), &mut ledger, &format!("{trouble:?} at {operation} of opening, {crash:?}"));
            }
        }
    }
}
