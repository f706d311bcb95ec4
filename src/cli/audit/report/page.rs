//! The report at 80 columns: for each direction the trend, then the shares of the whole.

use std::collections::BTreeMap;

use crate::audit::report::Sums;
use crate::cli::output::{BAD, BOLD, ODD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::model::human::{count, thousands, wrap};
use crate::model::tls::ProtocolVersion;

use super::super::reading::left_open;
use super::super::share::share;
use super::Answered;
use super::answer::{kinds, total};

const NAME_COLUMNS: usize = 26;
const NUMBER_COLUMNS: usize = 12;

/// Ends with a line end.
pub(super) fn page(answered: &Answered<'_>) -> String {
    let mut page = Vec::new();
    if answered.asked.direction.inbound() {
        page.extend(direction(answered, true));
    }
    if answered.asked.direction.outbound() {
        if !page.is_empty() {
            page.push(String::new());
        }
        page.extend(direction(answered, false));
    }
    let notes = left_open(&answered.met, answered.span.from);
    if !notes.is_empty() {
        page.push(String::new());
    }
    page.extend(notes.iter().flat_map(|note| wrap(note, WIDTH_COLUMNS)));
    page.push(String::new());
    page.join("\n")
}

fn direction(answered: &Answered<'_>, is_inbound: bool) -> Vec<String> {
    let periods = if is_inbound { &answered.sums.inbound } else { &answered.sums.outbound };
    let total = total(periods);
    let mut page: Vec<String> = wrap(&headline(answered, is_inbound, &total), WIDTH_COLUMNS);
    page.iter_mut().for_each(|line| *line = format!("{BOLD}{line}{BOLD:#}"));
    if periods.is_empty() {
        return page;
    }
    page.push(String::new());
    page.extend(trend(answered, is_inbound, periods, &total));
    for (kind, rows) in kinds(&total) {
        page.extend(shares(kind, is_inbound, &rows, total.messages));
    }
    page
}

/// `Mail in from partner.example from 2027-01-01 to 2027-01-31: 12,345 messages accepted, 87 refused.`
pub(super) fn headline(answered: &Answered<'_>, is_inbound: bool, total: &Sums) -> String {
    let below = if answered.asked.below { " and below" } else { "" };
    let partner = |word: &str| match &answered.asked.partner {
        Some(partner) => format!(" {word} {partner}{below}"),
        None => String::new(),
    };
    let span = answered.asked.span.in_words(answered.span);
    let sum = |counts: &BTreeMap<Box<str>, u64>| counts.values().sum::<u64>();
    let (refused, deferred) = (sum(&total.refused), sum(&total.deferred));
    let (way, taken, refused_word) = match is_inbound {
        true => (format!("Mail in{}", partner("from")), "accepted", "refused"),
        false => (format!("Mail out{}", partner("to")), "delivered", "bounced"),
    };
    let mut text = format!("{way} {span}: {} {taken}", count(total.messages, "message"));
    for (number, word) in [(refused, refused_word), (deferred, "deferred")] {
        if number > 0 {
            text.push_str(&format!(", {} {word}", thousands(number)));
        }
    }
    text + "."
}

/// One line a period: who has which version, and what was refused.
fn trend(answered: &Answered<'_>, is_inbound: bool, periods: &BTreeMap<Box<str>, Sums>, total: &Sums) -> Vec<String> {
    let period = answered.period.as_str().to_ascii_uppercase();
    let columns = [
        Column::left(&period).at_least("2027-01-02".len()),
        Column::right("MESSAGES"),
        Column::right("TLSv1.3"),
        Column::right("TLSv1.2"),
        Column::right("OLDER"),
        Column::right("PLAIN"),
        Column::right(if is_inbound { "REFUSED" } else { "BOUNCED" }),
        Column::right(if is_inbound { "REPORTED" } else { "DEFERRED" }),
    ];
    let mut rows: Vec<Vec<Cell>> = periods.iter().map(|(period, sums)| row(period, sums, is_inbound)).collect();
    if periods.len() > 1 {
        rows.push(row("all", total, is_inbound));
    }
    lines(&columns, &rows, WIDTH_COLUMNS)
}

fn row(name: &str, sums: &Sums, is_inbound: bool) -> Vec<Cell> {
    let of = |version| sums.versions.get(&version).copied().unwrap_or_default();
    let (newest, usual) = (of(ProtocolVersion::Tls1_3), of(ProtocolVersion::Tls1_2));
    let older = sums.versions.values().sum::<u64>().saturating_sub(newest + usual);
    let percent = |part| match sums.messages {
        0 => String::new(),
        whole => share(part, whole),
    };
    let refused = sums.refused.values().sum::<u64>();
    let beside = if is_inbound { sums.reported.values().sum::<u64>() } else { sums.deferred.values().sum() };
    let odd = |text: String, is_odd: bool, style| if is_odd { Cell::styled(text, style) } else { text.into() };
    vec![
        name.into(),
        thousands(sums.messages).into(),
        percent(newest).into(),
        percent(usual).into(),
        odd(percent(older), older > 0, ODD),
        odd(percent(sums.plaintext), sums.plaintext > 0, ODD),
        odd(thousands(refused), refused > 0, BAD),
        odd(thousands(beside), beside > 0, ODD),
    ]
}

/// The rows of one kind that are not zero.
fn shares(kind: &str, is_inbound: bool, rows: &[(&str, u64)], messages: u64) -> Vec<String> {
    let (title, is_of_messages) = match kind {
        "version" => ("TLS", true),
        "grade" => ("CIPHER", true),
        "identity" if is_inbound => ("CLIENT CERTIFICATE", true),
        "identity" => ("SERVER CERTIFICATE", true),
        "refused" if is_inbound => ("REFUSED", false),
        "refused" => ("BOUNCED", false),
        "deferred" => ("DEFERRED", false),
        _ => ("REPORTED", false),
    };
    let columns = [
        Column::left(title).at_least(NAME_COLUMNS),
        Column::right(if is_of_messages { "MESSAGES" } else { "TIMES" }).at_least(NUMBER_COLUMNS),
        Column::right(if is_of_messages { "SHARE" } else { "" }).at_least(NUMBER_COLUMNS),
    ];
    let row = |(name, count): &(&str, u64)| {
        let part = if is_of_messages { share(*count, messages) } else { String::new() };
        vec![Cell::from(in_words(kind, name)), thousands(*count).into(), part.into()]
    };
    let rows: Vec<Vec<Cell>> = rows.iter().filter(|(_, count)| *count > 0).map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    std::iter::once(String::new()).chain(lines(&columns, &rows, WIDTH_COLUMNS)).collect()
}

pub(super) fn in_words<'a>(kind: &str, name: &'a str) -> &'a str {
    match (kind, name) {
        ("version" | "grade", "none") => "plaintext",
        ("grade", "any") => "weaker than strong",
        ("identity", "none") => "none that was verified",
        (_, name) => name,
    }
}
