//! The explanation for programs. Fields are added here, never renamed; `next_hop` is what --facts reads.

use serde_json::{Value, json};

use crate::policy::host_requirement::{Evidence, Proof};
use crate::policy::in_force::Because;
use crate::policy::outbound::{NextHop, Requirement};
use crate::policy::provenance::{Coming, Keys as _, Level};

use super::facts::Asked;
use super::in_force::rows;
use super::notice::{self, Schedule};
use super::question::Played;
use super::{Compared, Explained};
use crate::explain::json::{exception, merge, set, tls, written_rows};
use crate::explain::set_by::SetBy;

pub(super) fn answer(explained: &Explained<'_>) -> Value {
    let Explained { question, decision, facts, looked_up, unasked, asked, others } = explained;
    let end = explained.verdict();
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
        "verdict": end.as_ref().map(|end| end.verdict.as_str()),
        "reason": end.as_ref().and_then(|end| end.reason),
        "rule": end.as_ref().filter(|_| facts.failure.is_none()).map(|end| end.rule.to_string()),
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
    if !unasked.is_empty() {
        merge(&mut answer, json!({ "unasked": unasked }));
    }
    if !others.is_empty() {
        let sessions = |compared: &Compared| compared.played.iter().map(outcome).collect::<Vec<_>>();
        let by_host = others.iter().map(|compared| json!({ "hosts": compared.hosts, "sessions": sessions(compared) }));
        let first = others.first().map(sessions);
        merge(&mut answer, json!({ "sessions": first, "sessions_by_host": by_host.collect::<Vec<_>>() }));
    }
    answer
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
    let written = &explained.decision.requirement;
    let row = |(row, by): (Because, SetBy)| set(&row, by);
    let hosts = explained.requirements();
    // Of several hosts the one with the least: what may happen to the message.
    let usable = || hosts.iter().filter_map(|(_, built)| built.as_ref().ok()).map(|built| &built.session);
    let level = usable().map(Requirement::level).min().unwrap_or(written.level());
    let identities = hosts.iter().flat_map(|(host, built)| {
        let proofs = built.as_ref().map(|built| built.proofs.as_slice()).unwrap_or_default();
        proofs.iter().map(|proof| identity(host, proof)).collect::<Vec<_>>()
    });
    let unmet = hosts.iter().filter_map(|(host, built)| {
        let unmet = built.as_ref().err()?;
        Some(json!({ "host": host.name, "reason": unmet.reason, "detail": unmet.detail }))
    });
    json!({
        "level": level.as_str(),
        "permits_plaintext": usable().any(Requirement::permits_plaintext),
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
            "verdict": then.as_ref().map(|then| then.verdict.as_str()),
            "reason": then.as_ref().and_then(|then| then.reason),
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
    let Some((verdict, reason)) = explained.failed() else { return Value::Null };
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
