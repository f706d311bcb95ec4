//! The process metrics that every Prometheus client has, read from `/proc/self` at each scrape.

use std::fmt::Write as _;
use std::fs;

use prometheus::{Gauge, Registry};

/// `USER_HZ` of Linux, the unit of the times in `/proc/self/stat`.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: u64 = 4096;

/// Name, type and meaning.
type Series = (&'static str, &'static str, &'static str);

const CPU: Series = ("process_cpu_seconds_total", "counter", "CPU time, user and system together, in seconds.");
const THREADS: Series = ("process_threads", "gauge", "Threads of the process.");
const VIRTUAL: Series = ("process_virtual_memory_bytes", "gauge", "Virtual memory in bytes.");
const RESIDENT: Series = ("process_resident_memory_bytes", "gauge", "Resident memory in bytes.");
const OPEN_FDS: Series = ("process_open_fds", "gauge", "Open file descriptors.");
const MAX_FDS: Series = ("process_max_fds", "gauge", "File descriptors that can be open at once.");

/// Sets the one that never changes.
pub(super) fn register(registry: &Registry) -> Result<(), prometheus::Error> {
    let gauge = Gauge::new("process_start_time_seconds", "Start of the process, in seconds since the epoch.")?;
    gauge.set(crate::clock::timestamp().micros() as f64 / 1e6);
    registry.register(Box::new(gauge))
}

/// Adds what `/proc` tells; what cannot be read is left out.
pub(super) fn append(text: &mut Vec<u8>) {
    let mut out = String::new();
    if let Some((cpu_ticks, threads, virtual_bytes, resident_pages)) = stat() {
        line(&mut out, CPU, cpu_ticks as f64 / TICKS_PER_SECOND);
        line(&mut out, THREADS, threads as f64);
        line(&mut out, VIRTUAL, virtual_bytes as f64);
        line(&mut out, RESIDENT, (resident_pages * PAGE_BYTES) as f64);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        line(&mut out, OPEN_FDS, entries.count() as f64);
    }
    if let Some(max) = max_fds() {
        line(&mut out, MAX_FDS, max);
    }
    text.extend_from_slice(out.as_bytes());
}

fn line(out: &mut String, (name, kind, help): Series, value: f64) {
    _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

/// CPU ticks (user and system), threads, virtual bytes, resident pages: fields 14, 15, 20, 23 and 24 of proc(5) stat.
fn stat() -> Option<(u64, u64, u64, u64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    Some((fields.get(11)? + fields.get(12)?, *fields.get(17)?, *fields.get(20)?, *fields.get(21)?))
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}
