//! The hosts of the next hop by what a session with them must meet.

use crate::policy::host_requirement::{Evidence, HostRequirement, Proof, Unmet};

use super::Explained;
use super::facts::Asked;

/// Hosts of which the same is asked, their own names aside.
#[derive(Debug)]
pub struct Kind {
    /// As they are shown, in the order to try. Never empty.
    pub hosts: Vec<String>,
    /// The first of them.
    pub first: Asked,
    pub requirement: Result<HostRequirement, Unmet>,
    shape: Vec<String>,
}

impl Kind {
    /// `mx1.host.example`, `mx1.host.example and 2 more`.
    pub fn names(&self) -> String {
        let first = self.hosts.first().map(String::as_str).unwrap_or_default();
        match self.hosts.len() {
            0 | 1 => first.to_owned(),
            count => format!("{first} and {} more", count - 1),
        }
    }

    /// Whether it matters whose certificate it is.
    pub fn wants_identity(&self) -> bool {
        self.requirement.as_ref().is_ok_and(|requirement| !requirement.proofs.is_empty())
    }
}

impl Explained<'_> {
    /// The kinds of host, that of the first host first.
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = Vec::new();
        for (place, (host, requirement)) in self.requirements().into_iter().enumerate() {
            let found = self.facts.hosts.get(place).map(super::facts::HostFact::shown);
            let name = host.name.as_ref().map(ToString::to_string);
            let shown = found.or(name).unwrap_or_else(|| "a host".to_owned());
            let shape = shape(&host, &requirement);
            match kinds.iter_mut().find(|kind| kind.shape == shape) {
                Some(kind) => kind.hosts.push(shown),
                None => kinds.push(Kind { hosts: vec![shown], first: host, requirement, shape }),
            }
        }
        kinds
    }
}

fn shape(host: &Asked, requirement: &Result<HostRequirement, Unmet>) -> Vec<String> {
    match requirement {
        Err(unmet) => vec![unmet.reason.to_string(), unmet.source.to_string()],
        Ok(requirement) => {
            let floor = requirement.session.floor().into_iter();
            let floor = floor.map(|row| format!("{} = {} ({})", row.key, row.value, row.source));
            floor.chain(requirement.proofs.iter().map(|proof| of_proof(host, proof))).collect()
        }
    }
}

fn of_proof(host: &Asked, proof: &Proof) -> String {
    let what = match &proof.of {
        Evidence::Tlsa(_) => "a TLSA record".to_owned(),
        Evidence::Names(identity) => {
            let is_own = |name: &&crate::model::domain::Domain| host.name.as_ref() == Some(*name);
            let others: Vec<&str> =
                identity.names.iter().filter(|name| !is_own(name)).map(|name| name.as_str()).collect();
            let own = identity.names.iter().any(|name| is_own(&name));
            format!("own name {own}, {others:?}, {:?}, {}", identity.one_below, identity.fingerprints.len())
        }
    };
    format!("{what} ({})", proof.source)
}
