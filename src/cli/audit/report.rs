//! `gatepost audit report`: shares of versions, ciphers and identities, refusals, their trend, for all or one partner.

mod answer;
mod page;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use crate::audit::pass::{Met, Span, pass};
use crate::audit::report::{Partner, Period, Report as Tally};
use crate::cli::output::{Console, Exit, Failure};
use crate::clock;

use super::arguments::{Format, PeriodAsked, Report};
use super::reading;

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

pub(super) fn run(
    config: Option<&Path>,
    asked: &Report,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if asked.format == Format::Html {
        return Err(Failure::usage("the form html is not implemented yet", "ask for table, json or csv"));
    }
    let span = asked.span.span(clock::timestamp())?;
    let period = period(asked, span);
    let folder = super::folder(config, &asked.log)?;
    let partner = asked.partner.clone().map(|domain| Partner { domain, with_below: asked.below });
    let (sums, met) = reading::records(&folder, |segments, progress| {
        pass(segments, span, || Tally::new(period, partner.clone()), progress)
    })?;
    let answered = Answered { asked, span, period, sums, met };
    match asked.format {
        _ if json => console.json(&answer::json(&answered))?,
        Format::Json => console.json(&answer::json(&answered))?,
        Format::Csv => write!(console.out, "{}", answer::csv(&answered))?,
        Format::Table | Format::Html => write!(console.out, "{}", page::page(&answered))?,
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
