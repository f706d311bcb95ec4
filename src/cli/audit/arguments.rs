//! What the commands of `gatepost audit` are asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::audit::event::Event;
use crate::audit::key::PublicKey;
use crate::audit::tail::TAIL_LINES_MAX;
use crate::cli::arguments::SocketPath;
use crate::cli::{human, moment};
use crate::model::address::{Address, Charset};
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::model::spelling::nearest;
use crate::model::time::Timestamp;

use super::setting::Setting;
use super::span::SpanAsked;

/// The questions to the log, and what changes its keys.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// Prove that the log, or one segment or receipt, is as it was written, or say what exactly is wrong with it
    Verify(Verify),
    /// Show what happened to one message, in order
    Trace(Trace),
    /// Write a small file that proves the records of one message without the log
    Receipt(Receipt),
    /// Show the last records in a line each; -f goes on with those that come
    Tail(Tail),
    /// Make the running daemon sign the log up to now, and print the line that proves it
    Checkpoint(Checkpoint),
    /// Show the public half of the key that signs the log, or have it replaced
    Key(Key),
    /// Put the mail on record to the policy engine under another setting, and list who would be refused
    WhatIf(WhatIf),
    /// Shares of versions, ciphers and identities, refusals and their trend, for all mail or one partner
    Report(Report),
    /// Tell the owner of one domain what was refused of its mail
    Digest(Digest),
}

/// Where the log is.
#[derive(Debug, Args)]
pub(in crate::cli) struct LogFolder {
    /// The folder of the log [default: [audit].path of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    pub(super) log: LogFolder,
    /// The public key that must have signed, such as "gatepost audit key" showed on the day of installation
    /// [default: for the log of the configuration, what the file [audit].key holds; for all else none]
    #[arg(long, value_name = "ed25519:KEY")]
    pub(super) key: Option<PublicKey>,
    /// A file of checkpoints that were held elsewhere, one line each; may be repeated. Each must stand in the log
    #[arg(long = "checkpoint", value_name = "FILE", num_args = 1.., conflicts_with = "receipt")]
    pub(super) checkpoints: Vec<PathBuf>,
    /// Only this segment, which its closing checkpoint proves
    #[arg(long, value_name = "N", conflicts_with = "receipt", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) segment: Option<u64>,
    /// A receipt instead of the log, which is not needed for it
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    pub(super) receipt: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Trace {
    /// The id that the sender was told in the 250 reply, or that a refusal names
    #[arg(value_name = "ID")]
    pub(super) message: MessageId,
    #[command(flatten)]
    pub(super) log: LogFolder,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Receipt {
    /// The id that the sender was told in the 250 reply
    pub(super) message: MessageId,
    /// The file to write [default: the output]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) log: LogFolder,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Tail {
    /// How many records
    #[arg(short = 'n', value_name = "N", default_value_t = 10, value_parser = count)]
    pub(super) count: usize,
    /// Go on with each record that is written, until Ctrl-C
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only this event, such as inbound.refused, or all of a kind, such as outbound
    #[arg(long, value_name = "EVENT", value_parser = event)]
    pub(super) event: Option<String>,
    /// Only mail from or to this domain
    #[arg(long, value_name = "DOMAIN")]
    pub(super) domain: Option<Domain>,
    #[command(flatten)]
    pub(super) log: LogFolder,
}

fn event(text: &str) -> Result<String, String> {
    let is_of =
        |event: &Event| event.as_str().strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if Event::ALL.iter().any(is_of) {
        return Ok(text.to_owned());
    }
    match nearest(
        text,
        Event::ALL.into_iter().flat_map(|event| event.as_str().split('.').take(1).chain([event.as_str()])),
    ) {
        Some(near) => Err(format!("did you mean {near}?")),
        None => Err(format!("one of these is expected: {}", Event::ALL.map(Event::as_str).join(", "))),
    }
}

fn count(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= TAIL_LINES_MAX);
    number.ok_or_else(|| format!("a number up to {TAIL_LINES_MAX} is expected"))
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Checkpoint {
    /// Print the line alone, as it is to be kept elsewhere
    #[arg(long)]
    pub(super) line: bool,
    #[command(flatten)]
    pub(super) socket: SocketPath,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Key {
    /// Make the running daemon sign with a new key from now on; the old one vouches for it in the log
    #[arg(long)]
    pub(super) rotate: bool,
    #[command(flatten)]
    pub(super) socket: SocketPath,
}

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
    #[arg(long, value_name = "DATE", value_parser = moment::parse)]
    pub(super) at: Option<Timestamp>,
    /// What to list by [default: sender, or destination with --direction outbound]
    #[arg(long, value_enum)]
    pub(super) by: Option<ByAsked>,
    /// The most lines of the list, 0 for all [default: 20 in a table, 100 on a page]
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// End with exit code 1 if any message would be refused or deferred
    #[arg(long)]
    pub(super) fail_if_hit: bool,
    /// The form of the answer: table, json, csv, or html, a page of one file to be passed on or printed
    #[arg(long, value_enum, default_value_t = Format::Table, hide_possible_values = true)]
    pub(super) format: Format,
    /// The file to write [default: the output]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) log: LogFolder,
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
    /// The form of the answer: table, json, csv, or html, a page of one file to be passed on or printed
    #[arg(long, value_enum, default_value_t = Format::Table, hide_possible_values = true)]
    pub(super) format: Format,
    /// The file to write [default: the output]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) log: LogFolder,
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
    #[command(flatten)]
    pub(super) log: LogFolder,
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

fn mailbox(text: &str) -> Result<Address, String> {
    Address::parse(text, Charset::Ascii).map_err(|error| error.to_string())
}
