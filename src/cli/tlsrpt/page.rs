//! Tallies and reports for people.

use crate::admin::protocol::Response;
use crate::admin::tlsrpt::{Shown, Tallies, TallyStatus};
use crate::cli::human::labelled;
use crate::cli::output::{BAD, BOLD, GOOD, ODD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::facts::tlsrpt::filed::{FiledTarget, TargetState};
use crate::mail::tlsrpt::report::{Failure, FailureDetails, PolicyReport, Summary};
use crate::model::human::{count, second, shown, span, thousands, wrap};
use crate::model::time::Timestamp;

const COLUMNS: [Column<'static>; 5] = [
    Column::left("DAY"),
    Column::left("DOMAIN").shrinking(),
    Column::right("OK"),
    Column::right("FAILED"),
    Column::left("REPORT"),
];
const INDENT: &str = "  ";

pub(super) fn is_sent(state: &TargetState) -> bool {
    matches!(state, TargetState::Sent { .. })
}

/// Ends with a line end, as all here.
pub(super) fn list(tallies: &Tallies, now: Timestamp) -> String {
    let mut page = Vec::new();
    if !tallies.tallies.is_empty() {
        let rows: Vec<Vec<Cell>> = tallies.tallies.iter().map(|tally| row(tally, tallies.reports, now)).collect();
        page.extend(lines(&COLUMNS, &rows, WIDTH_COLUMNS));
    }
    let more = if tallies.omitted == 0 { String::new() } else { format!(" and {} older", tallies.omitted) };
    let off = if tallies.reports { "" } else { "; no reports are made: write `contact` under [tlsrpt]" };
    page.push(format!("{}{more}{off}", count(tallies.tallies.len(), "tally")));
    page.push(String::new());
    page.join("\n")
}

fn row(tally: &TallyStatus, reports: bool, now: Timestamp) -> Vec<Cell> {
    let failures = thousands(tally.failures);
    vec![
        tally.day.to_string().into(),
        shown(tally.domain.as_str()).into_owned().into(),
        thousands(tally.successes).into(),
        if tally.failures == 0 { failures.into() } else { Cell::styled(failures, ODD) },
        if reports || tally.tried.is_some() { standing(tally, now) } else { "none".into() },
    ]
}

fn standing(tally: &TallyStatus, now: Timestamp) -> Cell {
    if tally.tried.is_none() {
        let due = match tally.due > now {
            true => format!("due in {}", span(tally.due.saturating_since(now))),
            false => "due".to_owned(),
        };
        return match &tally.early {
            Some(early) if early.targets.iter().all(|target| is_sent(&target.state)) => {
                format!("{due}; early one sent").into()
            }
            Some(_) => Cell::styled(format!("{due}; early one failed"), ODD),
            None => due.into(),
        };
    }
    let total = tally.targets.len();
    let sent = tally.targets.iter().filter(|target| is_sent(&target.state)).count();
    let open = tally.targets.iter().filter(|target| !target.state.is_over()).count();
    match (total, sent, open) {
        (0, ..) => "not wanted".into(),
        (_, _, 0) if sent == total => Cell::styled("sent", GOOD),
        (_, 0, 0) => Cell::styled("given up", BAD),
        (_, _, 0) => Cell::styled(format!("sent to {sent} of {total}"), ODD),
        _ => {
            let waiting = tally.targets.iter().filter_map(|target| match target.state {
                TargetState::Waiting { next, .. } => Some(next),
                _ => None,
            });
            let next = waiting.min().map(|next| format!(", next try in {}", span(next.saturating_since(now))));
            Cell::styled(format!("{sent} of {total} sent{}", next.unwrap_or_default()), ODD)
        }
    }
}

/// One report with what became of it.
pub(super) fn report(shown_report: &Shown, now: Timestamp) -> String {
    let Shown { status, report } = shown_report;
    let mut page = vec![format!("{BOLD}{} on {}{BOLD:#}", shown(status.domain.as_str()), status.day), String::new()];
    page.extend(labelled("id", &shown(&report.report_id)));
    page.extend(labelled("by", &shown(&format!("{} <{}>", report.organization_name, report.contact_info))));
    match status.tried {
        None => page.extend(labelled("due", &second(status.due))),
        Some(tried) => page.extend(labelled("tried", &format!("{}, {} ago", second(tried), ago(tried, now)))),
    }
    page.extend(status.targets.iter().flat_map(|target| target_lines(target, now)));
    if let Some(early) = &status.early {
        page.extend(labelled("early", &format!("what was counted by then, {}", second(early.at))));
        page.extend(early.targets.iter().flat_map(|target| target_lines(target, now)));
    }
    for policy in &report.policies {
        page.push(String::new());
        page.extend(policy_lines(policy));
    }
    page.push(String::new());
    page.join("\n")
}

/// What came of a report that was to be sent at once.
pub(super) fn sent(answer: &Response, now: Timestamp) -> String {
    let Response::TlsrptSent { domain, day, targets } = answer else { return String::new() };
    let mut page = vec![format!("{BOLD}{} on {day}{BOLD:#}", shown(domain.as_str()))];
    page.extend(targets.iter().flat_map(|target| target_lines(target, now)));
    page.push(String::new());
    page.join("\n")
}

fn target_lines(target: &FiledTarget, now: Timestamp) -> Vec<String> {
    let (style, state) = match &target.state {
        TargetState::Sent { at, message: Some(message) } => {
            (GOOD, format!("in the queue as {message} since {}", second(*at)))
        }
        TargetState::Sent { at, message: None } => (GOOD, format!("sent at {}", second(*at))),
        TargetState::Queuing { .. } => (ODD, "being put into the queue".to_owned()),
        TargetState::GivenUp { at, error } => (BAD, format!("given up at {}: {error}", second(*at))),
        TargetState::Waiting { tries: 0, .. } => (ODD, "waits".to_owned()),
        TargetState::Waiting { tries, next, error } => {
            let error = error.as_deref().unwrap_or("it failed");
            let next = span(next.saturating_since(now));
            (ODD, format!("{}, next in {next}: {error}", count(u64::from(*tries), "try")))
        }
    };
    let mut page = wrap(&shown(&target.to.to_string()), WIDTH_COLUMNS);
    let state = wrap(&shown(&state), WIDTH_COLUMNS - INDENT.len());
    page.extend(state.into_iter().map(|line| format!("{INDENT}{style}{line}{style:#}")));
    page
}

fn policy_lines(policy: &PolicyReport) -> Vec<String> {
    let Summary { successes, failures } = policy.summary;
    let name = format!("{} {}", policy.policy.policy_type.as_str(), shown(policy.policy.policy_domain.as_str()));
    let style = if failures == 0 { GOOD } else { ODD };
    let counts = format!("{} ok, {} failed", thousands(successes), thousands(failures));
    let mut page = vec![format!("{BOLD}{name}{BOLD:#}: {style}{counts}{style:#}")];
    page.extend(policy.failure_details.iter().flat_map(detail_lines));
    page
}

fn detail_lines(details: &FailureDetails) -> Vec<String> {
    let Failure { result_type, receiving_mx_hostname, receiving_ip, failure_reason_code, .. } = &details.failure;
    let mut text = format!("{} {}", thousands(details.failed_session_count), result_type.as_str());
    if let Some(host) = receiving_mx_hostname {
        text += &format!(" at {host}");
    }
    if let Some(ip) = receiving_ip {
        text += &format!(" [{ip}]");
    }
    if let Some(code) = failure_reason_code {
        text += &format!(": {code}");
    }
    let wrapped = wrap(&shown(&text), WIDTH_COLUMNS - INDENT.len());
    wrapped.into_iter().map(|line| format!("{INDENT}{line}")).collect()
}

fn ago(then: Timestamp, now: Timestamp) -> String {
    span(now.saturating_since(then))
}

#[cfg(test)]
mod tests;
