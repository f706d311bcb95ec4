//! Cipher suites: IANA name, OpenSSL name, strength and grade, as one table.

use std::fmt;

use serde::{Deserialize, Serialize};

use CipherGrade::{Aead, Any, ForwardSecret, Strong};

/// How good a suite is, in the order in which a policy can ask for it. Each grade includes what the ones below it ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CipherGrade {
    /// Whatever was negotiated.
    #[default]
    Any,
    /// At least 128 bits, no RC4, no 3DES.
    Strong,
    /// Strong, and the key exchange is ephemeral.
    ForwardSecret,
    /// Forward secret, and the cipher authenticates what it encrypts.
    Aead,
}

impl CipherGrade {
    pub const ALL: [Self; 4] = [Any, Strong, ForwardSecret, Aead];

    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Any => "any",
            Strong => "strong",
            ForwardSecret => "forward-secret",
            Aead => "aead",
        }
    }

    /// What a session must have, behind "with"; `None` where every suite will do.
    pub const fn in_words(self) -> Option<&'static str> {
        match self {
            Any => None,
            Strong => Some("a strong cipher"),
            ForwardSecret => Some("a forward-secret cipher"),
            Aead => Some("a forward-secret AEAD cipher"),
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grade| grade.as_str() == word)
    }
}

impl fmt::Display for CipherGrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct CipherSuite {
    /// The number of the IANA registry "TLS Cipher Suites".
    pub number: u16,
    /// The IANA name.
    pub name: &'static str,
    /// OpenSSL's name.
    pub openssl: &'static str,
    /// Bits of the symmetric key.
    pub bits: u16,
    pub grade: CipherGrade,
}

const fn suite(number: u16, name: &'static str, openssl: &'static str, bits: u16, grade: CipherGrade) -> CipherSuite {
    CipherSuite { number, name, openssl, bits, grade }
}

impl CipherSuite {
    pub fn by_number(number: u16) -> Option<&'static Self> {
        SUITES.iter().find(|suite| suite.number == number)
    }

    /// Finds a suite by its IANA or its OpenSSL name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        SUITES.iter().find(|suite| suite.name == name || suite.openssl == name)
    }

    /// Whether the suite belongs to TLS 1.3 (and to no older version).
    pub fn is_tls13(&self) -> bool {
        self.number >> 8 == 0x13
    }
}

/// Every suite that an encrypting, authenticating handshake can end with, best grade first.
pub const SUITES: &[CipherSuite] = &[
    suite(0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE-RSA-AES256-GCM-SHA384", 256, Aead),
    suite(0x1302, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", 256, Aead),
    suite(0x1303, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", 256, Aead),
    suite(0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", 256, Aead),
    suite(0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384", 256, Aead),
    suite(0xc053, "TLS_DHE_RSA_WITH_ARIA_256_GCM_SHA384", "DHE-RSA-ARIA256-GCM-SHA384", 256, Aead),
    suite(0xc05d, "TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384", "ECDHE-ECDSA-ARIA256-GCM-SHA384", 256, Aead),
    suite(0xc061, "TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384", "ECDHE-ARIA256-GCM-SHA384", 256, Aead),
    suite(0xc09f, "TLS_DHE_RSA_WITH_AES_256_CCM", "DHE-RSA-AES256-CCM", 256, Aead),
    suite(0xc0a3, "TLS_DHE_RSA_WITH_AES_256_CCM_8", "DHE-RSA-AES256-CCM8", 256, Aead),
    suite(0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", "ECDHE-ECDSA-AES256-CCM", 256, Aead),
    suite(0xc0af, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", "ECDHE-ECDSA-AES256-CCM8", 256, Aead),
    suite(0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305", 256, Aead),
    suite(0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", 256, Aead),
    suite(0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE-RSA-CHACHA20-POLY1305", 256, Aead),
    suite(0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "DHE-RSA-AES128-GCM-SHA256", 128, Aead),
    suite(0x1301, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", 128, Aead),
    suite(0x1304, "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_SHA256", 128, Aead),
    suite(0x1305, "TLS_AES_128_CCM_8_SHA256", "TLS_AES_128_CCM_8_SHA256", 128, Aead),
    suite(0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", 128, Aead),
    suite(0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", 128, Aead),
    suite(0xc052, "TLS_DHE_RSA_WITH_ARIA_128_GCM_SHA256", "DHE-RSA-ARIA128-GCM-SHA256", 128, Aead),
    suite(0xc05c, "TLS_ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256", "ECDHE-ECDSA-ARIA128-GCM-SHA256", 128, Aead),
    suite(0xc060, "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256", "ECDHE-ARIA128-GCM-SHA256", 128, Aead),
    suite(0xc09e, "TLS_DHE_RSA_WITH_AES_128_CCM", "DHE-RSA-AES128-CCM", 128, Aead),
    suite(0xc0a2, "TLS_DHE_RSA_WITH_AES_128_CCM_8", "DHE-RSA-AES128-CCM8", 128, Aead),
    suite(0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "ECDHE-ECDSA-AES128-CCM", 128, Aead),
    suite(0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", "ECDHE-ECDSA-AES128-CCM8", 128, Aead),
    suite(0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", "DHE-RSA-AES256-SHA", 256, ForwardSecret),
    suite(0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", "DHE-RSA-AES256-SHA256", 256, ForwardSecret),
    suite(0x0088, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA", "DHE-RSA-CAMELLIA256-SHA", 256, ForwardSecret),
    suite(0x00c4, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA256", "DHE-RSA-CAMELLIA256-SHA256", 256, ForwardSecret),
    suite(0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA", 256, ForwardSecret),
    suite(0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA", 256, ForwardSecret),
    suite(0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE-ECDSA-AES256-SHA384", 256, ForwardSecret),
    suite(0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384", 256, ForwardSecret),
    suite(0xc073, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_CBC_SHA384", "ECDHE-ECDSA-CAMELLIA256-SHA384", 256, ForwardSecret),
    suite(0xc077, "TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384", "ECDHE-RSA-CAMELLIA256-SHA384", 256, ForwardSecret),
    suite(0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", "DHE-RSA-AES128-SHA", 128, ForwardSecret),
    suite(0x0045, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA", "DHE-RSA-CAMELLIA128-SHA", 128, ForwardSecret),
    suite(0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", "DHE-RSA-AES128-SHA256", 128, ForwardSecret),
    suite(0x009a, "TLS_DHE_RSA_WITH_SEED_CBC_SHA", "DHE-RSA-SEED-SHA", 128, ForwardSecret),
    suite(0x00be, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA256", "DHE-RSA-CAMELLIA128-SHA256", 128, ForwardSecret),
    suite(0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA", 128, ForwardSecret),
    suite(0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA", 128, ForwardSecret),
    suite(0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256", 128, ForwardSecret),
    suite(0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256", 128, ForwardSecret),
    suite(0xc072, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256", "ECDHE-ECDSA-CAMELLIA128-SHA256", 128, ForwardSecret),
    suite(0xc076, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256", "ECDHE-RSA-CAMELLIA128-SHA256", 128, ForwardSecret),
    suite(0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA", 256, Strong),
    suite(0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256", "AES256-SHA256", 256, Strong),
    suite(0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA", "CAMELLIA256-SHA", 256, Strong),
    suite(0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384", 256, Strong),
    suite(0x00c0, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA256", "CAMELLIA256-SHA256", 256, Strong),
    suite(0xc051, "TLS_RSA_WITH_ARIA_256_GCM_SHA384", "ARIA256-GCM-SHA384", 256, Strong),
    suite(0xc09d, "TLS_RSA_WITH_AES_256_CCM", "AES256-CCM", 256, Strong),
    suite(0xc0a1, "TLS_RSA_WITH_AES_256_CCM_8", "AES256-CCM8", 256, Strong),
    suite(0x0007, "TLS_RSA_WITH_IDEA_CBC_SHA", "IDEA-CBC-SHA", 128, Strong),
    suite(0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA", 128, Strong),
    suite(0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256", 128, Strong),
    suite(0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA", "CAMELLIA128-SHA", 128, Strong),
    suite(0x0096, "TLS_RSA_WITH_SEED_CBC_SHA", "SEED-SHA", 128, Strong),
    suite(0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256", 128, Strong),
    suite(0x00ba, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA256", "CAMELLIA128-SHA256", 128, Strong),
    suite(0xc050, "TLS_RSA_WITH_ARIA_128_GCM_SHA256", "ARIA128-GCM-SHA256", 128, Strong),
    suite(0xc09c, "TLS_RSA_WITH_AES_128_CCM", "AES128-CCM", 128, Strong),
    suite(0xc0a0, "TLS_RSA_WITH_AES_128_CCM_8", "AES128-CCM8", 128, Strong),
    suite(0x0004, "TLS_RSA_WITH_RC4_128_MD5", "RC4-MD5", 128, Any),
    suite(0x0005, "TLS_RSA_WITH_RC4_128_SHA", "RC4-SHA", 128, Any),
    suite(0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "ECDHE-ECDSA-RC4-SHA", 128, Any),
    suite(0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA", "ECDHE-RSA-RC4-SHA", 128, Any),
    suite(0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA", 112, Any),
    suite(0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", "DHE-RSA-DES-CBC3-SHA", 112, Any),
    suite(0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", "ECDHE-ECDSA-DES-CBC3-SHA", 112, Any),
    suite(0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "ECDHE-RSA-DES-CBC3-SHA", 112, Any),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_each_suite_once() {
        for (i, row) in SUITES.iter().enumerate() {
            for other in &SUITES[i + 1..] {
                assert!(
                    row.number != other.number && row.name != other.name && row.openssl != other.openssl,
                    "{row:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn grades_follow_key_exchange_cipher_and_length() {
        for (name, grade, bits) in [
            ("TLS_AES_128_GCM_SHA256", Aead, 128),
            ("ECDHE-RSA-CHACHA20-POLY1305", Aead, 256),
            ("DHE-RSA-AES256-GCM-SHA384", Aead, 256),
            ("ECDHE-RSA-AES128-SHA", ForwardSecret, 128),
            ("DHE-RSA-CAMELLIA256-SHA", ForwardSecret, 256),
            ("AES128-GCM-SHA256", Strong, 128),
            ("AES256-SHA", Strong, 256),
            ("ECDHE-RSA-DES-CBC3-SHA", Any, 112),
            ("ECDHE-RSA-RC4-SHA", Any, 128),
        ] {
            let suite = CipherSuite::by_name(name).unwrap();
            assert_eq!((suite.grade, suite.bits), (grade, bits), "{name}");
        }
        assert_eq!(CipherSuite::by_name("NULL-SHA"), None);
    }
}
