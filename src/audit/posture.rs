//! How the mail of the last month was protected, kept up to date as records are written: sums by minute and hour, and
//! the last mail that was not taken or would not be.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::time::Timestamp;
use crate::model::tls::{TlsFacts, TlsOrNone};

use super::facts::{Facts, Kind, Said, read};
use super::pass::Tally;
use super::report::{Period, Report, Sums};

/// Mail that is listed one by one.
pub const NOTED_MAX: usize = 50;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// How far back the sums go.
pub const MONTH: Duration = Duration::from_secs(30 * 86_400);
/// Sums are kept for a little longer than they are shown.
const KEPT_LONGER: Duration = Duration::from_secs(2 * 3600);

/// How far back one looks, and in what steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// In minutes.
    Hour,
    /// In hours.
    #[default]
    Day,
    /// In days.
    Month,
}

impl Window {
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    const fn period(self) -> Period {
        match self {
            Self::Hour => Period::Minute,
            Self::Day => Period::Hour,
            Self::Month => Period::Day,
        }
    }

    const fn step(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(60),
            Self::Day => HOUR,
            Self::Month => DAY,
        }
    }

    const fn length(self) -> Duration {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
            Self::Month => MONTH,
        }
    }

    /// The periods up to the one that `now` lies in, oldest first.
    pub fn periods(self, now: Timestamp) -> Vec<Box<str>> {
        let count = u32::try_from(self.length().as_secs() / self.step().as_secs()).unwrap_or(1);
        let begin = |back: u32| self.period().of(&(now - self.step() * back).to_string());
        (0..count).rev().map(begin).collect()
    }
}

/// Mail that was not taken, did not go out, or would not be taken under what is only reported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Noted {
    /// RFC 3339.
    pub time: Box<str>,
    /// The id of the record.
    pub record: Box<str>,
    pub is_inbound: bool,
    /// `refused`, `deferred`, `would_refuse` or `bounced`.
    pub verdict: &'static str,
    pub reason: Box<str>,
    /// Empty for the null sender.
    pub from: Box<str>,
    /// The first recipient; `None` where it was refused before one was named.
    pub to: Option<Box<str>>,
    /// `TLSv1 ECDHE-RSA-AES128-SHA`, or `none`; empty where nothing was sent.
    pub session: Box<str>,
}

impl Noted {
    fn of(facts: &Facts<'_>) -> Option<Self> {
        let recorded = facts.recorded();
        let (verdict, reason) = match facts.kind {
            Kind::Delivered | Kind::Deferred => return None,
            Kind::Accepted if recorded.verdict != "would_refuse" => return None,
            Kind::Accepted => ("would_refuse", recorded.reason),
            Kind::Refused if recorded.verdict == "defer" => ("deferred", recorded.reason),
            Kind::Refused => ("refused", recorded.reason),
            Kind::Bounced => ("bounced", facts.delivery_reason()),
        };
        let tls: Option<TlsFacts> = serde_json::from_slice(facts.tls).unwrap_or_default();
        let is_untalked = || facts.next_hop.mx.is_none() || facts.reply().is_none();
        let is_untried = !facts.kind.is_inbound() && tls.is_none() && is_untalked();
        let session = if is_untried { "".into() } else { TlsOrNone(tls.as_ref()).to_string().into() };
        Some(Self {
            time: facts.time.into(),
            record: facts.id.into(),
            is_inbound: facts.kind.is_inbound(),
            verdict,
            reason: reason.unwrap_or("unknown").into(),
            from: facts.from.as_deref().unwrap_or_default().into(),
            to: facts.to().next().map(Into::into),
            session,
        })
    }
}

/// Sums of one direction over a window, in its steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trend {
    /// Oldest first; every step is there, with its name such as `2027-01-02T03`.
    pub steps: Vec<(Box<str>, Sums)>,
    pub total: Sums,
}

/// Everything that is kept.
#[derive(Debug)]
pub struct Posture {
    /// Of times from here on the minutes count too: the beginning of an RFC 3339 time.
    minutes_from: Box<str>,
    minutes: Report,
    hours: Report,
    /// Oldest first.
    noted: VecDeque<Noted>,
}

impl Posture {
    pub fn new(now: Timestamp) -> Self {
        Self {
            minutes_from: minutes_from(now),
            minutes: Report::new(Period::Minute, None),
            hours: Report::new(Period::Hour, None),
            noted: VecDeque::new(),
        }
    }

    /// Takes a line of the log; what is no record of mail changes nothing.
    pub fn take_line(&mut self, line: &[u8]) {
        if let Ok(Said::Facts(facts)) = read(line) {
            self.take(&facts);
        }
    }

    /// Forgets what is older than a month, and the minutes of hours that are past.
    pub fn forget(&mut self, now: Timestamp) {
        self.minutes_from = minutes_from(now);
        self.minutes.forget_before(&self.minutes_from);
        self.hours.forget_before(&Period::Hour.of(&(now - MONTH - KEPT_LONGER).to_string()));
    }

    /// What was not taken or would not be, newest first.
    pub fn noted(&self) -> impl Iterator<Item = &Noted> {
        self.noted.iter().rev()
    }

    pub fn trend(&self, is_inbound: bool, window: Window, now: Timestamp) -> Trend {
        let kept = if window == Window::Hour { &self.minutes } else { &self.hours };
        let kept = if is_inbound { &kept.inbound } else { &kept.outbound };
        let by_period = in_periods(kept, window.period());
        let mut trend = Trend::default();
        for period in window.periods(now) {
            let sums = by_period.get(&period).cloned().unwrap_or_default();
            trend.total.absorb(&sums);
            trend.steps.push((period, sums));
        }
        trend
    }

    fn note(&mut self, noted: Noted) {
        if self.noted.len() >= NOTED_MAX {
            self.noted.pop_front();
        }
        self.noted.push_back(noted);
    }
}

fn minutes_from(now: Timestamp) -> Box<str> {
    Period::Minute.of(&(now - HOUR - KEPT_LONGER).to_string())
}

/// Sums of shorter periods put together.
fn in_periods(kept: &BTreeMap<Box<str>, Sums>, period: Period) -> BTreeMap<Box<str>, Sums> {
    let mut found: BTreeMap<Box<str>, Sums> = BTreeMap::new();
    for (begin, sums) in kept {
        found.entry(period.of(begin)).or_default().absorb(sums);
    }
    found
}

impl Tally for Posture {
    fn take(&mut self, facts: &Facts<'_>) {
        if *facts.time >= *self.minutes_from {
            self.minutes.take(facts);
        }
        self.hours.take(facts);
        if let Some(noted) = Noted::of(facts).filter(|_| facts.part_of.is_none()) {
            self.note(noted);
        }
    }

    fn absorb(&mut self, other: Self) {
        self.minutes.absorb(other.minutes);
        self.hours.absorb(other.hours);
        let mut all: Vec<Noted> = self.noted.drain(..).chain(other.noted).collect();
        all.sort();
        all.into_iter().for_each(|noted| self.note(noted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_every_step_up_to_the_present_one() {
        let now: Timestamp = "2027-03-01T00:30:15Z".parse().unwrap();
        for (window, count, first, last) in [
            (Window::Hour, 60, "2027-02-28T23:31", "2027-03-01T00:30"),
            (Window::Day, 24, "2027-02-28T01", "2027-03-01T00"),
            (Window::Month, 30, "2027-01-31", "2027-03-01"),
        ] {
            let periods = window.periods(now);
            assert_eq!((periods.len(), &*periods[0], &*periods[count - 1]), (count, first, last), "{window:?}");
        }
    }

    fn line(time: &str, event: &str, rest: &str) -> String {
        format!(
            "{{\"seq\":1,\"time\":\"{time}\",\"id\":\"0{}\",\"event\":\"{event}\",\"message\":null,\"listener\":\"mx\",\
             \"client\":null,\"from\":\"a@a.example\",\"to\":[\"b@b.example\"],\"tls\":null,{rest}}}",
            "1".repeat(25)
        )
    }

    #[test]
    fn mail_is_summed_in_its_steps_and_what_was_not_taken_is_noted() {
        let now: Timestamp = "2027-03-01T12:00:00Z".parse().unwrap();
        let mut posture = Posture::new(now);
        let accept = "\"policy\":{\"verdict\":\"accept\",\"stage\":\"rcpt\",\"reason\":null}";
        let refuse = "\"policy\":{\"verdict\":\"refuse\",\"stage\":\"rcpt\",\"reason\":\"tls-required\"}";
        let late = "\"mx\":null,\"mx_trusted\":null,\"route\":null,\"reason\":\"null-mx\",\"reply\":\"556 5.1.10 no\"";
        for (time, event, rest) in [
            ("2027-02-20T08:00:00.000000Z", "inbound.accepted", accept),
            ("2027-03-01T11:59:30.000000Z", "inbound.accepted", accept),
            ("2027-03-01T11:59:31.000000Z", "inbound.refused", refuse),
            ("2027-03-01T11:59:32.000000Z", "outbound.bounced", late),
        ] {
            posture.take_line(line(time, event, rest).as_bytes());
        }
        posture.take_line(b"no record");
        let counts = |window| {
            let Trend { steps, total } = posture.trend(true, window, now);
            let used = steps.iter().filter(|(_, sums)| sums.messages > 0).count();
            (total.messages, total.plaintext, total.refused.values().sum::<u64>(), used)
        };
        assert_eq!(counts(Window::Hour), (1, 1, 1, 1));
        assert_eq!(counts(Window::Day), (1, 1, 1, 1));
        assert_eq!(counts(Window::Month), (2, 2, 1, 2));
        let noted: Vec<_> = posture.noted().map(|one| (one.verdict, &*one.reason, &*one.session)).collect();
        assert_eq!(noted, [("bounced", "null-mx", ""), ("refused", "tls-required", "none")]);
        posture.forget(now + MONTH);
        assert_eq!(posture.trend(true, Window::Month, now).total.messages, 1);
    }

    #[test]
    fn no_more_is_noted_than_there_is_room_for() {
        let mut posture = Posture::new(Timestamp::from_secs(1_800_000_000));
        let refuse = "\"policy\":{\"verdict\":\"refuse\",\"stage\":\"rcpt\",\"reason\":\"tls-required\"}";
        for second in 0..NOTED_MAX + 5 {
            let time = format!("2027-03-01T11:{:02}:{:02}.000000Z", second / 60, second % 60);
            posture.take_line(line(&time, "inbound.refused", refuse).as_bytes());
        }
        let noted: Vec<_> = posture.noted().map(|one| one.time.to_string()).collect();
        assert_eq!((noted.len(), noted[0].as_str()), (NOTED_MAX, "2027-03-01T11:00:54.000000Z"));
    }
}
