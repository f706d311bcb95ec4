//! `gatepost learned …`: what deliveries have shown of the TLS of their destinations. To list and to propose needs no
//! running daemon.

pub(super) mod arguments;

mod list;
mod propose;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::admin::client::{self, AskError};
use crate::admin::learned;
use crate::admin::protocol::{LearnedDomain, Request, Response};
use crate::clock;
use crate::config::Config;
use crate::facts::learned::{LearnTerms, LearnedStore};
use crate::memory::{Memory, MemoryError};
use crate::model::domain::Domain;

use super::output::{Console, Exit, Failure};
use super::{configuration, socket};
use arguments::{Forget, LearnedArguments, LearnedCommand};

pub(super) fn run(
    config: Option<&Path>,
    asked: &LearnedArguments,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let at = socket::find(config, &asked.socket)?;
    match &asked.command {
        LearnedCommand::List(which) => {
            let domains = Source::open(config, at, console)?.all(which.domain.as_ref())?;
            list::show(&domains, which.domain.is_some(), json, console)
        }
        LearnedCommand::Propose(which) => {
            let domains = Source::open(config, at, console)?.all(which.domain.as_ref())?;
            propose::run(&domains, which, json, console)
        }
        LearnedCommand::Forget(Forget { domain }) => forget(&at, domain, json, console),
    }
}

/// Who is asked.
enum Source {
    Daemon(PathBuf),
    /// No daemon runs: what it left behind.
    File(Box<(LearnedStore, Config)>),
}

impl Source {
    fn open(config: Option<&Path>, at: PathBuf, console: &mut Console<'_>) -> Result<Self, Failure> {
        let is_silent = |error: &AskError| match error {
            AskError::NotRunning { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
            AskError::BrokenOff(_) | AskError::Unintelligible(_) => false,
        };
        match client::ask(&at, &Request::Status) {
            Err(error) if is_silent(&error) => {}
            _ => return Ok(Self::Daemon(at)),
        }
        let config = configuration::require(config, console)?;
        let memory = match Memory::open_existing(&config.spool.path) {
            Ok(memory) => memory.unwrap_or_else(Memory::ephemeral),
            Err(error @ MemoryError::InUse { .. }) => {
                let help = "a daemon runs that does not answer on its control socket; name that with --socket PATH";
                return Err(Failure::new(Exit::Unreachable, error.to_string(), help));
            }
            Err(error @ MemoryError::Io { .. }) => {
                return Err(Failure::new(Exit::Unreachable, error.to_string(), "run this as the daemon's account"));
            }
        };
        let terms = LearnTerms { thresholds: config.learn.thresholds, ..LearnTerms::default() };
        Ok(Self::File(Box::new((LearnedStore::open(memory, terms), config))))
    }

    /// Every domain, or the one that is asked for.
    fn all(&self, domain: Option<&Domain>) -> Result<Vec<LearnedDomain>, Failure> {
        let mut all: Vec<LearnedDomain> = Vec::new();
        loop {
            let after = all.last().map(|last| last.domain.clone());
            let (domains, more) = match self.ask(domain, after.as_ref())? {
                Response::Learned { domains, more } => (domains, more),
                Response::NotFound => return Err(unknown(domain)),
                _ => return Err(socket::unexpected()),
            };
            // A page that does not lead on ends the walk, whatever it says.
            let leads_on = domains.first().is_some_and(|first| after.is_none_or(|after| first.domain > after));
            if leads_on {
                all.extend(domains);
            }
            if !more || !leads_on {
                return Ok(all);
            }
        }
    }

    fn ask(&self, domain: Option<&Domain>, after: Option<&Domain>) -> Result<Response, Failure> {
        match self {
            Self::Daemon(at) => {
                socket::ask(at, &Request::LearnedList { domain: domain.cloned(), after: after.cloned() })
            }
            Self::File(of) => Ok(learned::list(&of.0, &of.1.policies, (domain, after), clock::timestamp())),
        }
    }
}

fn unknown(domain: Option<&Domain>) -> Failure {
    let name = domain.map(ToString::to_string).unwrap_or_default();
    let help = "a domain is known from the first delivery by TLS to its own mail hosts on, unless `learn` is \"off\"";
    Failure::new(Exit::No, format!("nothing is known of {name}"), help)
}

fn forget(at: &Path, domain: &Domain, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match socket::ask(at, &Request::LearnedForget { domain: domain.clone() })? {
        Response::Forgotten if json => console.json(&json!({ "forgotten": domain }))?,
        Response::Forgotten => {
            writeln!(console.out, "All that was learned of {domain} is forgotten, and learning begins anew.")?;
        }
        Response::NotFound => return Err(unknown(Some(domain))),
        _ => return Err(socket::unexpected()),
    }
    Ok(Exit::Done)
}
