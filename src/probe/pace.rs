//! Politeness: one connection at a time to a host and to its network, and a pause before the next.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use crate::clock;
use crate::model::domain::Domain;
use crate::model::time::Instant;

/// Hosts and networks that are remembered; of more, those whose pause is over are forgotten.
const SITES_MAX: usize = 20_000;

/// Who is connected to now, and who was lately.
#[derive(Debug)]
pub struct Pace {
    pause: Duration,
    sites: Mutex<HashMap<Site, Slot>>,
}

/// What stands for one installation. Names go before networks, so that nobody who waits for a name holds a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Site {
    Name(Domain),
    /// An IPv4 /24 or an IPv6 /48.
    Network(IpAddr),
}

/// When the last connection ended. Locked while one is open.
type Slot = Arc<tokio::sync::Mutex<Option<Instant>>>;

/// The right to one connection. The pause begins when it is dropped.
#[derive(Debug)]
pub struct Turn {
    held: Vec<OwnedMutexGuard<Option<Instant>>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        for last in &mut self.held {
            **last = Some(clock::now());
        }
    }
}

impl Pace {
    /// `pause` is the least time between two connections to the same host or network.
    pub fn new(pause: Duration) -> Self {
        Self { pause, sites: Mutex::default() }
    }

    /// Waits until the host may be connected to.
    pub async fn turn(&self, name: Option<&Domain>, ip: IpAddr) -> Turn {
        let mut held = Vec::with_capacity(2);
        for site in name.cloned().map(Site::Name).into_iter().chain([Site::Network(network(ip))]) {
            let last = self.slot(site).lock_owned().await;
            let since = last.map(|last| clock::now().saturating_since(last));
            let left = since.map_or(Duration::ZERO, |since| self.pause.saturating_sub(since));
            held.push(last);
            if !left.is_zero() {
                tokio::time::sleep(left).await;
            }
        }
        Turn { held }
    }

    fn slot(&self, site: Site) -> Slot {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if sites.len() >= SITES_MAX && !sites.contains_key(&site) {
            let now = clock::now();
            sites.retain(|_, slot| !self.is_idle(slot, now));
        }
        sites.entry(site).or_default().clone()
    }

    fn is_idle(&self, slot: &Slot, now: Instant) -> bool {
        // Whoever waits for it holds a copy.
        let is_free = Arc::strong_count(slot) == 1;
        let last = slot.try_lock().map(|last| *last);
        is_free && last.is_ok_and(|last| last.is_none_or(|last| now.saturating_since(last) >= self.pause))
    }
}

/// The addresses that likely belong to one installation.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(3600);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Whether a turn for the second is to be had while the first has one.
    #[tokio::test]
    async fn a_host_and_its_network_are_connected_to_once_at_a_time() {
        let name = |text: &str| Domain::parse(text).unwrap();
        for (first, second, expected) in [
            (("a.example", "192.0.2.1"), ("b.example", "198.51.100.1"), true),
            (("a.example", "192.0.2.1"), ("a.example", "198.51.100.1"), false),
            (("a.example", "192.0.2.1"), ("b.example", "192.0.2.200"), false),
            (("a.example", "192.0.2.1"), ("b.example", "192.0.3.1"), true),
            (("a.example", "2001:db8:1:2::1"), ("b.example", "2001:db8:1:3::9"), false),
            (("a.example", "2001:db8:1::1"), ("b.example", "2001:db8:2::1"), true),
            (("a.example", "::ffff:192.0.2.1"), ("b.example", "192.0.2.2"), false),
        ] {
            let pace = Pace::new(Duration::ZERO);
            let turn = pace.turn(Some(&name(first.0)), ip(first.1)).await;
            let next_name = name(second.0);
            let mut next = std::pin::pin!(pace.turn(Some(&next_name), ip(second.1)));
            let is_free = is_ready(next.as_mut()).await;
            assert_eq!(is_free, expected, "{first:?} {second:?}");
            drop(turn);
            if !is_free {
                next.await;
            }
        }
    }

    #[tokio::test]
    async fn there_is_a_pause_before_the_next_connection_to_a_host() {
        for (pause, expected) in [(Duration::ZERO, true), (PAUSE, false)] {
            let pace = Pace::new(pause);
            drop(pace.turn(None, ip("192.0.2.1")).await);
            let next = std::pin::pin!(pace.turn(None, ip("192.0.2.9")));
            assert_eq!(is_ready(next).await, expected, "{pause:?}");
        }
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_never_forgotten_while_it_matters() {
        let pace = Pace::new(Duration::ZERO);
        let kept = pace.turn(None, ip("192.0.2.1")).await;
        for number in 0..SITES_MAX {
            let number = u32::try_from(number).unwrap();
            drop(pace.turn(None, Ipv4Addr::from((11 << 24) + (number << 8)).into()).await);
        }
        assert!(pace.sites.lock().unwrap().len() <= SITES_MAX);
        let next = std::pin::pin!(pace.turn(None, ip("192.0.2.9")));
        assert!(!is_ready(next).await);
        drop(kept);
    }

    /// Polls once.
    async fn is_ready<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
        std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_ready())).await
    }
}
