//! Everything about one host: what is published about it, what it did, what it meets, what our policy makes of it.

use std::sync::Arc;

use crate::clock;
use crate::model::address::ReversePath;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::tls::ChainTrust;
use crate::policy::host_requirement::{HostRequirement, Unmet};
use crate::policy::outbound::{Decision, decide};
use crate::policy::published::Learned;
use crate::policy::rules::PolicySet;
use crate::policy::session_check::is_strong_enough;
use crate::policy::settings::Source;
use crate::policy::timed::Asker;
use crate::tls::roots::Roots;

use super::Prober;
use super::dane::DaneFound;
use super::judge::{Bench, Meets, check};
use super::observe::{AddressSeen, End, Look, Observation, Subject};
use super::publication::{FoundHost, StsFound};
use super::walk::{Trial, Walk};

/// What is asked about each host.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// The domain that the mail would be for.
    pub domain: Option<&'a Domain>,
    pub mta_sts: &'a StsFound,
    /// What was learned of the domain, where our policy goes by it.
    pub learned: Option<&'a Learned>,
    pub look: Look,
    /// What our policy has decided, if we have one.
    pub decision: Option<&'a Decision>,
    pub walk: Option<Walk<'a>>,
}

/// One host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostReport {
    pub found: FoundHost,
    pub dane: DaneFound,
    /// Whether the MTA-STS policy lists it; `None` without one.
    pub sts_lists_it: Option<bool>,
    pub seen: Arc<Observation>,
    /// Where the chain of its certificate leads; `None` without TLS.
    pub chain: Option<ChainTrust>,
    pub meets: Meets,
    /// `None` without a policy of ours.
    pub policy: Option<HostVerdict>,
    /// What came of the walk; `None` where nobody was to walk.
    pub walked: Option<Trial>,
}

/// What our policy makes of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostVerdict {
    pub requirement: Result<HostRequirement, Unmet>,
    /// Whether mail would be sent there now.
    pub verdict: Result<(), (Reason, String)>,
}

impl HostReport {
    /// The name to ask for in the handshake.
    pub fn server_name(&self) -> Option<&Domain> {
        server_name(&self.found, &self.dane)
    }

    /// The first address that would take mail.
    pub fn first_answering(&self) -> Option<&AddressSeen> {
        self.seen.addresses.iter().find(|seen| seen.takes_mail())
    }
}

/// The TLSA base domain goes before the host's name (RFC 7672 section 8.1).
pub fn server_name<'a>(found: &'a FoundHost, dane: &'a DaneFound) -> Option<&'a Domain> {
    dane.base().filter(|_| dane.is_usable()).or(found.name.as_ref())
}

impl Prober {
    /// Asks one host everything.
    pub async fn host(&self, found: FoundHost, inquiry: &Inquiry<'_>) -> HostReport {
        let dane = self.dane(&found).await;
        let subject = Subject { name: found.name.as_ref(), server_name: server_name(&found, &dane) };
        let seen = Arc::new(self.observe(subject, &found.sockets(), inquiry.look).await);
        self.judge_host(found, dane, seen, inquiry).await
    }

    /// The same of a host that was observed already.
    pub async fn judge_host(
        &self,
        found: FoundHost,
        dane: DaneFound,
        seen: Arc<Observation>,
        inquiry: &Inquiry<'_>,
    ) -> HostReport {
        let mta_sts = inquiry.mta_sts.about(found.name.as_ref());
        let bench = Bench {
            domain: inquiry.domain,
            host: &found,
            dane: &dane,
            mta_sts,
            learned: inquiry.learned,
            roots: &self.roots,
            now: clock::timestamp(),
        };
        let meets = bench.meets(&seen);
        let chain = seen.secured().map(|secured| bench.chain(&secured.peer));
        let (mut policy, mut walked) = (None, None);
        // Without a policy of ours a walk goes by what is built in.
        let built_in = || {
            let asker = Asker { at: bench.now, client: None, sender: &ReversePath::Null };
            decide(&PolicySet::default(), inquiry.domain, &asker)
        };
        let decision = inquiry.decision.cloned().or_else(|| inquiry.walk.map(|_| built_in()));
        if let Some(decision) = decision {
            let requirement = bench.requirement(&decision);
            let (verdict, trial) = self.verdict(&requirement, &bench, &seen, inquiry.walk).await;
            walked = inquiry.walk.map(|_| trial.unwrap_or_else(|| not_walked(&verdict)));
            policy = inquiry.decision.map(|_| HostVerdict { requirement, verdict });
        }
        HostReport { sts_lists_it: mta_sts.map(|sts| sts.lists_host), found, dane, seen, chain, meets, policy, walked }
    }

    /// By the session that was seen, unless a delivery would negotiate another, or somebody is to walk.
    async fn verdict(
        &self,
        requirement: &Result<HostRequirement, Unmet>,
        bench: &Bench<'_>,
        seen: &Observation,
        walk: Option<Walk<'_>>,
    ) -> (Result<(), (Reason, String)>, Option<Trial>) {
        let requirement = match requirement {
            Ok(requirement) => requirement,
            Err(unmet) => return (Err((unmet.reason, unmet.detail.clone())), None),
        };
        let Some(address) = seen.addresses.iter().find(|seen| seen.takes_mail()) else {
            let trouble = seen.addresses.first().map(|seen| &seen.end);
            let told = match trouble {
                Some(End::Nothing(trouble)) => (trouble.reason(), trouble.in_words()),
                _ => (Reason::ConnectFailed, "the host was not connected to".to_owned()),
            };
            return (Err(told), None);
        };
        let roots = match self.roots_of(requirement) {
            Ok(roots) => roots,
            Err(detail) => return (Err((Reason::CertificateNotTrusted, detail)), None),
        };
        let peer = address.secured().map(|secured| &secured.peer);
        let is_settled = is_strong_enough(&requirement.session, peer.map(|peer| &peer.facts)).is_ok();
        if walk.is_none() && is_settled && requirement.session.permits_tls() {
            return (check(requirement, peer, &roots, bench.now), None);
        }
        let subject = Subject { name: bench.host.name.as_ref(), server_name: bench.host.name.as_ref() };
        let trial = self.attempt(subject, address.address, (requirement, &roots), walk).await;
        (trial.verdict.clone(), Some(trial))
    }

    /// Who may vouch for hosts under this requirement.
    fn roots_of(&self, requirement: &HostRequirement) -> Result<Roots, String> {
        match &requirement.session.ca {
            None => Ok(self.roots.clone()),
            Some(ca) => Roots::from_pem_files(&ca.value).map_err(|error| error.to_string()),
        }
    }
}

fn not_walked(verdict: &Result<(), (Reason, String)>) -> Trial {
    Trial { facts: None, verdict: verdict.clone(), said: Vec::new(), trouble: None }
}

/// Where a verdict was written.
pub fn rule(verdict: &HostVerdict) -> Option<&Source> {
    match (&verdict.requirement, &verdict.verdict) {
        (Err(unmet), _) => Some(&unmet.source),
        (Ok(requirement), Err((reason, _))) => Some(requirement.session.rule(Some(*reason))),
        (Ok(requirement), Ok(())) => Some(requirement.session.rule(None)),
    }
}
