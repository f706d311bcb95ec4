//! The known domain that is closest to one that was asked about: the one may be a misspelt form of the other.

use super::domain::{Domain, DomainPattern};
use super::spelling::edits;

/// How far a misspelt domain may be from the one that is suggested.
const EDITS_MAX: usize = 2;
/// A name must be this many times longer than its edits, or short names are all alike.
const LENGTH_PER_EDIT: usize = 5;

/// What was seen so far that is close to the domain in question.
#[derive(Clone, Debug)]
pub struct NearDomain {
    asked: Domain,
    /// The domain itself was seen.
    is_known: bool,
    /// With its edits.
    best: Option<(usize, DomainPattern)>,
}

impl NearDomain {
    pub const fn to(asked: Domain) -> Self {
        Self { asked, is_known: false, best: None }
    }

    /// A name as it stands in an address; what is no domain counts for nothing.
    pub fn see(&mut self, name: &str) {
        let may_be = name.len().abs_diff(self.asked.as_str().len()) <= EDITS_MAX;
        if let Some(domain) = may_be.then(|| Domain::parse(name).ok()).flatten() {
            self.see_pattern(&DomainPattern::Exact(domain));
        }
    }

    pub fn see_pattern(&mut self, pattern: &DomainPattern) {
        self.is_known |= pattern.covers(&self.asked);
        let best = self.best.as_ref().map_or(usize::MAX, |(edits, _)| *edits);
        if let Some(edits) = distance(&self.asked, pattern).filter(|edits| *edits < best) {
            self.best = Some((edits, pattern.clone()));
        }
    }

    /// What another one has seen of the same domain.
    pub fn absorb(&mut self, other: Self) {
        self.is_known |= other.is_known;
        self.best = [self.best.take(), other.best].into_iter().flatten().min();
    }

    /// `None` if the domain itself is known, or nothing is close to it.
    pub fn suggestion(&self) -> Option<&DomainPattern> {
        self.best.as_ref().filter(|_| !self.is_known).map(|(_, pattern)| pattern)
    }
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

    #[test]
    fn the_closest_is_suggested_unless_the_domain_itself_was_seen() {
        let near = |seen: &[&str]| {
            let mut near = NearDomain::to(Domain::parse("bnak.example").unwrap());
            seen.iter().for_each(|name| near.see(name));
            near
        };
        let found = |near: &NearDomain| near.suggestion().map(ToString::to_string);
        assert_eq!(found(&near(&["", "no domain!", "other.example"])), None);
        let mut first = near(&["bank.example", "x.example"]);
        assert_eq!(found(&first).as_deref(), Some("bank.example"));
        first.absorb(near(&["bnk.example"]));
        assert_eq!(found(&first).as_deref(), Some("bnk.example"));
        first.absorb(near(&["BNAK.example"]));
        assert_eq!(found(&first), None);
    }
}
