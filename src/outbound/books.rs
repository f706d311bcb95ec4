//! What the dispatcher remembers of each destination for the operator, beside what the scheduler knows: how old its
//! mail is, how fast it goes, and what went wrong there last.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::escape::shortened;
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::time::{Instant, Timestamp};
use crate::schedule::lane::LaneKey;
use crate::schedule::site::SiteKey;

use super::destination::Destination;
use super::outcome::Failure;
use super::targets::Target;

/// Books of destinations that have no mail now, kept a while for their rates.
const IDLE_BOOKS_MAX: usize = 1000;
/// How long they are kept, and how often that is looked at.
const IDLE_BOOK_SECS: u64 = 60;
const TIDY_SECS: u64 = 10;
/// Ages are told apart to this: a lane of any length has a bounded number of steps within the lifetime of its mail.
const AGE_STEP_SECS: i64 = 4;
/// A rate is that of about this time.
const RATE_SECS: f64 = 10.0;
/// What is kept of the words about a failure.
const TROUBLE_BYTES_MAX: usize = 160;

/// What went wrong at a destination last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub at: Timestamp,
    pub reason: Reason,
    /// The host that it went wrong at, if one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mx: Option<String>,
    /// The remote's reply or our own words, escaped and cut short.
    pub detail: String,
}

impl Trouble {
    pub(super) fn of(failure: &Failure, at: Timestamp) -> Self {
        let mx = failure.target.as_ref().map(Target::shown);
        Self { at, reason: failure.reason, mx, detail: shortened(&failure.detail, TROUBLE_BYTES_MAX).into_owned() }
    }
}

/// How often something happens, the last seconds counting most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    per_second: f64,
    at: Instant,
}

impl Rate {
    pub(super) fn count(&mut self, now: Instant) {
        *self = Self { per_second: self.per_second(now) + 1.0 / RATE_SECS, at: now };
    }

    pub(super) fn per_second(&self, now: Instant) -> f64 {
        self.per_second * (-now.saturating_since(self.at).as_secs_f64() / RATE_SECS).exp()
    }
}

/// When the messages of a destination came in, in steps: what comes last is appended, what leaves from the front is
/// dropped.
#[derive(Debug, Default)]
struct Ages(VecDeque<(i64, u32)>);

impl Ages {
    fn join(&mut self, at: Timestamp) {
        let step = Self::step(at);
        match self.0.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(place) => {
                if let Some((_, count)) = self.0.get_mut(place) {
                    *count = count.saturating_add(1);
                }
            }
            Err(place) => self.0.insert(place, (step, 1)),
        }
    }

    fn leave(&mut self, at: Timestamp) {
        let place = self.0.binary_search_by_key(&Self::step(at), |(step, _)| *step);
        if let Some((_, count)) = place.ok().and_then(|place| self.0.get_mut(place)) {
            *count = count.saturating_sub(1);
        }
        while self.0.front().is_some_and(|(_, count)| *count == 0) {
            self.0.pop_front();
        }
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.0.front().map(|(step, _)| Timestamp::from_secs(step * AGE_STEP_SECS))
    }

    fn step(at: Timestamp) -> i64 {
        at.micros().div_euclid(1_000_000 * AGE_STEP_SECS)
    }
}

/// One destination.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) destination: Destination,
    pub(super) delivered: Rate,
    pub(super) deferred: Rate,
    pub(super) last: Option<Box<Trouble>>,
    /// Who serves it, as far as an attempt found out.
    site: Option<SiteKey>,
    ages: Ages,
    jobs: usize,
    /// The last thing that happened.
    touched: Instant,
}

impl Book {
    /// When the oldest of its messages came in, a few seconds early at most.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.ages.oldest()
    }
}

/// How a run ended, as far as it is of interest here.
#[derive(Debug, Default)]
pub(super) struct RunEnd {
    pub(super) is_delivered: bool,
    pub(super) is_deferred: bool,
    pub(super) trouble: Option<Trouble>,
}

/// All destinations, by lane. A destination with mail always has its book.
#[derive(Debug, Default)]
pub(super) struct Books {
    by_lane: BTreeMap<LaneKey, Book>,
    idle: usize,
    tidied: Instant,
    /// Messages that came in.
    pub(super) arrived: Rate,
    pub(super) delivered: Rate,
    pub(super) deferred: Rate,
}

impl Books {
    #[cfg(test)]
    fn get(&self, lane: &LaneKey) -> Option<&Book> {
        self.by_lane.get(lane)
    }

    /// By name, so that those that are alike stay where they are from look to look.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&LaneKey, &Book)> {
        self.by_lane.iter()
    }

    /// A job for the destination has come.
    pub(super) fn join(&mut self, lane: &LaneKey, destination: &Destination, message: MessageId, now: Instant) {
        let book = self.by_lane.entry(lane.clone()).or_insert_with(|| {
            self.idle += 1;
            Book {
                destination: destination.clone(),
                delivered: Rate::default(),
                deferred: Rate::default(),
                last: None,
                site: None,
                ages: Ages::default(),
                jobs: 0,
                touched: now,
            }
        });
        if book.jobs == 0 {
            self.idle = self.idle.saturating_sub(1);
        }
        book.jobs += 1;
        book.ages.join(message.made_at());
    }

    pub(super) fn site(&self, lane: &LaneKey) -> Option<&SiteKey> {
        self.by_lane.get(lane)?.site.as_ref()
    }

    pub(super) fn set_site(&mut self, lane: &LaneKey, site: &SiteKey) {
        if let Some(book) = self.by_lane.get_mut(lane) {
            book.site = Some(site.clone());
        }
    }

    /// A job of the destination has left.
    pub(super) fn leave(&mut self, lane: &LaneKey, message: MessageId, now: Instant) {
        let Some(book) = self.by_lane.get_mut(lane) else { return };
        book.ages.leave(message.made_at());
        book.jobs = book.jobs.saturating_sub(1);
        book.touched = now;
        if book.jobs > 0 {
            return;
        }
        self.idle += 1;
        if self.idle > IDLE_BOOKS_MAX {
            self.by_lane.remove(lane);
            self.idle -= 1;
        } else {
            book.last = None;
        }
    }

    /// A run has ended.
    pub(super) fn ended(&mut self, lane: &LaneKey, end: RunEnd, now: Instant) {
        let RunEnd { is_delivered, is_deferred, trouble } = end;
        let mut book = self.by_lane.get_mut(lane);
        if is_delivered {
            self.delivered.count(now);
            book.as_mut().into_iter().for_each(|book| book.delivered.count(now));
        }
        if is_deferred {
            self.deferred.count(now);
            book.as_mut().into_iter().for_each(|book| book.deferred.count(now));
        }
        if let (Some(book), Some(trouble)) = (book, trouble) {
            book.last = Some(Box::new(trouble));
        }
    }

    /// Drops what has been without mail for a while. False if that was looked at a moment ago.
    pub(super) fn tidy(&mut self, now: Instant) -> bool {
        if now.saturating_since(self.tidied) < Duration::from_secs(TIDY_SECS) {
            return false;
        }
        self.tidied = now;
        if self.idle > 0 {
            let is_kept =
                |book: &Book| book.jobs > 0 || now.saturating_since(book.touched) < Duration::from_secs(IDLE_BOOK_SECS);
            self.by_lane.retain(|_, book| is_kept(book));
            self.idle = self.by_lane.values().filter(|book| book.jobs == 0).count();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::destination::Destination;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(secs: i64) -> MessageId {
        MessageId::new(Timestamp::from_secs(1_800_000_000 + secs), 7)
    }

    fn now(secs: u64) -> Instant {
        Instant::from_start(Duration::from_secs(secs))
    }

    fn age(book: &Book) -> Option<i64> {
        book.oldest().map(|at| at.micros() / 1_000_000 - 1_800_000_000)
    }

    #[test]
    fn the_age_of_a_destination_is_that_of_its_oldest_message_in_whatever_order_they_come_and_go() {
        let (mut books, lane) = (Books::default(), LaneKey::new("own bank.example 0"));
        let destination = Destination::named("bank.example");
        for secs in [400, 800, 40, 800, 404] {
            books.join(&lane, &destination, id(secs), now(0));
        }
        for (leaves, expected) in
            [(404, Some(40)), (40, Some(400)), (400, Some(800)), (800, Some(800)), (800, None), (800, None)]
        {
            books.leave(&lane, id(leaves), now(1));
            assert_eq!(books.get(&lane).and_then(age), expected, "{leaves}");
        }
    }

    #[test]
    fn the_steps_of_an_age_are_few_however_many_messages_there_are() {
        let mut ages = Ages::default();
        (0..100_000).for_each(|millis| ages.join(Timestamp::from_micros(millis * 1000)));
        assert_eq!(ages.0.len(), 100 / AGE_STEP_SECS as usize);
    }

    #[test]
    fn a_rate_rises_to_what_happens_and_falls_when_nothing_does() {
        let mut rate = Rate::default();
        let mut at = now(0);
        for _ in 0..1000 {
            at = at + SECOND / 20;
            rate.count(at);
        }
        assert!((19.0..21.0).contains(&rate.per_second(at)), "{rate:?}");
        assert!(rate.per_second(at + 60 * SECOND) < 0.1);
    }

    #[test]
    fn what_went_wrong_is_forgotten_with_the_last_message_and_the_destination_a_minute_later() {
        let (mut books, lane) = (Books::default(), LaneKey::new("own bank.example 0"));
        books.join(&lane, &Destination::named("bank.example"), id(0), now(0));
        let trouble = Failure::ours(Reason::ConnectTimeout, false, "\u{1b}".repeat(1000));
        let trouble = Trouble::of(&trouble, Timestamp::from_secs(0));
        assert!(trouble.detail.len() <= TROUBLE_BYTES_MAX + 4 && !trouble.detail.contains('\u{1b}'));
        let end = RunEnd { is_deferred: true, trouble: Some(trouble), ..RunEnd::default() };
        books.ended(&lane, end, now(1));
        assert_eq!(books.get(&lane).unwrap().last.as_ref().unwrap().reason, Reason::ConnectTimeout);
        books.leave(&lane, id(0), now(2));
        assert_eq!(books.get(&lane).unwrap().last, None);
        books.tidy(now(61));
        assert!(books.get(&lane).is_some());
        books.tidy(now(61 + TIDY_SECS));
        assert!(books.get(&lane).is_none() && books.idle == 0);
    }

    #[test]
    fn destinations_without_mail_are_remembered_within_a_bound() {
        let mut books = Books::default();
        for number in 0..2 * IDLE_BOOKS_MAX {
            let lane = LaneKey::new(&format!("own {number} 0"));
            books.join(&lane, &Destination::named("x"), id(0), now(0));
            books.leave(&lane, id(0), now(0));
        }
        assert_eq!((books.by_lane.len(), books.idle), (IDLE_BOOKS_MAX, IDLE_BOOKS_MAX));
    }
}
