//! What a client offered in its ClientHello, in the words that the record of a failed handshake has.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most entries of each list; what goes beyond is cut off and said so.
pub const LISTED_MAX: usize = 100;

/// The offer of one ClientHello, without the random fillers of RFC 8701. Names are IANA's; a number without a name is
/// written `0x1a2b`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientOffer {
    /// Protocol versions, highest first; of a client that lists none, the highest alone.
    pub versions: Vec<String>,
    /// Cipher suites in the client's order, signalling values included.
    pub ciphers: Vec<String>,
    /// Key exchange groups in the client's order.
    pub groups: Vec<String>,
    pub signature_algorithms: Vec<String>,
    /// The server name that the client asked for, escaped and bounded.
    pub sni: Option<String>,
    /// The JA4 fingerprint, by which like clients are found.
    pub ja4: String,
    /// A list was longer than [`LISTED_MAX`].
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub truncated: bool,
}

/// `TLSv1 TLSv1.1, 12 ciphers, t10d120500_…`, for a line of the log; the record has it all.
impl fmt::Display for ClientOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} ciphers, {}", self.versions.join(" "), self.ciphers.len(), self.ja4)
    }
}
