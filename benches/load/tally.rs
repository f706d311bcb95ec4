//! What the sink has seen: which messages of which run, how often, and how long they took.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::figures::{cpu_seconds, now_ns, percentile_ms};
use crate::message::Mark;

const MESSAGES_MAX: u64 = 16 << 20;
/// Missing messages that a report names; it counts them all.
const MISSING_NAMED_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub struct Tally {
    runs: HashMap<u64, Run>,
    /// Messages without a mark, such as bounces.
    strangers: u64,
    pub connections: u64,
    pub open: u64,
    pub open_max: u64,
}

#[derive(Debug, Default)]
struct Run {
    /// How often each message came.
    seen: Vec<u8>,
    distinct: u64,
    doubled: u64,
    first_ns: u64,
    last_ns: u64,
    waits_ns: Vec<u64>,
}

impl Tally {
    pub fn add(&mut self, mark: Option<Mark>) {
        let Some(mark) = mark.filter(|mark| mark.number < MESSAGES_MAX) else {
            self.strangers += 1;
            return;
        };
        let now = now_ns();
        let run = self.runs.entry(mark.run).or_insert_with(|| Run { first_ns: now, ..Run::default() });
        let place = mark.number as usize;
        if run.seen.len() <= place {
            run.seen.resize(place + 1, 0);
        }
        run.last_ns = now;
        if run.seen[place] == 0 {
            run.distinct += 1;
            run.waits_ns.push(now.saturating_sub(mark.sent_ns));
        } else {
            run.doubled += 1;
        }
        run.seen[place] = run.seen[place].saturating_add(1);
    }

    /// How many messages of a run came so far.
    pub fn count(&self, run: u64) -> Value {
        json!({ "distinct": self.runs.get(&run).map_or(0, |run| run.distinct), "cpu_s": cpu_seconds() })
    }

    /// All about a run of which this many messages were begun. Forgets it, and starts to count connections anew.
    pub fn report(&mut self, run: u64, messages: u64) -> Value {
        let mut run = self.runs.remove(&run).unwrap_or_default();
        run.waits_ns.sort_unstable();
        let is_missing = |number: &u64| run.seen.get(*number as usize).is_none_or(|count| *count == 0);
        let missing: Vec<u64> = (0..messages.min(MESSAGES_MAX)).filter(is_missing).take(MISSING_NAMED_MAX).collect();
        let report = json!({
            "distinct": run.distinct,
            "doubled": run.doubled,
            "missing": missing,
            "strangers": self.strangers,
            "first_ns": run.first_ns,
            "last_ns": run.last_ns,
            "wait_p50_ms": percentile_ms(&run.waits_ns, 0.5),
            "wait_p99_ms": percentile_ms(&run.waits_ns, 0.99),
            "connections": self.connections,
            "open_max": self.open_max,
            "cpu_s": cpu_seconds(),
        });
        (self.connections, self.open_max) = (self.open, self.open);
        report
    }
}
