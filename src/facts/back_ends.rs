//! Hosts of routes and whether they offer REQUIRETLS: told by deliveries, asked before mail is taken for them
//! (RFC 8689 section 4.1). In memory only: after a start nothing is known, and nothing is refused.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::time::Instant;
use crate::policy::settings::HostPort;

/// Hosts that are remembered; of more, the one that was heard of longest ago goes.
const BACK_ENDS_MAX: usize = 1024;
/// What a host said counts for so long: back ends are upgraded, too.
const KNOWN_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// What the hosts of routes said.
#[derive(Debug, Default)]
pub struct BackEnds(Mutex<HashMap<HostPort, Heard>>);

/// When a host last offered REQUIRETLS, and when it last did not. Behind one name there may be several machines.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    offered: Option<Instant>,
    lacked: Option<Instant>,
}

impl BackEnds {
    /// What a host of a route says of REQUIRETLS under TLS. One without TLS lacks it.
    pub fn note(&self, host: HostPort, offers_requiretls: bool, now: Instant) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= BACK_ENDS_MAX && !heard.contains_key(&host) {
            make_room(&mut heard, now);
        }
        let of_host = heard.entry(host).or_default();
        *(if offers_requiretls { &mut of_host.offered } else { &mut of_host.lacked }) = Some(now);
    }

    /// Whether every one of these hosts is known to lack REQUIRETLS, so that a message that demands it would only come
    /// back. Not if there is none, or if one of them has not been heard of within the hour.
    pub fn lack_requiretls(&self, hosts: &[HostPort], now: Instant) -> bool {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lacks = |host| heard.get(host).is_some_and(|of_host: &Heard| of_host.lacks(now));
        !hosts.is_empty() && hosts.iter().all(lacks)
    }
}

impl Heard {
    fn lacks(&self, now: Instant) -> bool {
        is_fresh(self.lacked, now) && !is_fresh(self.offered, now)
    }

    fn last(&self) -> Option<Instant> {
        self.offered.max(self.lacked)
    }
}

fn is_fresh(said: Option<Instant>, now: Instant) -> bool {
    said.is_some_and(|at| now.saturating_since(at) < KNOWN_TIME_MAX)
}

/// Drops what is out of date, and if that is nothing the oldest.
fn make_room(heard: &mut HashMap<HostPort, Heard>, now: Instant) {
    heard.retain(|_, of_host| is_fresh(of_host.last(), now));
    if heard.len() >= BACK_ENDS_MAX
        && let Some(oldest) = heard.values().map(Heard::last).min()
    {
        heard.retain(|_, of_host| of_host.last() > oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::Host;

    fn host(port: u16) -> HostPort {
        HostPort { host: Host::parse("store.example").unwrap(), port }
    }

    fn at(minutes: u64) -> Instant {
        Instant::from_start(Duration::from_secs(minutes * 60))
    }

    #[test]
    fn a_route_lacks_requiretls_if_all_its_hosts_lately_said_so() {
        for (said, asked, minute, expected) in [
            (&[][..], &[1][..], 0, false),
            (&[(1, false, 0)], &[1], 0, true),
            (&[(1, false, 0)], &[1], 59, true),
            (&[(1, false, 0)], &[1], 60, false),
            (&[(1, false, 0), (1, false, 30)], &[1], 89, true),
            (&[(1, true, 0)], &[1], 0, false),
            (&[(1, false, 0), (1, true, 10)], &[1], 20, false),
            // Another machine behind the same name.
            (&[(1, true, 0), (1, false, 10)], &[1], 20, false),
            (&[(1, true, 0), (1, false, 10)], &[1], 65, true),
            (&[(1, false, 0)], &[1, 2], 0, false),
            (&[(1, false, 0), (2, false, 0)], &[1, 2], 0, true),
            (&[(1, false, 0), (2, true, 0)], &[1, 2], 0, false),
            (&[(1, false, 0)], &[], 0, false),
        ] {
            let back_ends = BackEnds::default();
            for (port, offers, minute) in said {
                back_ends.note(host(*port), *offers, at(*minute));
            }
            let hosts: Vec<HostPort> = asked.iter().map(|port| host(*port)).collect();
            assert_eq!(back_ends.lack_requiretls(&hosts, at(minute)), expected, "{said:?} {asked:?} {minute}");
        }
    }

    #[test]
    fn a_full_memory_gives_up_what_is_oldest() {
        let back_ends = BackEnds::default();
        let max = u16::try_from(BACK_ENDS_MAX).unwrap();
        for port in 0..max {
            back_ends.note(host(port), false, at(u64::from(port > 0)));
        }
        // One that is known takes no room.
        back_ends.note(host(1), false, at(2));
        assert!(back_ends.lack_requiretls(&[host(0)], at(2)));
        back_ends.note(host(max), false, at(2));
        let lacking = [0, 1, max].map(|port| back_ends.lack_requiretls(&[host(port)], at(2)));
        assert_eq!((lacking, back_ends.0.lock().unwrap().len()), ([false, true, true], BACK_ENDS_MAX));
    }
}
