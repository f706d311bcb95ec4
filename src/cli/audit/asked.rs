//! The arguments of the commands that read the log as a whole: spans of time, forms of output, settings.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::audit::pass::Span;
use crate::cli::human;
use crate::cli::output::Failure;
use crate::model::address::{Address, Charset};
use crate::model::domain::Domain;
use crate::model::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Args)]
pub(in crate::cli) struct WhatIf {
    /// Only mail from or to this domain, and all others for which the same domain file speaks
    #[arg(long, value_name = "DOMAIN")]
    pub(super) domain: Option<Domain>,
    /// Mail that came in, mail that went out, or both
    #[arg(long, value_enum, default_value_t = Directions::Inbound)]
    pub(super) direction: Directions,
    /// A setting as if it were written for --domain, else under [default]: min_version=TLSv1.2, mode=report,
    /// outbound.tls=verify; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Setting::parse)]
    #[arg(conflicts_with_all = ["with", "with_domain"])]
    pub(super) set: Vec<Setting>,
    /// Another configuration
    #[arg(long, value_name = "FILE", conflicts_with = "with_domain")]
    pub(super) with: Option<PathBuf>,
    /// Another domain file, in the place of the one that speaks for its domains now
    #[arg(long, value_name = "FILE")]
    pub(super) with_domain: Option<PathBuf>,
    #[command(flatten)]
    pub(super) span: SpanAsked,
    /// The day to judge by; without a setting, what the steps until then will change [default: now]
    #[arg(long, value_name = "DATE", value_parser = Moment::parse)]
    pub(super) at: Option<Moment>,
    /// What to list by [default: sender, or destination with --direction outbound]
    #[arg(long, value_enum)]
    pub(super) by: Option<ByAsked>,
    /// The most lines of the list, 0 for all [default: 20 in a table]
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// End with exit code 1 if any message would be refused or deferred
    #[arg(long)]
    pub(super) fail_if_hit: bool,
    #[arg(long, value_enum, default_value_t = Format::Table, hide_possible_values = true)]
    /// The form of the answer: table, json or csv
    pub(super) format: Format,
    /// The folder of the log [default: [audit].path of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Report {
    /// Only mail from (inbound) and to (outbound) this domain
    #[arg(long, value_name = "DOMAIN")]
    pub(super) partner: Option<Domain>,
    /// The domains below the partner's too
    #[arg(long, requires = "partner")]
    pub(super) below: bool,
    /// Mail that came in, mail that went out, or both
    #[arg(long, value_enum, default_value_t = Directions::Both)]
    pub(super) direction: Directions,
    #[command(flatten)]
    pub(super) span: SpanAsked,
    /// The length of a period [default: day up to two weeks, week up to half a year, else month]
    #[arg(long, value_enum)]
    pub(super) by: Option<PeriodAsked>,
    /// The form of the answer: table, json or csv (html is not implemented yet)
    #[arg(long, value_enum, default_value_t = Format::Table, hide_possible_values = true)]
    pub(super) format: Format,
    /// The folder of the log [default: [audit].path of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Digest {
    /// The domain whose owner is told
    #[arg(long, value_name = "DOMAIN")]
    pub(super) domain: Domain,
    /// How far back: 1d, 7d
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = human::parse_duration)]
    pub(super) since: Duration,
    /// The form of the answer: table, json, or mail, which is ready for `sendmail -t`
    #[arg(long, value_enum, default_value_t = DigestFormat::Table, hide_possible_values = true)]
    pub(super) format: DigestFormat,
    /// The owner, for the form of a mail
    #[arg(long, value_name = "ADDRESS", value_parser = mailbox, required_if_eq("format", "mail"))]
    pub(super) to: Option<Address>,
    /// The sender of the mail [default: postmaster of the configuration's hostname]
    #[arg(long, value_name = "ADDRESS", value_parser = mailbox)]
    pub(super) from: Option<Address>,
    /// The folder of the log [default: [audit].path of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(super) path: Option<PathBuf>,
}

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
            return Err(Failure::usage("the span of time is empty", "let it begin before it ends"));
        }
        Ok(Span { from, until })
    }
}

/// A length of time back from now, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ago {
    Duration(Duration),
    At(Moment),
}

impl Ago {
    fn parse(text: &str) -> Result<Self, String> {
        match Moment::parse(text) {
            Ok(at) => Ok(Self::At(at)),
            Err(_) => human::parse_duration(text)
                .map(Self::Duration)
                .map_err(|error| format!("{error}; or a date such as 2027-01-02")),
        }
    }
}

/// A day, which is its beginning in UTC, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) is_day: bool,
}

impl Moment {
    fn parse(text: &str) -> Result<Self, String> {
        let day = format!("{text}T00:00:00Z");
        let is_day = text.len() == "2027-01-02".len();
        let written = if is_day { &day } else { text };
        let wrong = |_| "write a date such as 2027-01-02, or a time such as 2027-01-02T03:04:05Z".to_owned();
        written.parse().map(|at| Self { at, is_day }).map_err(wrong)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Directions {
    Inbound,
    Outbound,
    Both,
}

impl Directions {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Both => "both",
        }
    }

    pub(super) fn inbound(self) -> bool {
        self != Self::Outbound
    }

    pub(super) fn outbound(self) -> bool {
        self != Self::Inbound
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    Table,
    Json,
    Csv,
    Html,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum DigestFormat {
    Table,
    Json,
    Mail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ByAsked {
    Sender,
    Client,
    Destination,
    Tls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum PeriodAsked {
    Day,
    Week,
    Month,
}

/// One `--set`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Setting {
    /// `inbound`, `outbound` or `route`, where it was written.
    pub(super) table: Option<&'static str>,
    pub(super) key: String,
    /// As TOML.
    pub(super) value: String,
}

impl Setting {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write a key and a value: min_version=TLSv1.2".to_owned();
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        let (key, value) = (key.trim(), value.trim());
        let (table, key) = match key.split_once('.') {
            None => (None, key),
            Some((table, key)) => {
                let known = ["inbound", "outbound", "route"].into_iter().find(|known| *known == table);
                (Some(known.ok_or("a key stands in inbound, outbound or route: inbound.min_version=TLSv1.2")?), key)
            }
        };
        let is_bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_bare || value.is_empty() {
            return Err(wrong());
        }
        Ok(Self { table, key: key.to_owned(), value: toml_value(value) })
    }
}

/// A word of the configuration needs no quotes here.
fn toml_value(text: &str) -> String {
    let is_toml = format!("x = {text}").parse::<toml::Table>().is_ok_and(|table| table.len() == 1);
    if is_toml { text.to_owned() } else { toml::Value::from(text).to_string() }
}

/// As it would be written in a file.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key, self.value)
    }
}

fn mailbox(text: &str) -> Result<Address, String> {
    Address::parse(text, Charset::Ascii).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_with_or_without_quotes_and_table() {
        for (text, expected) in [
            ("min_version=TLSv1.2", Ok((None, "min_version = \"TLSv1.2\""))),
            ("inbound.mode=report", Ok((Some("inbound"), "mode = \"report\""))),
            ("route.match=[\"mx\"]", Ok((Some("route"), "match = [\"mx\"]"))),
            ("cipher = \"aead\"", Ok((None, "cipher = \"aead\""))),
            ("mode=\"a\nb = 1", Ok((None, "mode = \"\"\"\n\"a\nb = 1\"\"\""))),
            ("mode=a\nmode=b", Ok((None, "mode = \"\"\"\na\nmode=b\"\"\""))),
            ("concurrency=5", Ok((None, "concurrency = 5"))),
            ("mode", Err(())),
            ("mode=", Err(())),
            ("=report", Err(())),
            ("relay.mode=report", Err(())),
            ("a b=report", Err(())),
        ] {
            let parsed = Setting::parse(text).map(|set| (set.table, set.to_string())).map_err(|_| ());
            assert_eq!(parsed, expected.map(|(table, line)| (table, line.to_owned())), "{text}");
        }
    }

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
