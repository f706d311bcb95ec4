//! What every page has around it: who this is, how it does, where else one can go.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};

use crate::admin::protocol::Status;
use crate::admin::reading::{Read, Seen};
use crate::clock;
use crate::model::human::{bytes, second};
use crate::page::document::linked;

use super::{Site, api, door};

/// The places of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Queue,
    Partners,
    Policy,
    Message,
}

impl Tab {
    const ALL: [Self; 5] = [Self::Overview, Self::Queue, Self::Partners, Self::Policy, Self::Message];

    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Overview => ("/", "Overview"),
            Self::Queue => ("/queue", "Queue"),
            Self::Partners => ("/partners", "Partners"),
            Self::Policy => ("/policy", "Policy"),
            Self::Message => ("/message", "Trace"),
        }
    }
}

/// One page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// `None`: nowhere.
    pub(super) tab: Option<Tab>,
    /// The script looks for something newer.
    pub(super) is_live: bool,
}

impl Frame<'_> {
    /// `can_leave`: somebody is logged in.
    pub(super) fn around(&self, status: &Status, can_leave: bool, body: &Markup) -> Markup {
        let now = clock::timestamp();
        let time = second(now);
        let main = html! {
            main #main data-live[self.is_live] data-at=(time) { (notes(status)) (body) }
        };
        let body = html! {
            a.skip href="#main" { "Skip to the content" }
            (self.head(status))
            (main)
            footer.foot {
                div.row {
                    @if self.is_live { span.row.live data-live-state {} }
                    span { "As of " time datetime=(now) { (time) } }
                    span { "Gatepost " (status.version) }
                    span { "configuration " code { (status.config.get(..12).unwrap_or_default()) } }
                    @if can_leave { form action="/logout" method="post" { button type="submit" { "Log out" } } }
                }
            }
        };
        let title = format!("{} - {} - Gatepost", self.title, status.hostname);
        linked(&title, ("/static/style.css", "/static/live.js"), &body)
    }

    fn head(&self, status: &Status) -> Markup {
        let (class, word) = state(status);
        html! {
            header.head {
                div.inner {
                    div.who {
                        a.brand href="/" { "Gatepost" }
                        span.host { (status.hostname) }
                        span.state { span.tag.(class) { (word) } }
                    }
                    nav aria-label="Pages" {
                        ul {
                            @for tab in Tab::ALL {
                                @let (path, name) = tab.place();
                                @let current = (self.tab == Some(tab)).then_some("page");
                                li { a href=(path) aria-current=[current] { (name) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whether mail is taken, in a few words.
fn state(status: &Status) -> (&'static str, &'static str) {
    if status.draining {
        ("odd", "stopping")
    } else if status.spool_fault.is_some() || !status.audit_writable {
        ("bad", "takes no mail")
    } else {
        ("good", "takes mail")
    }
}

/// What nobody must overlook, on every page.
fn notes(status: &Status) -> Markup {
    let suspended = status.policy.suspended.as_ref();
    html! {
        @if let Some(fault) = &status.spool_fault {
            div.note.bad { p { strong { "The spool takes no mail: " } (fault) } }
        }
        @if !status.audit_writable {
            div.note.bad { p { strong { "The audit log cannot be written. " } "See the log of the daemon." } }
        }
        @if let Some(suspended) = suspended {
            div.note.bad { p {
                strong { "Enforcement is suspended until " (second(suspended.until)) ": " }
                "what would be refused is only recorded, by " code { (suspended.rule) } "."
            } }
        }
        @if status.soft_bounce {
            div.note.odd { p { strong { "soft_bounce is on: " } "what is refused for good waits." } }
        }
    }
}

/// What stands there while the log is read, or cannot be.
pub(super) fn unread<T>(seen: &Seen<T>) -> Markup {
    match seen {
        Seen::Ready(_) => html! {},
        Seen::Reading(Read { bytes: read, of_bytes }) => html! {
            p.empty {
                "The audit log is being read"
                @if *of_bytes > 0 { ": " (bytes(*read)) " of " (bytes(*of_bytes)) }
                ". This page shows it when that is done; look again in a moment."
            }
        },
        Seen::Busy => html! { p.empty { "Too much is being looked up in the audit log. Look again in a minute." } },
        Seen::Failed(why) => html! { p.empty { span.tag.bad { "failed" } " The audit log cannot be read: " (why) } },
    }
}

/// A page that says why there is none.
pub(super) fn refusal(site: &Site, code: StatusCode, (title, text): (&str, &str)) -> Response {
    let frame = Frame { title, tab: None, is_live: false };
    let body = html! {
        h1 { (title) }
        p { (text) }
        p { a href="/" { "To the overview" } }
    };
    (code, Html(frame.around(&(site.desk.status)(), site.door().asks_for_login(), &body).into_string())).into_response()
}

pub(super) async fn not_found(State(site): State<Arc<Site>>, request: Request) -> Response {
    if door::is_api(&request) {
        return api::refused(StatusCode::NOT_FOUND, "there is no such path; docs/operations/dashboard.md lists them");
    }
    refusal(&site, StatusCode::NOT_FOUND, ("No such page", "The address may be mistyped."))
}
