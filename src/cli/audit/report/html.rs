//! The report as one page for people who were not there, on a screen and on paper.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use maud::{Markup, html};

use crate::audit::report::{Period, Sums};
use crate::model::human::{shown, thousands};
use crate::model::time::Timestamp;
use crate::model::tls::ProtocolVersion;
use crate::page::chart::{Column, Columns, Parts, bar, present};
use crate::page::shade::Shade;

use super::super::origin::Origin;
use super::super::paper::{self, Question};
use super::super::share::share;
use super::Answered;
use super::answer::{kinds, total};
use super::page::{headline, in_words};

const DAY: Duration = Duration::from_secs(86_400);
/// More columns than this cannot be told apart.
const COLUMNS_MAX: usize = 400;

pub(super) fn page(answered: &Answered<'_>, origin: &Origin) -> String {
    let asked = answered.asked;
    let span = asked.span.in_words(answered.span);
    let title = title(answered);
    let lead = format!("By TLS version, cipher and certificate, with what was refused, {span} (UTC).");
    let body = html! {
        section.card { dl.facts {
            dt { "Mail" } dd { (whose(answered)) }
            (paper::facts(answered.span, origin))
        } }
        @if asked.direction.inbound() { (direction(answered, true)) }
        @if asked.direction.outbound() { (direction(answered, false)) }
        (words(answered))
    };
    paper::page(Question { title: &title, lead: &lead }, (answered.span, &answered.met, origin), &body)
}

fn title(answered: &Answered<'_>) -> String {
    let (way, word) = match (answered.asked.direction.inbound(), answered.asked.direction.outbound()) {
        (true, true) => ("mail in and out", "mail from and to"),
        (true, false) => ("mail in", "mail from"),
        (false, _) => ("mail out", "mail to"),
    };
    match &answered.asked.partner {
        Some(partner) => format!("Encryption of {word} {partner}"),
        None => format!("Encryption of {way}"),
    }
}

fn whose(answered: &Answered<'_>) -> Markup {
    html! {
        @match &answered.asked.partner {
            Some(partner) if answered.asked.below => { (partner) " and the domains below it" }
            Some(partner) => { (partner) ", without the domains below it" }
            None => { "all domains" }
        }
    }
}

fn parts(sums: &Sums) -> Parts {
    let versions = sums.versions.iter().map(|(version, count)| (Shade::Version(*version), *count));
    versions.chain([(Shade::Plaintext, sums.plaintext)]).collect()
}

fn sum(counts: &BTreeMap<Box<str>, u64>) -> u64 {
    counts.values().sum()
}

/// How what did not go is called: stopped, put off, let through for the time being.
const fn ends(is_inbound: bool) -> [(&'static str, &'static str); 3] {
    match is_inbound {
        true => [("refused", "Refused"), ("deferred", "Deferred"), ("would_refuse", "Would be refused")],
        false => [("refused", "Bounced"), ("deferred", "Tries that failed"), ("would_refuse", "Would be refused")],
    }
}

fn direction(answered: &Answered<'_>, is_inbound: bool) -> Markup {
    let periods = if is_inbound { &answered.sums.inbound } else { &answered.sums.outbound };
    let total = total(periods);
    let kinds: BTreeMap<_, _> = kinds(&total).into_iter().collect();
    let rows = |kind: &str| kinds.get(kind).map(Vec::as_slice).unwrap_or_default();
    let certificate = if is_inbound { "Certificate of the client" } else { "Certificate of the next hop" };
    html! {
        section.card {
            header { h2 { (if is_inbound { "Mail in" } else { "Mail out" }) } }
            p { (headline(answered, is_inbound, &total)) }
            (numbers(&total, is_inbound))
            @if total.messages > 0 {
                (bar(&parts(&total)))
                (columns(answered, is_inbound, periods))
                div.grid {
                    div.part { (versions(&total)) }
                    div.part { (shares("Cipher", "grade", rows("grade"), total.messages)) }
                    div.part { (shares(certificate, "identity", rows("identity"), total.messages)) }
                }
            }
            div.grid {
                @for (kind, title) in ends(is_inbound) {
                    @if !rows(kind).is_empty() { div.part { (reasons(title, rows(kind))) } }
                }
            }
            @if !periods.is_empty() { (trend(answered.period, is_inbound, periods, &total)) }
        }
    }
}

/// The whole in a line.
fn numbers(total: &Sums, is_inbound: bool) -> Markup {
    let figure = |text: String, what: &str, class: &str| html! { div.(class) { dt { (what) } dd { (text) } } };
    let encrypted = total.messages.saturating_sub(total.plaintext);
    let stopped = |count: u64, what: &str, class| figure(thousands(count), what, if count > 0 { class } else { "" });
    html! {
        dl.numbers {
            (figure(thousands(total.messages), if is_inbound { "accepted" } else { "delivered" }, ""))
            @if total.messages > 0 { (figure(share(encrypted, total.messages), "over TLS", "")) }
            (stopped(sum(&total.refused), if is_inbound { "refused" } else { "bounced" }, "bad"))
            (stopped(sum(&total.deferred), if is_inbound { "deferred" } else { "tries that failed" }, "odd"))
            @if is_inbound { (stopped(sum(&total.reported), "would be refused", "odd")) }
        }
    }
}

/// The table to the bar: its swatches are the key to the colours.
fn versions(total: &Sums) -> Markup {
    html! {
        h3 { "TLS version" }
        table {
            thead { tr {
                th scope="col" { "Version" } th.number scope="col" { "Messages" } th.number scope="col" { "Share" }
            } }
            tbody { @for (shade, count) in present(&parts(total)) {
                tr {
                    th scope="row" { span.swatch.(shade.class()) {} (shade.name()) }
                    td.number { (thousands(count)) } td.number { (share(count, total.messages)) }
                }
            } }
        }
    }
}

fn shares(title: &str, kind: &str, rows: &[(&str, u64)], messages: u64) -> Markup {
    html! {
        h3 { (title) }
        table {
            thead { tr {
                th scope="col" { (if kind == "grade" { "Grade" } else { "Verified by" }) }
                th.number scope="col" { "Messages" } th.number scope="col" { "Share" }
            } }
            tbody { @for (name, count) in rows.iter().filter(|(_, count)| *count > 0) {
                tr {
                    th scope="row" { (on_paper(kind, name)) }
                    td.number { (thousands(*count)) } td.number { (share(*count, messages)) }
                }
            } }
        }
    }
}

fn on_paper<'a>(kind: &str, name: &'a str) -> &'a str {
    match (kind, name) {
        ("identity", "webpki") => "trusted authority",
        ("identity", "dane") => "DANE",
        ("identity", "none") => "not verified",
        _ => in_words(kind, name),
    }
}

fn reasons(title: &str, rows: &[(&str, u64)]) -> Markup {
    html! {
        h3 { (title) ", by reason" }
        table {
            thead { tr { th scope="col" { "Reason" } th.number scope="col" { "Times" } } }
            tbody { @for (reason, count) in rows {
                tr { th scope="row" { code { (shown(reason)) } } td.number { (thousands(*count)) } }
            } }
        }
    }
}

/// Columns for every period of the span, those in which nothing happened too.
fn columns(answered: &Answered<'_>, is_inbound: bool, periods: &BTreeMap<Box<str>, Sums>) -> Markup {
    let begins = answered.met.begins.as_deref().and_then(|begins| begins.parse().ok());
    let from = begins.map_or(answered.span.from, |begins: Timestamp| begins.max(answered.span.from));
    let mut names = steps(answered.period, from, answered.span.until);
    names.extend(periods.keys().cloned());
    let column = |name: &str| Column {
        name: shown(name).into_owned(),
        tick: shown(name).into_owned(),
        parts: periods.get(name).map(parts).unwrap_or_default(),
    };
    let drawn: Vec<Column> = names.iter().map(|name| column(name)).collect();
    let verb = if is_inbound { "accepted" } else { "delivered" };
    let title = format!("Messages {verb} by {}, coloured by TLS version", answered.period.as_str());
    html! {
        @if drawn.len() > COLUMNS_MAX {
            p.empty { (thousands(u64::try_from(drawn.len()).unwrap_or(u64::MAX))) " periods are too many to draw." }
        } @else if drawn.len() > 1 {
            (Columns { title: &title, columns: &drawn, number: thousands }.draw_alone())
        }
    }
}

/// The periods between two moments, no more than can be drawn and one.
fn steps(period: Period, from: Timestamp, until: Timestamp) -> BTreeSet<Box<str>> {
    let mut names = BTreeSet::new();
    let mut at = from;
    while at < until && names.len() <= COLUMNS_MAX {
        names.insert(period.of(&at.to_string()));
        at = at + DAY;
    }
    // The last step may have gone over the beginning of the last period.
    if names.len() <= COLUMNS_MAX && from < until {
        names.insert(period.of(&(until - Duration::from_micros(1)).to_string()));
    }
    names
}

fn trend(period: Period, is_inbound: bool, periods: &BTreeMap<Box<str>, Sums>, total: &Sums) -> Markup {
    let [stopped, deferred, reported] = ends(is_inbound).map(|(_, title)| title);
    let first = match period {
        Period::Month => "Month",
        Period::Week => "Week from",
        Period::Minute | Period::Hour | Period::Day => "Day",
    };
    let names =
        ["Messages", "TLSv1.3", "TLSv1.2", "Older", "Plaintext", stopped, if is_inbound { reported } else { deferred }];
    let row = |name: &str, sums: &Sums, class: &str| {
        html! {
            tr.(class) {
                th.time scope="row" { (shown(name)) }
                @for (title, text) in names.iter().zip(cells(sums, is_inbound)) {
                    td.number data-name=(title) { (text) }
                }
            }
        }
    };
    html! {
        h3 { "By " (period.as_str()) }
        table.stack.trend {
            thead { tr { th scope="col" { (first) } @for name in names { th.number scope="col" { (name) } } } }
            tbody {
                @for (name, sums) in periods { (row(name, sums, "")) }
                @if periods.len() > 1 { (row("all", total, "sum")) }
            }
        }
    }
}

fn cells(sums: &Sums, is_inbound: bool) -> [String; 7] {
    let of = |version| sums.versions.get(&version).copied().unwrap_or_default();
    let (newest, usual) = (of(ProtocolVersion::Tls1_3), of(ProtocolVersion::Tls1_2));
    let older = sums.versions.values().sum::<u64>().saturating_sub(newest + usual);
    let part = |count| if sums.messages == 0 { "-".to_owned() } else { share(count, sums.messages) };
    let beside = if is_inbound { sum(&sums.reported) } else { sum(&sums.deferred) };
    let numbers = [thousands(sums.messages), thousands(sum(&sums.refused)), thousands(beside)];
    let [messages, refused, beside] = numbers;
    [messages, part(newest), part(usual), part(older), part(sums.plaintext), refused, beside]
}

/// What the words mean that not everybody knows.
fn words(answered: &Answered<'_>) -> Markup {
    let asked = answered.asked.direction;
    html! {
        section.card {
            header { h2 { "Words" } }
            dl.facts {
                @if asked.inbound() {
                    dt { "accepted" } dd { "Taken with a 250 reply. A message to several recipients counts once." }
                    dt { "refused" }
                    dd {
                        "Answered with a 5xx reply. Each try counts, and mail that is sent again over better TLS "
                        "counts as accepted then."
                    }
                    dt { "deferred" } dd { "Answered with a 4xx reply: the sender tries again." }
                    dt { "would be refused" }
                    dd { "Accepted, though the policy asks for more: it only reports so far." }
                }
                @if asked.outbound() {
                    dt { "delivered" } dd { "Taken by the next hop, with what the session to it had." }
                    dt { "bounced" } dd { "Given up; the sender was told." }
                    dt { "tries that failed" } dd { "Each counts. The message waits and is tried again." }
                }
                dt { "plaintext" } dd { "Without TLS." }
                dt { "older" } dd { "TLSv1.1, TLSv1 and SSLv3." }
                dt { "aead" } dd { "Forward secret, and the cipher authenticates what it encrypts." }
                dt { "forward-secret" }
                dd { "Strong, and who gets hold of the certificate's key later cannot read what was sent." }
                dt { "strong" } dd { "A cipher of at least 128 bits, neither RC4 nor 3DES." }
                dt { "verified by" }
                dd {
                    "How it is known who the other side was: by an authority that is trusted, by DANE (TLSA records "
                    "under DNSSEC), or by a fingerprint that is configured. A TLS session that is not verified is "
                    "encrypted all the same."
                }
            }
        }
    }
}
