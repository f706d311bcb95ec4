//! The options of `gatepost init`, each of them also a question at a terminal.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use ipnet::IpNet;

use crate::cli::arguments::version;
use crate::config::starter::{Duty, check_next_hop};
use crate::model::domain::Domain;
use crate::model::tls::ProtocolVersion;
use crate::policy::settings::Mode;

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
    /// Where it takes mail; may be repeated [default: port 25 of all addresses]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) bind: Vec<SocketAddr>,
    /// The lowest version of TLS that mail from and to these domains must have [default: none, and no TLS]
    #[arg(long, value_name = "VERSION", value_parser = version())]
    pub(super) min_version: Option<ProtocolVersion>,
    /// What becomes of mail that has less: recorded and taken, answered 4xx, or refused [default: report]
    #[arg(long, value_name = "MODE", value_parser = mode(), requires = "min_version")]
    pub(super) mode: Option<Mode>,
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

fn mode() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(Mode::ALL.map(Mode::as_str))
        .try_map(|word| Mode::ALL.into_iter().find(|mode| mode.as_str() == word).ok_or("no such mode"))
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
