//! `gatepost learned …`: what deliveries have shown of the TLS of their destinations. To list and to propose needs no
//! running daemon.

pub(super) mod arguments;

mod list;
mod propose;
pub(in crate::cli) mod source;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::admin::protocol::{Request, Response};
use crate::model::domain::Domain;

use super::output::{Console, Exit, Failure};
use super::socket;
use arguments::{Forget, LearnedArguments, LearnedCommand};
use source::Source;

pub(super) fn run(
    config: Option<&Path>,
    asked: &LearnedArguments,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let at = socket::find(config, &asked.socket)?;
    match &asked.command {
        LearnedCommand::List(which) => {
            let domains = Source::open(config, at)?.all(which.domain.as_ref())?;
            list::show(&domains, which.domain.is_some(), json, console)
        }
        LearnedCommand::Propose(which) => {
            let domains = Source::open(config, at)?.all(which.domain.as_ref())?;
            propose::run(&domains, which, json, console)
        }
        LearnedCommand::Forget(Forget { domain }) => forget(at, domain, json, console),
    }
}

fn forget(at: PathBuf, domain: &Domain, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match socket::ask(&at, &Request::LearnedForget { domain: domain.clone() })? {
        Response::Forgotten if json => console.json(&json!({ "forgotten": domain }))?,
        Response::Forgotten => {
            writeln!(console.out, "All that was learned of {domain} is forgotten, and learning begins anew.")?;
        }
        Response::NotFound => return Err(Source::Daemon(at).unknown(domain)),
        _ => return Err(socket::unexpected()),
    }
    Ok(Exit::Done)
}
