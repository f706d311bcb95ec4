//! `gatepost policy explain`: what a session would be answered, by the daemon's own engine, and why.

mod json;
pub(super) mod outbound;
mod outlook;
mod page;
mod scene;
mod session;
mod set_by;

#[cfg(test)]
pub(super) mod tests;
#[cfg(test)]
mod timed_tests;

use std::path::Path;

use serde_json::Value;

use crate::clock;
use crate::config::Config;
use crate::model::tls::TlsFacts;
use crate::policy::inbound::Verdict;

use super::arguments::{Direction, Explain};
use super::configuration;
use super::output::{Console, Exit, Failure};
use outlook::Outlook;
pub(super) use page::command;
pub(super) use scene::{Assumed, Played, STRANGER, Scene, listener, listener_names};

/// The answer to the whole question.
#[derive(Debug)]
pub(super) struct Explained<'a> {
    scene: Scene<'a>,
    played: Played,
    /// Every kind of session, where none was chosen.
    others: Vec<Played>,
    outlook: Outlook<'a>,
}

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
    let chosen = session::chosen(asked)?;
    let config = configuration::require(config, console)?;
    let explained = explain(&config, asked, chosen)?;
    if json {
        console.json(&json::answer(&explained))?;
    } else {
        write!(console.out, "{}", page::page(&explained))?;
    }
    Ok(explained.exit())
}

/// `chosen` is `None` for plaintext, and where no session was: then the usual one is explained, and all are compared.
pub(super) fn explain<'a>(
    config: &'a Config,
    asked: &'a Explain,
    chosen: Option<TlsFacts>,
) -> Result<Explained<'a>, Failure> {
    let scene = scene(config, asked)?;
    let is_chosen = asked.plaintext || chosen.is_some();
    let others = if is_chosen { Vec::new() } else { all_sessions(&scene) };
    let shown = if is_chosen { chosen } else { scene.usual_session() };
    Ok(Explained { others, ..Explained::of(scene, scene.play(shown)) })
}

impl<'a> Explained<'a> {
    /// What became of one session, with what is to come.
    pub(super) fn of(scene: Scene<'a>, played: Played) -> Self {
        let outlook = Outlook::of(&scene, &played);
        Self { scene, played, others: Vec::new(), outlook }
    }

    /// The lines of the page that say why.
    pub(super) fn short_page(&self) -> Vec<String> {
        page::short(self)
    }

    pub(super) fn json(&self) -> Value {
        json::answer(self)
    }

    /// Whether the mail is taken, over a session that can come about.
    fn exit(&self) -> Exit {
        let no_session = self.scene.no_session(self.played.tls.as_ref());
        match self.played.outcome.verdict {
            Verdict::Accept | Verdict::WouldRefuse if no_session.is_none() => Exit::Done,
            Verdict::Accept | Verdict::WouldRefuse | Verdict::Defer | Verdict::Refuse => Exit::No,
        }
    }
}

fn scene<'a>(config: &'a Config, asked: &'a Explain) -> Result<Scene<'a>, Failure> {
    let named = asked.listener.as_deref();
    let listener = listener(config, named).ok_or_else(|| {
        let message = format!("no listener is named \"{}\"", crate::model::human::shown(named.unwrap_or_default()));
        Failure::usage(message, format!("name one of these: {}", listener_names(config)))
    })?;
    Ok(Scene {
        config,
        listener,
        client: asked.client.unwrap_or(STRANGER),
        certificate: asked.client_certificate,
        at: asked.at.unwrap_or_else(clock::timestamp),
        from: &asked.from,
        to: &asked.to,
        assumed: Assumed { client: asked.client.is_none(), at: asked.at.is_none() },
    })
}

fn all_sessions(scene: &Scene<'_>) -> Vec<Played> {
    let versions = session::versions(scene.listener.offer).map(|version| Some(crate::model::assumed::usual(version)));
    std::iter::once(None).chain(versions).map(|tls: Option<TlsFacts>| scene.play(tls)).collect()
}
