//! The destinations laid out for a terminal of some size. Pure.

use anstyle::Style;

use crate::admin::protocol::Top;
use crate::cli::output::{BAD, BOLD, DIM, ODD, WIDTH_COLUMNS};
use crate::cli::table::{self, Cell, Column};
use crate::model::human::{bytes, count, cut, second, shown, span, thousands};
use crate::model::time::Timestamp;
use crate::outbound::books::Trouble;
use crate::outbound::overview::DestinationView;

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

const COLUMNS: [Column<'static>; 9] = [
    Column::left("DESTINATION").at_least(16).shrinking(),
    Column::right("READY").at_least(5),
    Column::right("WAIT").at_least(5),
    Column::right("HELD").at_least(4),
    Column::right("ACTIVE").at_least(6),
    Column::right("OLD").at_least(3),
    Column::right("OUT/s").at_least(5),
    Column::right("DEF/s").at_least(5),
    Column::left("LAST ERROR").shrinking(),
];

/// Lines above the table, without those about trouble.
pub(super) const HEAD_ROWS: usize = 6;

/// What is so for all, then the table. No line is wider than the room, from 80 columns on, and there are no more lines.
pub(super) fn lines(top: &Top, room: Room) -> Vec<String> {
    let mut lines = head(top, room.columns);
    lines.push(String::new());
    if top.overview.destinations.is_empty() {
        lines.push("Nothing waits and nothing was delivered a moment ago.".to_owned());
    } else {
        let rows: Vec<Vec<Cell>> =
            top.overview.destinations.iter().map(|one| row(one, (top.at, room.columns))).collect();
        lines.extend(table::lines(&COLUMNS, &rows, room.columns));
    }
    lines.truncate(room.rows);
    lines
}

fn head(top: &Top, columns: usize) -> Vec<String> {
    let all = &top.overview;
    let age = |at: Timestamp| span(top.at.saturating_since(at));
    let oldest = all.oldest.map(|oldest| format!(", oldest {}", age(oldest))).unwrap_or_default();
    let messages = format!("{}{oldest}", count(top.messages, "message"));
    let free = format!("{} free", bytes(top.spool_free_bytes));
    let many = |number: usize| thousands(number as u64);
    let mut texts = vec![
        (BOLD, format!("{}: {messages}, spool {free}", shown(&top.hostname))),
        (
            Style::new(),
            format!(
                "deliveries    {} ready, {} waiting, {} held, {} active of at most {}",
                many(all.ready),
                many(all.waiting),
                many(all.held),
                many(all.active),
                many(usize::try_from(all.concurrency).unwrap_or(usize::MAX)),
            ),
        ),
        (
            Style::new(),
            format!(
                "per second    {} messages in, {} deliveries made, {} deferred",
                rate(all.arrived_per_second),
                rate(all.delivered_per_second),
                rate(all.deferred_per_second)
            ),
        ),
        (
            Style::new(),
            format!(
                "destinations  {}: {} held, {} down",
                many(all.destination_count),
                many(all.held_destinations),
                many(all.down_destinations)
            ),
        ),
    ];
    texts.extend(trouble(top).map(|text| (BAD, text)));
    texts.iter().map(|(style, text)| format!("{style}{}{style:#}", cut(text, columns))).collect()
}

/// What keeps all mail.
fn trouble(top: &Top) -> Option<String> {
    let fault = top.spool_fault.as_ref().map(|fault| format!("takes no mail: {}", shown(fault)));
    let audit = (!top.audit_writable).then(|| "the audit log cannot be written".to_owned());
    let draining = top.draining.then(|| "draining: no delivery is begun".to_owned());
    let all: Vec<String> = fault.into_iter().chain(audit).chain(draining).collect();
    (!all.is_empty()).then(|| format!("TROUBLE       {}", all.join("; ")))
}

fn row(one: &DestinationView, (now, columns): (Timestamp, usize)) -> Vec<Cell> {
    let age = |at: Timestamp| span(now.saturating_since(at));
    let (style, active) = match one {
        DestinationView { is_held: true, .. } => (ODD, "held".to_owned()),
        DestinationView { down_until: Some(_), .. } => (BAD, "down".to_owned()),
        // Without mail at this moment.
        DestinationView { concurrency: 0, .. } => (Style::new(), "0".to_owned()),
        DestinationView { active, concurrency, .. } => (Style::new(), format!("{active}/{concurrency}")),
    };
    let name = match one.name.rsplit_once('/') {
        // A route without a name of its own is called by its place in a file.
        Some((_, file)) if columns <= WIDTH_COLUMNS => file.to_owned(),
        None if one.is_route => format!("route {}", one.name),
        _ => one.name.clone(),
    };
    vec![
        Cell::styled(shown(&name), BOLD),
        number(one.ready).into(),
        number(one.waiting).into(),
        number(one.held).into(),
        Cell::styled(active, style),
        one.oldest.map(age).unwrap_or_default().into(),
        rate(one.delivered_per_second).into(),
        rate(one.deferred_per_second).into(),
        Cell::styled(last(one, (now, columns)), ODD),
    ]
}

/// The reason, and on a wide terminal what is known besides.
fn last(one: &DestinationView, (now, columns): (Timestamp, usize)) -> String {
    let left = |until: Timestamp| span(until.saturating_since(now));
    let probe = one.down_until.map(|until| format!("probe in {}", left(until)));
    let rate = one.rate_until.map(|until| format!("rate: next in {}", left(until)));
    let narrowed = (one.concurrency > 0 && one.concurrency < one.concurrency_max)
        .then(|| format!("{} at most", one.concurrency_max));
    let trouble = one.last.as_ref().map(|Trouble { at, reason, mx, detail }| {
        let is_wide = columns > WIDTH_COLUMNS;
        let place = mx.as_ref().filter(|_| is_wide).map(|mx| format!(" at {mx}")).unwrap_or_default();
        let detail = if is_wide && !detail.is_empty() { format!(": {detail}") } else { String::new() };
        let ago = if is_wide { format!(" {} ago", span(now.saturating_since(*at))) } else { String::new() };
        format!("{reason}{place}{ago}{detail}")
    });
    let all: Vec<String> = probe.into_iter().chain(rate).chain(trouble).chain(narrowed).collect();
    shown(&all.join(", ")).into_owned()
}

/// At most five characters.
fn number(count: usize) -> String {
    match count {
        0..100_000 => count.to_string(),
        100_000..10_000_000 => format!("{}k", count / 1000),
        _ => format!("{}M", count / 1_000_000),
    }
}

/// `0`, `0.4`, `12`, `1,234`; what is nearly nothing is nothing.
fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate < 0.05 => "0".to_owned(),
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

/// The line below the table.
pub(super) fn foot(order: &str, at: Timestamp, columns: usize) -> String {
    let text = format!("q: end   s: sort by another column   {}, sorted by {order}", second(at));
    format!("{DIM}{}{DIM:#}", cut(&text, columns))
}

#[cfg(test)]
pub(in crate::cli::queue) mod tests;
