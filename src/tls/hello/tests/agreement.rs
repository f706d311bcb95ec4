//! The reader against the stacks themselves: it refuses only what both refuse, and knows what rustls would refuse.

use std::io::{self, Read, Write};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use rustls::{Error, ServerConfig, ServerConnection};

use crate::clock;
use crate::tls::demo_authority::{DemoAuthority, KeyKind};
use crate::tls::provider::provider;
use crate::tls::self_signed::{IssuedCertificate, Validity};

use super::super::Progress;
use super::built::{Form, P256, X25519, host, keys, message, names, records, share, u16s, v8, v16};
use super::read;

static CERTIFICATE: LazyLock<IssuedCertificate> = LazyLock::new(|| {
    let authority = DemoAuthority::new(clock::timestamp()).unwrap();
    let validity = Validity::starting(clock::timestamp(), Duration::from_secs(3600));
    authority.issue(&["mx.example.org"], KeyKind::Rsa2048, validity).unwrap()
});

static RUSTLS: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(rustls::ALL_VERSIONS).unwrap();
    let chain = vec![CERTIFICATE.certificate_der.clone()];
    let key = CERTIFICATE.private_key().clone_key().into();
    Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
});

/// Whether rustls goes on with the handshake, or why not.
fn rustls_on(wire: &[u8]) -> Result<(), Error> {
    let mut connection = ServerConnection::new(Arc::clone(&RUSTLS)).unwrap();
    let mut rest = wire;
    while !rest.is_empty() {
        if connection.read_tls(&mut rest).is_err() {
            return Err(Error::General("its buffer is full".into()));
        }
        connection.process_new_packets()?;
    }
    assert!(connection.wants_write(), "rustls waits for more");
    Ok(())
}

/// A client that says this and then waits.
#[derive(Debug)]
#[cfg_attr(not(feature = "legacy-tls"), expect(dead_code, reason = "OpenSSL alone reads from it"))]
struct Client<'a>(&'a [u8]);

impl Read for Client<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether OpenSSL, with all that it can do, goes on with the handshake.
#[cfg(feature = "legacy-tls")]
fn openssl_takes(wire: &[u8]) -> bool {
    use crate::model::tls::ProtocolVersion;
    use crate::tls::openssl::context::builder;
    use openssl::pkey::PKey;
    use openssl::ssl::{HandshakeError, Ssl, SslContext, SslMethod};
    use openssl::x509::X509;

    static CONTEXT: LazyLock<SslContext> = LazyLock::new(|| {
        let mut builder = builder(SslMethod::tls_server(), ProtocolVersion::Ssl3).unwrap();
        builder.set_certificate(&X509::from_der(&CERTIFICATE.certificate_der).unwrap()).unwrap();
        builder.set_private_key(&PKey::private_key_from_der(&CERTIFICATE.key_der).unwrap()).unwrap();
        builder.build()
    });
    match Ssl::new(&CONTEXT).unwrap().accept(Client(wire)) {
        Err(HandshakeError::WouldBlock(_)) => true,
        Err(HandshakeError::Failure(_)) => false,
        other => panic!("{other:?}"),
    }
}

#[cfg(not(feature = "legacy-tls"))]
fn openssl_takes(wire: &[u8]) -> bool {
    !matches!(read(wire), Progress::Bad(_))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "each says by whom")]
enum Taken {
    ByBoth,
    ByRustls,
    ByOpenssl,
    /// The reader lets it pass, since what is wrong is not its business; OpenSSL answers.
    ByNoneIn,
    /// The reader refuses it.
    ByNone,
}

/// What the stacks do, if it is not what is expected, and what the reader says, if it is not what they do.
fn surprises(what: &str, wire: &[u8], expected: Taken) -> Vec<String> {
    use Taken::{ByBoth, ByNone, ByNoneIn, ByOpenssl, ByRustls};
    let rustls = rustls_on(wire);
    let answer = read(wire);
    let (refused, avoided) = match &answer {
        Progress::Hello(hello) => (false, hello.rustls_would_refuse),
        _ => (true, false),
    };
    let mut surprises = Vec::new();
    for (who, is_so, expected) in [
        ("rustls takes", rustls.is_ok(), matches!(expected, ByBoth | ByRustls)),
        ("OpenSSL takes", openssl_takes(wire), matches!(expected, ByBoth | ByOpenssl)),
        ("the reader refuses", refused, expected == ByNone),
        ("the reader avoids rustls", avoided, matches!(expected, ByOpenssl | ByNoneIn)),
    ] {
        if is_so != expected && (cfg!(feature = "legacy-tls") || who != "OpenSSL takes") {
            surprises.push(format!("{what}: {who}: {is_so}; {rustls:?}, {answer:?}"));
        }
    }
    surprises
}

#[test]
fn the_reader_knows_which_forms_each_stack_takes() {
    use Taken::{ByBoth, ByNone, ByNoneIn, ByOpenssl};
    let mut found = Vec::new();
    let sessions = |length| Form { session: vec![7; length], ..Form::tls13() };
    for (what, form, expected) in [
        ("TLS 1.3", Form::tls13(), ByBoth),
        ("TLS 1.2", Form::tls12(), ByBoth),
        ("TLS 1.3 alone", Form::tls13().with(43, v8(&u16s(&[0x0304]))), ByBoth),
        ("no extensions", Form::bare(0x0303), ByOpenssl),
        ("empty block", Form { extensions: Some(vec![]), ..Form::bare(0x0303) }, ByOpenssl),
        ("TLS 1.1", Form::bare(0x0302), ByOpenssl),
        ("SSL 3.0", Form::bare(0x0300), ByOpenssl),
        ("TLS 1.1 listed", Form::tls12().with(43, v8(&u16s(&[0x0302]))), ByOpenssl),
        ("unknown versions", Form::tls12().with(43, v8(&u16s(&[0x7f1c]))), ByNoneIn),
        ("session of 32", sessions(32), ByBoth),
        ("session of 33", sessions(33), ByNone),
        ("no suites", Form { suites: vec![], ..Form::tls12() }, ByNone),
        ("odd suites", Form { suites: vec![0xc0, 0x2f, 0x13], ..Form::tls12() }, ByNone),
        ("no compression", Form { compression: vec![], ..Form::tls12() }, ByNone),
        ("only deflate", Form { compression: vec![1], ..Form::tls12() }, ByNoneIn),
        ("deflate too", Form { compression: vec![1, 0], ..Form::tls12() }, ByBoth),
        ("deflate too in TLS 1.3", Form { compression: vec![1, 0], ..Form::tls13() }, ByNoneIn),
        ("trailer", Form { trailer: vec![0], ..Form::tls12() }, ByNone),
        ("no signature algorithms", Form::tls12().without(13), ByOpenssl),
        ("no key share", Form::tls13().without(51), ByNoneIn),
        ("unknown extension", Form::tls13().with(0x1234, [1, 2, 3]), ByBoth),
        ("unknown extension twice", Form::tls13().adding(0x1234, []).adding(0x1234, []), ByOpenssl),
        ("known extension twice", Form::tls13().adding(35, []).adding(35, []), ByNone),
        ("duplicate in SSL 3.0", Form::bare(0x0300).adding(5, []).adding(5, []), ByNone),
        ("key before the end", Form::tls13().with(45, v8(&[1])).with(41, keys(1, 1)).with(35, []), ByNone),
        ("broken groups in SSL 3.0", Form::bare(0x0300).with(10, [0]), ByOpenssl),
        ("broken groups", Form::tls12().with(10, [0]), ByNone),
        ("broken share in TLS 1.2", Form::tls12().with(51, [0]), ByOpenssl),
        ("broken points in TLS 1.3", Form::tls13().with(11, [0]), ByOpenssl),
    ] {
        found.extend(surprises(what, &form.wire(), expected));
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_reader_knows_which_extensions_each_stack_takes() {
    use Taken::{ByBoth, ByNone, ByNoneIn, ByOpenssl, ByRustls};
    let mut found = Vec::new();
    let shares = |groups: &[u16]| v16(&groups.iter().flat_map(|group| share(*group)).collect::<Vec<_>>());
    let name = |content: &[(u8, &[u8])]| names(content);
    for (what, number, content, in_tls12, in_tls13) in [
        ("name", 0, host(b"mx.example.org"), ByBoth, ByBoth),
        ("name of one label of digits", 0, host(b"123"), ByOpenssl, ByOpenssl),
        ("address", 0, host(b"192.0.2.1"), ByBoth, ByBoth),
        ("address of IPv6", 0, host(b"2001:db8::1"), ByBoth, ByBoth),
        ("spaces", 0, host(b"a b"), ByOpenssl, ByOpenssl),
        ("empty name", 0, host(b""), ByOpenssl, ByOpenssl),
        ("zero in the name", 0, host(b"a\0"), ByNoneIn, ByNoneIn),
        ("long name", 0, host(&[b'a'; 256]), ByNoneIn, ByNoneIn),
        ("two names", 0, name(&[(0, b"a.example"), (0, b"b.example")]), ByNoneIn, ByNoneIn),
        ("name of another type", 0, name(&[(1, b"a.example")]), ByNoneIn, ByNoneIn),
        ("and of another type", 0, name(&[(0, b"a.example"), (1, b"b")]), ByRustls, ByRustls),
        ("status", 5, vec![1, 0, 0, 0, 0], ByBoth, ByBoth),
        ("other status", 5, vec![2, 9], ByBoth, ByBoth),
        ("broken status", 5, vec![1, 0], ByNoneIn, ByNoneIn),
        ("no points", 11, v8(&[]), ByNoneIn, ByOpenssl),
        ("only compressed points", 11, v8(&[1]), ByOpenssl, ByBoth),
        ("protocol", 16, v16(&v8(b"smtp")), ByBoth, ByBoth),
        ("no protocol", 16, v16(&v8(b"")), ByNone, ByNone),
        ("raw key or certificate", 20, v8(&[2, 0]), ByBoth, ByBoth),
        ("raw key alone", 20, v8(&[2]), ByOpenssl, ByOpenssl),
        ("raw key of the client alone", 19, v8(&[2]), ByOpenssl, ByOpenssl),
        ("no type", 20, v8(&[]), ByOpenssl, ByOpenssl),
        ("master secret with content", 23, vec![0], ByNoneIn, ByOpenssl),
        ("compression of certificates", 27, v8(&u16s(&[1, 2])), ByBoth, ByBoth),
        ("compression twice", 27, v8(&u16s(&[1, 1])), ByBoth, ByOpenssl),
        ("early data", 42, vec![], ByBoth, ByBoth),
        ("early data with content", 42, vec![0], ByOpenssl, ByNoneIn),
        ("cookie", 44, v16(&[1]), ByBoth, ByBoth),
        ("empty cookie", 44, v16(&[]), ByOpenssl, ByOpenssl),
        ("modes of keys", 45, v8(&[1]), ByBoth, ByBoth),
        ("no modes", 45, v8(&[]), ByOpenssl, ByNoneIn),
        ("no authorities", 47, v16(&[]), ByBoth, ByBoth),
        ("empty authority", 47, v16(&v16(&[])), ByOpenssl, ByNoneIn),
        ("share", 51, shares(&[X25519]), ByBoth, ByBoth),
        ("share of a group not listed", 51, shares(&[X25519, 0x0a0a]), ByBoth, ByRustls),
        ("no share yet", 51, v16(&[]), ByBoth, ByBoth),
        ("shares of one group", 51, shares(&[X25519, X25519]), ByBoth, ByOpenssl),
        ("empty share", 51, v16(&[u16s(&[P256]), v16(&[])].concat()), ByOpenssl, ByNoneIn),
        ("tickets asked", 58, vec![1, 1], ByBoth, ByBoth),
        ("tickets asked in other words", 58, vec![1], ByOpenssl, ByOpenssl),
        ("renegotiation", 0xff01, vec![0], ByBoth, ByBoth),
        ("renegotiation broken", 0xff01, vec![], ByNoneIn, ByOpenssl),
        ("inner hello", 0xfe0d, vec![1], ByBoth, ByBoth),
        ("encrypted hello broken", 0xfe0d, vec![0, 0], ByOpenssl, ByOpenssl),
        ("encrypted hello of a type to come", 0xfe0d, vec![9], ByOpenssl, ByOpenssl),
        ("key", 41, keys(1, 1), ByRustls, ByNoneIn),
        ("broken key", 41, vec![0, 0], ByNoneIn, ByNoneIn),
    ] {
        let (tls12, tls13) = (Form::tls12().with(number, content.clone()), Form::tls13().with(number, content));
        found.extend(surprises(&format!("{what} in TLS 1.2"), &tls12.wire(), in_tls12));
        found.extend(surprises(&format!("{what} in TLS 1.3"), &tls13.wire(), in_tls13));
    }
    for (what, content, expected) in [
        ("key with its mode", keys(1, 1), ByBoth),
        ("keys", keys(2, 2), ByBoth),
        ("a binder too few", keys(2, 1), ByOpenssl),
    ] {
        let form = Form::tls13().with(45, v8(&[1])).with(41, content);
        found.extend(surprises(what, &form.wire(), expected));
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_reader_knows_which_framing_each_stack_takes() {
    use Taken::{ByBoth, ByNone, ByNoneIn, ByOpenssl};
    let mut found = Vec::new();
    let long = |length: usize, record: usize| records(&Form::tls13().padded_to(length).message(), record);
    let with_another = |form: Form| records(&[form.message(), vec![16, 0, 0, 66]].concat(), 16_384);
    for (what, wire, expected) in [
        ("records of a byte", records(&Form::tls13().message(), 1), ByBoth),
        ("records of five bytes", records(&Form::tls12().message(), 5), ByBoth),
        ("a hello of 60 kB", long(60_000, 16_384), ByBoth),
        ("the last that rustls can hold", long(65_535 - 4 - 4 * 5, 16_384), ByBoth),
        ("one byte more", long(65_535 - 4 - 4 * 5 + 1, 16_384), ByOpenssl),
        ("many headers", long(60_000, 20), ByOpenssl),
        ("another message in the record", with_another(Form::tls12()), ByOpenssl),
        ("another message in the record in TLS 1.3", with_another(Form::tls13()), ByNoneIn),
        ("too long", records(&message(1, &vec![0; 70_000]), 16_384), ByNone),
        ("too short", records(&message(1, &[0; 40]), 16_384), ByNone),
        ("another message", records(&message(2, &Form::tls12().body()), 16_384), ByNone),
        ("no TLS", b"EHLO client.example.org\r\n".to_vec(), ByNone),
        ("an alert", vec![21, 3, 1, 0, 2, 2, 40], ByNone),
    ] {
        found.extend(surprises(what, &wire, expected));
    }
    assert_eq!(found, [""; 0]);
}

/// Contents that are often nearly right.
fn content() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![4 => 0..6_u8, 1 => any::<u8>()], 0..14)
}

proptest! {
    /// Each refusal for form is foreseen, none is foreseen that does not come, and what the reader refuses no stack
    /// takes.
    #[test]
    fn no_content_of_an_extension_deceives_the_reader(
        number in prop_oneof![
            prop::sample::select(vec![0_u16, 5, 10, 11, 13, 16, 19, 20, 23, 27, 35, 41, 42, 43, 44, 45, 47, 51, 58]),
            prop::sample::select(vec![0xfd00, 0xfe0d, 0xff01, 0xffa5, 57]),
        ],
        content in content(),
        is_tls13 in any::<bool>(),
    ) {
        let form = if is_tls13 { Form::tls13() } else { Form::tls12() };
        let wire = form.with(number, content).wire();
        let (answer, rustls) = (read(&wire), rustls_on(&wire));
        match &answer {
            Progress::Hello(hello) if hello.rustls_would_refuse => prop_assert!(rustls.is_err(), "{hello:?}"),
            Progress::Hello(hello) => {
                let for_form = matches!(rustls, Err(Error::InvalidMessage(_) | Error::PeerMisbehaved(_)));
                prop_assert!(!for_form, "{rustls:?} {hello:?}");
            }
            other => {
                prop_assert!(rustls.is_err(), "{other:?}");
                prop_assert!(!openssl_takes(&wire), "{other:?}");
            }
        }
    }

    /// The same for a hello with bytes changed, cut out and put in.
    #[test]
    fn what_the_reader_refuses_no_stack_takes(
        is_tls13 in any::<bool>(),
        changes in vec((any::<prop::sample::Index>(), prop_oneof![0..6_u8, any::<u8>()], 0..3_u8), 1..3),
    ) {
        let form = if is_tls13 { Form::tls13() } else { Form::tls12() };
        let mut body = form.with(0, host(b"mx.example.org")).body();
        for (index, byte, how) in changes {
            let at = index.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => drop(body.remove(at)),
            }
        }
        let wire = records(&message(1, &body), 16_384);
        let (answer, rustls) = (read(&wire), rustls_on(&wire));
        match &answer {
            Progress::Hello(hello) if hello.rustls_would_refuse => prop_assert!(rustls.is_err(), "{hello:?}"),
            Progress::Hello(hello) => {
                prop_assert!(!matches!(rustls, Err(Error::InvalidMessage(_))), "{rustls:?} {hello:?}");
            }
            other => {
                prop_assert!(rustls.is_err(), "{other:?}");
                prop_assert!(!openssl_takes(&wire), "{other:?}");
            }
        }
    }
}
