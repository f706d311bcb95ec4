//! Random work on a log against what it promised.

use proptest::prelude::*;

use super::*;
use crate::audit::log::LogError;
use crate::journal::simulated::{Crash, Trouble};

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Checkpoint,
    Sync,
    NextDay,
    NewKey,
    Rewind,
    /// The disk fails at the n-th operation from here.
    Trouble(u64, Trouble),
    Crash(Crash),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(std::io::ErrorKind::Other), Just(std::io::ErrorKind::StorageFull)];
    let trouble = kind.prop_flat_map(|kind| {
        prop_oneof![Just(Trouble::Before(kind)), Just(Trouble::Short(kind)), Just(Trouble::After(kind))]
    });
    let crash =
        prop_oneof![Just(Crash::Lose), (0_usize..2000).prop_map(Crash::Keep), any::<u64>().prop_map(Crash::Scatter),];
    prop_oneof![
        6 => (1_u8..9).prop_map(Step::Append),
        2 => Just(Step::Checkpoint),
        4 => Just(Step::Sync),
        1 => Just(Step::NextDay),
        1 => Just(Step::NewKey),
        1 => Just(Step::Rewind),
        2 => (1_u64..6, trouble).prop_map(|(after, trouble)| Step::Trouble(after, trouble)),
        2 => crash.prop_map(Step::Crash),
    ]
}

/// A log, and what must be in it.
struct Bench {
    disk: Simulated,
    log: Log,
    now: Timestamp,
    /// In order.
    appended: Vec<u128>,
    /// So many of them were reported durable.
    durable: usize,
    /// At the last sync of this run.
    settled: u64,
    next: u128,
}

impl Bench {
    fn new() -> Self {
        let disk = Simulated::default();
        let (log, _) = open_alone(&disk);
        Self { disk, log, now: NOON, appended: Vec::new(), durable: 0, settled: 0, next: 1 }
    }

    fn run(&mut self, step: &Step) {
        let now = self.now;
        let mut done = Ok(());
        match step {
            Step::Append(count) => done = (0..*count).try_for_each(|_| self.append()),
            Step::Checkpoint => done = self.log.checkpoint(Why::Interval, now),
            Step::Sync => done = self.log.sync().map(|_| self.all_is_durable()),
            Step::NextDay => self.now = now + std::time::Duration::from_secs(24 * 3600),
            Step::NewKey => match self.log.rotate_key(now) {
                Ok(_) => self.all_is_durable(),
                Err(LogOrKeyError::Key(_)) => {}
                Err(LogOrKeyError::Log(error)) => done = Err(error),
            },
            Step::Rewind => self.rewind(),
            Step::Trouble(after, trouble) => self.disk.trouble_at(self.disk.operations() + after, *trouble),
            Step::Crash(crash) => self.boot(self.disk.crash(*crash)),
        }
        if done.is_err() {
            self.rewind();
        }
    }

    fn append(&mut self) -> Result<(), LogError> {
        self.next += 1;
        self.appended.push(self.next);
        self.log.append(&entry(self.next), self.now)
    }

    fn all_is_durable(&mut self) {
        self.durable = self.appended.len();
        self.settled = self.log.records_synced();
    }

    /// What was not synced is written again, but for what a closed segment took along.
    fn rewind(&mut self) {
        loop {
            while self.log.rewind().is_err() {}
            let durable = self.durable + (self.log.records_synced() - self.settled) as usize;
            let mut lost = self.appended.iter().skip(durable);
            if lost.try_for_each(|n| self.log.append(&entry(*n), self.now)).is_ok() {
                return;
            }
        }
    }

    /// The journal hands over again what was not reported durable.
    fn boot(&mut self, disk: Simulated) {
        self.disk = disk;
        let again = self.appended.split_off(self.durable);
        let replayed: Vec<_> = again.iter().map(|n| entry(*n)).collect();
        let (log, resumed) = open(&self.disk, None, &replayed).unwrap();
        let told: Vec<_> = resumed.problems.iter().filter(|told| !told.contains("they are cut off")).collect();
        assert_eq!(told, [""; 0]);
        self.log = log;
        self.settled = 0;
        for n in again {
            if !resumed.present.contains(&id(n)) {
                self.log.append(&entry(n), self.now).unwrap();
            }
            self.appended.push(n);
        }
        self.log.sync().unwrap();
        self.all_is_durable();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_work_keeps_every_promise(steps in prop::collection::vec(step(), 1..40)) {
        let mut bench = Bench::new();
        steps.iter().for_each(|step| bench.run(step));
        bench.boot(bench.disk.restart());
        let expected: Vec<_> = bench.appended.iter().map(|n| id(*n)).collect();
        prop_assert_eq!(prove(&bench.disk, "random work").records, expected);
    }
}
