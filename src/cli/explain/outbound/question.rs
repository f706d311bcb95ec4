//! One delivery thought of: who sends what to whom, and what becomes of it by one session with one host.

use std::net::IpAddr;

use crate::config::Config;
use crate::model::address::{Address, ReversePath};
use crate::model::assumed;
use crate::model::domain::{Domain, DomainPattern};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::policy::assumed::HostCertificate;
use crate::policy::delivery::{DeliveryVerdict, HostFacts, judge_session};
use crate::policy::names::Identity;
use crate::policy::outbound::{Decision, HostIdentity, NextHop, decide};
use crate::policy::provenance::Levels;
use crate::policy::published::Published;
use crate::policy::settings::OutboundLayer;
use crate::policy::timed::Asker;

/// A name that no certificate of the next hop should have (RFC 6761).
const ANOTHER_NAME: &str = "another.invalid";

/// Who sends what to whom, and when it is delivered.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Question<'a> {
    pub(in crate::cli) config: &'a Config,
    pub(in crate::cli) at: Timestamp,
    pub(in crate::cli) at_is_assumed: bool,
    /// Who brought the message.
    pub(in crate::cli) client: Option<IpAddr>,
    pub(in crate::cli) from: &'a ReversePath,
    pub(in crate::cli) to: &'a Address,
    /// What the host shows; `None`: nothing is said of it.
    pub(in crate::cli) certificate: Option<HostCertificate>,
    /// The names in it; none: the host's own.
    pub(in crate::cli) certificate_names: &'a [DomainPattern],
}

/// A certificate with the names in it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) certificate: HostCertificate,
    pub(super) names: Vec<DomainPattern>,
}

/// One session with one host, and what becomes of the message.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Played {
    /// `None` is plaintext.
    pub(in crate::cli) tls: Option<TlsFacts>,
    pub(super) shown: Option<Shown>,
    /// Nobody said which certificate it is.
    pub(super) shown_is_assumed: bool,
    pub(in crate::cli) verdict: DeliveryVerdict,
    pub(in crate::cli) reason: Option<Reason>,
}

impl<'a> Question<'a> {
    pub(super) fn asker(&self) -> Asker<'a> {
        Asker { at: self.at, client: self.client, sender: self.from }
    }

    pub(in crate::cli) fn decide(&self) -> Decision {
        decide(&self.config.policies, self.to.domain(), &self.asker())
    }

    /// What the requirement was made from.
    pub(super) fn levels(&self, decision: &Decision) -> Levels<'a, OutboundLayer> {
        Levels::of_delivery(&self.config.policies, self.to.domain(), &decision.next_hop)
    }

    /// What a host with this name must prove.
    pub(super) fn identity(&self, decision: &Decision, host: Option<&Domain>) -> Identity {
        let name_is_trusted = is_written(decision);
        let recipient_domain = self.to.domain();
        decision.requirement.identity(&HostIdentity { recipient_domain, name: host, name_is_trusted })
    }

    /// The session that was asked about, with the certificate that was; where none was and the requirement wants one,
    /// with one that should do.
    pub(in crate::cli) fn play(&self, decision: &Decision, host: Option<&Domain>, tls: Option<TlsFacts>) -> Played {
        let is_bare = tls.as_ref().is_some_and(|facts| facts.peer.is_none());
        if self.certificate.is_none() && is_bare && decision.requirement.wants_identity() {
            let right = self.right(decision, host);
            return Played { shown_is_assumed: true, ..self.judge(decision, host, tls, Some(right)) };
        }
        let names = match (self.certificate_names, host.or(self.to.domain())) {
            ([], Some(name)) => vec![DomainPattern::Exact(name.clone())],
            (names, _) => names.to_vec(),
        };
        let shown = self.certificate.filter(|_| tls.is_some()).map(|certificate| Shown { certificate, names });
        self.judge(decision, host, tls, shown)
    }

    fn judge(&self, decision: &Decision, host: Option<&Domain>, tls: Option<TlsFacts>, shown: Option<Shown>) -> Played {
        let tls = tls.map(|facts| match &shown {
            Some(shown) => shown.certificate.shown_in(facts, &shown.names),
            None => facts,
        });
        let facts = HostFacts {
            name: host,
            name_is_trusted: is_written(decision),
            published: &Published::default(),
            tls: tls.as_ref(),
        };
        let (verdict, reason) = judge_session(decision, self.to.domain(), &facts);
        Played { tls, shown, shown_is_assumed: false, verdict, reason }
    }

    /// Sessions of every kind: plaintext and each version with a certificate that should do, and the strongest with
    /// others. With `only` a version, other certificates in that session alone.
    pub(super) fn play_all(&self, decision: &Decision, host: Option<&Domain>, only: Option<&TlsFacts>) -> Vec<Played> {
        let versions = ProtocolVersion::ALL.into_iter().filter(|version| *version >= ProtocolVersion::Tls1_0);
        let strongest = only.cloned().unwrap_or_else(|| assumed::usual(ProtocolVersion::Tls1_3));
        let wants_identity = decision.requirement.wants_identity();
        let right = wants_identity.then(|| self.right(decision, host));
        let mut played = Vec::new();
        if only.is_none() {
            played.push(self.judge(decision, host, None, None));
            let sessions = versions.map(assumed::usual);
            played.extend(sessions.map(|tls| self.judge(decision, host, Some(tls), right.clone())));
        } else {
            played.extend(right.clone().map(|right| self.judge(decision, host, Some(strongest.clone()), Some(right))));
        }
        let others = right.map(|right| self.others(decision, host, right)).unwrap_or_default();
        played.extend(others.into_iter().map(|shown| self.judge(decision, host, Some(strongest.clone()), Some(shown))));
        played
    }

    /// A certificate that the requirement accepts; if it accepts none, one for the host's own name.
    fn right(&self, decision: &Decision, host: Option<&Domain>) -> Shown {
        let identity = self.identity(decision, host);
        let exact = identity.names.first().cloned().map(DomainPattern::Exact);
        let name = exact.or(identity.one_below.first().cloned().map(DomainPattern::Below));
        match (name, identity.fingerprints.first()) {
            (Some(name), _) => Shown { certificate: HostCertificate::Trusted, names: vec![name] },
            (None, Some(key)) => Shown { certificate: HostCertificate::Fingerprint(*key), names: Vec::new() },
            (None, None) => {
                let own = host.cloned().map(DomainPattern::Exact);
                Shown { certificate: HostCertificate::Trusted, names: own.into_iter().collect() }
            }
        }
    }

    /// Certificates that something is wrong with.
    fn others(&self, decision: &Decision, host: Option<&Domain>, right: Shown) -> Vec<Shown> {
        use HostCertificate::{Expired, Trusted, Untrusted};
        let identity = self.identity(decision, host);
        let trusted = |name: Domain| Shown { certificate: Trusted, names: vec![DomainPattern::Exact(name)] };
        let own = host.filter(|name| !identity.accepts_name(name.as_str())).cloned();
        let mut others: Vec<Shown> = own.map(trusted).into_iter().collect();
        others.extend(Domain::parse(ANOTHER_NAME).ok().map(trusted));
        if right.certificate == Trusted {
            let names = right.names;
            others.extend([Untrusted, Expired].map(|certificate| Shown { certificate, names: names.clone() }));
        }
        others
    }
}

impl Shown {
    /// `trusted, for mx.example`.
    pub(super) fn in_words(&self) -> String {
        let kind = match self.certificate {
            HostCertificate::Trusted => "trusted",
            HostCertificate::Untrusted => "untrusted",
            HostCertificate::Expired => "expired",
            HostCertificate::Fingerprint(key) => return format!("sha256:{}", key.hex()),
        };
        let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        match names.as_slice() {
            [] => format!("{kind}, for no name"),
            [name] if name == ANOTHER_NAME => format!("{kind}, for another name"),
            names => format!("{kind}, for {}", names.join(", ")),
        }
    }
}

/// Whether the operator wrote the next hop.
fn is_written(decision: &Decision) -> bool {
    matches!(decision.next_hop, NextHop::Route(_))
}
