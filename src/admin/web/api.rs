//! The same for programs: `/api/v1/…` in JSON. Reading is let in as the pages are, or with the token as bearer.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::protocol::{Filter, QUEUE_PAGE_MAX, Response as Answer, Status};
use crate::admin::queue as desk_queue;
use crate::admin::reading::Seen;
use crate::admin::reading::passes::{Dated, Found, Question, StepCost};
use crate::audit::posture::{Noted, Trend, Window};
use crate::audit::report::Sums;
use crate::clock;
use crate::model::domain::Domain;
use crate::model::id::MessageId;
use crate::outbound::overview::{DESTINATIONS_MAX, Order};

use super::{Site, door, explain};

pub(super) async fn status(State(site): State<Arc<Site>>) -> Json<Status> {
    let worst = desk_queue::worst(&site.desk).await;
    Json(Status { worst, ..(site.desk.status)() })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PostureAsked {
    window: String,
}

pub(super) async fn posture(State(site): State<Arc<Site>>, Query(asked): Query<PostureAsked>) -> Response {
    let Some(window) = window(&asked.window) else {
        return refused(StatusCode::BAD_REQUEST, "window is hour, day or month");
    };
    let now = clock::timestamp();
    let seen = site.watch.look(|posture| {
        json!({
            "at": now,
            "window": window.as_str(),
            "inbound": trend(&posture.trend(true, window, now)),
            "outbound": trend(&posture.trend(false, window, now)),
            "stopped": posture.noted().map(noted).collect::<Vec<_>>(),
        })
    });
    answer(seen.await)
}

fn window(text: &str) -> Option<Window> {
    if text.is_empty() { Some(Window::default()) } else { Window::ALL.into_iter().find(|one| one.as_str() == text) }
}

fn trend(trend: &Trend) -> Value {
    let steps = trend.steps.iter().map(|(begin, sums)| {
        let mut value = of_sums(sums);
        if let Value::Object(fields) = &mut value {
            fields.insert("begin".to_owned(), json!(begin));
        }
        value
    });
    json!({ "total": of_sums(&trend.total), "steps": steps.collect::<Vec<_>>() })
}

fn of_sums(sums: &Sums) -> Value {
    let versions: serde_json::Map<String, Value> =
        sums.versions.iter().map(|(version, count)| (version.as_str().to_owned(), json!(count))).collect();
    json!({
        "messages": sums.messages,
        "plaintext": sums.plaintext,
        "versions": versions,
        "identities": sums.identities,
        "refused": sums.refused,
        "deferred": sums.deferred,
        "would_refuse": sums.reported,
    })
}

fn noted(noted: &Noted) -> Value {
    json!({
        "time": noted.time,
        "record": noted.record,
        "direction": direction(noted.is_inbound),
        "verdict": noted.verdict,
        "reason": noted.reason,
        "from": noted.from,
        "to": noted.to,
        "session": noted.session,
    })
}

const fn direction(is_inbound: bool) -> &'static str {
    if is_inbound { "inbound" } else { "outbound" }
}

/// What the next step of each policy would have stopped in the last 30 days.
pub(super) async fn stricter(State(site): State<Arc<Site>>) -> Response {
    let config = (site.config)();
    let seen = site.passes.ask(Question::Stricter(config.digest.clone()), &config).await;
    answer(seen.map(|dated| match &*dated.found {
        Found::Stricter(costs) => json!({ "at": dated.at, "steps": costs.iter().map(step).collect::<Vec<_>>() }),
        _ => Value::Null,
    }))
}

fn step(StepCost { step, cost }: &StepCost) -> Value {
    let mut partners: Vec<&str> = cost.partners.iter().map(|partner| &**partner).collect();
    partners.sort_unstable();
    json!({
        "policy": if step.file.is_empty() { "default" } else { &step.file },
        "direction": direction(step.is_inbound),
        "setting": step.setting,
        "messages": cost.messages,
        "stopped": cost.hit,
        "partners": partners,
        "last_seen": Some(&cost.last_seen).filter(|seen| !seen.is_empty()),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct QueueAsked {
    to_domain: Option<Domain>,
    from_domain: Option<Domain>,
    route: Option<String>,
    after: Option<MessageId>,
    limit: Option<usize>,
}

/// The messages that wait, page by page: ask again with `after`.
pub(super) async fn queue(State(site): State<Arc<Site>>, Query(asked): Query<QueueAsked>) -> Response {
    let QueueAsked { to_domain, from_domain, route, after, limit } = asked;
    let filter = Filter { to_domain, from_domain, route, ..Filter::default() };
    Json(desk_queue::list(&site.desk, &filter, after, Some(limit.unwrap_or(QUEUE_PAGE_MAX))).await).into_response()
}

pub(super) async fn destinations(State(site): State<Arc<Site>>) -> Response {
    match desk_queue::destinations(&site.desk, DESTINATIONS_MAX, Order::Count).await {
        Some(top) => Json(top).into_response(),
        None => refused(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping"),
    }
}

pub(super) async fn holds(State(site): State<Arc<Site>>) -> Response {
    Json(desk_queue::steering::holds(&site.desk)).into_response()
}

/// A message as it stands in the queue, and its records.
pub(super) async fn message(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<MessageId>() else {
        return refused(StatusCode::NOT_FOUND, "an id has 26 letters and digits");
    };
    let waiting = match desk_queue::show(&site.desk, id).await {
        Answer::Message(message) => Some(message),
        _ => None,
    };
    let seen = site.passes.ask(Question::Trace(id), &(site.config)()).await;
    answer(seen.map(|Dated { found, .. }| match &*found {
        Found::Trace(records) => json!({ "id": id, "queue": waiting, "records": records }),
        _ => Value::Null,
    }))
}

/// What `policy explain --json` prints, from what the daemon keeps.
pub(super) async fn explained(State(site): State<Arc<Site>>, Query(asked): Query<explain::Asked>) -> Response {
    match explain::answer(&site, &asked, &(site.config)()) {
        Ok(answer) => Json(answer).into_response(),
        Err(wrong) => refused(StatusCode::BAD_REQUEST, &wrong.to_string()),
    }
}

/// What was read; 202 while it is being read: ask again.
fn answer(seen: Seen<Value>) -> Response {
    match seen {
        Seen::Ready(value) => Json(value).into_response(),
        Seen::Reading(read) => (StatusCode::ACCEPTED, Json(json!({ "reading": read }))).into_response(),
        Seen::Busy => refused(StatusCode::TOO_MANY_REQUESTS, "too much is being looked up in the audit log"),
        Seen::Failed(why) => refused(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}

/// `Allow` is added to it.
pub(super) async fn other_method(request: Request) -> Response {
    if !door::is_api(&request) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    refused(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method; Allow says which it takes")
}

pub(super) fn refused(code: StatusCode, why: &str) -> Response {
    (code, Json(json!({ "error": why }))).into_response()
}
