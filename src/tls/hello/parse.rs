//! The body of a hello: its fields in order, then its extensions.

use super::bytes::{Bytes, numbers};
use super::extensions::{self, Extensions};
use super::{BadHello, ClientHello, version_number};
use crate::model::tls::ProtocolVersion;

const RANDOM_BYTES: usize = 32;
const SESSION_BYTES_MAX: usize = 32;
const NULL_COMPRESSION: u8 = 0;
const UNCOMPRESSED_POINTS: u8 = 0;
/// rustls holds a message with the headers of its records in a buffer of this size.
const RUSTLS_BUFFER_BYTES: usize = 65_535;

/// How the message lay in its records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    /// From the first byte to the end of the last record.
    pub(super) bytes_with_headers: usize,
    /// No other message starts in the last record.
    pub(super) fills_its_records: bool,
}

/// Parses a whole body; both stacks refuse what gives an error.
pub(super) fn client_hello(body: &[u8], framing: Framing) -> Result<ClientHello, BadHello> {
    let (mut hello, extension_block) = fields(body)?;
    let mut found = Extensions::default();
    if let Some(block) = extension_block {
        found = extensions::read(&mut hello, block)?;
    }
    let misframed = !framing.fills_its_records || framing.bytes_with_headers > RUSTLS_BUFFER_BYTES;
    hello.rustls_would_refuse = misframed || found.rustls_refuses_one || rustls_misses_something(&hello, &found);
    Ok(hello)
}

/// Everything before the extensions, and their block, if there is one.
fn fields(body: &[u8]) -> Result<(ClientHello, Option<&[u8]>), BadHello> {
    let broken = |what| move || BadHello::Malformed(what);
    let mut bytes = Bytes::new(body);
    let legacy_version = bytes.u16().ok_or_else(broken("version"))?;
    bytes.take(RANDOM_BYTES).ok_or_else(broken("random"))?;
    let session = bytes.vector8().filter(|session| session.len() <= SESSION_BYTES_MAX);
    session.ok_or_else(broken("session"))?;
    let cipher_suites = bytes.vector16().and_then(numbers).ok_or_else(broken("cipher suites"))?;
    let compression = super::bytes::filled(bytes.vector8()).ok_or_else(broken("compression methods"))?.to_vec();
    let hello = ClientHello { legacy_version, cipher_suites, compression, ..ClientHello::default() };
    if bytes.is_empty() {
        return Ok((hello, None));
    }
    let block = bytes.vector16().filter(|_| bytes.is_empty()).ok_or_else(broken("length of extensions"))?;
    Ok((hello, Some(block)))
}

/// What rustls asks of a hello whose extensions it could read.
fn rustls_misses_something(hello: &ClientHello, found: &Extensions) -> bool {
    let offers = |version| match &hello.supported_versions {
        Some(numbers) => numbers.contains(&version_number(version)),
        None => version == ProtocolVersion::Tls1_2 && hello.legacy_version >= version_number(version),
    };
    if !hello.compression.contains(&NULL_COMPRESSION) || hello.signature_algorithms.is_none() {
        return true;
    }
    if offers(ProtocolVersion::Tls1_3) {
        return hello.compression.len() != 1 || hello.key_shares.is_none() || found.rustls_refuses_one_in_tls13;
    }
    let has_points = hello.point_formats.as_ref().is_none_or(|formats| formats.contains(&UNCOMPRESSED_POINTS));
    !offers(ProtocolVersion::Tls1_2) || !has_points
}
