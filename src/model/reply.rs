//! SMTP replies as values (RFC 5321 section 4.2, RFC 2034, RFC 3463), for both directions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A three-digit reply code between 200 and 599.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(u16);

impl Code {
    pub const SERVICE_READY: Self = Self(220);
    pub const CLOSING: Self = Self(221);
    pub const OK: Self = Self(250);
    pub const CANNOT_VRFY: Self = Self(252);
    pub const START_INPUT: Self = Self(354);
    pub const UNAVAILABLE: Self = Self(421);
    pub const MAILBOX_BUSY: Self = Self(450);
    pub const LOCAL_ERROR: Self = Self(451);
    pub const NO_STORAGE: Self = Self(452);
    pub const BAD_COMMAND: Self = Self(500);
    pub const BAD_PARAMETER: Self = Self(501);
    pub const NOT_IMPLEMENTED: Self = Self(502);
    pub const BAD_SEQUENCE: Self = Self(503);
    pub const AUTH_REQUIRED: Self = Self(530);
    pub const REFUSED: Self = Self(550);
    pub const TOO_BIG: Self = Self(552);
    pub const BAD_MAILBOX: Self = Self(553);
    pub const FAILED: Self = Self(554);
    pub const UNKNOWN_PARAMETER: Self = Self(555);
    pub const NO_MAIL_HOST: Self = Self(556);

    pub fn new(number: u16) -> Option<Self> {
        (200..600).contains(&number).then_some(Self(number))
    }

    pub const fn number(self) -> u16 {
        self.0
    }

    pub const fn severity(self) -> Severity {
        match self.0 {
            ..300 => Severity::Completed,
            300..400 => Severity::Intermediate,
            400..500 => Severity::Transient,
            _ => Severity::Permanent,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// The first digit of a reply (RFC 5321 section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Completed,
    Intermediate,
    Transient,
    Permanent,
}

/// An enhanced status code such as `5.7.10` (RFC 3463).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    pub class: u8,
    pub subject: u16,
    pub detail: u16,
}

impl EnhancedCode {
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// The code at the start of a reply text, if its class is 2, 4 or 5.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let class = match parts.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let subject = bounded(parts.next()?)?;
        let detail = bounded(parts.next()?)?;
        parts.next().is_none().then_some(Self { class, subject, detail })
    }
}

fn bounded(digits: &str) -> Option<u16> {
    let valid = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| digits.parse().ok()).flatten()
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl fmt::Debug for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EnhancedCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EnhancedCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an enhanced status code"))
    }
}

/// A whole reply: code, enhanced code if it has one, and the text of each line (without codes and line ends).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub code: Code,
    pub enhanced: Option<EnhancedCode>,
    pub lines: Vec<String>,
}

impl Reply {
    pub fn new(code: Code, enhanced: EnhancedCode, text: impl Into<String>) -> Self {
        Self { code, enhanced: Some(enhanced), lines: vec![text.into()] }
    }

    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// The reply on one line: `554 5.7.10 Encryption needed: ...`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in &self.lines {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes_are_read_only_in_the_form_of_rfc_3463() {
        for (text, expected) in [
            ("5.7.10", Some(EnhancedCode::new(5, 7, 10))),
            ("2.0.0", Some(EnhancedCode::new(2, 0, 0))),
            ("3.0.0", None),
            ("5.7", None),
            ("5.7.1.1", None),
            ("5.7.1234", None),
            ("5.+7.1", None),
            ("", None),
        ] {
            assert_eq!(EnhancedCode::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_codes_of_the_five_classes_exist() {
        assert_eq!(Code::new(199), None);
        assert_eq!(Code::new(600), None);
        assert_eq!(Code::new(450).map(Code::severity), Some(Severity::Transient));
    }
}
