//! `gatepost policy explain`: what a session would be answered, by the daemon's own engine, and why.

mod json;
mod page;
mod scene;
mod session;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::clock;
use crate::config::{Config, ListenerConfig};
use crate::model::tls::TlsFacts;
use crate::policy::inbound::Verdict;
use crate::policy::relay::Role;

use super::arguments::{Direction, Explain};
use super::configuration;
use super::output::{Console, Exit, Failure};
use scene::{Played, Scene};

/// RFC 5737: nobody's address, so a stranger's.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The answer to the whole question.
#[derive(Debug)]
struct Explained<'a> {
    scene: Scene<'a>,
    played: Played,
    /// Every kind of session, where none was chosen.
    others: Vec<Played>,
}

pub(super) fn run(
    config: Option<&Path>,
    asked: &Explain,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if asked.direction == Direction::Outbound || asked.at.is_some() {
        let what = if asked.at.is_some() { "--at" } else { "--direction outbound" };
        return Err(Failure::usage(format!("{what} is not implemented yet"), "ask about inbound sessions of today"));
    }
    let chosen = session::chosen(asked)?;
    let config = configuration::require(config, console)?;
    let scene = Scene {
        config: &config,
        listener: listener(&config, asked.listener.as_deref())?,
        client: asked.client.unwrap_or(STRANGER),
        client_is_assumed: asked.client.is_none(),
        certificate: asked.client_certificate,
        at: clock::timestamp(),
        from: &asked.from,
        to: &asked.to,
    };
    let is_chosen = asked.plaintext || chosen.is_some();
    let others = if is_chosen { Vec::new() } else { all_sessions(&scene) };
    let explained = Explained { played: scene.play(chosen), scene, others };
    if json {
        console.json(&json::answer(&explained))?;
    } else {
        write!(console.out, "{}", page::page(&explained))?;
    }
    Ok(match explained.played.outcome.verdict {
        Verdict::Accept | Verdict::WouldRefuse => Exit::Done,
        Verdict::Defer | Verdict::Refuse => Exit::No,
    })
}

fn all_sessions(scene: &Scene<'_>) -> Vec<Played> {
    let versions = session::versions(scene.listener.offer).map(|version| Some(session::usual(version)));
    std::iter::once(None).chain(versions).map(|tls: Option<TlsFacts>| scene.play(tls)).collect()
}

/// The one that was named, else the first of role mx, else the first.
fn listener<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a ListenerConfig, Failure> {
    let listeners = &config.listeners;
    let found = match name {
        Some(name) => listeners.iter().find(|listener| listener.name == name),
        None => listeners.iter().find(|listener| listener.role == Role::Mx).or(listeners.first()),
    };
    found.ok_or_else(|| {
        let names: Vec<_> = listeners.iter().map(|listener| listener.name.as_str()).collect();
        let message = format!("no listener is named \"{}\"", super::human::shown(name.unwrap_or_default()));
        Failure::usage(message, format!("name one of these: {}", names.join(", ")))
    })
}
