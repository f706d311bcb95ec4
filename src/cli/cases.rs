//! Policy cases put to the engine as `policy explain` puts its question, for `policy test` and `check`.

use serde_json::{Value, json};

use crate::config::Config;
use crate::config::cases::{Answer, Case, CaseFile, CaseKey, Delivery, Inbound, Outbound, Way};
use crate::config::diagnostic::Diagnostic;
use crate::model::domain::{Domain, DomainPattern};
use crate::model::time::Timestamp;
use crate::policy::delivery::{DeliveryJudgement, DeliveryVerdict, HostFacts, judge_session};
use crate::policy::inbound::Stage;
use crate::policy::outbound::{NextHop, decide};
use crate::policy::timed::Asker;

use super::explain::{Assumed, Explained, Played, STRANGER, Scene, listener, listener_names};
use super::human::{shown, wrap};
use super::output::{BOLD, WIDTH_COLUMNS};

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
    Outbound { judgement: Box<DeliveryJudgement>, asked: &'a Outbound },
}

/// `now` is for cases that name no moment. The error is about a case that cannot be put.
pub(super) fn attempt<'a>(
    config: &'a Config,
    file: &'a CaseFile,
    case: &'a Case,
    now: Timestamp,
) -> Result<Tried<'a>, Diagnostic> {
    let at = case.at.unwrap_or(now);
    let answered = match &case.way {
        Way::Inbound(asked) => {
            let Some(listener) = listener(config, asked.listener.as_deref()) else {
                let message = "no listener has this name".to_owned();
                let remedy = format!("name one of these: {}", listener_names(config));
                return Err(file.finding(case, CaseKey::Listener, (message, remedy)));
            };
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
        Way::Outbound(asked) => Answered::Outbound { judgement: Box::new(deliver(config, case, asked, at)), asked },
    };
    let passes = answered.passes();
    Ok(Tried { file, case, passes, answered })
}

/// The delivery by one session with one host, which shows the certificate that the case thinks of.
fn deliver(config: &Config, case: &Case, asked: &Outbound, at: Timestamp) -> DeliveryJudgement {
    let asker = Asker { at, client: case.client, sender: &case.from };
    let domain = case.to.domain();
    let decision = decide(&config.policies, domain, &asker);
    let routed: Vec<&Domain> = match &decision.next_hop {
        NextHop::Route(route) => route.hosts.iter().filter_map(|hop| hop.host.domain()).collect(),
        NextHop::Mx => Vec::new(),
    };
    let name = asked.mx.as_ref().or(routed.first().copied());
    let names = match (asked.certificate_names.as_slice(), name.or(domain)) {
        ([], Some(name)) => vec![DomainPattern::Exact(name.clone())],
        (names, _) => names.to_vec(),
    };
    let tls = case.tls.clone().map(|facts| match asked.certificate {
        Some(certificate) => certificate.shown_in(facts, &names),
        None => facts,
    });
    let host = HostFacts { name, name_is_trusted: name.is_some_and(|name| routed.contains(&name)), tls: tls.as_ref() };
    let (verdict, reason) = judge_session(&decision, domain, &host);
    DeliveryJudgement { decision, verdict, reason }
}

impl Answered<'_> {
    fn passes(&self) -> bool {
        match self {
            Self::Inbound { played, asked, .. } => {
                let outcome = &played.outcome;
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
            Self::Outbound { judgement, asked } => {
                let is_met = match asked.expected {
                    Delivery::Verdict(verdict) => judgement.verdict == verdict,
                    Delivery::Reason(reason) => judgement.reason == Some(reason),
                };
                is_met && asked.reason.is_none_or(|reason| judgement.reason == Some(reason))
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
            Answered::Inbound { played, .. } => {
                let (outcome, reply) = (&played.outcome, played.reply());
                let enhanced = reply.enhanced.map(|enhanced| format!(" {enhanced}")).unwrap_or_default();
                let reason = outcome.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
                let (verdict, stage) = (outcome.verdict.as_str(), command(outcome.stage));
                format!("{verdict}: {}{enhanced} at {stage}{reason}", reply.code)
            }
            Answered::Outbound { judgement, .. } => {
                let reason = judgement.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
                format!("{}{reason}", judgement.verdict.as_str())
            }
        }
    }

    /// Why, in lines for a terminal.
    pub(super) fn explanation(&self) -> Vec<String> {
        match &self.answered {
            Answered::Inbound { scene, played, .. } => {
                Explained::of(*scene, scene.play(played.tls.clone())).short_page()
            }
            Answered::Outbound { judgement, .. } => requirement(self.case, judgement),
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
            Answered::Outbound { judgement, .. } => {
                let row = |row: crate::policy::in_force::Because| json!({ "key": row.key, "value": row.value, "source": row.source.to_string() });
                json!({
                    "direction": "outbound",
                    "verdict": judgement.verdict.as_str(),
                    "reason": judgement.reason,
                    "requirement": judgement.decision.requirement.because().into_iter().map(row).collect::<Vec<_>>(),
                })
            }
        }
    }
}

const fn command(stage: Stage) -> &'static str {
    match stage {
        Stage::Mail => "MAIL FROM",
        Stage::Rcpt => "RCPT TO",
    }
}

/// What a delivery is held against.
fn requirement(case: &Case, judgement: &DeliveryJudgement) -> Vec<String> {
    let whose = case.to.domain().map_or_else(|| case.to.to_string(), ToString::to_string);
    let next_hop = match &judgement.decision.next_hop {
        NextHop::Mx => "its MX hosts".to_owned(),
        NextHop::Route(route) => format!("route {}", shown(&route.name)),
    };
    let mut lines = vec![format!("{BOLD}Deliveries to {whose}{BOLD:#}, by {next_hop}")];
    for row in judgement.decision.requirement.because() {
        let text = format!("{:14}{}  {}", row.key, shown(&row.value), row.source);
        lines.extend(wrap(&text, WIDTH_COLUMNS - 2).into_iter().map(|line| format!("  {line}")));
    }
    if judgement.verdict == DeliveryVerdict::Unknown {
        lines.push("  The case leaves the certificate open: write `certificate`.".to_owned());
    }
    lines
}
