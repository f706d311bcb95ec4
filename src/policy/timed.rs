//! Keys that depend on the day and on who asks: steps and exceptions over a base, and the shadow beside them.
//!
//! The order: base, steps whose day has come, the first exception that holds. `[default.*]` is a whole level of this
//! kind below the domain file, so no exception of the default replaces a key of a domain file. Nor does it lower what a
//! domain file asks for by a key that the file leaves to the default: `guarded` tells what must stay.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::address::{Address, ReversePath};
use crate::model::domain::DomainPattern;
use crate::model::time::Timestamp;

use super::settings::Source;

/// Keys that hold from a moment on: one `[[inbound.step]]` or `[[outbound.step]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<L> {
    pub from: Timestamp,
    pub source: Source,
    pub layer: L,
}

/// Keys that hold for some until a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception<L> {
    pub terms: Arc<Terms>,
    pub layer: L,
}

/// Who is excepted, until when, why, and on whose word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub source: Source,
    /// Empty: any client.
    pub clients: Vec<IpNet>,
    /// Empty: any sender.
    pub senders: Vec<SenderPattern>,
    pub owner: String,
    pub reason: String,
    /// From this moment on it holds no more.
    pub expires: Timestamp,
}

/// A sender whom an exception covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderPattern {
    /// `<>`: bounces.
    Null,
    Mailbox(Address),
    /// Every address of the domain, or of every domain below it.
    Domain(DomainPattern),
}

impl SenderPattern {
    pub fn covers(&self, sender: &ReversePath) -> bool {
        match (self, sender) {
            (Self::Null, ReversePath::Null) => true,
            (Self::Mailbox(address), ReversePath::Mailbox(sender)) => {
                let same_local = address.local_part_unquoted().eq_ignore_ascii_case(&sender.local_part_unquoted());
                same_local && address.host() == sender.host()
            }
            (Self::Domain(pattern), sender) => sender.domain().is_some_and(|domain| pattern.covers(domain)),
            _ => false,
        }
    }
}

impl fmt::Display for SenderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(address) => write!(f, "{address}"),
            Self::Domain(pattern) => write!(f, "{pattern}"),
        }
    }
}

/// On whose behalf and when a policy is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub at: Timestamp,
    /// Who brings the message, or brought it; `None` is the relay itself.
    pub client: Option<IpAddr>,
    pub sender: &'a ReversePath,
}

impl Terms {
    pub fn has_expired(&self, at: Timestamp) -> bool {
        at >= self.expires
    }

    /// Whether it holds for this client AND this sender now.
    pub fn covers(&self, asker: &Asker<'_>) -> bool {
        !self.has_expired(asker.at) && self.concerns(asker)
    }

    /// Whether it is about this client AND this sender, expired or not.
    pub fn concerns(&self, asker: &Asker<'_>) -> bool {
        let client = asker.client.map(|ip| ip.to_canonical());
        let by_client = || client.is_some_and(|ip| self.clients.iter().any(|network| network.contains(&ip)));
        let by_sender = || self.senders.iter().any(|pattern| pattern.covers(asker.sender));
        (self.clients.is_empty() || by_client()) && (self.senders.is_empty() || by_sender())
    }
}

/// Everything that one `[inbound]` or `[outbound]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules<L> {
    pub base: L,
    /// In the order in which they are laid over each other.
    pub steps: Vec<Step<L>>,
    /// What is reported and never enforced, as if it stood in the base.
    pub shadow: Option<L>,
    pub exceptions: Vec<Exception<L>>,
}

impl<L> From<L> for Rules<L> {
    fn from(base: L) -> Self {
        Self { base, steps: Vec::new(), shadow: None, exceptions: Vec::new() }
    }
}

impl<L> Rules<L> {
    /// Every layer, whenever and for whomever it holds.
    pub fn layers(&self) -> impl Iterator<Item = &L> {
        let timed = self.steps.iter().map(|step| &step.layer);
        let excepted = self.exceptions.iter().map(|exception| &exception.layer);
        std::iter::once(&self.base).chain(timed).chain(&self.shadow).chain(excepted)
    }

    /// The steps whose day has come.
    pub fn steps_in_force(&self, at: Timestamp) -> impl Iterator<Item = &Step<L>> {
        self.steps.iter().filter(move |step| step.from <= at)
    }

    /// The one exception that holds, if any does.
    pub fn exception(&self, asker: &Asker<'_>) -> Option<&Exception<L>> {
        self.exceptions.iter().find(|exception| exception.terms.covers(asker))
    }
}

/// Whether the shadow is laid too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shadow {
    Left,
    Laid,
}

/// The layers in force, lowest first, and what was excepted on the way.
#[derive(Clone, Debug)]
pub struct Laid<'a, L> {
    pub layers: Vec<&'a L>,
    /// Of the highest level that has one.
    pub exception: Option<&'a Arc<Terms>>,
}

/// Lays the levels over each other, the lowest first.
pub fn lay<'a, L>(levels: &[&'a Rules<L>], asker: &Asker<'_>, shadow: Shadow) -> Laid<'a, L> {
    let mut laid = Laid { layers: Vec::with_capacity(2 * levels.len()), exception: None };
    for level in levels {
        level.each_part(asker, shadow, |part, layer| {
            laid.layers.push(layer);
            if let Part::Exception(terms) = part {
                laid.exception = Some(terms);
            }
        });
    }
    laid
}

/// What an exception of the lowest level must leave as it is.
#[derive(Clone, Debug)]
pub struct Guarded<'a, L> {
    /// What the levels above it say, lowest first.
    pub own: Vec<&'a L>,
    /// All layers but that exception, lowest first.
    pub unexcepted: Vec<&'a L>,
}

/// `None` where no exception of the lowest level holds, or no level lies above it.
pub fn guarded<'a, L>(levels: &[&'a Rules<L>], asker: &Asker<'_>) -> Option<Guarded<'a, L>> {
    let (default, above) = levels.split_first().filter(|(_, above)| !above.is_empty())?;
    default.exception(asker)?;
    let own = lay(above, asker, Shadow::Left).layers;
    let mut unexcepted = Vec::new();
    default.each_part(asker, Shadow::Left, |part, layer| {
        if !matches!(part, Part::Exception(_)) {
            unexcepted.push(layer);
        }
    });
    unexcepted.extend(&own);
    Some(Guarded { own, unexcepted })
}

/// What a layer is in its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Base,
    /// With the moment from which it holds.
    Step(Timestamp),
    Shadow,
    Exception(&'a Arc<Terms>),
}

impl<L> Rules<L> {
    /// Visits the layers that hold, the lowest first.
    pub fn each_part<'a>(&'a self, asker: &Asker<'_>, shadow: Shadow, mut visit: impl FnMut(Part<'a>, &'a L)) {
        visit(Part::Base, &self.base);
        for step in self.steps_in_force(asker.at) {
            visit(Part::Step(step.from), &step.layer);
        }
        if let Some(layer) = self.shadow.as_ref().filter(|_| shadow == Shadow::Laid) {
            visit(Part::Shadow, layer);
        }
        if let Some(exception) = self.exception(asker) {
            visit(Part::Exception(&exception.terms), &exception.layer);
        }
    }
}

/// The emergency switch of the whole relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    #[default]
    On,
    /// Until then what would be refused or deferred is reported and let through.
    ReportUntil { until: Timestamp, source: Source },
}

impl Enforcement {
    pub fn is_suspended(&self, at: Timestamp) -> bool {
        matches!(self, Self::ReportUntil { until, .. } if at < *until)
    }
}

#[cfg(test)]
#[path = "timed_tests.rs"]
mod verdicts;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::Charset;

    fn terms(clients: &[&str], senders: Vec<SenderPattern>) -> Terms {
        Terms {
            source: Source::BuiltIn,
            clients: clients.iter().map(|network| network.parse().unwrap()).collect(),
            senders,
            owner: "o".to_owned(),
            reason: "r".to_owned(),
            expires: Timestamp::from_secs(100),
        }
    }

    fn path(text: &str) -> ReversePath {
        match text {
            "" => ReversePath::Null,
            text => ReversePath::Mailbox(Address::parse(text, Charset::Ascii).unwrap()),
        }
    }

    #[test]
    fn an_exception_covers_who_meets_all_that_it_names_until_it_expires() {
        let domain = |text| SenderPattern::Domain(DomainPattern::parse(text).unwrap());
        let mailbox = SenderPattern::Mailbox(Address::parse("fax@a.example", Charset::Ascii).unwrap());
        let network = ["192.0.2.0/24", "2001:db8::/32"];
        for (clients, senders, client, sender, at, expected) in [
            (&network[..], vec![], Some("192.0.2.7"), "x@y.example", 99, true),
            (&network[..], vec![], Some("::ffff:192.0.2.7"), "x@y.example", 99, true),
            (&network[..], vec![], Some("2001:db8::1"), "", 99, true),
            (&network[..], vec![], Some("192.0.2.7"), "x@y.example", 100, false),
            (&network[..], vec![], Some("198.51.100.1"), "x@y.example", 99, false),
            (&network[..], vec![], None, "x@y.example", 99, false),
            (&network[..], vec![domain("a.example")], Some("192.0.2.7"), "x@a.example", 99, true),
            (&network[..], vec![domain("a.example")], Some("192.0.2.7"), "x@b.a.example", 99, false),
            (&network[..], vec![domain("*.a.example")], Some("192.0.2.7"), "x@b.a.example", 99, true),
            (&network[..], vec![domain("a.example")], Some("192.0.2.7"), "", 99, false),
            (&network[..], vec![SenderPattern::Null], Some("192.0.2.7"), "", 99, true),
            (&[], vec![mailbox.clone()], None, "FAX@a.example", 99, true),
            (&[], vec![mailbox], None, "fax@b.example", 99, false),
            (&[], vec![], None, "", 99, true),
        ] {
            let sender = path(sender);
            let asker =
                Asker { at: Timestamp::from_secs(at), client: client.map(|ip| ip.parse().unwrap()), sender: &sender };
            let terms = terms(clients, senders);
            assert_eq!(terms.covers(&asker), expected, "{terms:?} {asker:?}");
        }
    }

    #[test]
    fn layers_lie_in_the_order_of_the_contract() {
        let step = |from, layer| Step { from: Timestamp::from_secs(from), source: Source::BuiltIn, layer };
        let exception = |layer| Exception { terms: Arc::new(terms(&["192.0.2.0/24"], vec![])), layer };
        let level = |name: &'static str| Rules {
            base: name.to_owned(),
            steps: vec![step(10, format!("{name} step 10")), step(20, format!("{name} step 20"))],
            shadow: Some(format!("{name} shadow")),
            exceptions: vec![exception(format!("{name} exception")), exception("never".to_owned())],
        };
        let (default, own) = (level("default"), level("own"));
        let sender = ReversePath::Null;
        let check = |at, ip: &str, shadow, expected: &[&str]| {
            let asker = Asker { at: Timestamp::from_secs(at), client: Some(ip.parse().unwrap()), sender: &sender };
            let laid = lay(&[&default, &own], &asker, shadow);
            assert_eq!(laid.layers, expected);
            assert_eq!(laid.exception.is_some(), expected.iter().any(|layer| layer.ends_with("exception")));
        };
        check(9, "198.51.100.1", Shadow::Left, &["default", "own"]);
        check(10, "198.51.100.1", Shadow::Left, &["default", "default step 10", "own", "own step 10"]);
        let all = ["default", "default step 10", "default step 20", "default shadow", "default exception"];
        let own = ["own", "own step 10", "own step 20", "own shadow", "own exception"];
        check(99, "192.0.2.1", Shadow::Laid, &[all, own].concat());
        check(9, "192.0.2.1", Shadow::Left, &["default", "default exception", "own", "own exception"]);
    }
}
