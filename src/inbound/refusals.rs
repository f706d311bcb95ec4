//! Records of what was refused: written lazily and capped, so that strangers cannot fill the disk with them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::audit::event::{Client, Event, Record, Stamp};
use crate::clock;
use crate::model::time::Instant;
use crate::random;
use crate::spool::Spool;

use super::clients::client_key;

/// Records of one client in one window; the rest is counted.
const RECORDS_PER_WINDOW_MAX: u64 = 120;
const WINDOW: Duration = Duration::from_secs(60);
/// Clients that are counted apart; all others share one count.
const CLIENTS_MAX: usize = 16_384;

/// The counts of the current windows.
#[derive(Debug, Default)]
pub struct Refusals {
    windows: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    events: u64,
}

impl Refusals {
    /// Whether one more record of this client may be written.
    pub(super) fn admit(&self, now: Instant, ip: IpAddr) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = client_key(ip);
        if windows.len() >= CLIENTS_MAX && !windows.contains_key(&key) {
            key = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        }
        let window = windows.entry(key).or_insert(Window { began: now, events: 0 });
        window.events += 1;
        window.events <= RECORDS_PER_WINDOW_MAX
    }

    /// Ends windows that are over and writes how many events each has left unwritten. To be called every few seconds.
    pub fn summarize(&self, spool: &Spool, stamp: &Stamp) {
        for (ip, unwritten) in self.take_ended(clock::now()) {
            let time = clock::timestamp();
            let mut record = Record::new(stamp, time, random::record_id(time), Event::AuditSummary);
            record.client = Some(Client { ip, port: 0, helo: None });
            record.count = Some(unwritten);
            record.detail = Some(format!("refusals of this client beyond {RECORDS_PER_WINDOW_MAX} in a minute"));
            if let Err(fault) = spool.record_lazily(None, vec![record.entry()]) {
                tracing::warn!(client = %ip, count = unwritten, %fault, "refusals without a record");
            }
        }
    }

    fn take_ended(&self, now: Instant) -> Vec<(IpAddr, u64)> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut summaries = Vec::new();
        windows.retain(|ip, window| {
            let over = now.saturating_since(window.began) >= WINDOW;
            if over && window.events > RECORDS_PER_WINDOW_MAX {
                summaries.push((*ip, window.events - RECORDS_PER_WINDOW_MAX));
            }
            !over
        });
        summaries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_cap_events_are_counted_and_told_once_at_the_end_of_the_window() {
        let refusals = Refusals::default();
        let (ip, start) = (IpAddr::from([192, 0, 2, 1]), Instant::ZERO);
        let written = (0..1000).filter(|_| refusals.admit(start, ip)).count() as u64;
        assert_eq!(written, RECORDS_PER_WINDOW_MAX);
        assert!(refusals.admit(start, [192, 0, 2, 2].into()));
        assert_eq!(refusals.take_ended(start + WINDOW / 2), []);
        assert_eq!(refusals.take_ended(start + WINDOW), [(ip, 1000 - RECORDS_PER_WINDOW_MAX)]);
        assert!(refusals.admit(start + WINDOW, ip));
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_table_for_ever() {
        let refusals = Refusals::default();
        for n in 0..(CLIENTS_MAX as u32 * 2) {
            refusals.admit(Instant::ZERO, IpAddr::V4(n.into()));
        }
        assert!(refusals.windows.lock().unwrap().len() <= CLIENTS_MAX + 1);
    }
}
