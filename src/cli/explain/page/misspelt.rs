//! Domains without a file whose names are close to one that has a file: they may be misspelt.

use crate::config::Config;
use crate::model::domain::{Domain, DomainPattern};
use crate::model::spelling::edits;

use super::Scene;

/// How far a misspelt domain may be from the one that is suggested.
const EDITS_MAX: usize = 2;
/// A name must be this many times longer than its edits, or short names are all alike.
const LENGTH_PER_EDIT: usize = 5;

pub(super) fn notes(scene: &Scene<'_>) -> Vec<String> {
    let asked = [("recipient", scene.to.domain()), ("sender", scene.from.domain())];
    let note = |(side, domain): (&str, Option<&Domain>)| {
        let domain = domain?;
        let (near, file) = similar(scene.config, domain)?;
        Some(format!("No file is about {domain}, the {side}'s domain. Is {near} meant ({file})?"))
    };
    asked.into_iter().filter_map(note).collect()
}

/// The pattern that is closest, with its file; `None` if a file speaks for the domain.
fn similar(config: &Config, domain: &Domain) -> Option<(DomainPattern, String)> {
    if config.policies.find(domain).is_some() {
        return None;
    }
    let patterns = config.policies.policies().flat_map(|policy| policy.patterns.iter().map(move |p| (p, &policy.file)));
    let near = patterns.filter_map(|(pattern, file)| {
        let edits = distance(domain, pattern)?;
        Some((edits, pattern, file))
    });
    near.min_by_key(|(edits, ..)| *edits).map(|(_, pattern, file)| (pattern.clone(), file.to_string()))
}

/// `None` if it is too far.
fn distance(domain: &Domain, pattern: &DomainPattern) -> Option<usize> {
    let (asked, known) = match pattern {
        DomainPattern::Exact(name) => (domain.clone(), name),
        DomainPattern::Below(name) => {
            let mut above = std::iter::successors(domain.parent(), Domain::parent);
            (above.find(|above| above.label_count() == name.label_count())?, name)
        }
    };
    let (asked, known) = (asked.as_str(), known.as_str());
    if asked.len().abs_diff(known.len()) > EDITS_MAX {
        return None;
    }
    let edits = edits(asked, known);
    (edits <= EDITS_MAX && edits * LENGTH_PER_EDIT < known.len()).then_some(edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_two_edits_are_close_unless_they_are_short() {
        for (domain, pattern, expected) in [
            ("bamk.example", "bank.example", Some(1)),
            ("bnak.example", "bank.example", Some(2)),
            ("bonus.example", "bank.example", None),
            ("b.example", "c.example", Some(1)),
            ("a.de", "b.de", None),
            ("x.bamk.example", "*.bank.example", Some(1)),
            ("a.b.bamk.example", "*.bank.example", Some(1)),
            ("bamk.example", "*.bank.example", None),
        ] {
            let found = distance(&Domain::parse(domain).unwrap(), &DomainPattern::parse(pattern).unwrap());
            assert_eq!(found, expected, "{domain} {pattern}");
        }
    }
}
