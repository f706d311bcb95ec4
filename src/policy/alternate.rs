//! Which routes may carry mail in place of a domain's own way: none that is weaker.

use std::cmp::Ordering;

use crate::model::address::Host;
use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::tls::ProtocolVersion;

use super::outbound::{Decision, Fallback};
use super::rules::PolicySet;
use super::settings::{DaneUse, Learn, OutboundLayer, OutboundTls, Route};

/// What one layer of keys asks of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub tls: Option<OutboundTls>,
    pub min_version: Option<ProtocolVersion>,
    pub cipher: Option<CipherGrade>,
}

impl From<&OutboundLayer> for Asked {
    fn from(layer: &OutboundLayer) -> Self {
        Self {
            tls: layer.tls.as_ref().map(|tls| tls.value),
            min_version: layer.min_version.as_ref().map(|version| version.value),
            cipher: layer.cipher.as_ref().map(|cipher| cipher.value),
        }
    }
}

impl Asked {
    /// The same laid over `below`.
    fn over(self, below: Self) -> Self {
        Self {
            tls: self.tls.or(below.tls),
            min_version: self.min_version.or(below.min_version),
            cipher: self.cipher.or(below.cipher),
        }
    }
}

/// What a session is asked for at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    pub tls: OutboundTls,
    pub min_version: Option<ProtocolVersion>,
    pub cipher: CipherGrade,
}

impl Floor {
    /// The strictest of each key in any of the layers; the layers may each be in force on some day.
    pub fn of(layers: impl IntoIterator<Item = Asked> + Clone) -> Self {
        let asked = || layers.clone().into_iter();
        let tls = asked().filter_map(|keys| keys.tls).max();
        let min_version = asked().filter_map(|keys| keys.min_version).max();
        let cipher = asked().filter_map(|keys| keys.cipher).max().unwrap_or(CipherGrade::Any);
        let implied = if min_version.is_some() || cipher > CipherGrade::Any {
            OutboundTls::Encrypt
        } else {
            OutboundTls::Opportunistic
        };
        Self { tls: tls.unwrap_or(implied).max(implied), min_version, cipher }
    }

    /// What a route has to meet that takes mail which something asked TLS for; where whose TLS it is was asked too,
    /// `proves` says so.
    pub fn of_alternate(self, proves: bool) -> Self {
        let least = if proves { OutboundTls::Verify } else { OutboundTls::Encrypt };
        Self { tls: self.tls.max(least), ..self }
    }

    /// The keys by which `given` is weaker, as they would be written.
    pub fn lacking(&self, given: &Self) -> Vec<String> {
        let mut lacking = Vec::new();
        if given.tls < self.tls {
            lacking.push(format!("tls = \"{}\"", self.tls.as_str()));
        }
        if let Some(version) = self.min_version.filter(|_| given.min_version.cmp(&self.min_version) == Ordering::Less) {
            lacking.push(format!("min_version = \"{version}\""));
        }
        if given.cipher < self.cipher {
            lacking.push(format!("cipher = \"{}\"", self.cipher));
        }
        lacking
    }
}

/// Why mail does not go by a route that was chosen for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no [[route]] named \"{0}\"")]
    Unknown(String),
    #[error("route \"{route}\" is weaker than its policy: it lacks {lacking}")]
    Weaker { route: String, lacking: String },
    #[error("route \"{0}\" names addresses, which never meet dane = \"required\"")]
    AddressesOnly(String),
}

/// The mail of `own`, decided about `domain`, by the `[[route]]` of this name instead: as its alternate route.
pub fn by_route(
    policies: &PolicySet,
    domain: Option<&Domain>,
    own: &Decision,
    name: &str,
) -> Result<Decision, Refusal> {
    let route = policies.routes.get(name).ok_or_else(|| Refusal::Unknown(name.to_owned()))?;
    let is_required = own.following.dane.value == DaneUse::Required;
    let proves = is_required || own.is_by_mx() && own.following.learn.value == Learn::Enforce;
    let given = Floor::of([Asked::from(&route.tls)]);
    let lacking = written(policies, domain).of_alternate(proves).lacking(&given);
    if !lacking.is_empty() {
        return Err(Refusal::Weaker { route: name.to_owned(), lacking: lacking.join(", ") });
    }
    if is_required && has_addresses_only(route) {
        return Err(Refusal::AddressesOnly(name.to_owned()));
    }
    let fallback = Fallback { route: route.clone(), after: std::time::Duration::ZERO };
    let by_fallback = Decision { fallback: Some(fallback), ..own.clone() }.rerouted();
    by_fallback.ok_or_else(|| Refusal::Unknown(name.to_owned()))
}

/// The strictest that is written for mail to this domain, on any day and for anybody.
fn written(policies: &PolicySet, domain: Option<&Domain>) -> Floor {
    let policy = domain.and_then(|domain| policies.find(domain)).map(|(policy, _)| policy);
    let default_route = policies.defaults.route.as_ref().filter(|_| domain.is_some());
    if let Some(route) = policy.and_then(|policy| policy.route.as_ref()).or(default_route) {
        return Floor::of([Asked::from(&route.tls)]);
    }
    let below: Vec<Asked> = policies.defaults.outbound.layers().map(Asked::from).collect();
    let Some(policy) = policy else { return Floor::of(below) };
    let own = policy.outbound.layers().map(Asked::from);
    let laid: Vec<Asked> = own.flat_map(|own| below.iter().map(move |below| own.over(*below))).collect();
    Floor::of(laid)
}

fn has_addresses_only(route: &Route) -> bool {
    route.hosts.iter().all(|host| !matches!(host.host, Host::Name(_)))
}

#[cfg(test)]
mod tests;
