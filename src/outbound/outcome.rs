//! What came of a recipient, and what an answer of the protocol means for the queue. Pure.

use crate::model::cipher::CipherGrade;
use crate::model::escape::{PEER_TEXT_BYTES_MAX, shortened};
use crate::model::reason::Reason;
use crate::model::reply::{Reply, Severity};
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::policy::waiting::Setback;
use crate::smtp::client::RecipientOutcome;
use crate::spool::state::OtherHost;

use super::targets::Target;

/// What came of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered {
        reply: Reply,
        target: Option<Target>,
        tls: Option<TlsFacts>,
        /// The host knows DSN: notices of success are its business now.
        notifies: bool,
    },
    Failed(Failure),
}

/// Why a recipient was not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    /// Trying again does not help.
    pub(super) permanent: bool,
    /// It is not certain that TLS is what is lacking for good: some host failed for another reason, or was not tried.
    pub(super) doubtful: bool,
    /// Another host of the same destination may still be tried.
    pub(super) next_host: bool,
    /// The remote's reply or our own words, escaped and bounded.
    pub(super) detail: String,
    pub(super) reply: Option<Reply>,
    pub(super) target: Option<Target>,
    pub(super) tls: Option<TlsFacts>,
    /// The other hosts of the attempt, should this be one of several.
    pub(super) others: Vec<OtherHost>,
}

/// Other hosts of one attempt that are kept in mind.
pub(super) const OTHERS_MAX: usize = 4;

impl Failure {
    /// What two hosts of one destination amount to: permanent only if both are, and a TLS reason tells more than a
    /// network that did not answer. Of two that lack TLS the better session tells more: it comes nearest.
    pub(super) fn and(self, other: Self) -> Self {
        let permanent = self.permanent && other.permanent;
        let is_certain = self.reason.is_certain_lack_of_tls();
        let doubtful = self.doubtful || other.doubtful || is_certain != other.reason.is_certain_lack_of_tls();
        let (telling, less) = if self.weight() > other.weight() { (self, other) } else { (other, self) };
        let mut others = telling.others.clone();
        for host in less.in_short().into_iter().chain(less.others) {
            let is_told = telling.is_at(&host) || others.iter().any(|o| (&o.mx, o.reason) == (&host.mx, host.reason));
            if !is_told && others.len() < OTHERS_MAX {
                others.push(host);
            }
        }
        Self { permanent, doubtful, others, ..telling }
    }

    /// Whether it is under a policy of MTA-STS of which a newer one may be published. Mail is not returned for such
    /// (RFC 8461 sections 5 and 5.1).
    pub(super) fn is_by_old_policy(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.published.may_have_newer_sts())
    }

    /// What it amounts to where not all hosts were tried: they may do better another time.
    pub(super) fn and_untried(self) -> Self {
        Self { permanent: false, doubtful: true, ..self }
    }

    /// Where it happened, and over what.
    pub(super) const fn session(&self) -> (Option<&Target>, Option<&TlsFacts>) {
        (self.target.as_ref(), self.tls.as_ref())
    }

    fn in_short(&self) -> Option<OtherHost> {
        let detail = shortened(&self.detail, PEER_TEXT_BYTES_MAX).into_owned();
        Some(OtherHost { mx: self.target.as_ref()?.shown(), reason: self.reason, detail })
    }

    /// One host with several addresses mostly fails at each in the same way.
    fn is_at(&self, host: &OtherHost) -> bool {
        self.reason == host.reason && self.target.as_ref().is_some_and(|target| target.shown() == host.mx)
    }

    /// What it means for those who wait.
    pub(super) const fn setback(&self) -> Setback {
        Setback { reason: self.reason, permanent: self.permanent, doubtful: self.doubtful }
    }

    fn weight(&self) -> (bool, Option<(ProtocolVersion, CipherGrade)>) {
        let is_tls = self.reason.is_outbound_tls();
        (is_tls, self.tls.as_ref().filter(|_| is_tls).map(|facts| (facts.version, facts.grade())))
    }

    /// A failure before any host was talked to.
    pub(super) fn ours(reason: Reason, permanent: bool, detail: String) -> Self {
        Self {
            reason,
            permanent,
            doubtful: false,
            next_host: false,
            detail,
            reply: None,
            target: None,
            tls: None,
            others: Vec::new(),
        }
    }
}

/// The session that a message was sent over.
pub(super) struct Sent {
    pub(super) target: Target,
    /// `None` for plaintext.
    pub(super) tls: Option<TlsFacts>,
    /// The host knows DSN.
    pub(super) notifies: bool,
    pub(super) body_sent: bool,
}

/// What an outcome of the protocol means for the queue.
pub(super) fn outcome_of(outcome: RecipientOutcome, sent: &Sent) -> Outcome {
    let (target, tls) = (Some(sent.target.clone()), sent.tls.clone());
    match outcome {
        RecipientOutcome::Delivered(reply) => Outcome::Delivered { reply, target, tls, notifies: sent.notifies },
        RecipientOutcome::Refused { reply, .. } => {
            let permanent = reply.severity() == Severity::Permanent;
            let reason = if permanent { Reason::RemoteRefused } else { Reason::RemoteDeferred };
            // 421 closes the session without a word about the message (RFC 5321 section 3.8).
            let next_host = reply.code.number() == 421;
            let detail = reply.to_string();
            Outcome::Failed(Failure {
                reason,
                permanent,
                doubtful: false,
                next_host,
                detail,
                reply: Some(reply),
                target,
                tls,
                others: Vec::new(),
            })
        }
        RecipientOutcome::Unsupported(reason) => {
            // RFC 8689 section 4.2.1: the mail hosts are tried in turn until one offers REQUIRETLS.
            let next_host = reason == Reason::NeedsRequireTls;
            let detail = format!(
                "{} cannot take this message: {reason}",
                target.as_ref().map_or_else(String::new, Target::shown)
            );
            Outcome::Failed(Failure {
                reason,
                permanent: true,
                doubtful: false,
                next_host,
                detail,
                reply: None,
                target,
                tls,
                others: Vec::new(),
            })
        }
        RecipientOutcome::Lost { stage, fault } => {
            // After the whole body the server may have taken the message: another host would mean a second copy.
            let next_host = !sent.body_sent;
            let detail = format!("{fault} (at {stage})");
            let reason = fault.reason();
            Outcome::Failed(Failure {
                reason,
                permanent: false,
                doubtful: false,
                next_host,
                detail,
                reply: None,
                target,
                tls,
                others: Vec::new(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dns::Security;
    use crate::model::cipher::CipherSuite;
    use crate::model::reply::{Code, EnhancedCode};
    use crate::policy::published::{MtaSts, Published};
    use crate::smtp::client::{FaultKind, Stage};

    fn reply(code: u16) -> Reply {
        Reply::new(Code::new(code).unwrap(), EnhancedCode::new(5, 0, 0), "text")
    }

    fn target() -> Target {
        Target {
            name: None,
            name_is_trusted: false,
            address: ([192, 0, 2, 1], 25).into(),
            security: Security::Unknown,
            published: Arc::default(),
            requirement: None,
            unmet: None,
        }
    }

    #[test]
    fn another_host_is_tried_only_where_no_second_copy_can_come_of_it() {
        let lost = |stage| RecipientOutcome::Lost { stage, fault: FaultKind::Closed };
        let refused = |stage, code| RecipientOutcome::Refused { stage, reply: reply(code) };
        for (outcome, body_sent, expected) in [
            (lost(Stage::Mail), false, (Reason::ConnectionLost, false, true)),
            (lost(Stage::Body), false, (Reason::ConnectionLost, false, true)),
            (lost(Stage::Done), true, (Reason::ConnectionLost, false, false)),
            (refused(Stage::Rcpt, 450), false, (Reason::RemoteDeferred, false, false)),
            (refused(Stage::Rcpt, 550), false, (Reason::RemoteRefused, true, false)),
            (refused(Stage::Mail, 421), false, (Reason::RemoteDeferred, false, true)),
            (refused(Stage::Done, 421), true, (Reason::RemoteDeferred, false, true)),
            (refused(Stage::Done, 554), true, (Reason::RemoteRefused, true, false)),
            (RecipientOutcome::Unsupported(Reason::NeedsEightBit), false, (Reason::NeedsEightBit, true, false)),
            (RecipientOutcome::Unsupported(Reason::NeedsRequireTls), false, (Reason::NeedsRequireTls, true, true)),
        ] {
            let sent = Sent { target: target(), tls: None, notifies: false, body_sent };
            let shown = format!("{outcome:?}");
            let Outcome::Failed(failure) = outcome_of(outcome, &sent) else { panic!("{shown}") };
            assert_eq!((failure.reason, failure.permanent, failure.next_host), expected, "{shown}");
        }
    }

    #[test]
    fn hosts_that_fail_in_turn_bounce_only_together() {
        let failure = |reason, permanent| Failure::ours(reason, permanent, String::new());
        use Reason::{
            ConnectTimeout, DnssecInvalid, NeedsRequireTls, RemoteRefused, StarttlsNotSupported, VersionBelowMinimum,
        };
        for (first, second, expected) in [
            ((ConnectTimeout, false), (RemoteRefused, true), (RemoteRefused, false, false)),
            ((RemoteRefused, true), (RemoteRefused, true), (RemoteRefused, true, false)),
            ((NeedsRequireTls, true), (NeedsRequireTls, true), (NeedsRequireTls, true, false)),
            ((NeedsRequireTls, true), (ConnectTimeout, false), (ConnectTimeout, false, false)),
            ((StarttlsNotSupported, false), (ConnectTimeout, false), (StarttlsNotSupported, false, true)),
            ((ConnectTimeout, false), (StarttlsNotSupported, false), (StarttlsNotSupported, false, true)),
            ((DnssecInvalid, false), (StarttlsNotSupported, false), (StarttlsNotSupported, false, true)),
            ((StarttlsNotSupported, false), (DnssecInvalid, false), (DnssecInvalid, false, true)),
            ((StarttlsNotSupported, false), (VersionBelowMinimum, false), (VersionBelowMinimum, false, false)),
        ] {
            let both = failure(first.0, first.1).and(failure(second.0, second.1));
            assert_eq!((both.reason, both.permanent, both.doubtful), expected, "{first:?} {second:?}");
        }
    }

    #[test]
    fn a_host_that_cannot_be_looked_up_now_leaves_nothing_certain_in_any_order() {
        use Reason::{DnsFailure, DnssecInvalid, NeedsRequireTls, RemoteRefused, StarttlsNotSupported};
        let failure = |reason, permanent| Failure::ours(reason, permanent, String::new());
        for unknown in [DnsFailure, DnssecInvalid] {
            for (told, permanent) in [(RemoteRefused, true), (NeedsRequireTls, true), (StarttlsNotSupported, false)] {
                let (unknown, told) = (failure(unknown, false), failure(told, permanent));
                for both in [unknown.clone().and(told.clone()), told.clone().and(unknown.clone())] {
                    let bounces = both.reason.is_certain_lack_of_tls() && !both.doubtful;
                    assert!(!both.permanent && !bounces, "{both:?}");
                }
            }
        }
    }

    #[test]
    fn a_policy_that_may_have_been_replaced_makes_no_failure_certain() {
        let trouble = Some(Reason::StsPolicyFetchError);
        for (mta_sts, sts_trouble, expected) in [
            (None, None, false),
            (Some(true), None, false),
            (Some(true), trouble, true),
            // Nothing is held back by it.
            (Some(false), trouble, false),
            (None, trouble, false),
        ] {
            let mta_sts = mta_sts.map(|is_enforced| MtaSts { is_enforced, lists_host: true });
            let published = Arc::new(Published { mta_sts, sts_trouble, ..Published::default() });
            let target = Target { published, ..target() };
            let failure = Failure::ours(Reason::CertificateHostMismatch, false, String::new());
            let failure = Failure { target: Some(target), ..failure };
            assert_eq!(failure.is_by_old_policy(), expected, "{mta_sts:?} {sts_trouble:?}");
        }
    }

    #[test]
    fn each_other_host_is_told_once_and_not_without_bound() {
        let at = |last: u8, reason| {
            let target = Target {
                name: None,
                name_is_trusted: false,
                address: ([192, 0, 2, last], 25).into(),
                security: Security::Unknown,
                published: Arc::default(),
                requirement: None,
                unmet: None,
            };
            Failure { target: Some(target), ..Failure::ours(reason, false, format!("host {last}")) }
        };
        use Reason::{ConnectTimeout, StarttlsNotSupported};
        let told = |hosts: &[(u8, Reason)]| {
            let mut failures = hosts.iter().map(|(last, reason)| at(*last, *reason));
            let first = failures.next().unwrap();
            let all = failures.fold(first, Failure::and);
            let others: Vec<String> =
                all.others.iter().map(|o| format!("{} {} {}", o.mx, o.reason, o.detail)).collect();
            (all.target.unwrap().shown(), others.join(", "))
        };
        let (telling, others) = told(&[(1, ConnectTimeout), (2, StarttlsNotSupported), (2, StarttlsNotSupported)]);
        assert_eq!((telling.as_str(), others.as_str()), ("[192.0.2.2]", "[192.0.2.1] connect-timeout host 1"));
        let (telling, others) = told(&[(1, ConnectTimeout), (1, ConnectTimeout)]);
        assert_eq!((telling.as_str(), others.as_str()), ("[192.0.2.1]", ""));
        let many: Vec<_> = (1..=10).map(|last| (last, ConnectTimeout)).collect();
        assert_eq!(told(&many).1.split(", ").count(), OTHERS_MAX);
    }

    #[test]
    fn of_several_hosts_that_lack_tls_the_best_session_is_on_record() {
        use ProtocolVersion::{Tls1_0, Tls1_2};
        let failure = |reason, session: Option<(ProtocolVersion, &str)>| Failure {
            tls: session.map(|(version, suite)| TlsFacts::assumed(version, CipherSuite::by_name(suite).unwrap())),
            ..Failure::ours(reason, false, String::new())
        };
        let none = || failure(Reason::StarttlsNotSupported, None);
        let old = || failure(Reason::VersionBelowMinimum, Some((Tls1_0, "AES128-SHA")));
        let weak = || failure(Reason::CipherBelowMinimum, Some((Tls1_2, "AES128-SHA")));
        let strange = || failure(Reason::CertificateHostMismatch, Some((Tls1_2, "ECDHE-RSA-AES128-GCM-SHA256")));
        let busy = || failure(Reason::RemoteDeferred, Some((Tls1_2, "ECDHE-RSA-AES128-GCM-SHA256")));
        for (worse, better) in [(none(), old()), (old(), weak()), (weak(), strange()), (busy(), none())] {
            for both in [worse.clone().and(better.clone()), better.clone().and(worse.clone())] {
                assert_eq!((both.reason, both.tls), (better.reason, better.tls.clone()), "{worse:?}");
            }
        }
    }
}
