//! What becomes of a message by one session with one host of its next hop: the daemon's own decision and checks, for
//! explanations, policy cases and replays of records.

use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::tls::TlsFacts;

use super::host_requirement::require;
use super::outbound::{Decision, HostIdentity, decide};
use super::published::Published;
use super::rules::PolicySet;
use super::session_check::{self, IdentityCheck};
use super::settings::Source;
use super::timed::Asker;

/// One session with one host of the next hop, greeted and ready for MAIL FROM.
#[derive(Clone, Copy, Debug)]
pub struct HostFacts<'a> {
    /// `None` for an address literal.
    pub name: Option<&'a Domain>,
    /// The name was written by the operator (a route) or is secured by DNSSEC, not taken from unsigned DNS.
    pub name_is_trusted: bool,
    /// What else is known of it.
    pub published: &'a Published,
    /// `None` for plaintext.
    pub tls: Option<&'a TlsFacts>,
}

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryVerdict {
    /// It is sent over this session.
    Deliver,
    /// It is not sent, and tried again until its lifetime is over.
    Defer,
    /// It is not sent, and the sender is told at once.
    Bounce,
    /// The facts leave it open; only facts from a record do.
    Unknown,
}

impl DeliveryVerdict {
    pub const ALL: [Self; 4] = [Self::Deliver, Self::Defer, Self::Bounce, Self::Unknown];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Defer => "defer",
            Self::Bounce => "bounce",
            Self::Unknown => "unknown",
        }
    }
}

/// The verdict with the decision that it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryJudgement {
    pub decision: Decision,
    pub verdict: DeliveryVerdict,
    /// What the session lacks: `Some` exactly for `Defer` and `Bounce`.
    pub reason: Option<Reason>,
    /// What asks for that which is lacking; else what decides about TLS.
    pub rule: Source,
}

/// What becomes of a message over one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionJudgement {
    pub verdict: DeliveryVerdict,
    /// What the session lacks: `Some` exactly for `Defer` and `Bounce`.
    pub reason: Option<Reason>,
    /// What asks for that which is lacking; else what decides about TLS.
    pub rule: Source,
}

/// What becomes of a message to `domain` if this host with this session is all there is; `domain` is `None` for an
/// address literal.
pub fn judge_delivery(
    policies: &PolicySet,
    asker: &Asker<'_>,
    domain: Option<&Domain>,
    host: &HostFacts<'_>,
) -> DeliveryJudgement {
    let decision = decide(policies, domain, asker);
    let SessionJudgement { verdict, reason, rule } = judge_session(&decision, domain, host);
    DeliveryJudgement { decision, verdict, reason, rule }
}

/// The same, where the decision is at hand.
pub fn judge_session(decision: &Decision, domain: Option<&Domain>, host: &HostFacts<'_>) -> SessionJudgement {
    let identity = HostIdentity { recipient_domain: domain, name: host.name, name_is_trusted: host.name_is_trusted };
    let requirement = match require(decision, &identity, host.published) {
        Ok(requirement) => requirement,
        Err(unmet) => return not_met(decision, host.published, unmet.reason, unmet.source),
    };
    let peer = host.tls.and_then(|tls| tls.peer.as_ref());
    let proved = session_check::all(requirement.proofs.iter().map(|proof| session_check::prove(&proof.of, peer)));
    let rule = |lacking| session_check::rule(&requirement, host.tls, lacking).clone();
    match session_check::verify(&requirement, host.tls, proved) {
        Ok(()) => SessionJudgement { verdict: DeliveryVerdict::Deliver, reason: None, rule: rule(None) },
        Err(_)
            if proved == IdentityCheck::Unknown
                && session_check::is_strong_enough(&requirement.session, host.tls).is_ok() =>
        {
            SessionJudgement { verdict: DeliveryVerdict::Unknown, reason: None, rule: rule(None) }
        }
        Err(reason) if requirement.is_for_message_alone(reason) => {
            SessionJudgement { verdict: DeliveryVerdict::Bounce, reason: Some(reason), rule: rule(Some(reason)) }
        }
        Err(reason) => not_met(decision, host.published, reason, rule(Some(reason))),
    }
}

/// What becomes of a message if this is what is lacking, and `rule` what asks for it.
pub fn not_met(decision: &Decision, published: &Published, reason: Reason, rule: Source) -> SessionJudgement {
    // Another route is taken later. RFC 8461 section 5.1: there may be another policy by then.
    let bounces = decision.bounces(reason) && !published.may_have_newer_sts();
    let verdict = if bounces { DeliveryVerdict::Bounce } else { DeliveryVerdict::Defer };
    SessionJudgement { verdict, reason: Some(reason), rule }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::ReversePath;
    use crate::model::cipher::CipherSuite;
    use crate::model::domain::DomainPattern;
    use crate::model::time::Timestamp;
    use crate::model::tls::{ChainTrust, PeerCertificate, ProtocolVersion};
    use crate::policy::published::MtaSts;
    use crate::policy::rules::{Defaults, DomainPolicy};
    use crate::policy::settings::{DeliveryLayer, OnTlsFailure, OutboundLayer, OutboundTls, Sourced};

    fn policies(tls: OutboundTls, min: Option<ProtocolVersion>, end: OnTlsFailure) -> PolicySet {
        let layer = OutboundLayer {
            tls: Some(Sourced::built_in(tls)),
            min_version: min.map(Sourced::built_in),
            ..OutboundLayer::default()
        };
        let policy = DomainPolicy {
            patterns: vec![DomainPattern::parse("bank.example").unwrap()],
            outbound: layer.into(),
            delivery: DeliveryLayer { on_tls_failure: Some(Sourced::built_in(end)), ..DeliveryLayer::default() },
            ..DomainPolicy::default()
        };
        PolicySet::new(Defaults::default(), vec![policy]).unwrap()
    }

    fn session(version: ProtocolVersion, chain: ChainTrust, name: &str, names_omitted: u32) -> TlsFacts {
        let peer = PeerCertificate {
            names: vec![name.to_owned()],
            names_omitted,
            chain,
            ..PeerCertificate::assumed(String::new())
        };
        let suite = CipherSuite::by_name("ECDHE-RSA-AES128-GCM-SHA256").unwrap();
        TlsFacts { peer: Some(peer), ..TlsFacts::assumed(version, suite) }
    }

    #[test]
    fn nothing_bounces_while_it_is_not_known_which_policy_of_mta_sts_holds() {
        let domain = Domain::parse("bank.example").unwrap();
        let mx = Domain::parse("mx.example").unwrap();
        let asker = Asker { at: Timestamp::default(), client: None, sender: &ReversePath::Null };
        let policies = policies(OutboundTls::Opportunistic, None, OnTlsFailure::Bounce);
        for lists_host in [true, false] {
            for (sts_trouble, expected) in [(None, "bounce"), (Some(Reason::StsPolicyFetchError), "defer")] {
                let mta_sts = Some(MtaSts { is_enforced: true, lists_host });
                let published = Published { mta_sts, sts_trouble, ..Published::default() };
                let host = HostFacts { name: Some(&mx), name_is_trusted: false, published: &published, tls: None };
                let judged = judge_delivery(&policies, &asker, Some(&domain), &host);
                assert_eq!(judged.verdict.as_str(), expected, "{lists_host} {sts_trouble:?}");
            }
        }
    }

    #[test]
    fn a_session_carries_the_message_or_ends_it_as_the_policy_says() {
        use ChainTrust::{NotTrusted, Trusted, Unknown};
        use OnTlsFailure::{Bounce, Defer};
        use OutboundTls::{Opportunistic, Verify};
        use ProtocolVersion::{Tls1_1, Tls1_2};
        let good = || Some(session(Tls1_2, Trusted, "bank.example", 0));
        let old = || Some(session(Tls1_1, Unknown, "bank.example", 0));
        let many = |chain| Some(session(Tls1_2, chain, "other.example", 200));
        for (tls, min, end, session, expected) in [
            (Opportunistic, None, Defer, None, "deliver"),
            (Opportunistic, None, Defer, many(NotTrusted), "deliver"),
            (Opportunistic, Some(Tls1_2), Defer, None, "defer starttls-not-supported"),
            (Opportunistic, Some(Tls1_2), Bounce, old(), "bounce version-below-minimum"),
            (Verify, None, Defer, good(), "deliver"),
            (
                Verify,
                None,
                Defer,
                Some(session(Tls1_2, NotTrusted, "bank.example", 0)),
                "defer certificate-not-trusted",
            ),
            (Verify, None, Bounce, Some(session(Tls1_2, Trusted, "mx.example", 0)), "bounce certificate-host-mismatch"),
            (Verify, None, Defer, many(Trusted), "unknown"),
            (Verify, None, Defer, old(), "unknown"),
            (Verify, Some(Tls1_2), Defer, old(), "defer version-below-minimum"),
            (Verify, None, Bounce, None, "bounce starttls-not-supported"),
        ] {
            let domain = Domain::parse("bank.example").unwrap();
            let mx = Domain::parse("mx.example").unwrap();
            let host = HostFacts {
                name: Some(&mx),
                name_is_trusted: false,
                published: &Published::default(),
                tls: session.as_ref(),
            };
            let asker = Asker { at: Timestamp::default(), client: None, sender: &ReversePath::Null };
            let judged = judge_delivery(&policies(tls, min, end), &asker, Some(&domain), &host);
            let reason = judged.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
            assert_eq!(format!("{}{reason}", judged.verdict.as_str()), expected, "{tls:?} {min:?} {session:?}");
        }
    }
}
