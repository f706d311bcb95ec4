//! What comes in: one transaction through one listener, walked through by the daemon's own engine.

mod json;
pub mod outlook;
pub mod scene;

use serde_json::Value;

use crate::model::assumed;
use crate::policy::inbound::Verdict;

use super::session::{Session, versions};
use outlook::Outlook;
use scene::{Played, Scene};

/// The answer to the whole question.
#[derive(Debug)]
pub struct Explained<'a> {
    pub scene: Scene<'a>,
    pub played: Played,
    /// Every kind of session, where none was chosen.
    pub others: Vec<Played>,
    pub outlook: Outlook<'a>,
}

impl<'a> Explained<'a> {
    /// Where no session was chosen, the usual one is explained, and all are compared.
    pub fn new(scene: Scene<'a>, session: &Session) -> Self {
        let others = if session.is_chosen() { Vec::new() } else { all_sessions(&scene) };
        let shown = if session.is_chosen() { session.tls().cloned() } else { scene.usual_session() };
        Self { others, ..Self::of(scene, scene.play(shown)) }
    }

    /// What became of one session, with what is to come.
    pub fn of(scene: Scene<'a>, played: Played) -> Self {
        let outlook = Outlook::of(&scene, &played);
        Self { scene, played, others: Vec::new(), outlook }
    }

    /// For programs, as `policy explain --json` prints it.
    pub fn json(&self) -> Value {
        json::answer(self)
    }

    /// Whether the mail is taken, over a session that can come about.
    pub fn is_taken(&self) -> bool {
        let no_session = self.scene.no_session(self.played.tls.as_ref());
        self.played.outcome.verdict < Verdict::Defer && no_session.is_none()
    }
}

fn all_sessions(scene: &Scene<'_>) -> Vec<Played> {
    let versions = versions(scene.listener.offer).map(|version| Some(assumed::usual(version)));
    std::iter::once(None).chain(versions).map(|tls| scene.play(tls)).collect()
}
