//! What is told of TLS reports, from the book of a running daemon or of a stopped one, and sending one on demand.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::facts::tlsrpt::filed::{Filed, FiledTarget};
use crate::facts::tlsrpt::{Book, Subject};
use crate::mail::tlsrpt::day::Day;
use crate::mail::tlsrpt::message::Submitter;
use crate::mail::tlsrpt::report::Report;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::outbound::Outbound;
use crate::outbound::reporting::sending;

use super::protocol::Response;

/// Most entries of one list.
pub const LIST_ENTRIES_MAX: usize = 1000;

/// Which reports; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    #[serde(default)]
    pub domain: Option<Domain>,
    #[serde(default)]
    pub day: Option<Day>,
}

/// What was counted, newest day first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tallies {
    pub tallies: Vec<TallyStatus>,
    /// Older ones that were left out.
    pub omitted: usize,
    /// Whether reports are made at all.
    pub reports: bool,
}

/// What was counted for one domain on one day, and what became of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyStatus {
    pub domain: Domain,
    pub day: Day,
    /// Each session counts once for each policy that it was held against.
    pub successes: u64,
    pub failures: u64,
    /// When the report is tried first.
    pub due: Timestamp,
    /// When it was tried first; `None`: not yet.
    pub tried: Option<Timestamp>,
    /// The places that it goes to. Tried and empty: the domain wants none any more, or it was too late.
    pub targets: Vec<FiledTarget>,
    /// The last report that was sent on demand before the day was over.
    #[serde(default)]
    pub early: Option<Filed>,
}

/// One report as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub status: TallyStatus,
    pub report: Report,
}

/// The book beside who reports.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    pub book: &'a Book,
    /// Our own name, which ids and moments of reports depend on.
    pub node: &'a Domain,
    /// `None`: no reports are made.
    pub submitter: Option<&'a Submitter>,
}

impl Reading<'_> {
    pub fn list(&self, which: &Which) -> Tallies {
        let is_asked = |subject: &Subject| {
            which.domain.as_ref().is_none_or(|domain| *domain == subject.domain)
                && which.day.is_none_or(|day| day == subject.day)
        };
        let mut subjects: Vec<Subject> = self.book.subjects().filter(is_asked).collect();
        subjects.sort_by(|a, b| b.day.cmp(&a.day).then_with(|| a.domain.as_str().cmp(b.domain.as_str())));
        let omitted = subjects.len().saturating_sub(LIST_ENTRIES_MAX);
        subjects.truncate(LIST_ENTRIES_MAX);
        let tallies = subjects.iter().filter_map(|subject| self.status(subject)).collect();
        Tallies { tallies, omitted, reports: self.submitter.is_some() }
    }

    /// The report of this day, else of the newest.
    pub fn show(&self, domain: &Domain, day: Option<Day>) -> Result<Shown, String> {
        let submitter = self.submitter.ok_or(
            "no TLS reports are made: write contact under [tlsrpt] of the configuration, without send = false",
        )?;
        let subject = self.find(domain, day, |_| true).ok_or_else(|| nothing(domain, day))?;
        let status = self.status(&subject).ok_or_else(|| nothing(domain, day))?;
        let tally = self.book.tally(&subject).ok_or_else(|| nothing(domain, day))?;
        Ok(Shown { status, report: tally.report(submitter, subject.report_id(self.node)) })
    }

    /// What is meant where no day is named: the newest that is over.
    fn meant_to_send(&self, domain: &Domain, day: Option<Day>, today: Day) -> Result<Subject, String> {
        if let Some(found) = self.find(domain, day, |day| day < today) {
            return Ok(found);
        }
        let Some(open) = self.find(domain, day, |_| true) else { return Err(nothing(domain, day)) };
        let due = open.due(self.node).brief();
        let hint = format!("to send what was counted so far, name the day: gatepost tlsrpt send {domain} {}", open.day);
        Err(format!("no day of {domain} is over yet; the report on {} goes out at {due}; {hint}", open.day))
    }

    /// The newest of the domain that is as asked for.
    fn find(&self, domain: &Domain, day: Option<Day>, fits: impl Fn(Day) -> bool) -> Option<Subject> {
        let of_domain = self.book.subjects().filter(|subject| subject.domain == *domain);
        of_domain.filter(|subject| day.map_or_else(|| fits(subject.day), |day| subject.day == day)).last()
    }

    fn status(&self, subject: &Subject) -> Option<TallyStatus> {
        let totals = self.book.tally(subject)?.totals();
        let (tried, targets) = match self.book.filed(subject) {
            Some(Filed { at, targets }) => (Some(at), targets),
            None => (None, Vec::new()),
        };
        Some(TallyStatus {
            domain: subject.domain.clone(),
            day: subject.day,
            successes: totals.successes,
            failures: totals.failures,
            due: subject.due(self.node),
            tried,
            targets,
            early: self.book.early(subject),
        })
    }
}

fn nothing(domain: &Domain, day: Option<Day>) -> String {
    match day {
        Some(day) => format!("nothing was counted for {domain} on {day}"),
        None => format!("nothing was counted for {domain}: no mail was sent there, or it asks for no TLS reports"),
    }
}

/// The answer to a list.
pub(super) fn list(outbound: &Outbound, which: &Which) -> Response {
    Response::TlsrptList(reading(outbound, |reading| reading.list(which)))
}

/// The answer to a report that is to be shown.
pub(super) fn show(outbound: &Outbound, domain: &Domain, day: Option<Day>) -> Response {
    match reading(outbound, |reading| reading.show(domain, day)) {
        Ok(shown) => Response::TlsrptReport(Box::new(shown)),
        Err(message) => Response::wrong(message),
    }
}

/// The day that is meant where none is named: the newest that is over.
pub(super) fn day_to_send(outbound: &Outbound, domain: &Domain, day: Option<Day>) -> Result<Subject, Response> {
    let today = Day::of(clock::timestamp());
    reading(outbound, |reading| reading.meant_to_send(domain, day, today)).map_err(Response::wrong)
}

/// Sends one report now; the answer tells what became of it at each place.
pub(super) async fn send(outbound: &Arc<Outbound>, subject: &Subject) -> Response {
    match sending::send_now(outbound, subject).await {
        Ok(filed) => Response::TlsrptSent { domain: subject.domain.clone(), day: subject.day, targets: filed.targets },
        Err(error) => Response::fault(error.to_string()),
    }
}

fn reading<T>(outbound: &Outbound, ask: impl FnOnce(Reading<'_>) -> T) -> T {
    let snapshot = outbound.snapshot.load();
    let reporter = snapshot.reporter.as_ref();
    if let Some(reporter) = reporter {
        outbound.reports.write_down(reporter.domains_max);
    }
    ask(Reading {
        book: &outbound.reports.book,
        node: &snapshot.hostname,
        submitter: reporter.map(|reporter| &reporter.submitter),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::tlsrpt::session::SessionResult;
    use crate::mail::tlsrpt::tally::Tally;
    use crate::memory::Memory;

    #[test]
    fn without_a_day_nothing_is_sent_of_a_day_that_is_not_over() {
        let book = Book::new(Memory::ephemeral());
        let [a, b, gone] = ["a.example", "b.example", "gone.example"].map(|name| Domain::parse(name).unwrap());
        let [before, today]: [Day; 2] = ["2027-01-01", "2027-01-02"].map(|day| day.parse().unwrap());
        for (domain, day) in [(&a, before), (&a, today), (&b, today)] {
            let mut tally = Tally::new(domain.clone(), day);
            tally.add(&SessionResult { applied: Vec::new(), failure: None });
            book.add(&tally, 10).unwrap();
        }
        let reading = Reading { book: &book, node: &a, submitter: None };
        for (domain, day, expected) in [
            (&a, None, Ok(before)),
            (&a, Some(today), Ok(today)),
            (&b, Some(today), Ok(today)),
            (&b, None, Err("no day of b.example is over yet; the report on 2027-01-02 goes out at 2027-01-03T0")),
            (&gone, None, Err("nothing was counted for gone.example")),
        ] {
            match (reading.meant_to_send(domain, day, today).map(|subject| subject.day), expected) {
                (Err(seen), Err(expected)) => assert!(seen.starts_with(expected), "{seen}"),
                (seen, expected) => assert_eq!(seen, expected.map_err(str::to_owned)),
            }
        }
    }
}
