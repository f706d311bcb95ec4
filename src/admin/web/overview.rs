//! The first page: how the domains' mail is protected, and what needs somebody's attention.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use crate::admin::protocol::{CertificateStatus, Status, Top};
use crate::admin::queue as desk_queue;
use crate::admin::reading::Seen;
use crate::admin::reading::passes::{Dated, Found, Question, StepCost};
use crate::audit::posture::{Noted, Trend, Window};
use crate::clock;
use crate::config::Config;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::outbound::overview::{DestinationView, Order};
use crate::page::figures::share;

use super::frame::{Frame, Tab, unread};
use super::words::{self, counted, expiry, number};
use super::{Site, charts, part, queue, shown};

/// Rows of the tables here; the pages behind them have more.
const ROWS_MAX: usize = 10;
/// The end of an id tells records of one page apart.
const RECORD_SHOWN_CHARS: usize = 6;
/// Steps of policies that are shown.
const STEPS_MAX: usize = 100;
/// Destinations that are looked at for those that wait for TLS.
const DESTINATIONS_MAX: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    window: String,
}

impl Asked {
    fn window(&self) -> Window {
        Window::ALL.into_iter().find(|window| window.as_str() == self.window).unwrap_or_default()
    }
}

/// What was read of the log.
struct Posture {
    inbound: Trend,
    outbound: Trend,
    noted: Vec<Noted>,
}

pub(super) async fn page(State(site): State<Arc<Site>>, Query(asked): Query<Asked>) -> Response {
    let (now, window, config) = (clock::timestamp(), asked.window(), (site.config)());
    let posture = site.watch.look(|posture| Posture {
        inbound: posture.trend(true, window, now),
        outbound: posture.trend(false, window, now),
        noted: posture.noted().take(ROWS_MAX).cloned().collect(),
    });
    let posture = posture.await;
    let steps = site.passes.ask(Question::Stricter(config.digest.clone()), &config).await;
    let top = desk_queue::destinations(&site.desk, DESTINATIONS_MAX, Order::Count).await;
    let status = (site.desk.status)();
    let frame = Frame { title: "Overview", tab: Some(Tab::Overview), is_live: true };
    shown(&site, &frame, &body((window, now), &posture, &steps, (&config, &status, top.as_ref())))
}

fn body(
    (window, now): (Window, Timestamp),
    posture: &Seen<Posture>,
    steps: &Seen<Dated>,
    (config, status, top): (&Config, &Status, Option<&Top>),
) -> Markup {
    html! {
        h1.unseen { "Overview" }
        (choice(window))
        div.grid {
            @match posture {
                Seen::Ready(posture) => {
                    (part("in", "card", &charts::direction(true, &posture.inbound)))
                    (part("out", "card", &charts::direction(false, &posture.outbound)))
                    (part("stopped", "card wide", &stopped(&posture.noted)))
                }
                other => (part("in", "card wide", &unread(other)))
            }
            (part("stricter", "card wide", &stricter(steps)))
            (part("waits", "card", &waits_for_tls(top, now)))
            (part("queue", "card", &by_destination(top, now)))
            (part("dates", "card", &dates((config, status), now)))
            (part("learned", "card", &learned(status, now)))
        }
    }
}

fn choice(window: Window) -> Markup {
    html! {
        nav aria-label="Time" {
            ul.choice {
                @for one in Window::ALL {
                    @let current = (one == window).then_some("true");
                    li { a href=(format!("/?window={}", one.as_str())) aria-current=[current] {
                        "Last " (one.as_str())
                    } }
                }
            }
        }
    }
}

/// Mail that was not taken, or would not be.
fn stopped(noted: &[Noted]) -> Markup {
    html! {
        header { h2 { "Not taken, or would not be" } p.lead { "Newest first" } }
        @if noted.is_empty() { p.empty { "Nothing was refused, bounced or reported in the last month." } }
        @else {
            table.stack {
                thead { tr {
                    th scope="col" { "Time, UTC" } th scope="col" { "From" } th scope="col" { "To" }
                    th scope="col" { "Session" } th scope="col" { "Verdict" } th scope="col" { "Record" }
                } }
                tbody { @for one in noted { (stopped_row(one)) } }
            }
        }
    }
}

fn stopped_row(noted: &Noted) -> Markup {
    html! {
        tr {
            td.time { (words::record_time(&noted.time)) }
            td.name data-name="From" { (words::address(&noted.from)) }
            td.name data-name="To" { @match &noted.to { Some(to) => (words::address(to)), None => "not named yet" } }
            td data-name="Session" { (session(&noted.session)) }
            td data-name="Verdict" { (words::verdict(noted.verdict)) " " code { (noted.reason) } }
            td data-name="Record" {
                a href=(format!("/message/{}", noted.record)) {
                    @let end = noted.record.len().saturating_sub(RECORD_SHOWN_CHARS);
                    span aria-hidden="true" { (noted.record.get(end..).unwrap_or_default()) }
                    span.unseen { "record " (noted.record) }
                }
            }
        }
    }
}

fn session(label: &str) -> Markup {
    let (version, cipher) = label.split_once(' ').unwrap_or((label, ""));
    html! {
        @if label.is_empty() { "nothing was sent" }
        @else if version == "none" { "plaintext" }
        @else { strong { (version) } " " span.mono { (cipher) } }
    }
}

/// What each policy would ask for next, and what that would have cost.
fn stricter(steps: &Seen<Dated>) -> Markup {
    html! {
        header {
            h2 { "One step stricter" }
            p.lead { "What the next step of each policy would have stopped in the last 30 days" }
        }
        @match steps {
            Seen::Ready(Dated { found, at }) => {
                @if let Found::Stricter(costs) = &**found { (step_table(costs)) }
                p.lead { "Read from the audit log up to " (crate::model::human::second(*at)) "." }
            }
            other => (unread(other))
        }
    }
}

/// Those that would have stopped mail, most first; the others behind a fold.
fn step_table(costs: &[StepCost]) -> Markup {
    let (mut hit, free): (Vec<&StepCost>, Vec<&StepCost>) = costs.iter().partition(|one| one.cost.hit > 0);
    hit.sort_by_key(|one| std::cmp::Reverse(one.cost.hit));
    html! {
        @if costs.is_empty() { p.empty { "Every policy is as strict as it can be." } }
        @if !hit.is_empty() { (step_rows(&hit)) }
        @if !free.is_empty() {
            details {
                summary { (counted(free.len(), "step")) " that would have stopped nothing" }
                (step_rows(&free))
            }
        }
    }
}

fn step_rows(costs: &[&StepCost]) -> Markup {
    html! {
        table.stack {
            thead { tr {
                th scope="col" { "Policy" } th scope="col" { "Mail" } th scope="col" { "Next step" }
                th.number scope="col" { "Messages" } th.number scope="col" { "Stopped" }
                th scope="col" { "Who" }
            } }
            tbody { @for one in costs.iter().take(STEPS_MAX) { (step_row(one)) } }
        }
        @if costs.len() > STEPS_MAX { p { "and " (number(costs.len() - STEPS_MAX)) " more" } }
    }
}

fn step_row(StepCost { step, cost }: &StepCost) -> Markup {
    let side = if step.is_inbound { "in" } else { "out" };
    let mut partners: Vec<&str> = cost.partners.iter().map(|partner| &**partner).collect();
    partners.sort_unstable();
    html! {
        tr {
            th scope="row" { @if step.file.is_empty() { "default" } @else { code { (step.file) } } }
            td data-name="Mail" { (side) }
            td data-name="Next step" { code { (step.setting) } }
            td.number data-name="Messages" { (number(cost.messages)) }
            td.number data-name="Stopped" {
                @if cost.messages == 0 { "no mail" }
                @else if cost.hit == 0 { span.tag.good { "none" } }
                @else { strong { (number(cost.hit)) } " (" (share(cost.hit, cost.messages)) ")" }
            }
            td data-name="Who" {
                @for (place, partner) in partners.iter().take(3).enumerate() {
                    @if place > 0 { ", " }
                    @if *partner == "<>" { "bounces" } @else { (words::partner(partner)) }
                }
                @if partners.len() > 3 { " and " (number(partners.len() - 3)) " more" }
            }
        }
    }
}

/// Destinations whose last try failed for want of TLS.
fn waits_for_tls(top: Option<&Top>, now: Timestamp) -> Markup {
    let lacks = |view: &&DestinationView| view.last.as_ref().is_some_and(|last| Reason::is_outbound_tls(last.reason));
    let waits = |view: &&DestinationView| view.ready + view.waiting + view.held > 0;
    let found: Vec<&DestinationView> =
        top.into_iter().flat_map(|top| &top.overview.destinations).filter(waits).filter(lacks).collect();
    html! {
        header { h2 { "Waiting for TLS" } p.lead { (counted(found.len(), "destination")) } }
        @if top.is_none() { p.empty { "The dispatcher does not answer." } }
        @else if found.is_empty() { p.empty { "No mail waits for TLS." } }
        @else {
            table.stack {
                thead { tr {
                    th scope="col" { "Destination" } th.number scope="col" { "Waiting" } th scope="col" { "Oldest" }
                    th scope="col" { "Why" }
                } }
                tbody { @for view in found.iter().take(ROWS_MAX) {
                    tr {
                        th.name scope="row" { (queue::destination(view)) }
                        td.number data-name="Waiting" { (number(view.ready + view.waiting + view.held)) }
                        td.time data-name="Oldest" { @if let Some(oldest) = view.oldest { (words::ago(oldest, now)) } }
                        td data-name="Why" {
                            @if let Some(last) = &view.last {
                                code { (last.reason) } @if let Some(mx) = &last.mx { " at " (words::peer(mx)) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn by_destination(top: Option<&Top>, now: Timestamp) -> Markup {
    html! {
        header {
            h2 { "Queue" }
            @if let Some(top) = top {
                p.lead { a href="/queue" { (counted(top.messages, "message")) ", "
                    (counted(top.overview.destination_count, "destination")) } }
            }
        }
        @match top {
            None => p.empty { "The dispatcher does not answer." },
            Some(top) if top.overview.destinations.is_empty() => p.empty { "Nothing waits." },
            Some(top) => (queue::destination_table(&top.overview.destinations, ROWS_MAX, now))
        }
    }
}

/// Certificates and exceptions by the day on which they end.
fn dates((config, status): (&Config, &Status), now: Timestamp) -> Markup {
    let mut exceptions: Vec<_> = config.policies.exceptions().collect();
    exceptions.sort_by_key(|terms| terms.expires);
    html! {
        header { h2 { "What ends" } }
        h3 { "Certificates" }
        @if status.certificates.is_empty() { p.empty { "None is in use." } }
        @else { table.stack {
            thead { tr { th scope="col" { "Name" } th scope="col" { "Key" } th scope="col" { "Ends" } } }
            tbody { @for one in &status.certificates { (certificate(one, now)) } }
        } }
        h3 { "Exceptions" }
        @if exceptions.is_empty() { p.empty { "No policy has any." } }
        @else { table.stack {
            thead { tr { th scope="col" { "Rule" } th scope="col" { "Why, and whose" } th scope="col" { "Ends" } } }
            tbody { @for terms in exceptions.iter().take(ROWS_MAX) {
                tr {
                    th scope="row" { code { (terms.source) } }
                    td { (terms.reason) ", " (terms.owner) }
                    td { (expiry(terms.expires, now)) }
                }
            } }
        } }
        @if let Some(next) = &status.policy.next_change {
            h3 { "Next change by date" }
            p { (next.at.brief()) ": " (next.kind) " of " code { (next.rule) } }
        }
    }
}

fn certificate(one: &CertificateStatus, now: Timestamp) -> Markup {
    html! {
        tr {
            th.name scope="row" { (words::peer(&one.name)) }
            td data-name="Key" {
                (one.key) @if one.stack != "any" { " (" (one.stack) ")" }
                @for problem in &one.problems { br; span.tag.bad { "not in use" } " " (problem) }
            }
            td data-name="Ends" { (expiry(one.not_after, now)) }
        }
    }
}

/// What destinations have shown, and what is wrong with them or with our own path.
fn learned(status: &Status, now: Timestamp) -> Markup {
    let destinations = &status.destinations;
    html! {
        header { h2 { "Learned TLS" } }
        dl.numbers {
            div { dt { "held to encrypt" } dd { (number(destinations.encrypt)) } }
            div { dt { "held to verify" } dd { (number(destinations.verify)) } }
            div.(if destinations.alarm_count > 0 { "bad" } else { "" }) {
                dt { "in alarm" } dd { (number(destinations.alarm_count)) }
            }
        }
        @for alarm in &destinations.alarms {
            p { span.tag.bad { "alarm" } " " (words::partner(alarm.domain.as_str())) " lacks what it has shown, since "
                (words::ago(alarm.since, now)) "." }
        }
        h3 { "Our own path" }
        @match &destinations.interference {
            None => p { span.tag.good { "not suspected" } },
            Some(suspicion) => p {
                span.tag.bad { "suspected" } " since " (words::ago(suspicion.since, now)) ": "
                (number(suspicion.count)) " destinations have lost TLS at once."
            }
        }
        h3 { "Audit log" }
        @match &status.audit.checkpoint {
            Some(checkpoint) => p { "Signed up to record " (number(checkpoint.seq)) ", "
                (words::ago(checkpoint.time, now)) "." },
            None => p.empty { "No checkpoint yet." }
        }
        @if let Some(fault) = &status.audit.fault { p { span.tag.bad { "fault" } " " (fault) } }
    }
}
