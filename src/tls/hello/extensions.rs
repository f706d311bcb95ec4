//! The extensions of a hello: what the router needs of their content, and what a stack would refuse in it.
//!
//! What both stacks refuse is an error. What only rustls refuses is noted: OpenSSL reads fewer extensions, and none
//! that belong to another version than the one it chose.

use std::collections::BTreeSet;

use rustls::pki_types::{DnsName, IpAddr};

use super::bytes::{Bytes, filled, items, numbers, whole};
use super::{BadHello, ClientHello, Sni};

pub(super) const SERVER_NAME: u16 = 0;
const STATUS_REQUEST: u16 = 5;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(super) const ALPN: u16 = 16;
const CLIENT_CERTIFICATE_TYPE: u16 = 19;
const SERVER_CERTIFICATE_TYPE: u16 = 20;
const EXTENDED_MASTER_SECRET: u16 = 23;
const COMPRESS_CERTIFICATE: u16 = 27;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const COOKIE: u16 = 44;
const PSK_KEY_EXCHANGE_MODES: u16 = 45;
const CERTIFICATE_AUTHORITIES: u16 = 47;
const KEY_SHARE: u16 = 51;
const TICKET_REQUEST: u16 = 58;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
const ECH_OUTER_EXTENSIONS: u16 = 0xfd00;
const RENEGOTIATION_INFO: u16 = 0xff01;

/// Extensions that every build of OpenSSL 3 knows and takes once; of those that it does not know it takes any number.
/// The rest: max_fragment_length, padding, encrypt_then_mac, session_ticket, post_handshake_auth,
/// signature_algorithms_cert.
const ONCE_FOR_OPENSSL: &[u16] = &[
    SERVER_NAME,
    1,
    STATUS_REQUEST,
    SUPPORTED_GROUPS,
    EC_POINT_FORMATS,
    SIGNATURE_ALGORITHMS,
    ALPN,
    CLIENT_CERTIFICATE_TYPE,
    SERVER_CERTIFICATE_TYPE,
    21,
    22,
    EXTENDED_MASTER_SECRET,
    COMPRESS_CERTIFICATE,
    35,
    PRE_SHARED_KEY,
    EARLY_DATA,
    SUPPORTED_VERSIONS,
    COOKIE,
    PSK_KEY_EXCHANGE_MODES,
    CERTIFICATE_AUTHORITIES,
    49,
    50,
    KEY_SHARE,
    RENEGOTIATION_INFO,
];

const SSL3: u16 = 0x0300;
const HOST_NAME: u8 = 0;
const X509: u8 = 0;
const RAW_PUBLIC_KEY: u8 = 2;
const OCSP: u8 = 1;

/// What was found beside the fields of the hello.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) rustls_refuses_one: bool,
    /// It refuses one only if it negotiates TLS 1.3, as it does wherever that is offered.
    pub(super) rustls_refuses_one_in_tls13: bool,
}

/// Reads the block into the fields of `hello`.
pub(super) fn read(hello: &mut ClientHello, block: &[u8]) -> Result<Extensions, BadHello> {
    let mut found = Extensions::default();
    let mut bytes = Bytes::new(block);
    while !bytes.is_empty() {
        let broken = BadHello::Malformed("length of an extension");
        let number = bytes.u16().ok_or(broken)?;
        let content = bytes.vector16().ok_or(broken)?;
        if number == PRE_SHARED_KEY && !bytes.is_empty() {
            return Err(BadHello::KEY_IS_NOT_LAST);
        }
        hello.extensions.push(number);
        match read_for_both(hello, number, content) {
            Ok(rustls_reads) => found.rustls_refuses_one |= !rustls_reads,
            // OpenSSL reads no such extension if it comes to SSL 3.0.
            Err(_) if hello.legacy_version <= SSL3 => found.rustls_refuses_one = true,
            Err(what) => return Err(BadHello::Malformed(what)),
        }
        found.rustls_refuses_one_in_tls13 |= is_refused_in_tls13(number, content);
    }
    note_duplicates(hello, &mut found)?;
    found.rustls_refuses_one_in_tls13 |=
        hello.has_extension(PRE_SHARED_KEY) && !hello.has_extension(PSK_KEY_EXCHANGE_MODES);
    Ok(found)
}

/// Whether rustls can read the extension; the error names one that neither stack can read.
fn read_for_both(hello: &mut ClientHello, number: u16, content: &[u8]) -> Result<bool, &'static str> {
    match number {
        SERVER_NAME => {
            let names = whole(content, |bytes| filled(bytes.vector16())).ok_or("server_name")?;
            let (sni, rustls_reads) = server_name(names);
            hello.sni = sni;
            return Ok(rustls_reads);
        }
        SUPPORTED_GROUPS => hello.groups = Some(numbers16(content).ok_or("supported_groups")?),
        SIGNATURE_ALGORITHMS => {
            hello.signature_algorithms = Some(numbers16(content).ok_or("signature_algorithms")?);
        }
        SUPPORTED_VERSIONS => hello.supported_versions = Some(numbers8(content).ok_or("supported_versions")?),
        ALPN => {
            let protocols = whole(content, Bytes::vector16).and_then(|list| items(list, |p| filled(p.vector8())));
            hello.alpn = protocols.ok_or("application_layer_protocol_negotiation")?.first().map(|name| name.to_vec());
        }
        _ => return Ok(read_for_rustls(hello, number, content)),
    }
    Ok(true)
}

/// Whether rustls can read one that OpenSSL may not look at.
fn read_for_rustls(hello: &mut ClientHello, number: u16, content: &[u8]) -> bool {
    match number {
        EC_POINT_FORMATS => {
            hello.point_formats = list8(content).map(<[u8]>::to_vec);
            hello.point_formats.is_some()
        }
        CLIENT_CERTIFICATE_TYPE | SERVER_CERTIFICATE_TYPE => {
            hello.certificate_types = true;
            // It insists on X.509 of those who name types and raw keys among them.
            list8(content).is_some_and(|types| types.contains(&X509) || !types.contains(&RAW_PUBLIC_KEY))
        }
        KEY_SHARE => {
            let shares = key_shares(content);
            hello.key_shares = shares.as_ref().map(|shares| shares.iter().map(|(group, _)| *group).collect());
            shares.is_some_and(|shares| shares.iter().all(|(_, share)| !share.is_empty()))
        }
        STATUS_REQUEST => whole(content, status_request).is_some(),
        EXTENDED_MASTER_SECRET | EARLY_DATA => content.is_empty(),
        COMPRESS_CERTIFICATE | ECH_OUTER_EXTENSIONS => numbers8(content).is_some(),
        PRE_SHARED_KEY => pre_shared_keys(content).is_some(),
        COOKIE => whole(content, |bytes| filled(bytes.vector16())).is_some(),
        PSK_KEY_EXCHANGE_MODES => list8(content).is_some(),
        CERTIFICATE_AUTHORITIES => whole(content, Bytes::vector16)
            .is_some_and(|list| list.is_empty() || items(list, |name| filled(name.vector16())).is_some()),
        TICKET_REQUEST => content.len() == 2,
        RENEGOTIATION_INFO => whole(content, Bytes::vector8).is_some(),
        ENCRYPTED_CLIENT_HELLO => whole(content, encrypted_hello).is_some(),
        _ => true,
    }
}

fn is_refused_in_tls13(number: u16, content: &[u8]) -> bool {
    let repeats = |numbers: Vec<u16>| numbers.iter().collect::<BTreeSet<_>>().len() != numbers.len();
    match number {
        KEY_SHARE => key_shares(content).is_some_and(|shares| repeats(shares.iter().map(|share| share.0).collect())),
        COMPRESS_CERTIFICATE => numbers8(content).is_some_and(repeats),
        PRE_SHARED_KEY => pre_shared_keys(content).is_some_and(|(identities, binders)| identities != binders),
        _ => false,
    }
}

/// An extension may come once (RFC 8446 section 4.2); rustls enforces it for all.
fn note_duplicates(hello: &ClientHello, found: &mut Extensions) -> Result<(), BadHello> {
    let mut sorted = hello.extensions.clone();
    sorted.sort_unstable();
    for (one, next) in sorted.iter().zip(sorted.iter().skip(1)) {
        if one == next && ONCE_FOR_OPENSSL.contains(one) {
            return Err(BadHello::DUPLICATE_EXTENSION);
        }
        found.rustls_refuses_one |= one == next;
    }
    Ok(())
}

/// The name of a list that is not empty, and whether rustls takes the list. It skips all behind a name of another type,
/// whose length is not known (RFC 6066 section 3).
fn server_name(list: &[u8]) -> (Sni, bool) {
    let mut bytes = Bytes::new(list);
    let mut only = None;
    while let Some(HOST_NAME) = bytes.u8() {
        let Some(name) = filled(bytes.vector16()) else { return (Sni::Unusable, false) };
        if only.replace(name).is_some() {
            return (Sni::Unusable, false);
        }
    }
    let text = only.and_then(|name| std::str::from_utf8(name).ok());
    match (text, text.is_some_and(|text| DnsName::try_from(text).is_ok())) {
        (Some(text), true) => (Sni::Name(text.to_owned()), true),
        (Some(text), false) => (Sni::Unusable, IpAddr::try_from(text).is_ok()),
        (None, _) => (Sni::Unusable, false),
    }
}

fn list8(content: &[u8]) -> Option<&[u8]> {
    whole(content, |bytes| filled(bytes.vector8()))
}

fn numbers8(content: &[u8]) -> Option<Vec<u16>> {
    whole(content, Bytes::vector8).and_then(numbers)
}

fn numbers16(content: &[u8]) -> Option<Vec<u16>> {
    whole(content, Bytes::vector16).and_then(numbers)
}

/// Groups with their shares; none is a list too, it asks for a retry (RFC 8446 section 4.2.8).
fn key_shares(content: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let list = whole(content, Bytes::vector16)?;
    match list.is_empty() {
        true => Some(Vec::new()),
        false => items(list, |share| Some((share.u16()?, share.vector16()?))),
    }
}

/// How many identities and binders there are (RFC 8446 section 4.2.11).
fn pre_shared_keys(content: &[u8]) -> Option<(usize, usize)> {
    const AGE_BYTES: usize = 4;
    whole(content, |bytes| {
        let identity = |key: &mut Bytes<'_>| {
            filled(key.vector16())?;
            key.take(AGE_BYTES).map(|_| ())
        };
        let identities = items(bytes.vector16()?, identity)?;
        let binders = items(bytes.vector16()?, |binder| filled(binder.vector8()))?;
        Some((identities.len(), binders.len()))
    })
}

/// RFC 6066 section 8; other types than OCSP are not looked into.
fn status_request(bytes: &mut Bytes<'_>) -> Option<()> {
    if bytes.u8()? != OCSP {
        bytes.rest();
        return Some(());
    }
    let responders = bytes.vector16()?;
    if !responders.is_empty() {
        items(responders, Bytes::vector16)?;
    }
    bytes.vector16().map(|_| ())
}

/// RFC 9849 section 5: the outer hello with the suite, the key's number, the encapsulated key and the inner hello.
fn encrypted_hello(bytes: &mut Bytes<'_>) -> Option<()> {
    const OUTER: u8 = 0;
    const INNER: u8 = 1;
    const SUITE_AND_KEY_BYTES: usize = 2 + 2 + 1;
    match bytes.u8()? {
        INNER => Some(()),
        OUTER => {
            bytes.take(SUITE_AND_KEY_BYTES)?;
            bytes.vector16()?;
            filled(bytes.vector16()).map(|_| ())
        }
        _ => None,
    }
}
