//! The queue: destinations with what waits for them, and the messages of one destination or all.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use crate::admin::protocol::{Filter, QueueMessage, Response as Answer};
use crate::admin::queue as desk_queue;
use crate::clock;
use crate::model::domain::Domain;
use crate::model::human::{bytes, span};
use crate::model::id::MessageId;
use crate::model::time::Timestamp;
use crate::outbound::overview::{DestinationView, Order};

use super::frame::{Frame, Tab};
use super::words::{self, number};
use super::{Site, part, shown};

const DESTINATIONS_MAX: usize = 100;
const MESSAGES_MAX: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    to: String,
    route: String,
    after: Option<MessageId>,
}

pub(super) async fn page(State(site): State<Arc<Site>>, Query(asked): Query<Asked>) -> Response {
    let now = clock::timestamp();
    let top = desk_queue::destinations(&site.desk, DESTINATIONS_MAX, Order::Count).await;
    let to_domain = Domain::parse(asked.to.trim()).ok();
    let route = Some(asked.route.clone()).filter(|route| !route.is_empty());
    let is_narrowed = to_domain.is_some() || route.is_some();
    let filter = Filter { to_domain, route, ..Filter::default() };
    let listed = desk_queue::list(&site.desk, &filter, asked.after, Some(MESSAGES_MAX)).await;
    let title = if is_narrowed { "Queue of one destination" } else { "Queue" };
    let body = html! {
        h1 { (title) }
        @if !is_narrowed {
            (part("destinations", "card", &html! {
                header { h2 { "Destinations" } p.lead { "Those that most mail waits for first" } }
                @match &top {
                    None => p.empty { "The dispatcher does not answer." },
                    Some(top) if top.overview.destinations.is_empty() => p.empty { "Nothing waits." },
                    Some(top) => (destination_table(&top.overview.destinations, DESTINATIONS_MAX, now))
                }
            }))
        }
        (part("messages", "card", &messages(&asked, &listed, now)))
        p.lead {
            "Nothing can be changed here. " code { "gatepost queue" } " retries, holds, releases, reroutes and bounces."
        }
    };
    let frame = Frame { title, tab: Some(Tab::Queue), is_live: asked.after.is_none() };
    shown(&site, &frame, &body)
}

/// Its name, with a link to its messages.
pub(super) fn destination(view: &DestinationView) -> Markup {
    let key = if view.is_route { "route" } else { "to" };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    html! {
        @if view.is_route { "route " }
        @if view.name.bytes().all(plain) { a href=(format!("/queue?{key}={}", view.name)) { (view.name) } }
        @else { (words::peer(&view.name)) }
    }
}

pub(super) fn destination_table(views: &[DestinationView], rows_max: usize, now: Timestamp) -> Markup {
    let open = |view: &DestinationView| view.ready + view.waiting + view.held + view.active;
    let most = views.iter().map(open).max().unwrap_or(1).max(1);
    html! {
        table.stack {
            thead { tr {
                th scope="col" { "Destination" } th.number scope="col" { "Waiting" }
                th scope="col" { span.unseen { "Share of the most" } }
                th scope="col" { "Oldest" } th scope="col" { "State" }
            } }
            tbody { @for view in views.iter().take(rows_max) {
                tr {
                    th.name scope="row" { (destination(view)) }
                    td.number data-name="Waiting" { (number(open(view))) }
                    td { (meter(open(view), most)) }
                    td.time data-name="Oldest" { @if let Some(oldest) = view.oldest { (words::ago(oldest, now)) } }
                    td data-name="State" { (standing(view, now)) }
                }
            } }
        }
    }
}

fn meter(part: usize, most: usize) -> Markup {
    html! {
        svg.meter viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect width=((part * 100 / most).max(1)) height="10" {}
        }
    }
}

fn standing(view: &DestinationView, now: Timestamp) -> Markup {
    html! {
        @if view.is_held { span.tag.odd { "held" } " " }
        @if let Some(until) = view.down_until { span.tag.bad { "down" } " tried " (words::until(until, now)) " " }
        @if view.active > 0 { span.tag.good { (number(view.active)) " active" } " " }
        @if let Some(last) = &view.last { code { (last.reason) } }
    }
}

fn messages(asked: &Asked, listed: &Answer, now: Timestamp) -> Markup {
    let Answer::Queue { messages, more, after } = listed else {
        return html! { p.empty { "The queue cannot be listed just now." } };
    };
    let next = after.filter(|_| *more).map(|after| {
        let filter = [("to", &asked.to), ("route", &asked.route)].into_iter().filter(|(_, value)| !value.is_empty());
        let filter: String = filter.map(|(key, value)| format!("{key}={value}&")).collect();
        format!("/queue?{filter}after={after}")
    });
    html! {
        header {
            h2 {
                "Messages"
                @if !asked.to.is_empty() { " to " (words::peer(&asked.to)) }
                @if !asked.route.is_empty() { " by route " (words::peer(&asked.route)) }
            }
            p.lead { "Oldest first" }
        }
        @if messages.is_empty() { p.empty { "None." } }
        @else {
            table.stack {
                (words::columns(&["Message", "Age", "From", "To", "Why it is here"]))
                tbody { @for message in messages { (row(message, now)) } }
            }
            @if let Some(next) = next { p { a href=(next) { "More messages" } } }
        }
    }
}

fn row(message: &QueueMessage, now: Timestamp) -> Markup {
    let id = message.id.to_string();
    html! {
        tr {
            th scope="row" { a.mono href=(format!("/message/{id}")) { (id) } br; span.lead { (bytes(message.size)) } }
            td.time data-name="Age" { (span(now.saturating_since(message.received_at))) }
            td data-name="From" { (words::address(&message.from)) }
            td data-name="To" {
                @for (place, recipient) in message.recipients.iter().take(3).enumerate() {
                    @if place > 0 { ", " }
                    (words::address(&recipient.address))
                }
                @if message.recipients.len() > 3 { " and " (number(message.recipients.len() - 3)) " more" }
            }
            td data-name="Why" { (words::peer(&message.why)) }
        }
    }
}
