//! The bound on message content in memory, shared by reception and first deliveries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that may be held at once. Clones share the count.
#[derive(Clone, Debug)]
pub struct BodyBudget(Arc<State>);

#[derive(Debug)]
struct State {
    bytes_max: u64,
    used: AtomicU64,
}

impl BodyBudget {
    pub fn new(bytes_max: u64) -> Self {
        Self(Arc::new(State { bytes_max, used: AtomicU64::new(0) }))
    }

    /// An empty reservation, to be grown.
    pub(super) fn reservation(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }

    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Whether so little is left that cached content should make room.
    pub(super) fn is_tight(&self) -> bool {
        self.used() > self.0.bytes_max / 4 * 3
    }
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: BodyBudget,
    bytes: u64,
}

impl Reservation {
    /// Whether `more` bytes could be added.
    pub(super) fn grow(&mut self, more: u64) -> bool {
        let state = &self.budget.0;
        let fits = |used: u64| used.checked_add(more).filter(|sum| *sum <= state.bytes_max);
        let grown = state.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        self.bytes += if grown { more } else { 0 };
        grown
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reserved_is_given_back_and_never_more_than_the_bound_is_out() {
        let budget = BodyBudget::new(100);
        let (mut first, mut second) = (budget.reservation(), budget.reservation());
        assert!(first.grow(60) && !second.grow(41) && second.grow(40));
        assert!(budget.is_tight() && budget.used() == 100);
        drop(first);
        assert_eq!(budget.used(), 40);
        assert!(second.grow(60) && !second.grow(u64::MAX));
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
