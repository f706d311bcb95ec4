//! The explanation for programs. Fields are added here, never renamed.

use serde_json::{Value, json};

use crate::config::ListenerTls;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;
use crate::policy::in_force::Because;
use crate::policy::inbound::{Judgement, ReportedBy, Subject};
use crate::policy::provenance::{Coming, Keys as _, Level, rows};
use crate::policy::relay::{Denial, Trust};
use crate::policy::settings::Source;
use crate::policy::timed::{Enforcement, Part, Shadow, Terms};

use super::Explained;
use super::outlook::{Change, Moment};
use super::page::hosting_file;
use super::scene::{Played, Scene};

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
        "reported_by": weighing.reported_by.map(|by| by.as_str()),
        "exception": weighing.exception.as_deref().map(exception),
        "shadow": shadow(scene, weighing),
        "steps": steps(scene, played),
        "to_come": outlook.moments.iter().map(|moment| to_come(scene, moment)).collect::<Vec<_>>(),
        "would_be_reply": played.outcome.would_be.as_ref().map(ToString::to_string),
        "stages": stages,
        "relay": { "admission": rcpt.map(|rcpt| admission_word(rcpt.denial)), "hosted_by": hosting_file(scene) },
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

pub(super) fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// A session and its end.
fn outcome(scene: &Scene<'_>, played: &Played) -> Value {
    json!({
        "tls": played.tls.as_ref().map(tls),
        "offered": scene.offers(played.tls.as_ref()),
        "verdict": played.outcome.verdict.as_str(),
        "stage": played.outcome.stage.as_str(),
        "reason": played.outcome.reason,
        "reply": played.reply().to_string(),
    })
}

pub(super) fn tls(facts: &TlsFacts) -> Value {
    json!({
        "version": facts.version,
        "cipher": facts.cipher,
        "cipher_openssl": facts.cipher_openssl,
        "bits": facts.bits,
        "grade": facts.grade(),
    })
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
    let levels = scene.levels(judgement);
    let row = |row: Because| {
        let origin = levels.origin(&scene.asker(), Shadow::Left, &row);
        let set_by = match origin.map(|origin| (origin.part, origin.level)) {
            Some((Part::Base, Level::Default)) => "default",
            Some((Part::Base, Level::DomainFile)) => "domain-file",
            Some((Part::Step(_), _)) => "step",
            Some((Part::Shadow, _)) => "shadow",
            Some((Part::Exception(_), _)) => "exception",
            None if row.source == Source::BuiltIn => "built-in",
            None => "listener",
        };
        json!({ "key": row.key, "value": row.value, "source": row.source.to_string(), "set_by": set_by })
    };
    rows(&judgement.in_force).into_iter().map(row).collect()
}

pub(super) fn written_rows(rows: &[Because]) -> Vec<Value> {
    let row = |row: &Because| json!({ "key": row.key, "value": row.value, "source": row.source.to_string() });
    rows.iter().map(row).collect()
}

/// As audit records have it.
pub(super) fn exception(terms: &Terms) -> Value {
    json!({
        "rule": terms.source.to_string(),
        "owner": terms.owner,
        "reason": terms.reason,
        "expires": terms.expires,
    })
}

/// `met` is `null` where the shadow was not asked, because what is in force is not met already.
fn shadow(scene: &Scene<'_>, judgement: &Judgement) -> Value {
    let Some(rows) = scene.levels(judgement).shadow().filter(|_| judgement.exempt.is_none()) else {
        return Value::Null;
    };
    let met = match (judgement.reported_by, judgement.reason) {
        (Some(ReportedBy::Shadow), _) => Some(false),
        (_, None) => Some(true),
        _ => None,
    };
    json!({ "met": met, "policy": written_rows(&rows) })
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
