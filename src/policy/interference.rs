//! Whether TLS is lost at one destination, or on our own path: many destinations that have nothing to do with each
//! other do not lose STARTTLS within minutes.
//!
//! Counted is the moment of a loss. A destination that stays without TLS for days is retried in vain all the time and
//! says nothing about our path.
//!
//! Must not: take the outage of one provider for our path, however many domains it serves.

mod place;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::model::domain::Domain;
use crate::model::time::Timestamp;

use super::learned::format::Format;
use place::Place;

/// Destinations that are kept. Of more, the quarter that was tried longest ago makes room; the others stay for good, so
/// that an old loss does not count as a new one.
pub const DESTINATIONS_MAX: usize = 4096;
/// Destinations without TLS that outlive a restart, and that a suspicion counts.
pub const LOST_MAX: usize = 256;
/// Destinations that a change names.
pub const DESTINATIONS_SHOWN_MAX: usize = 20;

/// What an operator can look at then.
pub const WHERE_TO_LOOK: &str = "look for a firewall or a proxy on the way that rewrites SMTP (250-XXXXXXXA in answers \
    to EHLO), for a new route or provider, and at the root certificates of this host";

/// When our own path is suspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowTerms {
    /// How far apart losses may be.
    pub window: Duration,
    /// Destinations that lost TLS within it, at least.
    pub destinations: usize,
    /// Of so many destinations tried within it one must have lost TLS.
    pub one_of: usize,
    /// Networks (/24, /48) of their hosts, and organisations by the names of these, at least.
    pub places: usize,
    /// Without a failure, before the suspicion ends.
    pub quiet: Duration,
    /// Destinations that have TLS again before the suspicion ends; it must be half of all, too.
    pub recovered: usize,
}

impl Default for WindowTerms {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self { window: 15 * MINUTE, destinations: 5, one_of: 3, places: 3, quiet: 120 * MINUTE, recovered: 3 }
    }
}

/// How it went with a destination's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What is asked for was met.
    Met,
    /// STARTTLS, shown before, was not offered, or the handshake was cut or garbled right after it. Not what only the
    /// host itself can do wrong, such as a certificate that has expired.
    Lost,
}

/// A session with a host of a destination whose TLS is learned or asked for.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The recipient domain.
    pub destination: &'a Domain,
    /// The host's name, `None` for an address literal.
    pub mx: Option<&'a Domain>,
    pub address: IpAddr,
    pub outcome: Outcome,
    pub at: Timestamp,
}

/// The path is suspected: the event `path.interference`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    pub since: Timestamp,
    /// How many have lost TLS, at most [`LOST_MAX`].
    pub count: usize,
    /// The first of them by name, at most [`DESTINATIONS_SHOWN_MAX`].
    pub destinations: Vec<Domain>,
}

/// Why a suspicion has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relief {
    /// Destinations have TLS again.
    Recovered,
    /// No more failures were seen.
    Quiet,
}

/// The state has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Suspected(Suspicion),
    Cleared { since: Timestamp, relief: Relief },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Destination {
    place: Place,
    last: Timestamp,
    /// The first failure since TLS was last met; `None` while it is met.
    lost: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Suspected {
    since: Timestamp,
    last_failure: Timestamp,
    /// Those that have lost TLS and not got it back.
    lost: BTreeSet<Domain>,
    /// Those that have it back.
    recovered: BTreeSet<Domain>,
}

/// What is known of the path. Only destinations that have lost TLS are stored: what all others do is soon seen again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    format: Format<1>,
    #[serde(serialize_with = "lost_alone")]
    destinations: BTreeMap<Domain, Destination>,
    /// `None`: nothing is suspected.
    suspected: Option<Suspected>,
}

impl Window {
    /// Takes in how a session went.
    pub fn see(&mut self, seen: &Seen<'_>, terms: &WindowTerms) -> Option<Change> {
        self.note(seen);
        match (&mut self.suspected, seen.outcome) {
            (None, Outcome::Met) => None,
            (None, Outcome::Lost) => self.suspect(terms, seen.at),
            (Some(suspected), outcome) => {
                let lost = self.destinations.get(seen.destination).and_then(|known| known.lost);
                let is_new = lost.is_some_and(|lost| lost >= suspected.since);
                suspected.note(seen.destination, outcome, is_new, seen.at);
                self.relieve(terms, seen.at)
            }
        }
    }

    /// Ends a suspicion that nothing feeds any more; to be called now and then.
    pub fn tick(&mut self, terms: &WindowTerms, now: Timestamp) -> Option<Change> {
        self.relieve(terms, now)
    }

    /// Whether a destination was seen with TLS, or lost it, not too long ago.
    pub fn knows(&self, destination: &Domain) -> bool {
        self.destinations.contains_key(destination)
    }

    /// Whether it is known to have lost TLS.
    pub fn has_lost(&self, destination: &Domain) -> bool {
        self.destinations.get(destination).is_some_and(|known| known.lost.is_some())
    }

    pub fn suspicion(&self) -> Option<Suspicion> {
        self.suspected.as_ref().map(Suspected::shown)
    }

    fn note(&mut self, seen: &Seen<'_>) {
        let lost = (seen.outcome == Outcome::Lost).then_some(seen.at);
        if let Some(known) = self.destinations.get_mut(seen.destination) {
            known.lost = lost.and(known.lost).or(lost);
            known.last = seen.at;
            known.place = Place::of(seen.mx, seen.address);
            return;
        }
        if self.destinations.len() >= DESTINATIONS_MAX {
            self.make_room();
        }
        let fresh = Destination { place: Place::of(seen.mx, seen.address), last: seen.at, lost };
        self.destinations.insert(seen.destination.clone(), fresh);
    }

    fn make_room(&mut self) {
        let mut tried: Vec<Timestamp> = self.destinations.values().map(|known| known.last).collect();
        tried.sort_unstable();
        let cut = tried.get(tried.len() / 4).copied().unwrap_or_default();
        self.destinations.retain(|_, known| known.last > cut);
    }

    /// Those that have lost TLS inside of the window, if they are enough to suspect the path.
    fn losses(&self, terms: &WindowTerms, now: Timestamp) -> Option<BTreeMap<&Domain, Timestamp>> {
        let mut lost = BTreeMap::new();
        let (mut networks, mut organisations) = (BTreeSet::new(), BTreeSet::new());
        let mut tried: usize = 0;
        for (domain, known) in &self.destinations {
            match known.lost {
                None => tried += usize::from(is_within(terms.window, known.last, now)),
                Some(since) if is_within(terms.window, since, now) => {
                    tried += 1;
                    lost.insert(domain, since);
                    networks.insert(known.place.network);
                    organisations.insert(&known.place.organisation);
                }
                Some(_) => {}
            }
        }
        let places = networks.len().min(organisations.len());
        let is_share = lost.len().saturating_mul(terms.one_of) >= tried;
        (lost.len() >= terms.destinations && is_share && places >= terms.places).then_some(lost)
    }

    fn suspect(&mut self, terms: &WindowTerms, now: Timestamp) -> Option<Change> {
        let losses = self.losses(terms, now)?;
        let suspected = Suspected {
            since: losses.values().min().copied().unwrap_or(now),
            last_failure: now,
            lost: losses.into_keys().take(LOST_MAX).cloned().collect(),
            recovered: BTreeSet::new(),
        };
        let change = Change::Suspected(suspected.shown());
        self.suspected = Some(suspected);
        Some(change)
    }

    fn relieve(&mut self, terms: &WindowTerms, now: Timestamp) -> Option<Change> {
        let suspected = self.suspected.as_ref()?;
        let recovered = suspected.recovered.len();
        let relief = if !is_within(terms.quiet, suspected.last_failure, now) {
            Relief::Quiet
        } else if recovered >= terms.recovered && recovered >= suspected.lost.len() {
            Relief::Recovered
        } else {
            return None;
        };
        if self.losses(terms, now).is_some() {
            return None;
        }
        let since = suspected.since;
        self.suspected = None;
        Some(Change::Cleared { since, relief })
    }
}

impl Suspected {
    /// `is_new` says that the destination lost TLS no earlier than the others did.
    fn note(&mut self, destination: &Domain, outcome: Outcome, is_new: bool, at: Timestamp) {
        let is_known = self.lost.contains(destination) || self.recovered.contains(destination);
        match outcome {
            Outcome::Met if self.lost.remove(destination) => {
                self.recovered.insert(destination.clone());
            }
            Outcome::Met => {}
            Outcome::Lost if !is_known && !is_new => {}
            Outcome::Lost => {
                self.last_failure = at;
                self.recovered.remove(destination);
                if is_known || self.lost.len() + self.recovered.len() < LOST_MAX {
                    self.lost.insert(destination.clone());
                }
            }
        }
    }

    fn shown(&self) -> Suspicion {
        let destinations = self.lost.iter().take(DESTINATIONS_SHOWN_MAX).cloned().collect();
        Suspicion { since: self.since, count: self.lost.len(), destinations }
    }
}

/// The newest [`LOST_MAX`] of them.
fn lost_alone<S: Serializer>(all: &BTreeMap<Domain, Destination>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut lost: Vec<_> = all.iter().filter(|(_, known)| known.lost.is_some()).collect();
    lost.sort_by_key(|(_, known)| std::cmp::Reverse(known.last));
    lost.truncate(LOST_MAX);
    serializer.collect_map(lost)
}

/// A moment to come is the trace of a clock that was wrong: it is within no span.
fn is_within(span: Duration, moment: Timestamp, now: Timestamp) -> bool {
    moment <= now && now.saturating_since(moment) < span
}
