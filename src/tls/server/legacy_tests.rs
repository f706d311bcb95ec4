//! Real handshakes of clients of every age with our server, in memory. The clients are OpenSSL's, each narrowed to
//! what somebody out there has.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSession, SslVersion};
use openssl::x509::X509;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_openssl::SslStream;

use super::{ServerTls, ServerTlsOptions};
use crate::clock;
use crate::model::tls::{CertificateStack, ProtocolVersion, SignatureHash, Stack, TlsFacts, Verified};
use crate::tls::certificates::{CertificatePaths, ServerCertificate};
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::failure::{FailureKind, HandshakeFailure};
use crate::tls::old_server::{Kind, self_signed};
use crate::tls::openssl::context;
use crate::tls::self_signed::{IssuedCertificate, Validity};
use crate::tls::store::CertificateStore;

const PATIENCE: Duration = Duration::from_secs(30);
const PIPE_BYTES: usize = 64 * 1024;

struct Stage {
    authority: DemoAuthority,
    ecdsa: IssuedCertificate,
    rsa: IssuedCertificate,
    old_rsa: IssuedCertificate,
}

impl Stage {
    fn new() -> Self {
        let authority = DemoAuthority::new(clock::timestamp()).unwrap();
        let issue = |kind| {
            let validity = Validity::starting(clock::timestamp(), Duration::from_secs(3600));
            authority.issue(&["mx.example"], kind, validity).unwrap()
        };
        let (ecdsa, rsa, old_rsa) = (issue(KeyKind::P256), issue(KeyKind::Rsa2048), issue(KeyKind::Rsa2048));
        Self { authority, ecdsa, rsa, old_rsa }
    }

    fn server(&self, lowest: ProtocolVersion) -> ServerTls {
        self.server_of(&[(&self.ecdsa, CertificateStack::Any), (&self.rsa, CertificateStack::Any)], lowest, false)
    }

    fn server_of(
        &self,
        pairs: &[(&IssuedCertificate, CertificateStack)],
        lowest: ProtocolVersion,
        requests: bool,
    ) -> ServerTls {
        let read = |(pair, stack): &(&IssuedCertificate, CertificateStack)| {
            let paths = CertificatePaths { stack: *stack, ..CertificatePaths::new("c", "k") };
            ServerCertificate::from_pem(&paths, pair.certificate_pem.as_bytes(), pair.key_pem.as_bytes()).unwrap()
        };
        let store = CertificateStore::new(pairs.iter().map(read).collect()).unwrap();
        let client_certificates = requests.then(|| self.authority.roots());
        ServerTls::new(Arc::new(store), ServerTlsOptions { lowest, client_certificates }).unwrap()
    }
}

/// What a client has and does.
#[derive(Clone, Copy, Default)]
struct Client<'a> {
    max: Option<SslVersion>,
    /// Suites before TLS 1.3; empty for all.
    ciphers: &'a str,
    suites13: &'a str,
    groups: &'a str,
    signatures: &'a str,
    fallback: bool,
    certificate: Option<&'a IssuedCertificate>,
}

impl Client<'_> {
    fn ssl(&self) -> Ssl {
        let mut builder = context::builder(SslMethod::tls_client(), ProtocolVersion::Ssl3).unwrap();
        self.narrow(&mut builder);
        let mut ssl = Ssl::new(&builder.build()).unwrap();
        ssl.set_hostname("mx.example").unwrap();
        ssl
    }

    fn narrow(&self, builder: &mut SslContextBuilder) {
        builder.set_max_proto_version(self.max).unwrap();
        if self.max == Some(SslVersion::SSL3) {
            builder.set_options(SslOptions::NO_TICKET);
        }
        if !self.ciphers.is_empty() {
            builder.set_cipher_list(&format!("{}:@SECLEVEL=0", self.ciphers)).unwrap();
        }
        if !self.suites13.is_empty() {
            builder.set_ciphersuites(self.suites13).unwrap();
        }
        if !self.groups.is_empty() {
            builder.set_groups_list(self.groups).unwrap();
        }
        if !self.signatures.is_empty() {
            builder.set_sigalgs_list(self.signatures).unwrap();
        }
        if self.fallback {
            builder.set_mode(SslMode::SEND_FALLBACK_SCSV);
        }
        if let Some(pair) = self.certificate {
            builder.set_certificate(&X509::from_pem(pair.certificate_pem.as_bytes()).unwrap()).unwrap();
            builder.set_private_key(&PKey::private_key_from_pem(pair.key_pem.as_bytes()).unwrap()).unwrap();
        }
    }
}

/// The session as the client has it afterwards, and the certificate that it was shown.
struct Seen {
    session: Option<SslSession>,
    shown: Vec<u8>,
}

/// Shakes hands and passes one byte each way, so that tickets arrive.
async fn visit(server: &ServerTls, ssl: Ssl) -> (Result<TlsFacts, HandshakeFailure>, Option<Seen>) {
    let (near, far) = duplex(PIPE_BYTES);
    let connect = async {
        let mut stream = SslStream::new(ssl, near).unwrap();
        Pin::new(&mut stream).connect().await.ok()?;
        stream.write_all(b"?").await.ok()?;
        (stream.read_u8().await.ok()? == b'!').then_some(())?;
        // OpenSSL never resumes a session whose connection was dropped without a word.
        _ = stream.shutdown().await;
        let shown = stream.ssl().peer_certificate().map(|shown| shown.to_der().unwrap());
        Some(Seen { session: stream.ssl().session().map(ToOwned::to_owned), shown: shown.unwrap_or_default() })
    };
    let accept = async {
        let (mut stream, facts) = server.accept::<DuplexStream>(far, PATIENCE).await?;
        if stream.read_u8().await.is_ok() {
            _ = stream.write_all(b"!").await;
            _ = stream.flush().await;
        }
        Ok(facts)
    };
    tokio::join!(accept, connect)
}

fn told(facts: Result<TlsFacts, HandshakeFailure>) -> String {
    match facts {
        Ok(facts) => {
            let stack = if facts.stack == Stack::Rustls { "rustls" } else { "openssl" };
            assert_eq!(facts.sni.as_deref(), Some("mx.example"));
            format!("{stack} {facts} {}", facts.group.as_deref().unwrap_or("-"))
        }
        Err(failure) => failure.kind.as_str().to_owned(),
    }
}

#[tokio::test]
async fn every_client_is_served_by_a_stack_that_can_and_gets_the_strongest_it_has() {
    let stage = Stage::new();
    let server = stage.server(ProtocolVersion::Tls1_0);
    let (tls1, tls11, tls12) = (Some(SslVersion::TLS1), Some(SslVersion::TLS1_1), Some(SslVersion::TLS1_2));
    let any = Client::default;
    for (client, expected) in [
        (any(), "rustls TLSv1.3 TLS_AES_256_GCM_SHA384 x25519mlkem768"),
        (Client { groups: "X25519", ..any() }, "rustls TLSv1.3 TLS_AES_256_GCM_SHA384 x25519"),
        (Client { groups: "P-521", ..any() }, "openssl TLSv1.3 TLS_AES_256_GCM_SHA384 secp521r1"),
        (Client { groups: "ffdhe2048", ..any() }, "openssl TLSv1.3 TLS_AES_256_GCM_SHA384 ffdhe2048"),
        (Client { groups: "X448", ..any() }, "openssl TLSv1.3 TLS_AES_256_GCM_SHA384 x448"),
        (
            Client { suites13: "TLS_AES_128_CCM_SHA256", groups: "X25519", ..any() },
            "openssl TLSv1.3 TLS_AES_128_CCM_SHA256 x25519",
        ),
        (
            Client { suites13: "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256", groups: "X25519", ..any() },
            "rustls TLSv1.3 TLS_CHACHA20_POLY1305_SHA256 x25519",
        ),
        (Client { max: tls12, ..any() }, "rustls TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 x25519"),
        (
            Client { max: tls12, ciphers: "ECDHE-RSA-AES128-GCM-SHA256", ..any() },
            "rustls TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 x25519",
        ),
        (
            Client { max: tls12, ciphers: "ECDHE-RSA-AES128-SHA:DHE-RSA-AES128-SHA", ..any() },
            "openssl TLSv1.2 ECDHE-RSA-AES128-SHA x25519",
        ),
        (Client { max: tls12, ciphers: "AES128-GCM-SHA256", ..any() }, "openssl TLSv1.2 AES128-GCM-SHA256 -"),
        (
            Client { max: tls12, ciphers: "DHE-RSA-AES256-GCM-SHA384:AES256-SHA", ..any() },
            "openssl TLSv1.2 DHE-RSA-AES256-GCM-SHA384 dh-2048",
        ),
        (Client { max: tls12, groups: "P-521", ..any() }, "openssl TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 secp521r1"),
        (Client { max: tls12, signatures: "RSA+SHA1", ..any() }, "openssl TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 x25519"),
        (Client { max: tls11, ..any() }, "openssl TLSv1.1 ECDHE-ECDSA-AES256-SHA x25519"),
        (Client { max: tls1, ..any() }, "openssl TLSv1 ECDHE-ECDSA-AES256-SHA x25519"),
        (
            Client { max: tls1, ciphers: "AES128-SHA:DHE-RSA-AES128-SHA", ..any() },
            "openssl TLSv1 DHE-RSA-AES128-SHA dh-2048",
        ),
        (Client { max: tls1, ciphers: "RC4-MD5:RC4-SHA:DES-CBC3-SHA", ..any() }, "openssl TLSv1 DES-CBC3-SHA -"),
        (Client { max: tls1, ciphers: "RC4-SHA", ..any() }, "openssl TLSv1 RC4-SHA -"),
        (Client { max: tls1, ciphers: "IDEA-CBC-SHA", ..any() }, "openssl TLSv1 IDEA-CBC-SHA -"),
        (Client { max: tls1, ciphers: "SEED-SHA", ..any() }, "openssl TLSv1 SEED-SHA -"),
        (Client { max: tls1, ciphers: "CAMELLIA256-SHA", ..any() }, "openssl TLSv1 CAMELLIA256-SHA -"),
        (Client { max: tls1, ciphers: "aNULL", ..any() }, "no-common-cipher"),
        (Client { max: tls1, ciphers: "eNULL", ..any() }, "no-common-cipher"),
        (Client { max: Some(SslVersion::SSL3), ..any() }, "no-common-version"),
        (Client { max: tls12, fallback: true, ..any() }, "inappropriate-fallback"),
        (Client { max: tls1, fallback: true, ..any() }, "inappropriate-fallback"),
    ] {
        let (facts, _) = visit(&server, client.ssl()).await;
        assert_eq!(told(facts), expected);
    }
}

#[tokio::test]
async fn ssl3_is_spoken_only_where_it_is_offered_and_nothing_below_the_offer_is() {
    use ProtocolVersion::{Ssl3, Tls1_0, Tls1_1, Tls1_2, Tls1_3};
    let stage = Stage::new();
    for (lowest, served) in [(Ssl3, 5), (Tls1_0, 4), (Tls1_1, 3), (Tls1_2, 2), (Tls1_3, 1)] {
        let server = stage.server(lowest);
        for version in ProtocolVersion::ALL {
            let max = Some(crate::tls::openssl::ssl_version(version));
            let (facts, _) = visit(&server, Client { max, ..Client::default() }.ssl()).await;
            let expected = version >= ProtocolVersion::ALL[5 - served];
            match facts {
                Ok(facts) => assert!(expected && facts.version == version, "{lowest} {version}"),
                Err(failure) => {
                    assert!(!expected && failure.kind == FailureKind::NoCommonVersion, "{lowest} {version}: {failure}");
                    let offer = failure.offer.unwrap();
                    assert_eq!(offer.versions.first().map(String::as_str), Some(version.as_str()));
                    let name = (version > Ssl3).then_some("mx.example");
                    assert_eq!(offer.sni.as_deref(), name);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_key_for_old_clients_is_shown_to_no_other() {
    let stage = Stage::new();
    let pairs = [
        (&stage.ecdsa, CertificateStack::Any),
        (&stage.rsa, CertificateStack::Any),
        (&stage.old_rsa, CertificateStack::Legacy),
    ];
    let server = stage.server_of(&pairs, ProtocolVersion::Tls1_0, false);
    let tls12 = Some(SslVersion::TLS1_2);
    for (client, expected) in [
        (Client::default(), &stage.ecdsa),
        (Client { max: tls12, ciphers: "ECDHE-RSA-AES128-GCM-SHA256", ..Client::default() }, &stage.rsa),
        (Client { max: tls12, ciphers: "AES128-SHA", ..Client::default() }, &stage.old_rsa),
        (Client { max: Some(SslVersion::TLS1), ciphers: "AES128-SHA", ..Client::default() }, &stage.old_rsa),
        (Client { max: Some(SslVersion::TLS1), ..Client::default() }, &stage.ecdsa),
    ] {
        let (facts, seen) = visit(&server, client.ssl()).await;
        assert_eq!(seen.unwrap().shown, expected.certificate_der.as_ref(), "{facts:?}");
    }
}

#[tokio::test]
async fn sessions_resume_on_both_stacks_and_on_the_same_listener_only() {
    let stage = Stage::new();
    let (server, other) = (stage.server(ProtocolVersion::Tls1_0), stage.server(ProtocolVersion::Tls1_0));
    for max in [SslVersion::TLS1, SslVersion::TLS1_2, SslVersion::TLS1_3] {
        for ciphers in ["", "AES128-SHA"] {
            let client = Client { max: Some(max), ciphers, ..Client::default() };
            let (first, seen) = visit(&server, client.ssl()).await;
            let session = seen.unwrap().session.unwrap();
            assert!(!first.unwrap().resumed);
            for (server, expected) in [(&server, true), (&other, false)] {
                let mut ssl = client.ssl();
                crate::tls::openssl::resume(&mut ssl, &session).unwrap();
                let (again, _) = visit(server, ssl).await;
                let again = again.unwrap();
                assert_eq!(again.resumed, expected, "{again}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_told_with_what_it_is_worth_and_its_session_never_resumes() {
    let stage = Stage::new();
    let stranger = DemoAuthority::new(clock::timestamp()).unwrap();
    let validity = Validity::starting(clock::timestamp(), Duration::from_secs(3600));
    let unknown = stranger.issue(&["unknown.example"], KeyKind::P256, validity).unwrap();
    let server = stage.server_of(
        &[(&stage.ecdsa, CertificateStack::Any), (&stage.rsa, CertificateStack::Any)],
        ProtocolVersion::Tls1_0,
        true,
    );
    let (sha2, old) = (Some(SignatureHash::Sha2), Some(SignatureHash::Sha1OrOlder));
    for (max, certificate, expected) in [
        (SslVersion::TLS1_3, Some(&stage.rsa), Some((Verified::Webpki, sha2))),
        (SslVersion::TLS1_2, Some(&stage.rsa), Some((Verified::Webpki, sha2))),
        (SslVersion::TLS1_2, Some(&unknown), Some((Verified::None, sha2))),
        (SslVersion::TLS1, Some(&stage.rsa), Some((Verified::Webpki, old))),
        (SslVersion::TLS1_3, None, None),
        (SslVersion::TLS1, None, None),
    ] {
        for ciphers in ["", "AES128-SHA"] {
            let client = Client { max: Some(max), ciphers, certificate, ..Client::default() };
            let (facts, seen) = visit(&server, client.ssl()).await;
            let facts = facts.unwrap();
            let found = facts.peer.as_ref().map(|peer| (peer.verified, peer.signature));
            assert_eq!(found, expected, "{facts}");
            if let (Some(peer), Some(pair)) = (&facts.peer, certificate) {
                let hash = crate::tls::peer::sha256(&pair.certificate_der);
                assert_eq!(peer.sha256, hash.hex());
            }
            let Some(session) = seen.and_then(|seen| seen.session) else { continue };
            let mut ssl = client.ssl();
            crate::tls::openssl::resume(&mut ssl, &session).unwrap();
            let (again, _) = visit(&server, ssl).await;
            assert!(!again.unwrap().resumed, "{facts}");
        }
    }
}

/// A client with a certificate that is not one of `Stage`.
fn showing(mut client: Client<'_>, own: &X509, key: &PKey<Private>, chain: &[X509]) -> Ssl {
    client.certificate = None;
    let mut builder = context::builder(SslMethod::tls_client(), ProtocolVersion::Ssl3).unwrap();
    client.narrow(&mut builder);
    builder.set_certificate(own).unwrap();
    builder.set_private_key(key).unwrap();
    for issuer in chain {
        builder.add_extra_chain_cert(issuer.clone()).unwrap();
    }
    let mut ssl = Ssl::new(&builder.build()).unwrap();
    ssl.set_hostname("mx.example").unwrap();
    ssl
}

#[tokio::test]
async fn a_client_certificate_that_cannot_be_checked_counts_for_nothing_and_costs_no_tls() {
    let stage = Stage::new();
    let pairs = [(&stage.ecdsa, CertificateStack::Any), (&stage.rsa, CertificateStack::Any)];
    let server = stage.server_of(&pairs, ProtocolVersion::Tls1_0, true);
    for kind in [Kind::Rsa(1024), Kind::RsaV1] {
        let (own, key) = self_signed(kind);
        for max in [SslVersion::TLS1_3, SslVersion::TLS1_2] {
            for ciphers in ["", "AES128-SHA"] {
                let client = Client { max: Some(max), ciphers, ..Client::default() };
                let (facts, seen) = visit(&server, showing(client, &own, &key, &[])).await;
                let facts = facts.unwrap();
                assert!(seen.is_some(), "{kind:?} {facts}");
                let shown = facts.peer.as_ref().unwrap();
                assert_eq!(shown.sha256, crate::tls::peer::sha256(&own.to_der().unwrap()).hex());
                let hash = crate::policy::names::Fingerprint::from_hex(&shown.sha256).unwrap();
                let counts = crate::policy::client_certificate::check_listed(&[hash], Some(&facts)).is_ok();
                // OpenSSL reads certificates of version 1, and their keys are as good as any.
                assert_eq!(counts, kind == Kind::RsaV1 && facts.stack == Stack::Openssl, "{kind:?} {facts}");
            }
        }
    }
}

#[test]
fn a_chain_without_a_proof_of_its_key_is_verified_by_nothing() {
    let stage = Stage::new();
    let now = clock::timestamp();
    let chain = [stage.rsa.certificate_der.clone()];
    for (signature, expected) in [(Some(SignatureHash::Sha2), Verified::Webpki), (None, Verified::None)] {
        let found = super::client_certificate(&chain, signature, &stage.authority.roots(), now).unwrap();
        assert_eq!((found.verified, found.error.is_none()), (expected, expected == Verified::Webpki));
    }
    assert!(super::client_certificate(&[], None, &stage.authority.roots(), now).is_none());
}

#[tokio::test]
async fn a_false_chain_of_one_client_breaks_no_session_of_another() {
    let stage = Stage::new();
    let pairs = [(&stage.ecdsa, CertificateStack::Any), (&stage.rsa, CertificateStack::Any)];
    let server = stage.server_of(&pairs, ProtocolVersion::Tls1_0, true);
    let old = Client { max: Some(SslVersion::TLS1_2), ciphers: "AES128-SHA", ..Client::default() };
    let (near, far) = duplex(PIPE_BYTES);
    let mut client = SslStream::new(old.ssl(), near).unwrap();
    let (accepted, connected) = tokio::join!(server.accept(far, PATIENCE), Pin::new(&mut client).connect());
    connected.unwrap();
    let (mut honest, _) = accepted.unwrap();

    // The issuer has the right name and did not sign.
    let ((own, key), (issuer, _)) = (self_signed(Kind::Rsa(2048)), self_signed(Kind::Rsa(2048)));
    let (near, far) = duplex(PIPE_BYTES);
    let mut attacker = SslStream::new(showing(old, &own, &key, &[issuer]), near).unwrap();
    let (taken, connected) = tokio::join!(server.accept(far, PATIENCE), Pin::new(&mut attacker).connect());
    connected.unwrap();
    let (mut taken, _) = taken.unwrap();

    for (server, client) in [(&mut honest, &mut client), (&mut taken, &mut attacker)] {
        // The first read has to wait, which is where the errors of another would be taken for its own.
        let (heard, ()) = tokio::join!(server.read_u8(), async { client.write_all(b"?").await.unwrap() });
        assert_eq!(heard.unwrap(), b'?');
    }
}
