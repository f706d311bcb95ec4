//! What every page about the log has around it: whose log this is, when it was read, and what it proves.

use maud::{Markup, html};

use crate::audit::pass::{Met, Span};
use crate::model::human::{count, second, shown, thousands};
use crate::page::document::self_contained;

use super::origin::Origin;
use super::reading::left_open;

const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// The title, and what is asked in a sentence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) title: &'a str,
    pub(super) lead: &'a str,
}

/// The whole page, one file. What comes from the log is escaped where it is put into `body`.
pub(super) fn page(question: Question<'_>, (span, met, origin): (Span, &Met, &Origin), body: &Markup) -> String {
    let notes = left_open(met, span.from);
    let whole = html! {
        div.paper {
            header.head { div.inner { div.who {
                span.brand { "Gatepost" }
                @if let Some(host) = &origin.host { span.host { (shown(host)) } }
            } } }
            main {
                h1 { (question.title) }
                p.lead { (question.lead) }
                @if !notes.is_empty() { div.note.odd { @for note in &notes { p { (shown(note)) } } } }
                (body)
                (rests_on(met, origin))
            }
            footer.foot { p {
                "Made " time datetime=(origin.at) { (second(origin.at)) } " by Gatepost " (RELEASE)
                ". All times are UTC."
            } }
        }
    };
    let title = match &origin.host {
        Some(host) => format!("{} - {} - Gatepost", question.title, shown(host)),
        None => format!("{} - Gatepost", question.title),
    };
    self_contained(&title, &whole).into_string() + "\n"
}

/// The rows that say when, where and by what, for the list of facts.
pub(super) fn facts(span: Span, origin: &Origin) -> Markup {
    let node = origin.checkpoint.as_ref().map(|checkpoint| shown(&checkpoint.node));
    html! {
        dt { "Time" } dd { (second(span.from)) " up to " (second(span.until)) }
        @if let Some(host) = &origin.host { dt { "Mail host" } dd { (shown(host)) } }
        @if let Some(node) = node { dt { "Node" } dd { (node) } }
        dt { "Made" } dd { (second(origin.at)) ", Gatepost " (RELEASE) }
    }
}

/// What was read, and how somebody else finds out if it is whole.
fn rests_on(met: &Met, origin: &Origin) -> Markup {
    let segments = match origin.segments.as_slice() {
        [only] => format!("segment {only:08}"),
        [first, .., last] => format!("{} ({first:08} to {last:08})", count(origin.segments.len(), "segment")),
        [] => "no segment".to_owned(),
    };
    html! {
        section.card {
            header { h2 { "What this rests on" } }
            p {
                "Read from the audit log: " (segments) ", " (count(met.lines, "line")) ", of which "
                (count(met.records, "record")) " of transactions and deliveries lie in this time."
            }
            p {
                "Each line of the log carries the hash of the line before it, and checkpoints in it are signed, so "
                "that changes afterwards are found. Counting did not check that. Whoever has the log does, with the "
                "key that was kept since the day of installation:"
            }
            pre tabindex="0" { code { "gatepost audit verify --key ed25519:KEY" } }
            @match &origin.checkpoint {
                Some(checkpoint) => {
                    p {
                        "The newest checkpoint in the log when it was read, to be compared with one that was held "
                        "elsewhere:"
                    }
                    dl.facts {
                        dt { "Line" } dd { (thousands(checkpoint.seq)) " of " (second(checkpoint.time)) }
                        dt { "SHA-256 of it" } dd { code { (checkpoint.hash) } }
                        dt { "Names the key" } dd { code { (checkpoint.statement.key) } }
                    }
                }
                None => { p { "There is no checkpoint in the log: nothing vouches for it yet." } }
            }
            h3 { "What it does not say" }
            ul {
                li { "What a next hop did with a message after it took it." }
                li { "Whether the lines behind the newest checkpoint are whole: the next one says that." }
                li { "What happened while the mail host did not run, or where the log itself tells of a gap." }
            }
        }
    }
}

/// What holds for every such page; gives it without its style.
#[cfg(test)]
pub(super) fn check_page(page: &str) -> String {
    let (head, rest) = page.split_once("<style>").unwrap();
    let (style, body) = rest.split_once("</style>").unwrap();
    assert!(head.starts_with("<!DOCTYPE html>") && head.contains("default-src 'none'"), "{head}");
    let whole = format!("{head}{body}");
    for loaded in
        ["<script", "<link", "<iframe", "<object", " src=\"", " href=", "http:", "https:", " style=", " onerror=\""]
    {
        assert!(!whole.contains(loaded), "{loaded}: {whole}");
    }
    for loaded in ["@import", "url(", "@font-face"] {
        assert!(!style.contains(loaded), "{loaded}");
    }
    let is_seen = |c: char| c == '\n' || crate::model::human::shown(c.encode_utf8(&mut [0; 4])) == c.to_string();
    assert!(whole.chars().all(is_seen), "{whole}");
    assert_eq!(whole.matches("<h1>").count(), 1, "{whole}");
    whole
}
