//! What is learned, in one sentence, for logs, the audit log and alerts.

use crate::facts::learned::{Fallen, News};
use crate::policy::alarm::Notice;
use crate::policy::interference::{Change, Relief, Suspicion};
use crate::policy::learned::{Lapsed, Level, Raised};

/// Where to look if the path is suspected.
pub(super) const WHERE_TO_LOOK: &str = "look for a firewall or a proxy on the way that rewrites SMTP (\"250-XXXXXXXA\" \
    in answers to EHLO), for a new route or provider, and at the certificates of this host's roots";

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
            format!("{domain}: {mx} shows {shown}, and nothing is held back by that; before: {evidence}")
        }
        News::Path(change) => of_path(change),
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

fn level(level: Option<Level>, none: &'static str) -> &'static str {
    level.map_or(none, Level::as_str)
}
