//! The words of `gatepost import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::model::domain::Domain;

#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    #[command(subcommand)]
    pub(super) from: From,
}

#[derive(Debug, Subcommand)]
pub(super) enum From {
    /// Read main.cf, master.cf and the tables of a Postfix; tell what is carried over, what differs and what has no
    /// equivalent
    Postfix(FromPostfix),
}

#[derive(Debug, Args)]
pub(super) struct FromPostfix {
    /// A copy of /etc/postfix, with the text files of its tables
    pub(super) dir: PathBuf,
    /// Write the configuration into this folder, which must be empty or not exist [default: write nothing]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// What the machine calls itself, where main.cf does not say it [default: the system's name]
    #[arg(long, value_name = "NAME")]
    pub(super) hostname: Option<Domain>,
    /// The server that keeps the mailboxes which Postfix delivers to itself [default: 127.0.0.1:2525, to be changed]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) mailboxes: Option<String>,
}
