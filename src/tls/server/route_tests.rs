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

/// A change to the hello, the keys that we hold, and who serves it.
struct Row(&'static str, ClientHello, Keys, Route);

#[derive(Clone, Copy)]
enum Keys {
    Both,
    Ecdsa,
    Rsa,
    None,
}

const FIRST: Route = Route::Modern(0);
const SECOND: Route = Route::Modern(1);

const fn old(why: Why) -> Route {
    Route::Legacy(why)
}

#[track_caller]
fn check(rows: Vec<Row>) {
    let [ecdsa, rsa] = keys();
    let abilities = Abilities::of(&provider());
    for Row(what, hello, keys, expected) in rows {
        let keys: &[&KeyAbilities] = match keys {
            Keys::Both => &[&ecdsa, &rsa],
            Keys::Ecdsa => &[&ecdsa],
            Keys::Rsa => &[&rsa],
            Keys::None => &[],
        };
        assert_eq!(route(&hello, keys, &abilities), expected, "{what}");
    }
}

#[test]
fn rustls_serves_whom_it_can_and_openssl_all_others() {
    use Keys::{Both, Rsa};
    check(vec![
        Row("a client of today", today(), Both, FIRST),
        Row("the same for an RSA key", today(), Rsa, FIRST),
        Row("no key at all", today(), Keys::None, old(Why::SignatureAlgorithms)),
        Row("TLS 1.2 only", tls12(), Both, FIRST),
        Row("null compression is missing", ClientHello { compression: vec![1], ..today() }, Both, old(Why::Form)),
        Row("a form that rustls refuses", ClientHello { rustls_would_refuse: true, ..today() }, Both, old(Why::Form)),
        Row("raw public keys", ClientHello { certificate_types: true, ..today() }, Both, old(Why::Form)),
        Row(
            "no signature algorithms",
            ClientHello { signature_algorithms: None, ..today() },
            Both,
            old(Why::SignatureAlgorithms),
        ),
        Row("no groups", ClientHello { groups: None, ..today() }, Both, old(Why::Groups)),
        Row("TLS 1.1", ClientHello { legacy_version: 0x0302, ..tls12() }, Both, old(Why::Version)),
        Row("SSL 3.0", ClientHello { legacy_version: 0x0300, ..tls12() }, Both, old(Why::Version)),
        Row(
            "1.1 by the list of versions",
            ClientHello { supported_versions: Some(vec![0x0302]), ..today() },
            Both,
            old(Why::Version),
        ),
    ]);
}

#[test]
fn who_offers_tls13_goes_to_rustls_only_with_all_that_it_takes() {
    use Keys::Both;
    check(vec![
        Row("1.3, no key share", ClientHello { key_shares: None, ..today() }, Both, old(Why::KeyShares)),
        Row(
            "1.3, a key share of another group is mended by a retry",
            ClientHello { key_shares: Some(vec![P521]), ..today() },
            Both,
            FIRST,
        ),
        Row("1.3, P-521 alone", ClientHello { groups: Some(vec![P521]), ..today() }, Both, old(Why::Groups)),
        Row("1.3, FFDHE alone", ClientHello { groups: Some(vec![FFDHE2048]), ..today() }, Both, old(Why::Groups)),
        Row(
            "1.3 with a hybrid group",
            ClientHello { groups: Some(vec![NamedGroup::X25519MLKEM768.into()]), ..today() },
            Both,
            FIRST,
        ),
        Row(
            "1.3, CCM alone",
            ClientHello { cipher_suites: vec![CCM_TLS13, ECDHE_ECDSA_GCM], ..today() },
            Both,
            old(Why::SuiteAndKey),
        ),
        Row("1.3, no ECDSA", ClientHello { signature_algorithms: Some(vec![RSA_PSS]), ..today() }, Both, SECOND),
        Row(
            "1.3, PKCS #1 is for certificates only",
            ClientHello { signature_algorithms: Some(vec![RSA_PKCS1]), ..today() },
            Both,
            old(Why::SignatureAlgorithms),
        ),
    ]);
}

#[test]
fn who_offers_tls12_goes_to_rustls_only_with_a_suite_for_a_key_that_it_can_verify() {
    use Keys::{Both, Ecdsa, Rsa};
    check(vec![
        Row(
            "1.2, ECDSA suites for an RSA key",
            ClientHello { cipher_suites: vec![ECDHE_ECDSA_GCM], ..tls12() },
            Rsa,
            old(Why::SuiteAndKey),
        ),
        Row("1.2, RSA suites alone", ClientHello { cipher_suites: vec![ECDHE_RSA_GCM], ..tls12() }, Both, SECOND),
        Row(
            "1.2, RSA suites for an ECDSA key",
            ClientHello { cipher_suites: vec![ECDHE_RSA_GCM], ..tls12() },
            Ecdsa,
            old(Why::SuiteAndKey),
        ),
        Row(
            "1.2, suites of 1.3 do not help",
            ClientHello { cipher_suites: vec![AES128_TLS13, RSA_CBC], ..tls12() },
            Both,
            old(Why::SuiteAndKey),
        ),
        Row("1.2, CBC", ClientHello { cipher_suites: vec![ECDHE_RSA_CBC], ..tls12() }, Both, old(Why::SuiteAndKey)),
        Row(
            "1.2, the curve of the key is not among the groups",
            ClientHello { groups: Some(vec![X25519]), ..tls12() },
            Both,
            SECOND,
        ),
        Row(
            "1.3, the curve of the key need not be among the groups",
            ClientHello { groups: Some(vec![X25519]), ..today() },
            Both,
            FIRST,
        ),
        Row(
            "1.2, hybrid groups are for 1.3",
            ClientHello { groups: Some(vec![NamedGroup::X25519MLKEM768.into()]), ..tls12() },
            Both,
            old(Why::Groups),
        ),
        Row(
            "1.2, signatures with SHA-1 alone",
            ClientHello { signature_algorithms: Some(vec![RSA_SHA1]), ..tls12() },
            Both,
            old(Why::SuiteAndKey),
        ),
        Row("1.2, PKCS #1", ClientHello { signature_algorithms: Some(vec![RSA_PKCS1]), ..tls12() }, Both, SECOND),
        Row(
            "1.2, compressed points alone",
            ClientHello { point_formats: Some(vec![1]), ..tls12() },
            Both,
            old(Why::PointFormats),
        ),
        Row("1.3 asks for no point formats", ClientHello { point_formats: Some(vec![1]), ..today() }, Both, FIRST),
        Row(
            "a needless fallback",
            ClientHello { cipher_suites: vec![ECDHE_RSA_GCM, FALLBACK_SCSV], ..tls12() },
            Both,
            Route::InappropriateFallback,
        ),
        Row(
            "a fallback signal with the highest version",
            ClientHello { cipher_suites: vec![AES128_TLS13, FALLBACK_SCSV], ..today() },
            Both,
            FIRST,
        ),
    ]);
}
