//! What to say of a domain of which nothing is known: it may be misspelt.

use std::path::Path;

use crate::config::Config;
use crate::model::domain::{Domain, DomainPattern};
use crate::model::near_domain::NearDomain;

use super::configuration;
use super::output::{Console, Failure};

/// What the configuration knows, if it can be read, that is close to a domain.
pub(super) fn known(config: Option<&Path>, asked: &Domain) -> NearDomain {
    let mut near = NearDomain::to(asked.clone());
    if let Ok((config, _)) = configuration::load(config) {
        see_policies(&config, &mut near);
    }
    near
}

pub(super) fn see_policies(config: &Config, near: &mut NearDomain) {
    config.policies.policies().flat_map(|policy| &policy.patterns).for_each(|pattern| near.see_pattern(pattern));
}

/// `did you mean bank.example?`
pub(super) fn question(near: &NearDomain) -> Option<String> {
    near.suggestion().map(|pattern| match pattern {
        DomainPattern::Exact(domain) => format!("did you mean {domain}?"),
        DomainPattern::Below(domain) => format!("did you mean a name below {domain}?"),
    })
}

/// The question, where there is one.
pub(super) fn hint(near: &NearDomain, console: &mut Console<'_>) -> Result<(), Failure> {
    question(near).map_or(Ok(()), |question| console.hint(&question))
}
