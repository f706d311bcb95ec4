//! One message: why it is still here, and its hops as the audit log has them.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::admin::protocol::{QueueMessage, Response as Answer};
use crate::admin::queue as desk_queue;
use crate::admin::reading::Seen;
use crate::admin::reading::passes::{Dated, Found, Question};
use crate::audit::told::{facts, number, text};
use crate::clock;
use crate::model::human::{bytes, second, shown as safe};
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::frame::{Frame, Tab, refusal, unread};
use super::{Site, part, shown, words};

const EXAMPLE: &str = "01J8ZQ6K3V9X5T7W2R4Y6M8N0P";
/// Records that are shown; a message to many has many.
const RECORDS_MAX: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    id: String,
}

/// The form, or the way to what was asked for.
pub(super) async fn search(State(site): State<Arc<Site>>, Query(asked): Query<Asked>) -> Response {
    let id = asked.id.trim();
    let is_wrong = !id.is_empty();
    if let Ok(id) = id.parse::<MessageId>() {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/message/{id}"))]).into_response();
    }
    let frame = Frame { title: "Trace", tab: Some(Tab::Message), is_live: false };
    let body = html! {
        h1 { "Trace a message" }
        section.card {
            form.line action="/message" method="get" {
                label for="id" { "Id of a message, or of a record as a refusal names it"
                    input #id name="id" value=(asked.id) size="30" spellcheck="false" autocapitalize="off" required
                        aria-invalid=[is_wrong.then_some("true")] aria-describedby=[is_wrong.then_some("wrong")];
                }
                button.main type="submit" { "Show" }
            }
            @if is_wrong {
                p #wrong { span.tag.bad { "wrong" } " An id has 26 letters and digits: " code { (EXAMPLE) } }
            }
            p.lead { "It stands in the reply to the sender (" code { "queued as …" } ", " code { "id=…" } "), in the "
                code { "Received" } " field and in " code { "gatepost queue list" } "." }
        }
    };
    shown(&site, &frame, &body)
}

pub(super) async fn page(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<MessageId>() else {
        let text = "An id has 26 letters and digits.";
        return refusal(&site, StatusCode::NOT_FOUND, ("No such message", text));
    };
    let trace = site.passes.ask(Question::Trace(id), &(site.config)()).await;
    let waiting = match desk_queue::show(&site.desk, id).await {
        Answer::Message(message) => Some(message),
        _ => None,
    };
    let frame = Frame { title: "Message", tab: Some(Tab::Message), is_live: true };
    let body = html! {
        h1 { "Message " span.mono { (id) } }
        @if let Some(message) = &waiting { (part("standing", "card", &standing(message, clock::timestamp()))) }
        (part("hops", "card", &hops(&trace, id)))
    };
    shown(&site, &frame, &body)
}

/// What is left to do with it.
fn standing(message: &QueueMessage, now: Timestamp) -> Markup {
    html! {
        header { h2 { "In the queue" } p.lead { "Since " (second(message.received_at)) } }
        p { (words::peer(&message.why)) }
        table.stack {
            thead { tr {
                th scope="col" { "Recipient" } th scope="col" { "State" } th.number scope="col" { "Tries" }
                th scope="col" { "Next" } th scope="col" { "Given up" }
            } }
            tbody { @for recipient in &message.recipients {
                tr {
                    th scope="row" { (words::address(&recipient.address)) }
                    td data-name="State" {
                        (format!("{:?}", recipient.state).to_lowercase())
                        @if let Some(reason) = recipient.reason { " " code { (reason) } }
                    }
                    td.number data-name="Tries" { (recipient.attempts) }
                    td.time data-name="Next" {
                        @if let Some(next) = recipient.next_attempt { (words::until(next, now)) }
                    }
                    td.time data-name="Given up" {
                        @if let Some(end) = recipient.prospects.expires_at { (words::until(end, now)) }
                    }
                }
            } }
        }
        p.lead { (bytes(message.size)) ", by listener " (message.listener) }
    }
}

fn hops(trace: &Seen<Dated>, id: MessageId) -> Markup {
    let Seen::Ready(Dated { found, .. }) = trace else { return unread(trace) };
    let Found::Trace(records) = &**found else { return html! {} };
    html! {
        header {
            h2 { "Hops" }
            p.lead { (words::number(records.len())) " records of the audit log" }
        }
        @if records.is_empty() {
            p.empty {
                "The audit log has no record of this id: it may be mistyped, or be older than what is kept."
            }
        } @else {
            ol.hops { @for record in records.iter().take(RECORDS_MAX) { (hop(record)) } }
            @if records.len() > RECORDS_MAX { p { "More: " code { "gatepost audit trace " (id) } } }
            p.lead { "To prove this to somebody: " code { "gatepost audit receipt " (id) " --out " (id) ".json" } }
        }
    }
}

fn hop(record: &Value) -> Markup {
    let event = text(record, "/event").unwrap_or("?");
    let class = match event {
        "inbound.accepted" | "outbound.delivered" => "good",
        "outbound.bounced" | "inbound.refused" => "bad",
        "outbound.deferred" | "outbound.rerouted" => "odd",
        _ => "",
    };
    html! {
        li.(class) {
            h2 {
                (words::verdict(event))
                (words::record_time(text(record, "/time").unwrap_or_default()))
                @if let Some(seq) = number(record, "/seq") { span.lead { "record " (words::number(seq)) } }
            }
            dl.facts {
                @for (label, value) in facts(record) { dt { (label) } dd { (safe(&value)) } }
            }
        }
    }
}
