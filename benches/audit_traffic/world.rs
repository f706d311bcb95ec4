//! Who sends: domains with a heavy tail, on hosts of their own or of a provider, each host with the TLS that it has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use gatepost::model::address::{Address, Charset, ReversePath};
use gatepost::model::tls::TlsFacts;

use crate::scene::HOSTED;
use crate::sessions::{self, Failed};

const DOMAINS: usize = 3000;
const PROVIDERS: usize = 24;
const HOSTS_PER_PROVIDER: usize = 6;
/// Of a provider's hosts those that one of its domains uses.
const PROVIDER_HOSTS_USED: usize = 2;
/// Of 100 domains, how many are with a provider.
const PROVIDED_OF_100: u32 = 50;
/// Of 100 hosts of their own, how many are weak.
const WEAK_OF_100: u32 = 9;
const OWN_HOSTS_MAX: usize = 3;
/// Providers that have left one old host running.
const OLD_PROVIDERS: [usize; 1] = [17];
/// Of 100 hosted domains, how many a sender writes to.
const ACQUAINTED_OF_100: u32 = 45;
const USERS: usize = 5;
/// The weight of rank r is 1 / (r + offset).
const RANK_OFFSET: f64 = 8.0;
/// Of 100 next hops, how many are weak.
const WEAK_HOPS_OF_100: u32 = 4;

const BEGINNINGS: [&str; 20] = [
    "alder", "birch", "cobalt", "delta", "ember", "fjord", "granite", "harbour", "indigo", "juniper", "kestrel",
    "linden", "meadow", "north", "orchid", "pioneer", "quarry", "river", "summit", "timber",
];
const ENDINGS: [&str; 15] = [
    "bakery",
    "clinic",
    "design",
    "energy",
    "freight",
    "garden",
    "hotels",
    "insurance",
    "law",
    "media",
    "optics",
    "press",
    "tools",
    "travel",
    "works",
];
const LOCAL_PARTS: [&str; USERS] = ["info", "anna.berg", "m.ortiz", "noreply", "billing"];

/// A host that brings mail. Each has a network of 256 addresses for itself, so that a network is a host.
#[derive(Debug)]
pub struct Host {
    pub ip: IpAddr,
    pub helo: String,
    /// A new session, and a resumed one; `None` is plaintext.
    pub tls: Option<[TlsFacts; 2]>,
}

/// A domain that sends, and that mail is sent to.
#[derive(Debug)]
pub struct Sender {
    pub name: String,
    pub users: Vec<ReversePath>,
    /// Places in `World::hosts`.
    pub hosts: Vec<usize>,
    /// Places in `HOSTED`, by the domains that it writes to.
    pub writes_to: Vec<usize>,
    /// The next hop for mail to it: name, address, and what is negotiated with it.
    pub hop: (String, String, Option<TlsFacts>),
}

#[derive(Debug)]
pub struct World {
    pub hosts: Vec<Host>,
    pub senders: Vec<Sender>,
    /// The session of our own hosts, in and out.
    pub inside_tls: Option<TlsFacts>,
    pub stranger_tls: Option<TlsFacts>,
    pub failed: Vec<Failed>,
    /// The sum of the weights up to each sender.
    weights: Vec<f64>,
    places: HashMap<String, usize>,
}

impl World {
    pub fn new(random: &mut fastrand::Rng) -> Self {
        let mut hosts = Vec::new();
        for provider in 0..PROVIDERS {
            for number in 0..HOSTS_PER_PROVIDER {
                let is_weak = OLD_PROVIDERS.contains(&provider) && number == 0;
                hosts.push(host(random, hosts.len(), format!("out{number}.provider{provider}.example"), is_weak));
            }
        }
        let mut senders = Vec::with_capacity(DOMAINS);
        for rank in 0..DOMAINS {
            senders.push(sender(random, rank, &mut hosts));
        }
        let mut sum = 0.0;
        let weight = |rank| {
            sum += 1.0 / (rank as f64 + RANK_OFFSET);
            sum
        };
        let weights = (0..DOMAINS).map(weight).collect();
        let places = senders.iter().enumerate().map(|(place, sender)| (sender.name.clone(), place)).collect();
        let (inside_tls, stranger_tls) = (sessions::inbound(random, false), sessions::inbound(random, false));
        Self { hosts, senders, inside_tls, stranger_tls, failed: sessions::failed_offers(), weights, places }
    }

    /// The sender with this domain.
    pub fn place_of(&self, domain: &str) -> usize {
        self.places.get(domain).copied().expect("mail goes only to hosted domains and to senders")
    }

    /// One of the senders, the first ones far more often.
    pub fn pick(&self, random: &mut fastrand::Rng) -> usize {
        let all = self.weights.last().copied().unwrap_or_default();
        let wanted = random.f64() * all;
        self.weights.partition_point(|sum| *sum < wanted).min(self.senders.len() - 1)
    }
}

fn host(random: &mut fastrand::Rng, number: usize, helo: String, is_weak: bool) -> Host {
    // Not 127.0.0.0/16, where the tests themselves live, nor 127.255.0.0/16, which is inside.
    let octet = |value: usize| u8::try_from(value).expect("below 256");
    let ip = Ipv4Addr::new(127, octet(1 + number / 250), octet(number % 250), random.u8(1..255));
    let tls = sessions::inbound(random, is_weak).map(|facts| {
        let resumed = TlsFacts { resumed: true, ..facts.clone() };
        [facts, resumed]
    });
    Host { ip: ip.into(), helo, tls }
}

fn sender(random: &mut fastrand::Rng, rank: usize, hosts: &mut Vec<Host>) -> Sender {
    let (beginning, ending) = (BEGINNINGS[rank % BEGINNINGS.len()], ENDINGS[rank / BEGINNINGS.len() % ENDINGS.len()]);
    let number = rank / (BEGINNINGS.len() * ENDINGS.len());
    let name = format!("{beginning}-{ending}{}.example", if number == 0 { String::new() } else { number.to_string() });
    let user = |local: &str| Address::parse(&format!("{local}@{name}"), Charset::Ascii).expect("an address");
    let users = LOCAL_PARTS.iter().map(|local| ReversePath::Mailbox(user(local))).collect();
    let own = if random.u32(..100) < PROVIDED_OF_100 {
        let provider = random.usize(..PROVIDERS) * HOSTS_PER_PROVIDER;
        let first = random.usize(..HOSTS_PER_PROVIDER);
        (0..PROVIDER_HOSTS_USED).map(|next| provider + (first + next) % HOSTS_PER_PROVIDER).collect()
    } else {
        let count = 1 + random.usize(..OWN_HOSTS_MAX).min(random.usize(..OWN_HOSTS_MAX));
        let mut own = Vec::with_capacity(count);
        for number in 0..count {
            let is_weak = random.u32(..100) < WEAK_OF_100;
            own.push(hosts.len());
            hosts.push(host(random, hosts.len(), format!("mail{number}.{name}"), is_weak));
        }
        own
    };
    let writes_to = (0..HOSTED.len()).filter(|_| random.u32(..100) < ACQUAINTED_OF_100).collect();
    let mx = format!("mx.{name}");
    let is_weak = random.u32(..100) < WEAK_HOPS_OF_100;
    let address = format!("198.51.{}.{}:25", 100 + rank / 250, 1 + rank % 250);
    let tls = sessions::outbound(random, &mx, is_weak);
    Sender { users, hosts: own, writes_to, hop: (mx, address, tls), name }
}
