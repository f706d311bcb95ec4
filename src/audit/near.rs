//! Whether the log knows a domain, else which one it knows that is close to it.

use crate::model::near_domain::NearDomain;

use super::facts::{Facts, domain_of};
use super::pass::Tally;

impl Tally for NearDomain {
    fn take(&mut self, facts: &Facts<'_>) {
        if let Some(from) = facts.from.as_deref() {
            self.see(domain_of(from));
        }
        facts.to().for_each(|to| self.see(domain_of(&to)));
    }

    fn absorb(&mut self, other: Self) {
        self.absorb(other);
    }
}
