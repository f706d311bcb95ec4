//! The thread on real files: order, replays, wishes, the end.

use std::sync::mpsc;
use std::time::Duration;

use super::faults::Reporter;
use super::*;
use crate::audit::derive::{Derived, Deriver, Observer, Start};
use crate::audit::feed::{Batch, Feed, Message, channel};
use crate::audit::keyfile::KeyError;
use crate::audit::log::LogError;
use crate::audit::segments::Segment;

fn batch(sequence: u64, ids: &[u128]) -> Batch {
    Batch { sequence, entries: ids.iter().map(|n| entry(*n)).collect() }
}

fn begin(disk: &Simulated, mark: Option<&Mark>, replayed: &[u128]) -> (Start, Feed, crate::audit::feed::Source) {
    let (log, resumed) = open(disk, mark, &replayed.iter().map(|n| entry(*n)).collect::<Vec<_>>()).unwrap();
    assert_eq!(resumed.problems, [""; 0]);
    let Resumed { present, wants_checkpoint, .. } = resumed;
    let (feed, source) = channel();
    (Start { log, present, wants_checkpoint, checkpoint_every: Duration::from_secs(3600) }, feed, source)
}

/// A run of the thread over these batches.
fn run(disk: &Simulated, mark: Option<&Mark>, batches: Vec<Batch>) -> Derived {
    let ids: Vec<u128> = batches.iter().flat_map(|batch| &batch.entries).map(|entry| entry.id.as_u128()).collect();
    let (start, feed, source) = begin(disk, mark, &ids);
    let (reporter, health) = (Reporter::default(), source.health());
    let thread = source.spawn(start, Box::new(reporter.clone())).unwrap();
    batches.into_iter().for_each(|batch| feed.push(batch));
    feed.stop();
    thread.join().unwrap();
    assert!(health.is_writable());
    reporter.reported().derived.unwrap()
}

#[test]
fn replayed_batches_are_written_once_whatever_was_there() {
    let disk = Simulated::default();
    let first = run(&disk, None, vec![batch(1, &[1, 2]), batch(2, &[3])]);
    assert_eq!(first.sequence, 2);
    // A restart that knows only an older mark replays batches 2 and 3; one that knows none replays everything.
    run(&disk, Some(&first.mark), vec![batch(3, &[4, 5])]);
    run(&disk, Some(&first.mark), vec![batch(3, &[4, 5]), batch(4, &[6])]);
    run(&disk, None, vec![batch(1, &[1, 2]), batch(2, &[3]), batch(3, &[4, 5]), batch(4, &[6])]);
    let whole = prove(&disk, "replayed");
    assert_eq!(whole.records, [1, 2, 3, 4, 5, 6].map(id));
    // The first start has nothing behind it yet; later ones find the checkpoint of the stop.
    let whys: Vec<_> = whole.checkpoints.iter().map(|at| at.statement.why).collect();
    assert_eq!(whys, [Why::Start, Why::Stop, Why::Stop, Why::Stop]);
}

#[test]
fn wishes_are_answered_when_they_are_durable_and_in_order() {
    let disk = Simulated::default();
    let (start, feed, source) = begin(&disk, None, &[]);
    let thread = source.spawn(start, Box::new(Reporter::default())).unwrap();
    feed.push(batch(1, &[1, 2]));
    let line = feed.checkpoint().blocking_recv().unwrap().unwrap();
    let told = Checkpoint::parse(line.as_bytes()).unwrap();
    assert_eq!((told.seq, told.lines(), told.statement.why), (4, 2, Why::Demand));
    assert!(lines(&disk.crash(crate::journal::simulated::Crash::Lose)).concat().contains(&line));
    assert_eq!(keys(&disk).seen().unwrap().unwrap(), line.into_bytes());
    let line = feed.rotate_key().blocking_recv().unwrap().unwrap();
    let told = Checkpoint::parse(line.as_bytes()).unwrap();
    assert_eq!(told.statement.next_key, Some(keys(&disk).load().unwrap().unwrap().public()));
    let first = Checkpoint::parse(lines(&disk).concat().last().unwrap().as_bytes()).unwrap();
    assert_eq!((first.seq, Some(first.statement.key)), (told.seq + 1, told.statement.next_key));
    let removed =
        super::super::checkpoint::Removed { segments: [1, 1], first: 1, last: 2, hash: Hash::GENESIS, until: NOON };
    feed.set_stamp(Stamp { node: "mx2".into(), config: "def".into() });
    let line = feed.tombstone(removed.clone()).blocking_recv().unwrap().unwrap();
    let told = Checkpoint::parse(line.as_bytes()).unwrap();
    assert_eq!((told.statement.removed, told.node.as_str()), (Some(removed), "mx2"));
    feed.stop();
    thread.join().unwrap();
    // Nothing came after the last checkpoint: the stop needs none.
    assert_eq!(lines(&disk).concat().pop(), Some(line));
    assert!(feed.checkpoint().blocking_recv().is_err());
}

#[test]
fn lines_wait_for_a_checkpoint_no_longer_than_they_may() {
    let disk = Simulated::default();
    let (start, feed, source) = begin(&disk, None, &[]);
    let (sender, seen) = mpsc::channel();
    let start = Start { checkpoint_every: Duration::from_millis(1), ..start };
    let thread = source.spawn(start, Box::new(Teller(sender))).unwrap();
    feed.push(batch(1, &[1]));
    let whys: Vec<_> = seen.iter().take(2).collect();
    assert_eq!(whys, [Why::Start, Why::Interval]);
    feed.stop();
    thread.join().unwrap();
}

/// Sends why each checkpoint was made.
struct Teller(mpsc::Sender<Why>);

impl Observer for Teller {
    fn derived(&mut self, _: Derived, _: u64) {}

    fn checkpointed(&mut self, line: &str) {
        _ = self.0.send(Checkpoint::parse(line.as_bytes()).unwrap().statement.why);
    }

    fn closed(&mut self, _: &Segment) {}

    fn failed(&mut self, _: &LogError) {}

    fn recovered(&mut self) {}

    fn not_remembered(&mut self, _: &KeyError) {}
}

#[test]
fn a_log_that_cannot_be_written_says_so_and_catches_up_later() {
    let disk = Simulated::default();
    let (start, feed, source) = begin(&disk, None, &[]);
    let reporter = Reporter::default();
    let health = source.health();
    let mut deriver = Deriver::new(start, source.health(), Box::new(reporter.clone()));
    deriver.begin();
    for (sequence, ids) in [(1, [1, 2].as_slice()), (2, &[3])] {
        feed.push(batch(sequence, ids));
        let Ok(message) = source.receiver.try_recv() else { panic!("nothing was pushed") };
        assert!(matches!(message, Message::Batch(_)));
        deriver.handle(message);
    }
    disk.set_space(Some(10));
    deriver.settle(None).unwrap_err();
    assert!(!health.is_writable());
    assert_eq!(reporter.reported().derived, None);
    disk.set_space(None);
    deriver.settle(None).unwrap();
    assert!(health.is_writable());
    assert_eq!(reporter.reported().derived.map(|derived| derived.sequence), Some(2));
    assert_eq!(prove(&disk, "caught up").records, [1, 2, 3].map(id));
}
