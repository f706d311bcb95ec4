//! The explanation for programs. Fields are added here, never renamed.

use serde_json::{Value, json};

use crate::model::tls::TlsFacts;
use crate::policy::inbound::{Judgement, Subject};
use crate::policy::relay::Admission;

use super::Explained;
use super::page::{hosting_file, policy_rows};
use super::scene::Played;

pub(super) fn answer(explained: &Explained<'_>) -> Value {
    let Explained { scene, played, others } = explained;
    let stages: Vec<Value> = std::iter::once(&played.mail).chain(&played.rcpt).map(stage).collect();
    let mut answer = json!({
        "direction": "inbound",
        "from": scene.from,
        "to": scene.to,
        "listener": { "name": scene.listener.name, "role": scene.listener.role.as_str() },
        "client": { "ip": scene.client, "trusted": scene.is_trusted(), "assumed": scene.client_is_assumed },
        "would_be_reply": played.outcome.would_be.as_ref().map(ToString::to_string),
        "stages": stages,
        "relay": { "admission": played.admission.map(admission_word), "hosted_by": hosting_file(scene) },
    });
    merge(&mut answer, outcome(played));
    if !others.is_empty() {
        merge(&mut answer, json!({ "sessions": others.iter().map(outcome).collect::<Vec<_>>() }));
    }
    answer
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// A session and its end.
fn outcome(played: &Played) -> Value {
    json!({
        "tls": played.tls.as_ref().map(tls),
        "verdict": played.outcome.verdict.as_str(),
        "stage": played.outcome.stage.as_str(),
        "reason": played.outcome.reason,
        "reply": played.outcome.reply.to_string(),
    })
}

fn tls(facts: &TlsFacts) -> Value {
    json!({
        "version": facts.version,
        "cipher": facts.cipher,
        "cipher_openssl": facts.cipher_openssl,
        "bits": facts.bits,
        "grade": facts.grade(),
    })
}

fn stage(judgement: &Judgement) -> Value {
    let subject = match &judgement.subject {
        Subject::Domain { name, .. } => json!({ "domain": name }),
        Subject::Default => json!("default"),
        Subject::Listener => json!("listener"),
    };
    let policy: Vec<Value> = policy_rows(judgement)
        .into_iter()
        .map(|because| json!({ "key": because.key, "value": because.value, "source": because.source.to_string() }))
        .collect();
    json!({
        "stage": judgement.stage.as_str(),
        "verdict": judgement.verdict.as_str(),
        "reason": judgement.reason,
        "rule": judgement.rule.to_string(),
        "subject": subject,
        "exempt": judgement.exempt.map(|exempt| exempt.as_str()),
        "policy": policy,
    })
}

const fn admission_word(admission: Admission) -> &'static str {
    match admission {
        Admission::Admitted => "admitted",
        Admission::RelayDenied => "relay-denied",
        Admission::NoSuchUser => "no-such-user",
    }
}
