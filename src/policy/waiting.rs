//! What a failure means for one recipient: another try, a word to the sender, another route, or the end.

use std::sync::Arc;
use std::time::Duration;

use crate::model::reason::Reason;
use crate::model::time::Timestamp;

use super::outbound::Decision;
use super::settings::{DaneUse, OnTlsFailure};

/// What becomes of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Retry,
    Bounce,
    Expire,
    /// By the route of this name from now on.
    Reroute(Arc<str>),
}

impl Fate {
    /// The same where nothing is to bounce for now: what would waits for the end of its lifetime.
    pub fn softened(self, standing: &Standing<'_>) -> Self {
        match self {
            Self::Bounce if standing.expires_at <= standing.now => Self::Expire,
            Self::Bounce => Self::Retry,
            fate => fate,
        }
    }
}

/// A failed attempt, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setback {
    pub reason: Reason,
    /// Trying again does not help.
    pub permanent: bool,
    /// It is not certain that TLS is what is lacking for good: some host failed for another reason, or was not tried.
    pub doubtful: bool,
}

impl Decision {
    /// The sender is told at once that TLS could not be met.
    pub fn bounces(&self, lacking: Reason) -> bool {
        lacking.is_certain_lack_of_tls() && self.on_tls_failure.value == OnTlsFailure::Bounce
    }

    /// Whether mail that fails so waits for TLS. Where DANE is off, what DNSSEC says of hosts
    /// has nothing to do with it.
    pub fn lacks_tls(&self, reason: Reason) -> bool {
        let concerns_dane = reason == Reason::DnssecInvalid;
        reason.is_outbound_tls() && !(concerns_dane && self.following.dane.value == DaneUse::Off)
    }
}

/// Where a recipient stands when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub decision: &'a Decision,
    /// The first attempt that lacked TLS; this one, if it is the first.
    pub lacks_tls_since: Option<Timestamp>,
    pub now: Timestamp,
    /// The end of the message's lifetime.
    pub expires_at: Timestamp,
}

impl Standing<'_> {
    /// The one map from a failure to what it means. What cannot pass bounces; what lacks TLS ends as the policy says;
    /// all else is tried until its lifetime is over.
    pub fn fate(&self, setback: Setback) -> Fate {
        let Setback { reason, permanent, doubtful } = setback;
        if permanent || !doubtful && self.decision.bounces(reason) {
            return Fate::Bounce;
        }
        // Before the end of its lifetime: the other route is the way to save it.
        if let Some((name, at)) = self.reroute().filter(|_| self.decision.lacks_tls(reason))
            && at <= self.now
        {
            return Fate::Reroute(name);
        }
        if self.expires_at <= self.now { Fate::Expire } else { Fate::Retry }
    }

    /// The other route, and the moment from which it is taken. No later than the end of the lifetime.
    pub fn reroute(&self) -> Option<(Arc<str>, Timestamp)> {
        let (fallback, since) = self.decision.fallback.as_ref().zip(self.lacks_tls_since)?;
        Some((fallback.route.name.clone(), (since + fallback.after).min(self.expires_at)))
    }

    /// The moment from which the sender is told that the mail waits for TLS.
    pub fn notice_at(&self) -> Option<Timestamp> {
        self.decision.notify_sender.zip(self.lacks_tls_since).map(|(after, since)| since + after)
    }

    /// The next attempt is no later than the moment at which something is to be decided.
    pub fn wait_max(&self) -> Duration {
        let moments = [self.reroute().map(|(_, at)| at), self.notice_at(), Some(self.expires_at)];
        let coming = moments.into_iter().flatten().filter(|at| *at > self.now).min();
        coming.map_or(Duration::from_secs(1), |at| at.saturating_since(self.now)).max(Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::{Host, ReversePath};
    use crate::policy::outbound::{Fallback, decide};
    use crate::policy::rules::PolicySet;
    use crate::policy::settings::{HostPort, IpChoice, OutboundLayer, Route, Source, Sourced};
    use crate::policy::timed::Asker;

    fn decision(end: OnTlsFailure) -> Decision {
        let asker = Asker { at: Timestamp::from_secs(0), client: None, sender: &ReversePath::Null };
        let route = |name: &Arc<str>| Fallback {
            route: Arc::new(Route {
                name: name.clone(),
                source: Source::BuiltIn,
                hosts: vec![HostPort { host: Host::parse("portal.example").unwrap(), port: 25 }],
                tls: OutboundLayer::default(),
                source_address: None,
                ehlo: None,
                ip: IpChoice::Any,
                client_certificate: None,
            }),
            after: Duration::from_secs(100),
        };
        let fallback = match &end {
            OnTlsFailure::Route(name) => Some(route(name)),
            OnTlsFailure::Defer | OnTlsFailure::Bounce => None,
        };
        let written = decide(&PolicySet::default(), None, &asker);
        Decision { on_tls_failure: Sourced::built_in(end), fallback, ..written }
    }

    #[test]
    fn only_what_cannot_pass_bounces_and_only_time_expires_or_reroutes() {
        use Fate::{Bounce, Expire, Retry};
        use OnTlsFailure::{Bounce as TlsBounce, Defer};
        let escrow = || OnTlsFailure::Route("escrow".into());
        let rerouted = || Fate::Reroute("escrow".into());
        let at = |secs| Timestamp::from_secs(secs);
        for (reason, permanent, end, since, now, expected) in [
            (Reason::RemoteDeferred, false, Defer, None, 0, Retry),
            (Reason::RemoteDeferred, false, Defer, None, 500, Expire),
            (Reason::RemoteRefused, true, Defer, None, 0, Bounce),
            (Reason::RemoteRefused, true, Defer, None, 500, Bounce),
            (Reason::StarttlsNotSupported, false, Defer, Some(0), 0, Retry),
            (Reason::StarttlsNotSupported, false, Defer, Some(0), 500, Expire),
            (Reason::StarttlsNotSupported, false, TlsBounce, Some(0), 0, Bounce),
            (Reason::CertificateHostMismatch, false, TlsBounce, Some(0), 0, Bounce),
            (Reason::DnsFailure, false, TlsBounce, None, 0, Retry),
            (Reason::DnssecInvalid, false, TlsBounce, Some(0), 0, Retry),
            (Reason::StarttlsNotSupported, false, escrow(), Some(50), 50, Retry),
            (Reason::StarttlsNotSupported, false, escrow(), Some(50), 149, Retry),
            (Reason::StarttlsNotSupported, false, escrow(), Some(50), 150, rerouted()),
            // What fails for another reason than TLS is not what the other route is for.
            (Reason::ConnectFailed, false, escrow(), Some(50), 200, Retry),
            (Reason::RemoteRefused, true, escrow(), Some(50), 200, Bounce),
            // The lifetime is over before: the other route rather than the end.
            (Reason::StarttlsNotSupported, false, escrow(), Some(450), 500, rerouted()),
            (Reason::ConnectFailed, false, escrow(), Some(450), 500, Expire),
        ] {
            let shown = format!("{reason} {end:?} {since:?} {now}");
            let decision = decision(end);
            let standing =
                Standing { decision: &decision, lacks_tls_since: since.map(at), now: at(now), expires_at: at(500) };
            assert_eq!(standing.fate(Setback { reason, permanent, doubtful: false }), expected, "{shown}");
        }
    }

    #[test]
    fn what_would_bounce_waits_for_its_end_where_bounces_are_soft() {
        let decision = decision(OnTlsFailure::Defer);
        let standing = |now| Standing {
            decision: &decision,
            lacks_tls_since: None,
            now: Timestamp::from_secs(now),
            expires_at: Timestamp::from_secs(500),
        };
        let rerouted = Fate::Reroute("escrow".into());
        for (fate, now, expected) in [
            (Fate::Bounce, 0, Fate::Retry),
            (Fate::Bounce, 500, Fate::Expire),
            (Fate::Retry, 0, Fate::Retry),
            (Fate::Expire, 500, Fate::Expire),
            (rerouted.clone(), 0, rerouted),
        ] {
            assert_eq!(fate.clone().softened(&standing(now)), expected, "{fate:?} {now}");
        }
    }

    #[test]
    fn forged_answers_about_hosts_lead_to_another_route_only_where_dane_counts() {
        let at = |secs| Timestamp::from_secs(secs);
        for (dane, expected) in [(DaneUse::Auto, Fate::Reroute("escrow".into())), (DaneUse::Off, Fate::Retry)] {
            let mut decision = decision(OnTlsFailure::Route("escrow".into()));
            decision.following.dane = Sourced::built_in(dane);
            let standing =
                Standing { decision: &decision, lacks_tls_since: Some(at(0)), now: at(200), expires_at: at(500) };
            let setback = Setback { reason: Reason::DnssecInvalid, permanent: false, doubtful: false };
            assert_eq!((standing.fate(setback), decision.lacks_tls(Reason::TlsaInvalid)), (expected, true), "{dane:?}");
        }
    }

    #[test]
    fn what_is_not_certain_is_tried_again_whatever_is_configured() {
        let decision = decision(OnTlsFailure::Bounce);
        let at = |secs| Timestamp::from_secs(secs);
        for (doubtful, expected) in [(false, Fate::Bounce), (true, Fate::Retry)] {
            let standing =
                Standing { decision: &decision, lacks_tls_since: Some(at(0)), now: at(0), expires_at: at(500) };
            let setback = Setback { reason: Reason::CertificateHostMismatch, permanent: false, doubtful };
            assert_eq!(standing.fate(setback), expected);
        }
    }

    #[test]
    fn no_wait_goes_beyond_the_moment_at_which_something_is_due() {
        let decision =
            Decision { notify_sender: Some(Duration::from_secs(30)), ..decision(OnTlsFailure::Route("escrow".into())) };
        let standing = |now| Standing {
            decision: &decision,
            lacks_tls_since: Some(Timestamp::from_secs(0)),
            now: Timestamp::from_secs(now),
            expires_at: Timestamp::from_secs(500),
        };
        for (now, expected) in [(0, 30), (30, 70), (99, 1), (100, 400), (499, 1), (600, 1)] {
            assert_eq!(standing(now).wait_max(), Duration::from_secs(expected), "{now}");
        }
        let plain = Standing { lacks_tls_since: None, ..standing(0) };
        assert_eq!(plain.wait_max(), Duration::from_secs(500));
    }
}
