//! Names and fingerprints that a certificate is held against (RFC 9525, RFC 6125).

use std::fmt;

use crate::model::domain::{Domain, DomainPattern};

/// A name of `match`: what the certificate must be valid for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NamePattern {
    /// The recipient domain itself.
    Domain,
    /// The name of the MX host, where that name can be trusted.
    Mx,
    /// One name.
    Exact(Domain),
    /// `*.filter.example`: any one name directly below.
    OneBelow(Domain),
}

impl NamePattern {
    pub fn parse(text: &str) -> Result<Self, crate::model::domain::DomainError> {
        match text {
            "domain" => Ok(Self::Domain),
            "mx" => Ok(Self::Mx),
            text => DomainPattern::parse(text).map(|pattern| match pattern {
                DomainPattern::Exact(name) => Self::Exact(name),
                DomainPattern::Below(name) => Self::OneBelow(name),
            }),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain => f.write_str("domain"),
            Self::Mx => f.write_str("mx"),
            Self::Exact(name) => write!(f, "{name}"),
            Self::OneBelow(name) => write!(f, "*.{name}"),
        }
    }
}

/// The SHA-256 of a certificate or of its public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Hexadecimal digits of a fingerprint.
const DIGITS: usize = 64;

/// A text that is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is written sha256: and 64 hexadecimal digits, colons between them allowed")]
pub struct FingerprintError;

impl Fingerprint {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn parse(text: &str) -> Result<Self, FingerprintError> {
        let digits = text.strip_prefix("sha256:").ok_or(FingerprintError)?;
        Self::from_digits(digits.chars().filter(|c| *c != ':')).ok_or(FingerprintError)
    }

    /// Reads what `hex` gives.
    pub fn from_hex(hex: &str) -> Option<Self> {
        Self::from_digits(hex.chars())
    }

    fn from_digits(digits: impl Iterator<Item = char>) -> Option<Self> {
        let digits: Vec<u8> = digits
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .take(DIGITS + 1)
            .collect::<Option<_>>()?;
        if digits.len() != DIGITS {
            return None;
        }
        let bytes: Vec<u8> =
            digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
        bytes.try_into().ok().map(Self)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 digits, lower case, without the prefix.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_64_digits_behind_the_name_of_the_hash() {
        let plain = format!("sha256:{}", "0a".repeat(32));
        let colons = format!("sha256:{}", vec!["0A"; 32].join(":"));
        assert_eq!(Fingerprint::parse(&plain), Fingerprint::parse(&colons));
        let parsed = Fingerprint::parse(&plain).unwrap();
        assert_eq!((parsed.to_string(), Fingerprint::from_hex(&parsed.hex())), (plain.clone(), Some(parsed)));
        assert_eq!(Fingerprint::from_hex(&colons), None);
        for bad in ["", "sha256:", "sha1:00", "0a", &plain[..70], &format!("{plain}0"), &plain.replace('a', "g")] {
            assert_eq!(Fingerprint::parse(bad), Err(FingerprintError), "{bad:?}");
        }
    }
}
