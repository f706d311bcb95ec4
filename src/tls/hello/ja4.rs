//! The JA4 fingerprint of a TLS client, as FoxIO describes it: <https://github.com/FoxIO-LLC/ja4>.
//!
//! `t13d1516h2_8daaf6152771_e5627efa2ab1`: transport, version, whether a name was sent, how many suites and extensions,
//! the ends of the first protocol; a hash of the suites; a hash of the extensions and signature algorithms. Fillers are
//! left out everywhere.

use aws_lc_rs::digest::{SHA256, digest};

use crate::model::hex;

use super::{ClientHello, extensions, meant};

/// Counts have two digits.
const COUNT_MAX: usize = 99;
const HASH_CHARS: usize = 12;
/// For a list without entries.
const NO_HASH: &str = "000000000000";

pub(super) fn fingerprint(hello: &ClientHello) -> String {
    let name = if hello.has_extension(extensions::SERVER_NAME) { 'd' } else { 'i' };
    let ciphers = meant(&hello.cipher_suites).count().min(COUNT_MAX);
    let extensions = meant(&hello.extensions).count().min(COUNT_MAX);
    let (version, protocol) = (version(hello), ends(hello.alpn.as_deref().unwrap_or_default()));
    let (cipher_hash, extension_hash) = (cipher_hash(hello), extension_hash(hello));
    format!("t{version}{name}{ciphers:02}{extensions:02}{protocol}_{cipher_hash}_{extension_hash}")
}

fn version(hello: &ClientHello) -> &'static str {
    let highest = match &hello.supported_versions {
        Some(numbers) => meant(numbers).max(),
        None => Some(hello.legacy_version),
    };
    match highest {
        Some(0x0304) => "13",
        Some(0x0303) => "12",
        Some(0x0302) => "11",
        Some(0x0301) => "10",
        Some(0x0300) => "s3",
        Some(0x0002) => "s2",
        _ => "00",
    }
}

/// The first and last character of a protocol; of its hexadecimal form, if one of them is no letter or digit.
fn ends(protocol: &[u8]) -> String {
    let (Some(first), Some(last)) = (protocol.first(), protocol.last()) else { return "00".to_owned() };
    match first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        true => [char::from(*first), char::from(*last)].iter().collect(),
        false => format!("{:x}{:x}", first >> 4, last & 0x0f),
    }
}

fn cipher_hash(hello: &ClientHello) -> String {
    let mut ciphers: Vec<u16> = meant(&hello.cipher_suites).collect();
    ciphers.sort_unstable();
    if ciphers.is_empty() { NO_HASH.to_owned() } else { hash(&joined(&ciphers)) }
}

fn extension_hash(hello: &ClientHello) -> String {
    let told_before = [extensions::SERVER_NAME, extensions::ALPN];
    let mut numbers: Vec<u16> = meant(&hello.extensions).filter(|number| !told_before.contains(number)).collect();
    numbers.sort_unstable();
    if numbers.is_empty() {
        return NO_HASH.to_owned();
    }
    let algorithms: Vec<u16> = meant(hello.signature_algorithms.as_deref().unwrap_or_default()).collect();
    match algorithms.is_empty() {
        true => hash(&joined(&numbers)),
        false => hash(&format!("{}_{}", joined(&numbers), joined(&algorithms))),
    }
}

fn joined(numbers: &[u16]) -> String {
    numbers.iter().map(|number| format!("{number:04x}")).collect::<Vec<_>>().join(",")
}

fn hash(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    hex::encode(digest.as_ref().get(..HASH_CHARS / 2).unwrap_or_default())
}
