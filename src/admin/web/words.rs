//! Words and small forms that several pages share.

use std::time::Duration;

use maud::{Markup, html};

use crate::model::human::{count, shown, span, thousands};
use crate::model::time::Timestamp;

/// `3h ago`.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(now.saturating_since(at)))
}

/// `in 3d`, or `3d ago`.
pub(super) fn until(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("in {}", span(at.saturating_since(now))) } else { ago(at, now) }
}

/// A moment of a record, to the second: `2027-01-02 03:04:05`.
pub(super) fn record_time(text: &str) -> Markup {
    let brief = text.get(..19).unwrap_or(text).replacen('T', " ", 1);
    html! { time datetime=(text) { (brief) } }
}

/// An address or a name of a peer.
pub(super) fn peer(text: &str) -> Markup {
    html! { (shown(text)) }
}

/// Links to the page of the address's domain.
pub(super) fn address(text: &str) -> Markup {
    match text.rsplit_once('@') {
        Some((local, domain)) if !domain.is_empty() => html! {
            (shown(local)) "@" (partner(domain))
        },
        _ if text.is_empty() => html! { "<>" span.unseen { " (null sender)" } },
        _ => peer(text),
    }
}

/// Links to the page of a domain.
pub(super) fn partner(domain: &str) -> Markup {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    html! {
        @if domain.bytes().all(is_plain) { a href=(format!("/partner/{}", domain.to_ascii_lowercase())) { (domain) } }
        @else { (shown(domain)) }
    }
}

/// The head of a table of texts.
pub(super) fn columns(names: &[&str]) -> Markup {
    html! { thead { tr { @for name in names { th scope="col" { (name) } } } } }
}

/// A verdict or an event, with its class.
pub(super) fn verdict(word: &str) -> Markup {
    let class = match word {
        "accept" | "accepted" | "delivered" | "deliver" | "inbound.accepted" | "outbound.delivered" => "good",
        "refuse" | "refused" | "bounced" | "bounce" | "inbound.refused" | "outbound.bounced" => "bad",
        "defer" | "deferred" | "would_refuse" | "outbound.deferred" | "outbound.rerouted" | "no_session" => "odd",
        _ => "",
    };
    html! { span.tag.(class) { (word.replace('_', " ")) } }
}

pub(super) fn number(count: impl TryInto<u64>) -> String {
    thousands(count.try_into().unwrap_or(u64::MAX))
}

/// `1 message`, `12,345 messages`.
pub(super) fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    count(number, noun)
}

/// How soon a date is near enough to say so.
pub(super) const SOON: Duration = Duration::from_secs(14 * 86_400);

/// A date with a word where it is near or over.
pub(super) fn expiry(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        (at.day()) " "
        @if at <= now { span.tag.bad { "expired" } }
        @else if at.saturating_since(now) < SOON { span.tag.odd { (until(at, now)) } }
        @else { (until(at, now)) }
    }
}
