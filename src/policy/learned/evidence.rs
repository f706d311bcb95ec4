//! Whether what was seen of a domain is enough for a level, and what it is.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::domain::Domain;
use crate::model::time::Timestamp;

use super::history::{Day, History, day_of, start_of};
use super::{Learned, Level, Terms, Thresholds};

/// Hosts that a line of text names; it says how many more there are.
const HOSTS_SHOWN_MAX: usize = 8;

/// Why a level is, or may be, learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub level: Level,
    /// Midnight of the first day.
    pub first: Timestamp,
    /// Midnight of the last day.
    pub last: Timestamp,
    /// Days on which mail was delivered.
    pub days: u32,
    pub deliveries: u64,
    /// Every host that was seen, by name.
    pub hosts: Vec<HostEvidence>,
}

/// What one mail host adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEvidence {
    pub name: Domain,
    pub deliveries: u64,
    /// When it was last seen.
    pub last: Timestamp,
    /// A certificate for its own name counts from then on: it showed one on enough days, and is a mail host still.
    pub own_name: bool,
    /// Days on which it showed one.
    #[serde(default)]
    pub name_days: u32,
}

/// `verify: 24 deliveries on 8 days from 2027-01-01 to 2027-01-09, by mx1.bank.example, mx2.bank.example`.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, first, last, days, deliveries, hosts } = self;
        write!(f, "{level}: {deliveries} deliveries on {days} days from {} to {}", first.day(), last.day())?;
        for (index, host) in hosts.iter().take(HOSTS_SHOWN_MAX).enumerate() {
            write!(f, "{}{}", if index == 0 { ", by " } else { ", " }, host.name)?;
        }
        match hosts.len().saturating_sub(HOSTS_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Why a level is not learned: the first thing that stands in its way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    #[error("{} showed {} on {}", named(.host.as_ref()), word(*.shown), .day.day())]
    Below {
        /// `None`: one of those beyond [`super::HOSTS_MAX`], whose names are not kept.
        host: Option<Domain>,
        /// `None` is plaintext.
        shown: Option<Level>,
        /// Midnight of the newest such day.
        day: Timestamp,
    },
    /// It is among the domain's MX records.
    #[error("{host} was not seen yet")]
    Unseen { host: Domain },
    /// It is among the domain's MX records and has shown its own name, not long enough for that to count.
    #[error("{host} showed its own name on {have} of {wanted} days")]
    Name { host: Domain, have: u32, wanted: u32 },
    #[error("{have} of {wanted} deliveries")]
    Deliveries { have: u64, wanted: u32 },
    #[error("deliveries on {have} of {wanted} days")]
    Days { have: u32, wanted: u32 },
}

fn named(host: Option<&Domain>) -> &str {
    host.map_or("a host of many", Domain::as_str)
}

const fn word(shown: Option<Level>) -> &'static str {
    match shown {
        Some(level) => level.as_str(),
        None => "plaintext",
    }
}

/// Holds what `learned` has seen against `terms`.
pub(super) fn gather(learned: &Learned, level: Level, terms: &Terms<'_>, now: Timestamp) -> Result<Evidence, Lacking> {
    let first = first_day(terms.thresholds, now);
    let mut sum = Sum::default();
    let mut hosts = Vec::new();
    for (name, history) in &learned.hosts {
        sum.add(history.days.since(first), level, Some(name))?;
        hosts.extend(host_evidence(name, history, first, terms));
    }
    sum.add(learned.others.since(first), level, None)?;
    for current in terms.current.into_iter().flatten() {
        let seen = hosts.binary_search_by(|seen: &HostEvidence| seen.name.cmp(current)).ok();
        match seen.and_then(|seen| hosts.get(seen)) {
            None => return Err(Lacking::Unseen { host: current.clone() }),
            Some(seen) if level == Level::Verify && seen.name_days > 0 && !seen.own_name => {
                let (have, wanted) = (seen.name_days, terms.thresholds.days);
                return Err(Lacking::Name { host: current.clone(), have, wanted });
            }
            Some(_) => {}
        }
    }
    sum.evidence(level, hosts, terms)
}

/// The mail hosts of `current` that a look at them would help: those that were not seen within the window, and those
/// whose own name was not shown on enough days, nor today.
pub(super) fn unseen(learned: &Learned, current: &[Domain], thresholds: &Thresholds, now: Timestamp) -> Vec<Domain> {
    let (first, today) = (first_day(thresholds, now), day_of(now));
    let has_names = learned.level_in_force() == Some(Level::Verify);
    let wants_look = |host: &&Domain| {
        let Some(history) = learned.hosts.get(*host) else { return true };
        let (days, last) = history
            .days
            .since(first)
            .fold((0, None), |(names, _), (number, day)| (names + u32::from(day.own_name), Some(number)));
        let is_name_short = days > 0 && days < thresholds.days && !has_names;
        last.is_none() || (is_name_short && last < Some(today))
    };
    current.iter().filter(wants_look).cloned().collect()
}

/// The first day that counts.
fn first_day(thresholds: &Thresholds, now: Timestamp) -> u32 {
    day_of(now).saturating_add(1).saturating_sub(thresholds.expiry_days)
}

fn host_evidence(name: &Domain, history: &History, first: u32, terms: &Terms<'_>) -> Option<HostEvidence> {
    let mut days = history.days.since(first).peekable();
    days.peek()?;
    let (deliveries, name_days) = days.fold((0, 0), |(deliveries, names), (_, day)| {
        (u64::from(day.deliveries).saturating_add(deliveries), names + u32::from(day.own_name))
    });
    // One answer that was forged names a host on one day, and hardly on the day of the rise as well.
    let is_current = terms.current.is_none_or(|current| current.contains(name));
    let own_name = is_current && name_days >= terms.thresholds.days.max(1);
    Some(HostEvidence { name: name.clone(), deliveries, last: history.sights.last()?, own_name, name_days })
}

/// Deliveries of all hosts together: a host that stands by and takes little mail shall not keep its domain back.
#[derive(Debug, Default)]
struct Sum {
    deliveries: u64,
    days: BTreeSet<u32>,
}

impl Sum {
    fn add(
        &mut self,
        days: impl Iterator<Item = (u32, Day)>,
        level: Level,
        host: Option<&Domain>,
    ) -> Result<(), Lacking> {
        let mut below = None;
        for (number, day) in days {
            if day.weakest < Some(level) {
                below = Some(Lacking::Below { host: host.cloned(), shown: day.weakest, day: start_of(number) });
            }
            self.deliveries = self.deliveries.saturating_add(day.deliveries.into());
            self.days.extend((day.deliveries > 0).then_some(number));
        }
        below.map_or(Ok(()), Err)
    }

    fn evidence(self, level: Level, hosts: Vec<HostEvidence>, terms: &Terms<'_>) -> Result<Evidence, Lacking> {
        // Without a single delivery nothing is learned, whatever the thresholds say.
        let wanted = terms.thresholds.deliveries.max(1);
        if self.deliveries < wanted.into() {
            return Err(Lacking::Deliveries { have: self.deliveries, wanted });
        }
        let (have, wanted) = (u32::try_from(self.days.len()).unwrap_or(u32::MAX), terms.thresholds.days);
        if have < wanted {
            return Err(Lacking::Days { have, wanted });
        }
        let first = self.days.first().copied().map(start_of).unwrap_or_default();
        let last = self.days.last().copied().map(start_of).unwrap_or_default();
        Ok(Evidence { level, first, last, days: have, deliveries: self.deliveries, hosts })
    }
}
