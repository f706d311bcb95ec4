//! The sessions that hosts have: TLS as the internet's mail hosts negotiate it, from TLS 1.3 down to none.

use gatepost::model::cipher::CipherSuite;
use gatepost::model::client_offer::ClientOffer;
use gatepost::model::tls::{ProtocolVersion, Stack, TlsFacts};

/// Our own name, which most clients ask for.
pub const OWN_NAME: &str = "mx1.gatepost.example";

/// A kind of session: version, suite by OpenSSL's name, group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(ProtocolVersion, &'static str, &'static str);

use ProtocolVersion::{Tls1_0, Tls1_1, Tls1_2, Tls1_3};

/// What a policy with a minimum of TLS 1.2 takes, with how many of 100 such hosts have it.
const STRONG: [(u32, Kind); 7] = [
    (38, Kind(Tls1_3, "TLS_AES_256_GCM_SHA384", "x25519")),
    (17, Kind(Tls1_3, "TLS_AES_256_GCM_SHA384", "X25519MLKEM768")),
    (9, Kind(Tls1_3, "TLS_AES_128_GCM_SHA256", "x25519")),
    (20, Kind(Tls1_2, "ECDHE-RSA-AES256-GCM-SHA384", "x25519")),
    (11, Kind(Tls1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", "secp256r1")),
    (4, Kind(Tls1_2, "ECDHE-RSA-AES256-SHA384", "secp384r1")),
    (1, Kind(Tls1_2, "AES256-SHA256", "")),
];
/// What it does not take; `None` is plaintext.
const WEAK: [(u32, Option<Kind>); 5] = [
    (24, Some(Kind(Tls1_0, "ECDHE-RSA-AES256-SHA", "secp256r1"))),
    (8, Some(Kind(Tls1_0, "AES128-SHA", ""))),
    (8, Some(Kind(Tls1_1, "ECDHE-RSA-AES128-SHA", "secp256r1"))),
    (3, Some(Kind(Tls1_1, "DHE-RSA-AES256-SHA", "dh-2048"))),
    (57, None),
];
/// Of a hundred clients, how many name us.
const NAMED_OF_100: u32 = 80;

/// How the host of a sender is equipped.
pub fn inbound(random: &mut fastrand::Rng, is_weak: bool) -> Option<TlsFacts> {
    let kind = if is_weak { *pick(random, &WEAK) } else { Some(*pick(random, &STRONG)) }?;
    let sni = (random.u32(..100) < NAMED_OF_100).then(|| OWN_NAME.to_owned());
    Some(TlsFacts { sni, ..facts(kind) })
}

/// What we negotiate with the host `name`.
pub fn outbound(random: &mut fastrand::Rng, name: &str, is_weak: bool) -> Option<TlsFacts> {
    let kind = if is_weak { *pick(random, &WEAK) } else { Some(*pick(random, &STRONG)) }?;
    Some(TlsFacts { sni: Some(name.to_owned()), ..facts(kind) })
}

/// One of a table by its weights, which are a hundred together.
fn pick<'a, T>(random: &mut fastrand::Rng, table: &'a [(u32, T)]) -> &'a T {
    let mut left = random.u32(..table.iter().map(|(weight, _)| weight).sum::<u32>());
    let found = table.iter().find(|(weight, _)| match left.checked_sub(*weight) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    found.map(|(_, item)| item).expect("a random number below the sum of the weights")
}

fn facts(Kind(version, cipher, group): Kind) -> TlsFacts {
    let suite = CipherSuite::by_name(cipher).expect("a suite of the table");
    let is_rustls = version >= Tls1_2 && (suite.is_tls13() || cipher.contains("GCM"));
    TlsFacts {
        group: (!group.is_empty()).then(|| group.to_owned()),
        stack: if is_rustls { Stack::Rustls } else { Stack::Openssl },
        ..TlsFacts::assumed(version, suite)
    }
}

/// A failed handshake: the word for it, words for people, and what the client offered.
pub type Failed = (&'static str, &'static str, Option<ClientOffer>);

/// What clients offered whose handshake failed, with the word for the failure.
pub fn failed_offers() -> Vec<Failed> {
    let listed = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect::<Vec<_>>();
    let offer = |versions: &[&str], ciphers: &[&str], ja4: &str| ClientOffer {
        versions: listed(versions),
        ciphers: listed(ciphers),
        groups: listed(&["secp256r1", "secp384r1"]),
        signature_algorithms: listed(&["rsa_pkcs1_sha256", "rsa_pkcs1_sha1"]),
        sni: None,
        ja4: ja4.to_owned(),
        truncated: false,
    };
    let rc4 = ["TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_RC4_128_MD5"];
    let export = ["TLS_RSA_EXPORT_WITH_RC4_40_MD5", "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA"];
    let modern = ["TLS_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"];
    vec![
        (
            "no-common-version",
            "the client offers SSLv3 at most",
            Some(offer(&["SSLv3"], &rc4, "ts3i0200_5dd2a1c8f0b3_000000000000")),
        ),
        (
            "no-common-cipher",
            "no cipher suite in common",
            Some(offer(&["TLSv1"], &export, "t10i0200_1c9f4e2a7d60_000000000000")),
        ),
        (
            "alert",
            "the client sent an alert",
            Some(offer(&["TLSv1.3", "TLSv1.2"], &modern, "t13i0208_8daaf6152771_e5627efa2ab1")),
        ),
        ("closed", "the client closed the connection", None),
        ("not-tls", "what came is no TLS", None),
    ]
}
