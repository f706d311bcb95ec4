//! Our client with servers that rustls cannot speak to: how each library fares, what is told, what is resumed.

use openssl::ssl::{SslContext, SslOptions, SslSessionCacheMode};
use openssl::x509::X509;
use tokio::io::duplex;

use super::*;
use crate::clock;
use crate::model::tls::{SignatureHash, Verified};
use crate::policy::names::Identity;
use crate::policy::settings::KeyPair;
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::evaluate::evaluate;
use crate::tls::failure::FailureKind;
use crate::tls::old_server::{self, Kind, OldServer, PATIENCE, meet};
use crate::tls::peer::peer_certificate;
use crate::tls::roots::Roots;
use crate::tls::self_signed::Validity;

use CipherGrade::{Aead, Any, ForwardSecret, Strong};
use ProtocolVersion::{Ssl3, Tls1_0, Tls1_1, Tls1_2, Tls1_3};

fn asking(stack: Stack) -> ClientHandshake {
    ClientHandshake {
        stack,
        server_name: Domain::parse("mx.example").ok(),
        certificate: CertificateUse::Ignored,
        port: 25,
        min_version: None,
        min_grade: Any,
        timeout: PATIENCE,
    }
}

async fn connect(
    tls: &ClientTls,
    server: &SslContext,
    ask: ClientHandshake,
) -> (Result<Peer, HandshakeFailure>, Option<X509>) {
    meet(server, |stream| tls.connect(stream, ask)).await
}

/// Version, suite and group, or the kind of the failure.
async fn told(server: &SslContext, ask: ClientHandshake) -> Result<String, FailureKind> {
    let (met, _) = connect(&ClientTls::new(None).unwrap(), server, ask).await;
    met.map(|peer| format!("{} {}", peer.facts, peer.facts.group.as_deref().unwrap_or("-"))).map_err(|f| f.kind)
}

fn suites(suites: &'static str) -> OldServer {
    OldServer { suites, ..OldServer::only(Tls1_2) }
}

#[tokio::test]
async fn servers_that_rustls_cannot_serve_are_reached_by_openssl_with_the_facts() {
    use FailureKind::{Alert, BadCertificate, NoCommonVersion};
    let only = OldServer::only;
    let rsa = |bits| OldServer { certificate: Kind::Rsa(bits), ..old_server::ALL };
    let group = |version, groups| OldServer { groups, certificate: Kind::Rsa(2048), ..only(version) };
    for (name, server, by_rustls, by_openssl) in [
        ("TLS 1.0", only(Tls1_0), NoCommonVersion, "TLSv1 ECDHE-RSA-AES256-SHA x25519"),
        ("TLS 1.1", only(Tls1_1), NoCommonVersion, "TLSv1.1 ECDHE-RSA-AES256-SHA x25519"),
        ("CBC", suites("ECDHE-RSA-AES128-SHA256"), Alert(40), "TLSv1.2 ECDHE-RSA-AES128-SHA256 x25519"),
        ("RSA key exchange", suites("AES128-GCM-SHA256"), Alert(40), "TLSv1.2 AES128-GCM-SHA256 -"),
        ("3DES", suites("DES-CBC3-SHA"), Alert(40), "TLSv1.2 DES-CBC3-SHA -"),
        ("RC4", suites("ECDHE-RSA-RC4-SHA"), Alert(40), "TLSv1.2 ECDHE-RSA-RC4-SHA x25519"),
        ("DHE", suites("DHE-RSA-AES256-GCM-SHA384"), Alert(40), "TLSv1.2 DHE-RSA-AES256-GCM-SHA384 dh-2048"),
        (
            "DHE of 1024 bits",
            OldServer { dh_bits: 1024, ..suites("DHE-RSA-AES128-SHA") },
            Alert(40),
            "TLSv1.2 DHE-RSA-AES128-SHA dh-1024",
        ),
        ("P-521 at 1.2", group(Tls1_2, "P-521"), Alert(40), "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 secp521r1"),
        ("P-521 at 1.3", group(Tls1_3, "P-521"), Alert(40), "TLSv1.3 TLS_AES_256_GCM_SHA384 secp521r1"),
        ("X448", group(Tls1_3, "X448"), Alert(40), "TLSv1.3 TLS_AES_256_GCM_SHA384 x448"),
        ("ffdhe at 1.3", group(Tls1_3, "ffdhe2048"), Alert(40), "TLSv1.3 TLS_AES_256_GCM_SHA384 ffdhe2048"),
        ("RSA of 1024 bits", rsa(1024), BadCertificate, "TLSv1.3 TLS_AES_256_GCM_SHA384 x25519"),
        (
            "X.509 version 1",
            OldServer { certificate: Kind::RsaV1, ..old_server::ALL },
            BadCertificate,
            "TLSv1.3 TLS_AES_256_GCM_SHA384 x25519",
        ),
    ] {
        let server = server.context();
        assert_eq!(told(&server, asking(Stack::Rustls)).await, Err(by_rustls), "{name}");
        assert_eq!(told(&server, asking(Stack::Openssl)).await.as_deref(), Ok(by_openssl), "{name}");
    }
}

#[tokio::test]
async fn ssl_3_is_never_offered_outbound() {
    let server = OldServer::only(Ssl3).context();
    for min_version in [None, Some(Ssl3)] {
        let ask = ClientHandshake { min_version, ..asking(Stack::Openssl) };
        assert_eq!(told(&server, ask).await, Err(FailureKind::NoCommonVersion), "{min_version:?}");
    }
}

#[tokio::test]
async fn nothing_below_the_minimum_is_negotiated() {
    let up_to = |version| OldServer { versions: (Ssl3, version), ..old_server::ALL };
    for (server, min_version, min_grade, expected) in [
        (up_to(Tls1_0), Some(Tls1_0), Any, Ok(Tls1_0)),
        (up_to(Tls1_0), Some(Tls1_1), Any, Err(FailureKind::NoCommonVersion)),
        (up_to(Tls1_1), Some(Tls1_2), Any, Err(FailureKind::NoCommonVersion)),
        (up_to(Tls1_2), Some(Tls1_3), Any, Err(FailureKind::NoCommonVersion)),
        (up_to(Tls1_3), Some(Tls1_3), Any, Ok(Tls1_3)),
        (up_to(Tls1_3), None, Aead, Ok(Tls1_3)),
        (up_to(Tls1_2), None, Aead, Ok(Tls1_2)),
        (up_to(Tls1_1), None, ForwardSecret, Ok(Tls1_1)),
        (suites("ECDHE-RSA-AES128-SHA"), None, Aead, Err(FailureKind::Alert(40))),
        (suites("ECDHE-RSA-AES128-SHA"), None, ForwardSecret, Ok(Tls1_2)),
        (suites("AES128-GCM-SHA256"), None, ForwardSecret, Err(FailureKind::Alert(40))),
        (suites("AES128-GCM-SHA256"), None, Strong, Ok(Tls1_2)),
        (suites("DES-CBC3-SHA"), None, Strong, Err(FailureKind::Alert(40))),
    ] {
        let shown = format!("{server:?} {min_version:?} {min_grade}");
        let ask = ClientHandshake { min_version, min_grade, ..asking(Stack::Openssl) };
        let (met, _) = connect(&ClientTls::new(None).unwrap(), &server.context(), ask).await;
        let negotiated = met.map(|peer| peer.facts).map_err(|failure| failure.kind);
        assert!(negotiated.as_ref().is_ok_and(|facts| facts.grade() >= min_grade) || negotiated.is_err(), "{shown}");
        assert_eq!(negotiated.map(|facts| facts.version), expected, "{shown}");
    }
}

/// A server that keeps sessions by tickets or, without, by their ids.
fn resuming(version: ProtocolVersion, tickets: bool) -> SslContext {
    let mut builder = OldServer::only(version).builder();
    builder.set_session_cache_mode(SslSessionCacheMode::SERVER);
    // Any second certificate will do: the chain must come back whole.
    builder.add_extra_chain_cert(old_server::self_signed(Kind::P256).0).unwrap();
    if !tickets {
        builder.set_options(SslOptions::NO_TICKET);
    }
    builder.build()
}

#[tokio::test]
async fn a_second_handshake_resumes_and_its_chain_is_judged_as_the_first_ones_was() {
    for (version, tickets) in
        [(Tls1_0, true), (Tls1_0, false), (Tls1_1, true), (Tls1_2, true), (Tls1_2, false), (Tls1_3, true)]
    {
        let server = resuming(version, tickets);
        let tls = ClientTls::new(None).unwrap();
        let ask = asking(Stack::Openssl);
        let elsewhere = ClientHandshake { port: 587, ..ask.clone() };
        let other_name = ClientHandshake { server_name: Domain::parse("mx2.example").ok(), ..ask.clone() };
        let other_floor = ClientHandshake { min_grade: Strong, ..ask.clone() };
        let nameless = ClientHandshake { server_name: None, ..ask.clone() };
        let noted = ClientHandshake { certificate: CertificateUse::Noted, ..ask.clone() };
        let required = ClientHandshake { certificate: CertificateUse::Required, ..ask.clone() };
        let stranger = ClientTls::new(None).unwrap();
        for (tls, ask, resumed) in [
            (&tls, &ask, false),
            (&tls, &ask, true),
            (&tls, &ask, true),
            (&tls, &elsewhere, false),
            (&tls, &other_name, false),
            (&tls, &other_floor, false),
            (&stranger, &ask, false),
            (&tls, &nameless, false),
            (&tls, &nameless, false),
            (&tls, &noted, false),
            (&tls, &required, false),
            (&tls, &required, false),
            (&tls, &ask, true),
        ] {
            let mut peer = connect(tls, &server, ask.clone()).await.0.unwrap();
            let shown = format!("{version} {tickets} {ask:?}");
            assert_eq!((peer.facts.version, peer.facts.resumed), (version, resumed), "{shown}");
            assert_eq!(peer.facts.sni.as_deref(), ask.server_name.as_ref().map(Domain::as_str), "{shown}");
            assert_eq!(peer.chain.len(), 2, "{shown}");
            assert_eq!(peer.facts.peer.as_ref().map(|told| told.subject.as_str()), Some("CN=mx.example"));
            let fingerprints = vec![crate::tls::peer::sha256(&peer.chain[0])];
            let identity = Identity { fingerprints, ..Identity::default() };
            let evaluation = evaluate(&peer.chain, &identity, &Roots::from_der([]), clock::timestamp());
            peer.record(&evaluation);
            assert_eq!(peer.facts.peer.unwrap().verified, Verified::Fingerprint, "{shown}");
        }
    }
}

#[test]
fn servers_that_renegotiate_unsafely_are_taken_only_where_nothing_is_asked_for() {
    use CertificateUse::{Ignored, Noted, Required};
    for (certificate, min_version, min_grade, expected) in [
        (Ignored, None, Any, false),
        (Ignored, Some(Ssl3), Any, false),
        (Noted, Some(Tls1_0), Any, false),
        (Required, None, Any, true),
        (Ignored, Some(Tls1_1), Any, true),
        (Ignored, None, Strong, true),
    ] {
        let ask = ClientHandshake { certificate, min_version, min_grade, ..asking(Stack::Openssl) };
        assert_eq!(with_openssl::floor(&ask).renegotiates_safely, expected, "{ask:?}");
    }
}

#[tokio::test]
async fn the_hash_of_the_servers_signature_is_told() {
    for (server, expected) in [
        (OldServer::only(Tls1_0), Some(SignatureHash::Sha1OrOlder)),
        (OldServer::only(Tls1_2), Some(SignatureHash::Sha2)),
        (OldServer::only(Tls1_3), Some(SignatureHash::Sha2)),
        (suites("AES128-SHA"), None),
    ] {
        let (met, _) = connect(&ClientTls::new(None).unwrap(), &server.context(), asking(Stack::Openssl)).await;
        assert_eq!(met.unwrap().facts.peer.unwrap().signature, expected, "{server:?}");
    }
}

#[tokio::test]
async fn our_certificate_is_shown_to_servers_that_ask_and_to_no_others() {
    let authority = DemoAuthority::new(clock::timestamp()).unwrap();
    let pair = KeyPair { chain: "c".into(), key: "k".into() };
    for key in [KeyKind::P256, KeyKind::Rsa2048] {
        let validity = Validity::starting(clock::timestamp(), std::time::Duration::from_secs(3600));
        let issued = authority.issue(&["relay.example"], key, validity).unwrap();
        let text = format!("{}{}", issued.certificate_pem, authority.certificate_pem());
        let own = ClientCertificate::from_pem(&pair, text.as_bytes(), issued.key_pem.as_bytes()).unwrap();
        let with = ClientTls::new(Some(&own)).unwrap();
        let without = ClientTls::new(None).unwrap();
        assert_eq!((with.identity(), without.identity()), (Some(own.fingerprint()), None));
        for (stack, version) in
            [(Stack::Rustls, Tls1_2), (Stack::Rustls, Tls1_3), (Stack::Openssl, Tls1_0), (Stack::Openssl, Tls1_3)]
        {
            let server = OldServer::only(version);
            for (tls, context, expected) in [
                (&with, server.asking_for_a_certificate(), true),
                (&with, server.context(), false),
                (&without, server.asking_for_a_certificate(), false),
            ] {
                let (met, shown) = connect(tls, &context, asking(stack)).await;
                met.unwrap();
                let shown = shown.map(|shown| peer_certificate(&shown.to_der().unwrap().into()).sha256);
                let own = peer_certificate(&issued.certificate_der).sha256;
                assert_eq!(shown, expected.then_some(own), "{key:?} {stack:?} {version} {expected}");
            }
        }
    }
}

#[tokio::test]
async fn a_hello_for_old_servers_stays_small() {
    let (near, mut far) = duplex(64 * 1024);
    let tls = ClientTls::new(None).unwrap();
    let read = async {
        let mut hello = vec![0; 4096];
        let count = tokio::io::AsyncReadExt::read(&mut far, &mut hello).await.unwrap();
        drop(far);
        count
    };
    let (_, count) = tokio::join!(tls.connect(near, asking(Stack::Openssl)), read);
    assert!((200..600).contains(&count), "{count}");
}
