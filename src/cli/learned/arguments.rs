//! The arguments of `gatepost learned`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::arguments::SocketPath;
use crate::model::domain::Domain;

#[derive(Debug, Args)]
pub(in crate::cli) struct LearnedArguments {
    #[command(flatten)]
    pub(in crate::cli) socket: SocketPath,
    #[command(subcommand)]
    pub(in crate::cli) command: LearnedCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LearnedCommand {
    /// List the domains with what they have shown, what holds for them, and what they still lack
    List(Which),
    /// Write domain files that ask for what was shown, with the evidence as comments
    Propose(Propose),
    /// Forget all about a domain, also what holds for it, and begin anew; needs the running daemon
    Forget(Forget),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Which {
    /// Only this domain, with each of its mail hosts
    #[arg(long, value_name = "DOMAIN")]
    pub(in crate::cli) domain: Option<Domain>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Propose {
    /// Only this domain, even if a domain file speaks for it already
    #[arg(long, value_name = "DOMAIN")]
    pub(in crate::cli) domain: Option<Domain>,
    /// Write one file for each domain there, overwriting none [default: print them]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Forget {
    pub(in crate::cli) domain: Domain,
}
