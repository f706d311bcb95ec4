//! Domain names in the one form that is compared and looked up: lower-case A-labels without a final dot.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// RFC 1035 section 2.3.4, as text without the final dot.
pub const DOMAIN_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A domain name: lower case, A-labels (RFC 5890), no final dot. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

/// Why a text is no domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    #[error("a domain name may not be empty or have an empty label")]
    Empty,
    #[error("a domain name has at most 253 characters and each label at most 63")]
    TooLong,
    #[error("a domain name holds letters, digits, '-' and '_', and no label begins or ends with '-'")]
    Character,
    #[error("the last label of a domain name is not a number; an IP address is written in brackets")]
    Numeric,
    #[error("not a valid internationalized domain name")]
    Idna,
}

impl Domain {
    /// Accepts U-labels and turns them into A-labels (UTS 46); accepts one final dot.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.len() > 4 * DOMAIN_BYTES_MAX {
            return Err(DomainError::TooLong);
        }
        if text.is_ascii() {
            let lower = text.to_ascii_lowercase();
            check_labels(&lower)?;
            return Ok(Self(lower.into()));
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| DomainError::Idna)?;
        check_labels(&ascii)?;
        Ok(Self(ascii.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain above this one, `None` for a top-level name.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.into()))
    }

    /// How many labels the name has.
    pub fn label_count(&self) -> usize {
        self.0.split('.').count()
    }
}

fn check_labels(name: &str) -> Result<(), DomainError> {
    if name.len() > DOMAIN_BYTES_MAX {
        return Err(DomainError::TooLong);
    }
    name.split('.').try_for_each(check_label)?;
    match name.rsplit('.').next() {
        Some(last) if last.bytes().all(|b| b.is_ascii_digit()) => Err(DomainError::Numeric),
        _ => Ok(()),
    }
}

/// One label, in either case. That the last one of a name is no number is not asked here.
pub fn check_label(label: &str) -> Result<(), DomainError> {
    if label.is_empty() {
        return Err(DomainError::Empty);
    }
    if label.len() > LABEL_BYTES_MAX {
        return Err(DomainError::TooLong);
    }
    let is_made_of_letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match is_made_of_letters && !label.starts_with('-') && !label.ends_with('-') {
        true => Ok(()),
        false => Err(DomainError::Character),
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Domain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// What a domain file covers: one name, or every name below one (`*.bank.example` does not cover `bank.example`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DomainPattern {
    Exact(Domain),
    Below(Domain),
}

impl DomainPattern {
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        match text.strip_prefix("*.") {
            Some(rest) => Domain::parse(rest).map(Self::Below),
            None => Domain::parse(text).map(Self::Exact),
        }
    }

    pub fn covers(&self, name: &Domain) -> bool {
        match self {
            Self::Exact(domain) => domain == name,
            Self::Below(domain) => {
                name.as_str().strip_suffix(domain.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }

    /// A domain that the pattern covers; `None` where a name below it would be too long.
    pub fn one_of(&self) -> Option<Domain> {
        match self {
            Self::Exact(domain) => Some(domain.clone()),
            Self::Below(domain) => Domain::parse(&format!("any.{domain}")).ok(),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(domain) => write!(f, "{domain}"),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_brought_to_one_form_or_refused() {
        let long_label = "a".repeat(64);
        let long_name = vec!["abcdefgh"; 29].join(".");
        let table: &[(&str, Result<&str, DomainError>)] = &[
            ("Example.ORG", Ok("example.org")),
            ("example.org.", Ok("example.org")),
            ("b\u{fc}cher.example", Ok("xn--bcher-kva.example")),
            ("_smtp._tcp.example", Ok("_smtp._tcp.example")),
            ("localhost", Ok("localhost")),
            ("", Err(DomainError::Empty)),
            (".", Err(DomainError::Empty)),
            ("a..b", Err(DomainError::Empty)),
            ("-a.example", Err(DomainError::Character)),
            ("a-.example", Err(DomainError::Character)),
            ("a b.example", Err(DomainError::Character)),
            ("a\0.example", Err(DomainError::Character)),
            ("192.0.2.1", Err(DomainError::Numeric)),
            (&long_label, Err(DomainError::TooLong)),
            (&long_name, Err(DomainError::TooLong)),
        ];
        for (text, expected) in table {
            let parsed = Domain::parse(text);
            assert_eq!(parsed.as_ref().map(Domain::as_str).map_err(|e| *e), *expected, "{text:?}");
        }
    }

    #[test]
    fn a_wildcard_covers_every_name_below_and_not_the_name_itself() {
        let pattern = DomainPattern::parse("*.bank.example").unwrap();
        for (name, covered) in [
            ("a.bank.example", true),
            ("a.b.bank.example", true),
            ("bank.example", false),
            ("notbank.example", false),
            ("x.notbank.example", false),
        ] {
            assert_eq!(pattern.covers(&Domain::parse(name).unwrap()), covered, "{name}");
        }
    }
}
