//! The explanation for programs. Fields are added here, never renamed; `next_hop` is what --facts reads.

use serde_json::{Value, json};

use crate::cli::explain::json::{exception, merge, set, tls, written_rows};
use crate::cli::explain::set_by::SetBy;
use crate::policy::host_requirement::{Evidence, Proof};
use crate::policy::in_force::Because;
use crate::policy::outbound::NextHop;
use crate::policy::provenance::{Coming, Keys as _, Level};

use super::Explained;
use super::facts::Asked;
use super::notice::{self, Schedule};
use super::page::rows;
use super::question::Played;

pub(super) fn answer(explained: &Explained<'_>) -> Value {
    let Explained { question, decision, facts, looked_up, asked, others } = explained;
    let verdict = explained.verdict();
    let route = match &decision.next_hop {
        NextHop::Mx => Value::Null,
        NextHop::Route(route) => json!({ "name": route.name, "source": route.source.to_string() }),
    };
    let by_host = facts.hosts.iter().zip(asked).map(
        |(host, played)| json!({ "host": host.shown(), "verdict": played.verdict.as_str(), "reason": played.reason }),
    );
    let mut answer = json!({
        "direction": "outbound",
        "from": question.from,
        "to": question.to,
        "client": question.client,
        "at": question.at,
        "verdict": verdict.map(|(verdict, _)| verdict.as_str()),
        "reason": verdict.and_then(|(_, reason)| reason),
        "rule": rule(explained),
        "session": asked.first().map(session),
        "by_host": by_host.collect::<Vec<_>>(),
        "route": route,
        "looked_up": looked_up,
        "next_hop": facts,
        "requirement": requirement(explained),
        "exception": decision.exception.as_deref().map(exception),
        "notice": notice(explained),
    });
    merge(&mut answer, over_time(explained));
    if !others.is_empty() {
        let sessions: Vec<Value> = others.iter().map(outcome).collect();
        merge(&mut answer, json!({ "sessions": sessions }));
    }
    answer
}

/// The rule that is not met, or that decides; `null` where it does not come to a session.
fn rule(explained: &Explained<'_>) -> Option<String> {
    let (_, reason) = explained.verdict().filter(|_| explained.facts.failure.is_none())?;
    Some(explained.decision.requirement.rule(reason).to_string())
}

fn session(played: &Played) -> Value {
    json!({
        "tls": played.tls.as_ref().map(tls),
        "certificate": played.shown.as_ref().map(super::question::Shown::in_words),
        "certificate_assumed": played.shown_is_assumed,
    })
}

fn outcome(played: &Played) -> Value {
    let mut value = session(played);
    merge(&mut value, json!({ "verdict": played.verdict.as_str(), "reason": played.reason }));
    value
}

fn requirement(explained: &Explained<'_>) -> Value {
    let requirement = &explained.decision.requirement;
    let row = |(row, by): (Because, SetBy)| set(&row, by);
    let hosts = explained.requirements();
    let first = hosts.first().and_then(|(_, built)| built.as_ref().ok());
    let session = first.map_or(requirement, |built| &built.session);
    let identities = hosts.iter().flat_map(|(host, built)| {
        let proofs = built.as_ref().map(|built| built.proofs.as_slice()).unwrap_or_default();
        proofs.iter().map(|proof| identity(host, proof)).collect::<Vec<_>>()
    });
    let unmet = hosts.iter().filter_map(|(host, built)| {
        let unmet = built.as_ref().err()?;
        Some(json!({ "host": host.name, "reason": unmet.reason, "detail": unmet.detail }))
    });
    json!({
        "level": session.level().as_str(),
        "permits_plaintext": session.permits_plaintext(),
        "policy": rows(explained).into_iter().map(row).collect::<Vec<_>>(),
        "identities": identities.collect::<Vec<_>>(),
        "unmet": unmet.collect::<Vec<_>>(),
    })
}

/// One thing that a host's certificate must prove.
fn identity(host: &Asked, proof: &Proof) -> Value {
    let because = proof.source.to_string();
    match &proof.of {
        Evidence::Names(identity) => {
            let below = identity.one_below.iter().map(|above| format!("*.{above}"));
            json!({
                "host": host.name,
                "names": identity.names.iter().map(ToString::to_string).chain(below).collect::<Vec<_>>(),
                "fingerprints": identity.fingerprints.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "source": because,
            })
        }
        Evidence::Tlsa(records) => {
            let judged = records.records.iter().flat_map(|records| records.judged());
            let shown =
                judged.map(|one| json!({ "record": one.record.to_string(), "standing": one.standing.as_str() }));
            json!({
                "host": host.name,
                "names": Vec::<String>::new(),
                "fingerprints": Vec::<String>::new(),
                "tlsa": { "base": records.base, "records": shown.collect::<Vec<_>>() },
                "source": because,
            })
        }
    }
}

/// Exceptions, steps, and what is to come of both.
fn over_time(explained: &Explained<'_>) -> Value {
    let Explained { question, decision, .. } = explained;
    let levels = question.levels(decision);
    let asker = question.asker();
    let exceptions = levels.exceptions(&asker).into_iter().map(|found| {
        let mut value = exception(found.terms);
        merge(&mut value, json!({ "state": found.standing.as_str() }));
        value
    });
    let steps = levels.steps().map(|(level, step)| {
        json!({
            "from": step.from,
            "rule": step.source.to_string(),
            "level": match level { Level::Default => "default", Level::DomainFile => "domain-file" },
            "in_force": step.from <= question.at,
            "policy": written_rows(&step.layer.written()),
        })
    });
    let to_come = levels.changes(&asker).into_iter().map(|change| {
        let kind = match change {
            Coming::Step(_) => "step",
            Coming::Expiry(_) => "exception-ends",
        };
        let then = explained.verdict_at(change.at());
        json!({
            "at": change.at(),
            "kind": kind,
            "rule": change.source().to_string(),
            "verdict": then.map(|(verdict, _)| verdict.as_str()),
            "reason": then.and_then(|(_, reason)| reason),
        })
    });
    json!({
        "exceptions": exceptions.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
        "to_come": to_come.collect::<Vec<_>>(),
    })
}

/// `null` where the message goes out, or nothing is asked.
fn notice(explained: &Explained<'_>) -> Value {
    let Some((verdict, Some(reason))) = explained.verdict() else { return Value::Null };
    let schedule = Schedule::of(explained, reason);
    let notice = notice::of(explained, verdict, reason);
    json!({
        "retry_seconds": schedule.retry.iter().map(|wait| wait.as_secs()).collect::<Vec<_>>(),
        "lifetime_seconds": schedule.lifetime.as_secs(),
        "warning_seconds": schedule.warning.map(|warning| warning.as_secs()),
        "tls_warning_seconds": schedule.tls_warning.map(|warning| warning.as_secs()),
        "reroute": schedule.reroute.map(|(route, after)| json!({ "route": *route, "after_seconds": after.as_secs() })),
        "warning_needs_trusted_client": schedule.warning_needs_trust,
        "status": notice.as_ref().map(|notice| notice.status.to_string()),
        "text": notice.and_then(|notice| notice.text),
    })
}
