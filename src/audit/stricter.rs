//! What one step stricter would have cost: for each policy the mail on record that its next step would have stopped.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::model::domain::Domain;
use crate::policy::rules::PolicySet;
use crate::policy::stricter::stepped_file;

use super::facts::{Facts, ID_BYTES, domain_of};
use super::pass::Tally;
use super::remembered::Remembered;
use super::replay::{Replay, Setting};
use super::what_if::{Outcome, is_left_out, message, sender_name};

/// Partners of one policy that are told apart.
pub const PARTNERS_MAX: usize = 1_000;
/// Policies that are told apart; what exceeds them is not counted.
pub const POLICIES_MAX: usize = 4_000;

/// A policy in one direction: its file, empty for the defaults, and whether it is about mail that comes in.
pub type PolicySide = (Arc<str>, bool);

/// What the step of one policy would have cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Messages, or events of deliveries, that come under the policy.
    pub messages: u64,
    /// Of these, what is stopped by its step first.
    pub hit: u64,
    /// Who sends them, or where they go, up to [`PARTNERS_MAX`].
    pub partners: HashSet<Box<str>>,
    /// RFC 3339; empty if nothing is hit.
    pub last_seen: Box<str>,
}

/// Replays and counts.
#[derive(Debug)]
pub struct Stricter<'a> {
    replay: Replay<'a>,
    policies: &'a PolicySet,
    /// The file that speaks for a domain; empty for none.
    files: Remembered<Arc<str>>,
    pub costs: BTreeMap<PolicySide, Cost>,
    last: Option<([u8; ID_BYTES], PolicySide)>,
}

impl<'a> Stricter<'a> {
    /// `after` are the policies of [`crate::policy::stricter::one_step`].
    pub fn new(before: &'a Setting<'a>, after: &'a Setting<'a>) -> Self {
        Self {
            replay: Replay::new(before, after),
            policies: before.policies,
            files: Remembered::default(),
            costs: BTreeMap::new(),
            last: None,
        }
    }

    fn file_of(&mut self, address: &str) -> Arc<str> {
        let name = domain_of(address);
        if let Some(known) = self.files.get(name.as_bytes()) {
            return known;
        }
        let policy = Domain::parse(name).ok().and_then(|domain| self.policies.find(&domain));
        let file = policy.map_or_else(|| "".into(), |(policy, _)| policy.file.clone());
        self.files.insert(name.as_bytes(), file.clone(), file.len());
        file
    }

    fn cost(&mut self, side: PolicySide) -> Option<&mut Cost> {
        if self.costs.len() >= POLICIES_MAX && !self.costs.contains_key(&side) {
            return None;
        }
        Some(self.costs.entry(side).or_default())
    }

    /// The policies that the message comes under.
    fn sides(&mut self, facts: &Facts<'_>) -> Vec<PolicySide> {
        let is_inbound = facts.kind.is_inbound();
        let mut sides: Vec<PolicySide> = Vec::new();
        if is_inbound && let Some(from) = facts.from.as_deref().filter(|from| !from.is_empty()) {
            sides.push((self.file_of(from), true));
        }
        for to in facts.to() {
            let side = (self.file_of(&to), is_inbound);
            if !sides.contains(&side) {
                sides.push(side);
            }
        }
        sides
    }

    fn hit(&mut self, facts: &Facts<'_>, file: &Arc<str>, to: Option<&str>) {
        let side = (file.clone(), facts.kind.is_inbound());
        let seen = Some((message(facts), side.clone()));
        if self.last == seen {
            return;
        }
        self.last = seen;
        let partner = match to {
            Some(to) if !facts.kind.is_inbound() => domain_of(to).to_ascii_lowercase().into(),
            _ => sender_name(facts),
        };
        let Some(cost) = self.cost(side) else { return };
        cost.hit += 1;
        if cost.partners.len() < PARTNERS_MAX {
            cost.partners.insert(partner);
        }
        if *cost.last_seen < *facts.time {
            cost.last_seen = facts.time.into();
        }
    }
}

impl Tally for Stricter<'_> {
    fn take(&mut self, facts: &Facts<'_>) {
        if is_left_out(facts) {
            return;
        }
        if facts.part_of.is_none() {
            for side in self.sides(facts) {
                if let Some(cost) = self.cost(side) {
                    cost.messages += 1;
                }
            }
        }
        let session = self.replay.session(facts);
        let mut recipients: Vec<Option<_>> = facts.to().map(Some).collect();
        if recipients.is_empty() {
            recipients.push(None);
        }
        for to in recipients {
            let pair = self.replay.judge(facts, &session, to.as_deref());
            let is_worse = Outcome::of(&pair) >= Outcome::Reported;
            let file = pair.after.as_ref().ok().and_then(|answer| stepped_file(&answer.rule));
            if let Some(file) = file.filter(|_| is_worse) {
                self.hit(facts, file, to.as_deref());
            }
        }
    }

    fn absorb(&mut self, other: Self) {
        for (side, theirs) in other.costs {
            let Some(mine) = self.cost(side) else { continue };
            mine.messages += theirs.messages;
            mine.hit += theirs.hit;
            mine.last_seen = std::mem::take(&mut mine.last_seen).max(theirs.last_seen);
            let room = PARTNERS_MAX.saturating_sub(mine.partners.len());
            mine.partners.extend(theirs.partners.into_iter().take(room));
        }
    }
}
