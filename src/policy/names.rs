//! Names and fingerprints that a certificate is held against, and whether it has them (RFC 9525 section 6).

use std::fmt;

use crate::model::domain::{DOMAIN_BYTES_MAX, Domain, DomainPattern, check_label};
use crate::model::hex;
use crate::model::tls::PeerCertificate;

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
        let lower = digits.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase());
        Self::from_hex(&lower.take(DIGITS + 1).collect::<String>()).ok_or(FingerprintError)
    }

    /// Reads what `hex` gives.
    pub fn from_hex(digits: &str) -> Option<Self> {
        hex::decode(digits.as_bytes()).map(Self)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 digits, lower case, without the prefix.
    pub fn hex(&self) -> String {
        hex::encode(&self.0)
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

/// What a certificate is held against: any one name, pattern or fingerprint suffices. Nothing in it: nothing suffices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    pub names: Vec<Domain>,
    /// Domains below which any one label may stand.
    pub one_below: Vec<Domain>,
    /// Of the certificate or of its key.
    pub fingerprints: Vec<Fingerprint>,
}

impl Identity {
    /// Whether a certificate could do by its names.
    pub fn has_names(&self) -> bool {
        !self.names.is_empty() || !self.one_below.is_empty()
    }

    /// Whether `presented`, a DNS name of a certificate as it stands there or in a record, is one that suffices.
    pub fn accepts_name(&self, presented: &str) -> bool {
        self.names.iter().any(|name| is_valid_for(presented, name))
            || self.one_below.iter().any(|above| is_one_below(presented, above))
    }

    /// What suffices, for people: `mx.example, *.filter.example, sha256:0a0b…`.
    pub fn in_words(&self) -> String {
        let names = self.names.iter().map(ToString::to_string);
        let patterns = self.one_below.iter().map(|above| format!("*.{above}"));
        let listed: Vec<String> =
            names.chain(patterns).chain(self.fingerprints.iter().map(ToString::to_string)).collect();
        if listed.is_empty() { "no name is acceptable".to_owned() } else { listed.join(", ") }
    }

    /// Whether the certificate or its key is one that suffices.
    pub fn accepts_key(&self, peer: &PeerCertificate) -> bool {
        has_fingerprint(peer, &self.fingerprints)
    }
}

/// Whether the certificate or its key has one of these fingerprints.
pub fn has_fingerprint(peer: &PeerCertificate, accepted: &[Fingerprint]) -> bool {
    let is_accepted = |hex: &String| Fingerprint::from_hex(hex).is_some_and(|own| accepted.contains(&own));
    !accepted.is_empty() && [&peer.sha256, &peer.key_sha256].into_iter().any(is_accepted)
}

/// Whether a DNS name of a certificate is valid for a host (RFC 9525 section 6.3). `*` stands for exactly one label and
/// only as the whole leftmost one, before at least two others: none covers all of a top-level domain.
pub fn is_valid_for(presented: &str, host: &Domain) -> bool {
    let covers = |above: &str| {
        let parent = host.as_str().split_once('.').map(|(_, parent)| parent);
        parent.is_some_and(|parent| parent.contains('.') && parent.eq_ignore_ascii_case(above))
    };
    presented.eq_ignore_ascii_case(host.as_str()) || presented.strip_prefix("*.").is_some_and(covers)
}

/// Whether a DNS name of a certificate is `*.above`, or one label below `above`.
pub fn is_one_below(presented: &str, above: &Domain) -> bool {
    let stands_below = |(label, rest): (&str, &str)| {
        rest.eq_ignore_ascii_case(above.as_str()) && (label == "*" || check_label(label).is_ok())
    };
    presented.len() <= DOMAIN_BYTES_MAX && presented.split_once('.').is_some_and(stands_below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_for_one_host_and_a_wildcard_for_one_label() {
        let long = format!("{}.a.example", "x".repeat(64));
        for (presented, wanted, host, below) in [
            ("mx.a.example", "mx.a.example", true, false),
            ("MX.A.Example", "mx.a.example", true, false),
            ("*.a.example", "mx.a.example", true, false),
            ("*.A.Example", "mx.a.example", true, false),
            ("*.a.example", "a.example", false, true),
            ("*.a.example", "x.mx.a.example", false, false),
            ("*.example", "a.example", false, false),
            ("*.example", "example", false, true),
            ("m*.a.example", "mx.a.example", false, false),
            ("m*.a.example", "a.example", false, false),
            ("mx.*.example", "mx.a.example", false, false),
            ("mx.a.example", "a.example", false, true),
            ("_mx.a.example", "a.example", false, true),
            ("-mx.a.example", "a.example", false, false),
            ("x.mx.a.example", "a.example", false, false),
            ("a.example", "a.example", true, false),
            (".a.example", "a.example", false, false),
            ("mx.a.example.", "mx.a.example", false, false),
            ("mx.a.example.", "a.example", false, false),
            ("m\\x78.a.example", "a.example", false, false),
            ("b\u{fc}cher.example", "xn--bcher-kva.example", false, false),
            (&long, "a.example", false, false),
            ("*", "example", false, false),
            ("*.", "example", false, false),
            ("", "example", false, false),
        ] {
            let wanted = Domain::parse(wanted).unwrap();
            let found = (is_valid_for(presented, &wanted), is_one_below(presented, &wanted));
            assert_eq!(found, (host, below), "{presented:?} {wanted}");
        }
    }

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
