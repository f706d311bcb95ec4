//! What was refused, deferred or would be, for the owner of one domain: mail to it and mail of its senders.

use std::collections::HashMap;

use crate::model::domain::Domain;

use super::facts::{Counted, Facts, Kind, is_of, name_of};
use super::pass::Tally;

/// Entries that are listed apart; all others share one count.
pub const ENTRIES_MAX: usize = 5_000;
/// Stands before the reply in the detail of what is only reported.
const WOULD_BE: &str = "the reply would be: ";

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    Refused,
    /// Told to come again.
    Deferred,
    /// Mail that goes out was given up.
    Bounced,
    /// Mail that goes out waits for another try.
    Delayed,
    /// Accepted, and recorded as what would be refused.
    Reported,
}

impl Ending {
    pub const ALL: [Self; 5] = [Self::Refused, Self::Deferred, Self::Bounced, Self::Delayed, Self::Reported];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
            Self::Delayed => "delayed",
            Self::Reported => "would_refuse",
        }
    }
}

/// What one entry is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    pub ending: Ending,
    /// The domain of the sender; empty for the null sender.
    pub sender: Box<str>,
    /// The domain of the first recipient, `None` where it was refused before one was named.
    pub recipient: Option<Box<str>>,
    /// The word of the reason.
    pub reason: Box<str>,
}

/// Messages, or attempts, that share a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub messages: u64,
    /// RFC 3339, of the last record, as are all that follow.
    pub last_seen: Box<str>,
    pub record: Box<str>,
    pub message: Option<Box<str>>,
    pub from: Box<str>,
    /// The first recipient.
    pub to: Option<Box<str>>,
    /// The facts of the session as JSON.
    pub tls: Box<[u8]>,
    /// Exactly what was answered, or would be.
    pub reply: Option<Box<str>>,
}

/// Everything about one domain.
#[derive(Debug)]
pub struct Digest {
    domain: Domain,
    pub entries: HashMap<Subject, Entry>,
    /// Messages of entries beyond the bound.
    pub others: u64,
    counted: Counted,
}

impl Digest {
    pub fn new(domain: Domain) -> Self {
        Self { domain, entries: HashMap::new(), others: 0, counted: Counted::default() }
    }

    fn is_ours(&self, address: &str) -> bool {
        is_of(address, &self.domain)
    }

    fn concerns(&self, facts: &Facts<'_>) -> bool {
        facts.from.as_deref().is_some_and(|from| self.is_ours(from)) || facts.to().any(|to| self.is_ours(&to))
    }

    fn add(&mut self, subject: Subject, entry: Entry) {
        let is_full = self.entries.len() >= ENTRIES_MAX;
        match self.entries.get_mut(&subject) {
            Some(known) => {
                let messages = known.messages + entry.messages;
                if known.last_seen < entry.last_seen {
                    *known = entry;
                }
                known.messages = messages;
            }
            None if is_full => self.others += entry.messages,
            None => _ = self.entries.insert(subject, entry),
        }
    }
}

impl Tally for Digest {
    fn take(&mut self, facts: &Facts<'_>) {
        let recorded = facts.recorded();
        let (ending, reason) = match facts.kind {
            Kind::Delivered => return,
            Kind::Accepted if recorded.verdict != "would_refuse" => return,
            Kind::Accepted => (Ending::Reported, recorded.reason),
            Kind::Refused if recorded.verdict == "defer" => (Ending::Deferred, recorded.reason),
            Kind::Refused => (Ending::Refused, recorded.reason),
            Kind::Deferred => (Ending::Delayed, facts.delivery_reason()),
            Kind::Bounced => (Ending::Bounced, facts.delivery_reason()),
        };
        if !self.concerns(facts) || !self.counted.is_new(facts) {
            return;
        }
        let from = facts.from.as_deref().unwrap_or_default();
        let to = facts.to().find(|to| self.is_ours(to)).or_else(|| facts.to().next());
        let subject = Subject {
            ending,
            sender: name_of(from),
            recipient: to.as_deref().map(name_of),
            reason: reason.unwrap_or("unknown").into(),
        };
        let reply = match ending {
            Ending::Reported => facts.detail().and_then(|text| Some(text.split_once(WOULD_BE)?.1.into())),
            _ => facts.reply().or_else(|| facts.detail()).map(Into::into),
        };
        let entry = Entry {
            messages: 1,
            last_seen: facts.time.into(),
            record: facts.id.into(),
            message: facts.message.map(Into::into),
            from: from.into(),
            to: to.map(Into::into),
            tls: facts.tls.into(),
            reply,
        };
        self.add(subject, entry);
    }

    fn absorb(&mut self, other: Self) {
        self.others += other.others;
        other.entries.into_iter().for_each(|(subject, entry)| self.add(subject, entry));
    }
}
