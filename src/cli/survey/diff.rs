//! What changed between two surveys, domain by domain.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::domain::Domain;

use super::record::{Levels, Surveyed, Word};

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    Lost,
    Gained,
    Changed,
}

/// One change of one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    pub(super) domain: Domain,
    pub(super) way: Way,
    /// A stable word: `tls`, `verify_mx`, `verify_domain`, `dane`, `mta_sts`, `version`, `tlsrpt`, `hosts`, `answer`,
    /// `domain`.
    pub(super) what: &'static str,
    pub(super) before: String,
    pub(super) now: String,
}

/// All changes, losses first, else in the order of the domains.
pub(super) fn changes(before: &BTreeMap<Domain, Surveyed>, now: &BTreeMap<Domain, Surveyed>) -> Vec<Change> {
    let domains: BTreeSet<&Domain> = before.keys().chain(now.keys()).collect();
    let mut all: Vec<Change> = domains
        .into_iter()
        .flat_map(|domain| match (before.get(domain), now.get(domain)) {
            (Some(before), Some(now)) => of_domain(before, now),
            (before, _) => {
                let words = |is_there: bool| if is_there { "listed" } else { "not listed" }.to_owned();
                vec![Change {
                    domain: domain.clone(),
                    way: Way::Changed,
                    what: "domain",
                    before: words(before.is_some()),
                    now: words(before.is_none()),
                }]
            }
        })
        .collect();
    all.sort_by_key(|change| change.way);
    all
}

fn of_domain(before: &Surveyed, now: &Surveyed) -> Vec<Change> {
    let mut list = List { domain: &now.domain, all: Vec::new() };
    list.compare("answer", answer(before), answer(now));
    if before.meets.is_some() && now.meets.is_some() {
        list.level("tls", (before, now), |meets| meets.encrypt);
        list.level("verify_mx", (before, now), |meets| meets.verify_mx);
        list.level("verify_domain", (before, now), |meets| meets.verify_domain);
        list.level("dane", (before, now), |meets| meets.dane);
        list.compare("version", version(before), version(now));
    }
    list.compare("mta_sts", mta_sts(before), mta_sts(now));
    list.compare("tlsrpt", yes_or_no(before.tlsrpt), yes_or_no(now.tlsrpt));
    let (hosts_before, hosts_now) = (hosts(before), hosts(now));
    if hosts_before != hosts_now && !hosts_now.is_empty() {
        list.add(Way::Changed, "hosts", hosts_before, hosts_now);
    }
    list.all
}

struct List<'a> {
    domain: &'a Domain,
    all: Vec<Change>,
}

impl List<'_> {
    fn add(&mut self, way: Way, what: &'static str, before: String, now: String) {
        self.all.push(Change { domain: self.domain.clone(), way, what, before, now });
    }

    /// Values with their rank: a higher one is better.
    fn compare(&mut self, what: &'static str, before: (u8, String), now: (u8, String)) {
        let way = match before.0.cmp(&now.0) {
            std::cmp::Ordering::Greater => Way::Lost,
            std::cmp::Ordering::Less => Way::Gained,
            std::cmp::Ordering::Equal if before.1 != now.1 => Way::Changed,
            std::cmp::Ordering::Equal => return,
        };
        self.add(way, what, before.1, now.1);
    }

    fn level(&mut self, what: &'static str, (before, now): (&Surveyed, &Surveyed), level: fn(&Levels) -> Word) {
        let of = |surveyed: &Surveyed| {
            let word = surveyed.meets.as_ref().map_or(Word::No, level);
            // What was never published was never kept, and is not broken either.
            (u8::from(word == Word::Yes), word.as_str().to_owned())
        };
        self.compare(what, of(before), of(now));
    }
}

fn answer(surveyed: &Surveyed) -> (u8, String) {
    match (&surveyed.failure, &surveyed.meets) {
        (Some(failure), _) => (0, failure.reason.to_string()),
        (None, None) => (0, "no host answers".to_owned()),
        (None, Some(_)) => (1, "yes".to_owned()),
    }
}

fn version(surveyed: &Surveyed) -> (u8, String) {
    match surveyed.version() {
        None => (0, "none".to_owned()),
        Some(version) => (version as u8 + 1, version.to_string()),
    }
}

fn mta_sts(surveyed: &Surveyed) -> (u8, String) {
    let rank = match surveyed.mta_sts.as_str() {
        "enforce" => 2,
        "testing" => 1,
        _ => 0,
    };
    (rank, surveyed.mta_sts.clone())
}

fn yes_or_no(is: bool) -> (u8, String) {
    (u8::from(is), if is { "yes" } else { "no" }.to_owned())
}

fn hosts(surveyed: &Surveyed) -> String {
    let mut names: Vec<&str> = surveyed.hosts.iter().map(|host| host.host.as_str()).collect();
    names.sort_unstable();
    names.join(" ")
}
