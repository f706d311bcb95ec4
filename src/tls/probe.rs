//! Handshakes of a client that knows exactly one version, with one suite or with all: to see what a server makes of old
//! clients, and how old it is itself.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::model::cipher::CipherSuite;
use crate::model::domain::Domain;
use crate::model::tls::ProtocolVersion;

use super::client::Peer;
use super::failure::{FailureKind, HandshakeFailure};
use super::stream::TlsStream;

/// The abilities of the client, and whom it asks.
#[derive(Clone, Debug)]
pub struct Probe {
    pub version: ProtocolVersion,
    pub suite: &'static CipherSuite,
    /// The name to ask for (SNI); `None` for a client that sends none.
    pub server_name: Option<Domain>,
    pub timeout: Duration,
}

/// Whether this build can be such a client: the suite is one of that version, and a TLS library here has both.
pub fn can(version: ProtocolVersion, suite: &CipherSuite) -> bool {
    library::can(version, suite)
}

/// Shakes hands with nothing else to offer. The certificate is handed out unjudged.
///
/// The failure is of kind [`FailureKind::Unsupported`] if [`can`] says no; nothing was sent then.
pub async fn shake<S>(stream: S, probe: &Probe) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !can(probe.version, probe.suite) {
        let detail = format!("no TLS library of this build can do {} with {}", probe.version, probe.suite.openssl);
        return Err(HandshakeFailure::new(FailureKind::Unsupported, &detail));
    }
    library::shake(stream, probe).await
}

/// A client that knows one version with every suite of it.
#[derive(Clone, Debug)]
pub struct VersionProbe {
    pub version: ProtocolVersion,
    /// The name to ask for (SNI); `None` for a client that sends none.
    pub server_name: Option<Domain>,
    pub timeout: Duration,
}

/// Whether a TLS library of this build has the version.
pub fn can_speak(version: ProtocolVersion) -> bool {
    library::can_speak(version)
}

/// Shakes hands with one version and every suite of it. The certificate is handed out unjudged.
///
/// The failure is of kind [`FailureKind::Unsupported`] if [`can_speak`] says no; nothing was sent then.
pub async fn shake_version<S>(stream: S, probe: &VersionProbe) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !can_speak(probe.version) {
        let detail = format!("no TLS library of this build can do {}", probe.version);
        return Err(HandshakeFailure::new(FailureKind::Unsupported, &detail));
    }
    library::shake_version(stream, probe).await
}

#[cfg(feature = "legacy-tls")]
mod library {
    use openssl::ssl::{Ssl, SslContext, SslOptions};
    use openssl_sys::SSL_OP_LEGACY_SERVER_CONNECT;

    use super::*;
    use crate::tls::client::with_openssl::{self, Shake};
    use crate::tls::failure::SetupError;
    use crate::tls::openssl::ssl_version;

    pub(super) fn can(version: ProtocolVersion, suite: &CipherSuite) -> bool {
        let (first, last) = versions_of(suite);
        (first..=last).contains(&version)
    }

    pub(super) const fn can_speak(_: ProtocolVersion) -> bool {
        true
    }

    pub(super) async fn shake_version<S>(
        stream: S,
        probe: &VersionProbe,
    ) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let context = of_version(probe.version).map_err(|error| HandshakeFailure::of_setup(&error))?;
        let ssl = Ssl::new(&context).map_err(|error| HandshakeFailure::of_setup(&error.into()))?;
        Shake { ssl, server_name: probe.server_name.as_ref(), timeout: probe.timeout }.run(stream).await
    }

    fn of_version(version: ProtocolVersion) -> Result<SslContext, SetupError> {
        let mut builder = with_openssl::builder(version)?;
        builder.set_max_proto_version(Some(ssl_version(version)))?;
        // Servers older than RFC 5746 are seen too.
        builder.set_options(SslOptions::from_bits_retain(SSL_OP_LEGACY_SERVER_CONNECT));
        Ok(builder.build())
    }

    /// The first and the last version that a suite can be used with.
    fn versions_of(suite: &CipherSuite) -> (ProtocolVersion, ProtocolVersion) {
        let name = suite.name;
        let has = |part| name.contains(part);
        let first = if suite.is_tls13() {
            ProtocolVersion::Tls1_3
        } else if has("_GCM") || has("_CCM") || name.ends_with("_SHA256") || name.ends_with("_SHA384") {
            // RFC 5246 section 5 and RFC 5289.
            ProtocolVersion::Tls1_2
        } else if has("_ECDHE_") {
            // RFC 8422: curves are negotiated by extensions, which SSL 3.0 lacks.
            ProtocolVersion::Tls1_0
        } else {
            ProtocolVersion::Ssl3
        };
        let last = match first {
            ProtocolVersion::Tls1_3 => ProtocolVersion::Tls1_3,
            // RFC 5469 takes IDEA out of TLS 1.2.
            _ if has("_IDEA_") => ProtocolVersion::Tls1_1,
            _ => ProtocolVersion::Tls1_2,
        };
        (first, last)
    }

    pub(super) async fn shake<S>(stream: S, probe: &Probe) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let context = context(probe).map_err(|error| HandshakeFailure::of_setup(&error))?;
        let ssl = Ssl::new(&context).map_err(|error| HandshakeFailure::of_setup(&error.into()))?;
        Shake { ssl, server_name: probe.server_name.as_ref(), timeout: probe.timeout }.run(stream).await
    }

    pub(super) fn context(probe: &Probe) -> Result<SslContext, SetupError> {
        let mut builder = with_openssl::builder(probe.version)?;
        builder.set_max_proto_version(Some(ssl_version(probe.version)))?;
        if probe.suite.is_tls13() {
            builder.set_ciphersuites(probe.suite.openssl)?;
        } else {
            builder.set_cipher_list(&format!("{}:@SECLEVEL=0", probe.suite.openssl))?;
        }
        Ok(builder.build())
    }
}

#[cfg(not(feature = "legacy-tls"))]
mod library {
    use rustls::SupportedCipherSuite;
    use rustls::crypto::CryptoProvider;

    use super::*;
    use crate::tls::client::with_rustls::{Hello, Offer};
    use crate::tls::provider::provider;

    pub(super) fn can(version: ProtocolVersion, suite: &CipherSuite) -> bool {
        let knows_version = match version {
            ProtocolVersion::Tls1_3 => suite.is_tls13(),
            ProtocolVersion::Tls1_2 => !suite.is_tls13(),
            _ => false,
        };
        knows_version && provider().cipher_suites.iter().any(|known| is(known, suite))
    }

    pub(super) const fn can_speak(version: ProtocolVersion) -> bool {
        matches!(version, ProtocolVersion::Tls1_2 | ProtocolVersion::Tls1_3)
    }

    pub(super) async fn shake_version<S>(
        stream: S,
        probe: &VersionProbe,
    ) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let is_newest = probe.version == ProtocolVersion::Tls1_3;
        let version = if is_newest { &rustls::version::TLS13 } else { &rustls::version::TLS12 };
        let offer = Offer::new(provider(), &[version], None).map_err(|error| HandshakeFailure::of_setup(&error))?;
        let hello = Hello { server_name: probe.server_name.as_ref(), resumes: false, timeout: probe.timeout };
        offer.connect(stream, hello).await
    }

    fn is(known: &SupportedCipherSuite, suite: &CipherSuite) -> bool {
        u16::from(known.suite()) == suite.number
    }

    pub(super) async fn shake<S>(stream: S, probe: &Probe) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut narrow = CryptoProvider::clone(&provider());
        narrow.cipher_suites.retain(|known| is(known, probe.suite));
        let version = if probe.suite.is_tls13() { &rustls::version::TLS13 } else { &rustls::version::TLS12 };
        let offer = Offer::new(narrow.into(), &[version], None).map_err(|error| HandshakeFailure::of_setup(&error))?;
        let hello = Hello { server_name: probe.server_name.as_ref(), resumes: false, timeout: probe.timeout };
        offer.connect(stream, hello).await
    }
}

#[cfg(all(test, feature = "legacy-tls"))]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::model::cipher::SUITES;
    use crate::model::tls::Stack;
    use crate::tls::old_server::{self, Kind, OldServer, PATIENCE, meet};

    /// Signals that are no suites: RFC 5746 section 3.3.
    const EMPTY_RENEGOTIATION_INFO: u16 = 0x00ff;

    fn probe(version: ProtocolVersion, suite: &'static CipherSuite) -> Probe {
        Probe { version, suite, server_name: Domain::parse("mx.example").ok(), timeout: PATIENCE }
    }

    /// The suites of the hello; none if nothing was sent.
    async fn hello_suites(probe: &Probe) -> Vec<u16> {
        let (near, mut far) = duplex(64 * 1024);
        let context = library::context(probe).unwrap();
        let ssl = openssl::ssl::Ssl::new(&context).unwrap();
        let shake = crate::tls::client::with_openssl::Shake { ssl, server_name: None, timeout: PATIENCE };
        let read = async {
            let mut hello = vec![0; 4096];
            let count = far.read(&mut hello).await.unwrap();
            drop(far);
            hello.truncate(count);
            hello
        };
        let (_, hello) = tokio::join!(shake.run(near), read);
        // An alert says that there was nothing to offer.
        if hello.first() != Some(&22) {
            return Vec::new();
        }
        let rest = &hello[5 + 4 + 2 + 32..];
        let rest = &rest[1 + usize::from(rest[0])..];
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        let numbers = rest[2..2 + length].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        numbers.filter(|number| *number != EMPTY_RENEGOTIATION_INFO).collect()
    }

    #[tokio::test]
    async fn a_probe_offers_its_one_suite_wherever_it_can_and_the_library_knows_no_more() {
        for version in ProtocolVersion::ALL {
            for suite in SUITES {
                // Suites of TLS 1.3 are a list of their own, which an older hello does not look at.
                if suite.is_tls13() != (version == ProtocolVersion::Tls1_3) {
                    assert!(!can(version, suite), "{version} {}", suite.openssl);
                    continue;
                }
                let offered = hello_suites(&probe(version, suite)).await;
                let expected: &[u16] = if can(version, suite) { &[suite.number] } else { &[] };
                assert_eq!(offered, expected, "{version} {}", suite.openssl);
            }
        }
    }

    #[tokio::test]
    async fn each_version_is_negotiated_with_the_suite_that_was_asked_for() {
        let rsa = old_server::ALL.context();
        let ecdsa = OldServer { certificate: Kind::P256, ..old_server::ALL }.context();
        for (server, version, suite, group) in [
            (&rsa, ProtocolVersion::Ssl3, "AES128-SHA", None),
            (&rsa, ProtocolVersion::Ssl3, "RC4-MD5", None),
            (&rsa, ProtocolVersion::Tls1_0, "DES-CBC3-SHA", None),
            (&rsa, ProtocolVersion::Tls1_0, "IDEA-CBC-SHA", None),
            (&rsa, ProtocolVersion::Tls1_1, "DHE-RSA-AES256-SHA", Some("dh-2048")),
            (&rsa, ProtocolVersion::Tls1_2, "AES256-GCM-SHA384", None),
            (&ecdsa, ProtocolVersion::Tls1_2, "ECDHE-ECDSA-RC4-SHA", Some("x25519")),
            (&rsa, ProtocolVersion::Tls1_3, "TLS_AES_128_CCM_8_SHA256", Some("x25519")),
        ] {
            let probe = probe(version, CipherSuite::by_name(suite).unwrap());
            let facts = meet(server, |stream| shake(stream, &probe)).await.0.unwrap().facts;
            assert_eq!((facts.version, facts.cipher_openssl.as_str()), (version, suite));
            assert_eq!((facts.group.as_deref(), facts.stack), (group, Stack::Openssl), "{suite}");
            assert_eq!(facts.sni.as_deref(), Some("mx.example"));
        }
    }

    #[tokio::test]
    async fn a_version_is_tried_alone_with_all_its_suites() {
        for spoken in ProtocolVersion::ALL {
            let server = OldServer::only(spoken).context();
            for version in ProtocolVersion::ALL {
                let probe = VersionProbe { version, server_name: None, timeout: PATIENCE };
                let met = meet(&server, |stream| shake_version(stream, &probe)).await.0;
                let seen = met.ok().map(|peer| peer.facts.version);
                assert_eq!(seen, Some(version).filter(|version| *version == spoken), "a server of {spoken}");
            }
        }
        let weak = OldServer { suites: "RC4-SHA", ..OldServer::only(ProtocolVersion::Tls1_2) }.context();
        let probe = VersionProbe { version: ProtocolVersion::Tls1_2, server_name: None, timeout: PATIENCE };
        let facts = meet(&weak, |stream| shake_version(stream, &probe)).await.0.unwrap().facts;
        assert_eq!(facts.cipher_openssl, "RC4-SHA");
    }

    #[tokio::test]
    async fn what_cannot_be_asked_for_is_said_and_what_the_server_lacks_fails() {
        let server = OldServer::only(ProtocolVersion::Tls1_2).context();
        for (version, suite, expected) in [
            (ProtocolVersion::Ssl3, "AES128-GCM-SHA256", FailureKind::Unsupported),
            (ProtocolVersion::Tls1_3, "AES128-GCM-SHA256", FailureKind::Unsupported),
            (ProtocolVersion::Tls1_0, "AES128-SHA", FailureKind::NoCommonVersion),
        ] {
            let probe = probe(version, CipherSuite::by_name(suite).unwrap());
            let failure = meet(&server, |stream| shake(stream, &probe)).await.0.unwrap_err();
            assert_eq!(failure.kind, expected, "{version} {suite}: {failure}");
        }
    }
}
