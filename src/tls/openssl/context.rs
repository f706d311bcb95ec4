//! Contexts of OpenSSL with everything that both sides want alike: the providers, the suites, what is switched off.

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::provider::Provider;
use openssl::ssl::{SslContextBuilder, SslMethod, SslMode, SslOptions};

use crate::model::cipher::{CipherGrade, CipherSuite, SUITES};
use crate::model::tls::ProtocolVersion;
use crate::tls::failure::SetupError;

use super::{native, ssl_version};

/// Families of suites before TLS 1.3, strongest first: forward secret and AEAD, forward secret, neither, and at the end
/// what is weak. No family is anonymous, unencrypted or for export.
const FAMILIES: &[&str] = &[
    "ECDHE+AESGCM",
    "ECDHE+CHACHA20",
    "DHE+AESGCM",
    "DHE+CHACHA20",
    "ECDHE+AESCCM",
    "DHE+AESCCM",
    "ECDHE+ARIAGCM",
    "DHE+ARIAGCM",
    "ECDHE+AES",
    "DHE+AES",
    "ECDHE+CAMELLIA",
    "DHE+CAMELLIA",
    "DHE+SEED",
    "kRSA+AESGCM",
    "kRSA+AESCCM",
    "kRSA+ARIAGCM",
    "kRSA+AES",
    "kRSA+CAMELLIA",
    "kRSA+SEED",
    "kRSA+IDEA",
    "ECDHE+3DES",
    "DHE+3DES",
    "kRSA+3DES",
    "ECDHE+RC4",
    "kRSA+RC4",
];
const NEVER: &str = "!aNULL:!eNULL:!EXPORT:!PSK:!SRP:!aDSS";
/// Level 0 takes keys, hashes and versions of any age: the policy judges them, not the handshake.
const ANY_AGE: &str = "@SECLEVEL=0";
/// The suites of TLS 1.3, strongest first.
const TLS13_SUITES: &str = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:\
                            TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256";

/// The longest chain that a peer may show. The library would take 100 KB and keep them with the session.
const CHAIN_BYTES_MAX: std::ffi::c_long = 64 << 10;

/// A context that speaks all from `lowest` on. Without a key, a certificate or a verifier.
pub(crate) fn builder(method: SslMethod, lowest: ProtocolVersion) -> Result<SslContextBuilder, SetupError> {
    load_providers()?;
    let mut builder = SslContextBuilder::new(method)?;
    // No maximum: the answer to a needless fallback (RFC 7507) and the mark against downgrades depend on it.
    builder.set_min_proto_version(Some(ssl_version(lowest)))?;
    if lowest == ProtocolVersion::Ssl3 {
        builder.clear_options(SslOptions::NO_SSLV3);
    }
    builder.set_options(
        SslOptions::NO_COMPRESSION
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::SINGLE_DH_USE
            | SslOptions::SINGLE_ECDH_USE
            | SslOptions::IGNORE_UNEXPECTED_EOF,
    );
    // An idle session must not hold 34 KB of buffers; whoever writes may come back with a buffer at another place.
    builder.set_mode(SslMode::RELEASE_BUFFERS | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::ENABLE_PARTIAL_WRITE);
    native::judge_chains_later(&mut builder, CHAIN_BYTES_MAX);
    builder.set_ciphersuites(TLS13_SUITES)?;
    builder.set_cipher_list(&cipher_list(CipherGrade::Any))?;
    Ok(builder)
}

/// The suites before TLS 1.3 that have at least this grade.
pub(in crate::tls) fn cipher_list(grade: CipherGrade) -> String {
    if grade == CipherGrade::Any {
        return format!("{}:{NEVER}:{ANY_AGE}", FAMILIES.join(":"));
    }
    let good = SUITES.iter().filter(|suite| !suite.is_tls13() && suite.grade >= grade);
    let names: Vec<&str> = good.map(|suite: &CipherSuite| suite.openssl).collect();
    format!("{}:{ANY_AGE}", names.join(":"))
}

/// RC4, SEED and IDEA are in a provider of their own, which must be there before the first context is made.
fn load_providers() -> Result<(), ErrorStack> {
    static LOADED: OnceLock<Result<(), ErrorStack>> = OnceLock::new();
    let load = || {
        for name in ["legacy", "default"] {
            // To unload a provider while the process ends corrupts memory; they stay.
            std::mem::forget(Provider::try_load(None, name, true)?);
        }
        Ok(())
    };
    LOADED.get_or_init(load).clone()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};

    use openssl::ssl::{HandshakeError, Ssl};

    use super::*;

    /// A signal and no suite (RFC 5746 section 3.3).
    const EMPTY_RENEGOTIATION_INFO: u16 = 0x00ff;

    /// A peer that never answers, and what was said to it.
    #[derive(Debug)]
    struct Mute(Vec<u8>);

    impl Read for Mute {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    impl Write for Mute {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What OpenSSL makes of a list, in its order, as IANA numbers: read from the hello of a client that has it.
    fn suites(list: &str) -> Vec<u16> {
        let mut builder = builder(SslMethod::tls_client(), ProtocolVersion::Ssl3).unwrap();
        builder.set_cipher_list(list).unwrap();
        let ssl = Ssl::new(&builder.build()).unwrap();
        let Err(HandshakeError::Failure(failed)) = ssl.connect(Mute(Vec::new())) else { panic!("nobody answered") };
        // The headers of record and message, the version and the random number; then the session and the suites.
        let hello = &failed.get_ref().0[5 + 4 + 2 + 32..];
        let suites = &hello[1 + usize::from(hello[0])..];
        let length = usize::from(u16::from_be_bytes([suites[0], suites[1]]));
        let numbers = suites[2..2 + length].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        numbers.filter(|number| *number != EMPTY_RENEGOTIATION_INFO).collect()
    }

    #[test]
    fn every_suite_that_this_stack_can_negotiate_has_its_grade() {
        let offered = suites(&cipher_list(CipherGrade::Any));
        let unknown: Vec<_> = offered.iter().filter(|number| CipherSuite::by_number(**number).is_none()).collect();
        assert_eq!(unknown, [&0u16; 0], "in the list of OpenSSL and not in the table of grades");
        let missing = SUITES.iter().filter(|suite| !offered.contains(&suite.number));
        assert_eq!(missing.map(|suite| suite.openssl).collect::<Vec<_>>(), [""; 0], "graded and not offered");
    }

    #[test]
    fn stronger_suites_come_first_and_rc4_last() {
        let offered = suites(&cipher_list(CipherGrade::Any));
        let grades: Vec<_> = offered.iter().filter_map(|number| CipherSuite::by_number(*number)).collect();
        for pair in grades.windows(2) {
            assert!(pair[0].grade >= pair[1].grade, "{} before {}", pair[0].openssl, pair[1].openssl);
        }
        let rc4 = grades.iter().position(|suite| suite.openssl.contains("RC4")).unwrap();
        assert!(grades[rc4..].iter().all(|suite| suite.openssl.contains("RC4")));
    }

    #[test]
    fn a_grade_leaves_out_what_is_below_it() {
        for grade in [CipherGrade::Strong, CipherGrade::ForwardSecret, CipherGrade::Aead] {
            let offered = suites(&cipher_list(grade));
            let below = offered.iter().filter_map(|number| CipherSuite::by_number(*number));
            let below: Vec<_> = below.filter(|suite| suite.grade < grade).map(|suite| suite.openssl).collect();
            assert_eq!(below, [""; 0], "{grade}");
            assert!(offered.len() > 10, "{grade}: {}", offered.len());
        }
    }
}
