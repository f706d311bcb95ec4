//! What runs: since when, and against which bound.

use std::collections::BTreeMap;
use std::time::Duration;

use super::job::Pass;
use super::moment::Moment;
use super::scheduler::Limits;

/// A run that is older counts against `slow_total_max`: it waits for somebody who hangs, and does little.
pub(super) const SLOW_RUN_AFTER: Duration = Duration::from_secs(5);
/// Jobs of sites that are down which are concluded at once, beside those that connect.
pub(super) const DOWN_PASSES_MAX: usize = 32;

#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) started: Moment,
    pub(super) pass: Pass,
}

/// Runs by number, in the order in which they began. Numbers begin with one and are never used again.
#[derive(Debug, Default)]
pub(super) struct Runs {
    by_number: BTreeMap<u64, Run>,
    last: u64,
    /// All up to this number are slow.
    aged: u64,
    fresh: usize,
    slow: usize,
    down: usize,
}

impl Runs {
    pub(super) fn begin(&mut self, now: Moment, pass: Pass) -> u64 {
        self.last += 1;
        self.by_number.insert(self.last, Run { started: now, pass });
        *self.bound_of(self.last, pass) += 1;
        self.last
    }

    pub(super) fn end(&mut self, number: u64) -> Option<Run> {
        let run = self.by_number.remove(&number)?;
        let used = self.bound_of(number, run.pass);
        *used = used.saturating_sub(1);
        Some(run)
    }

    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// Counts those as slow that have become so.
    pub(super) fn age(&mut self, now: Moment) {
        while let Some((number, run)) = self.oldest_fresh().filter(|(_, run)| run.started.after(SLOW_RUN_AFTER) <= now)
        {
            self.aged = number;
            if run.pass != Pass::Down {
                self.fresh = self.fresh.saturating_sub(1);
                self.slow += 1;
            }
        }
    }

    /// A further run may connect.
    pub(super) fn has_slot(&self, limits: &Limits) -> bool {
        let excess = self.slow.saturating_sub(count(limits.slow_total_max));
        self.fresh + excess < count(limits.total_concurrency.max(1))
    }

    /// A further job may be concluded as its site is down.
    pub(super) const fn has_down_slot(&self) -> bool {
        self.down < DOWN_PASSES_MAX
    }

    /// When a run becomes slow, and its slot free by that.
    pub(super) fn next_aging(&self, limits: &Limits) -> Option<Moment> {
        let helps = self.slow < count(limits.slow_total_max);
        self.oldest_fresh().filter(|_| helps).map(|(_, run)| run.started.after(SLOW_RUN_AFTER))
    }

    fn oldest_fresh(&self) -> Option<(u64, Run)> {
        self.by_number.range(self.aged + 1..).next().map(|(number, run)| (*number, *run))
    }

    const fn bound_of(&mut self, number: u64, pass: Pass) -> &mut usize {
        match pass {
            Pass::Down => &mut self.down,
            Pass::Normal | Pass::Probe if number <= self.aged => &mut self.slow,
            Pass::Normal | Pass::Probe => &mut self.fresh,
        }
    }
}

fn count(bound: u32) -> usize {
    usize::try_from(bound).unwrap_or(usize::MAX)
}
