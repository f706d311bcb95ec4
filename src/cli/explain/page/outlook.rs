//! What is to come for the session that is explained, day by day.

use crate::cli::output::{BOLD, DIM, WIDTH_COLUMNS};
use crate::explain::inbound::outlook::{Change, Moment, Outlook};
use crate::model::human::{count, shown, wrap};
use crate::policy::inbound::Verdict;
use crate::policy::provenance::{Coming, Keys as _};

use super::{INDENT, Played, command, word};

const GAP_COLUMNS: usize = 2;

pub(super) fn lines(outlook: &Outlook<'_>) -> Vec<String> {
    if outlook.moments.is_empty() {
        return Vec::new();
    }
    let days = outlook.moments.iter().map(|moment| moment.at.brief().len()).max();
    let indent = INDENT.len() + days.unwrap_or_default() + GAP_COLUMNS;
    let mut page = vec![String::new(), format!("{BOLD}What is to come for this session{BOLD:#}")];
    page.extend(outlook.moments.iter().flat_map(|moment| entry(moment, indent)));
    if outlook.left_out > 0 {
        page.push(format!("{INDENT}{DIM}and {} later{DIM:#}", count(outlook.left_out, "change")));
    }
    page
}

fn entry(moment: &Moment<'_>, indent: usize) -> Vec<String> {
    let mut entry: Vec<String> =
        moment.changes.iter().flat_map(|change| wrap(&told(change), WIDTH_COLUMNS - indent)).collect();
    let (_, style) = word(moment.played.outcome.verdict);
    let answer = wrap(&answer(moment), WIDTH_COLUMNS - indent);
    if moment.is_the_same {
        entry.extend(answer.into_iter().map(|line| format!("{DIM}{line}{DIM:#}")));
    } else {
        entry.extend(answer.into_iter().map(|line| format!("{style}{line}{style:#}")));
    }
    let at = format!("{INDENT}{}", moment.at.brief());
    let labels = std::iter::once(at.as_str()).chain(std::iter::repeat(""));
    entry.into_iter().zip(labels).map(|(line, label)| format!("{label:indent$}{line}")).collect()
}

fn told(change: &Change<'_>) -> String {
    match change {
        Change::Settings(Coming::Step(step)) => {
            let keys = step.layer.written();
            let keys: Vec<_> = keys.iter().map(|row| format!("{} = {}", row.key, shown(&row.value))).collect();
            format!("step, {}: {}", step.source, keys.join(", "))
        }
        Change::Settings(Coming::Expiry(terms)) => {
            format!("exception ends, {}: {} (owner: {})", terms.source, shown(&terms.reason), shown(&terms.owner))
        }
        Change::Switch(source) => format!("the emergency switch ends, {source}"),
    }
}

fn answer(moment: &Moment<'_>) -> String {
    if moment.is_the_same {
        return "no change for this session".to_owned();
    }
    format!("then {}", end(&moment.played))
}

/// `refused at RCPT TO: 554 5.7.10, version-below-minimum`.
pub(super) fn end(played: &Played) -> String {
    let outcome = &played.outcome;
    let (word, _) = word(outcome.verdict);
    let reason = outcome.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
    match outcome.verdict {
        Verdict::Accept => word.to_owned(),
        Verdict::WouldRefuse => format!("accepted, and reported as {}", reason.trim_start_matches(", ")),
        Verdict::Defer | Verdict::Refuse => {
            let reply = played.reply();
            let enhanced = reply.enhanced.map(|enhanced| format!(" {enhanced}")).unwrap_or_default();
            format!("{word} at {}: {}{enhanced}{reason}", command(outcome.stage), reply.code)
        }
    }
}
