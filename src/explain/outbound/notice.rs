//! What the sender is told, and when: the schedule of attempts and the notices that come of it.

use std::sync::Arc;
use std::time::Duration;

use crate::mail::dsn::{AskedBy, explanation_for, status_for};
use crate::model::address::ReversePath;
use crate::model::human::span;
use crate::model::reason::Reason;
use crate::model::reply::EnhancedCode;
use crate::policy::delivery::DeliveryVerdict;
use crate::policy::waiting::Standing;

use super::Explained;

/// The schedule in force for one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub retry: Vec<Duration>,
    pub lifetime: Duration,
    /// `None`: the sender is never warned.
    pub warning: Option<Duration>,
    /// The sender is warned only if the client that brought the message is trusted.
    pub warning_needs_trust: bool,
    /// The sender is told that the mail waits for TLS.
    pub tls_warning: Option<Duration>,
    /// Another route is taken, as long as TLS is what is lacking.
    pub reroute: Option<(Arc<str>, Duration)>,
}

/// The notice that ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub status: EnhancedCode,
    pub text: Option<String>,
}

impl Schedule {
    /// Of a message that came now and is held back for `reason` from now on.
    pub fn of(explained: &Explained<'_>, reason: Reason) -> Self {
        let (question, decision) = (&explained.question, &explained.decision);
        let spool = &question.config.spool;
        let is_null = *question.from == ReversePath::Null;
        let lifetime = decision.lifetime.unwrap_or(spool.lifetime);
        let hosted = question.from.domain().is_some_and(|domain| question.config.policies.is_hosted(domain));
        let lifetime = if is_null { spool.bounce_lifetime } else { lifetime };
        let at = question.at;
        let standing = Standing {
            decision,
            lacks_tls_since: decision.lacks_tls(reason).then_some(at),
            now: at,
            expires_at: at + lifetime,
        };
        let tls_warning = standing.notice_at().filter(|_| !is_null).map(|moment| moment.saturating_since(at));
        let reroute = standing.reroute().map(|(route, moment)| (route, moment.saturating_since(at)));
        Self {
            retry: decision.retry.clone().unwrap_or_else(|| spool.retry.clone()),
            lifetime,
            warning: (!is_null).then_some(spool.delay_warning),
            warning_needs_trust: !hosted,
            tls_warning,
            reroute,
        }
    }

    /// What happens while it waits.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let end = self.reroute.as_ref().map_or(self.lifetime, |(_, after)| *after);
        let mut rows = vec![("retries", format!("{}, until {} have passed", self.in_words(), span(end)))];
        let condition = if self.warning_needs_trust { ", if a trusted client brought the message" } else { "" };
        let warnings = [(self.tls_warning, " that it waits for TLS"), (self.warning, "")];
        for (after, of_what) in warnings {
            if let Some(after) = after.filter(|after| *after < end) {
                rows.push(("warning", format!("to the sender after {}{of_what}{condition}", span(after))));
            }
        }
        rows
    }

    /// `1m, 5m, 15m, then every 1h`.
    fn in_words(&self) -> String {
        let spans: Vec<String> = self.retry.iter().copied().map(span).collect();
        match spans.split_last() {
            Some((last, [])) => format!("every {last}"),
            Some((last, first)) => format!("after {}, then every {last}", first.join(", ")),
            None => String::new(),
        }
    }
}

/// `None` where nobody is told: the message has the null sender.
pub fn of(explained: &Explained<'_>, verdict: DeliveryVerdict, reason: Reason) -> Option<Notice> {
    if *explained.question.from == ReversePath::Null {
        return None;
    }
    let status = match verdict {
        DeliveryVerdict::Defer => status_for(Reason::Expired, true),
        _ => status_for(reason, true),
    };
    Some(Notice { status, text: explanation_for(reason, AskedBy::Policy) })
}

/// Labels and texts for the page; none where the message goes out.
pub fn rows(explained: &Explained<'_>) -> Vec<(&'static str, String)> {
    let Some((verdict, reason)) = explained.failed() else { return Vec::new() };
    let schedule = Schedule::of(explained, reason);
    let notice = of(explained, verdict, reason);
    let mut rows = Vec::new();
    if verdict == DeliveryVerdict::Defer {
        rows.extend(schedule.rows());
    }
    if let Some((route, after)) = schedule.reroute.filter(|_| verdict == DeliveryVerdict::Defer) {
        let text = format!("after {}, by the route \"{route}\", which has a requirement of its own", span(after));
        rows.push(("rerouted", text));
        return rows;
    }
    let when = match verdict {
        DeliveryVerdict::Defer => format!("after {}", span(schedule.lifetime)),
        _ => "at once".to_owned(),
    };
    rows.push(match notice {
        Some(Notice { status, text }) => {
            let text = text.map(|text| format!(": \"{text}\"")).unwrap_or_default();
            ("bounce", format!("{when}, with status {status} and the reason {reason}{text}"))
        }
        None => ("dropped", format!("{when}; nobody is told, because the sender is the null sender")),
    });
    rows
}
