//! The policies that were asked: every key with where it was written and by what it was set, and their exceptions.

use anstyle::Style;

use crate::cli::human::{shown, wrap};
use crate::cli::output::{BOLD, DIM, GOOD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::policy::in_force::Because;
use crate::policy::inbound::{Judgement, Subject};
use crate::policy::provenance::{Excepted, Level, Origin, Standing, rows};
use crate::policy::settings::Source;
use crate::policy::timed::{Part, Shadow};

use super::{INDENT, Played, Scene, command, whose};

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
    let columns = [
        Column::left("KEY").at_least(18),
        Column::left("VALUE").at_least(17).shrinking(),
        Column::left("WHERE FROM").shrinking(),
        Column::left("SET BY"),
    ];
    let mut cells: Vec<Vec<Cell>> =
        rows(&judgement.in_force).into_iter().map(|row| key(scene, judgement, row)).collect();
    let shadow = scene.levels(judgement).shadow().unwrap_or_default();
    cells.extend(shadow.into_iter().map(|row| line(row, "shadow", DIM)));
    let table = lines(&columns, &cells, WIDTH_COLUMNS - INDENT.len()).into_iter();
    let mut page: Vec<String> = vec![String::new(), title];
    page.extend(table.map(|line| format!("{INDENT}{line}")));
    if judgement.exempt.is_none() {
        page.extend(exceptions(&scene.levels(judgement).exceptions(&scene.asker())));
    }
    page
}

fn key(scene: &Scene<'_>, judgement: &Judgement, row: Because) -> Vec<Cell> {
    let style = if row.source == Source::BuiltIn { DIM } else { Style::new() };
    let origin = scene.levels(judgement).origin(&scene.asker(), Shadow::Left, row.key);
    let set_by = match (origin, &judgement.subject) {
        (Some(origin), _) => set_by(&origin),
        (None, Subject::Listener) if row.source != Source::BuiltIn => "listener".to_owned(),
        (None, _) => String::new(),
    };
    line(row, &set_by, style)
}

fn line(row: Because, set_by: &str, style: Style) -> Vec<Cell> {
    let value = shown(&row.value).into_owned();
    vec![row.key.into(), value.into(), Cell::styled(row.source.to_string(), style), Cell::styled(set_by, style)]
}

/// In at most 15 columns.
fn set_by(origin: &Origin<'_>) -> String {
    match (origin.part, origin.level) {
        (Part::Base, Level::Default) => "default".to_owned(),
        (Part::Base, Level::DomainFile) => "domain file".to_owned(),
        (Part::Step(from), _) => format!("step {}", from.day()),
        (Part::Shadow, _) => "shadow".to_owned(),
        (Part::Exception(_), _) => "exception".to_owned(),
    }
}

/// Those that are about this client and sender.
fn exceptions(found: &[Excepted<'_>]) -> Vec<String> {
    if found.is_empty() {
        return Vec::new();
    }
    let mut page = vec![format!("{INDENT}{DIM}exceptions for this client and sender{DIM:#}")];
    for Excepted { terms, standing } in found {
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
