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
/// Records of all clients together in one window: many addresses are no way around the bound of each.
const RECORDS_OF_ALL_MAX: u64 = 20_000;
/// Clients that are counted apart; all others share one count.
const CLIENTS_MAX: usize = 16_384;

/// The counts of the current windows.
#[derive(Debug, Default)]
pub struct Refusals {
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    of_client: HashMap<IpAddr, Window>,
    of_all: Option<Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    events: u64,
    written: u64,
}

impl Window {
    fn new(began: Instant) -> Self {
        Self { began, events: 0, written: 0 }
    }
}

impl Refusals {
    /// Whether one more record of this client may be written; else it is counted. `room` is whether the spool takes
    /// anything at all: what is refused must not be what fills the disk.
    pub(super) fn admit(&self, now: Instant, ip: IpAddr, room: bool) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Windows { of_client, of_all } = &mut *windows;
        let mut key = client_key(ip);
        if of_client.len() >= CLIENTS_MAX && !of_client.contains_key(&key) {
            key = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        }
        let all = of_all.get_or_insert_with(|| Window::new(now));
        if now.saturating_since(all.began) >= WINDOW {
            *all = Window::new(now);
        }
        let window = of_client.entry(key).or_insert_with(|| Window::new(now));
        window.events += 1;
        let written = room && window.written < RECORDS_PER_WINDOW_MAX && all.written < RECORDS_OF_ALL_MAX;
        window.written += u64::from(written);
        all.written += u64::from(written);
        written
    }

    /// Ends windows that are over and writes how many events each has left unwritten. To be called about once a second.
    pub fn summarize(&self, spool: &Spool, stamp: &Stamp) {
        write_summaries(self.take_ended(clock::now()), spool, stamp);
    }

    /// The same for all windows, at the end of the daemon.
    pub fn summarize_all(&self, spool: &Spool, stamp: &Stamp) {
        write_summaries(self.take_ended(clock::now() + WINDOW), spool, stamp);
    }

    fn take_ended(&self, now: Instant) -> Vec<(IpAddr, u64)> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut summaries = Vec::new();
        windows.of_client.retain(|ip, window| {
            let over = now.saturating_since(window.began) >= WINDOW;
            if over && window.events > window.written {
                summaries.push((*ip, window.events - window.written));
            }
            !over
        });
        summaries
    }
}

fn write_summaries(summaries: Vec<(IpAddr, u64)>, spool: &Spool, stamp: &Stamp) {
    for (ip, unwritten) in summaries {
        let time = clock::timestamp();
        let mut record = Record::new(stamp, time, random::record_id(time), Event::AuditSummary);
        record.client = Some(Client { ip, port: 0, helo: None });
        record.count = Some(unwritten);
        record.detail = Some("refusals of this client within a minute that have no record of their own".to_owned());
        if let Err(fault) = spool.record_lazily(None, vec![record.entry()]) {
            tracing::warn!(client = %ip, count = unwritten, %fault, "refusals without a record");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_cap_events_are_counted_and_told_once_at_the_end_of_the_window() {
        let refusals = Refusals::default();
        let (ip, start) = (IpAddr::from([192, 0, 2, 1]), Instant::ZERO);
        let written = (0..1000).filter(|_| refusals.admit(start, ip, true)).count() as u64;
        assert_eq!(written, RECORDS_PER_WINDOW_MAX);
        assert!(refusals.admit(start, [192, 0, 2, 2].into(), true));
        assert_eq!(refusals.take_ended(start + WINDOW / 2), []);
        assert_eq!(refusals.take_ended(start + WINDOW), [(ip, 1000 - RECORDS_PER_WINDOW_MAX)]);
        assert!(refusals.admit(start + WINDOW, ip, true));
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_table_for_ever() {
        let refusals = Refusals::default();
        for n in 0..(CLIENTS_MAX as u32 * 2) {
            refusals.admit(Instant::ZERO, IpAddr::V4(n.into()), true);
        }
        assert!(refusals.windows.lock().unwrap().of_client.len() <= CLIENTS_MAX + 1);
    }

    #[test]
    fn many_addresses_and_a_full_disk_are_no_way_around_the_bound() {
        let refusals = Refusals::default();
        let addresses = (0..1000u32).map(|n| IpAddr::V4(n.into()));
        let written = addresses
            .flat_map(|ip| (0..RECORDS_PER_WINDOW_MAX).map(move |_| ip))
            .filter(|ip| refusals.admit(Instant::ZERO, *ip, true))
            .count() as u64;
        assert_eq!(written, RECORDS_OF_ALL_MAX);
        let later = Instant::ZERO + WINDOW;
        refusals.take_ended(later);
        assert!(!refusals.admit(later, [192, 0, 2, 1].into(), false));
        assert!(refusals.admit(later, [192, 0, 2, 1].into(), true));
    }
}
