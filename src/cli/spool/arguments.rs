//! The command line of `gatepost spool`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use crate::cli::arguments::{QueueFilter, SocketPath};
use crate::cli::human;

#[derive(Debug, Args)]
pub(in crate::cli) struct SpoolArguments {
    /// The folder of the spool [default: [spool].path of the configuration]
    #[arg(long, global = true, value_name = "DIR")]
    pub(in crate::cli) spool: Option<PathBuf>,
    #[command(subcommand)]
    pub(in crate::cli) command: SpoolCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SpoolCommand {
    /// Read the whole spool and hold everything against its checksums: what is damaged, what is lost, what to do.
    /// Beside a running daemon too
    Check,
    /// Write messages to a folder, each as ID.eml and ID.json; they stay in the queue. Goes on where it was broken off
    Export(Export),
    /// Take the messages of an export into the spool of a stopped daemon, or into an empty folder, with their ids,
    /// states and times
    Import(Import),
    /// Empty segments that hold little more than stragglers, and remove them: now, instead of bit by bit
    Compact(SocketPath),
    /// Have the running daemon leave its files alone, so that the spool can be copied while it works
    Keep(Keep),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The folder to write to; it is made if need be
    #[arg(value_name = "DIR")]
    pub(in crate::cli) folder: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) filter: QueueFilter,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// The folder of the export
    #[arg(value_name = "DIR")]
    pub(in crate::cli) folder: PathBuf,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("span").required(true))]
pub(in crate::cli) struct Keep {
    /// For how long at most: 90s, 30m, 4h; no more than 12h
    #[arg(value_name = "DURATION", value_parser = human::parse_duration, group = "span")]
    pub(in crate::cli) time: Option<Duration>,
    /// The copy is made
    #[arg(long, group = "span")]
    pub(in crate::cli) end: bool,
    #[command(flatten)]
    pub(in crate::cli) socket: SocketPath,
}
