//! The policies that were asked: every key with where it was written and by what it was set, and their exceptions.

use anstyle::Style;

use crate::cli::output::{BOLD, DIM, GOOD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::explain::set_by::SetBy;
use crate::model::human::{shown, wrap};
use crate::policy::in_force::Because;
use crate::policy::inbound::Judgement;
use crate::policy::provenance::{Excepted, Standing, rows};
use crate::policy::settings::Source;

use super::{INDENT, Played, Scene, command, whose};

/// `client_certificate`, the longest key.
const KEY_COLUMNS: usize = 18;
/// `sender, recipient`, the longest word.
const VALUE_COLUMNS: usize = 17;
const GAPS_COLUMNS: usize = 6;
/// Before the text of an exception.
const STANDING_COLUMNS: usize = 9;

/// The policies of both stages, once if they are one.
pub(super) fn policies(scene: &Scene<'_>, played: &Played) -> Vec<String> {
    let (mail, rcpt) = (&played.transacted.mail, played.judged_rcpt());
    if rcpt.is_some_and(|rcpt| rcpt.in_force == mail.in_force && rcpt.subject == mail.subject) {
        return policy(scene, mail, Some("MAIL FROM and RCPT TO"));
    }
    played.judgements().flat_map(|judgement| policy(scene, judgement, Some(command(judgement.stage)))).collect()
}

/// `stages` where they are not clear.
pub(super) fn policy(scene: &Scene<'_>, judgement: &Judgement, stages: Option<&str>) -> Vec<String> {
    let stages = stages.map(|stages| format!(" at {stages}")).unwrap_or_default();
    let exempt = if judgement.exempt.is_some() { ", which is exempt here" } else { "" };
    let title = format!("{BOLD}Policy of {}{stages}{exempt}{BOLD:#}", whose(judgement));
    let mut keys: Vec<_> = rows(&judgement.in_force).into_iter().map(|row| key(scene, judgement, row)).collect();
    let shadow = scene.levels(judgement).shadow().unwrap_or_default();
    keys.extend(shadow.into_iter().map(|row| (row, SetBy::Shadow, DIM)));
    let mut page: Vec<String> = vec![String::new(), title];
    page.extend(table(keys, KEY_COLUMNS));
    if judgement.exempt.is_none() {
        page.extend(exceptions(&scene.levels(judgement).exceptions(&scene.asker())));
    }
    page
}

fn key(scene: &Scene<'_>, judgement: &Judgement, row: Because) -> (Because, SetBy, Style) {
    let style = if row.source == Source::BuiltIn { DIM } else { Style::new() };
    let set_by = scene.set_by(judgement, &row);
    (row, set_by, style)
}

/// The lines of a table of keys, each with what set it. Lines are never cut off: of a long path the end is shown.
pub(in crate::cli::explain) fn table(keys: Vec<(Because, SetBy, Style)>, key_columns: usize) -> Vec<String> {
    let set_by =
        keys.iter().map(|(_, set_by, _)| set_by.in_words().len()).max().unwrap_or_default().max("SET BY".len());
    let taken = INDENT.len() + key_columns + VALUE_COLUMNS + set_by + GAPS_COLUMNS;
    let source_max = WIDTH_COLUMNS.saturating_sub(taken);
    let columns = [
        Column::left("KEY").at_least(key_columns),
        Column::left("VALUE").at_least(VALUE_COLUMNS).shrinking(),
        Column::left("WHERE FROM"),
        Column::left("SET BY"),
    ];
    let cells = |(row, set_by, style): (Because, SetBy, Style)| -> Vec<Cell> {
        let (value, source) = (shown(&row.value).into_owned(), end_of(&row.source.to_string(), source_max));
        vec![row.key.into(), value.into(), Cell::styled(source, style), Cell::styled(set_by.in_words(), style)]
    };
    let cells: Vec<Vec<Cell>> = keys.into_iter().map(cells).collect();
    let table = lines(&columns, &cells, WIDTH_COLUMNS - INDENT.len()).into_iter();
    table.map(|line| format!("{INDENT}{line}")).collect()
}

/// At most `columns_max` characters; what was cut begins with "…".
fn end_of(text: &str, columns_max: usize) -> String {
    let columns = text.chars().count();
    if columns <= columns_max {
        return text.to_owned();
    }
    let end: String = text.chars().skip(columns - columns_max.saturating_sub(1)).collect();
    format!("…{end}")
}

/// Those that are about this client and sender.
pub(in crate::cli::explain) fn exceptions(found: &[Excepted<'_>]) -> Vec<String> {
    if found.is_empty() {
        return Vec::new();
    }
    let mut page = vec![format!("{INDENT}{DIM}exceptions for this client and sender{DIM:#}")];
    let by_standing = |standing| found.iter().filter(move |excepted| excepted.standing == standing);
    let sorted = [Standing::Holds, Standing::Behind, Standing::Expired].into_iter().flat_map(by_standing);
    for Excepted { terms, standing } in sorted {
        let (style, until) = match standing {
            Standing::Holds => (GOOD, "until"),
            Standing::Behind => (DIM, "an earlier one holds; until"),
            Standing::Expired => (DIM, "on"),
        };
        let (reason, owner) = (shown(&terms.reason), shown(&terms.owner));
        let when = format!("{until} {}", terms.expires.brief());
        let text = format!("{when}, {}: {reason} (owner: {owner})", terms.source);
        let labels = std::iter::once(standing.as_str()).chain(std::iter::repeat(""));
        let wrapped = wrap(&text, WIDTH_COLUMNS - INDENT.len() - STANDING_COLUMNS).into_iter();
        page.extend(
            wrapped.zip(labels).map(|(line, label)| format!("{INDENT}{style}{label:STANDING_COLUMNS$}{style:#}{line}")),
        );
    }
    page
}
