//! The options of `gatepost probe`.

use std::time::Duration;

use clap::Args;

use crate::cli::arguments::{recipient, sender};
use crate::cli::human;
use crate::model::address::{Address, ReversePath};
use crate::model::domain::Domain;

#[derive(Debug, Args)]
pub(in crate::cli) struct Probe {
    /// A domain, whose mail hosts are looked up, or HOST:PORT
    #[arg(required = true, value_name = "TARGET")]
    pub(in crate::cli) targets: Vec<String>,
    /// One handshake with each address instead of one for each version
    #[arg(long)]
    pub(in crate::cli) quick: bool,
    /// For HOST:PORT: the domain that the mail would be for
    #[arg(long, value_name = "DOMAIN")]
    pub(in crate::cli) domain: Option<Domain>,
    /// Go on to MAIL FROM and RCPT TO, then RSET and QUIT; no content is sent
    #[arg(long, value_name = "ADDRESS", value_parser = sender, requires = "to")]
    pub(in crate::cli) from: Option<ReversePath>,
    /// The recipient of the walk
    #[arg(long, value_name = "ADDRESS", value_parser = recipient, requires = "from")]
    pub(in crate::cli) to: Option<Address>,
    /// Our name in EHLO [default: hostname of the configuration, else the system's]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) ehlo: Option<Domain>,
    /// How long a connection, a handshake and each reply may take
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "30s")]
    pub(in crate::cli) timeout: Duration,
}
