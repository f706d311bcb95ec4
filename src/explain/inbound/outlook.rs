//! What is to come for one session: each change of the settings that concern it, and what the engine answers then.

use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::policy::inbound::{Stage, Verdict};
use crate::policy::provenance::Coming;
use crate::policy::settings::Source;
use crate::policy::timed::Enforcement;

use super::scene::{Played, Scene};

/// Moments that are answered; a schedule has few.
const MOMENTS_MAX: usize = 12;

/// The next moments, in order.
#[derive(Debug, Default)]
pub struct Outlook<'a> {
    pub moments: Vec<Moment<'a>>,
    /// Moments beyond the bound.
    pub left_out: usize,
}

/// What changes at one moment, and what comes of it.
#[derive(Debug)]
pub struct Moment<'a> {
    pub at: Timestamp,
    pub changes: Vec<Change<'a>>,
    pub played: Played,
    /// The same command would be answered for the same reason and with the same codes as before it.
    pub is_the_same: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    Settings(Coming<'a>),
    /// The emergency switch ends.
    Switch(&'a Source),
}

impl<'a> Outlook<'a> {
    /// What is to come for the session that was played.
    pub fn of(scene: &Scene<'a>, played: &Played) -> Self {
        let mut outlook = Self::default();
        let mut before = answer(played);
        for (at, changes) in moments(scene, played) {
            if outlook.moments.len() == MOMENTS_MAX {
                outlook.left_out += 1;
                continue;
            }
            let played = scene.moved_to(at).play(played.tls.clone());
            let now = answer(&played);
            outlook.moments.push(Moment { at, changes, played, is_the_same: now == before });
            before = now;
        }
        outlook
    }
}

/// Changes by their moments. One that both stages know is listed once.
fn moments<'a>(scene: &Scene<'a>, played: &Played) -> Vec<(Timestamp, Vec<Change<'a>>)> {
    let mut seen: Vec<(Timestamp, &Source)> = Vec::new();
    let mut changes: Vec<(Timestamp, Change<'a>)> = Vec::new();
    for coming in played.judgements().flat_map(|judgement| scene.levels(judgement).changes(&scene.asker())) {
        let place = (coming.at(), coming.source());
        if !seen.contains(&place) {
            seen.push(place);
            changes.push((coming.at(), Change::Settings(coming)));
        }
    }
    if let Enforcement::ReportUntil { until, source } = &scene.config.policies.enforcement
        && *until > scene.at
    {
        changes.push((*until, Change::Switch(source)));
    }
    changes.sort_by_key(|(at, _)| *at);
    let mut moments: Vec<(Timestamp, Vec<Change<'a>>)> = Vec::new();
    for (at, change) in changes {
        match moments.last_mut().filter(|(last, _)| *last == at) {
            Some((_, together)) => together.push(change),
            None => moments.push((at, vec![change])),
        }
    }
    moments
}

/// As far as two answers are compared.
fn answer(played: &Played) -> (Verdict, Stage, Option<Reason>, String) {
    let outcome = &played.outcome;
    let reply = played.reply();
    let enhanced = reply.enhanced.map(|enhanced| enhanced.to_string()).unwrap_or_default();
    (outcome.verdict, outcome.stage, outcome.reason, format!("{} {enhanced}", reply.code))
}
