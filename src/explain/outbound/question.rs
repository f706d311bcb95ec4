//! One delivery thought of: who sends what to whom, and what becomes of it by one session with one host.

use std::net::IpAddr;

use crate::config::Config;
use crate::model::address::{Address, ReversePath};
use crate::model::assumed;
use crate::model::domain::{Domain, DomainPattern};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::{DaneMatch, DaneResult, ProtocolVersion, TlsFacts};
use crate::policy::assumed::HostCertificate;
use crate::policy::delivery::{DeliveryVerdict, HostFacts, SessionJudgement, judge_session, not_met};
use crate::policy::host_requirement::{Evidence, HostRequirement, Proof, Unmet, require};
use crate::policy::names::Identity;
use crate::policy::outbound::{Decision, HostIdentity, NextHop, decide};
use crate::policy::provenance::Levels;
use crate::policy::published::Asks;
use crate::policy::settings::{Fact, OutboundLayer, Source};
use crate::policy::timed::Asker;

use super::facts::{Asked, NoHost};

/// A name that no certificate of the next hop should have (RFC 6761).
const ANOTHER_NAME: &str = "another.invalid";

/// Who sends what to whom, and when it is delivered.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub config: &'a Config,
    pub at: Timestamp,
    pub at_is_assumed: bool,
    /// Who brought the message.
    pub client: Option<IpAddr>,
    pub from: &'a ReversePath,
    pub to: &'a Address,
    /// What the host shows; `None`: nothing is said of it.
    pub certificate: Option<HostCertificate>,
    /// The names in it; none: the host's own.
    pub certificate_names: &'a [DomainPattern],
}

/// A certificate with the names in it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub certificate: HostCertificate,
    pub names: Vec<DomainPattern>,
    /// Whether it matches a TLSA record; `None`: nothing is said of that.
    pub tlsa: Option<bool>,
}

/// One session with one host, and what becomes of the message.
#[derive(Clone, Debug)]
pub struct Played {
    /// `None` is plaintext.
    pub tls: Option<TlsFacts>,
    pub shown: Option<Shown>,
    /// Nobody said which certificate it is.
    pub shown_is_assumed: bool,
    pub verdict: DeliveryVerdict,
    pub reason: Option<Reason>,
    /// What asks for that which is lacking; else what decides about TLS.
    pub rule: Source,
}

impl<'a> Question<'a> {
    /// By whom steps and exceptions are chosen.
    pub fn asker(&self) -> Asker<'a> {
        Asker { at: self.at, client: self.client, sender: self.from }
    }

    /// The next hop and what is written about it, as the daemon decides.
    pub fn decide(&self) -> Decision {
        decide(&self.config.policies, self.to.domain(), &self.asker())
    }

    /// The domains whose policies of MTA-STS count: that of the recipient, or the hosts of the route.
    pub fn policy_domains(&self, decision: &Decision) -> Vec<Domain> {
        if !decision.heeds_sts(Asks::default()) {
            return Vec::new();
        }
        match &decision.next_hop {
            NextHop::Mx => self.to.domain().cloned().into_iter().collect(),
            NextHop::Route(route) => route.hosts.iter().filter_map(|hop| hop.host.domain().cloned()).collect(),
        }
    }

    /// What the requirement was made from.
    pub fn levels(&self, decision: &Decision) -> Levels<'a, OutboundLayer> {
        Levels::of_delivery(&self.config.policies, self.to.domain(), &decision.next_hop)
    }

    /// What a session with the host must be.
    pub fn requirement(&self, decision: &Decision, host: &Asked) -> Result<HostRequirement, Unmet> {
        if let Some(NoHost { reason, detail, .. }) = host.unusable.clone() {
            return Err(Unmet { reason, detail, source: Source::Fact(Fact::Tlsa) });
        }
        let identity = HostIdentity {
            recipient_domain: self.to.domain(),
            name: host.name.as_ref(),
            name_is_trusted: host.name_is_trusted,
        };
        require(decision, &identity, &host.published)
    }

    /// What the host must prove; nothing where no session would do.
    fn proofs(&self, decision: &Decision, host: &Asked) -> Vec<Proof> {
        self.requirement(decision, host).map(|requirement| requirement.proofs).unwrap_or_default()
    }

    /// Whether it matters whose certificate the host shows.
    pub fn wants_identity(&self, decision: &Decision, host: &Asked) -> bool {
        !self.proofs(decision, host).is_empty()
    }

    /// The session that was asked about, with the certificate that was; where none was and the requirement wants one,
    /// with one that should do.
    pub fn play(&self, decision: &Decision, host: &Asked, tls: Option<TlsFacts>) -> Played {
        let is_bare = tls.as_ref().is_some_and(|facts| facts.peer.is_none());
        if self.certificate.is_none() && is_bare && self.wants_identity(decision, host) {
            let right = self.right(decision, host);
            return Played { shown_is_assumed: true, ..self.judge(decision, host, tls, Some(right)) };
        }
        let names = match (self.certificate_names, host.name.as_ref().or(self.to.domain())) {
            ([], Some(name)) => vec![DomainPattern::Exact(name.clone())],
            (names, _) => names.to_vec(),
        };
        let shown =
            self.certificate.filter(|_| tls.is_some()).map(|certificate| Shown { certificate, names, tlsa: None });
        self.judge(decision, host, tls, shown)
    }

    fn judge(&self, decision: &Decision, host: &Asked, tls: Option<TlsFacts>, shown: Option<Shown>) -> Played {
        let tls = tls.map(|facts| match &shown {
            Some(shown) => shown.shown_in(facts),
            None => facts,
        });
        let facts = HostFacts {
            name: host.name.as_ref(),
            name_is_trusted: host.name_is_trusted,
            published: &host.published,
            tls: tls.as_ref(),
        };
        let SessionJudgement { verdict, reason, rule } = match &host.unusable {
            Some(unusable) => not_met(decision, &host.published, unusable.reason, Source::Fact(Fact::Tlsa)),
            None => judge_session(decision, self.to.domain(), &facts),
        };
        Played { tls, shown, shown_is_assumed: false, verdict, reason, rule }
    }

    /// Sessions of every kind: plaintext and each version with a certificate that should do, and the strongest with
    /// others. With `only` a version, other certificates in that session alone.
    pub fn play_all(&self, decision: &Decision, host: &Asked, only: Option<&TlsFacts>) -> Vec<Played> {
        let versions = ProtocolVersion::ALL.into_iter().filter(|version| *version >= ProtocolVersion::Tls1_0);
        let strongest = only.cloned().unwrap_or_else(|| assumed::usual(ProtocolVersion::Tls1_3));
        let right = self.wants_identity(decision, host).then(|| self.right(decision, host));
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
    fn right(&self, decision: &Decision, host: &Asked) -> Shown {
        let proofs = self.proofs(decision, host);
        let tlsa = proofs.iter().any(|proof| matches!(proof.of, Evidence::Tlsa(_))).then_some(true);
        let identities: Vec<&Identity> = identities(&proofs).collect();
        // Of several lists of names one that stands in each is the best.
        let is_good = |name: &&Domain| identities.iter().all(|identity| identity.accepts_name(name.as_str()));
        let named = identities.iter().flat_map(|identity| &identity.names);
        let exact = named.clone().find(is_good).or(named.clone().next()).cloned().map(DomainPattern::Exact);
        let below = identities.iter().flat_map(|identity| &identity.one_below).next();
        let name = exact.or(below.cloned().map(DomainPattern::Below));
        match (name, identities.iter().flat_map(|identity| &identity.fingerprints).next()) {
            (Some(name), _) => Shown { certificate: HostCertificate::Trusted, names: vec![name], tlsa },
            (None, Some(key)) => Shown { certificate: HostCertificate::Fingerprint(*key), names: Vec::new(), tlsa },
            (None, None) => {
                let own = host.name.clone().map(DomainPattern::Exact);
                let certificate = if tlsa.is_some() { HostCertificate::Untrusted } else { HostCertificate::Trusted };
                Shown { certificate, names: own.into_iter().collect(), tlsa }
            }
        }
    }

    /// Certificates that something is wrong with.
    fn others(&self, decision: &Decision, host: &Asked, right: Shown) -> Vec<Shown> {
        use HostCertificate::{Expired, Trusted, Untrusted};
        let proofs = self.proofs(decision, host);
        let mut others: Vec<Shown> = Vec::new();
        if right.tlsa.is_some() {
            others.push(Shown { tlsa: Some(false), ..right.clone() });
        }
        if identities(&proofs).next().is_none() {
            return others;
        }
        let tlsa = right.tlsa;
        let trusted = |name: Domain| Shown { certificate: Trusted, names: vec![DomainPattern::Exact(name)], tlsa };
        let is_refused = |name: &&Domain| !identities(&proofs).all(|identity| identity.accepts_name(name.as_str()));
        others.extend(host.name.as_ref().filter(is_refused).cloned().map(trusted));
        others.extend(Domain::parse(ANOTHER_NAME).ok().map(trusted));
        if right.certificate == Trusted {
            let names = right.names;
            others.extend([Untrusted, Expired].map(|certificate| Shown { certificate, names: names.clone(), tlsa }));
        }
        others
    }
}

impl Played {
    /// As the engine says it.
    pub fn end(&self) -> SessionJudgement {
        SessionJudgement { verdict: self.verdict, reason: self.reason, rule: self.rule.clone() }
    }
}

fn identities(proofs: &[Proof]) -> impl Iterator<Item = &Identity> {
    proofs.iter().filter_map(|proof| match &proof.of {
        Evidence::Names(identity) => Some(identity),
        Evidence::Tlsa(_) => None,
    })
}

impl Shown {
    /// The session with this certificate in it.
    fn shown_in(&self, facts: TlsFacts) -> TlsFacts {
        let mut facts = self.certificate.shown_in(facts, &self.names);
        if let (Some(peer), Some(matches)) = (&mut facts.peer, self.tlsa) {
            let result = if matches { DaneResult::Match } else { DaneResult::NoMatch };
            peer.dane = Some(DaneMatch { result, record: None });
        }
        facts
    }

    /// `trusted, for mx.example`, or `matches a TLSA record`.
    pub fn in_words(&self) -> String {
        match self.tlsa {
            Some(false) => "matches no TLSA record".to_owned(),
            Some(true) if self.certificate == HostCertificate::Untrusted => "matches a TLSA record".to_owned(),
            Some(true) => format!("matches a TLSA record; {}", self.certificate_in_words()),
            None => self.certificate_in_words(),
        }
    }

    fn certificate_in_words(&self) -> String {
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
