//! What the commands of `gatepost audit` are asked.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::audit::key::PublicKey;
use crate::audit::tail::TAIL_LINES_MAX;
use crate::model::domain::Domain;
use crate::model::id::MessageId;

use crate::cli::arguments::SocketPath;

use super::asked::{Digest, Report, WhatIf};

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

#[derive(Debug, Args)]
pub(in crate::cli) struct LogFolder {
    /// The folder of the log [default: [audit].path of the configuration]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    pub(in crate::cli) log: LogFolder,
    /// The public key that must have signed, such as "gatepost audit key" showed on the day of installation
    /// [default: what the file [audit].key holds]
    #[arg(long, value_name = "ed25519:KEY")]
    pub(in crate::cli) key: Option<PublicKey>,
    /// A file of checkpoints that were held elsewhere, one line each; may be repeated. Each must stand in the log
    #[arg(long = "checkpoint", value_name = "FILE", num_args = 1.., conflicts_with = "receipt")]
    pub(in crate::cli) checkpoints: Vec<PathBuf>,
    /// Only this segment, which its closing checkpoint proves
    #[arg(long, value_name = "N", conflicts_with = "receipt", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) segment: Option<u64>,
    /// A receipt instead of the log, which is not needed for it
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    pub(in crate::cli) receipt: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Trace {
    /// The id that the sender was told in the 250 reply
    pub(in crate::cli) message: MessageId,
    #[command(flatten)]
    pub(in crate::cli) log: LogFolder,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Receipt {
    /// The id that the sender was told in the 250 reply
    pub(in crate::cli) message: MessageId,
    /// The file to write [default: the output]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) log: LogFolder,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Tail {
    /// How many records
    #[arg(short = 'n', value_name = "N", default_value_t = 10, value_parser = count)]
    pub(in crate::cli) count: usize,
    /// Go on with each record that is written, until Ctrl-C
    #[arg(short, long)]
    pub(in crate::cli) follow: bool,
    /// Only this event, such as inbound.refused, or all of a kind, such as outbound
    #[arg(long, value_name = "EVENT")]
    pub(in crate::cli) event: Option<String>,
    /// Only mail from or to this domain
    #[arg(long, value_name = "DOMAIN")]
    pub(in crate::cli) domain: Option<Domain>,
    #[command(flatten)]
    pub(in crate::cli) log: LogFolder,
}

fn count(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= TAIL_LINES_MAX);
    number.ok_or_else(|| format!("a number up to {TAIL_LINES_MAX} is expected"))
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Checkpoint {
    /// Print the line alone, as it is to be kept elsewhere
    #[arg(long)]
    pub(in crate::cli) line: bool,
    #[command(flatten)]
    pub(in crate::cli) socket: SocketPath,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Key {
    /// Make the running daemon sign with a new key from now on; the old one vouches for it in the log
    #[arg(long)]
    pub(in crate::cli) rotate: bool,
    #[command(flatten)]
    pub(in crate::cli) socket: SocketPath,
}
