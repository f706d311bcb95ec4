//! Where the settings in force come from, inbound and outbound: level and part of each key, what is excepted, what is
//! to come.
//!
//! For explanations: it decides nothing, and asks `timed` for the order of the parts.

use std::sync::Arc;
use std::time::Duration;

use crate::model::domain::Domain;
use crate::model::time::Timestamp;

use super::in_force::{Because, InForce};
use super::inbound::Subject;
use super::outbound::{NextHop, Requirement};
use super::rules::PolicySet;
use super::settings::{DeliveryLayer, InboundLayer, OutboundLayer, OutboundTls, Source, Sourced};
use super::timed::{Asker, Part, Rules, Shadow, Step, Terms};

/// Which of the two levels of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `[default.inbound]` or `[default.outbound]`.
    Default,
    DomainFile,
}

/// Where one key in force comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    pub level: Level,
    pub part: Part<'a>,
}

/// An exception that is about the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excepted<'a> {
    pub terms: &'a Arc<Terms>,
    pub standing: Standing,
}

/// Whether an exception counts for the one whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Holds,
    /// An earlier one of the same level holds instead.
    Behind,
    Expired,
}

impl Standing {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Behind => "behind",
            Self::Expired => "expired",
        }
    }
}

/// What makes other settings hold from a moment on.
#[derive(Debug)]
pub enum Coming<'a, L = InboundLayer> {
    Step(&'a Step<L>),
    /// The exception holds no more.
    Expiry(&'a Arc<Terms>),
}

impl<L> Clone for Coming<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Coming<'_, L> {}

impl<'a, L> Coming<'a, L> {
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Step(step) => step.from,
            Self::Expiry(terms) => terms.expires,
        }
    }

    pub fn source(&self) -> &'a Source {
        match self {
            Self::Step(step) => &step.source,
            Self::Expiry(terms) => &terms.source,
        }
    }
}

/// The levels that a judgement or a decision was made from, the lowest first.
#[derive(Clone, Debug)]
pub struct Levels<'a, L = InboundLayer>(Vec<(Level, &'a Rules<L>)>);

/// A layer that tells the keys that it has.
pub trait Keys {
    /// Those that are written, each with its place.
    fn written(&self) -> Vec<Because>;
}

impl<'a> Levels<'a> {
    /// None for a client that answers to its listener's floor.
    pub fn of(policies: &'a PolicySet, subject: &Subject) -> Self {
        let default = (Level::Default, &policies.defaults.inbound);
        Self(match subject {
            Subject::Listener => Vec::new(),
            Subject::Default => vec![default],
            Subject::Domain { name, .. } => {
                let file = policies.find(name).map(|(policy, _)| (Level::DomainFile, &policy.inbound));
                [default].into_iter().chain(file).collect()
            }
        })
    }
}

impl<'a> Levels<'a, OutboundLayer> {
    /// For a delivery over a route, which answers to its own TLS keys, those that some day or for some say something
    /// of deliveries.
    pub fn of_delivery(policies: &'a PolicySet, domain: Option<&Domain>, next_hop: &NextHop) -> Self {
        let default = (Level::Default, &policies.defaults.outbound);
        let file = domain.and_then(|domain| policies.find(domain));
        let levels = [default].into_iter().chain(file.map(|(policy, _)| (Level::DomainFile, &policy.outbound)));
        let concerns = |rules: &Rules<OutboundLayer>| match next_hop {
            NextHop::Route(_) => rules.layers().any(|layer| layer.delivery != DeliveryLayer::default()),
            NextHop::Mx => true,
        };
        Self(levels.filter(|(_, rules)| concerns(rules)).collect())
    }
}

impl<'a, L: Keys> Levels<'a, L> {
    /// The part that a key in force was taken from; `None` if nobody wrote it.
    pub fn origin(&self, asker: &Asker<'_>, shadow: Shadow, in_force: &Because) -> Option<Origin<'a>> {
        let mut origin = None;
        for &(level, rules) in &self.0 {
            rules.each_part(asker, shadow, |part, layer| {
                if layer.written().contains(in_force) {
                    origin = Some(Origin { level, part });
                }
            });
        }
        origin
    }

    /// What the shadows say, the lowest first; `None` if there is none.
    pub fn shadow(&self) -> Option<Vec<Because>> {
        let shadows: Vec<_> = self.0.iter().filter_map(|(_, rules)| rules.shadow.as_ref()).collect();
        (!shadows.is_empty()).then(|| shadows.into_iter().flat_map(Keys::written).collect())
    }

    /// The keys of shadows above which an exception stands for this client and sender.
    pub fn excepted_of_shadow(&self, asker: &Asker<'_>) -> Vec<Because> {
        let (mut asked, mut excepted) = (Vec::new(), Vec::new());
        for (_, rules) in &self.0 {
            rules.each_part(asker, Shadow::Laid, |part, layer| {
                let over = layer.written();
                let is_over = |row: &mut Because| over.iter().any(|upper| upper.key == row.key);
                let covered: Vec<Because> = asked.extract_if(.., is_over).collect();
                match part {
                    Part::Shadow => asked.extend(over),
                    Part::Exception(_) => excepted.extend(covered),
                    Part::Base | Part::Step(_) => {}
                }
            });
        }
        excepted
    }

    /// The exceptions that are about this client and sender, those of the higher level first.
    pub fn exceptions(&self, asker: &Asker<'_>) -> Vec<Excepted<'a>> {
        let mut found = Vec::new();
        for &(_, rules) in self.0.iter().rev() {
            let mut holding = Standing::Holds;
            for terms in rules.exceptions.iter().map(|exception| &exception.terms).filter(|terms| terms.concerns(asker))
            {
                let standing = if terms.has_expired(asker.at) {
                    Standing::Expired
                } else {
                    std::mem::replace(&mut holding, Standing::Behind)
                };
                found.push(Excepted { terms, standing });
            }
        }
        found
    }

    /// Whether it matters who the client is.
    pub fn has_exceptions_for_clients(&self) -> bool {
        self.0.iter().any(|(_, rules)| rules.exceptions.iter().any(|exception| !exception.terms.clients.is_empty()))
    }

    /// Every step, of the lowest level first.
    pub fn steps(&self) -> impl Iterator<Item = (Level, &'a Step<L>)> {
        self.0.iter().flat_map(|&(level, rules)| rules.steps.iter().map(move |step| (level, step)))
    }

    /// What is to come that may concern the one who asks, in order of time.
    pub fn changes(&self, asker: &Asker<'_>) -> Vec<Coming<'a, L>> {
        let steps = self.steps().map(|(_, step)| Coming::Step(step));
        let exceptions = self.0.iter().flat_map(|(_, rules)| &rules.exceptions);
        let concerned = exceptions.filter(|exception| exception.terms.concerns(asker));
        let expiries = concerned.map(|exception| Coming::Expiry(&exception.terms));
        let mut changes: Vec<_> = steps.chain(expiries).filter(|change| change.at() > asker.at).collect();
        changes.sort_by_key(Coming::at);
        changes
    }
}

impl Keys for InboundLayer {
    fn written(&self) -> Vec<Because> {
        let mut rows = rows(&InForce::of(&[self]));
        rows.retain(|row| row.source != Source::BuiltIn);
        rows
    }
}

impl Keys for OutboundLayer {
    fn written(&self) -> Vec<Because> {
        // The names count only for `verify`, and are written all the same.
        let of_identity = Requirement { tls: Sourced::built_in(OutboundTls::Verify), ..Requirement::of(&[self]) };
        let mut rows = Requirement::of(&[self]).because();
        rows.extend(of_identity.because().into_iter().filter(|row| matches!(row.key, "match" | "fingerprints")));
        rows.retain(|row| row.source != Source::BuiltIn);
        rows.dedup();
        rows.extend(self.delivery.written());
        rows
    }
}

impl Keys for DeliveryLayer {
    /// Those that a step or an exception may have.
    fn written(&self) -> Vec<Because> {
        let row = |key, value: String, source: &Source| Because { key, value, source: source.clone() };
        let word = |key, value: &str, source| row(key, value.to_owned(), source);
        let Self { dane, mta_sts, learn, tls_required_no, on_tls_failure, route_after, notify_sender, .. } = self;
        let mut rows = Vec::new();
        rows.extend(dane.as_ref().map(|at| word("dane", at.value.as_str(), &at.source)));
        rows.extend(mta_sts.as_ref().map(|at| word("mta_sts", at.value.as_str(), &at.source)));
        rows.extend(learn.as_ref().map(|at| word("learn", at.value.as_str(), &at.source)));
        rows.extend(tls_required_no.as_ref().map(|at| word("tls_required_no", at.value.as_str(), &at.source)));
        rows.extend(on_tls_failure.as_ref().map(|at| row("on_tls_failure", at.value.to_string(), &at.source)));
        rows.extend(route_after.as_ref().map(|at| row("route_after", waited(at.value), &at.source)));
        rows.extend(notify_sender.as_ref().map(|at| row("notify_sender", waited(at.value), &at.source)));
        rows
    }
}

/// As it may be written: in the largest unit that leaves no rest.
fn waited(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let whole = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{seconds}s"), |(unit, letter)| format!("{}{letter}", seconds / unit))
}

/// Every key with its source, also those that nobody wrote; texts of refusals only where they are written.
pub fn rows(in_force: &InForce) -> Vec<Because> {
    let mut rows = in_force.because();
    for (index, key) in ["tls", "min_version", "cipher", "client_certificate"].into_iter().enumerate() {
        if rows.iter().all(|row| row.key != key) {
            let none = Because { key, value: "none".to_owned(), source: Source::BuiltIn };
            rows.insert(index.min(rows.len()), none);
        }
    }
    let text = in_force.refusal_text.as_ref().map(|text| (text.value.to_string(), &text.source));
    let url = in_force.refusal_url.as_ref().map(|url| (url.value.to_string(), &url.source));
    for (key, written) in [("refusal_text", text), ("refusal_url", url)] {
        rows.extend(written.map(|(value, source)| Because { key, value, source: source.clone() }));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::ReversePath;
    use crate::model::domain::{Domain, DomainPattern};
    use crate::model::tls::ProtocolVersion;
    use crate::policy::rules::{Defaults, DomainPolicy};
    use crate::policy::settings::{Mode, Sourced};
    use crate::policy::timed::{Exception, lay};

    fn at(line: u32) -> Source {
        Source::File { file: "f".into(), line }
    }

    fn layer(mode: Option<Mode>, version: Option<ProtocolVersion>, line: u32) -> InboundLayer {
        InboundLayer {
            mode: mode.map(|value| Sourced { value, source: at(line) }),
            min_version: version.map(|value| Sourced { value, source: at(line) }),
            ..InboundLayer::default()
        }
    }

    fn exception(expires: i64, line: u32) -> Exception<InboundLayer> {
        let terms = Terms {
            source: at(line),
            clients: vec!["192.0.2.0/24".parse().unwrap()],
            senders: Vec::new(),
            owner: "o".to_owned(),
            reason: "r".to_owned(),
            expires: Timestamp::from_secs(expires),
        };
        Exception { terms: Arc::new(terms), layer: layer(None, Some(ProtocolVersion::Tls1_0), line) }
    }

    /// A default that reports, and a file with steps at 10 and 20, a shadow and three exceptions.
    fn policies() -> PolicySet {
        let step = |from, mode, line| Step {
            from: Timestamp::from_secs(from),
            source: at(line),
            layer: layer(Some(mode), None, line),
        };
        let bank = DomainPolicy {
            patterns: vec![DomainPattern::parse("bank.example").unwrap()],
            inbound: Rules {
                base: layer(None, Some(ProtocolVersion::Tls1_2), 2),
                steps: vec![step(10, Mode::Defer, 3), step(20, Mode::Enforce, 4)],
                shadow: Some(layer(None, Some(ProtocolVersion::Tls1_3), 5)),
                exceptions: vec![exception(5, 6), exception(30, 7), exception(40, 8)],
            },
            ..DomainPolicy::default()
        };
        let defaults = Defaults { inbound: Rules::from(layer(Some(Mode::Report), None, 1)), ..Defaults::default() };
        PolicySet::new(defaults, vec![bank]).unwrap()
    }

    fn bank() -> Subject {
        Subject::Domain { name: Domain::parse("bank.example").unwrap(), group: None }
    }

    fn asker(secs: i64, ip: &str) -> Asker<'static> {
        Asker { at: Timestamp::from_secs(secs), client: Some(ip.parse().unwrap()), sender: &ReversePath::Null }
    }

    #[test]
    fn each_key_in_force_tells_level_and_part() {
        let policies = policies();
        let check = |subject: &Subject, secs, ip, shadow, expected: &str| {
            let (levels, asker) = (Levels::of(&policies, subject), asker(secs, ip));
            let parts: Vec<_> = levels.0.iter().map(|(_, rules)| *rules).collect();
            let in_force = rows(&InForce::of(&lay(&parts, &asker, shadow).layers));
            let row = |key| in_force.iter().find(|row| row.key == key).unwrap();
            let origin = |key| match levels.origin(&asker, shadow, row(key)) {
                None => "-".to_owned(),
                Some(Origin { level, part: Part::Base }) => format!("{level:?}"),
                Some(Origin { part: Part::Step(from), .. }) => format!("step {}", from.micros() / 1_000_000),
                Some(Origin { part: Part::Shadow, .. }) => "shadow".to_owned(),
                Some(Origin { part: Part::Exception(terms), .. }) => format!("exception {}", terms.source),
            };
            assert_eq!(["mode", "min_version", "cipher"].map(origin).join(", "), expected);
        };
        let (stranger, excepted) = ("198.51.100.1", "192.0.2.1");
        check(&bank(), 0, stranger, Shadow::Left, "Default, DomainFile, -");
        check(&bank(), 15, stranger, Shadow::Left, "step 10, DomainFile, -");
        check(&bank(), 20, stranger, Shadow::Laid, "step 20, shadow, -");
        check(&bank(), 20, excepted, Shadow::Left, "step 20, exception f:7, -");
        check(&bank(), 0, excepted, Shadow::Left, "Default, exception f:6, -");
        check(&Subject::Default, 20, excepted, Shadow::Laid, "Default, -, -");
        check(&Subject::Listener, 20, excepted, Shadow::Left, "-, -, -");
    }

    #[test]
    fn exceptions_and_changes_are_those_that_concern_the_one_who_asks() {
        let policies = policies();
        let levels = Levels::of(&policies, &bank());
        let check = |secs, ip, exceptions: &str, changes: &str| {
            let asker = asker(secs, ip);
            let seen = levels.exceptions(&asker).into_iter();
            let seen: Vec<_> =
                seen.map(|found| format!("{} {}", found.terms.source, found.standing.as_str())).collect();
            let coming: Vec<_> = levels
                .changes(&asker)
                .iter()
                .map(|change| format!("{} {}", change.at().micros() / 1_000_000, change.source()))
                .collect();
            assert_eq!((seen.join(", ").as_str(), coming.join(", ").as_str()), (exceptions, changes));
        };
        check(0, "198.51.100.1", "", "10 f:3, 20 f:4");
        check(0, "192.0.2.1", "f:6 holds, f:7 behind, f:8 behind", "5 f:6, 10 f:3, 20 f:4, 30 f:7, 40 f:8");
        check(20, "192.0.2.1", "f:6 expired, f:7 holds, f:8 behind", "30 f:7, 40 f:8");
        check(40, "192.0.2.1", "f:6 expired, f:7 expired, f:8 expired", "");
    }

    #[test]
    fn a_layer_tells_the_keys_that_were_written() {
        let keys = |layer: &InboundLayer| layer.written().iter().map(|row| row.key).collect::<Vec<_>>();
        assert_eq!(keys(&layer(Some(Mode::Defer), None, 1)), ["mode"]);
        assert_eq!(keys(&layer(None, Some(ProtocolVersion::Tls1_2), 1)), ["min_version"]);
        assert!(keys(&InboundLayer::default()).is_empty());
    }
}
