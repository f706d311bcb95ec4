//! Domains without a file whose names are close to one that has a file: they may be misspelt.

use crate::model::near_domain::NearDomain;

use super::Scene;

pub(super) fn notes(scene: &Scene<'_>) -> Vec<String> {
    let asked = [("recipient", scene.to.domain()), ("sender", scene.from.domain())];
    let policies = || scene.config.policies.policies();
    let note = |(side, domain)| {
        let mut near = NearDomain::to(Clone::clone(domain?));
        policies().flat_map(|policy| &policy.patterns).for_each(|pattern| near.see_pattern(pattern));
        let meant = near.suggestion()?;
        let file = &policies().find(|policy| policy.patterns.contains(meant))?.file;
        let domain: &crate::model::domain::Domain = domain?;
        Some(format!("No file is about {domain}, the {side}'s domain. Is {meant} meant ({file})?"))
    };
    asked.into_iter().filter_map(note).collect()
}
