//! TLS reports (RFC 8460): sessions are counted for the domains that ask for it, and each domain is told of its day.

mod counting;
mod mailing;
mod posting;
pub mod sending;
mod session;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::facts::tlsrpt::filed::TargetState;
use crate::facts::tlsrpt::{Book, NotCounted, Subject};
use crate::mail::dkim::Signer;
use crate::mail::tlsrpt::day::Day;
use crate::mail::tlsrpt::message::Submitter;
use crate::mail::tlsrpt::session::SessionResult;
use crate::mail::tlsrpt::tally::Tally;
use crate::metrics::Metrics;
use crate::model::time::Timestamp;
use crate::spool::Spool;

pub(super) use counting::Failed;
pub use counting::count;

use session::Opened;

/// Sessions that wait to be counted. Above that they are lost to the reports, and a metric says so.
const SESSIONS_WAITING_MAX: usize = 10_000;
/// How long sessions are gathered before they are written down together.
const GATHER_DELAY: Duration = Duration::from_millis(150);
/// How long the report mail itself is tried (RFC 8460 section 5.5).
pub(super) const MAIL_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Who reports, under one configuration.
#[derive(Debug)]
pub struct Reporter {
    pub submitter: Submitter,
    /// `None`: mail is not sent, as it would not be signed (RFC 8460 section 5.3).
    pub signer: Option<Signer>,
    /// Domains that are counted for in a day.
    pub domains_max: usize,
}

/// What counting and sending share.
#[derive(Debug)]
pub struct Reports {
    pub book: Book,
    metrics: Arc<Metrics>,
    sessions: mpsc::Sender<Session>,
    /// Counted, and not yet in the book.
    gathered: Mutex<HashMap<Subject, Tally>>,
    /// The last day on which too many domains were to be counted.
    full_day: Mutex<Option<Day>>,
    /// Reports that are being sent.
    under_way: Mutex<HashSet<Subject>>,
    wake: Notify,
}

/// A session that is to be counted.
#[derive(Debug)]
pub struct Session {
    subject: Subject,
    opened: Opened,
    /// The host of a route has an MTA-STS policy of its own, which the attempt keeps for no longer than it decides.
    asks_sts: bool,
}

/// The sessions of deliveries, in the order in which they ended.
pub type Sessions = mpsc::Receiver<Session>;

impl Reports {
    /// With the queue for [`count`].
    pub fn new(book: Book, metrics: Arc<Metrics>) -> (Self, Sessions) {
        let (sessions, queue) = mpsc::channel(SESSIONS_WAITING_MAX);
        let reports = Self {
            book,
            metrics,
            sessions,
            gathered: Mutex::default(),
            full_day: Mutex::default(),
            under_way: Mutex::default(),
            wake: Notify::new(),
        };
        (reports, queue)
    }

    /// At a start, before anything is delivered: reports of which a crash left open whether they are in the queue.
    pub fn settle(&self, spool: &Spool, now: Timestamp) {
        for subject in self.book.subjects() {
            let Some(mut filed) = self.book.filed(&subject) else { continue };
            let mut is_changed = false;
            for target in &mut filed.targets {
                let TargetState::Queuing { message, tries } = target.state else { continue };
                is_changed = true;
                target.state = match spool.contains(message) {
                    true => TargetState::Sent { at: now, message: Some(message) },
                    false => TargetState::Waiting { tries, next: now, error: None },
                };
            }
            if is_changed && let Err(error) = self.book.file(&subject, &filed) {
                let Subject { day, domain } = &subject;
                tracing::warn!(%domain, %day, %error, "the state of a report is not kept");
            }
        }
    }

    /// Writes down what was gathered. Never waits for the disk.
    pub fn write_down(&self, domains_max: usize) {
        let gathered = std::mem::take(&mut *self.gathered());
        for (subject, tally) in gathered {
            if let Err(error) = self.book.add(&tally, domains_max) {
                let Subject { day, domain } = &subject;
                let totals = tally.totals();
                self.metrics.tlsrpt_sessions_lost.inc_by(totals.successes.saturating_add(totals.failures));
                match error {
                    // Once a day.
                    NotCounted::TooMany if self.full_day().replace(*day) == Some(*day) => {}
                    NotCounted::TooMany => {
                        tracing::warn!(%domain, domains_max, "not counted for TLS reports: too many domains");
                    }
                    NotCounted::Refused(error) => {
                        tracing::error!(%domain, %error, "sessions are not counted for TLS reports");
                    }
                }
            }
        }
    }

    fn gather(&self, subject: &Subject, result: &SessionResult) {
        let mut gathered = self.gathered();
        let empty = || Tally::new(subject.domain.clone(), subject.day);
        gathered.entry(subject.clone()).or_insert_with(empty).add(result);
    }

    /// Panics of other holders leave whole values behind, here and below.
    fn gathered(&self) -> MutexGuard<'_, HashMap<Subject, Tally>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full_day(&self) -> MutexGuard<'_, Option<Day>> {
        self.full_day.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<Subject>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
