//! Certificates that are only thought of, in sessions that are.

use std::fmt;

use crate::model::domain::DomainPattern;
use crate::model::tls::{ChainTrust, PeerCertificate, ProtocolVersion, SignatureHash, TlsFacts, Verified};

use super::names::{Fingerprint, FingerprintError};

/// What a client would show if it were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownCertificate {
    /// One that leads to a root which the listener trusts.
    Verified,
    /// One with this hash, or with a key with this hash.
    Fingerprint(Fingerprint),
}

impl ShownCertificate {
    /// `verified`, or a fingerprint.
    pub fn parse(text: &str) -> Result<Self, FingerprintError> {
        match text {
            "verified" => Ok(Self::Verified),
            text => Fingerprint::parse(text).map(Self::Fingerprint),
        }
    }

    /// The session with a certificate of which nothing is known but this, proved as well as the version can.
    pub fn shown_in(self, facts: TlsFacts) -> TlsFacts {
        let (sha256, verified) = match self {
            Self::Verified => (String::new(), Verified::Webpki),
            Self::Fingerprint(fingerprint) => (fingerprint.hex(), Verified::None),
        };
        let is_old = facts.version < ProtocolVersion::Tls1_2;
        let proved = if is_old { SignatureHash::Sha1OrOlder } else { SignatureHash::Sha2 };
        let peer = PeerCertificate { signature: Some(proved), verified, ..PeerCertificate::assumed(sha256) };
        TlsFacts { peer: Some(peer), ..facts }
    }
}

impl fmt::Display for ShownCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified => f.write_str("verified"),
            Self::Fingerprint(fingerprint) => fingerprint.fmt(f),
        }
    }
}

/// A certificate of a host that mail is delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostCertificate {
    /// It leads to a trusted root.
    Trusted,
    /// It leads to none.
    Untrusted,
    Expired,
    /// Leads to none either, and it or its key has this hash.
    Fingerprint(Fingerprint),
}

impl HostCertificate {
    /// The session with a certificate for these names.
    pub fn shown_in(self, facts: TlsFacts, names: &[DomainPattern]) -> TlsFacts {
        let (sha256, chain) = match self {
            Self::Trusted => (String::new(), ChainTrust::Trusted),
            Self::Untrusted => (String::new(), ChainTrust::NotTrusted),
            Self::Expired => (String::new(), ChainTrust::Expired),
            Self::Fingerprint(fingerprint) => (fingerprint.hex(), ChainTrust::NotTrusted),
        };
        let names = names.iter().map(ToString::to_string).collect();
        TlsFacts { peer: Some(PeerCertificate { chain, names, ..PeerCertificate::assumed(sha256) }), ..facts }
    }
}
