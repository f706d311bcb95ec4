//! What a TLS client says first, read as it comes: a [`ClientHello`], one in the format of SSL 2.0, or why it is
//! neither.
//!
//! [`HelloReader`] keeps the bytes, so that the stack which is chosen by them can read them again. A hello is refused
//! here only if every stack refuses it.
//!
//! Must not: read a socket, choose a stack or a version, or be stricter than rustls and OpenSSL together.

mod bytes;
mod extensions;
mod ja4;
mod names;
mod offer;
mod parse;
mod reader;

#[cfg(test)]
mod tests;

use crate::model::tls::ProtocolVersion;

pub use reader::{HELLO_BYTES_MAX, HELLO_RECORDS_MAX, HelloReader, KEPT_BYTES_MAX, RECORD_BYTES_MAX};

use names::is_filler;

/// What is known of the client after the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Too few bytes to tell.
    More,
    Hello(Box<ClientHello>),
    /// The first bytes of a hello in the format of SSL 2.0, which may still ask for any version (RFC 5246 appendix
    /// E.2). Only OpenSSL reads the rest.
    SslV2,
    /// No stack would go on. Nothing more is kept.
    Bad(BadHello),
}

/// Why no handshake can follow. All of it is the client's fault, and the same bytes fail again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHello {
    #[error("not TLS")]
    NotTls,
    #[error("an alert instead of a hello")]
    Alert,
    #[error("another message than a hello")]
    NotAClientHello,
    #[error("a record longer than {RECORD_BYTES_MAX} bytes")]
    RecordTooLong,
    #[error("an empty record")]
    EmptyRecord,
    #[error("a hello longer than {HELLO_BYTES_MAX} bytes")]
    TooLong,
    #[error("a hello in more than {HELLO_RECORDS_MAX} records")]
    TooManyRecords,
    /// What of the hello is broken.
    #[error("malformed hello: {0}")]
    Malformed(&'static str),
}

impl BadHello {
    const DUPLICATE_EXTENSION: Self = Self::Malformed("an extension twice");
    const KEY_IS_NOT_LAST: Self = Self::Malformed("pre_shared_key is not the last extension");

    /// The alert to answer with (RFC 8446 section 6.2).
    pub fn alert(self) -> u8 {
        const UNEXPECTED_MESSAGE: u8 = 10;
        const RECORD_OVERFLOW: u8 = 22;
        const ILLEGAL_PARAMETER: u8 = 47;
        const DECODE_ERROR: u8 = 50;
        match self {
            // RFC 8446 section 4.2.11 for the key; both stacks answer a duplicate alike.
            Self::DUPLICATE_EXTENSION | Self::KEY_IS_NOT_LAST => ILLEGAL_PARAMETER,
            Self::Alert | Self::NotAClientHello | Self::TooManyRecords => UNEXPECTED_MESSAGE,
            Self::RecordTooLong => RECORD_OVERFLOW,
            Self::NotTls | Self::EmptyRecord | Self::TooLong | Self::Malformed(_) => DECODE_ERROR,
        }
    }
}

/// What a client offered (RFC 8446 section 4.1.2, RFC 6101 section 5.6.1.2). Numbers are those of IANA's registries, in
/// the client's order, with the random fillers of RFC 8701.
///
/// A list is `None` if its extension is absent, or if it is broken in a way that OpenSSL may overlook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    pub legacy_version: u16,
    pub cipher_suites: Vec<u16>,
    pub compression: Vec<u8>,
    pub extensions: Vec<u16>,
    pub sni: Sni,
    pub supported_versions: Option<Vec<u16>>,
    pub groups: Option<Vec<u16>>,
    /// The groups of the key shares.
    pub key_shares: Option<Vec<u16>>,
    pub signature_algorithms: Option<Vec<u16>>,
    pub point_formats: Option<Vec<u8>>,
    /// The first application protocol.
    pub alpn: Option<Vec<u8>>,
    /// The client names types of certificates, its own or the server's: it may know raw public keys (RFC 7250).
    pub certificate_types: bool,
    /// rustls 0.23 that offers TLS 1.2 and 1.3 refuses this hello whatever suites, groups and keys it has: for its
    /// versions, for what it lacks, or for its form.
    pub rustls_would_refuse: bool,
}

/// The server name that the client asked for (RFC 6066 section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sni {
    #[default]
    Absent,
    /// A DNS name as it was sent, ASCII, of 1 to 255 bytes.
    Name(String),
    /// No name, several, or one that is no DNS name. rustls takes an IP address for an absent name and refuses the
    /// others, see [`ClientHello::rustls_would_refuse`].
    Unusable,
}

impl Sni {
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Absent | Self::Unusable => None,
        }
    }
}

impl ClientHello {
    /// The known versions that the client accepts, highest first. Without `supported_versions` they are all from SSL
    /// 3.0 to `legacy_version`, at most TLS 1.2 (RFC 8446 section 4.2.1).
    pub fn versions(&self) -> Vec<ProtocolVersion> {
        let accepts = |version: ProtocolVersion| match &self.supported_versions {
            Some(numbers) => numbers.contains(&version_number(version)),
            None => version < ProtocolVersion::Tls1_3 && version_number(version) <= self.legacy_version,
        };
        ProtocolVersion::ALL.into_iter().rev().filter(|version| accepts(*version)).collect()
    }

    pub fn max_version(&self) -> Option<ProtocolVersion> {
        self.versions().first().copied()
    }

    /// Whether an extension of this number was sent, whatever its content.
    pub fn has_extension(&self, number: u16) -> bool {
        self.extensions.contains(&number)
    }

    /// Whether the client tries again with a lower version than its best (RFC 7507), which rustls does not notice.
    pub fn is_fallback(&self) -> bool {
        self.cipher_suites.contains(&names::FALLBACK)
    }
}

const fn version_number(version: ProtocolVersion) -> u16 {
    match version {
        ProtocolVersion::Ssl3 => 0x0300,
        ProtocolVersion::Tls1_0 => 0x0301,
        ProtocolVersion::Tls1_1 => 0x0302,
        ProtocolVersion::Tls1_2 => 0x0303,
        ProtocolVersion::Tls1_3 => 0x0304,
    }
}

/// The numbers without the fillers.
fn meant(numbers: &[u16]) -> impl Iterator<Item = u16> {
    numbers.iter().copied().filter(|number| !is_filler(*number))
}
