//! The explanation for programs. Fields are added here, never renamed.

use serde_json::{Value, json};

use crate::config::ListenerTls;
use crate::model::tls::TlsFacts;
use crate::policy::inbound::{Judgement, Subject};
use crate::policy::relay::{Denial, Trust};

use super::Explained;
use super::page::{hosting_file, policy_rows};
use super::scene::{Played, Scene};

pub(super) fn answer(explained: &Explained<'_>) -> Value {
    let Explained { scene, played, others } = explained;
    let transacted = &played.transacted;
    let rcpt = transacted.rcpt.as_ref();
    let judged = rcpt.and_then(|rcpt| rcpt.judgement.as_ref());
    let stages: Vec<Value> = std::iter::once(&transacted.mail).chain(judged).map(stage).collect();
    let offer = Some(scene.listener.offer).filter(|_| scene.listener.tls != ListenerTls::Off);
    let mut answer = json!({
        "direction": "inbound",
        "from": scene.from,
        "to": scene.to,
        "listener": { "name": scene.listener.name, "role": scene.listener.role.as_str(), "offer": offer },
        "client": {
            "ip": scene.client,
            "assumed": scene.client_is_assumed,
            "certificate": scene.certificate.map(|certificate| certificate.to_string()),
            "trusted": played.trust > Trust::Stranger,
            "trust": played.trust.as_str(),
        },
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

fn merge(into: &mut Value, from: Value) {
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

fn admission_word(denial: Option<Denial>) -> &'static str {
    denial.map_or("admitted", |denial| denial.reason().as_str())
}
