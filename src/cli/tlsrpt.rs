//! `gatepost tlsrpt …`: what was counted for TLS reports, the reports, and sending one now.

pub(super) mod arguments;
mod page;

use std::path::Path;

use serde_json::json;

use crate::admin::protocol::{Request, Response};
use crate::admin::tlsrpt::{Reading, Shown, Tallies, Which};
use crate::app::build::dkim_signer;
use crate::clock;
use crate::config::Config;
use crate::facts::tlsrpt::Book;
use crate::memory::{Memory, MemoryError};

use super::output::{Console, Exit, Failure};
use super::{configuration, socket};

use arguments::{List, OneReport, TlsRpt, TlsRptCommand};

pub(super) fn run(
    config: Option<&Path>,
    asked: &TlsRpt,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if let TlsRptCommand::Dkim = asked.command {
        return dkim(config, json, console);
    }
    let at = socket::find(config, &asked.socket)?;
    match &asked.command {
        TlsRptCommand::Dkim => Ok(Exit::Done),
        TlsRptCommand::List(List { domain, day }) => {
            let which = Which { domain: domain.clone(), day: *day };
            let tallies = match socket::ask_if_running(&at, &Request::TlsrptList { which: which.clone() })? {
                Some(Response::TlsrptList(tallies)) => tallies,
                Some(_) => return Err(socket::unexpected()),
                None => stopped(config, |reading| reading.list(&which))?,
            };
            show_list(&tallies, json, console)
        }
        TlsRptCommand::Show(OneReport { domain, day }) => {
            let shown = match socket::ask_if_running(&at, &Request::TlsrptShow { domain: domain.clone(), day: *day })? {
                Some(Response::TlsrptReport(shown)) => *shown,
                Some(_) => return Err(socket::unexpected()),
                None => stopped(config, |reading| reading.show(domain, *day))?
                    .map_err(|message| Failure::new(Exit::No, message, "`gatepost tlsrpt list` shows what there is"))?,
            };
            show(&shown, json, console)
        }
        TlsRptCommand::Send(OneReport { domain, day }) => {
            let sent = socket::ask(&at, &Request::TlsrptSend { domain: domain.clone(), day: *day })?;
            let Response::TlsrptSent { targets, .. } = &sent else { return Err(socket::unexpected()) };
            if json {
                console.json(&sent)?;
            } else {
                write!(console.out, "{}", page::sent(&sent, clock::timestamp()))?;
            }
            let is_sent = targets.iter().all(|target| page::is_sent(&target.state));
            Ok(if is_sent { Exit::Done } else { Exit::No })
        }
    }
}

fn show_list(tallies: &Tallies, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if json {
        console.json(tallies)?;
    } else {
        write!(console.out, "{}", page::list(tallies, clock::timestamp()))?;
    }
    Ok(Exit::Done)
}

/// For programs the report alone, as it is sent.
fn show(shown: &Shown, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if json {
        console.json(&shown.report)?;
    } else {
        write!(console.out, "{}", page::report(shown, clock::timestamp()))?;
    }
    Ok(Exit::Done)
}

fn dkim(config: Option<&Path>, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let config = configuration::require(config)?;
    let Some(dkim) = &config.tlsrpt.dkim else {
        let help = "write contact, and dkim = { selector = \"NAME\", key = \"FILE\" }";
        return Err(Failure::usage("no key is written under [tlsrpt]", help));
    };
    let signer = dkim_signer(dkim).map_err(|error| Failure::usage(error.to_string(), error.remedy()))?;
    let record = signer.record().map_err(|error| Failure::new(Exit::No, error.to_string(), ""))?;
    let name = signer.record_name();
    if json {
        console.json(&json!({ "name": name, "txt": record }))?;
    } else {
        writeln!(console.out, "{name}. TXT\n{record}")?;
    }
    Ok(Exit::Done)
}

/// Reads the book of a daemon that does not run.
fn stopped<T>(config: Option<&Path>, ask: impl FnOnce(Reading<'_>) -> T) -> Result<T, Failure> {
    let config = configuration::require(config)?;
    let Config { spool, hostname, tlsrpt, .. } = &config;
    let memory = Memory::peek(&spool.path).map_err(|error| {
        let help = match error {
            MemoryError::Damaged { .. } => "the daemon sets it aside at its next start",
            MemoryError::InUse { .. } | MemoryError::Io { .. } => "run this as root or as the daemon's account",
        };
        Failure::new(Exit::No, error.to_string(), help)
    })?;
    let memory = memory.unwrap_or_else(Memory::ephemeral);
    let book = Book::new(memory);
    Ok(ask(Reading { book: &book, node: hostname, submitter: tlsrpt.submitter.as_ref() }))
}
