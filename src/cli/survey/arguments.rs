//! The options of `gatepost survey`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::human;
use crate::model::domain::Domain;

/// Domains at once, at most.
const PARALLEL_MAX: i64 = 200;

#[derive(Debug, Args)]
pub(in crate::cli) struct Survey {
    /// A file with one domain a line; # begins a comment; - reads stdin
    #[arg(value_name = "DOMAINS")]
    pub(in crate::cli) domains: PathBuf,
    /// Append each result to this file as it comes, one JSON object a line; domains that stand in it are not asked again
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Ask again also about domains that stand in --out; the later line counts
    #[arg(long, requires = "out")]
    pub(in crate::cli) again: bool,
    /// Try each version of TLS, each by a connection of its own
    #[arg(long)]
    pub(in crate::cli) versions: bool,
    /// Domains at once; never more than one connection at a time to one mail host or its network
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=PARALLEL_MAX))]
    pub(in crate::cli) parallel: u16,
    /// The least time between two connections to one mail host or its network
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "1s")]
    pub(in crate::cli) pause: Duration,
    /// How long one domain may take
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "3m")]
    pub(in crate::cli) timeout: Duration,
    /// Tell what changed since this earlier --out file; exit code 1 if a domain lost something
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) diff: Option<PathBuf>,
    /// Write a domain file that asks for what each domain meets today into this folder; nothing is overwritten
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) candidates: Option<PathBuf>,
    /// Our name in EHLO [default: hostname of the configuration, else the system's]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) ehlo: Option<Domain>,
}
