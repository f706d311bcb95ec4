//! Steps, exceptions and the shadow, each held against what lies below it on every day on which that changes.
//!
//! Errors are the same whatever the day is; only warnings look at today.

use std::collections::BTreeSet;

use crate::model::address::ReversePath;
use crate::model::time::Timestamp;
use crate::policy::changes::ExceptionState;
use crate::policy::settings::{InboundTls, Source};
use crate::policy::timed::{Asker, Rules, Shadow, Step, lay};

use super::place::Place;
use super::policy_tables::InboundKeys;
use super::strictness::Strictness;
use super::timed_tables::{EXCEPTIONS_MAX, ExceptionTable, Keys, Part, StepTable, Timed};

/// Before every step.
const START: Timestamp = Timestamp::from_micros(i64::MIN);

/// `default` is the whole level below, `None` for a level of `[default]` itself.
pub(super) fn check<'a, K: Keys<'a>>(own: &Timed<'a, K>, default: Option<&Timed<'a, K>>, now: Timestamp) {
    for at in moments(default.map_or(&[], |default| &default.steps)) {
        let below = default.map(|default| fold(&[usual(default)], at));
        if is_faulty(&own.base, below.as_ref(), Part::Base) {
            break;
        }
    }
    for (index, step) in own.steps.iter().enumerate() {
        check_step(own, default, (index, step));
    }
    if own.exceptions.is_empty() && own.shadow.is_none() {
        return;
    }
    let days = states(own, default);
    for exception in &own.exceptions {
        check_exception(exception, &days);
        check_end(exception, now);
    }
    let Some(shadow) = &own.shadow else { return };
    _ = days.iter().find(|(_, below)| is_faulty(&shadow.value, Some(below), Part::Shadow));
    let today = state(own, default, own.steps.len(), now);
    if shadow.value.differences(&today).iter().all(|difference| difference.change == Strictness::Weaker) {
        shadow.place.warn("reports nothing: what is in force asks for as much", "ask for more here, or remove it");
    }
}

/// What asks for TLS at some time, so that a `mode` has something to apply to.
pub(super) fn asks_for_tls<'a>(own: &Timed<'a, InboundKeys<'a>>, default: Option<&Timed<'a, InboundKeys<'a>>>) -> bool {
    let required = |keys: &InboundKeys<'_>| keys.effective_tls() == InboundTls::Required;
    own.parts().any(required) || states(own, default).iter().any(|(_, keys)| required(keys))
}

/// Reports the first exceptions beyond the bound of a file.
pub(super) fn check_count<'t, 'a: 't>(mut headers: impl Iterator<Item = &'t Place<'a>>) {
    if let Some(place) = headers.nth(EXCEPTIONS_MAX) {
        place.error(
            format!("there are more than {EXCEPTIONS_MAX} exceptions in this file"),
            "name larger networks, or put the domains into several files",
        );
    }
}

/// Whether the keys are faulty over `below`, which was reported then.
fn is_faulty<'a, K: Keys<'a>>(keys: &K, below: Option<&K>, part: Part) -> bool {
    let Some(problems) = keys.places().first().map(|place| place.problems) else { return false };
    let before = problems.count();
    keys.check(below, part);
    problems.count() > before
}

fn check_step<'a, K: Keys<'a>>(
    own: &Timed<'a, K>,
    default: Option<&Timed<'a, K>>,
    (index, step): (usize, &StepTable<'a, K>),
) {
    let at_start = state(own, default, index, step.from);
    let later = moments(default.map_or(&[], |default| &default.steps)).into_iter().filter(|at| *at > step.from);
    if !is_faulty(&step.keys, Some(&at_start), Part::Step) {
        _ = later.map(|at| state(own, default, index, at)).find(|below| is_faulty(&step.keys, Some(below), Part::Step));
    }
    let differences = step.keys.differences(&at_start);
    if differences.is_empty() {
        step.place.warn("the step changes nothing: all of it is in force before", "remove it, or ask for more");
    }
    for difference in differences.iter().filter(|difference| difference.change == Strictness::Weaker) {
        difference.place.warn(
            format!("the step weakens what is in force before it, {}", difference.before()),
            "ask for as much or more; who needs less gets an exception",
        );
    }
}

fn check_exception<'a, K: Keys<'a>>(exception: &ExceptionTable<'a, K>, days: &[(Timestamp, K)]) {
    let in_force = || days.iter().filter(|(at, _)| *at < exception.terms.expires).map(|(_, below)| below);
    let is_flawed = in_force().any(|below| is_faulty(&exception.keys, Some(below), Part::Exception));
    if !is_flawed && in_force().all(|below| exception.keys.differences(below).is_empty()) {
        exception.place.warn("the exception changes nothing: all of it holds without it", "ask for less, or remove it");
    }
}

fn check_end<K>(exception: &ExceptionTable<'_, K>, now: Timestamp) {
    let terms = &exception.terms;
    let (day, owner) = (terms.expires.brief(), &terms.owner);
    match ExceptionState::of(terms, now) {
        ExceptionState::Active => {}
        ExceptionState::Expiring => exception.expires.warn(
            format!("the exception ends {day}, within 14 days (owner: {owner})"),
            format!("ask {owner} whether it is still needed; then let it end, or write a later day"),
        ),
        ExceptionState::Expired => exception.expires.warn(
            format!("the exception has expired, {day}, and holds no more (owner: {owner})"),
            "remove it, or write a later day",
        ),
    }
}

/// The start, and the day of each step.
fn moments<K>(steps: &[StepTable<'_, K>]) -> BTreeSet<Timestamp> {
    std::iter::once(START).chain(steps.iter().map(|step| step.from)).collect()
}

/// What is in force from each moment on at which it changes, without exceptions.
fn states<'a, K: Keys<'a>>(own: &Timed<'a, K>, default: Option<&Timed<'a, K>>) -> Vec<(Timestamp, K)> {
    let mut moments = moments(&own.steps);
    moments.extend(default.into_iter().flat_map(|default| &default.steps).map(|step| step.from));
    moments.into_iter().map(|at| (at, state(own, default, own.steps.len(), at))).collect()
}

/// What is in force at a moment by the base and the first `steps` steps.
fn state<'a, K: Keys<'a>>(own: &Timed<'a, K>, default: Option<&Timed<'a, K>>, steps: usize, at: Timestamp) -> K {
    let mut own = usual(own);
    own.steps.truncate(steps);
    let levels: Vec<_> = default.map(usual).into_iter().chain([own]).collect();
    fold(&levels, at)
}

/// Without shadow and exceptions. Where the steps were written is not looked up: nobody asks here.
fn usual<'t, 'a, K: Keys<'a>>(timed: &'t Timed<'a, K>) -> Rules<&'t K> {
    let step = |step: &'t StepTable<'a, K>| Step { from: step.from, source: Source::BuiltIn, layer: &step.keys };
    let steps = timed.steps.iter().map(step).collect();
    Rules { base: &timed.base, steps, shadow: None, exceptions: Vec::new() }
}

fn fold<'a, K: Keys<'a>>(levels: &[Rules<&K>], at: Timestamp) -> K {
    let nobody = Asker { at, client: None, sender: &ReversePath::Null };
    let levels: Vec<_> = levels.iter().collect();
    let laid = lay(&levels, &nobody, Shadow::Left);
    laid.layers.iter().fold(K::default(), |below, keys| keys.over(&below))
}
