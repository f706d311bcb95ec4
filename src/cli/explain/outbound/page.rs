//! The explanation for people: the verdict, where the mail goes, what a session must meet, and what others get.

use anstyle::Style;

use crate::cli::explain::page::policies;
use crate::cli::human::labelled;
use crate::cli::output::{BAD, BOLD, DIM, GOOD, ODD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::explain::outbound::facts::HostFact;
use crate::explain::outbound::headline::{self, word};
use crate::explain::outbound::in_force::rows;
use crate::explain::outbound::notice;
use crate::explain::outbound::question::{Played, Shown};
use crate::explain::outbound::{Compared, Explained};
use crate::explain::set_by::SetBy;
use crate::model::human::{second, shown, wrap};
use crate::policy::delivery::DeliveryVerdict;
use crate::policy::host_requirement::{Evidence, Proof};
use crate::policy::in_force::Because;
use crate::policy::outbound::NextHop;
use crate::policy::provenance::{Coming, Keys as _};
use crate::policy::settings::{OutboundTls, Source};

const INDENT: &str = "  ";
/// `on_tls_failure`, the longest key.
const KEY_COLUMNS: usize = 14;
/// Changes to come that are listed.
const CHANGES_MAX: usize = 12;

/// Ends with a line end.
pub(super) fn page(explained: &Explained<'_>) -> String {
    let mut page = headline(explained);
    page.push(String::new());
    for (label, text) in circumstances(explained) {
        page.extend(labelled(label, &text));
    }
    page.extend(next_hop(explained));
    page.extend(sessions_asked(explained));
    page.extend(requirement(explained));
    page.extend(sessions(explained));
    page.extend(to_come(explained));
    page.extend(told(explained));
    page.extend(notes(explained));
    page.push(String::new());
    page.join("\n")
}

/// What the session was held against, for a page that says more than this.
pub(in crate::cli) fn short(explained: &Explained<'_>) -> Vec<String> {
    let mut page = requirement(explained).split_off(1);
    let assumed = explained.asked.iter().filter(|played| played.shown_is_assumed);
    for shown in assumed.filter_map(|played| played.shown.as_ref()) {
        let note = format!(
            "Note: the host is assumed to show a certificate: {}; certificate = \"...\" in the case \
                            says otherwise.",
            shown.in_words()
        );
        page.push(String::new());
        page.extend(wrap(&note, WIDTH_COLUMNS));
    }
    page.extend(notes(explained));
    page
}

fn headline(explained: &Explained<'_>) -> Vec<String> {
    let style = tone(explained);
    wrap(&headline::headline(explained), WIDTH_COLUMNS)
        .into_iter()
        .map(|line| format!("{style}{line}{style:#}"))
        .collect()
}

/// Of the first words.
fn tone(explained: &Explained<'_>) -> Style {
    match (explained.verdict(), &explained.facts.failure) {
        (Some(end), _) => style(end.verdict),
        (None, Some(_)) => ODD,
        (None, None) => BOLD,
    }
}

const fn style(verdict: DeliveryVerdict) -> Style {
    match verdict {
        DeliveryVerdict::Deliver => GOOD,
        DeliveryVerdict::Defer | DeliveryVerdict::Unknown => ODD,
        DeliveryVerdict::Bounce => BAD,
    }
}

fn circumstances(explained: &Explained<'_>) -> Vec<(&'static str, String)> {
    let question = &explained.question;
    let from = question.from.mailbox().map_or("<>, the null sender of bounces", |address| address.as_str());
    let mut rows = vec![("from", from.to_owned()), ("to", question.to.to_string())];
    rows.extend(question.client.map(|ip| ("client", format!("{ip}, which brought the message"))));
    if let Some(played) = explained.asked.first() {
        let session = match &played.tls {
            Some(facts) => format!("{facts} ({}, {} bits)", facts.grade(), facts.bits),
            None => "plaintext".to_owned(),
        };
        rows.push(("session", session));
        let assumed = if played.shown_is_assumed { " (assumed; --certificate names another)" } else { "" };
        let shows = |shown: &Shown| ("shows", format!("a certificate: {}{assumed}", shown.in_words()));
        rows.extend(played.shown.as_ref().map(shows));
    }
    rows.extend((!question.at_is_assumed).then(|| ("at", second(question.at))));
    rows
}

fn next_hop(explained: &Explained<'_>) -> Vec<String> {
    let Explained { question, decision, facts, looked_up, .. } = explained;
    let whose = question.to.domain().map_or_else(|| question.to.host().to_string(), ToString::to_string);
    let known = if *looked_up { "looked up now" } else { "given by --facts" };
    let way = match &decision.next_hop {
        NextHop::Route(route) => format!("over the route {} ({}), {known}", shown(&route.name), route.source),
        NextHop::Mx if question.to.domain().is_none() => format!("to the address literal {whose}"),
        NextHop::Mx => format!("to the mail hosts of {whose}, {known}"),
    };
    let mut page = vec![String::new(), format!("{BOLD}Where it goes{BOLD:#}")];
    page.extend(indented(&way));
    if let Some(failure) = &facts.failure {
        let kind = if failure.permanent { "" } else { "; tried again later" };
        let text = format!("{}: {}{kind}", failure.reason, shown(&failure.detail));
        page.extend(indented(&text).map(|line| format!("{BAD}{line}{BAD:#}")));
        return page;
    }
    let columns = [
        Column::right("PREF"),
        Column::left("HOST").shrinking(),
        Column::left("PORT"),
        Column::left("ADDRESSES").shrinking(),
        Column::left("DNSSEC"),
    ];
    let row = |host: &HostFact| -> Vec<Cell> {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        vec![
            host.preference.map_or_else(|| "-".to_owned(), |preference| preference.to_string()).into(),
            host.shown().into(),
            host.port.to_string().into(),
            addresses.join(", ").into(),
            host.dnssec.as_str().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = facts.hosts.iter().map(row).collect();
    page.extend(table(&columns, &rows));
    page.extend(facts.hosts.iter().flat_map(found));
    page
}

/// What a host or its domain publishes.
fn found(host: &HostFact) -> Vec<String> {
    let told = host.found.iter().map(|line| format!("{}: {}", host.shown(), shown(line)));
    told.flat_map(|line| indented(&line).collect::<Vec<_>>()).collect()
}

/// The session that was asked about, with each host.
fn sessions_asked(explained: &Explained<'_>) -> Vec<String> {
    if explained.asked.is_empty() || explained.facts.hosts.is_empty() {
        return Vec::new();
    }
    let columns = [Column::left("HOST").shrinking(), Column::left("MESSAGE"), Column::left("REASON")];
    let row = |(host, played): (&HostFact, &Played)| -> Vec<Cell> {
        let [verdict, reason] = end(played);
        vec![host.shown().into(), verdict, reason]
    };
    let rows: Vec<Vec<Cell>> = explained.facts.hosts.iter().zip(&explained.asked).map(row).collect();
    let title = format!("{BOLD}What this session gets{BOLD:#}");
    [String::new(), title].into_iter().chain(table(&columns, &rows)).collect()
}

fn end(played: &Played) -> [Cell; 2] {
    let reason = played.reason.map_or("-", |reason| reason.as_str());
    [Cell::styled(word(played.verdict), style(played.verdict)), reason.into()]
}

fn requirement(explained: &Explained<'_>) -> Vec<String> {
    let Explained { question, decision, .. } = explained;
    let cells = |(row, by): (Because, SetBy)| {
        let style = if row.source == Source::BuiltIn { DIM } else { Style::new() };
        (row, by, style)
    };
    let mut page = vec![String::new(), format!("{BOLD}What a session must meet{BOLD:#}")];
    page.extend(policies::table(rows(explained).into_iter().map(cells).collect(), KEY_COLUMNS));
    page.extend(policies::exceptions(&question.levels(decision).exceptions(&question.asker())));
    page.extend(identity(explained));
    page
}

/// What a certificate must have, and what else differs from host to host.
fn identity(explained: &Explained<'_>) -> Vec<String> {
    let kinds = explained.kinds();
    let first = kinds.iter().find_map(|kind| kind.requirement.as_ref().ok());
    let several = kinds.len() > 1;
    let mut texts: Vec<String> = Vec::new();
    for kind in &kinds {
        let of_kind = if several { format!("{}: ", kind.names()) } else { String::new() };
        match &kind.requirement {
            Ok(requirement) => {
                let floor = requirement.session.floor();
                if first.is_some_and(|first| first.session.floor() != floor) {
                    let rows = floor.iter().map(|row| format!("{} = {} ({})", row.key, row.value, row.source));
                    texts.push(format!("{of_kind}{}.", rows.collect::<Vec<_>>().join(", ")));
                }
                texts.extend(requirement.proofs.iter().map(|proof| format!("{of_kind}{}", proved_by(&proof.of))));
            }
            Err(unmet) => texts.push(format!("{} cannot be used: {}.", kind.names(), unmet.detail)),
        }
    }
    texts.iter().flat_map(|text| indented(text)).collect()
}

fn proved_by(evidence: &Evidence) -> String {
    let identity = match evidence {
        Evidence::Names(identity) => identity,
        Evidence::Tlsa(records) => {
            let base = records.base.as_ref().map(|base| format!(" of {base}")).unwrap_or_default();
            return format!("The certificate or its key must match a TLSA record{base}.");
        }
    };
    let patterns = identity.one_below.iter().map(|above| format!("*.{above}"));
    let names: Vec<String> = identity.names.iter().map(ToString::to_string).chain(patterns).collect();
    match (names.is_empty(), identity.fingerprints.len()) {
        (true, 0) => "No certificate suffices: no name is acceptable.".to_owned(),
        (true, _) => "The certificate or its key must have a listed fingerprint.".to_owned(),
        (false, 0) => format!("The certificate must be for {}.", names.join(" or ")),
        (false, _) => format!("The certificate must be for {}, or have a listed fingerprint.", names.join(" or ")),
    }
}

/// What every kind of session gets, side by side, with each kind of host.
fn sessions(explained: &Explained<'_>) -> Vec<String> {
    let Explained { others, facts, .. } = explained;
    // Where no host will ever take the message, no session does.
    if facts.failure.as_ref().is_some_and(|failure| failure.permanent) {
        return Vec::new();
    }
    let are_known = !facts.hosts.is_empty();
    others.iter().flat_map(|compared| sessions_with(compared, are_known)).collect()
}

fn sessions_with(compared: &Compared, is_known: bool) -> Vec<String> {
    let Compared { hosts, wants_identity, played } = compared;
    let columns = [
        Column::left("SESSION"),
        Column::left(if *wants_identity { "CERTIFICATE" } else { "CIPHER" }).shrinking(),
        Column::left("MESSAGE"),
        Column::left("REASON"),
    ];
    let row = |played: &Played| -> Vec<Cell> {
        let [verdict, reason] = end(played);
        let version = played.tls.as_ref().map_or("plaintext", |facts| facts.version.as_str());
        let second = match (wants_identity, &played.shown, &played.tls) {
            (true, Some(shown), _) => shown.in_words(),
            (false, _, Some(facts)) => facts.cipher_openssl.clone(),
            _ => "-".to_owned(),
        };
        vec![version.into(), second.into(), verdict, reason]
    };
    let rows: Vec<Vec<Cell>> = played.iter().map(row).collect();
    let title = match hosts.first().filter(|_| is_known) {
        Some(host) => format!("{BOLD}What sessions with {host} get{BOLD:#}"),
        None => format!("{BOLD}What sessions get{BOLD:#}"),
    };
    [String::new(), title].into_iter().chain(table(&columns, &rows)).collect()
}

/// The steps and ends of exceptions that are still to come.
fn to_come(explained: &Explained<'_>) -> Vec<String> {
    let Explained { question, decision, .. } = explained;
    let changes = question.levels(decision).changes(&question.asker());
    if changes.is_empty() {
        return Vec::new();
    }
    let mut page = vec![String::new(), format!("{BOLD}What is to come{BOLD:#}")];
    for change in changes.iter().take(CHANGES_MAX) {
        let text = match change {
            Coming::Step(step) => {
                let keys = step.layer.written();
                let keys: Vec<String> = keys.iter().map(|key| format!("{} = {}", key.key, key.value)).collect();
                format!("{}: {}, {}", step.from.brief(), keys.join(", "), step.source)
            }
            Coming::Expiry(terms) => {
                format!("{}: the exception of {} ends, {}", terms.expires.brief(), shown(&terms.owner), terms.source)
            }
        };
        let then = match explained.verdict_at(change.at()) {
            Some(then) => {
                let reason = then.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                format!("; this session is then {}{reason}", word(then.verdict))
            }
            None => String::new(),
        };
        page.extend(indented(&format!("{text}{then}")));
    }
    page
}

fn told(explained: &Explained<'_>) -> Vec<String> {
    let rows = notice::rows(explained);
    if rows.is_empty() {
        return Vec::new();
    }
    let mut page = vec![String::new(), format!("{BOLD}What comes of it{BOLD:#}")];
    page.extend(rows.iter().flat_map(|(label, text)| labelled(label, text)));
    page
}

/// What is easily overlooked.
fn notes(explained: &Explained<'_>) -> Vec<String> {
    let Explained { question, decision, asked, .. } = explained;
    let mut notes = Vec::new();
    let unsigned = explained.requirements().into_iter().find_map(|(host, requirement)| {
        let name = host.name.filter(|_| !host.name_is_trusted)?;
        let is_refused = |proof: &Proof| match &proof.of {
            Evidence::Names(identity) => identity.has_names() && !identity.accepts_name(name.as_str()),
            Evidence::Tlsa(_) => false,
        };
        requirement.ok()?.proofs.iter().any(is_refused).then_some(name)
    });
    if let Some(name) = unsigned.filter(|_| matches!(decision.next_hop, NextHop::Mx)) {
        notes.push(format!("A certificate for {name} does not count: the name comes from DNS, not from you."));
    }
    if decision.requirement.tls.value == OutboundTls::Off && asked.iter().any(|played| played.tls.is_some()) {
        notes.push("With tls = \"off\" no session has TLS.".to_owned());
    }
    let has_networks = question.levels(decision).has_exceptions_for_clients();
    if question.client.is_none() && has_networks {
        notes.push("There are exceptions for clients; --client names the one that brought the message.".to_owned());
    }
    let note = |note: &String| std::iter::once(String::new()).chain(wrap(&format!("Note: {note}"), WIDTH_COLUMNS));
    notes.iter().flat_map(note).collect()
}

fn indented(text: &str) -> impl Iterator<Item = String> {
    wrap(text, WIDTH_COLUMNS - INDENT.len()).into_iter().map(|line| format!("{INDENT}{line}"))
}

fn table(columns: &[Column<'_>], rows: &[Vec<Cell>]) -> impl Iterator<Item = String> {
    let table = lines(columns, rows, WIDTH_COLUMNS - INDENT.len()).into_iter();
    table.map(|line| format!("{INDENT}{line}"))
}
