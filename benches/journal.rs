//! Speed of the one commit point: durable commits on real files, and how long a start reads.
//!
//! `cargo bench --bench journal` writes into the folder for temporary files; `TMPDIR` chooses the disk.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gatepost::clock;
use gatepost::journal::disk::Disk;
use gatepost::journal::{Entry, Journal, Limits, Options, Replayed};
use tokio::runtime::{Builder, Runtime};

const BODY_BYTES: [usize; 3] = [1 << 10, 10 << 10, 100 << 10];
const COMMITTERS: [u64; 3] = [1, 50, 500];
/// What the metadata of a message with one recipient takes.
const META: [u8; 300] = [b'm'; 300];
const SALT: u64 = 0x5a17_0000_0000_0001;
const RECOVERED_ENTRIES: u64 = 100_000;
const RECOVERED_BODY_BYTES: usize = 1 << 10;
/// Entries of one commit while the journal of the recovery is written.
const RECOVERED_COMMIT: u64 = 1000;
/// One that is full is removed, so that a long run fills no disk.
const KEPT_SEGMENTS: usize = 4;

criterion_group!(benches, commits, recovery);
criterion_main!(benches);

struct Item(Bytes);

impl Entry for Item {
    fn kind(&self) -> u8 {
        1
    }

    fn encode_meta(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&META);
    }

    fn body(&self) -> Vec<Bytes> {
        vec![self.0.clone()]
    }
}

fn commits(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(10).measurement_time(Duration::from_secs(3)).throughput(Throughput::Elements(1));
    for bytes in BODY_BYTES {
        let body = Bytes::from(vec![b'b'; bytes]);
        for committers in COMMITTERS {
            let folder = tempfile::tempdir().expect("a folder");
            let journal = open(folder.path());
            let id = BenchmarkId::new(format!("{} KB", bytes >> 10), format!("{committers} committers"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|iterations| commit(&runtime, &journal, &body, committers, iterations));
            });
            journal.close();
        }
    }
    group.finish();
}

/// The time for so many commits, each waited for by its committer before it makes the next.
fn commit(runtime: &Runtime, journal: &Journal<Item>, body: &Bytes, committers: u64, commits: u64) -> Duration {
    let began = clock::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..committers)
            .map(|number| {
                let (journal, body) = (journal.clone(), body.clone());
                let share = commits / committers + u64::from(number < commits % committers);
                tokio::spawn(async move {
                    for _ in 0..share {
                        journal.commit(vec![Item(body.clone())]).await.expect("a commit");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a committer");
        }
    });
    let took = clock::now().saturating_since(began);
    let segments = journal.segments();
    for segment in segments.iter().take(segments.len().saturating_sub(KEPT_SEGMENTS)) {
        journal.remove_segment(segment.number).expect("a segment that nobody needs");
    }
    took
}

fn recovery(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(folder.path());
    let body = Bytes::from(vec![b'b'; RECOVERED_BODY_BYTES]);
    for _ in 0..RECOVERED_ENTRIES / RECOVERED_COMMIT {
        let entries = (0..RECOVERED_COMMIT).map(|_| Item(body.clone())).collect();
        runtime.block_on(journal.commit(entries)).expect("a commit");
    }
    journal.close();
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(10).throughput(Throughput::Elements(RECOVERED_ENTRIES));
    group.bench_function("100,000 entries, bodies of 1 KB", |bencher| {
        bencher.iter(|| open(black_box(folder.path())).close());
    });
    group.finish();
}

fn open(folder: &Path) -> Journal<Item> {
    let options = Options { folder: folder.join("journal"), salt: SALT, limits: Limits::default() };
    let mut replay = |found: Replayed<'_>| _ = black_box(found.location);
    let observer = Box::new(|batch| drop(black_box(batch)));
    let (journal, recovery) =
        Journal::open(options, Arc::new(Disk::default()), &mut replay, observer).expect("a journal");
    assert_eq!(recovery.damage, []);
    journal
}
