//! The TLS session that is thought of: version and cipher suite, which must go together.

use crate::cli::arguments::{Explain, ShownCertificate};
use crate::cli::human::shown;
use crate::cli::output::Failure;
use crate::model::cipher::{CipherSuite, SUITES};
use crate::model::tls::{PeerCertificate, ProtocolVersion, SignatureHash, TlsFacts, Verified};

/// The versions that are tried where none was chosen: SSL 3.0 only where it is offered.
pub(super) fn versions(offer: ProtocolVersion) -> impl Iterator<Item = ProtocolVersion> {
    let lowest = offer.min(ProtocolVersion::Tls1_0);
    ProtocolVersion::ALL.into_iter().filter(move |version| *version >= lowest)
}

/// The session that was asked for, `None` for plaintext or where none was chosen.
pub(super) fn chosen(asked: &Explain) -> Result<Option<TlsFacts>, Failure> {
    let Some(version) = asked.tls else { return Ok(None) };
    let Some(name) = &asked.cipher else { return Ok(Some(usual(version))) };
    let suite = SUITES
        .iter()
        .find(|suite| suite.name.eq_ignore_ascii_case(name) || suite.openssl.eq_ignore_ascii_case(name))
        .ok_or_else(|| Failure::usage(format!("no cipher suite is named \"{}\"", shown(name)), examples(version)))?;
    if !exists_in(suite, version) {
        let message = format!("the cipher suite {} does not exist in {version}", suite.openssl);
        return Err(Failure::usage(message, examples(version)));
    }
    Ok(Some(TlsFacts::assumed(version, suite)))
}

/// The session with a certificate of which nothing is known but what was asked for, proved as well as the version can.
pub(super) fn showing(facts: TlsFacts, certificate: ShownCertificate) -> TlsFacts {
    let (sha256, verified) = match certificate {
        ShownCertificate::Verified => (String::new(), Verified::Webpki),
        ShownCertificate::Fingerprint(fingerprint) => (fingerprint.hex(), Verified::None),
    };
    let proved = if facts.version < ProtocolVersion::Tls1_2 { SignatureHash::Sha1OrOlder } else { SignatureHash::Sha2 };
    let peer = PeerCertificate { signature: Some(proved), verified, ..PeerCertificate::assumed(sha256) };
    TlsFacts { peer: Some(peer), ..facts }
}

/// A session of this version as many clients have it.
#[expect(clippy::expect_used, reason = "a test looks up the suite of each version")]
pub(super) fn usual(version: ProtocolVersion) -> TlsFacts {
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
    fn ssl_3_is_tried_only_where_it_is_offered() {
        for (offer, lowest) in [("SSLv3", "SSLv3"), ("TLSv1", "TLSv1"), ("TLSv1.3", "TLSv1")] {
            let versions = versions(ProtocolVersion::parse(offer).unwrap());
            assert_eq!(versions.min().map(ProtocolVersion::as_str), Some(lowest), "{offer}");
        }
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
