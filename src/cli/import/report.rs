//! What became of each setting: carried over, carried over with a difference, or left out and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::differences::Difference;

/// Places and domains that are told one by one in the answer for programs.
const SUBJECTS_MAX: usize = 10_000;

/// All that is told of an import. Lists are in the order of the files, then by name.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) carried: Vec<Carried>,
    differs: BTreeMap<Difference, BTreeSet<String>>,
    pub(super) missing: Vec<Missing>,
    /// What of `missing` was told, by setting and place.
    told: BTreeSet<(String, String)>,
}

/// A setting that means the same here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Carried {
    /// `smtp_tls_security_level = may`
    pub(super) what: String,
    /// `main.cf:12`; empty for what is built into Postfix.
    pub(super) place: String,
    /// The key here: `[default.outbound] tls = "opportunistic"`.
    pub(super) becomes: String,
}

/// How a difference changes what is sent or taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Effect {
    /// Less is asked for than Postfix asks.
    Weaker,
    /// The mail waits until somebody mends it.
    Held,
    /// Neither more nor less.
    Other,
    /// More is asked for than Postfix asks.
    Stricter,
}

impl Effect {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Weaker => "weaker",
            Self::Held => "held",
            Self::Other => "other",
            Self::Stricter => "stricter",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Differs {
    pub(super) effect: Effect,
    pub(super) because: String,
    pub(super) remedy: String,
    /// Places, settings or domains that it is about.
    pub(super) about: Vec<String>,
}

/// A setting without an equivalent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Missing {
    pub(super) what: String,
    pub(super) place: String,
    pub(super) because: String,
    pub(super) remedy: String,
}

impl Notes {
    pub(super) fn carried(&mut self, what: impl Into<String>, place: impl ToString, becomes: impl Into<String>) {
        let carried = Carried { what: what.into(), place: place.to_string(), becomes: becomes.into() };
        if !self.carried.contains(&carried) {
            self.carried.push(carried);
        }
    }

    pub(super) fn differs(&mut self, difference: Difference, about: impl Into<String>) {
        self.differs.entry(difference).or_default().insert(about.into());
    }

    pub(super) fn differs_if(&mut self, holds: bool, difference: Difference) {
        if holds {
            self.differs(difference, "");
        }
    }

    pub(super) fn missing(
        &mut self,
        (what, place): (impl Into<String>, impl ToString),
        because: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let missing =
            Missing { what: what.into(), place: place.to_string(), because: because.into(), remedy: remedy.into() };
        if self.told.insert((missing.what.clone(), missing.place.clone())) {
            self.missing.push(missing);
        }
    }

    /// The worst first.
    pub(super) fn differing(&self) -> Vec<Differs> {
        let mut found: Vec<Differs> = self
            .differs
            .iter()
            .map(|(difference, about)| Differs {
                effect: difference.effect(),
                because: difference.because(),
                remedy: difference.remedy(),
                about: about.iter().filter(|one| !one.is_empty()).take(SUBJECTS_MAX).cloned().collect(),
            })
            .collect();
        found.sort_by_key(|differs| differs.effect);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_once_with_all_that_they_are_about_and_the_worst_first() {
        let mut notes = Notes::default();
        notes.differs(Difference::UnsignedMx, "b.example");
        notes.differs(Difference::NoRoots, "");
        notes.differs(Difference::UnsignedMx, "a.example");
        notes.differs(Difference::UnsignedMx, "b.example");
        let found = notes.differing();
        let seen: Vec<_> = found.iter().map(|one| (one.effect, one.about.join(" "))).collect();
        assert_eq!(seen, [(Effect::Weaker, String::new()), (Effect::Stricter, "a.example b.example".to_owned())]);
    }
}
