//! The explanation for programs. Fields are added here, never renamed.

use serde_json::{Value, json};

use crate::config::ListenerTls;
use crate::model::time::Timestamp;
use crate::policy::in_force::Because;
use crate::policy::inbound::{Judgement, ReportedBy, Subject};
use crate::policy::provenance::{Coming, Keys as _, Level, rows};
use crate::policy::relay::{Denial, Trust};
use crate::policy::settings::Source;
use crate::policy::timed::Enforcement;

use super::Explained;
use super::outlook::{Change, Moment};
use super::scene::{Played, Scene};
use crate::explain::json::{exception, merge, set, tls, written_rows};

pub(super) fn answer(explained: &Explained<'_>) -> Value {
    let Explained { scene, played, others, outlook } = explained;
    let transacted = &played.transacted;
    let rcpt = transacted.rcpt.as_ref();
    let stages: Vec<Value> = played.judgements().map(|judgement| stage(scene, judgement)).collect();
    let weighing = transacted.weighing();
    let offer = Some(scene.listener.offer).filter(|_| scene.listener.tls != ListenerTls::Off);
    let mut answer = json!({
        "direction": "inbound",
        "from": scene.from,
        "to": scene.to,
        "listener": { "name": scene.listener.name, "role": scene.listener.role.as_str(), "offer": offer },
        "client": {
            "ip": scene.client,
            "assumed": scene.assumed.client,
            "certificate": scene.certificate.map(|certificate| certificate.to_string()),
            "trusted": played.trust > Trust::Stranger,
            "trust": played.trust.as_str(),
        },
        "at": scene.at,
        "enforcement": enforcement(scene),
        "rule": transacted.rule().to_string(),
        "reported_by": weighing.reported_by.map(|by| by.as_str()),
        "exception": weighing.exception.as_deref().map(exception),
        "shadow": shadow(scene, weighing),
        "steps": steps(scene, played),
        "to_come": outlook.moments.iter().map(|moment| to_come(scene, moment)).collect::<Vec<_>>(),
        "would_be_reply": played.outcome.would_be.as_ref().map(ToString::to_string),
        "stages": stages,
        "relay": { "admission": rcpt.map(|rcpt| admission_word(rcpt.denial)), "hosted_by": scene.hosting_file() },
    });
    merge(&mut answer, outcome(scene, played));
    if !others.is_empty() {
        merge(
            &mut answer,
            json!({ "sessions": others.iter().map(|played| outcome(scene, played)).collect::<Vec<_>>() }),
        );
    }
    answer
}

/// A session and its end. Where no such session can come about, what the policy alone says stands beside it.
fn outcome(scene: &Scene<'_>, played: &Played) -> Value {
    let by_policy = json!({
        "verdict": played.outcome.verdict.as_str(),
        "stage": played.outcome.stage.as_str(),
        "reason": played.outcome.reason,
        "reply": played.reply().to_string(),
    });
    let no_session = scene.no_session(played.tls.as_ref());
    let mut value = json!({ "tls": played.tls.as_ref().map(tls), "offered": no_session.is_none() });
    let end = match no_session {
        None => by_policy,
        Some(why) => json!({
            "verdict": "no_session",
            "stage": null,
            "reason": null,
            "reply": null,
            "no_session": why,
            "policy_alone": by_policy,
        }),
    };
    merge(&mut value, end);
    value
}

fn stage(scene: &Scene<'_>, judgement: &Judgement) -> Value {
    let exceptions = scene.levels(judgement).exceptions(&scene.asker());
    let exceptions = exceptions.iter().filter(|_| judgement.exempt.is_none()).map(|found| {
        let mut value = exception(found.terms);
        merge(&mut value, json!({ "state": found.standing.as_str() }));
        value
    });
    json!({
        "stage": judgement.stage.as_str(),
        "verdict": judgement.verdict.as_str(),
        "reason": judgement.reason,
        "rule": judgement.rule.to_string(),
        "subject": subject(judgement),
        "exempt": judgement.exempt.map(|exempt| exempt.as_str()),
        "reported_by": judgement.reported_by.map(|by| by.as_str()),
        "exception": judgement.exception.as_deref().map(exception),
        "exceptions": exceptions.collect::<Vec<_>>(),
        "shadow": shadow(scene, judgement),
        "policy": policy(scene, judgement),
    })
}

fn subject(judgement: &Judgement) -> Value {
    match &judgement.subject {
        Subject::Domain { name, .. } => json!({ "domain": name }),
        Subject::Default => json!("default"),
        Subject::Listener => json!("listener"),
    }
}

fn policy(scene: &Scene<'_>, judgement: &Judgement) -> Vec<Value> {
    let row = |row: Because| set(&row, scene.set_by(judgement, &row));
    rows(&judgement.in_force).into_iter().map(row).collect()
}

/// `met` is `null` where the shadow was not asked: what is in force is not met already, or an exception stands above
/// all of it. `excepted` are its keys above which one stands.
fn shadow(scene: &Scene<'_>, judgement: &Judgement) -> Value {
    let Some(rows) = scene.levels(judgement).shadow().filter(|_| judgement.exempt.is_none()) else {
        return Value::Null;
    };
    let excepted = scene.levels(judgement).excepted_of_shadow(&scene.asker());
    let met = match (judgement.reported_by, judgement.reason) {
        (Some(ReportedBy::Shadow), _) => Some(false),
        (_, None) if rows.iter().any(|row| !excepted.contains(row)) => Some(true),
        _ => None,
    };
    json!({ "met": met, "policy": written_rows(&rows), "excepted": written_rows(&excepted) })
}

/// Every step of the policies that were asked, in force or to come.
fn steps(scene: &Scene<'_>, played: &Played) -> Vec<Value> {
    let mut seen: Vec<(Timestamp, &Source)> = Vec::new();
    let mut values = Vec::new();
    for (level, step) in played.judgements().flat_map(|judgement| scene.levels(judgement).steps().collect::<Vec<_>>()) {
        if seen.contains(&(step.from, &step.source)) {
            continue;
        }
        seen.push((step.from, &step.source));
        values.push(json!({
            "from": step.from,
            "rule": step.source.to_string(),
            "level": match level { Level::Default => "default", Level::DomainFile => "domain-file" },
            "in_force": step.from <= scene.at,
            "policy": written_rows(&step.layer.written()),
        }));
    }
    values
}

/// What changes at one moment, and the answer from then on.
fn to_come(scene: &Scene<'_>, moment: &Moment<'_>) -> Value {
    let change = |change: &Change<'_>| match change {
        Change::Settings(Coming::Step(step)) => json!({
            "kind": "step",
            "rule": step.source.to_string(),
            "policy": written_rows(&step.layer.written()),
        }),
        Change::Settings(Coming::Expiry(terms)) => {
            let mut value = exception(terms);
            merge(&mut value, json!({ "kind": "exception-ends" }));
            value
        }
        Change::Switch(source) => json!({ "kind": "switch-ends", "rule": source.to_string() }),
    };
    let mut value = json!({
        "at": moment.at,
        "changes": moment.changes.iter().map(change).collect::<Vec<_>>(),
        "same": moment.is_the_same,
    });
    merge(&mut value, outcome(scene, &moment.played));
    value
}

/// The emergency switch.
fn enforcement(scene: &Scene<'_>) -> Value {
    let enforcement = &scene.config.policies.enforcement;
    match enforcement {
        Enforcement::ReportUntil { until, source } if enforcement.is_suspended(scene.at) => {
            json!({ "mode": "report", "until": until, "rule": source.to_string() })
        }
        _ => json!({ "mode": "on" }),
    }
}

fn admission_word(denial: Option<Denial>) -> &'static str {
    denial.map_or("admitted", |denial| denial.reason().as_str())
}
