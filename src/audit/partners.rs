//! The domains that mail came from and went to, each with how its mail was protected.

use std::collections::HashMap;
use std::ops::AddAssign;

use crate::model::tls::{ProtocolVersion, TlsFacts, Verified};

use super::facts::{Counted, Facts, Kind, Messages, domain_of};
use super::pass::Tally;
use super::remembered::Remembered;

/// Domains that are told apart; mail of all others is only counted.
pub const PARTNERS_MAX: usize = 20_000;

/// Mail of one domain in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// Accepted or delivered.
    pub messages: u64,
    pub plaintext: u64,
    /// Over TLS older than 1.2.
    pub old: u64,
    /// Over TLS with a certificate that proved the host.
    pub verified: u64,
    /// Refused, deferred or only reported; of what goes out, events of deliveries that did not succeed.
    pub stopped: u64,
}

impl AddAssign for Mail {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.plaintext += other.plaintext;
        self.old += other.old;
        self.verified += other.verified;
        self.stopped += other.stopped;
    }
}

/// What one domain sends and gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partner {
    pub sends: Mail,
    pub gets: Mail,
}

impl Partner {
    pub fn messages(&self) -> u64 {
        self.sends.messages + self.gets.messages
    }
}

/// Counts by domain.
#[derive(Debug, Default)]
pub struct Partners {
    /// In lower case, as recorded.
    pub domains: HashMap<Box<str>, Partner>,
    /// Records about domains beyond the bound.
    pub others: u64,
    sessions: Remembered<Option<(ProtocolVersion, bool)>>,
    messages: Messages,
    counted: Counted,
}

impl Partners {
    /// Version, and whether the peer's identity was proved. `None` is plaintext.
    fn session(&mut self, tls: &[u8]) -> Option<(ProtocolVersion, bool)> {
        if let Some(known) = self.sessions.get(tls) {
            return known;
        }
        let facts: Option<TlsFacts> = serde_json::from_slice(tls).unwrap_or_default();
        let session = facts.map(|facts| {
            let verified = facts.peer.as_ref().is_some_and(|peer| peer.verified != Verified::None);
            (facts.version, verified)
        });
        self.sessions.insert(tls, session, 0);
        session
    }

    fn add(&mut self, name: &str, mail: Mail, is_inbound: bool) {
        let name = name.to_ascii_lowercase();
        let is_full = self.domains.len() >= PARTNERS_MAX;
        if is_full && !self.domains.contains_key(name.as_str()) {
            self.others += 1;
            return;
        }
        let partner = self.domains.entry(name.into()).or_default();
        *(if is_inbound { &mut partner.sends } else { &mut partner.gets }) += mail;
    }
}

impl Tally for Partners {
    fn take(&mut self, facts: &Facts<'_>) {
        if !self.counted.is_new(facts) {
            return;
        }
        let is_message = self.messages.is_new(facts);
        let mut mail = Mail::default();
        if is_message {
            mail.messages = 1;
            match self.session(facts.tls) {
                None => mail.plaintext = 1,
                Some((version, verified)) => {
                    mail.old = u64::from(version < ProtocolVersion::Tls1_2);
                    mail.verified = u64::from(verified);
                }
            }
        }
        let is_stopped = match facts.kind {
            Kind::Accepted => facts.recorded().verdict == "would_refuse",
            Kind::Refused | Kind::Deferred | Kind::Bounced => true,
            Kind::Delivered => false,
        };
        mail.stopped = u64::from(is_stopped);
        let is_inbound = facts.kind.is_inbound();
        if is_inbound {
            if let Some(from) = facts.from.as_deref().filter(|from| !from.is_empty()) {
                self.add(domain_of(from), mail, true);
            }
        } else if let Some(to) = facts.to().next() {
            // The recipients of one delivery share their domain, or their route.
            self.add(domain_of(&to), mail, false);
        }
    }

    fn absorb(&mut self, other: Self) {
        self.others += other.others;
        for (name, Partner { sends, gets }) in other.domains {
            self.add(&name, sends, true);
            self.add(&name, gets, false);
        }
    }
}
