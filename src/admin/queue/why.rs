//! Why a message is still here and when it is tried next: one sentence, and what helps the operator beside it. Pure.

use std::time::Duration;

use crate::admin::protocol::{Prospects, QueueRecipient, RecipientStanding};
use crate::model::escape::{peer_text, shortened};
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::outbound::overview::{Circumstances, Hold, HoldScope, Run, Stop};
use crate::policy::settings::Fact;

use super::advice::advice;

/// What is told beside the first sentence is left out from here on.
const WHY_BYTES: usize = 420;
/// Of the words about a failure.
const DETAIL_BYTES_MAX: usize = 140;
/// Of the words about a hold.
const REASON_BYTES_MAX: usize = 120;
/// Other hosts that are named.
const OTHERS_SHOWN_MAX: usize = 2;

/// A recipient with what is around it.
type Seen = (QueueRecipient, Circumstances);

/// The one recipient that speaks for the message.
struct Case<'a> {
    id: MessageId,
    now: Timestamp,
    recipient: &'a QueueRecipient,
    around: &'a Circumstances,
    /// The address, and how many others there are.
    whom: String,
}

/// About the recipient that comes first: one that is being delivered, then one that is due, then who is due next.
pub fn why(id: MessageId, recipients: &[Seen], now: Timestamp) -> String {
    let open: Vec<&Seen> = recipients.iter().filter(|(recipient, _)| order(recipient.state).is_some()).collect();
    let Some((first, around)) = open.iter().min_by_key(|(one, _)| (order(one.state), one.next_attempt)) else {
        return "All recipients are settled; the message is being removed.".to_owned();
    };
    let is_like = |(one, _): &&&Seen| (one.reason, &one.mx) == (first.reason, &first.mx);
    let alike = open.iter().filter(is_like).count();
    let others = match (alike.saturating_sub(1), open.len() - alike) {
        (0, 0) => String::new(),
        (0, others) => format!(" ({others} more for other reasons)"),
        (alike, 0) => format!(" (and {alike} more)"),
        (alike, others) => format!(" (and {alike} more; {others} for other reasons)"),
    };
    let case = Case { id, now, recipient: first, around, whom: format!("{}{others}", first.address) };
    let (sentence, beside) = match (first.state, first.reason) {
        (RecipientStanding::Active, _) => case.active(),
        (RecipientStanding::Held, _) => case.held(),
        (_, Some(reason)) => case.failed(reason),
        (_, None) => case.untried(),
    };
    let fits = |text: &str, next: &str| text.len() + 1 + next.len() <= WHY_BYTES;
    beside.iter().fold(sentence, |text, next| if fits(&text, next) { format!("{text} {next}") } else { text })
}

/// `None` for who is settled.
const fn order(standing: RecipientStanding) -> Option<u8> {
    match standing {
        RecipientStanding::Active => Some(0),
        RecipientStanding::Ready => Some(1),
        RecipientStanding::Waiting => Some(2),
        RecipientStanding::Held => Some(3),
        RecipientStanding::Delivered
        | RecipientStanding::Bounced
        | RecipientStanding::Expired
        | RecipientStanding::Dropped => None,
    }
}

impl Case<'_> {
    fn active(&self) -> (String, Vec<String>) {
        let run = self.around.run.as_ref().map(|Run { since, host }| {
            let host = host.as_ref().map(|host| format!(", at {host} by now")).unwrap_or_default();
            format!(", for {}{host}", span(self.now.saturating_since(*since)))
        });
        let before = self
            .recipient
            .reason
            .map(|reason| format!("Before that it failed {} with {reason}.", times(self.recipient.attempts)));
        let sentence = format!("It is being delivered to {} right now{}.", self.whom, run.unwrap_or_default());
        (sentence, before.into_iter().chain(self.giving_up()).collect())
    }

    fn held(&self) -> (String, Vec<String>) {
        let release = |which: &str| format!("`gatepost queue release {which}` lets it go.");
        let Some(Hold { scope, by, at, until, reason }) = &self.around.hold else {
            let release = release(&self.id.to_string());
            return (format!("The delivery to {} is held.", self.whom), vec![release]);
        };
        let (what, which) = match scope {
            HoldScope::Message => (format!("The delivery to {} is held", self.whom), self.id.to_string()),
            HoldScope::Domain(name) => (format!("All mail for {name} is held"), format!("--to-domain {name}")),
            HoldScope::Route(name) => (format!("All mail by the route {name} is held"), format!("--route {name}")),
        };
        let since = at.brief();
        let reason = reason.as_deref().map(|reason| format!(" (\"{}\")", peer_text(reason, REASON_BYTES_MAX)));
        let until = until.map_or_else(
            || "until somebody releases it".to_owned(),
            |until| format!("until {} ({})", until.brief(), within(until.saturating_since(self.now))),
        );
        let sentence = format!("{what} by {by} since {since}{}, {until}.", reason.unwrap_or_default());
        // It is not given up while it is held.
        let end = self.recipient.prospects.expires_at.filter(|end| *end > self.now);
        let end = end.map(|end| format!("Its lifetime ends {}: released later, it is tried once.", end.brief()));
        (sentence, std::iter::once(release(&which)).chain(end).collect())
    }

    fn untried(&self) -> (String, Vec<String>) {
        let (obstacle, helps) = self.obstacle().unwrap_or_else(|| {
            let next = self.recipient.next_attempt.filter(|next| *next > self.now);
            let waits = next.map(|next| format!("it is tried {}.", within(next.saturating_since(self.now))));
            (waits.unwrap_or_else(|| "it waits for its turn.".to_owned()), None)
        });
        let sentence = format!("Delivery to {} has not been tried yet; {obstacle}", self.whom);
        (sentence, helps.into_iter().chain(self.giving_up()).collect())
    }

    fn failed(&self, reason: Reason) -> (String, Vec<String>) {
        let QueueRecipient { mx, detail, attempts, next_attempt, .. } = self.recipient;
        let at = mx.as_ref().map(|mx| format!(" at {mx}")).unwrap_or_default();
        let detail = detail.as_deref().filter(|detail| !detail.is_empty());
        let detail = detail.map(|detail| format!(" ({})", shortened(detail, DETAIL_BYTES_MAX))).unwrap_or_default();
        let obstacle = self.obstacle();
        let next = match next_attempt.map(|next| next.saturating_since(self.now)).filter(|left| left.as_secs() > 0) {
            Some(left) => format!("it is tried again {}", within(left)),
            None if obstacle.is_some() => "it is due".to_owned(),
            None => "it is tried again now".to_owned(),
        };
        let failed = times(*attempts);
        let by_way = self.by_way();
        let sentence = format!("Delivery to {} failed {failed} with {reason}{at}{detail}; {next}{by_way}.", self.whom);
        let (obstacle, helps) = obstacle.unzip();
        let mut beside: Vec<String> = obstacle.iter().map(|obstacle| capital(obstacle)).collect();
        beside.extend(helps.flatten());
        beside.extend(self.asked_by());
        beside.extend(self.narrowed());
        beside.extend(advice(reason, self.recipient));
        beside.extend(self.giving_up());
        beside.extend(self.others());
        beside.extend(self.told());
        (sentence, beside)
    }

    /// What keeps a delivery that is due, or would be, and what to do about it: half a sentence and a whole one.
    fn obstacle(&self) -> Option<(String, Option<String>)> {
        let around = self.around;
        let to = match &*around.destination {
            "" => "its destination".to_owned(),
            // Named by its place in a file.
            route if route.contains('/') => format!("the route of {route}"),
            name => name.to_owned(),
        };
        let status = Some("`gatepost status` tells more.".to_owned());
        match around.stop {
            Some(Stop::NotRunning) => {
                return Some(("the daemon is not running: start it with `gatepost serve`.".to_owned(), None));
            }
            Some(Stop::Spool) => return Some(("nothing is begun while the spool cannot be written.".into(), status)),
            Some(Stop::Audit) => {
                return Some(("nothing is begun while the audit log cannot be written.".into(), status));
            }
            None => {}
        }
        if let Some(until) = around.down_until {
            let probe = format!("`gatepost queue retry {}` probes it now.", self.id);
            let moment = self.moment(until);
            return Some((format!("{to} is taken to be down and is probed {moment}."), Some(probe)));
        }
        if self.recipient.state != RecipientStanding::Ready {
            return None;
        }
        if let Some(until) = around.rests_until {
            let moment = within(until.saturating_since(self.now));
            let with = others_due(around);
            return Some((
                format!("{to} refused even a single connection and is left alone; it goes on {moment}{with}."),
                None,
            ));
        }
        if let Some(until) = around.rate_until {
            let moment = within(until.saturating_since(self.now));
            let with = others_due(around);
            return Some((format!("{to} gets mail at its rate only: the next may go {moment}{with}."), None));
        }
        let total = usize::try_from(around.total_concurrency).unwrap_or(usize::MAX);
        if total > 0 && around.total_active >= total {
            let limit = "[limits].max_outbound_connections sets how many.";
            let full = format!("all {total} deliveries that may run at once are running{}.", others_due(around));
            return Some((full, Some(limit.to_owned())));
        }
        let (active, most) = (around.active, around.concurrency);
        (around.ready > 1 || active > 0).then(|| {
            let others = match around.ready {
                0 | 1 => String::new(),
                2 => "1 other is due there too, and ".to_owned(),
                ready => format!("{} others are due there too, and ", ready - 1),
            };
            (format!("it waits for its turn: {others}{active} of at most {most} deliveries to {to} run now."), None)
        })
    }

    /// The destination takes less than the policy permits.
    fn narrowed(&self) -> Option<String> {
        let Circumstances { destination, concurrency, concurrency_max, had_enough, .. } = self.around;
        (*had_enough && concurrency < concurrency_max).then(|| {
            format!("{destination} is found to take few deliveries at once: {concurrency} of {concurrency_max} now.")
        })
    }

    /// What TLS has to do with it: by which route it goes now, or since when it waits.
    fn by_way(&self) -> String {
        match (&self.recipient.route, self.recipient.lacks_tls_since) {
            (Some(route), _) => {
                format!(", by the route {route}, because its own mail hosts could not meet its policy for too long")
            }
            (None, Some(since)) => format!("; it has waited for TLS for {}", span(self.now.saturating_since(since))),
            (None, None) => String::new(),
        }
    }

    fn asked_by(&self) -> Vec<String> {
        let asked_by = &self.recipient.prospects.asked_by;
        let mut sentences = Vec::new();
        if !asked_by.is_empty() {
            sentences.push(format!("TLS is asked for by {}.", asked_by.join(", ")));
        }
        let domain = self.recipient.address.rsplit_once('@').map(|(_, domain)| domain);
        if let Some(domain) = domain.filter(|_| asked_by.iter().any(|by| by == Fact::Learned.as_str())) {
            let forget = format!("`gatepost learned forget {domain}`");
            sentences.push(format!("If its hosts will not meet what was learned again: {forget}."));
        }
        sentences
    }

    fn others(&self) -> Option<String> {
        let others = &self.recipient.prospects.other_hosts;
        let shown = others.iter().take(OTHERS_SHOWN_MAX).map(|other| format!("{} ({})", other.mx, other.reason));
        let shown = shown.collect::<Vec<_>>().join(", ");
        match others.len() {
            0 => None,
            count if count <= OTHERS_SHOWN_MAX => Some(format!("Other hosts failed too: {shown}.")),
            count => Some(format!("Other hosts failed too: {shown} and {} more.", count - OTHERS_SHOWN_MAX)),
        }
    }

    fn giving_up(&self) -> Option<String> {
        let Prospects { expires_at, reroute_to, reroute_at, .. } = &self.recipient.prospects;
        match (reroute_to, reroute_at, expires_at) {
            (Some(route), Some(at), _) => {
                Some(format!("If that is not met by then, it goes by the route {route} {}.", self.moment(*at)))
            }
            (_, _, Some(at)) => Some(format!("It is given up {}.", self.moment(*at))),
            _ => None,
        }
    }

    fn told(&self) -> Vec<String> {
        let Prospects { told_at, tell_at, .. } = self.recipient.prospects;
        let told = told_at.map(|at| format!("The sender was told {}.", at.brief()));
        told.into_iter().chain(tell_at.map(|at| format!("The sender is told {}.", self.moment(at)))).collect()
    }

    fn moment(&self, at: Timestamp) -> String {
        format!("{} ({})", within(at.saturating_since(self.now)), at.brief())
    }
}

fn others_due(around: &Circumstances) -> String {
    match around.ready {
        0 | 1 => String::new(),
        2 => ", and 1 other is due there too".to_owned(),
        ready => format!(", and {} others are due there too", ready - 1),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    // The name of a destination is written as it is.
    let is_word = text.split([' ', ',']).next().is_some_and(|word| !word.contains('.'));
    if is_word { first.into_iter().chain(letters).collect() } else { text.to_owned() }
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn times(count: u32) -> String {
    match count {
        0 | 1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

fn within(left: Duration) -> String {
    match left.as_secs() {
        0 => "now".to_owned(),
        _ => format!("in {}", span(left)),
    }
}

#[cfg(test)]
mod tests;
