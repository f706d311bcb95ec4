//! One message on a page: what it is, why it is still here, and how each recipient stands.

use crate::admin::protocol::steering::HoldInForce;
use crate::admin::protocol::{Prospects, QueueMessage, QueueRecipient};
use crate::cli::human::labelled;
use crate::cli::output::{BOLD, ODD, WIDTH_COLUMNS};
use crate::model::human::{bytes, count, second, shown, span, wrap};
use crate::model::time::Timestamp;

use super::list::word;

const INDENT: &str = "  ";

/// Ends with a line end.
pub(super) fn page(message: &QueueMessage, now: Timestamp) -> String {
    let age = span(now.saturating_since(message.received_at));
    let mut page = vec![format!("{BOLD}{}{BOLD:#}", message.id), String::new()];
    let from = if message.from.is_empty() { "<>" } else { &message.from };
    let mut facts = vec![("received", format!("{}, {age} ago", second(message.received_at)))];
    facts.push(("from", from.to_owned()));
    facts.extend(message.subject.as_ref().map(|subject| ("subject", subject.clone())));
    facts.push(("size", bytes(message.size)));
    facts.push(("came by", way(message)));
    facts.push(("why", message.why.clone()));
    for (label, text) in &facts {
        page.extend(labelled(label, &shown(text)));
    }
    page.extend([String::new(), format!("{BOLD}{}{BOLD:#}", count(message.recipients.len(), "recipient"))]);
    for recipient in &message.recipients {
        page.extend(lines_of(recipient, now));
    }
    page.push(String::new());
    page.join("\n")
}

fn way(message: &QueueMessage) -> String {
    if message.listener.is_empty() {
        return "a notice of our own".to_owned();
    }
    let client = message.client.as_deref().map(|client| format!(", client {client}")).unwrap_or_default();
    let tls = message.tls.as_deref().unwrap_or("no TLS");
    format!("listener {}{client}, {tls}", message.listener)
}

fn lines_of(recipient: &QueueRecipient, now: Timestamp) -> Vec<String> {
    let mut standing = word(recipient.state).to_owned();
    if let Some(destination) = &recipient.destination {
        standing += &format!(" for {}", shown(destination));
    }
    if recipient.attempts > 0 {
        standing += &format!(", {}", count(recipient.attempts, "attempt"));
    }
    if let Some(last) = recipient.last_attempt {
        standing += &format!(", last {} ago", span(now.saturating_since(last)));
    }
    if let Some(next) = recipient.next_attempt {
        standing += &format!(", next in {} ({})", span(next.saturating_since(now)), second(next));
    }
    let mut trouble = recipient.reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default();
    if let Some(mx) = &recipient.mx {
        trouble += &format!(" at {}", shown(mx));
    }
    if let Some(detail) = &recipient.detail {
        trouble += &format!(": {}", shown(detail));
    }
    let mut lines = wrap(&shown(&recipient.address), WIDTH_COLUMNS);
    let room = WIDTH_COLUMNS - INDENT.len();
    lines.extend(wrap(&standing, room).into_iter().map(|line| format!("{INDENT}{line}")));
    if !trouble.is_empty() {
        let wrapped = wrap(trouble.trim_start_matches([':', ' ']), room).into_iter();
        lines.extend(wrapped.map(|line| format!("{INDENT}{ODD}{line}{ODD:#}")));
    }
    let ahead = ahead(&recipient.prospects, now);
    lines.extend(ahead.iter().flat_map(|text| wrap(&shown(text), room)).map(|line| format!("{INDENT}{line}")));
    lines
}

/// What else is known, and what comes next.
fn ahead(prospects: &Prospects, now: Timestamp) -> Vec<String> {
    let Prospects { asked_by, other_hosts, expires_at, reroute_to, reroute_at, told_at, tell_at, hold } = prospects;
    let moment = |at: Timestamp| format!("in {} ({})", span(at.saturating_since(now)), second(at));
    let mut texts: Vec<String> =
        other_hosts.iter().map(|other| format!("{} at {}: {}", other.reason, other.mx, other.detail)).collect();
    texts.extend(hold.as_ref().map(held));
    if !asked_by.is_empty() {
        texts.push(format!("TLS is asked for by {}", asked_by.join(", ")));
    }
    let reroute = reroute_to.as_ref().zip(*reroute_at);
    texts.extend(reroute.map(|(route, at)| format!("by the route {route} {}, should TLS be lacking", moment(at))));
    // While it is held it is not given up, and nobody is told.
    let tell_at = tell_at.filter(|_| hold.is_none());
    let end = if hold.is_none() { "given up" } else { "its lifetime ends" };
    texts.extend(expires_at.map(|at| format!("{end} {}", moment(at))));
    texts.extend(told_at.map(|at| format!("the sender was told {}", second(at))));
    texts.extend(tell_at.map(|at| format!("the sender is told {}", moment(at))));
    texts
}

fn held(hold: &HoldInForce) -> String {
    let what = match (&hold.domain, &hold.route) {
        (Some(domain), _) => format!("all mail to {domain} is held"),
        (None, Some(route)) => format!("all mail by the route {route} is held"),
        (None, None) => "held".to_owned(),
    };
    let until = hold.until.map_or_else(|| "until it is released".to_owned(), |at| format!("until {}", second(at)));
    let reason = hold.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{what} by {} since {}, {until}{reason}", hold.by, second(hold.since))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::admin::protocol::RecipientStanding;
    use crate::model::actor::Actor;
    use crate::model::id::MessageId;
    use crate::model::reason::Reason;
    use crate::spool::state::OtherHost;

    pub(in crate::cli::queue) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    pub(in crate::cli::queue) fn recipient(address: &str) -> QueueRecipient {
        QueueRecipient {
            address: address.into(),
            destination: Some("bank.example".into()),
            state: RecipientStanding::Waiting,
            attempts: 3,
            next_attempt: Some(NOW + Duration::from_secs(400)),
            last_attempt: Some(NOW - Duration::from_secs(500)),
            reason: Some(Reason::StarttlsNotSupported),
            mx: Some("mx.bank.example".into()),
            detail: Some("the policy of domains.d/bank.toml:12 asks for verified TLS and the host offers none".into()),
            lacks_tls_since: None,
            route: None,
            prospects: Prospects::default(),
        }
    }

    pub(in crate::cli::queue) fn message() -> QueueMessage {
        QueueMessage {
            id: MessageId::from_u128(7),
            received_at: NOW - Duration::from_secs(4 * 3600),
            from: "a@partner.example".into(),
            size: 12_345,
            listener: "mx".into(),
            client: Some("203.0.113.5".into()),
            tls: Some("TLSv1.3 TLS_AES_256_GCM_SHA384".into()),
            recipients: vec![recipient("b@bank.example"), recipient("c@bank.example")],
            why: "bank.example offers no TLS, which its policy asks for; it is tried again in 6 minutes.".into(),
            subject: Some("Invoice\u{1b}[31m".into()),
        }
    }

    #[test]
    fn a_recipient_that_waits_is_told_with_what_comes_next() {
        let hour = Duration::from_secs(3600);
        let other = OtherHost { mx: "mx2.b".into(), reason: Reason::ConnectTimeout, detail: "no answer".into() };
        let prospects = Prospects {
            asked_by: vec!["domains.d/bank.toml:12".into(), "REQUIRETLS".into()],
            other_hosts: vec![other],
            expires_at: Some(NOW + 30 * hour),
            reroute_to: Some("escrow".into()),
            reroute_at: Some(NOW + 2 * hour),
            told_at: Some(NOW - hour),
            tell_at: None,
            hold: Some(HoldInForce {
                domain: Some("bank.example".into()),
                route: None,
                reason: Some("they move".into()),
                since: NOW - hour,
                until: None,
                by: Actor::Account(1000),
            }),
        };
        let expected = [
            "connect-timeout at mx2.b: no answer",
            "all mail to bank.example is held by uid 1000 since 2027-01-15 07:00:00 UTC, until it is released: they \
             move",
            "TLS is asked for by domains.d/bank.toml:12, REQUIRETLS",
            "by the route escrow in 2h (2027-01-15 10:00:00 UTC), should TLS be lacking",
            "its lifetime ends in 30h (2027-01-16 14:00:00 UTC)",
            "the sender was told 2027-01-15 07:00:00 UTC",
        ];
        assert_eq!(ahead(&prospects, NOW), expected);
    }

    #[test]
    fn a_message_is_shown_on_a_page_of_80_columns() {
        let mut message = message();
        message.recipients[1] = QueueRecipient {
            address: "c@other.example".into(),
            destination: None,
            state: RecipientStanding::Delivered,
            attempts: 1,
            next_attempt: None,
            last_attempt: None,
            reason: None,
            mx: None,
            detail: None,
            lacks_tls_since: None,
            route: None,
            prospects: Prospects::default(),
        };
        let expected = "\
00000000000000000000000007

received  2027-01-15 04:00:00 UTC, 4h ago
from      a@partner.example
subject   Invoice\\u{1b}[31m
size      12kB
came by   listener mx, client 203.0.113.5, TLSv1.3 TLS_AES_256_GCM_SHA384
why       bank.example offers no TLS, which its policy asks for; it is tried
          again in 6 minutes.

2 recipients
b@bank.example
  waiting for bank.example, 3 attempts, last 8m ago, next in 6m (2027-01-15
  08:06:40 UTC)
  starttls-not-supported at mx.bank.example: the policy of
  domains.d/bank.toml:12 asks for verified TLS and the host offers none
c@other.example
  delivered, 1 attempt
";
        let page = page(&message, NOW);
        assert_eq!(anstream::adapter::strip_str(&page).to_string(), expected);
    }
}
