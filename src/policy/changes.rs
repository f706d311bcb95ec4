//! What changes by itself: the moments at which steps come into force, exceptions end and the emergency switch ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::time::Timestamp;

use super::rules::PolicySet;
use super::settings::Source;
use super::timed::{Enforcement, Exception, Rules, Step, Terms};

/// How long before its end an exception counts as expiring.
pub const EXPIRING: Duration = Duration::from_secs(14 * 24 * 60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionState {
    Active,
    /// In force for at most [`EXPIRING`] more.
    Expiring,
    Expired,
}

impl ExceptionState {
    pub fn of(terms: &Terms, at: Timestamp) -> Self {
        if terms.has_expired(at) {
            Self::Expired
        } else if terms.expires - EXPIRING <= at {
            Self::Expiring
        } else {
            Self::Active
        }
    }
}

/// Exceptions by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExceptionCounts {
    pub active: usize,
    pub expiring: usize,
    pub expired: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A step comes into force.
    Step,
    /// An exception ends.
    Exception,
    /// The emergency switch ends: policies are enforced again.
    Enforcement,
}

impl ChangeKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Exception => "exception",
            Self::Enforcement => "enforcement",
        }
    }
}

/// One change that comes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    pub at: Timestamp,
    pub kind: ChangeKind,
    pub rule: &'a Source,
    /// Of the exception, or of the domain file that has the step.
    pub owner: Option<&'a str>,
}

/// As something that has happened: `domains.d/bank.toml:14: step of 2027-01-01 is in force (owner: treasury)`.
impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, at) = (self.rule, self.at.brief());
        match self.kind {
            ChangeKind::Step => write!(f, "{rule}: step of {at} is in force")?,
            ChangeKind::Exception => write!(f, "{rule}: exception has expired, {at}")?,
            ChangeKind::Enforcement => write!(f, "{rule}: policies are enforced again, report_until {at} has passed")?,
        }
        self.owner.map_or(Ok(()), |owner| write!(f, " (owner: {owner})"))
    }
}

impl PolicySet {
    /// Every exception of either direction, the defaults' first.
    pub fn exceptions(&self) -> impl Iterator<Item = &Arc<Terms>> {
        let defaults = (&self.defaults.inbound, &self.defaults.outbound);
        let files = self.policies().map(|policy| (&policy.inbound, &policy.outbound));
        std::iter::once(defaults).chain(files).flat_map(|(inbound, outbound)| terms(inbound).chain(terms(outbound)))
    }

    pub fn exception_counts(&self, at: Timestamp) -> ExceptionCounts {
        let mut counts = ExceptionCounts::default();
        for terms in self.exceptions() {
            match ExceptionState::of(terms, at) {
                ExceptionState::Active => counts.active += 1,
                ExceptionState::Expiring => counts.expiring += 1,
                ExceptionState::Expired => counts.expired += 1,
            }
        }
        counts
    }

    /// Everything that changes by itself at any time, in no order.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let defaults = (&self.defaults.inbound, &self.defaults.outbound, None);
        let files = self.policies().map(|policy| (&policy.inbound, &policy.outbound, policy.owner.as_deref()));
        let written = std::iter::once(defaults).chain(files);
        let by_rules = written
            .flat_map(|(inbound, outbound, owner)| rule_changes(inbound, owner).chain(rule_changes(outbound, owner)));
        let by_switch = match &self.enforcement {
            Enforcement::On => None,
            Enforcement::ReportUntil { until, source } => {
                Some(Change { at: *until, kind: ChangeKind::Enforcement, rule: source, owner: None })
            }
        };
        by_rules.chain(by_switch)
    }

    /// The next one later than `after`.
    pub fn next_change(&self, after: Timestamp) -> Option<Change<'_>> {
        self.changes().filter(|change| change.at > after).min_by_key(|change| change.at)
    }

    /// The next moment later than `after` at which an exception begins to count as expiring.
    pub fn next_expiring(&self, after: Timestamp) -> Option<Timestamp> {
        self.exceptions().map(|terms| terms.expires - EXPIRING).filter(|at| *at > after).min()
    }
}

fn terms<L>(rules: &Rules<L>) -> impl Iterator<Item = &Arc<Terms>> {
    rules.exceptions.iter().map(|Exception { terms, .. }| terms)
}

fn rule_changes<'a, L>(rules: &'a Rules<L>, owner: Option<&'a str>) -> impl Iterator<Item = Change<'a>> {
    let step = move |step: &'a Step<L>| Change { at: step.from, kind: ChangeKind::Step, rule: &step.source, owner };
    let end = |terms: &'a Arc<Terms>| {
        let (rule, owner) = (&terms.source, Some(terms.owner.as_str()));
        Change { at: terms.expires, kind: ChangeKind::Exception, rule, owner }
    };
    rules.steps.iter().map(step).chain(terms(rules).map(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::domain::DomainPattern;
    use crate::policy::rules::{Defaults, DomainPolicy};
    use crate::policy::settings::InboundLayer;

    fn day(n: i64) -> Timestamp {
        Timestamp::from_secs(n * 86_400)
    }

    fn source(line: u32) -> Source {
        Source::File { file: "bank.toml".into(), line }
    }

    fn rules(steps: &[(i64, u32)], expiries: &[(i64, u32)]) -> Rules<InboundLayer> {
        let step = |(from, line): &(i64, u32)| Step {
            from: day(*from),
            source: source(*line),
            layer: InboundLayer::default(),
        };
        let exception = |(expires, line): &(i64, u32)| Exception {
            terms: Arc::new(Terms {
                source: source(*line),
                clients: Vec::new(),
                senders: Vec::new(),
                owner: "facilities".to_owned(),
                reason: "scanners".to_owned(),
                expires: day(*expires),
            }),
            layer: InboundLayer::default(),
        };
        Rules {
            steps: steps.iter().map(step).collect(),
            exceptions: expiries.iter().map(exception).collect(),
            ..Rules::default()
        }
    }

    fn policies() -> PolicySet {
        let defaults = Defaults { inbound: rules(&[(70, 1)], &[(60, 2)]), ..Defaults::default() };
        let bank = DomainPolicy {
            patterns: vec![DomainPattern::parse("bank.example").unwrap()],
            owner: Some("treasury".to_owned()),
            inbound: rules(&[(10, 3), (20, 4)], &[(30, 5), (100, 6)]),
            ..DomainPolicy::default()
        };
        let mut set = PolicySet::new(defaults, vec![bank]).unwrap();
        set.enforcement = Enforcement::ReportUntil { until: day(15) + Duration::from_secs(3600), source: source(7) };
        set
    }

    #[test]
    fn the_next_change_is_told_with_rule_moment_and_owner() {
        let set = policies();
        for (after, expected) in [
            (0, "bank.toml:3: step of 1970-01-11 is in force (owner: treasury)"),
            (10, "bank.toml:7: policies are enforced again, report_until 1970-01-16T01:00:00Z has passed"),
            (16, "bank.toml:4: step of 1970-01-21 is in force (owner: treasury)"),
            (20, "bank.toml:5: exception has expired, 1970-01-31 (owner: facilities)"),
            (60, "bank.toml:1: step of 1970-03-12 is in force"),
            (100, ""),
        ] {
            let next = set.next_change(day(after)).map(|change| change.to_string());
            assert_eq!(next.unwrap_or_default(), expected);
        }
    }

    #[test]
    fn exceptions_count_as_expiring_for_their_last_14_days() {
        let set = policies();
        for (at, expected) in [(15, (3, 0, 0)), (16, (2, 1, 0)), (30, (2, 0, 1)), (46, (1, 1, 1)), (100, (0, 0, 3))] {
            let ExceptionCounts { active, expiring, expired } = set.exception_counts(day(at));
            assert_eq!((active, expiring, expired), expected, "day {at}");
        }
        for (after, expected) in [(0, Some(16)), (16, Some(46)), (46, Some(86)), (86, None)] {
            assert_eq!(set.next_expiring(day(after)), expected.map(day));
        }
    }
}
