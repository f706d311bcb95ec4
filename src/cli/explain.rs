//! `gatepost policy explain`: what a session would be answered, by the daemon's own engine, and why.

pub(super) mod outbound;
mod page;

#[cfg(test)]
pub(super) mod tests;
#[cfg(test)]
mod timed_tests;

use std::path::Path;

use crate::clock;
use crate::config::Config;
use crate::explain::error::QuestionError;
use crate::explain::inbound::Explained;
use crate::explain::inbound::scene::{Assumed, STRANGER, Scene, listener};
use crate::explain::session::Session;

use super::arguments::{Direction, Explain};
use super::configuration;
use super::output::{Console, Exit, Failure};
pub(super) use page::{command, short};

pub(super) fn run(
    config: Option<&Path>,
    asked: &Explain,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if asked.direction == Direction::Outbound {
        return outbound::run(config, asked, json, console);
    }
    if let Some(option) = asked.of_deliveries() {
        return Err(Failure::usage(format!("{option} is about deliveries"), "add --direction outbound"));
    }
    let chosen = session(asked)?;
    let config = configuration::require(config)?;
    let explained = explain(&config, asked, &chosen)?;
    if json {
        console.json(&explained.json())?;
    } else {
        write!(console.out, "{}", page::page(&explained))?;
    }
    Ok(if explained.is_taken() { Exit::Done } else { Exit::No })
}

pub(super) fn explain<'a>(config: &'a Config, asked: &'a Explain, session: &Session) -> Result<Explained<'a>, Failure> {
    let scene = Scene {
        config,
        listener: listener(config, asked.listener.as_deref())?,
        client: asked.client.unwrap_or(STRANGER),
        certificate: asked.client_certificate,
        at: asked.at.unwrap_or_else(clock::timestamp),
        from: &asked.from,
        to: &asked.to,
        assumed: Assumed { client: asked.client.is_none(), at: asked.at.is_none() },
    };
    Ok(Explained::new(scene, session))
}

/// The session that the command line names.
fn session(asked: &Explain) -> Result<Session, Failure> {
    match asked.tls {
        Some(version) => Ok(Session::of(version, asked.cipher.as_deref())?),
        None if asked.plaintext => Ok(Session::Plaintext),
        None => Ok(Session::Any),
    }
}

impl From<QuestionError> for Failure {
    fn from(error: QuestionError) -> Self {
        Self::usage(error.to_string(), error.remedy())
    }
}
