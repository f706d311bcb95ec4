//! The facts of a line whose fields stand where this program writes them, found by their places: several times faster
//! than the walk of [`super::facts`], which knows no order and takes every other line.

use std::net::IpAddr;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::facts::{Facts, ID_BYTES, Kind, NextHopFacts, Said};
use super::fields::{Fields, split_value, text};

/// Characters of a time.
const TIME_BYTES: usize = 27;
/// Stands behind the facts of a TLS session. No string of a line holds a quote without a backslash before it, and no
/// field within those facts has this name.
static BEHIND_TLS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"},\"policy\":"));

/// Reads a line; `None` if it is not written as this program does.
pub(super) fn read(line: &[u8]) -> Option<Said<'_>> {
    let mut rest = Rest(line);
    rest.literal(b"{\"seq\":")?.digits();
    let time = rest.literal(b",\"time\":")?.plain(TIME_BYTES)?;
    let id = rest.literal(b",\"id\":")?.plain(ID_BYTES)?;
    let event = rest.literal(b",\"event\":")?.value()?;
    let Some(kind) = Kind::of(event) else {
        return (event != b"\"audit.summary\"").then_some(Said::Other);
    };
    rest.literal(b",\"node\":")?.value()?;
    rest.literal(b",\"config\":")?.value()?;
    rest.literal(b",\"session\":")?.id()?;
    let message = rest.literal(b",\"message\":")?.id()?;
    let listener = text(rest.literal(b",\"listener\":")?.value()?);
    let client = rest.literal(b",\"client\":")?.client()?;
    let from = text(rest.literal(b",\"from\":")?.value()?);
    let to = rest.literal(b",\"to\":")?.value()?;
    let part_of = match rest.literal(b",\"part_of\":") {
        Some(rest) => Some(rest.plain(ID_BYTES)?),
        None => None,
    };
    let next_hop = if kind.is_inbound() { NextHopFacts::default() } else { rest.next_hop()? };
    let tls = rest.literal(b",\"tls\":")?.tls()?;
    let behind = Fields::behind(rest.literal(b",")?.0);
    Some(Said::Facts(Facts {
        kind,
        time,
        id,
        message,
        listener,
        client,
        from,
        to,
        part_of,
        tls,
        next_hop,
        line,
        behind,
    }))
}

/// What of a line is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn literal(&mut self, literal: &[u8]) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(self)
    }

    fn digits(&mut self) {
        while let [b'0'..=b'9', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn value(&mut self) -> Option<&'a [u8]> {
        let (value, rest) = split_value(self.0)?;
        self.0 = rest;
        Some(value)
    }

    /// A string of so many bytes, with nothing escaped.
    fn plain(&mut self, bytes: usize) -> Option<&'a str> {
        let text = self.literal(b"\"")?.take(bytes)?;
        self.literal(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    fn id(&mut self) -> Option<Option<&'a str>> {
        if self.literal(b"null").is_some() { Some(None) } else { self.plain(ID_BYTES).map(Some) }
    }

    fn client(&mut self) -> Option<Option<IpAddr>> {
        if self.literal(b"null").is_some() {
            return Some(None);
        }
        let ip = text(self.literal(b"{\"ip\":")?.value()?)?;
        self.literal(b",\"port\":")?.digits();
        self.literal(b",\"helo\":")?.value()?;
        self.literal(b"}")?;
        Some(ip.parse().ok())
    }

    fn next_hop(&mut self) -> Option<NextHopFacts<'a>> {
        let route = text(self.literal(b",\"route\":")?.value()?);
        let mx = text(self.literal(b",\"mx\":")?.value()?);
        let mx_trusted = Some(self.literal(b",\"mx_trusted\":")?.value()? == b"true");
        self.literal(b",\"remote\":")?.value()?;
        self.literal(b",\"dnssec\":")?.value()?;
        let published = match self.literal(b",\"published\":") {
            Some(rest) => rest.value()?,
            None => b"",
        };
        self.literal(b",\"requirement\":")?.value()?;
        self.literal(b",\"attempt\":")?.value()?;
        let reason = self.literal(b",\"reason\":")?.value()?;
        for not_always in [b",\"next_attempt\":".as_slice(), b",\"expired\":", b",\"rerouted_to\":"] {
            if let Some(rest) = self.literal(not_always) {
                rest.value()?;
            }
        }
        self.literal(b",\"duration_ms\":")?.value()?;
        Some(NextHopFacts { mx, mx_trusted, route, published, reason })
    }

    fn tls(&mut self) -> Option<&'a [u8]> {
        if self.0.first() != Some(&b'{') {
            return self.value();
        }
        let end = BEHIND_TLS.find(self.0)?;
        self.take(end + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::super::chain::Tip;
    use super::super::event::{Client, Event, Outbound, Policy, Record, RequirementRecord, Stamp};
    use super::super::facts::walk;
    use super::*;
    use crate::audit::published::{DaneRecord, PublishedRecord};
    use crate::model::assumed;
    use crate::model::id::{MessageId, RecordId, SessionId};
    use crate::model::reason::Reason;
    use crate::model::time::Timestamp;
    use crate::model::tls::{PeerCertificate, ProtocolVersion, TlsFacts};

    const EVENTS: [Event; 7] = [
        Event::InboundAccepted,
        Event::InboundRefused,
        Event::OutboundDelivered,
        Event::OutboundDeferred,
        Event::OutboundBounced,
        Event::OutboundAttempt,
        Event::QueueAdmin,
    ];

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![Just("},\"policy\":{".to_owned()), Just("\\\",\"tls\":null".to_owned()), ".{0,24}"]
    }

    fn outbound(text: &str, is_set: bool) -> Outbound {
        let requirement = RequirementRecord {
            tls: "encrypt",
            min_version: None,
            cipher: "any",
            exception: None,
            because: vec![text.to_owned(); 2],
        };
        Outbound {
            route: is_set.then(|| text.to_owned()),
            mx: Some(text.to_owned()),
            mx_trusted: is_set,
            remote: None,
            dnssec: "insecure",
            published: is_set.then(|| PublishedRecord { dane: Some(DaneRecord::Usable), ..PublishedRecord::default() }),
            requirement,
            attempt: 12,
            reason: is_set.then_some(Reason::StarttlsNotSupported),
            next_attempt: is_set.then(|| Timestamp::from_secs(9)),
            expired: is_set,
            rerouted_to: is_set.then(|| text.to_owned()),
            duration_ms: 7,
        }
    }

    proptest! {
        #[test]
        fn a_line_as_this_program_writes_it_reads_as_the_walk_reads_it(
            event in prop::sample::select(&EVENTS),
            all in prop::collection::vec(texts(), 8),
            ip in option::of(any::<std::net::IpAddr>()),
            from in option::of(texts()),
            (has_message, has_tls, has_peer, is_set, is_part) in any::<(bool, bool, bool, bool, bool)>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let stamp = Stamp { node: all[0].as_str().into(), config: "abc".into() };
            let mut record = Record::new(&stamp, Timestamp::from_secs(1), RecordId::from_u128(7), event);
            let peer = PeerCertificate {
                subject: all[1].clone(), names: all[2..4].to_vec(), ..PeerCertificate::assumed("00".into())
            };
            let facts = TlsFacts {
                sni: Some(all[4].clone()), peer: has_peer.then_some(peer), ..assumed::usual(ProtocolVersion::Tls1_2)
            };
            record.session = has_message.then(|| SessionId::from_u128(3));
            record.message = has_message.then(|| MessageId::from_u128(9));
            record.listener = is_set.then_some("mx");
            record.client = ip.map(|ip| Client { ip, port: 25, helo: is_set.then_some(all[5].as_str()) });
            record.from = from.as_deref();
            record.to = all[6..].iter().map(String::as_str).collect();
            record.part_of = is_part.then(|| RecordId::from_u128(5));
            record.tls = has_tls.then_some(&facts);
            record.policy = is_set.then(|| Policy::other("rcpt", "refuse", Reason::RelayDenied));
            let is_outbound = matches!(
                event, Event::OutboundDelivered | Event::OutboundDeferred | Event::OutboundBounced
            );
            record.outbound = is_outbound.then(|| outbound(&all[7], is_set));
            let line = Tip::default().extend(&record.entry().json);
            let read = read(line.as_bytes());
            prop_assert!(read.is_some(), "{}", line);
            prop_assert_eq!(read, walk(line.as_bytes()).ok(), "{}", line);
            // Cut anywhere it does not panic, and says nothing that the whole line does not.
            let cut = line.as_bytes().get(..cut.index(line.len())).unwrap_or_default();
            if let Some(Said::Facts(facts)) = super::read(cut) {
                prop_assert_eq!(walk(cut), Ok(Said::Facts(facts)));
            }
        }
    }

    #[test]
    fn a_line_in_another_order_is_left_to_the_walk() {
        let line =
            r#"{"seq":1,"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","time":"1970-01-01T00:00:00.000000Z","event":"checkpoint"}"#;
        assert_eq!((read(line.as_bytes()), walk(line.as_bytes())), (None, Ok(Said::Other)));
    }
}
