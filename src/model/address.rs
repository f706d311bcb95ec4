//! Mailboxes and paths of the envelope (RFC 5321 section 4.1.2, RFC 6531 section 3.3).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::domain::{Domain, DomainError};

/// RFC 5321 section 4.5.3.1.1.
pub const LOCAL_PART_BYTES_MAX: usize = 64;
/// RFC 5321 section 4.5.3.1.3, without the angle brackets.
pub const PATH_BYTES_MAX: usize = 254;

/// What stands behind the `@`: a name, or an address literal in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    Name(Domain),
    Literal(IpAddr),
}

impl Host {
    /// Parses `example.org`, `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix('[') {
            None => Domain::parse(text).map(Self::Name).map_err(AddressError::Domain),
            Some(rest) => {
                let inner = rest.strip_suffix(']').ok_or(AddressError::Literal)?;
                let literal = match inner.get(..5) {
                    Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => {
                        inner.get(5..).unwrap_or_default().parse::<Ipv6Addr>().map(IpAddr::V6)
                    }
                    _ => inner.parse::<Ipv4Addr>().map(IpAddr::V4),
                };
                literal.map(Self::Literal).map_err(|_| AddressError::Literal)
            }
        }
    }

    pub fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Name(domain) => Some(domain),
            Self::Literal(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(domain) => write!(f, "{domain}"),
            Self::Literal(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            Self::Literal(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

/// A mailbox `local-part@domain`. Keeps the octets it was given, so that they can be passed on unchanged.
#[derive(Clone)]
pub struct Address {
    text: Arc<str>,
    local_bytes: usize,
    host: Host,
}

/// Why a text is no mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("an address has the form local-part@domain")]
    NoAt,
    #[error("the local part is no dot-string and no quoted string")]
    LocalPart,
    #[error("the local part has more than 64 octets, or the address more than 254")]
    TooLong,
    #[error("an address literal is written [192.0.2.1] or [IPv6:2001:db8::1]")]
    Literal,
    #[error("characters outside ASCII need SMTPUTF8")]
    NeedsUtf8,
    #[error("{0}")]
    Domain(#[from] DomainError),
}

/// Whether characters outside ASCII may occur (RFC 6531: only with the SMTPUTF8 parameter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    Ascii,
    Utf8,
}

impl Address {
    pub fn parse(text: &str, charset: Charset) -> Result<Self, AddressError> {
        if text.len() > PATH_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        if charset == Charset::Ascii && !text.is_ascii() {
            return Err(AddressError::NeedsUtf8);
        }
        let local_bytes = local_part_len(text)?;
        if local_bytes > LOCAL_PART_BYTES_MAX {
            return Err(AddressError::TooLong);
        }
        let rest = text.get(local_bytes..).and_then(|rest| rest.strip_prefix('@')).ok_or(AddressError::NoAt)?;
        let host = Host::parse(rest)?;
        Ok(Self { text: text.into(), local_bytes, host })
    }

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part as it was given, quotes included.
    pub fn local_part(&self) -> &str {
        self.text.get(..self.local_bytes).unwrap_or_default()
    }

    /// The local part by its meaning: without quotes and backslashes (RFC 5321 section 4.1.2: both forms name one
    /// mailbox).
    pub fn local_part_unquoted(&self) -> Cow<'_, str> {
        let local = self.local_part();
        let Some(inner) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Cow::Borrowed(local);
        };
        let mut out = String::with_capacity(inner.len());
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => out.extend(chars.next()),
                c => out.push(c),
            }
        }
        Cow::Owned(out)
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn domain(&self) -> Option<&Domain> {
        self.host.domain()
    }

    /// RFC 5321 section 4.5.1: the one local part that every domain has, in any case.
    pub fn is_postmaster(&self) -> bool {
        self.local_part_unquoted().eq_ignore_ascii_case("postmaster")
    }

    /// Whether the address can only be passed to a host that offers SMTPUTF8.
    pub fn needs_utf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

/// The octets of the local part at the start of `text`: a dot-string or a quoted string.
fn local_part_len(text: &str) -> Result<usize, AddressError> {
    match text.strip_prefix('"') {
        Some(rest) => quoted_len(rest).map(|inner| inner + 2),
        None => {
            let (local, _) = text.split_once('@').ok_or(AddressError::NoAt)?;
            let valid =
                !local.is_empty() && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
            if valid { Ok(local.len()) } else { Err(AddressError::LocalPart) }
        }
    }
}

/// The octets up to the closing quote (`qtextSMTP` and `quoted-pairSMTP`, RFC 5321 section 4.1.2).
fn quoted_len(rest: &str) -> Result<usize, AddressError> {
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(at),
            '\\' => match chars.next() {
                Some((_, ' '..='~')) => {}
                _ => return Err(AddressError::LocalPart),
            },
            ' '..='~' => {}
            c if !c.is_ascii() && !c.is_control() => {}
            _ => return Err(AddressError::LocalPart),
        }
    }
    Err(AddressError::LocalPart)
}

/// RFC 5322 section 3.2.3 `atext`, and UTF8-non-ascii as RFC 6531 section 3.3 adds it.
fn is_atext(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_' | '`' | '{' | '|' | '}'
        | '~' => true,
        c => !c.is_ascii() && !c.is_control(),
    }
}

/// Two addresses are the same mailbox if the local parts mean the same (case matters there) and the hosts are equal.
impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.host == other.host && self.local_part_unquoted() == other.local_part_unquoted()
    }
}

impl Eq for Address {}

impl std::hash::Hash for Address {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.host.hash(state);
        self.local_part_unquoted().hash(state);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, Charset::Utf8)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where notices about a message go: nowhere, or to a mailbox (RFC 5321 sections 4.1.1.2 and 4.5.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    Null,
    Mailbox(Address),
}

impl ReversePath {
    pub fn mailbox(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Mailbox(address) => Some(address),
        }
    }

    pub fn domain(&self) -> Option<&Domain> {
        self.mailbox().and_then(Address::domain)
    }

    /// The mailbox, or an empty text for the null path.
    pub fn as_str(&self) -> &str {
        self.mailbox().map_or("", Address::as_str)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReversePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ReversePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::Null);
        }
        text.parse().map(Self::Mailbox).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_of_rfc_5321_parse_and_others_do_not() {
        let long_local = format!("{}@a.example", "x".repeat(65));
        let table: &[(&str, Result<(&str, &str), AddressError>)] = &[
            ("user@example.org", Ok(("user", "example.org"))),
            ("first.last+tag@Example.ORG", Ok(("first.last+tag", "example.org"))),
            ("\"odd user\"@example.org", Ok(("odd user", "example.org"))),
            ("\"a@b\"@example.org", Ok(("a@b", "example.org"))),
            ("\"q\\\"q\\\\\"@example.org", Ok(("q\"q\\", "example.org"))),
            ("user@[192.0.2.1]", Ok(("user", "[192.0.2.1]"))),
            ("user@[IPv6:2001:DB8::1]", Ok(("user", "[IPv6:2001:db8::1]"))),
            ("\u{f6}@b\u{fc}cher.example", Ok(("\u{f6}", "xn--bcher-kva.example"))),
            ("user", Err(AddressError::NoAt)),
            ("@example.org", Err(AddressError::LocalPart)),
            (".a@example.org", Err(AddressError::LocalPart)),
            ("a..b@example.org", Err(AddressError::LocalPart)),
            ("a b@example.org", Err(AddressError::LocalPart)),
            ("a\r\n@example.org", Err(AddressError::LocalPart)),
            ("\"open@example.org", Err(AddressError::LocalPart)),
            ("\"a\"b@example.org", Err(AddressError::NoAt)),
            ("a@b@example.org", Err(AddressError::Domain(DomainError::Character))),
            ("user@[300.1.1.1]", Err(AddressError::Literal)),
            ("user@[192.0.2.1", Err(AddressError::Literal)),
            ("user@192.0.2.1", Err(AddressError::Domain(DomainError::Numeric))),
            ("user@", Err(AddressError::Domain(DomainError::Empty))),
            (&long_local, Err(AddressError::TooLong)),
        ];
        for (text, expected) in table {
            let parsed = Address::parse(text, Charset::Utf8);
            let seen = parsed.as_ref().map(|a| (a.local_part_unquoted().into_owned(), a.host().to_string()));
            let expected = expected.as_ref().map(|(l, h)| (l.to_string(), h.to_string()));
            assert_eq!(seen.map_err(|e| *e), expected.map_err(|e| *e), "{text:?}");
        }
    }

    #[test]
    fn characters_outside_ascii_need_the_smtputf8_parameter() {
        assert_eq!(Address::parse("\u{f6}@example.org", Charset::Ascii), Err(AddressError::NeedsUtf8));
    }

    #[test]
    fn quoting_does_not_make_another_mailbox_but_case_does() {
        let parse = |text| Address::parse(text, Charset::Ascii).unwrap();
        assert_eq!(parse("\"user\"@example.org"), parse("user@EXAMPLE.org"));
        assert_ne!(parse("User@example.org"), parse("user@example.org"));
        assert!(parse("\"POST\\master\"@example.org").is_postmaster());
    }
}
