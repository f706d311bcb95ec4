//! The networks that messages came from, the most frequent ones with their numbers, in a bounded space.
//!
//! "Space saving" (Metwally, Agrawal, El Abbadi 2005): a network that is new where all places are taken takes that of
//! the rarest. A network with more than one message in [`CLIENTS_OF_GROUP_MAX`] is always among those that are kept.

use std::cmp::Reverse;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Networks that one group tells apart.
pub const CLIENTS_OF_GROUP_MAX: usize = 16;

/// The network of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// A /24.
    V4([u8; 3]),
    /// A /64.
    V6([u16; 4]),
    /// The relay itself, which brings its own notices.
    Local,
}

impl Network {
    pub fn of(client: Option<IpAddr>) -> Self {
        match client.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, ..] = ip.segments();
                Self::V6([a, b, c, d])
            }
            None => Self::Local,
        }
    }
}

/// `192.0.2.0/24`, `2001:db8::/64`, `local`.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c]) => write!(f, "{a}.{b}.{c}.0/24"),
            Self::V6([a, b, c, d]) => write!(f, "{}/64", Ipv6Addr::new(*a, *b, *c, *d, 0, 0, 0, 0)),
            Self::Local => f.write_str("local"),
        }
    }
}

/// The networks of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    kept: Vec<Kept>,
    messages: u64,
}

/// A network that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    network: Network,
    /// No fewer than it has.
    at_most: u64,
    /// Of these, what may be others'.
    doubtful: u64,
}

/// What is known in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The most frequent first, with their messages: exact up to the bound, beyond it no more than there were.
    pub networks: Vec<(Network, u64)>,
    /// Messages of all others.
    pub others: u64,
}

impl Clients {
    pub fn add(&mut self, network: Network) {
        self.messages += 1;
        if let Some(known) = self.kept.iter_mut().find(|known| known.network == network) {
            known.at_most += 1;
            return;
        }
        if self.kept.len() < CLIENTS_OF_GROUP_MAX {
            self.kept.push(Kept { network, at_most: 1, doubtful: 0 });
        } else if let Some(rarest) = self.kept.iter_mut().min_by_key(|kept| kept.at_most) {
            *rarest = Kept { network, at_most: rarest.at_most + 1, doubtful: rarest.at_most };
        }
    }

    /// Adds what another has counted.
    pub fn absorb(&mut self, other: Self) {
        let (mine, theirs) = (self.unseen(), other.unseen());
        self.messages += other.messages;
        for known in &mut self.kept {
            let found = other.kept.iter().find(|kept| kept.network == known.network);
            known.at_most += found.map_or(theirs, |kept| kept.at_most);
            known.doubtful += found.map_or(theirs, |kept| kept.doubtful);
        }
        for kept in other.kept {
            if self.kept.iter().all(|known| known.network != kept.network) {
                let Kept { network, at_most, doubtful } = kept;
                self.kept.push(Kept { network, at_most: at_most + mine, doubtful: doubtful + mine });
            }
        }
        self.kept.sort_by_key(|kept| (Reverse(kept.at_most), kept.network));
        self.kept.truncate(CLIENTS_OF_GROUP_MAX);
    }

    /// The most that a network without a place can have.
    fn unseen(&self) -> u64 {
        let is_full = self.kept.len() >= CLIENTS_OF_GROUP_MAX;
        self.kept.iter().map(|kept| kept.at_most).min().filter(|_| is_full).unwrap_or_default()
    }

    pub fn listed(&self) -> Listed {
        let certain = self.kept.iter().map(|kept| (kept.network, kept.at_most - kept.doubtful));
        let mut networks: Vec<_> = certain.collect();
        networks.sort_by_key(|(network, messages)| (Reverse(*messages), *network));
        let listed: u64 = networks.iter().map(|(_, messages)| messages).sum();
        Listed { networks, others: self.messages - listed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u8) -> Network {
        Network::V4([192, 0, number])
    }

    fn clients(numbers: impl IntoIterator<Item = u8>) -> Clients {
        let mut clients = Clients::default();
        numbers.into_iter().for_each(|number| clients.add(network(number)));
        clients
    }

    #[test]
    fn a_network_is_a_24_or_a_64_however_the_address_is_written() {
        for (ip, expected) in [
            (Some("192.0.2.77"), "192.0.2.0/24"),
            (Some("::ffff:192.0.2.77"), "192.0.2.0/24"),
            (Some("2001:db8:0:1::5"), "2001:db8:0:1::/64"),
            (None, "local"),
        ] {
            assert_eq!(Network::of(ip.map(|ip| ip.parse().unwrap())).to_string(), expected);
        }
    }

    #[test]
    fn up_to_the_bound_every_network_is_counted() {
        let listed = clients([3, 1, 3, 2, 3, 2]).listed();
        assert_eq!(listed.networks, [(network(3), 3), (network(2), 2), (network(1), 1)]);
        assert_eq!(listed.others, 0);
    }

    #[test]
    fn the_most_frequent_network_stays_however_late_it_comes_and_no_message_is_lost() {
        let frequent = 200;
        let numbers = || (0..150).chain((150..190).flat_map(|rare| [rare, frequent]));
        let listed = clients(numbers()).listed();
        let (first, messages) = listed.networks[0];
        assert_eq!((first, messages), (network(frequent), 40));
        assert!(listed.networks.len() <= CLIENTS_OF_GROUP_MAX);
        assert_eq!(listed.networks.iter().map(|(_, messages)| messages).sum::<u64>() + listed.others, 230);
    }

    #[test]
    fn two_halves_together_say_what_the_whole_says() {
        let numbers: Vec<u8> =
            (0..10).flat_map(|number| std::iter::repeat_n(number, usize::from(number) + 1)).collect();
        let (one, other) = numbers.split_at(numbers.len() / 2);
        let mut both = clients(one.iter().copied());
        both.absorb(clients(other.iter().copied()));
        assert_eq!(both.listed(), clients(numbers).listed());
    }

    #[test]
    fn of_two_full_halves_no_number_is_too_high() {
        let mut both = clients((0..100).chain([7; 50]));
        both.absorb(clients((100..200).chain([7; 30])));
        let listed = both.listed();
        let (first, messages) = listed.networks[0];
        assert!(first == network(7) && (70..=81).contains(&messages), "{listed:?}");
        assert_eq!(listed.networks.iter().map(|(_, messages)| messages).sum::<u64>() + listed.others, 280);
    }
}
