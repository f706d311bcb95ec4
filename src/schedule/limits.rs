//! The bounds that the configuration sets.

/// How many jobs may run at once. Zero counts as one, but for `slow_total_max`: to stop a lane, hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In a lane of which nothing else was said.
    pub lane_concurrency: u32,
    /// In all lanes together, as far as they run for less than `SLOW_RUN_AFTER`.
    pub total_concurrency: u32,
    /// Runs of `SLOW_RUN_AFTER` or more that do not count against `total_concurrency`, as they mostly wait for somebody
    /// who hangs; those beyond count there. So no more than the sum of both ever connect at once.
    pub slow_total_max: u32,
    /// At a site of which nothing is known.
    pub initial_concurrency: u32,
    /// At a site, whatever it bears.
    pub site_concurrency_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lane_concurrency: 20,
            total_concurrency: 1000,
            slow_total_max: 250,
            initial_concurrency: 5,
            site_concurrency_max: 100,
        }
    }
}
