//! The first words of a message's metadata: what the index wants of it, so plain that a start reads no JSON for it.

use std::net::IpAddr;

use crate::model::envelope::{Envelope, Trust};
use crate::model::id::MessageId;
use crate::model::time::Timestamp;

use super::outline::Outline;

/// With more recipients the words would say too much twice.
const RECIPIENTS_MAX: usize = 16;
/// How metadata with a brief begins.
const OPENING: &[u8] = br#"{"brief":""#;
const NOBODY: &str = "<>";
const NO_CLIENT: &str = "-";

/// An outline that owns nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Brief<'a> {
    pub(super) id: MessageId,
    pub(super) received_at: Timestamp,
    pub(super) size: u64,
    pub(super) trust: Trust,
    pub(super) tls_report: bool,
    pub(super) client: Option<IpAddr>,
    /// Empty for the null path.
    pub(super) sender: &'a str,
    pub(super) recipients: Vec<&'a str>,
}

impl<'a> Brief<'a> {
    pub(super) fn of(envelope: &'a Envelope) -> Self {
        Self {
            id: envelope.id,
            received_at: envelope.received_at,
            size: envelope.size,
            trust: envelope.origin.trust,
            tls_report: envelope.tls_report,
            client: envelope.origin.ip,
            sender: envelope.sender.path.as_str(),
            recipients: envelope.recipients.iter().map(|recipient| recipient.address.as_str()).collect(),
        }
    }

    pub(super) fn of_outline(outline: &'a Outline) -> Self {
        Self {
            id: outline.id,
            received_at: outline.received_at,
            size: outline.size,
            trust: outline.trust,
            tls_report: outline.tls_report,
            client: outline.client,
            sender: outline.sender.as_str(),
            recipients: outline.recipients.iter().map(|address| address.as_str()).collect(),
        }
    }

    /// In words; `None` where these are not all plain.
    pub(super) fn words(&self) -> Option<String> {
        let is_plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        let mut addresses = std::iter::once(&self.sender).chain(&self.recipients);
        if self.recipients.len() > RECIPIENTS_MAX || !addresses.all(is_plain) {
            return None;
        }
        let trust = match self.trust {
            Trust::Stranger => 's',
            Trust::Trusted => 't',
            Trust::Local => 'l',
        };
        let report = if self.tls_report { "r" } else { "" };
        let client = self.client.map_or_else(|| NO_CLIENT.to_owned(), |ip| ip.to_string());
        let sender = if self.sender.is_empty() { NOBODY } else { self.sender };
        let head = format!("{} {} {} {trust}{report} {client} {sender}", self.id, self.received_at.micros(), self.size);
        Some(self.recipients.iter().fold(head, |words, recipient| words + " " + recipient))
    }

    /// The words at the start of metadata, if they stand there.
    pub(super) fn read(meta: &'a [u8]) -> Option<Self> {
        let rest = meta.strip_prefix(OPENING)?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        let mut words = std::str::from_utf8(rest.get(..end)?).ok()?.split(' ');
        let id = words.next()?.parse().ok()?;
        let received_at = Timestamp::from_micros(words.next()?.parse().ok()?);
        let size = words.next()?.parse().ok()?;
        let (trust, tls_report) = match words.next()? {
            "s" => (Trust::Stranger, false),
            "t" => (Trust::Trusted, false),
            "l" => (Trust::Local, false),
            "sr" => (Trust::Stranger, true),
            "tr" => (Trust::Trusted, true),
            "lr" => (Trust::Local, true),
            _ => return None,
        };
        let client = match words.next()? {
            NO_CLIENT => None,
            ip => Some(ip.parse().ok()?),
        };
        let sender = words.next().map(|sender| if sender == NOBODY { "" } else { sender })?;
        Some(Self { id, received_at, size, trust, tls_report, client, sender, recipients: words.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief<'a>(sender: &'a str, recipients: &[&'a str]) -> Brief<'a> {
        Brief {
            id: MessageId::from_u128(1 << 100),
            received_at: Timestamp::from_micros(1_800_000_000_123_456),
            size: 10_240,
            trust: Trust::Trusted,
            tls_report: false,
            client: Some([192, 0, 2, 1].into()),
            sender,
            recipients: recipients.to_vec(),
        }
    }

    fn meta(words: &str) -> Vec<u8> {
        format!("{{\"brief\":\"{words}\",\"envelope\":{{}}}}").into_bytes()
    }

    #[test]
    fn what_is_said_in_words_is_read_back() {
        let plain = brief("a@b.example", &["c@d.example", "u@[IPv6:2001:db8::1]"]);
        let words = plain.words().unwrap();
        let expected = "0010000000000000000000000G 1800000000123456 10240 t 192.0.2.1 a@b.example c@d.example \
                        u@[IPv6:2001:db8::1]";
        assert_eq!(words.split_once(' ').unwrap().1, expected.split_once(' ').unwrap().1);
        assert_eq!(Brief::read(&meta(&words)), Some(plain.clone()));
        for trust in [Trust::Stranger, Trust::Trusted, Trust::Local] {
            for (tls_report, client) in [(true, None), (false, Some("2001:db8::1".parse().unwrap()))] {
                let other = Brief { trust, tls_report, client, ..brief("", &["c@d.example"]) };
                assert_eq!(Brief::read(&meta(&other.words().unwrap())), Some(other));
            }
        }
    }

    #[test]
    fn what_is_not_plain_or_too_long_is_left_to_the_envelope() {
        for (sender, recipient) in [
            ("\"odd one\"@b.example", "c@d.example"),
            ("a@b.example", "\u{f6}@d.example"),
            ("a@b.example", "\"c\\\\d\"@d.example"),
        ] {
            assert_eq!(brief(sender, &[recipient]).words(), None, "{sender} {recipient}");
        }
        let many = |count| vec!["c@d.example"; count];
        assert!(brief("", &many(RECIPIENTS_MAX)).words().is_some());
        assert_eq!(brief("", &many(RECIPIENTS_MAX + 1)).words(), None);
    }

    #[test]
    fn words_that_are_not_understood_are_passed_over() {
        let words = brief("a@b.example", &[]).words().unwrap();
        assert!(Brief::read(&meta(&words)).is_some());
        for odd in [words.replacen(' ', "", 1), words.replace(" t ", " x "), words.replace("192", "999"), String::new()]
        {
            assert_eq!(Brief::read(&meta(&odd)), None, "{odd}");
        }
        for other in ["", "{", "{\"brief\":\"", "{\"envelope\":{}}", " {\"brief\":\"\"}"] {
            assert_eq!(Brief::read(other.as_bytes()), None, "{other}");
        }
    }
}
