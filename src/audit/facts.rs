//! What a record says about one transaction or delivery, borrowed from its line: what the policy engine needs to judge
//! it anew, and what was recorded of its end.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::model::domain::Domain;

use super::fields::{Fields, Malformed, fields, text, texts};
use super::written;

/// Characters of an id.
pub const ID_BYTES: usize = 26;

/// The events that can be judged anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Accepted,
    Refused,
    Delivered,
    Deferred,
    Bounced,
}

impl Kind {
    /// By its name in JSON.
    pub(super) fn of(event: &[u8]) -> Option<Self> {
        match event {
            b"\"inbound.accepted\"" => Some(Self::Accepted),
            b"\"inbound.refused\"" => Some(Self::Refused),
            b"\"outbound.delivered\"" => Some(Self::Delivered),
            b"\"outbound.deferred\"" => Some(Self::Deferred),
            b"\"outbound.bounced\"" => Some(Self::Bounced),
            _ => None,
        }
    }

    pub const fn is_inbound(self) -> bool {
        matches!(self, Self::Accepted | Self::Refused)
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    pub kind: Kind,
    /// RFC 3339 in UTC, always of the same length: sorts as a text.
    pub time: &'a str,
    pub id: &'a str,
    pub message: Option<&'a str>,
    pub listener: Option<Cow<'a, str>>,
    /// Who brings the message, or brought it.
    pub client: Option<IpAddr>,
    /// Empty for the null sender; `None` if it is not recorded.
    pub from: Option<Cow<'a, str>>,
    pub(super) to: &'a [u8],
    /// The record with the first recipients, of one whose recipients had no room in a record.
    pub part_of: Option<&'a str>,
    /// The facts of the session as JSON; `null` is plaintext.
    pub tls: &'a [u8],
    /// Of a delivery.
    pub next_hop: NextHopFacts<'a>,
    pub(super) line: &'a [u8],
    /// What stands behind all of these in a line as it is written: few ask for it.
    pub(super) behind: Fields<'a>,
}

/// The fields without which no record is written, as bits. Once all are met the rest of a line need not be walked.
mod field {
    pub(super) const TIME: u16 = 1;
    pub(super) const ID: u16 = 1 << 1;
    pub(super) const MESSAGE: u16 = 1 << 2;
    pub(super) const LISTENER: u16 = 1 << 3;
    pub(super) const CLIENT: u16 = 1 << 4;
    pub(super) const FROM: u16 = 1 << 5;
    pub(super) const TO: u16 = 1 << 6;
    pub(super) const TLS: u16 = 1 << 7;
    pub(super) const MX: u16 = 1 << 8;
    pub(super) const MX_TRUSTED: u16 = 1 << 9;
    pub(super) const ROUTE: u16 = 1 << 10;
    pub(super) const REASON: u16 = 1 << 11;

    pub(super) const OF_ALL: u16 = TIME | ID | MESSAGE | LISTENER | CLIENT | FROM | TO | TLS;
    pub(super) const OF_DELIVERIES: u16 = OF_ALL | MX | MX_TRUSTED | ROUTE | REASON;
}

/// What only deliveries have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextHopFacts<'a> {
    pub mx: Option<Cow<'a, str>>,
    /// Whether the operator wrote the name of the host down; `None` if it is not recorded.
    pub mx_trusted: Option<bool>,
    /// The name of the route, `None` if the MX hosts were taken.
    pub route: Option<Cow<'a, str>>,
    /// What was known of the host besides what is written, as JSON; empty if nothing was.
    pub published: &'a [u8],
    pub(super) reason: &'a [u8],
}

impl<'a> NextHopFacts<'a> {
    fn take(&mut self, name: &[u8], value: &'a [u8]) -> u16 {
        match name {
            b"mx" => {
                self.mx = text(value);
                field::MX
            }
            b"mx_trusted" => {
                self.mx_trusted = Some(value == b"true");
                field::MX_TRUSTED
            }
            b"route" => {
                self.route = text(value);
                field::ROUTE
            }
            // Rare, and written before what a walk ends with.
            b"published" => {
                self.published = value;
                0
            }
            b"reason" => {
                self.reason = value;
                field::REASON
            }
            _ => 0,
        }
    }
}

/// What one line is to a reader of facts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack of a loop over millions of lines")]
pub enum Said<'a> {
    Facts(Facts<'a>),
    /// `audit.summary`: refusals that have no record of their own.
    Unrecorded {
        time: &'a str,
        count: u64,
    },
    /// Another event.
    Other,
}

/// Reads one line of the log, whatever the order of its fields.
pub fn read(line: &[u8]) -> Result<Said<'_>, Malformed> {
    written::read(line).map_or_else(|| walk(line), Ok)
}

/// The facts of a line whose fields may stand in any order.
pub(super) fn walk(line: &[u8]) -> Result<Said<'_>, Malformed> {
    for field in fields(line)? {
        if let (b"event", event) = field? {
            return match Kind::of(event) {
                Some(kind) => facts(kind, line).map(Said::Facts),
                None if event == b"\"audit.summary\"" => summary(fields(line)?),
                None => Ok(Said::Other),
            };
        }
    }
    Err(Malformed)
}

fn facts(kind: Kind, line: &[u8]) -> Result<Facts<'_>, Malformed> {
    let mut facts = Facts {
        kind,
        time: "",
        id: "",
        message: None,
        listener: None,
        client: None,
        from: None,
        to: b"",
        part_of: None,
        tls: b"null",
        next_hop: NextHopFacts::default(),
        line,
        behind: fields(line)?,
    };
    let needed = if kind.is_inbound() { field::OF_ALL } else { field::OF_DELIVERIES };
    let mut met = 0;
    while met & needed != needed {
        let Some(field) = facts.behind.next() else { break };
        let (name, value) = field?;
        met |= facts.take(name, value)?;
    }
    if facts.time.is_empty() || facts.id.is_empty() { Err(Malformed) } else { Ok(facts) }
}

fn summary(all: Fields<'_>) -> Result<Said<'_>, Malformed> {
    let (mut time, mut count) = (None, None);
    for field in all {
        match field? {
            (b"time", value) => time = plain(value),
            (b"count", value) => count = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()),
            _ => {}
        }
    }
    let (time, count) = time.zip(count).ok_or(Malformed)?;
    Ok(Said::Unrecorded { time, count })
}

/// The address in the object `client`.
fn ip(client: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    if client == b"null" {
        return Ok(None);
    }
    for field in fields(client)? {
        if let (b"ip", value) = field? {
            return Ok(plain(value).and_then(|ip| ip.parse().ok()));
        }
    }
    Ok(None)
}

/// A string that has nothing escaped.
fn plain(value: &[u8]) -> Option<&str> {
    match text(value)? {
        Cow::Borrowed(text) => Some(text),
        Cow::Owned(_) => None,
    }
}

impl<'a> Facts<'a> {
    /// Keeps a field that is asked for, and gives its bit.
    fn take(&mut self, name: &[u8], value: &'a [u8]) -> Result<u16, Malformed> {
        let bit = match name {
            b"time" => {
                self.time = plain(value).ok_or(Malformed)?;
                field::TIME
            }
            b"id" => {
                self.id = plain(value).ok_or(Malformed)?;
                field::ID
            }
            b"message" => {
                self.message = plain(value);
                field::MESSAGE
            }
            b"listener" => {
                self.listener = text(value);
                field::LISTENER
            }
            b"client" => {
                self.client = ip(value)?;
                field::CLIENT
            }
            b"from" => {
                self.from = text(value);
                field::FROM
            }
            b"to" => {
                self.to = value;
                field::TO
            }
            // Rare, and written before what a walk ends with.
            b"part_of" => {
                self.part_of = plain(value);
                0
            }
            b"tls" => {
                self.tls = value;
                field::TLS
            }
            name => self.next_hop.take(name, value),
        };
        Ok(bit)
    }

    /// A field that few ask for: behind the others as it is written, else anywhere.
    fn late(&self, wanted: &[u8]) -> &'a [u8] {
        let find = |mut all: Fields<'a>| all.find_map(|field| field.ok().filter(|(name, _)| *name == wanted));
        let found = find(self.behind.clone()).or_else(|| find(fields(self.line).ok()?));
        found.map_or(b"", |(_, value)| value)
    }

    /// The recipients; none if it was refused at MAIL.
    pub fn to(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        texts(self.to)
    }

    /// Verdict, stage and reason of an inbound record.
    pub fn recorded(&self) -> Recorded<'a> {
        let mut recorded = Recorded::default();
        for (name, value) in fields(self.late(b"policy")).into_iter().flatten().flatten() {
            match name {
                b"verdict" => recorded.verdict = plain(value).unwrap_or_default(),
                b"stage" => recorded.stage = plain(value).unwrap_or_default(),
                b"reason" => {
                    recorded.reason = plain(value);
                    // What follows is for the reader of one record.
                    break;
                }
                _ => {}
            }
        }
        recorded
    }

    /// Why a delivery did not succeed, as recorded.
    pub fn delivery_reason(&self) -> Option<&'a str> {
        plain(self.next_hop.reason)
    }

    /// What was answered, by us or by the next hop.
    pub fn reply(&self) -> Option<Cow<'a, str>> {
        text(self.late(b"reply"))
    }

    pub fn detail(&self) -> Option<Cow<'a, str>> {
        text(self.late(b"detail"))
    }
}

/// What an inbound record says about its verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded<'a> {
    pub verdict: &'a str,
    pub stage: &'a str,
    pub reason: Option<&'a str>,
}

/// Tells the parts of a record, which stand side by side, from records of their own.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// The id of the record that was counted last.
    last: [u8; ID_BYTES],
}

impl Counted {
    /// Whether nothing of the same record was counted. From here on it is.
    pub fn is_new(&mut self, facts: &Facts<'_>) -> bool {
        let whole = id_bytes(facts.part_of.unwrap_or(facts.id));
        let is_new = facts.part_of.is_none() || whole != self.last;
        self.last = whole;
        is_new
    }
}

/// Tells the first record of a message that was taken or delivered from its others, which stand beside it: one for each
/// verdict.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    last: Box<str>,
}

impl Messages {
    /// Whether the record is of a message that was not counted. From here on it is.
    pub fn is_new(&mut self, facts: &Facts<'_>) -> bool {
        match facts.kind {
            Kind::Accepted => {
                let is_new = facts.message.is_none_or(|message| *message != *self.last);
                if is_new {
                    self.last = facts.message.unwrap_or_default().into();
                }
                is_new
            }
            Kind::Delivered => true,
            Kind::Refused | Kind::Deferred | Kind::Bounced => false,
        }
    }
}

/// The id of a record or message; zeros for what is none.
pub fn id_bytes(id: &str) -> [u8; ID_BYTES] {
    id.as_bytes().try_into().unwrap_or([0; ID_BYTES])
}

/// Whether the address lies in the domain, in whatever spelling of it: in upper case, with a final dot, or with
/// U-labels.
pub fn is_of(address: &str, domain: &Domain) -> bool {
    let name = domain_of(address);
    name.eq_ignore_ascii_case(domain.as_str()) || (is_odd(name) && Domain::parse(name).is_ok_and(|it| it == *domain))
}

/// The domain of an address in the one form that is compared, where it is a domain.
pub fn name_of(address: &str) -> Box<str> {
    let name = domain_of(address);
    match is_odd(name).then(|| Domain::parse(name)) {
        Some(Ok(domain)) => domain.as_str().into(),
        _ => name.to_ascii_lowercase().into(),
    }
}

/// Whether more than the case may tell a name from its one form. The parser is for those alone.
fn is_odd(name: &str) -> bool {
    !name.is_ascii() || name.ends_with('.')
}

/// The domain of an address as it was written; an address without one is its own.
pub fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Client, Event, Policy, Record, Stamp};
    use crate::model::id::{MessageId, RecordId};
    use crate::model::reason::Reason;
    use crate::model::time::Timestamp;

    fn line(change: impl FnOnce(&mut Record<'_>)) -> String {
        let stamp = Stamp { node: "mx1".into(), config: "abc".into() };
        let mut record = Record::new(&stamp, Timestamp::from_secs(0), RecordId::from_u128(7), Event::InboundRefused);
        change(&mut record);
        crate::audit::chain::Tip::default().extend(&record.entry().json)
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let line = line(|record| {
            record.message = Some(MessageId::from_u128(9));
            record.listener = Some("mx");
            record.client = Some(Client { ip: [192, 0, 2, 1].into(), port: 4242, helo: Some("a\"}\\b") });
            record.from = Some("\"a b\"@partner.example");
            record.to = vec!["b@bank.example", "\u{fc}@bank.example"];
            record.policy = Some(Policy::other("rcpt", "refuse", Reason::RelayDenied));
            record.reply = Some("550 5.7.1 no".to_owned());
        });
        let Said::Facts(facts) = read(line.as_bytes()).unwrap() else { panic!("{line}") };
        assert_eq!((facts.kind, facts.time), (Kind::Refused, "1970-01-01T00:00:00.000000Z"));
        assert_eq!(facts.id.parse(), Ok(RecordId::from_u128(7)));
        assert_eq!(facts.message.unwrap().parse(), Ok(MessageId::from_u128(9)));
        assert_eq!((facts.listener.as_deref(), facts.client), (Some("mx"), Some([192, 0, 2, 1].into())));
        assert_eq!(facts.from.as_deref(), Some("\"a b\"@partner.example"));
        assert_eq!(facts.to().collect::<Vec<_>>(), ["b@bank.example", "\u{fc}@bank.example"]);
        assert_eq!(facts.tls, b"null");
        let expected = Recorded { verdict: "refuse", stage: "rcpt", reason: Some("relay-denied") };
        assert_eq!((facts.recorded(), facts.reply().as_deref()), (expected, Some("550 5.7.1 no")));
    }

    #[test]
    fn summaries_are_counted_and_other_events_passed_over() {
        let summary = line(|record| {
            record.event = Event::AuditSummary;
            record.count = Some(12);
        });
        assert!(matches!(read(summary.as_bytes()), Ok(Said::Unrecorded { count: 12, .. })));
        let other = line(|record| record.event = Event::ConfigLoaded);
        assert!(matches!(read(other.as_bytes()), Ok(Said::Other)));
        for broken in ["", "{}", "{\"seq\":1", "null"] {
            assert!(read(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn every_spelling_of_a_domain_is_told_as_that_domain() {
        for (address, domain, expected) in [
            ("b@bank.example", "bank.example", true),
            ("b@Bank.EXAMPLE.", "bank.example", true),
            ("b@b\u{fc}cher.example", "xn--bcher-kva.example", true),
            ("b@B\u{dc}CHER.example.", "xn--bcher-kva.example", true),
            ("b@XN--bcher-kva.example", "xn--bcher-kva.example", true),
            ("\"x@y\"@bank.example.", "bank.example", true),
            ("b@bank.example..", "bank.example", false),
            ("b@mail.bank.example.", "bank.example", false),
            ("b@[192.0.2.1]", "bank.example", false),
            ("", "bank.example", false),
        ] {
            let domain = Domain::parse(domain).unwrap();
            assert_eq!(is_of(address, &domain), expected, "{address}");
            assert_eq!(*name_of(address) == *domain.as_str(), expected, "{address}");
        }
        assert_eq!(&*name_of("b@Bank.example.."), "bank.example..");
    }

    #[test]
    fn the_domain_stands_behind_the_last_at() {
        for (address, domain) in
            [("a@b.example", "b.example"), ("\"a@b\"@[192.0.2.1]", "[192.0.2.1]"), ("", ""), ("x", "x")]
        {
            assert_eq!(domain_of(address), domain);
        }
    }
}
