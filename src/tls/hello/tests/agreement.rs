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

/// Who goes on with the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Both,
    Rustls,
    Openssl,
    /// The reader lets it pass, since what is wrong is not its business; OpenSSL answers.
    Neither,
    /// The reader refuses it.
    Refused,
}

/// What the stacks do, if it is not what is expected, and what the reader says, if it is not what they do.
fn surprises(what: &str, wire: &[u8], expected: Taken) -> Vec<String> {
    use Taken::{Both, Neither, Openssl, Refused, Rustls};
    let rustls = rustls_on(wire);
    let answer = read(wire);
    let (refused, avoided) = match &answer {
        Progress::Hello(hello) => (false, hello.rustls_would_refuse),
        _ => (true, false),
    };
    let mut surprises = Vec::new();
    for (who, is_so, expected) in [
        ("rustls takes", rustls.is_ok(), matches!(expected, Both | Rustls)),
        ("OpenSSL takes", openssl_takes(wire), matches!(expected, Both | Openssl)),
        ("the reader refuses", refused, expected == Refused),
        ("the reader avoids rustls", avoided, matches!(expected, Openssl | Neither)),
    ] {
        if is_so != expected && (cfg!(feature = "legacy-tls") || who != "OpenSSL takes") {
            surprises.push(format!("{what}: {who}: {is_so}; {rustls:?}, {answer:?}"));
        }
    }
    surprises
}

#[test]
fn the_reader_knows_which_forms_each_stack_takes() {
    use Taken::{Both, Neither, Openssl, Refused};
    let mut found = Vec::new();
    let sessions = |length| Form { session: vec![7; length], ..Form::tls13() };
    for (what, form, expected) in [
        ("TLS 1.3", Form::tls13(), Both),
        ("TLS 1.2", Form::tls12(), Both),
        ("TLS 1.3 alone", Form::tls13().with(43, v8(&u16s(&[0x0304]))), Both),
        ("no extensions", Form::bare(0x0303), Openssl),
        ("empty block", Form { extensions: Some(vec![]), ..Form::bare(0x0303) }, Openssl),
        ("TLS 1.1", Form::bare(0x0302), Openssl),
        ("SSL 3.0", Form::bare(0x0300), Openssl),
        ("TLS 1.1 listed", Form::tls12().with(43, v8(&u16s(&[0x0302]))), Openssl),
        ("unknown versions", Form::tls12().with(43, v8(&u16s(&[0x7f1c]))), Neither),
        ("session of 32", sessions(32), Both),
        ("session of 33", sessions(33), Refused),
        ("no suites", Form { suites: vec![], ..Form::tls12() }, Refused),
        ("odd suites", Form { suites: vec![0xc0, 0x2f, 0x13], ..Form::tls12() }, Refused),
        ("no compression", Form { compression: vec![], ..Form::tls12() }, Refused),
        ("only deflate", Form { compression: vec![1], ..Form::tls12() }, Neither),
        ("deflate too", Form { compression: vec![1, 0], ..Form::tls12() }, Both),
        ("deflate too in TLS 1.3", Form { compression: vec![1, 0], ..Form::tls13() }, Neither),
        ("trailer", Form { trailer: vec![0], ..Form::tls12() }, Refused),
        ("no signature algorithms", Form::tls12().without(13), Openssl),
        ("no key share", Form::tls13().without(51), Neither),
        ("unknown extension", Form::tls13().with(0x1234, [1, 2, 3]), Both),
        ("unknown extension twice", Form::tls13().adding(0x1234, []).adding(0x1234, []), Openssl),
        ("known extension twice", Form::tls13().adding(35, []).adding(35, []), Refused),
        ("duplicate in SSL 3.0", Form::bare(0x0300).adding(5, []).adding(5, []), Refused),
        ("key before the end", Form::tls13().with(45, v8(&[1])).with(41, keys(1, 1)).with(35, []), Refused),
        ("broken groups in SSL 3.0", Form::bare(0x0300).with(10, [0]), Openssl),
        ("broken groups", Form::tls12().with(10, [0]), Refused),
        ("broken share in TLS 1.2", Form::tls12().with(51, [0]), Openssl),
        ("broken points in TLS 1.3", Form::tls13().with(11, [0]), Openssl),
    ] {
        found.extend(surprises(what, &form.wire(), expected));
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_reader_knows_which_extensions_each_stack_takes() {
    use Taken::{Both, Neither, Openssl, Refused, Rustls};
    let mut found = Vec::new();
    let shares = |groups: &[u16]| v16(&groups.iter().flat_map(|group| share(*group)).collect::<Vec<_>>());
    let name = |content: &[(u8, &[u8])]| names(content);
    for (what, number, content, in_tls12, in_tls13) in [
        ("name", 0, host(b"mx.example.org"), Both, Both),
        ("name of one label of digits", 0, host(b"123"), Openssl, Openssl),
        ("address", 0, host(b"192.0.2.1"), Both, Both),
        ("address of IPv6", 0, host(b"2001:db8::1"), Both, Both),
        ("spaces", 0, host(b"a b"), Openssl, Openssl),
        ("empty name", 0, host(b""), Openssl, Openssl),
        ("zero in the name", 0, host(b"a\0"), Neither, Neither),
        ("long name", 0, host(&[b'a'; 256]), Neither, Neither),
        ("two names", 0, name(&[(0, b"a.example"), (0, b"b.example")]), Neither, Neither),
        ("name of another type", 0, name(&[(1, b"a.example")]), Neither, Neither),
        ("and of another type", 0, name(&[(0, b"a.example"), (1, b"b")]), Rustls, Rustls),
        ("status", 5, vec![1, 0, 0, 0, 0], Both, Both),
        ("other status", 5, vec![2, 9], Both, Both),
        ("broken status", 5, vec![1, 0], Neither, Neither),
        ("no points", 11, v8(&[]), Neither, Openssl),
        ("only compressed points", 11, v8(&[1]), Openssl, Both),
        ("protocol", 16, v16(&v8(b"smtp")), Both, Both),
        ("no protocol", 16, v16(&v8(b"")), Refused, Refused),
        ("raw key or certificate", 20, v8(&[2, 0]), Both, Both),
        ("raw key alone", 20, v8(&[2]), Openssl, Openssl),
        ("raw key of the client alone", 19, v8(&[2]), Openssl, Openssl),
        ("no type", 20, v8(&[]), Openssl, Openssl),
        ("master secret with content", 23, vec![0], Neither, Openssl),
        ("compression of certificates", 27, v8(&u16s(&[1, 2])), Both, Both),
        ("compression twice", 27, v8(&u16s(&[1, 1])), Both, Openssl),
        ("early data", 42, vec![], Both, Both),
        ("early data with content", 42, vec![0], Openssl, Neither),
        ("cookie", 44, v16(&[1]), Both, Both),
        ("empty cookie", 44, v16(&[]), Openssl, Openssl),
        ("modes of keys", 45, v8(&[1]), Both, Both),
        ("no modes", 45, v8(&[]), Openssl, Neither),
        ("no authorities", 47, v16(&[]), Both, Both),
        ("empty authority", 47, v16(&v16(&[])), Openssl, Neither),
        ("share", 51, shares(&[X25519]), Both, Both),
        ("share of a group not listed", 51, shares(&[X25519, 0x0a0a]), Both, Rustls),
        ("no share yet", 51, v16(&[]), Both, Both),
        ("shares of one group", 51, shares(&[X25519, X25519]), Both, Openssl),
        ("empty share", 51, v16(&[u16s(&[P256]), v16(&[])].concat()), Openssl, Neither),
        ("tickets asked", 58, vec![1, 1], Both, Both),
        ("tickets asked in other words", 58, vec![1], Openssl, Openssl),
        ("renegotiation", 0xff01, vec![0], Both, Both),
        ("renegotiation broken", 0xff01, vec![], Neither, Openssl),
        ("inner hello", 0xfe0d, vec![1], Both, Both),
        ("encrypted hello broken", 0xfe0d, vec![0, 0], Openssl, Openssl),
        ("encrypted hello of a type to come", 0xfe0d, vec![9], Openssl, Openssl),
        ("key", 41, keys(1, 1), Rustls, Neither),
        ("broken key", 41, vec![0, 0], Neither, Neither),
    ] {
        let (tls12, tls13) = (Form::tls12().with(number, content.clone()), Form::tls13().with(number, content));
        found.extend(surprises(&format!("{what} in TLS 1.2"), &tls12.wire(), in_tls12));
        found.extend(surprises(&format!("{what} in TLS 1.3"), &tls13.wire(), in_tls13));
    }
    for (what, content, expected) in
        [("key with its mode", keys(1, 1), Both), ("keys", keys(2, 2), Both), ("a binder too few", keys(2, 1), Openssl)]
    {
        let form = Form::tls13().with(45, v8(&[1])).with(41, content);
        found.extend(surprises(what, &form.wire(), expected));
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_reader_knows_which_framing_each_stack_takes() {
    use Taken::{Both, Neither, Openssl, Refused};
    let mut found = Vec::new();
    let long = |length: usize, record: usize| records(&Form::tls13().padded_to(length).message(), record);
    let with_another = |form: Form| records(&[form.message(), vec![16, 0, 0, 66]].concat(), 16_384);
    for (what, wire, expected) in [
        ("records of a byte", records(&Form::tls13().message(), 1), Both),
        ("records of five bytes", records(&Form::tls12().message(), 5), Both),
        ("a hello of 60 kB", long(60_000, 16_384), Both),
        ("the last that rustls can hold", long(65_535 - 4 - 4 * 5, 16_384), Both),
        ("one byte more", long(65_535 - 4 - 4 * 5 + 1, 16_384), Openssl),
        ("many headers", long(60_000, 20), Openssl),
        ("another message in the record", with_another(Form::tls12()), Openssl),
        ("another message in the record in TLS 1.3", with_another(Form::tls13()), Neither),
        ("too long", records(&message(1, &vec![0; 70_000]), 16_384), Refused),
        ("too short", records(&message(1, &[0; 40]), 16_384), Refused),
        ("another message", records(&message(2, &Form::tls12().body()), 16_384), Refused),
        ("no TLS", b"EHLO client.example.org\r\n".to_vec(), Refused),
        ("an alert", vec![21, 3, 1, 0, 2, 2, 40], Refused),
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
