//! What a host meets by what it did, and whether our own policy would send mail there. Pure: what was seen is handed
//! in, the same engine as that of deliveries answers.

use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::model::tls::{ChainTrust, TlsFacts, Verified};
use crate::policy::host_requirement::{HostRequirement, STS_VERSION_MIN, Unmet, require};
use crate::policy::names::Identity;
use crate::policy::outbound::{Decision, HostIdentity, Requirement};
use crate::policy::published::{Asks, Dane, Learned, MtaSts, Published};
use crate::policy::session_check::{self, IdentityCheck};
use crate::policy::settings::Source;
use crate::policy::tlsa::{Judged, Standing, classify};
use crate::tls::client::Peer;
use crate::tls::dane::evaluate_dane;
use crate::tls::evaluate::{Evaluation, evaluate, evaluate_all};
use crate::tls::roots::Roots;

use super::dane::DaneFound;
use super::observe::{AddressSeen, End, Observation};
use super::publication::FoundHost;

/// Whether a level is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    Yes,
    No {
        reason: Reason,
        detail: String,
    },
    /// Nothing is published that could be met.
    NotApplicable,
}

impl Met {
    fn no(reason: Reason, detail: impl Into<String>) -> Self {
        Self::No { reason, detail: detail.into() }
    }

    fn of(evaluation: Evaluation) -> Self {
        match evaluation.error {
            None => Self::Yes,
            Some(reason) => Self::No { reason, detail: evaluation.detail },
        }
    }

    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    pub const fn is_no(&self) -> bool {
        matches!(self, Self::No { .. })
    }

    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No { .. } => "no",
            Self::NotApplicable => "not-applicable",
        }
    }

    /// What holds for both: a "no" tells.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (no @ Self::No { .. }, _) | (_, no @ Self::No { .. }) => no,
            (Self::Yes, Self::Yes) => Self::Yes,
            // One host that has nothing to meet does not speak for the other.
            (Self::NotApplicable, _) | (_, Self::NotApplicable) => Self::NotApplicable,
        }
    }
}

/// Which levels are met, each by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meets {
    /// It takes mail at all.
    pub opportunistic: Met,
    pub encrypt: Met,
    /// A certificate for the host's name, by an authority that is trusted.
    pub verify_mx: Met,
    /// The same for the domain's name.
    pub verify_domain: Met,
    pub dane: Met,
    /// The certificate, the version and the list of the MTA-STS policy, whatever its mode is.
    pub mta_sts: Met,
}

impl Meets {
    /// What all of them meet; `None` if there are none.
    pub fn all(each: impl IntoIterator<Item = Self>) -> Option<Self> {
        each.into_iter().reduce(|one, other| Self {
            opportunistic: one.opportunistic.and(other.opportunistic),
            encrypt: one.encrypt.and(other.encrypt),
            verify_mx: one.verify_mx.and(other.verify_mx),
            verify_domain: one.verify_domain.and(other.verify_domain),
            dane: one.dane.and(other.dane),
            mta_sts: one.mta_sts.and(other.mta_sts),
        })
    }

    /// Each level with its name, weakest first.
    pub fn rows(&self) -> [(&'static str, &Met); 6] {
        [
            ("opportunistic", &self.opportunistic),
            ("encrypt", &self.encrypt),
            ("verify_mx", &self.verify_mx),
            ("verify_domain", &self.verify_domain),
            ("dane", &self.dane),
            ("mta_sts", &self.mta_sts),
        ]
    }
}

/// By what a host is judged.
#[derive(Clone, Copy, Debug)]
pub struct Bench<'a> {
    pub domain: Option<&'a Domain>,
    pub host: &'a FoundHost,
    pub dane: &'a DaneFound,
    /// As it is published now.
    pub mta_sts: Option<MtaSts>,
    /// As a delivery of ours goes by it.
    pub mta_sts_in_force: Option<MtaSts>,
    /// What the policy holds the domain's own hosts to because they have shown it for long.
    pub learned: Option<&'a Learned>,
    pub roots: &'a Roots,
    pub now: Timestamp,
}

impl Bench<'_> {
    /// What the host meets at every address that answers; of a host that nowhere answers nothing is met.
    pub fn meets(&self, seen: &Observation) -> Meets {
        let answering = seen.addresses.iter().filter(|seen| seen.takes_mail());
        let all = Meets::all(answering.map(|seen| self.meets_at(seen)));
        all.or_else(|| Meets::all(seen.addresses.iter().map(|seen| self.meets_at(seen)))).unwrap_or_else(|| {
            let no = || Met::no(Reason::ConnectFailed, "the host was not connected to");
            self.without_tls(no(), no)
        })
    }

    fn meets_at(&self, seen: &AddressSeen) -> Meets {
        match &seen.end {
            End::Tls(secured) => self.meets_under_tls(&secured.peer),
            End::Plaintext(trouble) => self.without_tls(Met::Yes, || Met::no(trouble.reason(), trouble.in_words())),
            End::Nothing(trouble) => {
                let no = || Met::no(trouble.reason(), trouble.in_words());
                self.without_tls(no(), no)
            }
        }
    }

    fn without_tls(&self, opportunistic: Met, no: impl Fn() -> Met) -> Meets {
        let if_any = |is_there: bool| if is_there { no() } else { Met::NotApplicable };
        Meets {
            opportunistic,
            encrypt: no(),
            verify_mx: if_any(self.host.name.is_some()),
            verify_domain: if_any(self.domain.is_some()),
            dane: if_any(self.dane.is_usable() || self.dane.0.is_err()),
            mta_sts: if_any(self.mta_sts.is_some()),
        }
    }

    /// What a session with this certificate meets.
    pub fn meets_under_tls(&self, peer: &Peer) -> Meets {
        let verify_mx = self.by_name(peer, self.host.name.as_ref());
        Meets {
            opportunistic: Met::Yes,
            encrypt: Met::Yes,
            verify_domain: self.by_name(peer, self.domain),
            dane: self.by_dane(peer),
            mta_sts: self.by_sts(peer, &verify_mx),
            verify_mx,
        }
    }

    /// Where a chain leads, whoever it is for.
    pub fn chain(&self, peer: &Peer) -> ChainTrust {
        evaluate(&peer.chain, &Identity::default(), self.roots, self.now).chain
    }

    /// The facts of a session with what its certificate is worth: by what our policy asks, else by the host's name.
    pub fn facts(&self, peer: &Peer, ours: Option<(&HostRequirement, &Roots)>) -> TlsFacts {
        let mut peer = peer.clone();
        let evaluation = match ours {
            Some((requirement, roots)) => evaluate_all(&peer.chain, requirement, roots, self.now),
            None => {
                let names = self.host.name.as_ref().or(self.domain).cloned().into_iter().collect();
                evaluate(&peer.chain, &Identity { names, ..Identity::default() }, self.roots, self.now)
            }
        };
        peer.record(&evaluation);
        peer.record_chain(self.chain(&peer));
        let dane =
            self.dane.usable().and_then(|(usable, names)| evaluate_dane(&peer.chain, usable, names, self.now).dane);
        if let Some(certificate) = &mut peer.facts.peer {
            certificate.dane = certificate.dane.take().or(dane);
        }
        peer.facts
    }

    /// Of each TLSA record whether it alone would do for one of these certificates; `None` for one that does not count.
    pub fn tlsa_matches(&self, peers: &[&Peer]) -> Vec<Option<bool>> {
        let matches = |judged: &Judged| {
            let (_, names) = self.dane.usable().filter(|_| judged.standing == Standing::Usable && !peers.is_empty())?;
            let alone = classify(std::slice::from_ref(&judged.record))?.usable()?.clone();
            Some(peers.iter().any(|peer| evaluate_dane(&peer.chain, &alone, names, self.now).error.is_none()))
        };
        self.dane.judged().iter().map(matches).collect()
    }

    fn by_name(&self, peer: &Peer, name: Option<&Domain>) -> Met {
        let Some(name) = name else { return Met::NotApplicable };
        let identity = Identity { names: vec![name.clone()], ..Identity::default() };
        Met::of(evaluate(&peer.chain, &identity, self.roots, self.now))
    }

    fn by_dane(&self, peer: &Peer) -> Met {
        match &self.dane.0 {
            Ok(Dane::Inapplicable | Dane::Absent | Dane::Unusable(_)) => Met::NotApplicable,
            Err(error) => Met::no(error.reason(), format!("the TLSA records cannot be looked up: {error}")),
            Ok(Dane::Usable(records)) => match &records.records {
                Some(usable) => Met::of(evaluate_dane(&peer.chain, usable, &records.names, self.now)),
                None => Met::NotApplicable,
            },
        }
    }

    fn by_sts(&self, peer: &Peer, by_name: &Met) -> Met {
        match self.mta_sts {
            None => Met::NotApplicable,
            Some(MtaSts { lists_host: false, .. }) => {
                let host = self.host.shown();
                Met::no(Reason::ValidationFailure, format!("the MTA-STS policy does not list {host}"))
            }
            Some(_) if peer.facts.version < STS_VERSION_MIN => {
                Met::no(Reason::VersionBelowMinimum, format!("the session uses {}", peer.facts))
            }
            Some(_) => by_name.clone(),
        }
    }

    /// What our policy asks of a session with the host, or why nothing there could meet it.
    pub fn requirement(&self, decision: &Decision) -> Result<HostRequirement, Unmet> {
        let dane = match &self.dane.0 {
            Ok(dane) => dane.clone(),
            Err(error) if decision.heeds_dane(Asks::default()) => {
                let detail = format!("the TLSA records cannot be looked up: {error}");
                let source = decision.following.dane.source.clone();
                return Err(Unmet { reason: error.reason(), detail, source });
            }
            Err(_) => Dane::Inapplicable,
        };
        let published =
            Published { dane, mta_sts: self.mta_sts_in_force, learned: self.learned.cloned(), ..Published::default() };
        let identity = HostIdentity {
            recipient_domain: self.domain,
            name: self.host.name.as_ref(),
            name_is_trusted: self.host.name_is_trusted,
        };
        require(decision, &identity, &published)
    }
}

/// Whether a session may carry mail, and by what that is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The error says what is wrong, in words too.
    pub met: Result<(), (Reason, String)>,
    /// What asks for that which is lacking, else what decides about TLS. `None` where no rule is to blame.
    pub rule: Option<Source>,
}

impl Verdict {
    /// It did not come to a session that could be judged.
    pub fn failed(session: &Requirement, reason: Reason, detail: String) -> Self {
        let rule = reason.is_outbound_tls().then(|| session.rule(Some(reason)).clone());
        Self { met: Err((reason, detail)), rule }
    }
}

impl From<&Unmet> for Verdict {
    fn from(unmet: &Unmet) -> Self {
        Self { met: Err((unmet.reason, unmet.detail.clone())), rule: Some(unmet.source.clone()) }
    }
}

/// Whether a session meets a requirement: the last word before MAIL FROM, with what is wrong in words. `peer` is `None`
/// for plaintext.
pub fn check(requirement: &HostRequirement, peer: Option<&Peer>, roots: &Roots, now: Timestamp) -> Verdict {
    let evaluation = peer.map(|peer| evaluate_all(&peer.chain, requirement, roots, now));
    let proved = match &evaluation {
        Some(Evaluation { error: Some(reason), .. }) => IdentityCheck::Failed(*reason),
        Some(evaluation) => IdentityCheck::Verified(evaluation.verified),
        None => IdentityCheck::Verified(Verified::None),
    };
    let facts = peer.zip(evaluation.as_ref()).map(|(peer, evaluation)| {
        let mut peer = peer.clone();
        peer.record(evaluation);
        peer.facts
    });
    let met = session_check::verify(requirement, facts.as_ref(), proved);
    let rule = session_check::rule(requirement, facts.as_ref(), met.err()).clone();
    let met = met.map_err(|reason| {
        let told = evaluation.map(|evaluation| evaluation.detail).filter(|detail| !detail.is_empty());
        (reason, told.filter(|_| !is_of_strength(reason)).unwrap_or_else(|| in_words(facts.as_ref())))
    });
    Verdict { met, rule: Some(rule) }
}

const fn is_of_strength(reason: Reason) -> bool {
    matches!(reason, Reason::VersionBelowMinimum | Reason::CipherBelowMinimum)
}

fn in_words(facts: Option<&TlsFacts>) -> String {
    match facts {
        Some(facts) => format!("the session uses {facts}"),
        None => "the session is not encrypted".to_owned(),
    }
}
