//! `gatepost audit report`: shares of versions, ciphers and identities, refusals, their trend, for all or one partner.

mod answer;
mod html;
mod page;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use crate::audit::pass::{Met, Span, pass};
use crate::audit::report::{Partner, Period, Report as Tally};
use crate::cli::near;
use crate::cli::output::{Console, Exit, Failure};
use crate::clock;

use super::arguments::{Format, PeriodAsked, Report};
use super::checkpoint::read_late;
use super::origin::Origin;
use super::{reading, written};

const DAY: Duration = Duration::from_secs(86_400);
/// The longest spans that are shown by day and by week, if nothing else is asked for.
const BY_DAY_MAX: Duration = Duration::from_secs(14 * 86_400);
const BY_WEEK_MAX: Duration = Duration::from_secs(183 * 86_400);

/// The answer and what it is the answer to.
#[derive(Debug)]
struct Answered<'a> {
    asked: &'a Report,
    span: Span,
    period: Period,
    sums: Tally,
    met: Met,
}

impl Answered<'_> {
    fn is_empty(&self) -> bool {
        self.sums.inbound.is_empty() && self.sums.outbound.is_empty()
    }
}

pub(super) fn run(
    config: Option<&Path>,
    asked: &Report,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let now = clock::timestamp();
    let span = asked.span.span(now)?;
    let period = period(asked, span);
    let folder = super::folder(config, &asked.log)?;
    let partner = asked.partner.clone().map(|domain| Partner { domain, with_below: asked.below });
    let origin = match asked.format {
        Format::Html if !json => Some(Origin::read(config, &folder, span, now)?),
        _ => None,
    };
    let (sums, met) = read_late(config, &asked.log, || {
        reading::records(&folder, |segments, progress| {
            pass(segments, span, || Tally::new(period, partner.clone()), progress)
        })
    })?;
    let answered = Answered { asked, span, period, sums, met };
    let text = match (asked.format, &origin) {
        (Format::Html, Some(origin)) => html::page(&answered, origin),
        (Format::Csv, _) if !json => answer::csv(&answered),
        (Format::Table, _) if !json => page::page(&answered),
        _ => written::json_text(&answer::json(&answered))?,
    };
    written::give(asked.out.as_deref(), &text, json, console)?;
    if let Some(partner) = asked.partner.as_ref().filter(|_| !json && answered.is_empty()) {
        near::hint(&reading::near(config, &folder, (span, partner))?, console)?;
    }
    Ok(Exit::Done)
}

fn period(asked: &Report, span: Span) -> Period {
    let length = span.until.saturating_since(span.from);
    match asked.by {
        Some(PeriodAsked::Day) => Period::Day,
        Some(PeriodAsked::Week) => Period::Week,
        Some(PeriodAsked::Month) => Period::Month,
        None if length <= BY_DAY_MAX + DAY => Period::Day,
        None if length <= BY_WEEK_MAX => Period::Week,
        None => Period::Month,
    }
}
