//! The offer by names, and its fingerprint.

use crate::model::client_offer::{ClientOffer, LISTED_MAX};

use super::super::ClientHello;
use super::built::{Form, host, u16s, v8, v16};
use super::hello;

#[test]
fn an_offer_has_names_and_no_fillers() {
    let form = Form::tls13()
        .with(0, host(b"mx.example.org"))
        .with(10, v16(&u16s(&[0x2a2a, 4588, 29, 23, 256, 0x4242])))
        .with(13, v16(&u16s(&[0x0403, 0x0804, 0x0301, 0x0807])))
        .with(43, v8(&u16s(&[0x5a5a, 0x0303, 0x7f1c, 0x0304])));
    let form = Form { suites: u16s(&[0xfafa, 0x1301, 0xc02f, 0x000a, 0x0003, 0x00ff, 0x5600]), ..form };
    let offer = hello(&form.wire()).offer();
    let expected = ClientOffer {
        versions: owned(&["TLSv1.3", "TLSv1.2", "0x7f1c"]),
        ciphers: owned(&[
            "TLS_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
            "0x0003",
            "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
            "TLS_FALLBACK_SCSV",
        ]),
        groups: owned(&["x25519mlkem768", "x25519", "secp256r1", "ffdhe2048", "0x4242"]),
        signature_algorithms: owned(&["ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256", "0x0301", "ed25519"]),
        sni: Some("mx.example.org".into()),
        ja4: offer.ja4.clone(),
        truncated: false,
    };
    assert_eq!(offer, expected);
}

#[test]
fn a_long_list_is_cut_and_said_to_be() {
    for (count, truncated) in [(LISTED_MAX, false), (LISTED_MAX + 1, true)] {
        // Fillers do not count.
        let suites: Vec<u16> = (0..).filter(|number| *number != 0x0a0a).take(count).collect();
        let form = Form { suites: u16s(&[&[0x0a0a], &suites[..], &[0x1a1a]].concat()), ..Form::tls12() };
        let offer = hello(&form.wire()).offer();
        assert_eq!((offer.ciphers.len(), offer.truncated), (LISTED_MAX, truncated), "{count}");
    }
}

/// The example of the description, Chrome's hello. Its lists hash to `8daaf6152771` and `e5627efa2ab1`, the first 12
/// digits of the SHA-256 of these texts:
/// `002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9` and
/// `0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_0403,0804,0401,0503,0805,0501,0806,0601`.
fn chrome() -> ClientHello {
    ClientHello {
        legacy_version: 0x0303,
        cipher_suites: vec![
            0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
            0x009d, 0x002f, 0x0035,
        ],
        extensions: vec![
            0x3a3a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
            0xff01, 0x000b, 0x000a, 0x0015, 0x8a8a,
        ],
        supported_versions: Some(vec![0xdada, 0x0304, 0x0303]),
        signature_algorithms: Some(vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]),
        alpn: Some(b"h2".to_vec()),
        ..ClientHello::default()
    }
}

#[test]
fn the_fingerprint_is_that_of_the_description() {
    let versions = |numbers: &[u16]| Some(numbers.to_vec());
    for (hello, expected) in [
        (chrome(), "t13d1516h2_8daaf6152771_e5627efa2ab1"),
        (ClientHello { signature_algorithms: None, ..chrome() }, "t13d1516h2_8daaf6152771_6d807ffa2a79"),
        (ClientHello { extensions: vec![], ..chrome() }, "t13i1500h2_8daaf6152771_000000000000"),
        (ClientHello { extensions: vec![0, 16, 0x1a1a], ..chrome() }, "t13d1502h2_8daaf6152771_000000000000"),
        (ClientHello { cipher_suites: vec![0x0a0a], ..chrome() }, "t13d0016h2_000000000000_e5627efa2ab1"),
        (ClientHello { supported_versions: versions(&[0x0303]), ..chrome() }, "t12d1516h2_8daaf6152771_e5627efa2ab1"),
        (ClientHello { supported_versions: versions(&[0x7f1c]), ..chrome() }, "t00d1516h2_8daaf6152771_e5627efa2ab1"),
    ] {
        assert_eq!(hello.offer().ja4, expected);
    }
}

#[test]
fn the_fingerprint_starts_with_version_counts_and_protocol() {
    let plain = |legacy_version| ClientHello { legacy_version, ..ClientHello::default() };
    let speaking = |protocol: &[u8]| ClientHello { alpn: Some(protocol.to_vec()), ..plain(0x0303) };
    for (hello, expected) in [
        (plain(0x0304), "t13i000000"),
        (plain(0x0302), "t11i000000"),
        (plain(0x0301), "t10i000000"),
        (plain(0x0300), "ts3i000000"),
        (plain(0x0002), "ts2i000000"),
        (plain(0x0399), "t00i000000"),
        (speaking(b"http/1.1"), "t12i0000h1"),
        (speaking(b"x"), "t12i0000xx"),
        (speaking(&[0xab]), "t12i0000ab"),
        (speaking(&[0xab, 0xcd]), "t12i0000ad"),
        (speaking(&[0x30, 0xab]), "t12i00003b"),
        (speaking(&[0x30, 0x31, 0xab, 0xcd]), "t12i00003d"),
        (speaking(&[0x30, 0xab, 0xcd, 0x31]), "t12i000001"),
        (ClientHello { cipher_suites: (0..100).collect(), ..plain(0x0303) }, "t12i990000"),
    ] {
        assert_eq!(&hello.offer().ja4[..10], expected);
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
