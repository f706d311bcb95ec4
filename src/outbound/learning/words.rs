//! What is learned, in one sentence, for logs, the audit log and alerts.

use std::sync::Arc;

use crate::alert::{Alert, State, Subject};
use crate::facts::learned::{Fallen, News};
use crate::model::domain::Domain;
use crate::model::time::Timestamp;
use crate::policy::alarm::{Notice, Violation};
use crate::policy::interference::{Change, Relief, Suspicion, WHERE_TO_LOOK};
use crate::policy::learned::{Lapsed, Level, Raised};

pub(super) fn of(news: &News) -> String {
    match news {
        News::Raised { domain, raised: Raised { from, evidence } } => {
            format!("{domain}: the learned level rises from {} to {evidence}", level(*from, "none"))
        }
        News::Lapsed { domain, lapsed: Lapsed { level, since, last_tried } } => {
            let (since, last) = (since.day(), last_tried.day());
            format!("{domain}: the learned level {level}, in force since {since}, ends; nobody tried it after {last}")
        }
        News::Alarm(notice) => of_notice(notice),
        News::Fallen(Fallen { domain, mx, evidence, shown }) => {
            let shown = level(*shown, "plaintext");
            format!("{domain}: {mx} shows {shown}, and nothing is held back by what was learned; before: {evidence}")
        }
        News::Path(change) => of_path(change),
        News::Unseen(hosts) => {
            let names: Vec<&str> = hosts.iter().map(Domain::as_str).collect();
            format!("nobody has seen {} for long", names.join(", "))
        }
    }
}

fn of_notice(notice: &Notice) -> String {
    match notice {
        Notice::Raised(violation) => format!("{violation}; what was learned holds, and the mail waits"),
        Notice::Reminder { violation, since, violations } => {
            format!("{violation}; for the {violations}th time since {}", since.brief())
        }
        Notice::Crowded { violation } => {
            format!("{violation}; so many destinations do not meet what was learned that further ones are not told")
        }
        Notice::Cleared { domain, since, violations } => {
            let since = since.brief();
            format!("{domain}: what was learned is met again, after {violations} violations since {since}")
        }
    }
}

fn of_path(change: &Change) -> String {
    match change {
        Change::Suspected(Suspicion { since, count, destinations }) => {
            let names: Vec<&str> = destinations.iter().map(|domain| domain.as_str()).collect();
            let more = match count.saturating_sub(names.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "TLS is being taken out of sessions on our own path, it seems: since {} {count} destinations that have \
                 nothing to do with each other have lost it: {}{more}; {WHERE_TO_LOOK}",
                since.brief(),
                names.join(", ")
            )
        }
        Change::Cleared { since, relief } => {
            let why = match relief {
                Relief::Recovered => "destinations have TLS again",
                Relief::Quiet => "no more of them have lost TLS",
            };
            format!("our own path is not suspected any more, as it was since {}: {why}", since.brief())
        }
    }
}

/// The alert, if it is worth one.
pub(super) fn alert(news: &News, now: Timestamp, node: &Arc<str>) -> Option<Alert> {
    let (subject, state) = match news {
        News::Raised { .. } | News::Lapsed { .. } | News::Fallen(_) | News::Unseen(_) => return None,
        News::Alarm(Notice::Raised(_)) => (Subject::LearnedViolation, State::Raised),
        News::Alarm(Notice::Reminder { .. }) => (Subject::LearnedViolation, State::Reminder),
        News::Alarm(Notice::Crowded { .. }) => (Subject::LearnedViolation, State::Crowded),
        News::Alarm(Notice::Cleared { .. }) => (Subject::LearnedViolation, State::Cleared),
        News::Path(Change::Suspected(_)) => (Subject::PathInterference, State::Raised),
        News::Path(Change::Cleared { .. }) => (Subject::PathInterference, State::Cleared),
    };
    let mut alert = Alert::new(subject, state, now, node.clone(), of(news));
    match news {
        News::Alarm(notice) => describe(&mut alert, notice),
        News::Path(Change::Suspected(Suspicion { since, count, destinations })) => {
            (alert.since, alert.count) = (Some(*since), Some(*count));
            alert.destinations.clone_from(destinations);
        }
        News::Path(Change::Cleared { since, .. }) => alert.since = Some(*since),
        News::Raised { .. } | News::Lapsed { .. } | News::Fallen(_) | News::Unseen(_) => {}
    }
    Some(alert)
}

fn describe(alert: &mut Alert, notice: &Notice) {
    let (violation, since, violations) = match notice {
        Notice::Raised(violation) => (Some(violation), violation.at, 1),
        Notice::Crowded { violation } => (Some(violation), violation.at, 1),
        Notice::Reminder { violation, since, violations } => (Some(violation), *since, *violations),
        Notice::Cleared { domain, since, violations } => {
            alert.domain = Some(domain.clone());
            (None, *since, *violations)
        }
    };
    (alert.since, alert.violations) = (Some(since), Some(violations));
    if let Some(Violation { domain, mx, wanted, met, at: _ }) = violation {
        (alert.domain, alert.mx) = (Some(domain.clone()), Some(mx.to_string()));
        (alert.wanted, alert.reason) = (Some(wanted.as_str()), Some(*met));
    }
}

fn level(level: Option<Level>, none: &'static str) -> &'static str {
    level.map_or(none, Level::as_str)
}
