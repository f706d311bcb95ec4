//! Tells each message: how it came, what the policy said, what it went out over, and how it ended.

use std::io;

use anstyle::Style;

use crate::model::reply::{Reply, Severity};
use crate::model::tls::{Stack, TlsFacts, Verified};

use super::layout::{BAD, COLUMNS, FAINT, GOOD, NOTE, PLAIN, Page, TITLE, cell, wrap};
use super::ledger::Entry;
use super::outcome::{Played, PlayedLeg};
use super::play::Outcome;
use super::scenario::{Door, End, MENDED_HOP};
use super::senders::is_done;

/// Columns before the text of a message.
const INDENT: usize = 4;
/// Columns of the words `from`, `to` and `via`.
const LABEL: usize = 6;
/// Columns of an address, a host, or what is said of a certificate.
const LEFT: usize = 26;

/// The messages in their order, then the one that was tried again.
pub(super) fn messages(page: &mut Page<'_>, outcome: &Outcome) -> io::Result<()> {
    page.heading("What happens to each message, and why")?;
    for (number, played) in (1..).zip(&outcome.played) {
        page.blank()?;
        title(page, number, played.step.title)?;
        from(page, played)?;
        for leg in &played.legs {
            told(page, played, leg)?;
        }
    }
    for (number, played) in (1..).zip(&outcome.played) {
        for leg in played.legs.iter().filter(|leg| matches!(leg.leg.end, End::Mended(..))) {
            page.blank()?;
            let text = format!("{MENDED_HOP} gets its right certificate; message {number} is tried again");
            title(page, outcome.played.len() + 1, &text)?;
            retried(page, played, leg)?;
        }
    }
    for fault in &outcome.faults {
        page.blank()?;
        page.field(0, INDENT, ("✗", BAD), (fault, BAD))?;
    }
    Ok(())
}

fn title(page: &mut Page<'_>, number: usize, text: &str) -> io::Result<()> {
    page.field(0, INDENT, (&format!("{number:>2}"), TITLE), (text, TITLE))
}

fn retried(page: &mut Page<'_>, played: &Played, leg: &PlayedLeg) -> io::Result<()> {
    let command = format!("gatepost queue retry {}", leg.message().unwrap_or("ID"));
    page.field(INDENT, LABEL, ("ask", FAINT), (&command, PLAIN))?;
    if let Some(entry) = &leg.mended {
        via(page, entry)?;
    }
    let word = if leg.mended.is_some() { "delivered" } else { "still waits" };
    end(page, (word, PLAIN), &leg.problems(&played.answers))
}

/// A label, something in the left column, something about it in the right one.
fn pair(page: &mut Page<'_>, label: &str, (left, left_style): (&str, Style), right: &str) -> io::Result<()> {
    let head = format!("{FAINT}{}{FAINT:#}{left_style}{}{left_style:#}", cell(label, LABEL), cell(left, LEFT));
    let mut lines = wrap(right, COLUMNS - INDENT - LABEL - LEFT).into_iter();
    page.line(INDENT, &format!("{head}{}", lines.next().unwrap_or_default()))?;
    lines.try_for_each(|line| page.line(INDENT + LABEL + LEFT, &line))
}

/// More about the line above.
fn more(page: &mut Page<'_>, text: &str, style: Style) -> io::Result<()> {
    page.field(INDENT, LABEL, ("", FAINT), (text, style))
}

fn from(page: &mut Page<'_>, played: &Played) -> io::Result<()> {
    let session = session(played.tls());
    let door = match played.step.door {
        Door::Mx => "",
        Door::Smarthost => ", smarthost",
    };
    pair(page, "from", (played.step.from, PLAIN), &format!("{session}{door}"))
}

fn told(page: &mut Page<'_>, played: &Played, leg: &PlayedLeg) -> io::Result<()> {
    let policy = leg.inbound.as_ref().and_then(|entry| entry.policy.as_ref());
    let verdict = policy.map_or_else(String::new, |policy| format!("{}: {}", policy.verdict, policy.rule));
    pair(page, "to", (leg.leg.to, PLAIN), &verdict)?;
    if let Some(reply) = &leg.reply {
        more(page, &reply.to_string(), if is_done(reply) { PLAIN } else { NOTE })?;
    }
    if let Some(why) = policy.filter(|policy| policy.verdict == "accept").and_then(|policy| policy.because.first()) {
        more(page, why, NOTE)?;
    }
    if let Some(detail) = leg.inbound.as_ref().and_then(|entry| entry.detail.as_deref()) {
        more(page, detail, NOTE)?;
    }
    if let Some(entry) = &leg.end {
        via(page, entry)?;
    }
    if let Some(notice) = &leg.notice {
        let link = session(notice.tls.as_ref());
        pair(page, "", ("a notice to the sender", PLAIN), &format!("{}, {link}", hop(notice)))?;
    }
    end(page, end_word(leg), &leg.problems(&played.answers))
}

/// The link to the next hop, the certificate, and what was asked of both.
fn via(page: &mut Page<'_>, entry: &Entry) -> io::Result<()> {
    let failed = entry.event != "outbound.delivered";
    let link = match &entry.tls {
        None if failed && (entry.reply.is_none() || entry.mx.is_none()) => "nothing was sent".to_owned(),
        tls => session(tls.as_ref()),
    };
    pair(page, "via", (&hop(entry), PLAIN), &link)?;
    let asked = entry.requirement.as_ref().map_or_else(String::new, |asked| {
        let minimum = asked.min_version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
        format!("{}{minimum}: {}", asked.tls, asked.rule())
    });
    let Some(reason) = entry.reason.filter(|_| failed) else {
        return pair(page, "", (certificate(entry.tls.as_ref()), PLAIN), &asked);
    };
    pair(page, "", (reason.as_str(), NOTE), &asked)?;
    let detail = entry.reply.as_deref().or(entry.detail.as_deref()).unwrap_or_default();
    let detail = detail.strip_prefix(reason.as_str()).map_or(detail, |rest| rest.trim_start_matches([':', ' ']));
    more(page, detail, NOTE)
}

/// `TLSv1 AES128-SHA (openssl)`: the library is named where it is the one for old peers.
fn session(tls: Option<&TlsFacts>) -> String {
    match tls {
        None => "plaintext".to_owned(),
        Some(tls) if tls.stack == Stack::Openssl => format!("{tls} (openssl)"),
        Some(tls) => tls.to_string(),
    }
}

/// Name and port of the next hop.
fn hop(entry: &Entry) -> String {
    match (&entry.mx, &entry.remote) {
        (Some(mx), Some(remote)) => format!("{mx}:{}", remote.rsplit(':').next().unwrap_or_default()),
        _ => "no next hop".to_owned(),
    }
}

fn certificate(tls: Option<&TlsFacts>) -> &str {
    let Some(tls) = tls else { return "no certificate" };
    let Some(peer) = &tls.peer else { return "no certificate" };
    match (peer.verified, &peer.error) {
        (Verified::None, Some(error)) => error.split(':').next().unwrap_or_default(),
        (Verified::None, None) => "certificate not verified",
        (Verified::Fingerprint, _) => "fingerprint verified",
        (Verified::Webpki | Verified::Dane, _) => "certificate verified",
    }
}

fn end(page: &mut Page<'_>, (word, style): (&str, Style), problems: &[String]) -> io::Result<()> {
    if problems.is_empty() {
        let text = format!("{style}{word}{style:#}, as expected");
        return page.line(INDENT, &format!("{GOOD}✓{GOOD:#}{:1$}{text}", "", LABEL - 1));
    }
    page.field(INDENT, LABEL, ("✗", BAD), (&format!("{word}, NOT as expected: {}", problems.join("; ")), BAD))
}

/// In a word or two, how it ended.
pub(super) fn end_word(leg: &PlayedLeg) -> (&'static str, Style) {
    match (&leg.reply, leg.end.as_ref().map(|end| end.event.as_str())) {
        (None, _) => ("no answer", BAD),
        (Some(reply), _) if !is_done(reply) => (if is_later(reply) { "put off" } else { "refused" }, NOTE),
        (Some(_), Some("outbound.delivered")) => ("delivered", PLAIN),
        (Some(_), Some("outbound.bounced")) => ("returned", NOTE),
        (Some(_), Some("outbound.deferred")) => ("waits", NOTE),
        (Some(_), _) => ("no end yet", BAD),
    }
}

fn is_later(reply: &Reply) -> bool {
    reply.severity() == Severity::Transient
}
