//! Speed of the scheduler over the length of the queue and the number of destinations.
//!
//! `cargo bench --bench scheduler`

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gatepost::clock;
use gatepost::model::time::Instant;
use gatepost::schedule::job::{End, Finished, Job, JobId, Signal};
use gatepost::schedule::lane::LaneKey;
use gatepost::schedule::scheduler::{Limits, Next, Scheduler};

const JOBS: [u64; 3] = [1_000, 100_000, 1_000_000];
const LANES: [usize; 2] = [1, 10_000];
const NOW: Instant = Instant::from_start(Duration::from_secs(60));
/// As by default, and what one run at a time leaves of it does not matter.
const LIMITS: Limits = Limits {
    lane_concurrency: 20,
    total_concurrency: 500,
    slow_total_max: 125,
    initial_concurrency: 5,
    site_concurrency_max: 100,
};
/// Senders that share a destination.
const FLOWS: u64 = 100;

criterion_group!(benches, fill, steady);
criterion_main!(benches);

/// From nothing to a full queue.
fn fill(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fill");
    group.sample_size(10);
    for jobs in JOBS {
        for lanes in LANES {
            let lanes = names(lanes);
            group.throughput(Throughput::Elements(jobs));
            group.bench_function(id(jobs, &lanes), |bencher| {
                bencher.iter_with_large_drop(|| full(jobs, &lanes));
            });
        }
    }
    group.finish();
}

/// One job done and another added, while the queue stays as long as it is.
fn steady(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("add, poll, finish");
    group.throughput(Throughput::Elements(1));
    for jobs in JOBS {
        for lanes in LANES {
            let lanes = names(lanes);
            let mut scheduler = full(jobs, &lanes);
            let mut next = jobs;
            group.bench_function(id(jobs, &lanes), |bencher| {
                bencher.iter_custom(|rounds| {
                    let began = clock::now();
                    for _ in 0..rounds {
                        let Next::Run { job, .. } = scheduler.poll(NOW) else { unreachable!("all jobs are due") };
                        let finished = Finished { end: End::Done, signal: Signal::Good, jitter: 0 };
                        black_box(scheduler.handle_finished(NOW, job, finished));
                        add(&mut scheduler, next, &lanes);
                        next += 1;
                    }
                    clock::now().saturating_since(began)
                });
            });
        }
    }
    group.finish();
}

fn full(jobs: u64, lanes: &[LaneKey]) -> Scheduler {
    let mut scheduler = Scheduler::new(LIMITS);
    for number in 0..jobs {
        add(&mut scheduler, number, lanes);
    }
    scheduler
}

fn add(scheduler: &mut Scheduler, number: u64, lanes: &[LaneKey]) {
    let lane = lanes[number as usize % lanes.len()].clone();
    // A quarter are retries.
    let attempts = u32::from(number.is_multiple_of(4));
    scheduler
        .add(NOW, Job { id: JobId(number), lane, flow: (number % FLOWS) as u32, due: NOW, attempts })
        .expect("a new number");
}

fn names(count: usize) -> Vec<LaneKey> {
    (0..count).map(|number| LaneKey::new(&format!("own:destination{number}.example"))).collect()
}

fn id(jobs: u64, lanes: &[LaneKey]) -> BenchmarkId {
    BenchmarkId::new(format!("{jobs} jobs"), format!("{} lanes", lanes.len()))
}
