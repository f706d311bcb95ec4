//! The span of time that a question to the log is about.

use std::time::Duration;

use clap::Args;

use crate::audit::pass::Span;
use crate::cli::human::parse_duration;
use crate::cli::moment::Moment;
use crate::cli::output::Failure;
use crate::model::human;
use crate::model::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

/// Which records are asked about.
#[derive(Debug, Args)]
pub(in crate::cli) struct SpanAsked {
    /// From how long ago on: 12h, 30d; or from which day on [default: 30d]
    #[arg(long, value_name = "WHEN", value_parser = Ago::parse, conflicts_with = "from")]
    since: Option<Ago>,
    /// From this day on, or this moment
    #[arg(long, value_name = "DATE", value_parser = Moment::parse)]
    from: Option<Moment>,
    /// Up to the end of this day, or up to this moment
    #[arg(long, value_name = "DATE", value_parser = Moment::parse)]
    to: Option<Moment>,
}

impl SpanAsked {
    /// `since 2027-01-02`, or `from 2027-01-02 to 2027-01-31`, of which the last day is in it.
    pub(super) fn in_words(&self, span: Span) -> String {
        let from = span.from.day();
        let is_midnight = span.until.micros().rem_euclid(i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX)) == 0;
        match (self.to, is_midnight) {
            (None, _) => format!("since {from}"),
            (Some(_), true) => format!("from {from} to {}", (span.until - DAY).day()),
            (Some(_), false) => format!("from {from} to {}", human::second(span.until)),
        }
    }

    pub(super) fn span(&self, now: Timestamp) -> Result<Span, Failure> {
        let from = match (&self.from, &self.since) {
            (Some(from), _) => from.at,
            (None, Some(Ago::At(at))) => at.at,
            (None, Some(Ago::Duration(ago))) => now - *ago,
            (None, None) => now - 30 * DAY,
        };
        let until = self.to.map_or(now, |to| if to.is_day { to.at + DAY } else { to.at });
        if from >= until {
            let (from, until) = (human::second(from), human::second(until));
            let message = format!("the span of time is empty: it begins at {from} and ends at {until}");
            return Err(Failure::usage(
                message,
                "let --since or --from lie before --to, which is now if it is not named",
            ));
        }
        Ok(Span { from, until })
    }
}

/// A length of time back from now, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ago {
    Duration(Duration),
    At(Moment),
}

impl Ago {
    fn parse(text: &str) -> Result<Self, String> {
        match Moment::parse(text) {
            Ok(at) => Ok(Self::At(at)),
            Err(_) => parse_duration(text)
                .map(Self::Duration)
                .map_err(|error| format!("{error}; or a date such as 2027-01-02")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_and_end_at_midnight_utc() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let asked = |since: Option<&str>, from: Option<&str>, to: Option<&str>| SpanAsked {
            since: since.map(|text| Ago::parse(text).unwrap()),
            from: from.map(|text| Moment::parse(text).unwrap()),
            to: to.map(|text| Moment::parse(text).unwrap()),
        };
        let now = at("2027-01-31T12:00:00Z");
        for (asked, from, until) in [
            (asked(None, None, None), "2027-01-01T12:00:00Z", "2027-01-31T12:00:00Z"),
            (asked(Some("12h"), None, None), "2027-01-31T00:00:00Z", "2027-01-31T12:00:00Z"),
            (asked(Some("2027-01-02"), None, Some("2027-01-02")), "2027-01-02T00:00:00Z", "2027-01-03T00:00:00Z"),
            (
                asked(None, Some("2027-01-02T10:00:00+01:00"), Some("2027-01-03T00:00:00Z")),
                "2027-01-02T09:00:00Z",
                "2027-01-03T00:00:00Z",
            ),
        ] {
            assert_eq!(asked.span(now).unwrap(), Span { from: at(from), until: at(until) });
        }
        assert!(asked(None, Some("2027-02-01"), None).span(now).is_err());
        for wrong in ["yesterday", "2027-1-2", "2027-13-01", ""] {
            assert!(Moment::parse(wrong).is_err() && Ago::parse(wrong).is_err(), "{wrong}");
        }
    }
}
