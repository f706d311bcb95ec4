//! Sessions that are only thought of: a version and a cipher suite, which must go together.

use super::cipher::{CipherSuite, SUITES};
use super::tls::{ProtocolVersion, TlsFacts};

/// Why there can be no such session. Says what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssumedError {
    #[error("no cipher suite has this name")]
    NoSuchSuite(ProtocolVersion),
    #[error("the cipher suite {} does not exist in {version}", suite.openssl)]
    NotOfVersion { suite: &'static CipherSuite, version: ProtocolVersion },
}

impl AssumedError {
    /// Suites that exist in the version that was asked for.
    pub fn examples(&self) -> String {
        let (Self::NoSuchSuite(version) | Self::NotOfVersion { version, .. }) = *self;
        examples(version)
    }
}

/// A session of this version and this suite, by its IANA or OpenSSL name in any case.
pub fn session(version: ProtocolVersion, suite: &str) -> Result<TlsFacts, AssumedError> {
    let is_named =
        |found: &&CipherSuite| found.name.eq_ignore_ascii_case(suite) || found.openssl.eq_ignore_ascii_case(suite);
    let suite = SUITES.iter().find(is_named).ok_or(AssumedError::NoSuchSuite(version))?;
    if !exists_in(suite, version) {
        return Err(AssumedError::NotOfVersion { suite, version });
    }
    Ok(TlsFacts::assumed(version, suite))
}

/// A session of this version as many clients have it.
#[expect(clippy::expect_used, reason = "a test looks up the suite of each version")]
pub fn usual(version: ProtocolVersion) -> TlsFacts {
    TlsFacts::assumed(version, CipherSuite::by_name(usual_suite(version)).expect("usual suites are in the table"))
}

const fn usual_suite(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::Tls1_3 => "TLS_AES_256_GCM_SHA384",
        ProtocolVersion::Tls1_2 => "ECDHE-RSA-AES256-GCM-SHA384",
        ProtocolVersion::Tls1_1 | ProtocolVersion::Tls1_0 => "ECDHE-RSA-AES128-SHA",
        ProtocolVersion::Ssl3 => "AES128-SHA",
    }
}

/// TLS 1.3 has suites of its own (RFC 8446 appendix B.4); those with SHA-2 or AEAD came with TLS 1.2 (RFC 5246
/// section 1.2); those with elliptic curves with TLS 1.0 (RFC 4492).
fn exists_in(suite: &CipherSuite, version: ProtocolVersion) -> bool {
    let is_old = suite.name.ends_with("_SHA") || suite.name.ends_with("_MD5");
    match version {
        ProtocolVersion::Tls1_3 => suite.is_tls13(),
        ProtocolVersion::Tls1_2 => !suite.is_tls13(),
        ProtocolVersion::Tls1_1 | ProtocolVersion::Tls1_0 => is_old,
        ProtocolVersion::Ssl3 => is_old && !suite.openssl.starts_with("ECDHE"),
    }
}

fn examples(version: ProtocolVersion) -> String {
    let more = match version {
        ProtocolVersion::Tls1_3 => "TLS_CHACHA20_POLY1305_SHA256 or TLS_AES_128_GCM_SHA256",
        ProtocolVersion::Tls1_2 => "ECDHE-ECDSA-AES128-GCM-SHA256 or AES128-SHA",
        ProtocolVersion::Tls1_1 | ProtocolVersion::Tls1_0 => "AES256-SHA or DES-CBC3-SHA",
        ProtocolVersion::Ssl3 => "DES-CBC3-SHA or RC4-SHA",
    };
    format!("in {version} there is for example {}, {more}", usual_suite(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_go_with_their_versions_only() {
        let check = |name: &str, expected: &[&str]| {
            let suite = CipherSuite::by_name(name).unwrap();
            let found = ProtocolVersion::ALL.into_iter().filter(|version| exists_in(suite, *version));
            assert_eq!(found.map(ProtocolVersion::as_str).collect::<Vec<_>>(), expected, "{name}");
        };
        check("TLS_AES_128_GCM_SHA256", &["TLSv1.3"]);
        check("ECDHE-RSA-AES128-GCM-SHA256", &["TLSv1.2"]);
        check("AES256-SHA256", &["TLSv1.2"]);
        check("DHE-RSA-AES256-CCM8", &["TLSv1.2"]);
        check("ECDHE-RSA-CHACHA20-POLY1305", &["TLSv1.2"]);
        check("ECDHE-RSA-AES128-SHA", &["TLSv1", "TLSv1.1", "TLSv1.2"]);
        check("RC4-MD5", &["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2"]);
    }

    #[test]
    fn every_version_has_a_usual_suite_and_existing_examples() {
        for version in ProtocolVersion::ALL {
            assert_eq!(usual(version).cipher_openssl, usual_suite(version));
            let examples = examples(version);
            let named = examples.split([' ', ',']).filter_map(CipherSuite::by_name);
            let fitting = named.filter(|suite| exists_in(suite, version)).count();
            assert_eq!(fitting, 3, "{examples}");
        }
    }
}
