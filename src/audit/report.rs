//! How mail came and went: by version, cipher grade and identity, what was refused and what would be, period by period.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::model::tls::{ProtocolVersion, TlsFacts, Verified};

use super::facts::{Counted, Facts, Kind, Messages, domain_of};
use super::pass::Tally;
use super::remembered::Remembered;

/// Periods that are told apart; what exceeds them is counted with the last.
const PERIODS_MAX: usize = 4000;
const DAY: Duration = Duration::from_secs(86_400);
/// Bytes of `2027-01`, `2027-01-02`, `2027-01-02T03` and `2027-01-02T03:04`.
const MONTH_BYTES: usize = 7;
const DAY_BYTES: usize = 10;
const HOUR_BYTES: usize = 13;
const MINUTE_BYTES: usize = 16;

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Minute,
    Hour,
    Day,
    /// Named by its Monday.
    Week,
    Month,
}

impl Period {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The beginning of an RFC 3339 time that tells the period.
    fn stem(self, time: &str) -> &str {
        let bytes = match self {
            Self::Minute => MINUTE_BYTES,
            Self::Hour => HOUR_BYTES,
            Self::Day | Self::Week => DAY_BYTES,
            Self::Month => MONTH_BYTES,
        };
        time.get(..bytes).unwrap_or(time)
    }

    /// The period that an RFC 3339 time lies in: `2027-01-02T03:04`, `2027-01-02T03`, `2027-01-02`, or `2027-01`.
    pub fn of(self, time: &str) -> Box<str> {
        let stem = self.stem(time);
        let monday = if self == Self::Week { monday(stem) } else { None };
        monday.map_or_else(|| stem.into(), Into::into)
    }
}

/// The Monday of the week in which a day lies.
fn monday(day: &str) -> Option<String> {
    let at: Timestamp = format!("{day}T00:00:00Z").parse().ok()?;
    let days = at.micros().div_euclid(i64::try_from(DAY.as_micros()).ok()?);
    // 1970-01-01 was a Thursday.
    let since = u32::try_from((days + 3).rem_euclid(7)).ok()?;
    Some((at - since * DAY).day())
}

/// A session as reports see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SessionKind {
    version: ProtocolVersion,
    grade: CipherGrade,
    verified: Verified,
}

/// What happened in one direction and one period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Accepted or delivered.
    pub messages: u64,
    pub plaintext: u64,
    pub versions: BTreeMap<ProtocolVersion, u64>,
    pub grades: BTreeMap<CipherGrade, u64>,
    /// By the words of [`Verified`]; plaintext counts as `none`.
    pub identities: BTreeMap<&'static str, u64>,
    /// By reason; outbound these are bounces.
    pub refused: BTreeMap<Box<str>, u64>,
    /// By reason.
    pub deferred: BTreeMap<Box<str>, u64>,
    /// Accepted, and recorded as what would be refused, by reason.
    pub reported: BTreeMap<Box<str>, u64>,
}

impl Sums {
    pub fn absorb(&mut self, other: &Self) {
        self.messages += other.messages;
        self.plaintext += other.plaintext;
        add_all(&mut self.versions, &other.versions);
        add_all(&mut self.grades, &other.grades);
        add_all(&mut self.identities, &other.identities);
        add_all(&mut self.refused, &other.refused);
        add_all(&mut self.deferred, &other.deferred);
        add_all(&mut self.reported, &other.reported);
    }
}

fn add_all<K: Ord + Clone>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    from.iter().for_each(|(key, count)| to.entry(key.clone()).or_default().add_assign(*count));
}

/// The other side of the mail: who sends what comes in, who gets what goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    pub domain: Domain,
    pub with_below: bool,
}

impl Partner {
    fn is(&self, domain: &Domain) -> bool {
        let is_below = || {
            let above = domain.as_str().strip_suffix(self.domain.as_str());
            above.is_some_and(|above| above.ends_with('.'))
        };
        *domain == self.domain || (self.with_below && is_below())
    }
}

/// Sums by direction and period.
#[derive(Debug)]
pub struct Report {
    period: Period,
    partner: Option<Partner>,
    pub inbound: BTreeMap<Box<str>, Sums>,
    pub outbound: BTreeMap<Box<str>, Sums>,
    sessions: Remembered<Option<SessionKind>>,
    is_partner: Remembered<bool>,
    /// The beginning of the last time that was met, with its period.
    last_period: (Box<str>, Box<str>),
    messages: Messages,
    counted: Counted,
}

impl Report {
    pub fn new(period: Period, partner: Option<Partner>) -> Self {
        Self {
            period,
            partner,
            inbound: BTreeMap::new(),
            outbound: BTreeMap::new(),
            sessions: Remembered::default(),
            is_partner: Remembered::default(),
            last_period: Default::default(),
            messages: Messages::default(),
            counted: Counted::default(),
        }
    }

    fn concerns(&mut self, facts: &Facts<'_>) -> bool {
        if self.partner.is_none() {
            return true;
        }
        if facts.kind.is_inbound() {
            return facts.from.as_deref().is_some_and(|from| self.is_partner(from));
        }
        facts.to().any(|to| self.is_partner(&to))
    }

    fn is_partner(&mut self, address: &str) -> bool {
        let name = domain_of(address);
        if let Some(known) = self.is_partner.get(name.as_bytes()) {
            return known;
        }
        let is_partner =
            self.partner.as_ref().is_none_or(|partner| Domain::parse(name).is_ok_and(|domain| partner.is(&domain)));
        self.is_partner.insert(name.as_bytes(), is_partner, 0);
        is_partner
    }

    /// `None` is plaintext.
    fn session(&mut self, tls: &[u8]) -> Option<SessionKind> {
        if let Some(known) = self.sessions.get(tls) {
            return known;
        }
        let facts: Option<TlsFacts> = serde_json::from_slice(tls).unwrap_or_default();
        let kind = facts.map(|facts| SessionKind {
            version: facts.version,
            grade: facts.grade(),
            verified: facts.peer.as_ref().map_or(Verified::None, |peer| peer.verified),
        });
        self.sessions.insert(tls, kind, 0);
        kind
    }

    fn sums(&mut self, facts: &Facts<'_>) -> &mut Sums {
        let stem = self.period.stem(facts.time);
        if *self.last_period.0 != *stem {
            self.last_period = (stem.into(), self.period.of(stem));
        }
        let of_direction = if facts.kind.is_inbound() { &mut self.inbound } else { &mut self.outbound };
        sums_of(of_direction, &self.last_period.1)
    }

    /// Forgets the periods before this one.
    pub fn forget_before(&mut self, period: &str) {
        for periods in [&mut self.inbound, &mut self.outbound] {
            *periods = periods.split_off(period);
        }
    }
}

fn sums_of<'a>(periods: &'a mut BTreeMap<Box<str>, Sums>, period: &str) -> &'a mut Sums {
    let is_full = periods.len() >= PERIODS_MAX && !periods.contains_key(period);
    let last = periods.keys().next_back().filter(|_| is_full).cloned();
    periods.entry(last.unwrap_or_else(|| period.into())).or_default()
}

impl Tally for Report {
    fn take(&mut self, facts: &Facts<'_>) {
        if !self.concerns(facts) || !self.counted.is_new(facts) {
            return;
        }
        let is_message = self.messages.is_new(facts);
        let session = if is_message { self.session(facts.tls) } else { None };
        let sums = self.sums(facts);
        if is_message {
            count_message(sums, session);
        }
        match facts.kind {
            Kind::Delivered => {}
            Kind::Accepted => {
                let recorded = facts.recorded();
                if recorded.verdict == "would_refuse" {
                    add(&mut sums.reported, recorded.reason);
                }
            }
            Kind::Refused => {
                let recorded = facts.recorded();
                let counts = if recorded.verdict == "defer" { &mut sums.deferred } else { &mut sums.refused };
                add(counts, recorded.reason);
            }
            Kind::Deferred => add(&mut sums.deferred, facts.delivery_reason()),
            Kind::Bounced => add(&mut sums.refused, facts.delivery_reason()),
        }
    }

    fn absorb(&mut self, other: Self) {
        for (mine, theirs) in [(&mut self.inbound, other.inbound), (&mut self.outbound, other.outbound)] {
            theirs.iter().for_each(|(period, sums)| sums_of(mine, period).absorb(sums));
        }
    }
}

fn count_message(sums: &mut Sums, session: Option<SessionKind>) {
    sums.messages += 1;
    let identity = match session {
        Some(SessionKind { version, grade, verified }) => {
            sums.versions.entry(version).or_default().add_assign(1);
            sums.grades.entry(grade).or_default().add_assign(1);
            verified
        }
        None => {
            sums.plaintext += 1;
            Verified::None
        }
    };
    sums.identities.entry(identity.as_str()).or_default().add_assign(1);
}

/// Reasons are the words of a closed list.
fn add(counts: &mut BTreeMap<Box<str>, u64>, reason: Option<&str>) {
    let reason = reason.unwrap_or("unknown");
    match counts.get_mut(reason) {
        Some(count) => *count += 1,
        None => _ = counts.insert(reason.into(), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lie_in_their_periods() {
        for (period, time, expected) in [
            (Period::Minute, "2027-01-02T03:04:05.000000Z", "2027-01-02T03:04"),
            (Period::Hour, "2027-01-02T03:04:05.000000Z", "2027-01-02T03"),
            (Period::Day, "2027-01-02T03:04:05.000000Z", "2027-01-02"),
            (Period::Month, "2027-01-02T03:04:05.000000Z", "2027-01"),
            (Period::Week, "2027-01-02T03:04:05.000000Z", "2026-12-28"),
            (Period::Week, "2026-12-28T00:00:00.000000Z", "2026-12-28"),
            (Period::Week, "2027-01-03T23:59:59.999999Z", "2026-12-28"),
            (Period::Week, "2027-01-04T00:00:00.000000Z", "2027-01-04"),
            (Period::Week, "1969-12-31T00:00:00.000000Z", "1969-12-29"),
        ] {
            assert_eq!(&*period.of(time), expected, "{period:?} {time}");
        }
    }

    #[test]
    fn a_partner_is_its_domain_and_what_is_below_only_if_asked() {
        let domain = |text| Domain::parse(text).unwrap();
        let partner = |with_below| Partner { domain: domain("bank.example"), with_below };
        for (name, exact, below) in [
            ("bank.example", true, true),
            ("mx.bank.example", false, true),
            ("notbank.example", false, false),
            ("example", false, false),
        ] {
            assert_eq!((partner(false).is(&domain(name)), partner(true).is(&domain(name))), (exact, below), "{name}");
        }
    }
}
