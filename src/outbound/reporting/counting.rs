//! Counting: deliveries tell of their sessions, and those of domains that ask for reports go into the book.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::dns::{Resolver, Service};
use crate::facts::tlsrpt::Subject;
use crate::mail::tlsrpt::day::Day;
use crate::mail::tlsrpt::session::SessionResult;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::tls::TlsFacts;
use crate::outbound::Outbound;
use crate::outbound::attempt::Attempt;
use crate::outbound::session::{Connection, Known, OpenFailure};
use crate::outbound::targets::Target;
use crate::policy::tlsrpt_record;

use super::session::{End, Host, Opened, result};
use super::{GATHER_DELAY, Session, Sessions};

/// Records that are looked up at once. Others wait, in the queue of the sessions.
const LOOKUPS_AT_ONCE_MAX: usize = 64;

/// A try at TLS that came to nothing, or not to what is required.
#[derive(Clone, Debug)]
pub(in crate::outbound) struct Failed<'a> {
    pub(in crate::outbound) reason: Reason,
    pub(in crate::outbound) detail: Cow<'a, str>,
    pub(in crate::outbound) tls: Option<&'a TlsFacts>,
    /// `None` where nobody connected.
    pub(in crate::outbound) known: Option<Known>,
}

impl<'a> Failed<'a> {
    pub(in crate::outbound) fn of(failure: &'a OpenFailure) -> Self {
        let OpenFailure { reason, detail, facts, known, reply, .. } = failure;
        // What the host said is not repeated: its words differ from time to time, and may be about anything.
        let detail = match reply {
            Some(reply) => Cow::Owned(format!("the host answered {}", reply.code)),
            None => Cow::Borrowed(detail.as_str()),
        };
        Self { reason: *reason, detail, tls: facts.as_ref(), known: Some(known.clone()) }
    }
}

impl Attempt {
    /// Counts a new session that is about to carry the message. Plaintext at a host that offers TLS was counted when
    /// TLS failed there.
    pub(in crate::outbound) fn count_session(&self, connection: &Connection) {
        let is_fallback = connection.tls().is_none() && connection.offers_starttls();
        let wants_none = !self.requirement(&connection.target).session.permits_tls();
        if !is_fallback && !wants_none {
            let host = host(&connection.target, Some(connection.known()));
            self.count(&connection.target, host, End::Ready, connection.tls());
        }
    }

    /// Counts a failure.
    pub(in crate::outbound) fn count_failure(&self, target: &Target, failed: Failed<'_>) {
        let end = End::Failed { reason: failed.reason, detail: failed.detail.into_owned() };
        self.count(target, host(target, failed.known), end, failed.tls);
    }

    /// Hands a session to those who count, under the domain whose policy it answers to. Never waits. The deliveries of
    /// reports are left out (RFC 8460 section 3).
    fn count(&self, target: &Target, host: Host, end: End, tls: Option<&TlsFacts>) {
        let is_by_mx = self.decision.is_by_mx();
        let Some(domain) = policy_domain(is_by_mx, self.domain.as_ref(), target.name.as_ref()) else { return };
        if self.snapshot.reporter.is_none() || self.is_report() || !self.carries_mail() {
            return;
        }
        let subject = Subject { day: Day::of(clock::timestamp()), domain: domain.clone() };
        let opened =
            Opened { host, published: target.published.clone(), sts: self.sts.clone(), end, tls: tls.cloned() };
        let asks_sts = !is_by_mx && self.decision.heeds_sts(target.published.asks);
        let reports = &self.outbound.reports;
        if reports.sessions.try_send(Session { subject, opened, asks_sts }).is_err() {
            reports.metrics.tlsrpt_sessions_lost.inc();
        }
    }
}

/// Whose policy a session answers to: the recipient's domain by its own mail hosts, else the host that a route names
/// (RFC 8460 section 1.1: a smart host's name takes the place of the domain). An address publishes nothing.
fn policy_domain<'a>(is_by_mx: bool, domain: Option<&'a Domain>, host: Option<&'a Domain>) -> Option<&'a Domain> {
    if is_by_mx { domain } else { host }
}

fn host(target: &Target, known: Option<Known>) -> Host {
    let address = known.is_some().then(|| target.address.ip());
    let Known { local, helo } = known.unwrap_or_default();
    Host { name: target.name.clone(), address, helo, local }
}

/// Looks up who asks for reports, and writes down what is counted, within a second of the session. Ends never.
pub async fn count(outbound: Arc<Outbound>, mut sessions: Sessions) {
    let mut lookups = JoinSet::new();
    let mut due: Option<Instant> = None;
    loop {
        tokio::select! {
            session = sessions.recv(), if lookups.len() < LOOKUPS_AT_ONCE_MAX => match session {
                Some(session) => {
                    lookups.spawn(judged(outbound.clone(), session));
                }
                // Never so: the sender is in `outbound`.
                None => std::future::pending().await,
            },
            Some(ended) = lookups.join_next(), if !lookups.is_empty() => {
                if let Ok(Some((subject, result))) = ended {
                    outbound.reports.gather(&subject, &result);
                    due = due.or(Some(Instant::now() + GATHER_DELAY));
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                due = None;
                let domains_max = outbound.snapshot.load().reporter.as_ref().map(|reporter| reporter.domains_max);
                outbound.reports.write_down(domains_max.unwrap_or_default());
            }
        }
    }
}

/// What the session is to the report. `None` if its domain asks for none, or it is nothing to report.
async fn judged(outbound: Arc<Outbound>, session: Session) -> Option<(Subject, SessionResult)> {
    let Session { subject, mut opened, asks_sts } = session;
    if !asks(outbound.resolver.as_ref(), &subject.domain).await {
        return None;
    }
    if asks_sts {
        // The attempt has asked too, so it is at hand.
        opened.sts = Some(outbound.facts.sts.policy(&subject.domain, clock::timestamp()).await);
    }
    let result = result(&subject.domain, &opened)?;
    Some((subject, result))
}

/// A record that cannot be looked up may be there, so it is counted; before a report is sent it is looked up again.
async fn asks(resolver: &dyn Resolver, domain: &Domain) -> bool {
    match resolver.text(Service::TlsRpt, domain).await {
        Ok(answer) => tlsrpt_record::parse(&answer.records).is_ok_and(|targets| targets.is_some()),
        Err(error) => error.is_temporary(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_with_the_named_host_of_a_route_counts_under_that_name() {
        let (bank, smart) = (Domain::parse("bank.example").unwrap(), Domain::parse("smart.example").unwrap());
        for (is_by_mx, domain, host, expected) in [
            (true, Some(&bank), Some(&smart), Some(&bank)),
            (false, Some(&bank), Some(&smart), Some(&smart)),
            (false, None, Some(&smart), Some(&smart)),
            (false, Some(&bank), None, None),
            (true, None, None, None),
        ] {
            assert_eq!(policy_domain(is_by_mx, domain, host), expected);
        }
    }
}
