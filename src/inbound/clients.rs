//! How many connections each client has: a client is an IPv4 address or an IPv6 /64.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts of open connections. Clones share them; it holds no more clients than there are connections.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<Mutex<HashMap<IpAddr, u32>>>);

impl Clients {
    /// Counts one more connection of the client; `None` if it has `max` already.
    pub(super) fn enter(&self, client: IpAddr, max: u32) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { clients: self.clone(), client })
    }
}

/// One counted connection.
#[derive(Debug)]
pub(super) struct Place {
    clients: Clients,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// The key by which clients are counted: an IPv4 address, or the /64 of an IPv6 address.
pub(super) fn client_key(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_count_until_they_are_closed() {
        let clients = Clients::default();
        let ip: IpAddr = [192, 0, 2, 1].into();
        let first = clients.enter(ip, 2).unwrap();
        let second = clients.enter(ip, 2);
        assert!(second.is_some() && clients.enter(ip, 2).is_none());
        assert!(clients.enter([192, 0, 2, 2].into(), 2).is_some());
        drop(first);
        assert!(clients.enter(ip, 2).is_some());
        drop(second);
        assert!(clients.0.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_client_is_its_64_and_a_mapped_address_is_ipv4() {
        let key = |text: &str| client_key(text.parse().unwrap()).to_string();
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(key("192.0.2.1"), "192.0.2.1");
    }
}
