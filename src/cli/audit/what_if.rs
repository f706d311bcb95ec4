//! `gatepost audit what-if`: the mail on record put to the policy engine under a changed setting.

mod answer;
mod changed;
mod html;
mod page;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use crate::audit::pass::{Met, Span, pass};
use crate::audit::replay::Setting;
use crate::audit::what_if::{By, Group, Outcome, Scope, Subject, Totals, WhatIf as Tally};
use crate::cli::output::{Console, Exit, Failure};
use crate::cli::{configuration, near};
use crate::clock;
use crate::config::Config;
use crate::config::overruled::Overruled;
use crate::model::time::Timestamp;

use super::arguments::{ByAsked, Directions, Format, WhatIf};
use super::checkpoint::read_late;
use super::origin::Origin;
use super::{reading, written};
use changed::Changed;

/// Lines of the list in a table, if no other number is asked for.
const ROWS_DEFAULT: usize = 20;
/// The same on a page: some ten sheets of paper.
const GROUPS_ON_PAGE_DEFAULT: usize = 100;

/// The answer and what it is the answer to.
#[derive(Debug)]
struct Answered<'a> {
    asked: &'a WhatIf,
    /// What was changed, in words.
    change: String,
    /// What of the files holds no more beside it.
    overruled: Vec<Overruled>,
    /// Whose mail is asked about, in words; empty for all.
    whose: String,
    span: Span,
    at: Timestamp,
    by: By,
    totals: Totals,
    met: Met,
    /// The largest first.
    groups: Vec<(Subject, Group)>,
    /// Groups that are not listed, and their messages.
    omitted: (usize, u64),
}

impl Answered<'_> {
    fn count(&self, outcome: Outcome) -> u64 {
        self.totals.outcomes.get(&outcome).copied().unwrap_or_default()
    }
}

pub(super) fn run(
    config: Option<&Path>,
    asked: &WhatIf,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let now = clock::timestamp();
    let span = asked.span.span(now)?;
    let before = configuration::require(config)?;
    let changed = changed::read(config, asked, (&before, now))?;
    let at = asked.at.unwrap_or(now);
    // Without another setting, only the day is another.
    let at_before = if changed.config.is_some() { at } else { now };
    let folder = super::folder(config, &asked.log)?;
    let after = changed.config.as_ref().unwrap_or(&before);
    let (before, after) = (setting(&before, at_before), setting(after, at));
    let domains = changed.domains.as_deref();
    let by = by(asked);
    let scope = Scope { inbound: asked.direction.inbound(), outbound: asked.direction.outbound(), domains, by };
    let origin = match asked.format {
        Format::Html if !json => Some(Origin::read(config, &folder, span, now)?),
        _ => None,
    };
    let (tally, met) = read_late(config, &asked.log, || {
        reading::records(&folder, |segments, progress| {
            pass(segments, span, || Tally::new(&before, &after, scope), progress)
        })
    })?;
    let Tally { totals, groups, .. } = tally;
    let (groups, omitted) = listed(groups.into_iter().collect(), limit(asked, json));
    let Changed { words: change, overruled, whose, .. } = changed;
    let answered = Answered { asked, change, overruled, whose, span, at, by, totals, met, groups, omitted };
    let text = match (asked.format, &origin) {
        (Format::Html, Some(origin)) => html::page(&answered, origin),
        (Format::Csv, _) if !json => answer::csv(&answered),
        (Format::Table, _) if !json => page::page(&answered),
        _ => written::json_text(&answer::json(&answered))?,
    };
    written::give(asked.out.as_deref(), &text, json, console)?;
    if let Some(domain) = asked.domain.as_ref().filter(|_| !json && answered.totals.outcomes.is_empty()) {
        near::hint(&reading::near(config, &folder, (span, domain))?, console)?;
    }
    let is_hit = answered.count(Outcome::Refused) + answered.count(Outcome::Deferred) > 0;
    Ok(if asked.fail_if_hit && is_hit { Exit::No } else { Exit::Done })
}

/// The configuration as the engine is asked under it.
pub(in crate::cli) fn setting(config: &Config, at: Timestamp) -> Setting<'_> {
    let doors: HashMap<_, _> =
        config.listeners.iter().map(|listener| (listener.name.as_str(), config.door(listener))).collect();
    Setting { policies: &config.policies, doors, at }
}

fn by(asked: &WhatIf) -> By {
    match asked.by {
        Some(ByAsked::Sender) => By::Sender,
        Some(ByAsked::Client) => By::Client,
        Some(ByAsked::Destination) => By::Destination,
        Some(ByAsked::Tls) => By::Tls,
        None if asked.direction == Directions::Outbound => By::Destination,
        None => By::Sender,
    }
}

fn limit(asked: &WhatIf, json: bool) -> usize {
    match asked.limit {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if asked.format == Format::Table && !json => ROWS_DEFAULT,
        None if asked.format == Format::Html && !json => GROUPS_ON_PAGE_DEFAULT,
        None => usize::MAX,
    }
}

/// What weighs more comes first, then the larger number.
fn listed(mut groups: Vec<(Subject, Group)>, limit: usize) -> (Vec<(Subject, Group)>, (usize, u64)) {
    let hits = |outcome| Outcome::HITS.iter().position(|hit| *hit == outcome);
    groups.sort_by(|(one, a), (other, b)| {
        let order = hits(one.outcome).cmp(&hits(other.outcome)).then(b.messages.cmp(&a.messages));
        order.then_with(|| one.cmp(other))
    });
    let rest = groups.split_off(limit.min(groups.len()));
    let messages = rest.iter().map(|(_, group)| group.messages).sum();
    (groups, (rest.len(), messages))
}
