//! Policy cases put to the engine as `policy explain` puts its question, for `policy test` and `check`.

use serde_json::{Value, json};

use crate::config::Config;
use crate::config::cases::{Answer, Case, CaseFile, CaseKey, Delivery, Inbound, Outbound, Way};
use crate::config::diagnostic::Diagnostic;
use crate::explain::inbound::Explained;
use crate::explain::inbound::scene::{Assumed, Played, STRANGER, Scene, listener};
use crate::explain::outbound as delivery;
use crate::explain::outbound::facts::Asked;
use crate::explain::outbound::question::{self, Question};
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::inbound::Verdict;
use crate::policy::outbound::NextHop;

use super::explain::{self, command};

/// A case with the answer of the engine.
#[derive(Debug)]
pub(super) struct Tried<'a> {
    pub(super) file: &'a CaseFile,
    pub(super) case: &'a Case,
    pub(super) passes: bool,
    answered: Answered<'a>,
}

#[derive(Debug)]
enum Answered<'a> {
    Inbound { scene: Scene<'a>, played: Box<Played>, asked: &'a Inbound },
    Outbound { question: Question<'a>, host: Asked, played: Box<question::Played>, asked: &'a Outbound },
}

/// `now` is for cases that name no moment. The error is about a case that cannot be put.
pub(super) fn attempt<'a>(
    config: &'a Config,
    file: &'a CaseFile,
    case: &'a Case,
    now: Timestamp,
) -> Result<Tried<'a>, Box<Diagnostic>> {
    let at = case.at.unwrap_or(now);
    let answered = match &case.way {
        Way::Inbound(asked) => {
            let listener = listener(config, asked.listener.as_deref()).map_err(|error| {
                let message = "no listener has this name".to_owned();
                file.finding(case, CaseKey::Listener, (message, error.remedy()))
            })?;
            let scene = Scene {
                config,
                listener,
                client: case.client.unwrap_or(STRANGER),
                certificate: asked.certificate,
                at,
                from: &case.from,
                to: &case.to,
                assumed: Assumed { client: case.client.is_none(), at: case.at.is_none() },
            };
            Answered::Inbound { scene, played: Box::new(scene.play(case.tls.clone())), asked }
        }
        Way::Outbound(asked) => {
            outbound(config, case, asked, at).map_err(|problem| file.finding(case, CaseKey::Mx, problem))?
        }
    };
    let passes = answered.passes();
    Ok(Tried { file, case, passes, answered })
}

/// One session with one host. The error is a message with its remedy.
fn outbound<'a>(
    config: &'a Config,
    case: &'a Case,
    asked: &'a Outbound,
    at: Timestamp,
) -> Result<Answered<'a>, (String, String)> {
    let question = Question {
        config,
        at,
        at_is_assumed: case.at.is_none(),
        client: case.client,
        from: &case.from,
        to: &case.to,
        certificate: asked.certificate,
        certificate_names: &asked.certificate_names,
    };
    let decision = question.decide();
    let routed: Option<Vec<&Domain>> = match &decision.next_hop {
        NextHop::Route(route) => Some(route.hosts.iter().filter_map(|hop| hop.host.domain()).collect()),
        NextHop::Mx => None,
    };
    if let (Some(mx), Some(routed)) = (&asked.mx, &routed)
        && !routed.contains(&mx)
    {
        let names: Vec<&str> = routed.iter().map(|name| name.as_str()).collect();
        let message = format!("the mail goes over a route, and {mx} is none of its hosts");
        let remedy = match names.as_slice() {
            [] => "leave it out: the hosts are addresses".to_owned(),
            names => format!("leave it out, or name one of these: {}", names.join(", ")),
        };
        return Err((message, remedy));
    }
    let name = asked.mx.as_ref().or(routed.as_ref().and_then(|routed| routed.first().copied())).cloned();
    let host = Asked::named(name, routed.is_some());
    let played = Box::new(question.play(&decision, &host, case.tls.clone()));
    Ok(Answered::Outbound { question, host, played, asked })
}

impl Answered<'_> {
    fn passes(&self) -> bool {
        match self {
            Self::Inbound { scene, played, asked } => {
                let outcome = &played.outcome;
                // Nothing is taken over a session that cannot come about; a policy may refuse it all the same.
                if outcome.verdict < Verdict::Defer && scene.no_session(played.tls.as_ref()).is_some() {
                    return false;
                }
                let is_answered = match asked.expected {
                    Answer::Verdict(verdict) => outcome.verdict == verdict,
                    Answer::Reply(code, enhanced) => {
                        let reply = played.reply();
                        reply.code == code && enhanced.is_none_or(|enhanced| reply.enhanced == Some(enhanced))
                    }
                };
                is_answered
                    && asked.stage.is_none_or(|stage| outcome.stage == stage)
                    && asked.reason.is_none_or(|reason| outcome.reason == Some(reason))
            }
            Self::Outbound { played, asked, .. } => {
                let is_met = match asked.expected {
                    Delivery::Verdict(verdict) => played.verdict == verdict,
                    Delivery::Reason(reason) => played.reason == Some(reason),
                };
                is_met && asked.reason.is_none_or(|reason| played.reason == Some(reason))
            }
        }
    }
}

impl Tried<'_> {
    /// `554 5.7.10 at RCPT TO, version-below-minimum`.
    pub(super) fn expected(&self) -> String {
        match &self.answered {
            Answered::Inbound { asked, .. } => {
                let answer = match asked.expected {
                    Answer::Verdict(verdict) => verdict.as_str().to_owned(),
                    Answer::Reply(code, None) => code.to_string(),
                    Answer::Reply(code, Some(enhanced)) => format!("{code} {enhanced}"),
                };
                let stage = asked.stage.map(|stage| format!(" at {}", command(stage))).unwrap_or_default();
                let reason = asked.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
                format!("{answer}{stage}{reason}")
            }
            Answered::Outbound { asked, .. } => {
                let reason = asked.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
                match asked.expected {
                    Delivery::Verdict(verdict) => format!("{}{reason}", verdict.as_str()),
                    Delivery::Reason(word) => format!("{word}{reason}"),
                }
            }
        }
    }

    /// `refuse: 554 5.7.10 at RCPT TO, version-below-minimum`.
    pub(super) fn got(&self) -> String {
        match &self.answered {
            Answered::Inbound { scene, played, .. } => {
                let (outcome, reply) = (&played.outcome, played.reply());
                let no_session = scene.no_session(played.tls.as_ref());
                if let Some(why) = no_session.filter(|_| outcome.verdict < Verdict::Defer) {
                    return format!("no such session: {why}");
                }
                let enhanced = reply.enhanced.map(|enhanced| format!(" {enhanced}")).unwrap_or_default();
                let reason = outcome.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
                let (verdict, stage) = (outcome.verdict.as_str(), command(outcome.stage));
                format!("{verdict}: {}{enhanced} at {stage}{reason}", reply.code)
            }
            Answered::Outbound { played, .. } => {
                let reason = played.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
                format!("{}{reason}", played.verdict.as_str())
            }
        }
    }

    /// Why, in lines for a terminal.
    pub(super) fn explanation(&self) -> Vec<String> {
        match &self.answered {
            Answered::Inbound { scene, played, .. } => {
                explain::short(&Explained::of(*scene, scene.play(played.tls.clone())))
            }
            Answered::Outbound { question, host, .. } => explain::outbound::short(&self.delivery(*question, host)),
        }
    }

    /// For programs; why only if it fails.
    pub(super) fn json(&self) -> Value {
        let mut value = json!({
            "name": self.case.title(),
            "file": self.file.name(),
            "line": self.file.line(self.case),
            "ok": self.passes,
            "expected": self.expected(),
            "got": self.got(),
        });
        if let (false, Some(object)) = (self.passes, value.as_object_mut()) {
            object.insert("explanation".to_owned(), self.explanation_json());
        }
        value
    }

    fn explanation_json(&self) -> Value {
        match &self.answered {
            Answered::Inbound { scene, played, .. } => Explained::of(*scene, scene.play(played.tls.clone())).json(),
            Answered::Outbound { question, host, .. } => self.delivery(*question, host).json(),
        }
    }

    fn delivery<'q>(&self, question: Question<'q>, host: &Asked) -> delivery::Explained<'q> {
        delivery::Explained::of_session(question, host, self.case.tls.clone())
    }
}
