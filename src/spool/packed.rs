//! The outline of a message and its places on disk in a few octets, as the index keeps them for each queued message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::journal::Location;
use crate::model::address::{Address, Charset, ReversePath};
use crate::model::envelope::Trust;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::brief::Brief;
use super::entry::BodyFile;
use super::outline::Outline;

/// Where content lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Journal(Location),
    File(BodyFile),
}

/// Where a message lies: its metadata in a segment, its content behind that or in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lies {
    pub(super) meta: Location,
    pub(super) place: Place,
}

/// One allocation. Numbers take as many octets as they need.
#[derive(Debug)]
pub(super) struct Packed(Box<[u8]>);

const IN_FILE: u8 = 1;
const TLS_REPORT: u8 = 2;
const V4: u8 = 4;
const V6: u8 = 8;
const TRUSTED: u8 = 16;
const LOCAL: u8 = 32;
/// Of the segment, which stands first.
const HOME_BYTES: usize = 8;

impl Packed {
    pub(super) fn new(outline: &Brief<'_>, lies: &Lies) -> Self {
        let mut out = Vec::with_capacity(128);
        out.extend(lies.meta.segment.to_le_bytes());
        out.push(flags(outline, lies));
        put_number(&mut out, outline.recipients.len() as u64);
        put_number(&mut out, lies.meta.offset);
        put_number(&mut out, lies.meta.length);
        out.extend(lies.meta.crc.to_le_bytes());
        match lies.place {
            Place::Journal(Location { offset, length, crc, .. }) => {
                put_number(&mut out, offset);
                put_number(&mut out, length);
                out.extend(crc.to_le_bytes());
            }
            Place::File(BodyFile { length, crc }) => {
                put_number(&mut out, length);
                out.extend(crc.to_le_bytes());
            }
        }
        out.extend(outline.received_at.micros().to_le_bytes());
        put_number(&mut out, outline.size);
        match outline.client {
            Some(IpAddr::V4(ip)) => out.extend(ip.octets()),
            Some(IpAddr::V6(ip)) => out.extend(ip.octets()),
            None => {}
        }
        put_text(&mut out, outline.sender);
        outline.recipients.iter().for_each(|recipient| put_text(&mut out, recipient));
        Self(out.into())
    }

    /// The segment that holds the message.
    pub(super) fn home(&self) -> u64 {
        self.0.first_chunk().copied().map_or(0, u64::from_le_bytes)
    }

    pub(super) fn recipient_count(&self) -> usize {
        let mut reader = Reader(self.0.get(HOME_BYTES + 1..).unwrap_or_default());
        reader.number().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
    }

    pub(super) fn is_in_file(&self) -> bool {
        self.0.get(HOME_BYTES).is_some_and(|flags| flags & IN_FILE != 0)
    }

    pub(super) fn lies(&self) -> Option<Lies> {
        Reader(&self.0).lies().map(|(lies, ..)| lies)
    }

    pub(super) fn received_at(&self) -> Option<Timestamp> {
        let mut reader = Reader(&self.0);
        reader.lies()?;
        reader.moment()
    }

    /// What was packed, without states; never `None` for what [`Self::new`] made.
    pub(super) fn outline(&self, id: MessageId) -> Option<Outline> {
        let mut reader = Reader(&self.0);
        let (_, flags, count) = reader.lies()?;
        let received_at = reader.moment()?;
        let size = reader.number()?;
        let client = match flags & (V4 | V6) {
            V4 => Some(IpAddr::V4(Ipv4Addr::from_octets(reader.array()?))),
            V6 => Some(IpAddr::V6(Ipv6Addr::from_octets(reader.array()?))),
            _ => None,
        };
        let trust = match flags & (TRUSTED | LOCAL) {
            TRUSTED => Trust::Trusted,
            LOCAL => Trust::Local,
            _ => Trust::Stranger,
        };
        let sender = match reader.text()? {
            "" => ReversePath::Null,
            text => ReversePath::Mailbox(Address::parse(text, Charset::Utf8).ok()?),
        };
        let recipient = |_| Address::parse(reader.text()?, Charset::Utf8).ok();
        let recipients = (0..count).map(recipient).collect::<Option<Vec<Address>>>()?;
        let (tls_report, states) = (flags & TLS_REPORT != 0, Vec::new());
        Some(Outline { id, received_at, size, sender, recipients, client, trust, tls_report, states })
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }
}

fn flags(outline: &Brief<'_>, lies: &Lies) -> u8 {
    let place = if matches!(lies.place, Place::File(_)) { IN_FILE } else { 0 };
    let report = if outline.tls_report { TLS_REPORT } else { 0 };
    let client = match outline.client {
        Some(IpAddr::V4(_)) => V4,
        Some(IpAddr::V6(_)) => V6,
        None => 0,
    };
    let trust = match outline.trust {
        Trust::Stranger => 0,
        Trust::Trusted => TRUSTED,
        Trust::Local => LOCAL,
    };
    place | report | client | trust
}

/// Seven bits an octet, the lowest first; the top bit says that more follow.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend(text.as_bytes());
}

/// Takes values from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The head: places, flags, and the number of recipients.
    fn lies(&mut self) -> Option<(Lies, u8, u64)> {
        let segment = u64::from_le_bytes(self.array()?);
        let [flags] = self.array()?;
        let count = self.number()?;
        let meta = self.location(segment)?;
        let place = if flags & IN_FILE == 0 {
            Place::Journal(self.location(segment)?)
        } else {
            Place::File(BodyFile { length: self.number()?, crc: u32::from_le_bytes(self.array()?) })
        };
        Some((Lies { meta, place }, flags, count))
    }

    fn location(&mut self, segment: u64) -> Option<Location> {
        let (offset, length) = (self.number()?, self.number()?);
        Some(Location { segment, offset, length, crc: u32::from_le_bytes(self.array()?) })
    }

    fn moment(&mut self) -> Option<Timestamp> {
        self.array().map(i64::from_le_bytes).map(Timestamp::from_micros)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [octet] = self.array()?;
            number |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the outline of a message with one recipient takes, so that a million of them take no more than it says.
    const PACKED_BYTES_MAX: usize = 112;

    fn outline(sender: &str, recipients: &[&str], client: Option<IpAddr>) -> Outline {
        let mailbox = |text: &str| text.parse::<Address>().unwrap();
        Outline {
            id: MessageId::from_u128(7),
            received_at: Timestamp::from_micros(1_800_000_000_123_456),
            size: 10_240,
            sender: if sender.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(sender)) },
            recipients: recipients.iter().map(|text| mailbox(text)).collect(),
            client,
            trust: Trust::Stranger,
            tls_report: false,
            states: Vec::new(),
        }
    }

    fn check(outline: &Outline, lies: Lies) {
        let packed = Packed::new(&Brief::of_outline(outline), &lies);
        assert_eq!(packed.outline(outline.id).as_ref(), Some(outline));
        assert_eq!((packed.lies(), packed.received_at()), (Some(lies), Some(outline.received_at)));
        let is_in_file = matches!(lies.place, Place::File(_));
        let head = (packed.home(), packed.recipient_count(), packed.is_in_file());
        assert_eq!(head, (lies.meta.segment, outline.recipients.len(), is_in_file));
    }

    fn place(segment: u64, offset: u64) -> Location {
        Location { segment, offset, length: 900, crc: 0xffee_ddcc }
    }

    #[test]
    fn a_usual_message_takes_no_more_than_its_share_of_memory() {
        let usual = outline("newsletter@shop.example", &["somebody@customer.example"], Some([192, 0, 2, 1].into()));
        let lies = Lies { meta: place(900, 60 << 20), place: Place::Journal(place(900, 63 << 20)) };
        check(&usual, lies);
        let bytes = Packed::new(&Brief::of_outline(&usual), &lies).bytes();
        assert!(bytes <= PACKED_BYTES_MAX, "{bytes}");
    }

    #[test]
    fn addresses_of_every_kind_come_back_as_they_were_given() {
        let lies = Lies { meta: place(1, 48), place: Place::File(BodyFile { length: 1 << 40, crc: 1 }) };
        check(&outline("", &[], None), lies);
        let odd = ["\"a@b\"@Example.ORG", "user@[IPv6:2001:DB8::1]", "\u{f6}@b\u{fc}cher.example", "u@[192.0.2.1]"];
        let odd = outline("\"q\\\"q\"@a.example", &odd, Some("2001:db8::1".parse().unwrap()));
        for trust in [Trust::Stranger, Trust::Trusted, Trust::Local] {
            for tls_report in [false, true] {
                check(&Outline { trust, tls_report, ..odd.clone() }, lies);
            }
        }
        let texts = |outline: Outline| outline.recipients.iter().map(ToString::to_string).collect::<Vec<_>>();
        let back = Packed::new(&Brief::of_outline(&odd), &lies).outline(odd.id).unwrap();
        assert_eq!(texts(back), texts(odd), "octet by octet");
    }

    proptest! {
        #[test]
        fn numbers_come_back_whatever_they_are(segment: u64, offset: u64, length: u64, crc: u32, micros: i64) {
            let meta = Location { segment, offset, length, crc };
            let outline = Outline {
                received_at: Timestamp::from_micros(micros),
                size: length,
                ..outline("a@b.example", &["c@d.example"], None)
            };
            let behind = Location { offset: length, length: offset, ..meta };
            check(&outline, Lies { meta, place: Place::Journal(behind) });
            check(&outline, Lies { meta, place: Place::File(BodyFile { length: offset, crc }) });
        }
    }
}
