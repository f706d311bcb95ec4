//! Real handshakes in memory: our server with our client, and each with a peer of other abilities.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, ClientConfig, NamedGroup, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::clock;
use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::tls::{ProtocolVersion, Stack, TlsFacts, Verified};
use crate::policy::names::Identity;

use super::certificates::{CertificatePaths, ServerCertificate};
use super::client::{AnyCertificate, CertificateUse, ClientHandshake, ClientTls, Peer};
use super::demo_authority::{DemoAuthority, KeyKind};
use super::evaluate::evaluate;
use super::failure::{FailureKind, HandshakeFailure};
use super::provider::provider;
use super::self_signed::{IssuedCertificate, Validity};
use super::server::{ServerTls, ServerTlsOptions};
use super::store::CertificateStore;

const PATIENCE: Duration = Duration::from_secs(30);
const PIPE_BYTES: usize = 64 * 1024;
/// OpenSSL reads on, rustls does not know the format.
const SSL2_HELLO_CUT_OFF: FailureKind =
    if cfg!(feature = "legacy-tls") { FailureKind::Closed } else { FailureKind::NotTls };

fn authority() -> DemoAuthority {
    DemoAuthority::new(clock::timestamp()).unwrap()
}

fn issue(authority: &DemoAuthority, names: &[&str], key: KeyKind) -> IssuedCertificate {
    authority.issue(names, key, Validity::starting(clock::timestamp(), Duration::from_secs(3600))).unwrap()
}

fn server_of(pairs: &[&IssuedCertificate], lowest: ProtocolVersion) -> ServerTls {
    let paths = CertificatePaths::new("c", "k");
    let read = |pair: &&IssuedCertificate| {
        ServerCertificate::from_pem(&paths, pair.certificate_pem.as_bytes(), pair.key_pem.as_bytes()).unwrap()
    };
    let store = CertificateStore::new(pairs.iter().map(read).collect()).unwrap();
    ServerTls::new(Arc::new(store), ServerTlsOptions { lowest, ..ServerTlsOptions::default() }).unwrap()
}

fn asking(server_name: Option<&str>) -> ClientHandshake {
    let server_name = server_name.map(|name| Domain::parse(name).unwrap());
    ClientHandshake {
        stack: Stack::Rustls,
        server_name,
        certificate: CertificateUse::Ignored,
        port: 25,
        min_version: None,
        min_grade: CipherGrade::Any,
        timeout: PATIENCE,
    }
}

/// Shakes hands and passes one byte, so that the client also sees the tickets.
async fn shake(server: &ServerTls, client: &ClientTls, ask: ClientHandshake) -> (TlsFacts, Peer) {
    let (near, far) = duplex(PIPE_BYTES);
    let (accepted, connected) = tokio::join!(server.accept(far, PATIENCE), client.connect(near, ask));
    let (mut accepted, facts) = accepted.unwrap();
    let (mut connected, peer) = connected.unwrap();
    accepted.write_all(b"!").await.unwrap();
    accepted.flush().await.unwrap();
    assert_eq!(connected.read_u8().await.unwrap(), b'!');
    (facts, peer)
}

/// A client whose abilities are a part of ours.
struct Narrow {
    versions: &'static [&'static SupportedProtocolVersion],
    /// In the client's order; empty for all.
    suites: &'static [CipherSuite],
    /// Empty for all.
    groups: &'static [NamedGroup],
}

const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
const ANY: Narrow = Narrow { versions: rustls::ALL_VERSIONS, suites: &[], groups: &[] };

impl Narrow {
    fn provider(&self) -> Arc<CryptoProvider> {
        let mut narrow = CryptoProvider::clone(&provider());
        if !self.suites.is_empty() {
            let all = narrow.cipher_suites;
            let of = |wanted: &CipherSuite| *all.iter().find(|suite| suite.suite() == *wanted).unwrap();
            narrow.cipher_suites = self.suites.iter().map(of).collect();
        }
        if !self.groups.is_empty() {
            narrow.kx_groups.retain(|group| self.groups.contains(&group.name()));
        }
        Arc::new(narrow)
    }

    fn client(&self) -> Arc<ClientConfig> {
        let provider = self.provider();
        let verifier = AnyCertificate(provider.signature_verification_algorithms);
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(self.versions).unwrap();
        Arc::new(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
    }

    fn server(&self, pair: &IssuedCertificate) -> TlsAcceptor {
        let config =
            ServerConfig::builder_with_provider(self.provider()).with_protocol_versions(self.versions).unwrap();
        let key = pair.private_key().clone_key().into();
        TlsAcceptor::from(Arc::new(
            config.with_no_client_auth().with_single_cert(vec![pair.certificate_der.clone()], key).unwrap(),
        ))
    }
}

/// What the server saw, and the certificate that the client was shown.
async fn visit(
    server: &ServerTls,
    client: &Narrow,
    name: &'static str,
) -> (Result<TlsFacts, HandshakeFailure>, Option<CertificateDer<'static>>) {
    let (near, far) = duplex(PIPE_BYTES);
    let connector = TlsConnector::from(client.client());
    let connect = connector.connect(ServerName::try_from(name).unwrap(), near);
    let (accepted, connected) = tokio::join!(server.accept(far, PATIENCE), connect);
    let shown = connected.ok().and_then(|stream| stream.get_ref().1.peer_certificates()?.first().cloned());
    (accepted.map(|(_, facts)| facts), shown)
}

#[tokio::test]
async fn both_sides_tell_the_same_facts_and_the_certificate_is_judged_afterwards() {
    let authority = authority();
    let pair = issue(&authority, &["mx.example"], KeyKind::P256);
    let server = server_of(&[&pair], ProtocolVersion::Tls1_2);
    let (facts, mut peer) = shake(&server, &ClientTls::new(None).unwrap(), asking(Some("mx.example"))).await;
    let expected = TlsFacts {
        version: ProtocolVersion::Tls1_3,
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        cipher_openssl: "TLS_AES_256_GCM_SHA384".to_owned(),
        bits: 256,
        group: Some("x25519mlkem768".to_owned()),
        stack: Stack::Rustls,
        sni: Some("mx.example".to_owned()),
        resumed: false,
        peer: None,
    };
    assert_eq!(facts, expected);
    assert_eq!(TlsFacts { peer: None, ..peer.facts.clone() }, expected);
    assert_eq!(peer.chain, [pair.certificate_der]);

    for (name, verified, error) in [
        ("mx.example", Verified::Webpki, None),
        ("other.example", Verified::None, Some(Reason::CertificateHostMismatch)),
    ] {
        let names = vec![Domain::parse(name).unwrap()];
        let identity = Identity { names, ..Identity::default() };
        let evaluation = evaluate(&peer.chain, &identity, &authority.roots(), clock::timestamp());
        peer.record(&evaluation);
        let recorded = peer.facts.peer.as_ref().unwrap();
        assert_eq!((recorded.verified, evaluation.error), (verified, error));
        let word = recorded.error.as_deref().and_then(|text| text.split(':').next());
        assert_eq!(word, error.map(Reason::as_str));
    }
}

#[tokio::test]
async fn the_server_speaks_what_the_client_can_and_picks_the_strongest_suite() {
    let pair = issue(&authority(), &["mx.example"], KeyKind::P256);
    let server = server_of(&[&pair], ProtocolVersion::Tls1_2);
    let weak_first: &[CipherSuite] = &[
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    let only_p384: &[NamedGroup] = &[NamedGroup::secp384r1];
    for (client, expected, group) in [
        (Narrow { versions: TLS12, ..ANY }, "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384", "x25519"),
        (Narrow { versions: TLS12, suites: weak_first, ..ANY }, "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384", "x25519"),
        (Narrow { suites: weak_first, ..ANY }, "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256", "x25519mlkem768"),
        (Narrow { groups: only_p384, ..ANY }, "TLSv1.3 TLS_AES_256_GCM_SHA384", "secp384r1"),
    ] {
        let (facts, _) = visit(&server, &client, "mx.example").await;
        let facts = facts.unwrap();
        assert_eq!((facts.to_string().as_str(), facts.group.as_deref()), (expected, Some(group)));
    }
}

#[tokio::test]
async fn the_certificate_fits_the_name_asked_for_and_then_the_keys_that_the_client_knows() {
    let authority = authority();
    let default = issue(&authority, &["mx.example", "mail.example"], KeyKind::P256);
    let default_rsa = issue(&authority, &["mx.example"], KeyKind::Rsa2048);
    let exact = issue(&authority, &["a.other.example"], KeyKind::P256);
    let wildcard = issue(&authority, &["*.other.example"], KeyKind::P256);
    // The RSA key comes first in the configuration, and still serves only those that need it.
    let server = server_of(&[&default_rsa, &default, &exact, &wildcard], ProtocolVersion::Tls1_2);

    let rsa_only: &[CipherSuite] = &[CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384];
    let ecdsa_only: &[CipherSuite] = &[CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384];
    let tls13_and_rsa: &[CipherSuite] =
        &[CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384];
    let tls13_only: &[CipherSuite] = &[CipherSuite::TLS13_AES_256_GCM_SHA384];
    let no_p256: &[NamedGroup] = &[NamedGroup::X25519];
    let rsa = || Narrow { versions: TLS12, suites: rsa_only, ..ANY };
    for (client, name, expected) in [
        (ANY, "mx.example", &default),
        (ANY, "mail.example", &default),
        (ANY, "a.other.example", &exact),
        (ANY, "b.other.example", &wildcard),
        (ANY, "a.b.other.example", &default),
        (ANY, "other.example", &default),
        (ANY, "unknown.example", &default),
        (ANY, "192.0.2.1", &default),
        (Narrow { versions: TLS12, ..ANY }, "mx.example", &default),
        (Narrow { versions: TLS12, suites: ecdsa_only, ..ANY }, "mx.example", &default),
        (rsa(), "mx.example", &default_rsa),
        (rsa(), "a.other.example", &default_rsa),
        (Narrow { versions: TLS12, groups: no_p256, ..ANY }, "mx.example", &default_rsa),
        (Narrow { versions: TLS12, suites: tls13_and_rsa, ..ANY }, "mx.example", &default_rsa),
        (Narrow { versions: TLS13, suites: tls13_only, groups: no_p256 }, "mx.example", &default),
    ] {
        let (facts, shown) = visit(&server, &client, name).await;
        assert_eq!(shown.as_ref(), Some(&expected.certificate_der), "{name} {facts:?}");
    }
}

#[tokio::test]
async fn a_second_handshake_resumes_and_still_shows_the_certificate() {
    let pair = issue(&authority(), &["mx.example"], KeyKind::P256);
    let server = server_of(&[&pair], ProtocolVersion::Tls1_2);
    let client = ClientTls::new(None).unwrap();
    for (ask, client, resumed) in [
        (asking(Some("mx.example")), &client, false),
        (asking(Some("mx.example")), &client, true),
        (asking(Some("else.example")), &client, false),
        (asking(Some("mx.example")), &ClientTls::new(None).unwrap(), false),
        (asking(None), &client, false),
        (asking(None), &client, false),
    ] {
        let (facts, peer) = shake(&server, client, ask.clone()).await;
        assert_eq!((facts.resumed, peer.facts.resumed), (resumed, resumed), "{ask:?}");
        assert_eq!(facts.sni.as_deref(), ask.server_name.as_ref().map(Domain::as_str));
        assert_eq!(peer.chain, std::slice::from_ref(&pair.certificate_der), "{ask:?}");
    }
}

#[tokio::test]
async fn a_server_that_shows_a_certificate_without_its_key_is_not_connected_to() {
    let authority = authority();
    let (stolen, own) = (issue(&authority, &["mx.example"], KeyKind::P256), issue(&authority, &["x"], KeyKind::P256));
    for versions in [TLS12, TLS13] {
        let provider = provider();
        let key = provider.key_provider.load_private_key(own.private_key().clone_key().into()).unwrap();
        let pair = CertifiedKey::new(vec![stolen.certificate_der.clone()], key);
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config = config.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        let (near, far) = duplex(PIPE_BYTES);
        let (acceptor, client) = (TlsAcceptor::from(Arc::new(config)), ClientTls::new(None).unwrap());
        let (_, connected) = tokio::join!(acceptor.accept(far), client.connect(near, asking(Some("mx.example"))));
        assert_eq!(connected.unwrap_err().kind, FailureKind::BadCertificate, "{versions:?}");
    }
}

#[tokio::test]
async fn sides_without_a_common_version_or_cipher_say_so() {
    let pair = issue(&authority(), &["mx.example"], KeyKind::P256);
    let server = server_of(&[&pair], ProtocolVersion::Tls1_2);
    let server13 = server_of(&[&pair], ProtocolVersion::Tls1_3);
    let rsa_only: &[CipherSuite] = &[CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384];
    for (server, client, expected) in [
        (&server13, Narrow { versions: TLS12, ..ANY }, FailureKind::NoCommonVersion),
        (&server, Narrow { versions: TLS12, suites: rsa_only, ..ANY }, FailureKind::NoCommonCipher),
    ] {
        let (accepted, _) = visit(server, &client, "mx.example").await;
        assert_eq!(accepted.unwrap_err().kind, expected);
    }

    let old = Narrow { versions: TLS12, ..ANY }.server(&pair);
    for (min_version, expected) in [
        (None, None),
        (Some(ProtocolVersion::Tls1_2), None),
        (Some(ProtocolVersion::Tls1_3), Some(FailureKind::NoCommonVersion)),
    ] {
        let (near, far) = duplex(PIPE_BYTES);
        let client = ClientTls::new(None).unwrap();
        let ask = ClientHandshake { min_version, ..asking(Some("mx.example")) };
        let (_, connected) = tokio::join!(old.accept(far), client.connect(near, ask));
        assert_eq!(connected.err().map(|failure| failure.kind), expected, "{min_version:?}");
    }
}

#[tokio::test]
async fn what_is_no_handshake_fails_with_its_kind() {
    let pair = issue(&authority(), &["mx.example"], KeyKind::P256);
    let server = server_of(&[&pair], ProtocolVersion::Tls1_2);
    let client = ClientTls::new(None).unwrap();
    for (sent, at_server, at_client) in [
        (&b""[..], FailureKind::Closed, FailureKind::Closed),
        (b"454 4.7.0 no\r\n", FailureKind::NotTls, FailureKind::NotTls),
        (b"GET / HTTP/1.1\r\n\r\n", FailureKind::NotTls, FailureKind::NotTls),
        (b"\x80\x2e\x01\x03\x01\0\0\0", SSL2_HELLO_CUT_OFF, FailureKind::NotTls),
        (b"\x16\x03\x01\0\x04\x01\0\0\0", FailureKind::Protocol, FailureKind::Protocol),
        (b"\x15\x03\x03\0\x02\x02\x28", FailureKind::Protocol, FailureKind::Alert(40)),
        (b"\x15\x03\x03\0\x02\x02\x46", FailureKind::Protocol, FailureKind::NoCommonVersion),
        (b"\x16\x03\x01\xff\xff\x01\0\0\0", FailureKind::Protocol, FailureKind::Protocol),
        (b"\x16\x03\x01", FailureKind::Closed, FailureKind::Closed),
    ] {
        let failure = server.accept(saying(sent).await, PATIENCE).await.unwrap_err();
        assert_eq!(failure.kind, at_server, "{sent:?} {failure}");
        let failure = client.connect(saying(sent).await, asking(None)).await.unwrap_err();
        assert_eq!(failure.kind, at_client, "{sent:?} {failure}");
    }
}

/// A peer that has sent this and closed its side.
async fn saying(bytes: &[u8]) -> DuplexStream {
    let (near, mut far) = duplex(PIPE_BYTES);
    far.write_all(bytes).await.unwrap();
    far.shutdown().await.unwrap();
    // Keep reading what we send, so that writing to this peer works.
    tokio::spawn(async move { tokio::io::copy(&mut far, &mut tokio::io::sink()).await });
    near
}

#[tokio::test]
async fn a_silent_peer_is_cut_off_at_the_deadline() {
    let pair = issue(&authority(), &["mx.example"], KeyKind::P256);
    let server = server_of(&[&pair], ProtocolVersion::Tls1_2);
    let client = ClientTls::new(None).unwrap();
    let short = Duration::from_millis(20);
    for begun in [&b""[..], b"\x16\x03\x01\x02\0\x01"] {
        let (near, mut far) = duplex(PIPE_BYTES);
        far.write_all(begun).await.unwrap();
        let failure = server.accept(near, short).await.unwrap_err();
        assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::Timeout, "not finished within 20ms"));

        let (near, mut far) = duplex(PIPE_BYTES);
        far.write_all(begun).await.unwrap();
        let failure = client.connect(near, ClientHandshake { timeout: short, ..asking(None) }).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Timeout);
    }
}
