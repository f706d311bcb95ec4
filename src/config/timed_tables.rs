//! `[inbound]` and `[outbound]` with what depends on the day and on who asks: steps, exceptions and the shadow.

use std::sync::Arc;

use ipnet::IpNet;

use crate::model::time::Timestamp;
use crate::policy::timed::{Exception, Rules, SenderPattern, Step, Terms};

use super::document::{Table, Value};
use super::moment::moment;
use super::place::{At, Place};
use super::strictness::Difference;
use super::values;

/// Steps of one table.
pub(super) const STEPS_MAX: usize = 64;
/// Exceptions of one file.
pub(super) const EXCEPTIONS_MAX: usize = 1000;
/// Networks, or senders, of one exception.
const PATTERNS_MAX: usize = 1000;

/// Where keys stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Base,
    Step,
    Exception,
    Shadow,
}

/// The keys of one layer as written.
pub(super) trait Keys<'a>: Clone + Default {
    type Layer;

    /// An exception must say whose client it is for.
    const NEEDS_CLIENTS: bool;
    const HAS_SHADOW: bool;
    /// What an exception may say.
    const CHOICE: &'static str;

    /// Reads the keys that may stand in such a part.
    fn read(table: &mut Table<'a>, part: Part) -> Self;
    fn layer(&self) -> Self::Layer;
    /// Where its keys stand, as far as they are written.
    fn places(&self) -> Vec<&Place<'a>>;
    /// The keys of both; where both have one, that of `self`.
    fn over(&self, below: &Self) -> Self;
    /// What is different when these keys are laid over `below`.
    fn differences<'t>(&'t self, below: &Self) -> Vec<Difference<'t, 'a>>;
    /// Reports combinations that cannot be meant. `below` is `None` at the bottom.
    fn check(&self, below: Option<&Self>, part: Part);
}

/// One table with all parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Timed<'a, K> {
    pub(super) base: K,
    /// In the order of their moments, unless an error was reported.
    pub(super) steps: Vec<StepTable<'a, K>>,
    pub(super) shadow: Option<At<'a, K>>,
    pub(super) exceptions: Vec<ExceptionTable<'a, K>>,
}

#[derive(Clone, Debug)]
pub(super) struct StepTable<'a, K> {
    pub(super) place: Place<'a>,
    pub(super) from: Timestamp,
    pub(super) keys: K,
}

#[derive(Clone, Debug)]
pub(super) struct ExceptionTable<'a, K> {
    pub(super) place: Place<'a>,
    pub(super) expires: Place<'a>,
    pub(super) terms: Arc<Terms>,
    pub(super) keys: K,
}

impl<'a, K: Keys<'a>> Timed<'a, K> {
    /// Leaves the other keys of the table to the caller.
    pub(super) fn read(table: &mut Table<'a>) -> Self {
        let base = K::read(table, Part::Base);
        let steps: Vec<_> = table.sections("step").into_iter().filter_map(step).collect();
        check_order(&steps);
        let shadow = if K::HAS_SHADOW { shadow(table.section("shadow")) } else { None };
        let exceptions = table.sections("exception").into_iter().filter_map(exception).collect();
        let steps = steps.into_iter().map(|(step, _)| step).collect();
        Self { base, steps, shadow, exceptions }
    }

    pub(super) fn rules<'t, L>(&'t self, layer: impl Fn(&'t K) -> L) -> Rules<L> {
        let step = |step: &'t StepTable<'a, K>| Step {
            from: step.from,
            source: step.place.source(),
            layer: layer(&step.keys),
        };
        let exception = |exception: &'t ExceptionTable<'a, K>| Exception {
            terms: exception.terms.clone(),
            layer: layer(&exception.keys),
        };
        Rules {
            base: layer(&self.base),
            steps: self.steps.iter().map(step).collect(),
            shadow: self.shadow.as_ref().map(|shadow| layer(&shadow.value)),
            exceptions: self.exceptions.iter().map(exception).collect(),
        }
    }

    /// The keys of all parts.
    pub(super) fn parts(&self) -> impl Iterator<Item = &K> {
        let steps = self.steps.iter().map(|step| &step.keys);
        let shadow = self.shadow.iter().map(|shadow| &shadow.value);
        let exceptions = self.exceptions.iter().map(|exception| &exception.keys);
        std::iter::once(&self.base).chain(steps).chain(shadow).chain(exceptions)
    }

    /// What is laid over the base, each with its header.
    pub(super) fn laid(&self) -> impl Iterator<Item = (&Place<'a>, &K)> {
        let steps = self.steps.iter().map(|step| (&step.place, &step.keys));
        steps.chain(self.exceptions.iter().map(|exception| (&exception.place, &exception.keys)))
    }
}

/// With the place of its moment. `None` where that is missing or wrong, which was reported.
fn step<'a, K: Keys<'a>>(mut table: Table<'a>) -> Option<(StepTable<'a, K>, Place<'a>)> {
    let place = table.place().clone();
    let from = table.require("from", "write the day on which it comes into force: from = 2027-01-31");
    let keys = K::read(&mut table, Part::Step);
    table.finish();
    let from = moment(&from?)?;
    Some((StepTable { place, from: from.value, keys }, from.place))
}

fn check_order<K>(steps: &[(StepTable<'_, K>, Place<'_>)]) {
    for ((before, _), (step, place)) in steps.iter().zip(steps.iter().skip(1)) {
        if step.from <= before.from {
            place.error(
                format!("{} is not later than the step before it, {}", step.from.brief(), before.from.brief()),
                "write the steps in the order of their days, one for each",
            );
        }
    }
    if let Some((step, _)) = steps.get(STEPS_MAX) {
        step.place
            .error(format!("there are more than {STEPS_MAX} steps"), "put what has come into force into the table");
    }
}

/// `None` if it was not written.
fn shadow<'a, K: Keys<'a>>(mut table: Table<'a>) -> Option<At<'a, K>> {
    if !table.is_written() {
        return None;
    }
    let place = table.place().clone();
    let keys = K::read(&mut table, Part::Shadow);
    table.finish();
    Some(At { value: keys, place })
}

/// `None` where something that it must say is missing or wrong, which was reported.
fn exception<'a, K: Keys<'a>>(mut table: Table<'a>) -> Option<ExceptionTable<'a, K>> {
    let place = table.place().clone();
    let clients = match K::NEEDS_CLIENTS {
        true => table.require("clients", "name the networks that need it; what holds for everybody is a policy"),
        false => table.get("clients"),
    };
    let senders = table.get("senders");
    let owner = table.require("owner", "name who asked for it and answers for it: owner = \"facilities\"");
    let reason = table.require("reason", "say why, for whoever reads it in a year: reason = \"scanner fleet\"");
    let expires = table.require("expires", "an exception ends: write the first day without it, expires = 2027-03-01");
    let keys = K::read(&mut table, Part::Exception);
    table.finish();
    if keys.places().is_empty() {
        place.error("the exception has no policy key, so it excepts from nothing", format!("write {}", K::CHOICE));
    }
    let has_senders = senders.is_some();
    let clients = match clients {
        Some(value) => networks(&value, K::NEEDS_CLIENTS && !has_senders),
        None => (!K::NEEDS_CLIENTS).then(Vec::new),
    };
    let senders = senders.map_or(Some(Vec::new()), |value| senders_of(&value));
    let text = |value: Option<Value<'a>>| Some(value?.parse(values::free_text)?.value);
    let (owner, reason, expires) = (text(owner), text(reason), expires.and_then(|value| moment(&value)));
    let (expires, expires_place) = expires.map(|at| (at.value, at.place))?;
    let (clients, senders) = (clients?, senders?);
    let terms = Terms { source: place.source(), clients, senders, owner: owner?, reason: reason?, expires };
    Some(ExceptionTable { place, expires: expires_place, terms: Arc::new(terms), keys })
}

fn senders_of(value: &Value<'_>) -> Option<Vec<SenderPattern>> {
    bounded(value, value.list(|item| item.parse(values::sender_pattern))?.items())
}

fn networks(value: &Value<'_>, narrow: bool) -> Option<Vec<IpNet>> {
    let networks = value.list(|item| item.parse(values::network))?;
    for at in &networks.value {
        let is_mapped = matches!(at.value, IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some());
        if is_mapped {
            at.place.error(
                format!("{} never matches: addresses of IPv4 count as such", at.value),
                "write it as a network of IPv4",
            );
        } else if narrow && at.value.prefix_len() == 0 {
            at.place.error(
                format!("{} excepts everybody", at.value),
                "name the clients that need it, or their senders, or change the policy",
            );
        }
    }
    bounded(value, networks.items())
}

fn bounded<T>(value: &Value<'_>, items: Vec<T>) -> Option<Vec<T>> {
    if items.len() > PATTERNS_MAX {
        value.place.error(format!("the list has more than {PATTERNS_MAX} entries"), "name larger networks or domains");
        return None;
    }
    Some(items)
}
