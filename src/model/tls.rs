//! What a TLS handshake negotiated, in the words that audit, metrics, `Received:` and logs share.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cipher::{CipherGrade, CipherSuite};
use super::time::Timestamp;

/// A protocol version, in OpenSSL's spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProtocolVersion {
    #[serde(rename = "SSLv3")]
    Ssl3,
    #[serde(rename = "TLSv1")]
    Tls1_0,
    #[serde(rename = "TLSv1.1")]
    Tls1_1,
    #[serde(rename = "TLSv1.2")]
    Tls1_2,
    #[serde(rename = "TLSv1.3")]
    Tls1_3,
}

impl ProtocolVersion {
    pub const ALL: [Self; 5] = [Self::Ssl3, Self::Tls1_0, Self::Tls1_1, Self::Tls1_2, Self::Tls1_3];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ssl3 => "SSLv3",
            Self::Tls1_0 => "TLSv1",
            Self::Tls1_1 => "TLSv1.1",
            Self::Tls1_2 => "TLSv1.2",
            Self::Tls1_3 => "TLSv1.3",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == word)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The TLS library that served a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stack {
    Rustls,
    Openssl,
}

/// Which handshakes a certificate of ours serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CertificateStack {
    /// All of them.
    #[default]
    Any,
    /// Those of old clients alone, so that an attack on their key exchange touches no other key.
    Legacy,
}

/// The hash of the signature by which a peer proved that it holds its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureHash {
    /// MD5, SHA-1 or both, as TLS 1.1 and older always do.
    Sha1OrOlder,
    /// SHA-2, also inside of EdDSA.
    Sha2,
}

/// By what the peer's certificate was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verified {
    #[default]
    None,
    Webpki,
    Dane,
    Fingerprint,
}

impl Verified {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Webpki => "webpki",
            Self::Dane => "dane",
            Self::Fingerprint => "fingerprint",
        }
    }
}

/// Where the peer's chain leads, whatever names stand in it and whoever was expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChainTrust {
    /// Nobody looked.
    #[default]
    #[serde(rename = "unknown")]
    Unknown,
    /// To a trusted root, by keys that are long enough, on a day on which all of it is valid.
    #[serde(rename = "trusted")]
    Trusted,
    /// A certificate of it is expired or not yet valid.
    #[serde(rename = "certificate-expired")]
    Expired,
    /// To no trusted root, or by a key that is too short.
    #[serde(rename = "certificate-not-trusted")]
    NotTrusted,
    /// It cannot be read.
    #[serde(rename = "validation-failure")]
    Invalid,
}

impl ChainTrust {
    /// The word in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Trusted => "trusted",
            Self::Expired => "certificate-expired",
            Self::NotTrusted => "certificate-not-trusted",
            Self::Invalid => "validation-failure",
        }
    }
}

/// The most data of a TLSA record that is kept, in bytes: all of a digest.
pub const DANE_DATA_BYTES_MAX: usize = 64;

/// What came of holding a chain against the TLSA records of a mail host (RFC 7672 section 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaneMatch {
    pub result: DaneResult,
    /// The record that matched, as zone files write it, no more than [`DANE_DATA_BYTES_MAX`] of its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
}

/// In which way a chain and TLSA records belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaneResult {
    /// Verified by a record.
    Match,
    /// A record names an issuer in the chain, but the way from there, a date or the name is not good.
    Refused,
    /// None of the records concerns the chain.
    NoMatch,
}

/// The peer's certificate, as far as a record needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCertificate {
    /// SHA-256 of the DER certificate, hexadecimal.
    pub sha256: String,
    /// SHA-256 of its SubjectPublicKeyInfo, hexadecimal.
    pub key_sha256: String,
    /// Subject, escaped and bounded.
    pub subject: String,
    /// DNS names of the subjectAltName extension, escaped and bounded.
    pub names: Vec<String>,
    /// How many more DNS names it has than are recorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub names_omitted: u32,
    pub not_after: Option<Timestamp>,
    /// `None` if the handshake did not tell, as in a resumed session.
    #[serde(default)]
    pub signature: Option<SignatureHash>,
    /// The size of an RSA key; `None` for keys of other kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rsa_bits: Option<u32>,
    /// What its chain is worth, apart from names.
    #[serde(default)]
    pub chain: ChainTrust,
    /// `None` if nobody held it against TLSA records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dane: Option<DaneMatch>,
    pub verified: Verified,
    /// Why it was not verified, `None` if it was or if nobody asked.
    pub error: Option<String>,
}

impl PeerCertificate {
    /// A certificate with this hash of which nothing else is known but that its key was proved and not judged, for
    /// questions about a session that is only thought of.
    pub fn assumed(sha256: String) -> Self {
        Self {
            sha256,
            key_sha256: String::new(),
            subject: String::new(),
            names: Vec::new(),
            names_omitted: 0,
            not_after: None,
            signature: Some(SignatureHash::Sha2),
            rsa_bits: None,
            chain: ChainTrust::Unknown,
            dane: None,
            verified: Verified::None,
            error: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The shortest RSA key that identifies anybody (NIST SP 800-57, CA/Browser Forum).
pub const RSA_BITS_MIN: u32 = 2048;
/// The shortest group of a finite field whose key exchange protects.
pub const DH_BITS_MIN: u32 = 2048;

/// The facts of one finished handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    pub version: ProtocolVersion,
    /// IANA name of the cipher suite.
    pub cipher: String,
    /// OpenSSL's name of it.
    pub cipher_openssl: String,
    /// Bits of the symmetric key.
    pub bits: u16,
    /// Key exchange group, such as `x25519`; unknown for some resumed sessions.
    pub group: Option<String>,
    pub stack: Stack,
    /// The server name that the client asked for, escaped and bounded.
    pub sni: Option<String>,
    pub resumed: bool,
    pub peer: Option<PeerCertificate>,
}

impl TlsFacts {
    /// The grade of the negotiated suite; a suite that the table lacks has none of the qualities. Nor has one whose key
    /// exchange is over a finite field that is within reach of attackers (RFC 9325 section 4.1).
    pub fn grade(&self) -> CipherGrade {
        let dh_bits = self.group.as_deref().and_then(|group| group.strip_prefix("dh-")?.parse::<u32>().ok());
        match dh_bits.is_some_and(|bits| bits < DH_BITS_MIN) {
            true => CipherGrade::Any,
            false => CipherSuite::by_name(&self.cipher).map_or(CipherGrade::Any, |suite| suite.grade),
        }
    }

    /// The facts of a session with this version and suite and nothing else known, for questions about a session that
    /// is only thought of.
    pub fn assumed(version: ProtocolVersion, suite: &CipherSuite) -> Self {
        Self {
            version,
            cipher: suite.name.to_owned(),
            cipher_openssl: suite.openssl.to_owned(),
            bits: suite.bits,
            group: None,
            stack: Stack::Rustls,
            sni: None,
            resumed: false,
            peer: None,
        }
    }
}

/// A session's TLS in a log line: `TLSv1.2 ECDHE-RSA-AES128-SHA`, or `none`.
#[derive(Clone, Copy, Debug)]
pub struct TlsOrNone<'a>(pub Option<&'a TlsFacts>);

impl fmt::Display for TlsOrNone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(facts) => write!(f, "{facts}"),
            None => f.write_str("none"),
        }
    }
}

/// `TLSv1.2 ECDHE-RSA-AES128-SHA`, the short form for replies and logs.
impl fmt::Display for TlsFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.cipher_openssl)
    }
}
