//! A fault or a kill at the n-th operation of the disk, for every n: what was reported durable is there, once and in
//! order, under checkpoints that verify.

use std::io::ErrorKind;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::*;
use crate::audit::derive::{Derived, Deriver, Observer, Start};
use crate::audit::feed::{Batch, Demand, Health, Message, Wish};
use crate::audit::keyfile::KeyError;
use crate::audit::log::LogError;
use crate::audit::segments::Segment;
use crate::journal::simulated::{Crash, Trouble};

const BROKEN: ErrorKind = ErrorKind::Other;
const TROUBLES: [Trouble; 4] =
    [Trouble::Before(BROKEN), Trouble::Short(ErrorKind::StorageFull), Trouble::After(BROKEN), Trouble::Die];
const CRASHES: [Crash; 5] =
    [Crash::Lose, Crash::Keep(usize::MAX), Crash::Keep(100), Crash::Scatter(1), Crash::Scatter(2)];

/// What the log reported as durable.
#[derive(Clone, Debug, Default)]
pub(super) struct Reported {
    pub(super) derived: Option<Derived>,
    pub(super) checkpoints: Vec<String>,
    pub(super) closed: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Reporter(Arc<Mutex<Reported>>);

impl Reporter {
    pub(super) fn reported(&self) -> Reported {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Reporter {
    fn derived(&mut self, derived: Derived, _: u64) {
        self.0.lock().unwrap().derived = Some(derived);
    }

    fn checkpointed(&mut self, line: &str) {
        self.0.lock().unwrap().checkpoints.push(line.to_owned());
    }

    fn closed(&mut self, segment: &Segment) {
        self.0.lock().unwrap().closed.push(segment.number);
    }

    fn failed(&mut self, _: &LogError) {}

    fn recovered(&mut self) {}

    fn not_remembered(&mut self, _: &KeyError) {}
}

/// The journal: batches 1, 2, 3… of three records each.
fn batch(sequence: u64) -> Batch {
    let first = u128::from(sequence) * 10;
    Batch { sequence, entries: (first..first + 3).map(entry).collect() }
}

fn ids_of(batches: impl Iterator<Item = u64>) -> Vec<RecordId> {
    batches.flat_map(|sequence| batch(sequence).entries).map(|entry| entry.id).collect()
}

/// Starts the writer as the daemon does: behind the mark, with the batches behind it once more.
fn start(disk: &Simulated, mark: Option<&Derived>, until: u64) -> Option<(Deriver, Reporter, Resumed)> {
    let from = mark.map_or(1, |derived| derived.sequence + 1);
    let replayed: Vec<_> = (from..=until).flat_map(|sequence| batch(sequence).entries).collect();
    let (log, resumed) = open(disk, mark.map(|derived| &derived.mark), &replayed).ok()?;
    let (present, wants_checkpoint) = (resumed.present.clone(), resumed.wants_checkpoint);
    let reporter = Reporter::default();
    let start = Start { log, present, wants_checkpoint, checkpoint_every: Duration::from_secs(3600) };
    let mut deriver = Deriver::new(start, Health::default(), Box::new(reporter.clone()));
    deriver.begin();
    (from..=until).for_each(|sequence| deriver.handle(Message::Batch(batch(sequence))));
    Some((deriver, reporter, resumed))
}

fn demand(deriver: &mut Deriver, wish: Wish) {
    let (answer, _) = tokio::sync::oneshot::channel();
    deriver.handle(Message::Demand(Demand { wish, answer }));
}

const BATCHES: u64 = 9;

/// Nine batches, with syncs, checkpoints and a new key in between. Goes on after faults.
fn work(disk: &Simulated) -> Reported {
    let Some((mut deriver, reporter, _)) = start(disk, None, 0) else { return Reported::default() };
    for sequence in 1..=BATCHES {
        deriver.handle(Message::Batch(batch(sequence)));
        match sequence % 4 {
            1 => _ = deriver.settle(None),
            2 => demand(&mut deriver, Wish::Checkpoint(Why::Demand)),
            3 if sequence == 7 => demand(&mut deriver, Wish::NewKey),
            _ => {}
        }
    }
    deriver.end();
    reporter.reported()
}

/// After a crash: starts again with what the journal may know, and holds the log against what was reported.
fn check(disk: &Simulated, reported: &Reported, mark: Option<&Derived>, case: &str) {
    let (mut deriver, reporter, resumed) =
        start(disk, mark, BATCHES).unwrap_or_else(|| panic!("{case}: it does not open"));
    // Where nothing is left to be replayed, unreadable rests of an interrupted write are worth a word.
    let told = resumed.problems.iter().filter(|problem| !problem.contains("they are cut off"));
    assert_eq!(told.collect::<Vec<_>>(), [""; 0], "{case}");
    deriver.handle(Message::Batch(batch(BATCHES + 1)));
    deriver.end();
    let whole = prove(disk, case);
    assert_eq!(whole.records, ids_of(1..=BATCHES + 1), "{case}");
    assert_eq!(whole.tail, 0, "{case}");
    let text = lines(disk).concat();
    let lost = reported.checkpoints.iter().filter(|line| !text.contains(line)).collect::<Vec<_>>();
    assert_eq!(lost, [""; 0], "{case}: checkpoints that were reported");
    assert_eq!(reporter.reported().derived.map(|derived| derived.sequence), Some(BATCHES + 1), "{case}");
    let seen = keys(disk).seen().unwrap().unwrap();
    assert_eq!(Some(seen.as_slice()), text.last().map(String::as_bytes), "{case}");
    drop(deriver);
    assert_eq!(open_alone(disk).1.problems, [""; 0], "{case}, opened again");
}

#[test]
fn without_faults_every_kind_of_checkpoint_is_made() {
    let disk = Simulated::default();
    let reported = work(&disk);
    let whole = prove(&disk, "quiet");
    assert_eq!(whole.records, ids_of(1..=BATCHES));
    assert_eq!(reported.checkpoints.len(), whole.checkpoints.len());
    let made = |why: Why| whole.checkpoints.iter().filter(|at| at.statement.why == why).count();
    let whys = [Why::Start, Why::Interval, Why::Rotation, Why::Demand, Why::Key, Why::Stop].map(made);
    assert!(whys.iter().all(|count| *count > 0), "{whys:?}");
    let closed: Vec<_> = (1..lines(&disk).len() as u64).collect();
    assert!(closed.len() > 2 && reported.closed == closed, "{:?}", reported.closed);
}

#[test]
fn whatever_fails_what_was_reported_durable_is_there_once_and_in_order() {
    let quiet = Simulated::default();
    work(&quiet);
    for operation in 1..=quiet.operations() + 1 {
        for trouble in TROUBLES {
            let disk = Simulated::default();
            disk.trouble_at(operation, trouble);
            let reported = work(&disk);
            let case = format!("{trouble:?} at {operation}");
            let mark = reported.derived.as_ref();
            check(&disk.restart(), &reported, mark, &format!("{case}, restart"));
            // After all but a kill the log was in order again before the crash.
            let crashes = if trouble == Trouble::Die { CRASHES.as_slice() } else { &[Crash::Lose] };
            for crash in crashes {
                check(&disk.crash(*crash), &reported, mark, &format!("{case}, {crash:?}"));
            }
            // The journal may have lost its mark in the crash too.
            let crash = Crash::Scatter(3);
            check(&disk.crash(crash), &reported, None, &format!("{case}, {crash:?}, no mark"));
        }
    }
}

#[test]
fn a_fault_while_opening_loses_nothing() {
    let disk = Simulated::default();
    let reported = {
        let quiet = Simulated::default();
        work(&quiet);
        // In the middle of it, with a torn end.
        disk.trouble_at(quiet.operations() * 2 / 3, Trouble::Die);
        work(&disk)
    };
    let left = disk.crash(Crash::Keep(200));
    let quiet = left.crash(Crash::Lose);
    drop(start(&quiet, reported.derived.as_ref(), BATCHES));
    for operation in 1..=quiet.operations() {
        for trouble in TROUBLES {
            let boot = left.crash(Crash::Lose);
            boot.trouble_at(operation, trouble);
            drop(start(&boot, reported.derived.as_ref(), BATCHES));
            for crash in CRASHES {
                let case = format!("{trouble:?} at {operation} of opening, {crash:?}");
                check(&boot.crash(crash), &reported, reported.derived.as_ref(), &case);
            }
        }
    }
}
