//! What deliveries to one recipient domain have shown of its TLS, and the level that this is held to from then on.
//!
//! An unsigned MX record may be forged, so a certificate for whatever host it names proves nothing. What is learned is
//! therefore a level and, for `verify`, the hosts that have proved their own names: from then on a certificate counts
//! if it is for the recipient domain, or if it is for the host and the host is one of those.
//!
//! Must not: lower a level in force. It ends only when nobody has tried the domain for long, or by the operator.
//! Whoever ends it answers for the clock: no attempt and no question does, whatever day it seems to be.

pub mod candidate;
pub mod evidence;
pub mod format;
pub mod history;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::domain::Domain;
use crate::model::id::RecordId;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;

use super::names::Identity;
use super::published;
use super::session_check::{IdentityCheck, identify};
use super::settings::OutboundTls;

use evidence::{Evidence, Lacking};
use format::Format;
use history::{Days, History, Sights, day_of};

/// Mail hosts of a domain that are kept by name. Those beyond it count together, nameless.
pub const HOSTS_MAX: usize = 32;

/// What can be learned, weaker first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// TLS, with whomever.
    Encrypt,
    /// TLS with a chain that leads to a trusted root and a certificate for the recipient domain or the host's own name.
    Verify,
}

impl Level {
    pub const ALL: [Self; 2] = [Self::Encrypt, Self::Verify];

    /// The word that `tls` in `[outbound]` has for it.
    pub const fn as_str(self) -> &'static str {
        self.outbound().as_str()
    }

    /// The level that a requirement made of it has.
    pub const fn outbound(self) -> OutboundTls {
        match self {
            Self::Encrypt => OutboundTls::Encrypt,
            Self::Verify => OutboundTls::Verify,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The names that a trusted certificate was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proved {
    /// The recipient domain.
    Domain,
    /// The MX host that was connected to.
    OwnName,
    Both,
}

/// What one session showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// No STARTTLS, or none that worked.
    Plaintext,
    /// TLS, and no more than that is known. DANE and fingerprints are written elsewhere and are not learned.
    Encrypted,
    /// TLS with a certificate of a trusted root (RFC 9525).
    Verified(Proved),
}

impl Shown {
    /// Reads it off a session; `None` is plaintext. Where the facts do not tell all, no more is assumed than they say.
    pub fn of(tls: Option<&TlsFacts>, domain: &Domain, mx: &Domain) -> Self {
        let Some(tls) = tls else { return Self::Plaintext };
        let proves = |name: &Domain| {
            let identity = Identity { names: vec![name.clone()], ..Identity::default() };
            matches!(identify(&identity, tls.peer.as_ref()), IdentityCheck::Verified(_))
        };
        match (proves(domain), proves(mx)) {
            (true, true) => Self::Verified(Proved::Both),
            (true, false) => Self::Verified(Proved::Domain),
            (false, true) => Self::Verified(Proved::OwnName),
            (false, false) => Self::Encrypted,
        }
    }

    /// `None` is plaintext.
    pub const fn level(self) -> Option<Level> {
        match self {
            Self::Plaintext => None,
            Self::Encrypted => Some(Level::Encrypt),
            Self::Verified(_) => Some(Level::Verify),
        }
    }
}

/// A session with a mail host, at its end.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    pub mx: &'a Domain,
    pub shown: Shown,
    /// Messages that the host has taken; with 0 the session still shows what it shows.
    pub deliveries: u32,
    /// The audit record that tells of it.
    pub record: Option<RecordId>,
}

/// What must be seen before a level is learned, and for how long it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Deliveries to all hosts together; less than 1 is 1.
    pub deliveries: u32,
    /// Different UTC days with deliveries; and as many on which a host has shown its own name, before that counts.
    pub days: u32,
    /// UTC days after which what was seen counts no more and a domain that nobody has tried is forgotten; at most
    /// [`history::DAYS_MAX`] of them are looked at.
    pub expiry_days: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { deliveries: 20, days: 7, expiry_days: 30 }
    }
}

/// What a level is measured by.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub thresholds: &'a Thresholds,
    /// The domain's MX hosts of today: every one of them must have been seen, be it by a probe. `None` asks only for
    /// those that were seen.
    pub current: Option<&'a [Domain]>,
}

/// A level that deliveries are held to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    pub since: Timestamp,
    /// Of the day when it was raised.
    pub evidence: Evidence,
}

/// What a delivery must meet by it. A certificate may be for the name of a host only if that host has proved it.
impl From<&Evidence> for published::Learned {
    fn from(evidence: &Evidence) -> Self {
        match evidence.level {
            Level::Encrypt => Self::Encrypt,
            Level::Verify => {
                let proved = evidence.hosts.iter().filter(|host| host.own_name);
                Self::Verify(proved.map(|host| host.name.clone()).collect())
            }
        }
    }
}

/// A level has risen: the event `learned.raised`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    pub from: Option<Level>,
    pub evidence: Evidence,
}

/// A level has ended because nobody has tried the domain for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lapsed {
    pub level: Level,
    pub since: Timestamp,
    pub last_tried: Timestamp,
}

/// What is known of one recipient domain. The default knows nothing, which is also what forgetting leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    format: Format<1>,
    hosts: BTreeMap<Domain, History>,
    /// Hosts beyond [`HOSTS_MAX`].
    others: Days,
    last_tried: Timestamp,
    in_force: Option<InForce>,
}

impl Learned {
    /// Takes in what a session showed.
    pub fn observe(&mut self, observation: &Observation<'_>, now: Timestamp) {
        self.attempted(now);
        for history in self.hosts.values_mut() {
            history.settle(now);
        }
        self.others.settle(day_of(now));
        self.hosts.retain(|_, history| !history.days.is_empty());
        if self.hosts.len() < HOSTS_MAX || self.hosts.contains_key(observation.mx) {
            self.hosts.entry(observation.mx.clone()).or_default().add(observation, now);
        } else {
            self.others.add(&nameless(observation), day_of(now));
        }
    }

    /// Mail was to go there, whatever came of it. This alone keeps a level in force: a path that is cut for long must
    /// not make it lapse.
    pub fn attempted(&mut self, now: Timestamp) {
        self.last_tried = self.last_tried.max(now);
    }

    /// Ends the level of a domain that is idle. Only for a `now` of a clock that has proved itself.
    pub fn lapse(&mut self, thresholds: &Thresholds, now: Timestamp) -> Option<Lapsed> {
        let in_force = if self.is_idle(thresholds, now) { self.in_force.take() } else { None };
        in_force.map(|InForce { since, evidence }| Lapsed { level: evidence.level, since, last_tried: self.last_tried })
    }

    /// An attempt in days to come is the trace of a clock that was wrong: it counts as one of now. Gives whether there
    /// was one. Only for a `now` of a clock that has proved itself.
    pub fn settle(&mut self, now: Timestamp) -> bool {
        let is_ahead = day_of(self.last_tried) > day_of(now);
        if is_ahead {
            self.last_tried = now;
        }
        is_ahead
    }

    /// Nobody has tried the domain for so long that nothing here counts any more.
    pub fn is_idle(&self, thresholds: &Thresholds, now: Timestamp) -> bool {
        day_of(now).saturating_sub(day_of(self.last_tried)) >= thresholds.expiry_days
    }

    /// The highest level that all mail hosts have met.
    pub fn level(&self, terms: &Terms<'_>, now: Timestamp) -> Option<Level> {
        self.proposal(terms, now).map(|evidence| evidence.level)
    }

    /// The same with its evidence: what `learn = "propose"` shows.
    pub fn proposal(&self, terms: &Terms<'_>, now: Timestamp) -> Option<Evidence> {
        Level::ALL.iter().rev().find_map(|level| self.evidence(*level, terms, now).ok())
    }

    /// The evidence for one level.
    ///
    /// # Errors
    /// The first thing that stands in its way.
    pub fn evidence(&self, level: Level, terms: &Terms<'_>, now: Timestamp) -> Result<Evidence, Lacking> {
        evidence::gather(self, level, terms, now)
    }

    /// Puts into force what was met, if that is more than what is in force: for `learn = "enforce"`.
    pub fn raise(&mut self, terms: &Terms<'_>, now: Timestamp) -> Option<Raised> {
        let from = self.level_in_force();
        let evidence = self.proposal(terms, now).filter(|evidence| Some(evidence.level) > from)?;
        self.in_force = Some(InForce { since: now, evidence: evidence.clone() });
        Some(Raised { from, evidence })
    }

    pub const fn in_force(&self) -> Option<&InForce> {
        self.in_force.as_ref()
    }

    pub fn level_in_force(&self) -> Option<Level> {
        self.in_force().map(|in_force| in_force.evidence.level)
    }

    /// What a delivery must meet, if a level is in force.
    pub fn requirement(&self) -> Option<published::Learned> {
        self.in_force().map(|in_force| (&in_force.evidence).into())
    }

    /// The hosts among `current` that somebody should look at, so that what they show is known well enough.
    pub fn unseen(&self, current: &[Domain], thresholds: &Thresholds, now: Timestamp) -> Vec<Domain> {
        evidence::unseen(self, current, thresholds, now)
    }

    /// Forgets all, the evidence too: else it would put the level back at once.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Lets go of what was seen, where there is no room for more than the level in force.
    pub fn forget_evidence(&mut self) {
        self.hosts.clear();
        self.others = Days::default();
    }

    /// TLS has been seen there, so that its absence is a loss.
    pub fn has_shown_tls(&self) -> bool {
        let has_tls = |history: &History| history.sights.encrypt.max(history.sights.verify).is_some();
        self.in_force.is_some() || self.hosts.values().any(has_tls)
    }

    pub const fn last_tried(&self) -> Timestamp {
        self.last_tried
    }

    /// Every host that is kept by name, and when it showed what.
    pub fn hosts(&self) -> impl Iterator<Item = (&Domain, &Sights)> {
        self.hosts.iter().map(|(name, history)| (name, &history.sights))
    }
}

/// A name that is not kept can be asked of nobody later, so one that was proved is worth no more than encryption.
fn nameless<'a>(observation: &Observation<'a>) -> Observation<'a> {
    let shown = match observation.shown {
        Shown::Verified(Proved::OwnName) => Shown::Encrypted,
        Shown::Verified(Proved::Both) => Shown::Verified(Proved::Domain),
        shown => shown,
    };
    Observation { shown, ..*observation }
}
