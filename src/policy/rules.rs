//! Which domain file speaks for a domain: exact before wildcard, longest wildcard first. Files are never merged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::address::Address;
use crate::model::domain::{Domain, DomainPattern};

use super::settings::{DeliveryLayer, InboundLayer, KeyPair, OutboundLayer, Route, Sourced};
use super::timed::{Enforcement, Rules};

/// Which local parts a hosted domain has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Recipients {
    /// Every local part, also for domains that are not hosted.
    #[default]
    Any,
    /// Lower-case local parts, or whole addresses, from the file that was named.
    Listed { file: Arc<str>, names: Arc<HashSet<String>> },
}

/// The content of one domain file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainPolicy {
    /// Path of the file, relative to the configuration's root; empty for the default.
    pub file: Arc<str>,
    pub patterns: Vec<DomainPattern>,
    pub owner: Option<String>,
    /// Label in metrics; `None` counts as `other`.
    pub group: Option<Arc<str>>,
    /// Role `mx` accepts mail for these domains from strangers.
    pub hosted: bool,
    pub recipients: Recipients,
    pub inbound: Rules<InboundLayer>,
    pub outbound: Rules<OutboundLayer>,
    pub delivery: DeliveryLayer,
    pub route: Option<Arc<Route>>,
}

/// The layers below all domain files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    pub inbound: Rules<InboundLayer>,
    pub outbound: Rules<OutboundLayer>,
    pub delivery: DeliveryLayer,
    pub route: Option<Arc<Route>>,
}

/// All policies of one configuration, ready for look-up.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    pub defaults: Defaults,
    pub enforcement: Enforcement,
    /// Where TLS reports about us arrive, whatever TLS they come with (RFC 8460 section 3).
    pub tls_report_address: Option<Address>,
    /// Every `[[route]]` by its name.
    pub routes: BTreeMap<Arc<str>, Arc<Route>>,
    policies: Vec<Arc<DomainPolicy>>,
    exact: HashMap<Domain, usize>,
    below: HashMap<Domain, usize>,
}

/// A pattern that two domain files claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub pattern: DomainPattern,
    pub first_file: Arc<str>,
    pub second_file: Arc<str>,
}

impl PolicySet {
    /// Reports every pattern that stands in two files (or twice in one).
    pub fn new(defaults: Defaults, policies: Vec<DomainPolicy>) -> Result<Self, Vec<Conflict>> {
        let mut set = Self { defaults, policies: policies.into_iter().map(Arc::new).collect(), ..Self::default() };
        let mut conflicts = Vec::new();
        for (index, policy) in set.policies.iter().enumerate() {
            for pattern in &policy.patterns {
                let (map, name) = match pattern {
                    DomainPattern::Exact(name) => (&mut set.exact, name),
                    DomainPattern::Below(name) => (&mut set.below, name),
                };
                let claimed = map.insert(name.clone(), index).and_then(|first| set.policies.get(first));
                if let Some(first) = claimed {
                    conflicts.push(Conflict {
                        pattern: pattern.clone(),
                        first_file: first.file.clone(),
                        second_file: policy.file.clone(),
                    });
                }
            }
        }
        if conflicts.is_empty() { Ok(set) } else { Err(conflicts) }
    }

    /// Every route, wherever it is written.
    fn all_routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let of_files = self.policies.iter().filter_map(|policy| policy.route.as_ref());
        of_files.chain(&self.defaults.route).chain(self.routes.values())
    }

    /// Whether a route has this name, wherever it is written.
    pub fn has_route(&self, name: &str) -> bool {
        self.all_routes().any(|route| &*route.name == name)
    }

    /// The certificates of ours that routes name, some perhaps more than once.
    pub fn client_certificates(&self) -> impl Iterator<Item = &Sourced<KeyPair>> {
        self.all_routes().filter_map(|route| route.client_certificate.as_ref())
    }

    /// The lists of files with roots of their own, some perhaps more than once.
    pub fn authorities(&self) -> impl Iterator<Item = &Sourced<Vec<PathBuf>>> {
        let of_files = self.policies.iter().flat_map(|policy| policy.outbound.layers());
        let layers = of_files.chain(self.defaults.outbound.layers()).chain(self.all_routes().map(|route| &route.tls));
        layers.filter_map(|layer| layer.ca.as_ref())
    }

    /// The file that speaks for `domain`, with the pattern that matched; `None` leaves it to the defaults.
    pub fn find(&self, domain: &Domain) -> Option<(&Arc<DomainPolicy>, DomainPattern)> {
        if let Some(policy) = self.exact.get(domain).and_then(|index| self.policies.get(*index)) {
            return Some((policy, DomainPattern::Exact(domain.clone())));
        }
        if self.below.is_empty() {
            return None;
        }
        std::iter::successors(domain.parent(), Domain::parent).find_map(|above| {
            let policy = self.below.get(&above).and_then(|index| self.policies.get(*index))?;
            Some((policy, DomainPattern::Below(above)))
        })
    }

    /// Whether role `mx` accepts mail for `domain` from strangers. A route alone hosts nothing.
    pub fn is_hosted(&self, domain: &Domain) -> bool {
        self.find(domain).is_some_and(|(policy, _)| policy.hosted)
    }

    pub fn policies(&self) -> impl Iterator<Item = &Arc<DomainPolicy>> {
        self.policies.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(file: &str, patterns: &[&str]) -> DomainPolicy {
        DomainPolicy {
            file: file.into(),
            patterns: patterns.iter().map(|p| DomainPattern::parse(p).unwrap()).collect(),
            ..DomainPolicy::default()
        }
    }

    #[test]
    fn exact_wins_over_wildcard_and_the_longest_wildcard_over_shorter_ones() {
        let set = PolicySet::new(
            Defaults::default(),
            vec![
                policy("bank", &["bank.example", "*.bank.example"]),
                policy("lab", &["*.lab.bank.example"]),
                policy("www", &["www.bank.example"]),
            ],
        )
        .unwrap();
        for (name, file) in [
            ("bank.example", Some("bank")),
            ("mail.bank.example", Some("bank")),
            ("www.bank.example", Some("www")),
            ("lab.bank.example", Some("bank")),
            ("x.lab.bank.example", Some("lab")),
            ("a.b.lab.bank.example", Some("lab")),
            ("a.www.bank.example", Some("bank")),
            ("example", None),
            ("other.example", None),
        ] {
            let found = set.find(&Domain::parse(name).unwrap()).map(|(policy, _)| policy.file.to_string());
            assert_eq!(found.as_deref(), file, "{name}");
        }
    }

    #[test]
    fn a_domain_in_two_files_is_a_conflict() {
        let conflicts =
            PolicySet::new(Defaults::default(), vec![policy("a", &["x.example"]), policy("b", &["X.example"])])
                .unwrap_err();
        assert_eq!(conflicts.len(), 1);
        assert_eq!((&*conflicts[0].first_file, &*conflicts[0].second_file), ("a", "b"));
    }
}
