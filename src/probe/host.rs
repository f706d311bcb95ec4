//! Everything about one host: what is published about it, what it did, what it meets, what our policy makes of it.

use std::sync::Arc;

use crate::clock;
use crate::dns::Security;
use crate::facts::sts_plan::CachedPolicy;
use crate::model::address::ReversePath;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::tls::{ChainTrust, TlsFacts};
use crate::policy::host_requirement::{HostRequirement, Unmet};
use crate::policy::outbound::{Decision, decide};
use crate::policy::published::{Dane, Learned};
use crate::policy::rules::PolicySet;
use crate::policy::session_check::is_strong_enough;
use crate::policy::settings::Source;
use crate::policy::timed::Asker;
use crate::tls::client::Peer;
use crate::tls::roots::Roots;

use super::Prober;
use super::dane::DaneFound;
use super::judge::{Bench, Meets, Verdict, check};
use super::observe::{AddressSeen, End, Look, Observation, Secured, Subject};
use super::publication::{FoundHost, StsFound, about};
use super::walk::{Trial, Walk};

/// What is asked about each host.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// The domain that the mail would be for.
    pub domain: Option<&'a Domain>,
    pub mta_sts: &'a StsFound,
    /// The MTA-STS policy that our deliveries keep.
    pub kept: Option<&'a CachedPolicy>,
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
    /// Of each address the facts of its session, with what its certificate is worth; `None` without TLS.
    pub sessions: Vec<Option<TlsFacts>>,
    /// Where the chain of its certificate leads; `None` without TLS.
    pub chain: Option<ChainTrust>,
    /// Whether each TLSA record alone would do for what was shown; `None` for one that does not count.
    pub tlsa_matches: Vec<Option<bool>>,
    /// The certificate that other clients are shown, where there are two.
    pub other: Option<Other>,
    pub meets: Meets,
    /// `None` without a policy of ours.
    pub policy: Option<HostVerdict>,
    /// What came of the walk; `None` where nobody was to walk.
    pub walked: Option<Trial>,
}

/// The second certificate of a host, with a key of another kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Other {
    pub peer: Peer,
    pub chain: ChainTrust,
    pub meets: Meets,
}

/// What our policy makes of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostVerdict {
    pub requirement: Result<HostRequirement, Unmet>,
    /// Whether mail would be sent there now.
    pub verdict: Result<(), (Reason, String)>,
    /// What asks for that which is lacking, else what decides about TLS. `None` where no rule is to blame.
    pub rule: Option<Source>,
}

impl HostReport {
    /// The name to ask for in the handshake.
    pub fn server_name(&self) -> Option<&Domain> {
        server_name(&self.found, &self.dane)
    }

    /// Whether a certificate for its name says that it is the right host: nobody could have put another name there.
    pub fn name_suffices(&self) -> bool {
        self.found.name_is_trusted || self.sts_lists_it == Some(true)
    }

    /// What is known of its TLSA records, in a word.
    pub fn dane_state(&self) -> &'static str {
        let is_unknown = self.found.address_security == Security::Unknown && self.found.name.is_some();
        match &self.dane.0 {
            Ok(Dane::Inapplicable) if is_unknown => "not-validated",
            _ => self.dane.as_str(),
        }
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
        let now = clock::timestamp();
        let in_force = inquiry.mta_sts.in_force(inquiry.kept, now);
        let bench = Bench {
            mta_sts_in_force: in_force.map(|policy| about(policy, found.name.as_ref())),
            domain: inquiry.domain,
            host: &found,
            dane: &dane,
            mta_sts,
            learned: inquiry.learned,
            roots: &self.roots,
            now,
        };
        let meets = bench.meets(&seen);
        let chain = seen.secured().map(|secured| bench.chain(&secured.peer));
        let (mut policy, mut walked) = (None::<HostVerdict>, None);
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
            let Verdict { met: verdict, rule } = verdict;
            policy = inquiry.decision.map(|_| HostVerdict { requirement, verdict, rule });
        }
        let ours = policy.as_ref().and_then(|policy| policy.requirement.as_ref().ok());
        let ours = ours.and_then(|requirement| Some((requirement, self.roots_of(requirement).ok()?)));
        let facts = |secured: &Secured| bench.facts(&secured.peer, ours.as_ref().map(|(own, roots)| (*own, roots)));
        let peers: Vec<&Peer> = seen.secured().map(|secured| &secured.peer).into_iter().chain(&seen.other).collect();
        let other = |peer: &Peer| {
            let (chain, meets) = (bench.chain(peer), bench.meets_under_tls(peer));
            Other { peer: peer.clone(), chain, meets }
        };
        HostReport {
            sessions: seen.addresses.iter().map(|seen| seen.secured().map(facts)).collect(),
            tlsa_matches: bench.tlsa_matches(&peers),
            other: seen.other.as_ref().map(other),
            sts_lists_it: mta_sts.map(|sts| sts.lists_host),
            found,
            dane,
            seen,
            chain,
            meets,
            policy,
            walked,
        }
    }

    /// By the session that was seen, unless a delivery would negotiate another, or somebody is to walk.
    async fn verdict(
        &self,
        requirement: &Result<HostRequirement, Unmet>,
        bench: &Bench<'_>,
        seen: &Observation,
        walk: Option<Walk<'_>>,
    ) -> (Verdict, Option<Trial>) {
        let requirement = match requirement {
            Ok(requirement) => requirement,
            Err(unmet) => return (unmet.into(), None),
        };
        let failed = |(reason, detail)| (Verdict::failed(&requirement.session, reason, detail), None);
        let Some(address) = seen.addresses.iter().find(|seen| seen.takes_mail()) else {
            let trouble = seen.addresses.first().map(|seen| &seen.end);
            let told = match trouble {
                Some(End::Nothing(trouble)) => (trouble.reason(), trouble.in_words()),
                _ => (Reason::ConnectFailed, "the host was not connected to".to_owned()),
            };
            return failed(told);
        };
        let roots = match self.roots_of(requirement) {
            Ok(roots) => roots,
            Err(detail) => return failed((Reason::CertificateNotTrusted, detail)),
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

fn not_walked(verdict: &Verdict) -> Trial {
    Trial { facts: None, verdict: verdict.clone(), said: Vec::new(), trouble: None }
}
