//! Which messages a filter means. Pure: a few facts of a message and of each open recipient.

use crate::admin::protocol::Filter;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

/// An open recipient, as far as filters look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenRecipient<'a> {
    /// `None` for an address literal.
    pub domain: Option<&'a Domain>,
    /// Why the last attempt failed.
    pub reason: Option<Reason>,
    /// The route that it goes by. Told only where a filter [asks for it](Filter::asks_for_route).
    pub route: Option<&'a str>,
}

impl Filter {
    /// What is asked of the message as a whole. `from` is the domain of its sender.
    pub fn takes_message(&self, from: Option<&Domain>, received_at: Timestamp, now: Timestamp) -> bool {
        let age = now.saturating_since(received_at).as_secs();
        self.from_domain.as_ref().is_none_or(|domain| from == Some(domain))
            && self.older_than_secs.is_none_or(|seconds| age >= seconds)
    }

    /// What is asked of a recipient: all of it must be so of the same one.
    pub fn takes_recipient(&self, recipient: &OpenRecipient<'_>) -> bool {
        self.to_domain.as_ref().is_none_or(|domain| recipient.domain == Some(domain))
            && self.reason.is_none_or(|reason| recipient.reason == Some(reason))
            && self.route.as_deref().is_none_or(|route| recipient.route == Some(route))
    }

    /// Whether anything is asked of recipients.
    pub fn asks_for_recipients(&self) -> bool {
        self.to_domain.is_some() || self.reason.is_some() || self.asks_for_route()
    }

    /// Whether the route of a recipient has to be known, which takes a decision.
    pub fn asks_for_route(&self) -> bool {
        self.route.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn filter(words: &str) -> Filter {
        let mut filter = Filter::default();
        for (key, value) in words.split_whitespace().filter_map(|word| word.split_once('=')) {
            match key {
                "to" => filter.to_domain = Some(domain(value)),
                "from" => filter.from_domain = Some(domain(value)),
                "older" => filter.older_than_secs = value.parse().ok(),
                "route" => filter.route = Some(value.to_owned()),
                "reason" => filter.reason = Reason::ALL.iter().copied().find(|reason| reason.as_str() == value),
                _ => panic!("{key}"),
            }
        }
        filter
    }

    #[test]
    fn sender_and_age_are_asked_of_the_message() {
        let (sender, other) = (domain("a.example"), domain("b.example"));
        let hour_ago = NOW - std::time::Duration::from_secs(3600);
        for (words, from, expected) in [
            ("", None, true),
            ("from=a.example", Some(&sender), true),
            ("from=a.example", Some(&other), false),
            ("from=a.example", None, false),
            ("older=3600", None, true),
            ("older=3601", None, false),
            ("older=0 from=a.example", Some(&sender), true),
            ("older=3601 from=a.example", Some(&sender), false),
            // Asked of recipients.
            ("to=c.example reason=connect-timeout route=r", None, true),
        ] {
            assert_eq!(filter(words).takes_message(from, hour_ago, NOW), expected, "{words} {from:?}");
        }
    }

    #[test]
    fn domain_reason_and_route_are_asked_of_one_recipient() {
        let bank = domain("bank.example");
        let open = |domain, reason, route| OpenRecipient { domain, reason, route };
        let refused = Some(Reason::ConnectFailed);
        for (words, recipient, expected) in [
            ("", open(None, None, None), true),
            ("from=a.example older=7", open(None, None, None), true),
            ("to=bank.example", open(Some(&bank), None, None), true),
            ("to=sub.bank.example", open(Some(&bank), None, None), false),
            ("to=bank.example", open(None, refused, None), false),
            ("reason=connect-failed", open(None, refused, None), true),
            ("reason=connect-failed", open(None, Some(Reason::ConnectTimeout), None), false),
            ("reason=connect-failed", open(None, None, None), false),
            ("route=escrow", open(None, None, Some("escrow")), true),
            ("route=escrow", open(None, None, Some("other")), false),
            ("route=escrow", open(None, None, None), false),
            ("to=bank.example reason=connect-failed route=escrow", open(Some(&bank), refused, Some("escrow")), true),
            ("to=bank.example reason=connect-failed route=escrow", open(Some(&bank), refused, None), false),
        ] {
            assert_eq!(filter(words).takes_recipient(&recipient), expected, "{words} {recipient:?}");
            assert_eq!(filter(words).asks_for_route(), words.contains("route"));
        }
    }
}
