//! `gatepost spool …`: what can be done with the spool as a whole.

pub(in crate::cli) mod arguments;
mod check;
mod export;
mod import;
mod order;
mod place;
mod progress;
mod stopped;

#[cfg(test)]
mod tests;

use std::path::Path;

use super::output::{Console, Exit, Failure};
use super::socket;
use arguments::{SpoolArguments, SpoolCommand};

pub(super) fn run(
    config: Option<&Path>,
    asked: &SpoolArguments,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match &asked.command {
        SpoolCommand::Check => check::run(&place::find(config, asked)?, json, console),
        SpoolCommand::Export(which) => export::run(config, &place::find(config, asked)?, which, json, console),
        SpoolCommand::Import(which) => import::run(config, &place::find(config, asked)?, which, json, console),
        SpoolCommand::Compact(at) => {
            let at = socket::find(config, at)?;
            order::compact(config, (&place::find(config, asked)?, &at), json, console)
        }
        SpoolCommand::Keep(which) => order::keep(&socket::find(config, &which.socket)?, which, json, console),
    }
}
