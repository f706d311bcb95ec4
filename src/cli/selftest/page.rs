//! The result for people: for each listener a legend, the matrix within 80 columns, and what is not as it should be.

use std::collections::BTreeSet;

use anstyle::Style;

use crate::cli::output::{BAD, BOLD, DIM, GOOD, ODD, WIDTH_COLUMNS};
use crate::cli::table::{Cell as Field, Column as Layout, lines};
use crate::config::ListenerTls;
use crate::model::human::{count, shown, wrap};
use crate::model::tls::ProtocolVersion;
use crate::policy::inbound::Verdict;
use crate::policy::relay::Trust;

use super::columns::Column;
use super::result::{Cell, Counts, Met, Row};
use super::spread::{Attempt, Prospect};
use super::{Matrix, Report, Tested};

const INDENT: &str = "  ";
/// Fields beside each other: with version and suite they fill the width.
const FIELDS_MAX: usize = 8;
/// The same where some bear a mark.
const MARKED_FIELDS_MAX: usize = 6;
/// Differences that are told in full; the rest is in the JSON.
const DIFFERENCES_MAX: usize = 20;

/// Ends with a line end.
pub(super) fn page(report: &Report<'_>) -> String {
    let mut page = Vec::new();
    if report.is_outdated() {
        let text = "Warning: the running daemon says that it has another configuration in force than the one on disk, \
                    which this test goes by. Run `gatepost reload`, then try again.";
        page.extend(wrapped(text, ODD));
        page.push(String::new());
    }
    for tested in &report.tested {
        page.extend(listener(report, tested));
        page.push(String::new());
    }
    page.extend(differences(report));
    page.push(summary(report));
    page.push(String::new());
    page.join("\n")
}

fn wrapped(text: &str, style: Style) -> impl Iterator<Item = String> {
    wrap(text, WIDTH_COLUMNS).into_iter().map(move |line| format!("{style}{line}{style:#}"))
}

/// A text that goes on below a first word.
fn hanging(first: &str, indent: usize, text: &str) -> impl Iterator<Item = String> {
    let firsts = std::iter::once(first.to_owned()).chain(std::iter::repeat(String::new()));
    let lines = wrap(text, WIDTH_COLUMNS - indent).into_iter().zip(firsts);
    lines.map(move |(line, first)| format!("{first:indent$}{line}"))
}

fn listener(report: &Report<'_>, tested: &Tested<'_>) -> Vec<String> {
    let (at, address) = (tested.target.listener, tested.target.address);
    let tls = match at.tls {
        ListenerTls::Off => "no TLS".to_owned(),
        ListenerTls::Starttls => format!("STARTTLS, offers {}", later(at.offer)),
        ListenerTls::Implicit => format!("implicit TLS, offers {}", later(at.offer)),
    };
    let mut lines = vec![format!("{BOLD}Listener {}{BOLD:#} at {address}", at.name)];
    lines.extend(wrap(&format!("Role {}, {tls}.", at.role.as_str()), WIDTH_COLUMNS));
    match &tested.outcome {
        Ok(matrix) => {
            lines.extend(wrap(&client(matrix, at.role.answers_to_floor(matrix.trust)), WIDTH_COLUMNS));
            lines.push(String::new());
            lines.extend(legend(report, tested, matrix));
            let fields_max = if has_difference(matrix) { MARKED_FIELDS_MAX } else { FIELDS_MAX };
            let blocks = matrix.plan.columns.len().div_ceil(fields_max).max(1);
            for first in (0..blocks).map(|block| block * fields_max) {
                lines.push(String::new());
                lines.extend(table(matrix, first, fields_max.min(matrix.plan.columns.len() - first)));
            }
            lines.extend(notes(report, matrix));
        }
        Err(error) => lines.extend(wrapped(&shown(&format!("Cannot be tested: {error}")), BAD)),
    }
    lines
}

fn later(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::Tls1_3 => version.to_string(),
        version => format!("{version} and later"),
    }
}

fn has_difference(matrix: &Matrix) -> bool {
    Counts::of(&matrix.rows).differences > 0
}

fn client(matrix: &Matrix, answers_to_floor: bool) -> String {
    let who = match matrix.trust {
        Trust::Stranger => "a stranger",
        Trust::Network | Trust::Certificate => "trusted by [relay]",
    };
    let floor = match (answers_to_floor, matrix.trust) {
        (false, _) => "",
        (true, Trust::Stranger) => ", and answers to the listener's floor",
        (true, _) => ", so it answers to the listener's floor, not to the domains' policies; --source names another",
    };
    format!("The client is {}, {who}{floor}. It shows no certificate.", matrix.client)
}

/// What the numbers of the columns stand for.
fn legend(report: &Report<'_>, tested: &Tested<'_>, matrix: &Matrix) -> Vec<String> {
    let door = report.config.door(tested.target.listener);
    let entry = |(index, column): (usize, &Column)| {
        let text = format!("{}: {}", column.name(), column.asks(&door, matrix.client));
        hanging(&(index + 1).to_string(), 4, &text).collect::<Vec<_>>()
    };
    let mut lines: Vec<String> = matrix.plan.columns.iter().enumerate().flat_map(entry).collect();
    if matrix.plan.left_out > 0 {
        let text = format!("{} more sets of settings are not tried; name domains with --domain", matrix.plan.left_out);
        lines.extend(hanging("…", 4, &text));
    }
    lines
}

/// The columns from `first` on.
fn table(matrix: &Matrix, first: usize, width: usize) -> Vec<String> {
    let numbers: Vec<String> = (first..first + width).map(|index| (index + 1).to_string()).collect();
    let mut columns = vec![Layout::left("VERSION").at_least(9), Layout::left("CIPHER").at_least(29).shrinking()];
    columns.extend(numbers.iter().map(|number| Layout::left(number).at_least(3)));
    let made: Vec<&Row> = matrix.rows.iter().filter(|row| row.met != Met::Skipped).collect();
    let rows: Vec<Vec<Field>> =
        made.chunk_by(|one, next| is_one_line(one, next)).map(|rows| line(rows, first, width)).collect();
    lines(&columns, &rows, WIDTH_COLUMNS)
}

/// Handshakes below the offer are many and all alike.
fn is_one_line(one: &Row, next: &Row) -> bool {
    let as_expected = |row: &Row| {
        row.prospect == Prospect::BelowOffer && matches!(row.met, Met::Failed { .. }) && row.handshake_is_equal()
    };
    as_expected(one) && as_expected(next) && version_of(one) == version_of(next)
}

fn version_of(row: &Row) -> Option<ProtocolVersion> {
    match row.attempt {
        Attempt::Plaintext => None,
        Attempt::Tls { version, .. } => Some(version),
    }
}

/// One row, or several that are alike.
fn line(rows: &[&Row], first: usize, width: usize) -> Vec<Field> {
    let Some((row, more)) = rows.split_first() else { return Vec::new() };
    let (version, cipher) = match row.attempt {
        Attempt::Plaintext => ("plaintext", String::new()),
        Attempt::Tls { version, .. } if !more.is_empty() => (version.as_str(), count(rows.len(), "suite")),
        Attempt::Tls { version, suite } => (version.as_str(), suite.openssl.to_owned()),
    };
    let version = match row.handshake_is_equal() {
        true => Field::from(version),
        false => Field::styled(format!("!{version}"), BAD),
    };
    let fields = match &row.met {
        Met::Made { cells, .. } => cells.iter().skip(first).take(width).map(field).collect(),
        Met::Skipped | Met::Failed { .. } => vec![Field::styled("-", DIM); width],
    };
    [version, Field::from(cipher)].into_iter().chain(fields).collect()
}

fn field(cell: &Cell) -> Field {
    if !cell.is_equal() {
        return Field::styled(format!("!{}", cell.said.reply.code), BAD);
    }
    match cell.expected.verdict {
        Verdict::Accept => Field::styled("ok", GOOD),
        Verdict::WouldRefuse => Field::styled("ok*", ODD),
        Verdict::Defer => Field::styled(cell.said.reply.code.to_string(), ODD),
        Verdict::Refuse => cell.said.reply.code.to_string().into(),
    }
}

/// The marks that occur, and why there were no handshakes.
fn notes(report: &Report<'_>, matrix: &Matrix) -> Vec<String> {
    let cells = || matrix.rows.iter().flat_map(Row::cells);
    let mut notes = Vec::new();
    if cells().any(|cell| cell.is_equal() && cell.expected.verdict == Verdict::WouldRefuse) {
        notes.push(("ok*", "taken, and recorded as what would be refused if it were enforced".to_owned()));
    }
    if has_difference(matrix) {
        notes.push(("!", "not what the configuration says; see below".to_owned()));
    }
    let why: Vec<String> = no_handshakes(report, matrix);
    if !why.is_empty() {
        notes.push(("-", format!("no handshake: {}", why.join("; "))));
    }
    let skipped: BTreeSet<String> =
        matrix.rows.iter().filter(|row| row.met == Met::Skipped).map(|row| row.attempt.to_string()).collect();
    if !skipped.is_empty() {
        let list = skipped.into_iter().collect::<Vec<_>>().join(", ");
        notes.push(("", format!("Not tried, as this build has no library for it: {list}")));
    }
    let mut lines: Vec<String> = notes.iter().flat_map(|(mark, text)| hanging(mark, 5, text)).collect();
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

/// Why there were none where none had to be.
fn no_handshakes(report: &Report<'_>, matrix: &Matrix) -> Vec<String> {
    let failed = |row: &&Row| matches!(row.met, Met::Failed { .. }) && row.handshake_is_equal();
    let (mut below, mut other) = (Vec::new(), Vec::new());
    for row in matrix.rows.iter().filter(failed) {
        match row.prospect {
            Prospect::BelowOffer => below.extend(version_of(row).map(ProtocolVersion::as_str)),
            Prospect::NoKey(key) => other.push(format!("there is no {} certificate", key.as_str())),
            Prospect::Made | Prospect::Unknown => {
                let unread = report.keys_unknown.as_deref().unwrap_or_default();
                other.push(format!("it is not known which certificates there are: {}", shown(unread)));
            }
        }
    }
    below.dedup();
    other.sort_unstable();
    other.dedup();
    let verb = if below.len() == 1 { "is" } else { "are" };
    let below = (!below.is_empty()).then(|| format!("{} {verb} not offered", below.join(", ")));
    below.into_iter().chain(other).collect()
}

/// Each with what was said, what was expected, and where to look on.
fn differences(report: &Report<'_>) -> Vec<String> {
    let mut told = Vec::new();
    for tested in &report.tested {
        let Ok(matrix) = &tested.outcome else { continue };
        for rows in matrix.rows.chunk_by(has_same_fault) {
            told.extend(handshake_difference(tested, rows));
            for row in rows {
                let columns = matrix.plan.columns.iter().zip(row.cells()).filter(|(_, cell)| !cell.is_equal());
                told.extend(columns.map(|(column, cell)| {
                    let explain = explain(report, tested, (matrix, row, column));
                    verdict_difference(tested, row, (column, cell), &explain)
                }));
            }
        }
    }
    let left_out = told.len().saturating_sub(DIFFERENCES_MAX);
    let mut lines: Vec<String> = told.into_iter().take(DIFFERENCES_MAX).flatten().collect();
    if left_out > 0 {
        lines.extend([format!("… and {left_out} more; --json has them all"), String::new()]);
    }
    lines
}

/// What was seen and what was expected, if a handshake did not end as it should.
fn handshake_fault(row: &Row) -> Option<(String, &'static str)> {
    if row.handshake_is_equal() {
        return None;
    }
    Some(match &row.met {
        Met::Failed { reason, detail, .. } => {
            let expected = if row.prospect == Prospect::BelowOffer { "a refusal" } else { "a handshake" };
            (format!("no handshake ({reason}): {}", shown(detail)), expected)
        }
        Met::Skipped | Met::Made { .. } => ("a handshake".to_owned(), "none, as the version is not offered"),
    })
}

fn has_same_fault(one: &Row, next: &Row) -> bool {
    let fault = handshake_fault(one);
    fault.is_some() && version_of(one) == version_of(next) && fault == handshake_fault(next)
}

/// Of rows with the same fault.
fn handshake_difference(tested: &Tested<'_>, rows: &[Row]) -> Option<Vec<String>> {
    let (row, more) = rows.split_first()?;
    let (seen, expected) = handshake_fault(row)?;
    let more = if more.is_empty() { String::new() } else { format!(" and {}", count(more.len(), "other suite")) };
    let mut lines = vec![format!("{BOLD}{}: {}{more}{BOLD:#}", tested.target.listener.name, row.attempt)];
    lines.extend(hanging("  seen", 12, &seen));
    lines.extend(hanging("  expected", 12, expected));
    lines.push(String::new());
    Some(lines)
}

fn verdict_difference(tested: &Tested<'_>, row: &Row, (column, cell): (&Column, &Cell), explain: &str) -> Vec<String> {
    let name = &tested.target.listener.name;
    let mut lines = vec![format!("{BOLD}{name}: {}, {}{BOLD:#}", row.attempt, column.name())];
    for (label, said) in [("  seen", &cell.said), ("  expected", &cell.expected.said)] {
        let at = said.stage.as_str().to_uppercase();
        lines.extend(hanging(label, 12, &format!("at {at}: {}", shown(&said.reply.to_string()))));
    }
    // On one line, to be copied.
    lines.extend([format!("{INDENT}{explain}"), String::new()]);
    lines
}

/// The command that tells why the engine expects what it does.
fn explain(report: &Report<'_>, tested: &Tested<'_>, (matrix, row, column): (&Matrix, &Row, &Column)) -> String {
    let mut command = "gatepost policy explain".to_owned();
    let mut add = |option: &str, value: &str| command.push_str(&format!(" {option} {}", quoted(value)));
    if let Some(file) = report.config_asked {
        add("--config", &file.display().to_string());
    }
    add("--listener", &tested.target.listener.name);
    add("--from", &format!("<{}>", column.from));
    let own = column.from.mailbox();
    if let Some(to) = column.to.as_ref().or(own) {
        add("--to", to.as_str());
    }
    add("--client", &matrix.client.to_string());
    match row.attempt {
        Attempt::Plaintext => command.push_str(" --plaintext"),
        Attempt::Tls { version, suite } => {
            add("--tls", version.as_str());
            add("--cipher", suite.openssl);
        }
    }
    command
}

/// As a shell reads it as one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn summary(report: &Report<'_>) -> String {
    let Counts { handshakes, verdicts, differences } = report.counts();
    let tried = format!("{}, {}", count(handshakes, "handshake"), count(verdicts, "verdict"));
    let untested = report.tested.iter().filter(|tested| tested.outcome.is_err()).count();
    match (differences, untested) {
        (0, 0) => format!("{tried}, {GOOD}all as the policy says{GOOD:#}"),
        (0, untested) => format!("{tried}, {BAD}{} not tested{BAD:#}", count(untested, "listener")),
        (differences, _) => format!("{tried}, {BAD}{}{BAD:#}", count(differences, "difference")),
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
