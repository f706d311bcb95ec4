//! The options of `gatepost init`, each of them also a question at a terminal.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use crate::config::starter::{Duty, check_next_hop};
use crate::model::domain::Domain;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Init {
    /// The folder to write to; it is made if need be, and nothing in it is overwritten
    pub(super) dir: PathBuf,
    /// The name of this mail host [default: the system's, if it has a dot, else mail.example.org]
    #[arg(long, value_name = "NAME")]
    pub(super) hostname: Option<Domain>,
    /// What it is for: mail for your domains from anyone, mail of your own hosts to anywhere, or both [default: mx]
    #[arg(long, value_enum)]
    pub(super) role: Option<Role>,
    /// A domain of yours, whose mail comes here; may be repeated [default: the one above the hostname]
    #[arg(long = "domain", value_name = "DOMAIN")]
    pub(super) domains: Vec<Domain>,
    /// The server that keeps the mailboxes of these domains; may be repeated
    #[arg(long = "mailboxes", value_name = "HOST:PORT", value_parser = next_hop)]
    pub(super) mailboxes: Vec<String>,
    /// A network of your own hosts, which may send to anywhere; may be repeated
    #[arg(long = "trusted", value_name = "NETWORK", value_parser = network)]
    pub(super) trusted: Vec<IpNet>,
    /// A certificate that others trust, with its intermediates, in PEM [default: a self-signed one is made]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) certificate: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(super) key: Option<PathBuf>,
    /// Ask nothing, also at a terminal
    #[arg(long)]
    pub(super) defaults: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    Mx,
    Smarthost,
    Both,
}

impl Role {
    pub(super) fn duty(self) -> Duty {
        match self {
            Self::Mx => Duty::Mx,
            Self::Smarthost => Duty::SmartHost,
            Self::Both => Duty::Both,
        }
    }
}

/// `HOST:PORT`, as `[route] hosts` has it.
pub(super) fn next_hop(text: &str) -> Result<String, String> {
    check_next_hop(text).map(|()| text.to_owned())
}

/// A network, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let one = text.parse::<std::net::IpAddr>().map(IpNet::from);
    one.or_else(|_| text.parse()).map_err(|_| "write a network such as 10.0.0.0/8, or an address".to_owned())
}
