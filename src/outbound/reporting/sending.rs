//! Sending: when a day is over and its moment has come, the report goes to every place that the domain names.
//!
//! A report is mailed once, also through a crash: what is about to be queued is on disk before it is, and a start looks
//! whether it got there. Only where the crash comes after the queue has it, and within the moment until that is on disk
//! too, and the mail is delivered in the same moment, it is sent twice. A web server may get a report twice if the
//! crash comes right behind its answer. Copies have the same report id.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::clock;
use crate::dns::{LookupError, Service};
use crate::facts::tlsrpt::Subject;
use crate::facts::tlsrpt::filed::{Filed, FiledTarget, TargetState};
use crate::mail::tlsrpt::day::Day;
use crate::mail::tlsrpt::gzip;
use crate::mail::tlsrpt::report::Report;
use crate::metrics::{ReportResult, Transport};
use crate::model::address::Address;
use crate::model::destination::WebhookUrl;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;
use crate::outbound::{Outbound, Snapshot};
use crate::policy::tlsrpt_record::{self, ReportTarget};
use crate::random;
use crate::tls::https::https_client;

use super::mailing::{self, Letter};
use super::posting::Poster;
use super::{Reporter, Reports};

/// Between two looks at what is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Reports that are sent at once.
const REPORTS_AT_ONCE_MAX: usize = 8;
/// Reports that are looked at before others have their turn.
const SUBJECTS_IN_A_ROW_MAX: usize = 256;
/// How many days late the first try may be: after a stop of the daemon. What is older is given up.
const LATE_DAYS_MAX: u32 = 2;

/// Why a report is not sent now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    #[error("no TLS reports are made: [tlsrpt] of the configuration has no contact, or send = false")]
    Off,
    #[error("nothing was counted for {0} on {1}")]
    Nothing(Domain, Day),
    #[error("the TLSRPT record of the domain cannot be looked up: {0}")]
    Lookup(LookupError),
    #[error("the domain publishes no TLSRPT record that can be used, so it wants no reports")]
    NotWanted,
    #[error("this report is being sent right now")]
    UnderWay,
}

/// Sends what is due, again and again. Ends never.
pub async fn run(outbound: Arc<Outbound>) {
    loop {
        let now = clock::timestamp();
        let today = Day::of(now);
        outbound.reports.book.forget_old(today);
        send_due(&outbound, now).await;
        _ = timeout(LOOK_INTERVAL, outbound.reports.wake.notified()).await;
    }
}

/// One look, and all that it leads to.
async fn send_due(outbound: &Arc<Outbound>, now: Timestamp) {
    let snapshot = outbound.snapshot.load_full();
    let Some(reporter) = snapshot.reporter.clone() else { return };
    let mut running = JoinSet::new();
    for (number, subject) in outbound.reports.book.subjects().enumerate() {
        if number % SUBJECTS_IN_A_ROW_MAX == 0 {
            yield_now().await;
        }
        if !is_due(outbound, &snapshot, &subject, now) {
            continue;
        }
        while running.len() >= REPORTS_AT_ONCE_MAX {
            _ = running.join_next().await;
        }
        let (outbound, snapshot, reporter) = (outbound.clone(), snapshot.clone(), reporter.clone());
        running.spawn(async move {
            let Some(claim) = Claim::of(&outbound.reports, &subject) else { return };
            Sending { outbound: &outbound, snapshot: &snapshot, reporter: &reporter, claim: &claim }.scheduled().await;
        });
    }
    while running.join_next().await.is_some() {}
}

fn is_due(outbound: &Outbound, snapshot: &Snapshot, subject: &Subject, now: Timestamp) -> bool {
    if subject.day >= Day::of(now) {
        return false;
    }
    match outbound.reports.book.filed(subject) {
        None => subject.due(&snapshot.hostname) <= now,
        Some(filed) => filed.targets.iter().any(|target| target.state.is_due(now)),
    }
}

/// Sends one report now, whether it was sent before or not. Of a day that is not over it is a report of its own about
/// the day so far, and the whole day is reported later.
pub async fn send_now(outbound: &Arc<Outbound>, subject: &Subject) -> Result<Filed, NotSent> {
    let snapshot = outbound.snapshot.load_full();
    let Some(reporter) = snapshot.reporter.clone() else { return Err(NotSent::Off) };
    outbound.reports.write_down(reporter.domains_max);
    if outbound.reports.book.tally(subject).is_none() {
        return Err(NotSent::Nothing(subject.domain.clone(), subject.day));
    }
    let claim = Claim::of(&outbound.reports, subject).ok_or(NotSent::UnderWay)?;
    let sending = Sending { outbound, snapshot: &snapshot, reporter: &reporter, claim: &claim };
    let targets = sending.targets().await?;
    if targets.is_empty() {
        return Err(NotSent::NotWanted);
    }
    let filed = Filed::new(clock::timestamp(), &targets);
    let is_over = subject.day < Day::of(clock::timestamp());
    let mut sent = sending.send(filed, is_over).await;
    if !is_over {
        // The whole day is reported later, so that nobody tries this one again.
        sent.give_up_waiting(clock::timestamp());
        if let Err(error) = outbound.reports.book.file_early(subject, &sent) {
            let Subject { day, domain } = subject;
            tracing::warn!(%domain, %day, %error, "that a report was sent early is not kept");
        }
    }
    Ok(sent)
}

/// The right to send one report, for as long as this value lives.
struct Claim<'a> {
    reports: &'a Reports,
    subject: &'a Subject,
}

impl<'a> Claim<'a> {
    fn of(reports: &'a Reports, subject: &'a Subject) -> Option<Self> {
        reports.under_way().insert(subject.clone()).then_some(Self { reports, subject })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.reports.under_way().remove(self.subject);
    }
}

struct Sending<'a> {
    outbound: &'a Arc<Outbound>,
    snapshot: &'a Snapshot,
    reporter: &'a Reporter,
    claim: &'a Claim<'a>,
}

/// A report in the forms that it is sent in.
struct Made {
    report: Report,
    gzipped: Vec<u8>,
}

impl Sending<'_> {
    /// The next tries of a report whose day is over.
    async fn scheduled(&self) {
        let subject = self.claim.subject;
        let now = clock::timestamp();
        if let Some(filed) = self.outbound.reports.book.filed(subject) {
            self.send(filed, true).await;
            return;
        }
        if subject.day < Day::of(now).before(LATE_DAYS_MAX) {
            tracing::warn!(domain = %subject.domain, day = %subject.day, "a TLS report is too late and is not sent");
            return self.file(&Filed::new(now, &[]));
        }
        match self.targets().await {
            Ok(targets) if targets.is_empty() => {
                tracing::info!(domain = %subject.domain, day = %subject.day, "the domain wants no TLS report any more");
                self.file(&Filed::new(now, &[]));
            }
            Ok(targets) => {
                self.send(Filed::new(now, &targets), true).await;
            }
            // Looked up again at the next look, until the report is too late.
            Err(error) => {
                tracing::debug!(domain = %subject.domain, %error, "a TLS report waits");
            }
        }
    }

    /// Where the domain wants reports now; empty if nowhere.
    async fn targets(&self) -> Result<Vec<ReportTarget>, NotSent> {
        match self.outbound.resolver.text(Service::TlsRpt, &self.claim.subject.domain).await {
            Ok(answer) => match tlsrpt_record::parse(&answer.records) {
                Ok(Some(found)) => Ok(found.targets),
                Ok(None) | Err(_) => Ok(Vec::new()),
            },
            Err(error) if error.is_temporary() => Err(NotSent::Lookup(error)),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Tries each place that is due. What becomes of it is written down if the report is that of the whole day.
    async fn send(&self, mut filed: Filed, is_whole: bool) -> Filed {
        let Some(made) = self.make(is_whole) else { return filed };
        for place in 0..filed.targets.len() {
            let Some(target) = filed.targets.get(place).filter(|target| target.state.is_due(clock::timestamp())) else {
                continue;
            };
            let (target, first) = (target.clone(), filed.at);
            let tell = |state: TargetState| {
                if let Some(target) = filed.targets.get_mut(place) {
                    target.state = state;
                }
                if is_whole {
                    self.file(&filed);
                }
            };
            self.try_target(&target, first, &made, tell).await;
        }
        filed
    }

    async fn try_target(&self, target: &FiledTarget, first: Timestamp, made: &Made, mut tell: impl FnMut(TargetState)) {
        let subject = self.claim.subject;
        let (transport, result) = match target.to.target() {
            Some(ReportTarget::Mail(to)) => {
                let message = random::message_id(clock::timestamp());
                if self.reporter.signer.is_some() {
                    tell(TargetState::Queuing { message, tries: target.state.tries() });
                    self.flush().await;
                }
                (Transport::Mail, self.mail(message, &to, made).await.map(|()| Some(message)))
            }
            Some(ReportTarget::Https(url)) => {
                let result = self.post(&url, made).await;
                (Transport::Https, result.map(|()| None).map_err(Failed::Again))
            }
            None => (Transport::Https, Err(Failed::ForGood("this URL cannot be used".to_owned()))),
        };
        let now = clock::timestamp();
        let (domain, day, to) = (&subject.domain, subject.day, &target.to);
        let state = match result {
            Ok(message) => {
                tracing::info!(%domain, %day, %to, "a TLS report was sent");
                TargetState::Sent { at: now, message }
            }
            Err(Failed::ForGood(error)) => TargetState::GivenUp { at: now, error },
            Err(Failed::Again(error)) => target.state.failed(error, now, first),
        };
        let counted = match &state {
            TargetState::GivenUp { error, .. } => {
                tracing::warn!(%domain, %day, %to, error, "a TLS report is given up");
                ReportResult::GivenUp
            }
            TargetState::Waiting { error, .. } => {
                tracing::info!(%domain, %day, %to, error, "a TLS report is sent later");
                ReportResult::Failed
            }
            TargetState::Queuing { .. } | TargetState::Sent { .. } => ReportResult::Sent,
        };
        self.outbound.metrics.tlsrpt_report(transport, counted);
        tell(state);
        self.flush().await;
    }

    fn make(&self, is_whole: bool) -> Option<Made> {
        let subject = self.claim.subject;
        let tally = self.outbound.reports.book.tally(subject)?;
        let id = match is_whole {
            true => subject.report_id(&self.snapshot.hostname),
            false => random::message_id(clock::timestamp()),
        };
        let report = tally.report(&self.reporter.submitter, id);
        // It has no part that JSON cannot say.
        let gzipped = gzip(&report.to_json().ok()?);
        Some(Made { report, gzipped })
    }

    async fn mail(&self, id: MessageId, to: &Address, made: &Made) -> Result<(), Failed> {
        let Some(signer) = &self.reporter.signer else {
            return Err(Failed::ForGood("mail must be signed, and [tlsrpt].dkim is not written".to_owned()));
        };
        let now = clock::timestamp();
        let letter = Letter {
            report: &made.report,
            gzipped: &made.gzipped,
            domain: &self.claim.subject.domain,
            submitter: &self.reporter.submitter,
            to,
            id,
            session: random::session_id(now),
            now,
        };
        let message = mailing::message(&letter, signer, &self.outbound.spool);
        let message = message.map_err(|error| Failed::ForGood(error.to_string()))?;
        let accepted = self.outbound.spool.accept(message, Vec::new()).await;
        accepted.map_err(|fault| Failed::Again(fault.to_string()))
    }

    async fn post(&self, url: &WebhookUrl, made: &Made) -> Result<(), String> {
        let tls = https_client(&self.outbound.roots).map_err(|error| error.to_string())?;
        let poster = Poster { resolver: self.outbound.resolver.as_ref(), targets: &self.snapshot.targets, tls };
        poster.post(url, &made.gzipped).await.map_err(|error| error.to_string())
    }

    fn file(&self, filed: &Filed) {
        if let Err(error) = self.outbound.reports.book.file(self.claim.subject, filed) {
            tracing::error!(domain = %self.claim.subject.domain, %error, "what became of a TLS report is not kept");
        }
    }

    async fn flush(&self) {
        let book = self.outbound.reports.book.clone();
        _ = tokio::task::spawn_blocking(move || book.flush()).await;
    }
}

/// Why a try failed.
enum Failed {
    Again(String),
    ForGood(String),
}
