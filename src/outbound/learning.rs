//! What deliveries teach about the TLS of their destinations, and what is recorded and told when that changes.
//!
//! Only mail that goes to a domain's own mail hosts teaches anything: a route answers to its own keys.

#[cfg(test)]
mod tests;
mod words;

use crate::audit::event::{Event, Record, Stamp};
use crate::clock;
use crate::facts::learned::{Destination, News, Session, Sign};
use crate::model::reason::Reason;
use crate::model::record::AuditEntry;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::alarm::Notice;
use crate::policy::host_requirement::{Evidence, HostRequirement};
use crate::policy::interference::Change;
use crate::policy::learned::{Level, Shown};
use crate::policy::outbound::Requirement;
use crate::policy::session_check::{IdentityCheck, identify};
use crate::policy::settings::{Fact, Source};
use crate::random;

use super::Outbound;
use super::attempt::Attempt;
use super::records::Subject;
use super::seen::{Seen, What};
use super::targets::Target;

impl Attempt {
    /// The mail hosts are known and none is connected to yet.
    pub(super) fn learn_hosts(&mut self) {
        self.mail_hosts = self.hosts.iter().filter_map(|host| host.name.clone()).collect();
        let now = clock::timestamp();
        let news = self.destination().map(|to| self.outbound.facts.learned.attempted(&to, now)).unwrap_or_default();
        self.tell(news, None, now);
    }

    /// Learns from what was seen of a host.
    pub(super) fn learn(&self, seen: &Seen<'_>) {
        let Some(session) = self.destination().and_then(|to| session(to, seen, &self.decision.requirement)) else {
            return;
        };
        let session = Session { record: self.recorded.filter(|_| session.deliveries > 0), ..session };
        let news = self.outbound.facts.learned.see(&session, seen.at);
        let has_fallen = news.iter().any(|news| matches!(news, News::Fallen(_)));
        if session.violation.is_some() || has_fallen {
            self.outbound.metrics.learned_violations.inc();
        }
        self.tell(news, seen.what.tls(), seen.at);
    }

    /// What is learned about; `None` where nothing is.
    fn destination(&self) -> Option<Destination<'_>> {
        let domain = self.domain.as_ref().filter(|_| self.decision.is_by_mx())?;
        Some(Destination { domain, hosts: &self.mail_hosts, learn: self.decision.following.learn.value })
    }

    fn tell(&self, news: Vec<News>, tls: Option<&TlsFacts>, now: Timestamp) {
        // Of a message that was never sent there nothing is told.
        let subject = self.carries_mail().then_some(&self.subject);
        let told = Told { stamp: &self.snapshot.stamp, subject, tls, now };
        for news in news {
            match news {
                News::Unseen(hosts) => _ = self.unseen.set(hosts),
                news => told.tell(&self.outbound, &news),
            }
        }
    }
}

/// What ends by itself is ended, and what was learned is handed to the memory; to be called every second or so.
pub async fn tick(outbound: &Outbound) {
    let (store, now) = (outbound.facts.learned.clone(), clock::timestamp());
    let Ok(news) = tokio::task::spawn_blocking(move || store.tick(now, clock::now())).await else { return };
    let snapshot = outbound.snapshot.load();
    let told = Told { stamp: &snapshot.stamp, subject: None, tls: None, now };
    news.iter().for_each(|news| told.tell(outbound, news));
    let standing = outbound.facts.learned.standing();
    outbound.metrics.learned(standing.levels.encrypt, standing.levels.verify);
    outbound.metrics.learned_alarms.set(i64::try_from(standing.alarms.len()).unwrap_or(i64::MAX));
    outbound.metrics.path_interference.set(i64::from(standing.suspicion.is_some()));
}

impl<'a> What<'a> {
    fn tls(self) -> Option<&'a TlsFacts> {
        match self {
            Self::Connected(tls) | Self::Delivered(tls) | Self::Failed { tls, .. } => tls,
        }
    }
}

/// What a session means for those who learn; `None` if there was none, or with nobody who has a name.
fn session<'a>(to: Destination<'a>, seen: &Seen<'a>, written: &Requirement) -> Option<Session<'a>> {
    let Target { name, address, requirement, .. } = seen.target;
    // Without a requirement no connection was made.
    let (mx, requirement) = name.as_ref().zip(requirement.as_deref())?;
    let asked = asked(seen.target, requirement);
    let tls = seen.what.tls();
    let unmet = asked.and_then(|level| unmet(level, requirement, tls));
    let (shown, violation, path, deliveries) = match seen.what {
        What::Connected(_) => (true, None, tls.map(|_| Sign::Met), 0),
        What::Delivered(_) => (true, None, tls.map(|_| Sign::Met), 1),
        What::Failed { reason, lost, .. } => {
            let violation = unmet.filter(|_| lost).and_then(|unmet| violation(reason, unmet, tls));
            // A handshake that was cut shows nothing: it may be the network.
            let has_shown = tls.is_some() || reason == Reason::StarttlsNotSupported;
            (has_shown, violation, lost_by(reason, tls), 0)
        }
    };
    Some(Session {
        to,
        mx,
        address: address.ip(),
        shown: shown.then(|| Shown::of(tls, to.domain, mx)),
        deliveries,
        // What destinations publish of themselves is in their hands: no alarm rests on that alone.
        is_enforced: !written.permits_plaintext(),
        asked,
        violation,
        path,
        record: None,
    })
}

const LEARNED: Source = Source::Fact(Fact::Learned);

/// The learned level that the requirement has in it.
fn asked(target: &Target, requirement: &HostRequirement) -> Option<Level> {
    target.published.learned.as_ref()?;
    let is_proved = requirement.proofs.iter().any(|proof| proof.source == LEARNED);
    Some(if is_proved { Level::Verify } else { Level::Encrypt })
}

/// What is wrong with a session by the learned level alone: another part of the requirement may ask for more.
fn unmet(level: Level, requirement: &HostRequirement, tls: Option<&TlsFacts>) -> Option<Reason> {
    let Some(tls) = tls else { return Some(Reason::StarttlsNotSupported) };
    if level == Level::Encrypt {
        return None;
    }
    let learned = requirement.proofs.iter().filter(|proof| proof.source == LEARNED);
    learned
        .filter_map(|proof| match &proof.of {
            Evidence::Names(identity) => Some(identify(identity, tls.peer.as_ref())),
            Evidence::Tlsa(_) => None,
        })
        .find_map(|check| match check {
            IdentityCheck::Failed(reason) => Some(reason),
            IdentityCheck::Verified(_) | IdentityCheck::Unknown => None,
        })
}

/// Without TLS it is told what became of it; not where the host has TLS and what is written asks for a better one.
fn violation(reason: Reason, unmet: Reason, tls: Option<&TlsFacts>) -> Option<Reason> {
    match (tls, reason) {
        (Some(_), _) => Some(unmet),
        (None, Reason::StarttlsNotSupported | Reason::ValidationFailure) => Some(reason),
        (None, _) => None,
    }
}

/// What a failure says about the path: TLS that is not there, is cut or garbled, or is somebody else's. What the host
/// alone can do wrong says nothing.
fn lost_by(reason: Reason, tls: Option<&TlsFacts>) -> Option<Sign> {
    match reason {
        Reason::StarttlsNotSupported => Some(Sign::Stripped),
        Reason::ValidationFailure if tls.is_none() => Some(Sign::Stripped),
        Reason::CertificateNotTrusted | Reason::CertificateHostMismatch => Some(Sign::Strange),
        _ => None,
    }
}

/// What the records of one moment share.
struct Told<'a> {
    stamp: &'a Stamp,
    /// The message that it came up with.
    subject: Option<&'a Subject>,
    tls: Option<&'a TlsFacts>,
    now: Timestamp,
}

impl Told<'_> {
    /// Into the log and the audit log.
    fn tell(&self, outbound: &Outbound, news: &News) {
        let text = words::of(news);
        match news {
            News::Raised { .. } | News::Alarm(Notice::Cleared { .. }) | News::Path(Change::Cleared { .. }) => {
                tracing::info!("{text}");
            }
            News::Path(Change::Suspected(_)) => tracing::error!("{text}"),
            News::Unseen(_) => tracing::debug!("{text}"),
            News::Lapsed { .. } | News::Alarm(_) | News::Fallen(_) => tracing::warn!("{text}"),
        }
        if let Some(alert) = words::alert(news, self.now, &self.stamp.node) {
            outbound.alerts.put(&alert);
        }
        let Some(event) = event(news) else { return };
        if let Err(fault) = outbound.spool.record_lazily(None, vec![self.entry(event, text)]) {
            tracing::warn!(%fault, "what was learned could not be recorded");
        }
    }

    fn entry(&self, event: Event, text: String) -> AuditEntry {
        let mut record = Record::new(self.stamp, self.now, random::record_id(self.now), event);
        record.session = self.subject.map(|subject| subject.session);
        record.message = self.subject.map(|subject| subject.envelope.id);
        record.tls = self.tls;
        record.detail = Some(text);
        record.entry()
    }
}

fn event(news: &News) -> Option<Event> {
    match news {
        News::Raised { .. } => Some(Event::LearnedRaised),
        // As what else changes by date.
        News::Lapsed { .. } => Some(Event::ConfigLoaded),
        News::Alarm(_) | News::Fallen(_) => Some(Event::LearnedViolation),
        News::Path(_) => Some(Event::PathInterference),
        News::Unseen(_) => None,
    }
}
