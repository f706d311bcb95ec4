//! What `gatepost audit verify`, `receipt`, `trace` and `tail` are asked.

use std::path::PathBuf;

use clap::Args;

use crate::audit::key::PublicKey;
use crate::audit::tail::TAIL_LINES_MAX;
use crate::model::domain::Domain;
use crate::model::id::MessageId;

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
