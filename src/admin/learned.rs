//! What was learned of destinations as an operator sees it. The commands ask here too while no daemon runs.

use std::collections::HashMap;

use crate::facts::learned::LearnedStore;
use crate::model::address::ReversePath;
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::candidate::named_in;
use crate::policy::learned::candidate;
use crate::policy::learned::evidence::Evidence;
use crate::policy::learned::history::Sights;
use crate::policy::learned::{InForce, Learned, Level, Terms, Thresholds};
use crate::policy::outbound::decide;
use crate::policy::rules::PolicySet;
use crate::policy::settings::Learn;
use crate::policy::timed::Asker;

use super::protocol::learned::{LearnedDomain, LearnedHost, LearnedLevel};
use super::protocol::{LEARNED_PAGE_MAX, Response};

/// What a description depends on besides what was learned.
#[derive(Debug)]
struct Around<'a> {
    policies: &'a PolicySet,
    thresholds: Thresholds,
    alarms: HashMap<Domain, Timestamp>,
    now: Timestamp,
}

/// A page of the domains, or the one that was asked for. Blocks.
pub fn list(
    store: &LearnedStore,
    policies: &PolicySet,
    (domain, after): (Option<&Domain>, Option<&Domain>),
    now: Timestamp,
) -> Response {
    let (thresholds, alarms) = (store.terms().thresholds, store.standing().alarms.into_iter().collect());
    let around = Around { policies, thresholds, alarms, now };
    if let Some(domain) = domain {
        let found = store.find(domain).map(|learned| around.describe(domain, &learned));
        return found.map_or(Response::NotFound, |found| Response::Learned { domains: vec![found], more: false });
    }
    let page = store.list(after, LEARNED_PAGE_MAX);
    let more = page.len() == LEARNED_PAGE_MAX;
    Response::Learned { domains: page.iter().map(|(domain, learned)| around.describe(domain, learned)).collect(), more }
}

impl Around<'_> {
    fn describe(&self, domain: &Domain, learned: &Learned) -> LearnedDomain {
        let terms = Terms { thresholds: &self.thresholds, current: None };
        let evidence = learned.proposal(&terms, self.now);
        let in_force = learned.in_force();
        let candidate = evidence.as_ref().map(|found| candidate::file(self.policies, domain, found, self.now));
        let (candidate, no_candidate) = match candidate {
            Some(Ok(file)) => (Some(file), None),
            Some(Err(why)) => (None, Some(why.to_string())),
            None => (None, None),
        };
        LearnedDomain {
            domain: domain.clone(),
            learn: self.learn(domain).as_str().to_owned(),
            in_force: in_force.map(|InForce { since, evidence }| LearnedLevel {
                level: evidence.level.as_str().to_owned(),
                since: *since,
                evidence: evidence.clone(),
            }),
            lacking: next_level(evidence.as_ref())
                .and_then(|level| learned.evidence(level, &terms, self.now).err())
                .map(|lacking| lacking.to_string()),
            evidence,
            hosts: learned.hosts().map(|(name, sights)| host(name, sights)).collect(),
            last_tried: learned.last_tried(),
            alarm_since: self.alarms.get(domain).copied(),
            file: named_in(self.policies, domain).map(ToString::to_string),
            candidate,
            no_candidate,
        }
    }

    /// What is made of it, for mail of nobody in particular.
    fn learn(&self, domain: &Domain) -> Learn {
        let asker = Asker { at: self.now, client: None, sender: &ReversePath::Null };
        decide(self.policies, Some(domain), &asker).following.learn.value
    }
}

/// The lowest level that is not met yet.
fn next_level(met: Option<&Evidence>) -> Option<Level> {
    let met = met.map(|evidence| evidence.level);
    Level::ALL.into_iter().find(|level| Some(*level) > met)
}

fn host(name: &Domain, sights: &Sights) -> LearnedHost {
    let Sights { plaintext, encrypt, verify } = sights;
    LearnedHost {
        name: name.clone(),
        plaintext: plaintext.map(|sight| sight.at),
        encrypt: encrypt.map(|sight| sight.at),
        verify: verify.map(|sight| sight.at),
    }
}
