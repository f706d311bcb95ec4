//! The part of the status about the audit log: its newest checkpoint, and whether it arrives elsewhere.

use crate::admin::protocol::{AuditStatus, CheckpointStatus, DestinationStatus, Status};
use crate::cli::output::{BAD, WIDTH_COLUMNS};
use crate::cli::table::{Cell, Column, lines};
use crate::model::human::{count, second, shown, span, wrap};
use crate::model::time::Timestamp;

/// Whether proofs do not get where they should, or old segments cannot be looked after.
pub(super) fn is_at_risk(audit: &AuditStatus) -> bool {
    audit.fault.is_some() || audit.destinations.iter().any(|one| one.error.is_some())
}

/// `writable; checkpoint 1234, 2m ago`.
pub(super) fn summary(status: &Status, now: Timestamp) -> String {
    let state = if status.audit_writable { "writable" } else { "cannot be written" };
    match status.audit.checkpoint {
        Some(checkpoint) => format!("{state}; checkpoint {}", place(checkpoint, now)),
        None => state.to_owned(),
    }
}

/// Where checkpoints go, and below it why they do not arrive. Empty if there is nothing to tell.
pub(super) fn destinations(audit: &AuditStatus, now: Timestamp) -> Vec<String> {
    let columns =
        [Column::left("CHECKPOINTS"), Column::left("TO").shrinking(), Column::left("LAST"), Column::left("STATE")];
    let row = |one: &DestinationStatus| {
        let last = one.sent.map_or_else(|| "none yet".to_owned(), |sent| place(sent, now));
        let state = match (&one.error, one.waiting) {
            (Some(_), _) => Cell::styled("failing".to_owned(), BAD),
            (None, 0) => "up to date".into(),
            (None, waiting) => format!("{waiting} waiting").into(),
        };
        vec![one.kind.as_str().into(), one.target.as_str().into(), last.into(), state]
    };
    let mut page = match audit.destinations.as_slice() {
        [] => Vec::new(),
        some => lines(&columns, &some.iter().map(row).collect::<Vec<_>>(), WIDTH_COLUMNS),
    };
    for text in audit.destinations.iter().flat_map(problems).chain(audit.fault.clone()) {
        if !page.is_empty() {
            page.push(String::new());
        }
        page.extend(wrap(&shown(&text), WIDTH_COLUMNS).into_iter().map(|line| format!("{BAD}{line}{BAD:#}")));
    }
    page
}

fn problems(one: &DestinationStatus) -> Vec<String> {
    let failing = one.error.iter().zip(one.failing_since);
    let failing = failing.map(|(error, since)| format!("{}: failing since {}: {error}", one.kind, second(since)));
    let lost = (one.given_up > 0)
        .then(|| format!("{}: {} never sent, because too many waited", one.kind, count(one.given_up, "checkpoint")));
    failing.chain(lost).collect()
}

fn place(checkpoint: CheckpointStatus, now: Timestamp) -> String {
    format!("{}, {} ago", checkpoint.seq, span(now.saturating_since(checkpoint.time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(kind: &str, target: &str, sent: Option<CheckpointStatus>, error: Option<&str>) -> DestinationStatus {
        DestinationStatus {
            kind: kind.into(),
            target: target.into(),
            sent,
            waiting: usize::from(error.is_some()),
            given_up: 0,
            error: error.map(str::to_owned),
            failing_since: error.map(|_| Timestamp::from_secs(1_800_000_000)),
        }
    }

    #[test]
    fn the_page_tells_where_checkpoints_arrive_and_why_they_do_not() {
        let time = Timestamp::from_secs(1_800_000_000);
        let sent = Some(CheckpointStatus { seq: 1234, time });
        let mut audit = AuditStatus {
            checkpoint: sent,
            destinations: vec![
                destination("file", "/mnt/elsewhere/checkpoints.jsonl", sent, None),
                destination("webhook", "https://hooks.example.org/…", None, Some("it answers with status 500")),
            ],
            fault: None,
        };
        let now = time + std::time::Duration::from_secs(120);
        let text = |audit: &AuditStatus| anstream::adapter::strip_str(&destinations(audit, now).join("\n")).to_string();
        let expected = "\
CHECKPOINTS  TO                                LAST          STATE
file         /mnt/elsewhere/checkpoints.jsonl  1234, 2m ago  up to date
webhook      https://hooks.example.org/…       none yet      failing

webhook: failing since 2027-01-15 08:00:00 UTC: it answers with status 500";
        assert_eq!(text(&audit), expected);
        assert!(is_at_risk(&audit));

        audit.destinations.truncate(1);
        assert!(!is_at_risk(&audit));
        audit.destinations.clear();
        assert_eq!(text(&audit), "");
        audit.fault = Some("the disk is full".into());
        assert_eq!(text(&audit), "the disk is full");
        assert!(is_at_risk(&audit));
    }
}
