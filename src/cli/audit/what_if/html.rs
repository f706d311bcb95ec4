//! The answer as one page for people who were not there, on a screen and on paper.

use maud::{Markup, html};

use crate::audit::what_if::{By, Group, Outcome, Subject};
use crate::model::human::{count, peer, second, shown, thousands};

use super::super::origin::Origin;
use super::super::paper::{self, Question};
use super::answer::{clients, sessions};
use super::page::{PLAINTEXT, notes, sentence, subject};
use super::{Answered, changed};

/// Networks of clients that are named in one group.
const CLIENTS_SHOWN_MAX: usize = 8;
const COLUMNS: usize = 5;

pub(super) fn page(answered: &Answered<'_>, origin: &Origin) -> String {
    let whose = match answered.whose.as_str() {
        "" => String::new(),
        whose => format!(" for {whose}"),
    };
    let title = format!("What another setting would mean{whose}");
    let span = answered.asked.span.in_words(answered.span);
    let subject = subject(answered, answered.totals.messages);
    let lead = format!("{subject} {span} (UTC), put to the policy engine under this setting: {}", answered.change);
    let notes = notes(answered);
    let body = html! {
        section.card {
            header { h2 { "The answer" } }
            p.answer { (sentence(answered)) }
            (numbers(answered))
            dl.facts {
                dt { "Setting" } dd { code { (answered.change) } }
                @for one in &answered.overruled { dt { "Overrules" } dd { (changed::overruled(one)) } }
                dt { "Judged as of" } dd { (second(answered.at)) }
                (paper::facts(answered.span, origin))
            }
        }
        @if !answered.groups.is_empty() { (groups(answered)) }
        @if !notes.is_empty() {
            section.card {
                header { h2 { "What stays as it is, and what is not known" } }
                ul { @for note in &notes { li { (shown(note)) } } }
            }
        }
    };
    paper::page(Question { title: &title, lead: &lead }, (answered.span, &answered.met, origin), &body)
}

fn numbers(answered: &Answered<'_>) -> Markup {
    let figure = |outcome: Outcome| {
        let (what, class) = match outcome {
            Outcome::Refused => ("would be refused", "bad"),
            Outcome::Deferred => ("would be deferred", "bad"),
            Outcome::Reported => ("would be reported", "odd"),
            Outcome::Accepted => ("would be accepted", ""),
            Outcome::Unknown => ("cannot be judged", "odd"),
            Outcome::Unchanged => ("answered as before", ""),
        };
        let number = answered.count(outcome);
        let class = if number > 0 { class } else { "" };
        html! { div.(class) { dt { (what) } dd { (thousands(number)) } } }
    };
    html! {
        dl.numbers {
            @for outcome in Outcome::HITS.into_iter().chain([Outcome::Unchanged, Outcome::Unknown]) {
                @let is_asked_for = matches!(outcome, Outcome::Refused | Outcome::Unchanged);
                @if is_asked_for || answered.count(outcome) > 0 { (figure(outcome)) }
            }
        }
    }
}

fn groups(answered: &Answered<'_>) -> Markup {
    let first = match answered.by {
        By::Sender => "Sender",
        By::Client => "Client",
        By::Destination => "Destination",
        By::Tls => "Session",
    };
    let (omitted, messages) = answered.omitted;
    html! {
        section.card {
            header { h2 { "Who that is" } }
            table.stack {
                thead { tr {
                    th scope="col" { (first) } th.number scope="col" { "Messages" } th scope="col" { "Would be" }
                    th scope="col" { "Reason" } th.time scope="col" { "Last seen" }
                } }
                @for (subject, group) in &answered.groups { (row(answered.by, subject, group)) }
            }
            @if omitted > 0 {
                p {
                    "And " (count(omitted, "more group")) " with " (count(messages, "message"))
                    ": --limit 0 lists all."
                }
            }
            @if answered.totals.others > 0 {
                p { "And " (count(answered.totals.others, "message")) " of others, too many to tell apart." }
            }
        }
    }
}

/// A group in two rows that stay together: what would happen, and the details.
fn row(by: By, subject: &Subject, group: &Group) -> Markup {
    let (class, end) = match (subject.outcome, subject.is_inbound) {
        (Outcome::Refused, true) => ("bad", "refused"),
        (Outcome::Refused, false) => ("bad", "bounced"),
        (Outcome::Deferred, _) => ("bad", "deferred"),
        (Outcome::Reported, _) => ("odd", "reported"),
        (Outcome::Accepted | Outcome::Unknown | Outcome::Unchanged, _) => ("good", "accepted"),
    };
    let name = match &*subject.name {
        "none" => "plaintext".into(),
        "<>" => "<> (the null sender)".into(),
        name => peer(name),
    };
    html! {
        tbody.whole {
            tr {
                th scope="row" { (name) }
                td.number data-name="Messages" { (thousands(group.messages)) }
                td data-name="Would be" { span.tag.(class) { (end) } }
                td data-name="Reason" { code { (subject.reason) } }
                td.time data-name="Last seen" { (shown(group.last_seen.get(..10).unwrap_or_default())) }
            }
            tr { td.about colspan=(COLUMNS) { (about(by, subject, group)) } }
        }
    }
}

fn about(by: By, subject: &Subject, group: &Group) -> Markup {
    html! {
        dl.about {
            @if by != By::Tls { (part("Sessions", &shown(&sessions(group).replace(PLAINTEXT, "plaintext (")))) }
            @if by != By::Client {
                (part(if subject.is_inbound { "From" } else { "Brought by" }, &clients(group, CLIENTS_SHOWN_MAX)))
            }
            (part("Rule", &shown(&group.rule.to_string())))
            @if let Some(exception) = &group.exception { (part("Exception", &shown(&exception.to_string()))) }
            @if let Some(reply) = &group.reply { div.row { dt { "Reply" } dd { code { (shown(reply)) } } } }
            div.row { dt { "Example" } dd {
                "record " code { (shown(&group.example)) }
                @if let Some(message) = &group.example_message { ", message " code { (shown(message)) } }
            } }
        }
    }
}

fn part(name: &str, text: &str) -> Markup {
    html! { div { dt { (name) } dd { (text) } } }
}
