//! Fields and extensions, and what follows from them.

use crate::model::tls::ProtocolVersion::{self, *};

use super::super::BadHello::{self, Malformed};
use super::super::{Progress, Sni};
use super::built::{Form, P256, X25519, host, names, share, u16s, v8, v16};
use super::{hello, read};

#[test]
fn each_field_is_read_in_the_order_of_the_client() {
    let form = Form::tls13()
        .with(0, host(b"Mx.Example.org"))
        .with(16, v16(&[v8(b"smtp"), v8(b"http/1.1")].concat()))
        .with(20, v8(&[0, 2]))
        .with(51, v16(&[share(P256), share(X25519)].concat()))
        .with(0x0a0a, vec![1, 2]);
    let form = Form { session: vec![1; 32], suites: u16s(&[0x1a1a, 0x1301, 0x00ff]), ..form };
    let hello = hello(&form.wire());
    assert_eq!(hello.legacy_version, 0x0303);
    assert_eq!(hello.cipher_suites, [0x1a1a, 0x1301, 0x00ff]);
    assert_eq!(hello.compression, [0]);
    assert_eq!(hello.extensions, [10, 11, 13, 23, 43, 51, 0, 16, 20, 0x0a0a]);
    assert_eq!(hello.sni, Sni::Name("Mx.Example.org".into()));
    assert_eq!(hello.supported_versions, Some(vec![0x0304, 0x0303]));
    assert_eq!(hello.groups, Some(vec![X25519, P256]));
    assert_eq!(hello.key_shares, Some(vec![P256, X25519]));
    assert_eq!(hello.signature_algorithms, Some(vec![0x0403, 0x0804, 0x0401]));
    assert_eq!(hello.point_formats, Some(vec![0]));
    assert_eq!(hello.alpn, Some(b"smtp".to_vec()));
    assert!(hello.certificate_types && hello.has_extension(23) && !hello.has_extension(35));
    assert!(!hello.rustls_would_refuse && !hello.is_fallback());
}

#[test]
fn a_hello_without_extensions_has_none_of_what_they_tell() {
    for form in [Form::bare(0x0301), Form { extensions: Some(vec![]), ..Form::bare(0x0301) }] {
        let hello = hello(&form.wire());
        assert_eq!((hello.extensions.len(), hello.sni, hello.groups, hello.key_shares), (0, Sni::Absent, None, None));
        assert!(hello.rustls_would_refuse);
    }
}

#[test]
fn versions_are_those_listed_or_all_up_to_the_one_named() {
    let check = |form: Form, expected: &[ProtocolVersion]| {
        let hello = hello(&form.wire());
        assert_eq!(hello.versions(), expected, "{form:?}");
        assert_eq!(hello.max_version(), expected.first().copied(), "{form:?}");
    };
    for (version, expected) in [
        (0x0002, &[][..]),
        (0x02ff, &[]),
        (0x0300, &[Ssl3]),
        (0x0301, &[Tls1_0, Ssl3]),
        (0x0302, &[Tls1_1, Tls1_0, Ssl3]),
        (0x0303, &[Tls1_2, Tls1_1, Tls1_0, Ssl3]),
        (0x0304, &[Tls1_2, Tls1_1, Tls1_0, Ssl3]),
        (0x0399, &[Tls1_2, Tls1_1, Tls1_0, Ssl3]),
        (0x7f00, &[Tls1_2, Tls1_1, Tls1_0, Ssl3]),
    ] {
        check(Form::bare(version), expected);
    }
    for (listed, expected) in [
        (&[0x0304][..], &[Tls1_3][..]),
        (&[0x2a2a, 0x0303, 0x0304], &[Tls1_3, Tls1_2]),
        (&[0x0301, 0x0303], &[Tls1_2, Tls1_0]),
        (&[0x7f1c, 0x0a0a], &[]),
    ] {
        check(Form::tls13().with(43, v8(&u16s(listed))), expected);
    }
}

#[test]
fn a_name_is_usable_if_it_is_one_dns_name() {
    let long = [b'a'; 64];
    for (content, expected) in [
        (host(b"mx.example.org"), Sni::Name("mx.example.org".into())),
        (host(b"mx_1.example.org."), Sni::Name("mx_1.example.org.".into())),
        (names(&[(0, b"mx.example.org"), (1, b"?")]), Sni::Name("mx.example.org".into())),
        (names(&[(1, b"?"), (0, b"mx.example.org")]), Sni::Unusable),
        (names(&[(0, b"a.example"), (0, b"b.example")]), Sni::Unusable),
        (host(b""), Sni::Unusable),
        (host(b"192.0.2.1"), Sni::Unusable),
        (host(b"2001:db8::1"), Sni::Unusable),
        (host(b"[192.0.2.1]"), Sni::Unusable),
        (host(b"mx example org"), Sni::Unusable),
        (host(b"mx.example.org\0"), Sni::Unusable),
        (host("mx.ex\u{e4}mple.org".as_bytes()), Sni::Unusable),
        (host(b"\xff"), Sni::Unusable),
        (host(&long), Sni::Unusable),
        (v16(&[0, 0, 9, b'a']), Sni::Unusable),
        (v16(&[0]), Sni::Unusable),
    ] {
        assert_eq!(hello(&Form::tls12().with(0, content.clone()).wire()).sni, expected, "{content:02x?}");
    }
}

#[test]
fn a_fallback_is_noticed() {
    let form = Form { suites: u16s(&[0xc02f, 0x5600]), ..Form::tls12() };
    assert!(hello(&form.wire()).is_fallback());
}

#[test]
fn a_body_that_does_not_add_up_is_malformed() {
    let good = || Form::tls12();
    let with = |number, content: &[u8]| good().with(number, content);
    for (form, expected) in [
        (Form { session: vec![0; 33], ..good() }, Malformed("session")),
        (Form { suites: vec![], ..good() }, Malformed("cipher suites")),
        (Form { suites: vec![0xc0, 0x2f, 0], ..good() }, Malformed("cipher suites")),
        (Form { compression: vec![], ..good() }, Malformed("compression methods")),
        (Form { trailer: vec![0], ..good() }, Malformed("length of extensions")),
        (Form { extensions: None, trailer: vec![0], ..good() }, Malformed("length of extensions")),
        (Form { extensions: None, trailer: vec![0, 1], ..good() }, Malformed("length of extensions")),
        (Form { extensions: None, trailer: vec![0, 1, 0], ..good() }, Malformed("length of an extension")),
        (Form { extensions: None, trailer: vec![0, 5, 0, 9, 0, 2, 1], ..good() }, Malformed("length of an extension")),
        (good().adding(10, v16(&[0, 29])), BadHello::DUPLICATE_EXTENSION),
        (Form::bare(0x0300).adding(35, []).adding(35, []), BadHello::DUPLICATE_EXTENSION),
        (good().with(41, []).with(0x1234, []), BadHello::KEY_IS_NOT_LAST),
        (with(0, &[]), Malformed("server_name")),
        (with(0, &[0, 0]), Malformed("server_name")),
        (with(0, &[0, 9, 0, 0, 1, b'a']), Malformed("server_name")),
        (with(10, &[0, 0]), Malformed("supported_groups")),
        (with(10, &[0, 3, 0, 29, 0]), Malformed("supported_groups")),
        (with(10, &[0, 2, 0, 29, 0]), Malformed("supported_groups")),
        (with(13, &[0, 0]), Malformed("signature_algorithms")),
        (with(43, &[0]), Malformed("supported_versions")),
        (with(43, &[3, 3, 4, 3]), Malformed("supported_versions")),
        (with(16, &[0, 0]), Malformed("application_layer_protocol_negotiation")),
        (with(16, &[0, 1, 0]), Malformed("application_layer_protocol_negotiation")),
        (with(16, &[0, 2, 9, b'a']), Malformed("application_layer_protocol_negotiation")),
    ] {
        assert_eq!(read(&form.wire()), Progress::Bad(expected), "{form:?}");
    }
}

/// At every length that a body can be cut to, the rest is missed.
#[test]
fn a_body_that_ends_early_is_malformed() {
    let body = Form::tls13().with(0, host(b"mx.example.org")).body();
    let without_extensions = Form { extensions: None, ..Form::tls13() }.body().len();
    for length in (41..body.len()).filter(|length| *length != without_extensions) {
        let wire = super::built::records(&super::built::message(1, &body[..length]), 16_384);
        assert!(matches!(read(&wire), Progress::Bad(Malformed(_))), "{length}");
    }
}
