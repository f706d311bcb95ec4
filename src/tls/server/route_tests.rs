//! The rules of the route as a table: a hello of today with one change, and who serves it.

use std::sync::Arc;

use rustls::NamedGroup;

use super::route::{Abilities, KeyAbilities, Route, Why, route};
use crate::model::time::Timestamp;
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::hello::ClientHello;
use crate::tls::provider::provider;
use crate::tls::self_signed::Validity;

const X25519: u16 = 29;
const P256: u16 = 23;
const P521: u16 = 25;
const FFDHE2048: u16 = 256;
const ECDSA_P256: u16 = 0x0403;
const RSA_PSS: u16 = 0x0804;
const RSA_PKCS1: u16 = 0x0401;
const RSA_SHA1: u16 = 0x0201;
const AES128_TLS13: u16 = 0x1301;
const CCM_TLS13: u16 = 0x1304;
const ECDHE_ECDSA_GCM: u16 = 0xc02b;
const ECDHE_RSA_GCM: u16 = 0xc02f;
const ECDHE_RSA_CBC: u16 = 0xc013;
const RSA_CBC: u16 = 0x002f;
const FALLBACK_SCSV: u16 = 0x5600;
const TLS12: u16 = 0x0303;

/// As a client of today says it.
fn today() -> ClientHello {
    ClientHello {
        legacy_version: TLS12,
        cipher_suites: vec![AES128_TLS13, ECDHE_ECDSA_GCM, ECDHE_RSA_GCM, ECDHE_RSA_CBC, RSA_CBC],
        compression: vec![0],
        supported_versions: Some(vec![0x0304, TLS12]),
        groups: Some(vec![X25519, P256]),
        key_shares: Some(vec![X25519]),
        signature_algorithms: Some(vec![ECDSA_P256, RSA_PSS, RSA_PKCS1]),
        ..ClientHello::default()
    }
}

/// The same without TLS 1.3.
fn tls12() -> ClientHello {
    ClientHello { supported_versions: None, key_shares: None, ..today() }
}

fn keys() -> [KeyAbilities; 2] {
    let now = Timestamp::from_secs(1_800_000_000);
    let authority = DemoAuthority::new(now).unwrap();
    [KeyKind::P256, KeyKind::Rsa2048].map(|kind| {
        let validity = Validity::starting(now, std::time::Duration::from_secs(60));
        let pair = authority.issue(&["mx.example"], kind, validity).unwrap();
        let key = provider().key_provider.load_private_key(pair.private_key().clone_key().into()).unwrap();
        KeyAbilities::of(Arc::as_ref(&key))
    })
}

#[test]
fn rustls_serves_whom_it_can_and_openssl_all_others() {
    let [ecdsa, rsa] = keys();
    let (both, only_ecdsa, only_rsa) = (vec![&ecdsa, &rsa], vec![&ecdsa], vec![&rsa]);
    let abilities = Abilities::of(&provider());
    let (first, second) = (Route::Modern(0), Route::Modern(1));
    let old = Route::Legacy;
    for (what, hello, keys, expected) in [
        ("a client of today", today(), &both, first),
        ("the same for an RSA key", today(), &only_rsa, first),
        ("no key at all", today(), &vec![], old(Why::SignatureAlgorithms)),
        ("TLS 1.2 only", tls12(), &both, first),
        ("null compression is missing", ClientHello { compression: vec![1], ..today() }, &both, old(Why::Form)),
        ("a form that rustls refuses", ClientHello { rustls_would_refuse: true, ..today() }, &both, old(Why::Form)),
        ("raw public keys", ClientHello { certificate_types: true, ..today() }, &both, old(Why::Form)),
        (
            "no signature algorithms",
            ClientHello { signature_algorithms: None, ..today() },
            &both,
            old(Why::SignatureAlgorithms),
        ),
        ("no groups", ClientHello { groups: None, ..today() }, &both, old(Why::Groups)),
        ("TLS 1.1", ClientHello { legacy_version: 0x0302, ..tls12() }, &both, old(Why::Version)),
        ("SSL 3.0", ClientHello { legacy_version: 0x0300, ..tls12() }, &both, old(Why::Version)),
        (
            "1.1 by the list of versions",
            ClientHello { supported_versions: Some(vec![0x0302]), ..today() },
            &both,
            old(Why::Version),
        ),
        // TLS 1.3, with nothing left of it in common: rustls would not fall back to 1.2.
        ("1.3, no key share", ClientHello { key_shares: None, ..today() }, &both, old(Why::KeyShares)),
        (
            "1.3, a key share of another group is mended by a retry",
            ClientHello { key_shares: Some(vec![P521]), ..today() },
            &both,
            first,
        ),
        ("1.3, P-521 alone", ClientHello { groups: Some(vec![P521]), ..today() }, &both, old(Why::Groups)),
        ("1.3, FFDHE alone", ClientHello { groups: Some(vec![FFDHE2048]), ..today() }, &both, old(Why::Groups)),
        (
            "1.3 with a hybrid group",
            ClientHello { groups: Some(vec![NamedGroup::X25519MLKEM768.into()]), ..today() },
            &both,
            first,
        ),
        (
            "1.3, CCM alone",
            ClientHello { cipher_suites: vec![CCM_TLS13, ECDHE_ECDSA_GCM], ..today() },
            &both,
            old(Why::SuiteAndKey),
        ),
        ("1.3, no ECDSA", ClientHello { signature_algorithms: Some(vec![RSA_PSS]), ..today() }, &both, second),
        (
            "1.3, PKCS #1 is for certificates only",
            ClientHello { signature_algorithms: Some(vec![RSA_PKCS1]), ..today() },
            &both,
            old(Why::SignatureAlgorithms),
        ),
        // TLS 1.2
        (
            "1.2, ECDSA suites for an RSA key",
            ClientHello { cipher_suites: vec![ECDHE_ECDSA_GCM], ..tls12() },
            &only_rsa,
            old(Why::SuiteAndKey),
        ),
        ("1.2, RSA suites alone", ClientHello { cipher_suites: vec![ECDHE_RSA_GCM], ..tls12() }, &both, second),
        (
            "1.2, RSA suites for an ECDSA key",
            ClientHello { cipher_suites: vec![ECDHE_RSA_GCM], ..tls12() },
            &only_ecdsa,
            old(Why::SuiteAndKey),
        ),
        (
            "1.2, suites of 1.3 do not help",
            ClientHello { cipher_suites: vec![AES128_TLS13, RSA_CBC], ..tls12() },
            &both,
            old(Why::SuiteAndKey),
        ),
        ("1.2, CBC", ClientHello { cipher_suites: vec![ECDHE_RSA_CBC], ..tls12() }, &both, old(Why::SuiteAndKey)),
        (
            "1.2, the curve of the key is not among the groups",
            ClientHello { groups: Some(vec![X25519]), ..tls12() },
            &both,
            second,
        ),
        (
            "1.3, the curve of the key need not be among the groups",
            ClientHello { groups: Some(vec![X25519]), ..today() },
            &both,
            first,
        ),
        (
            "1.2, hybrid groups are for 1.3",
            ClientHello { groups: Some(vec![NamedGroup::X25519MLKEM768.into()]), ..tls12() },
            &both,
            old(Why::Groups),
        ),
        (
            "1.2, signatures with SHA-1 alone",
            ClientHello { signature_algorithms: Some(vec![RSA_SHA1]), ..tls12() },
            &both,
            old(Why::SuiteAndKey),
        ),
        ("1.2, PKCS #1", ClientHello { signature_algorithms: Some(vec![RSA_PKCS1]), ..tls12() }, &both, second),
        (
            "1.2, compressed points alone",
            ClientHello { point_formats: Some(vec![1]), ..tls12() },
            &both,
            old(Why::PointFormats),
        ),
        ("1.3 asks for no point formats", ClientHello { point_formats: Some(vec![1]), ..today() }, &both, first),
        (
            "a needless fallback",
            ClientHello { cipher_suites: vec![ECDHE_RSA_GCM, FALLBACK_SCSV], ..tls12() },
            &both,
            Route::InappropriateFallback,
        ),
        (
            "a fallback signal with the highest version",
            ClientHello { cipher_suites: vec![AES128_TLS13, FALLBACK_SCSV], ..today() },
            &both,
            first,
        ),
    ] {
        assert_eq!(route(&hello, keys, &abilities), expected, "{what}");
    }
}
