//! Which stack serves a client, decided from its hello alone: rustls wherever it can, OpenSSL for all others. Pure.
//!
//! The rules follow rustls step by step: it takes TLS 1.3 whenever that is offered, and fails rather than fall back to
//! TLS 1.2. A client goes there only if rustls will come to an end with it.

use rustls::crypto::CryptoProvider;
use rustls::sign::SigningKey;
use rustls::{NamedGroup, ProtocolVersion as RustlsVersion, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite};

use crate::model::tls::ProtocolVersion;
use crate::tls::hello::ClientHello;

/// TLS_FALLBACK_SCSV (RFC 7507).
const FALLBACK_SCSV: u16 = 0x5600;
const NO_COMPRESSION: u8 = 0;
const UNCOMPRESSED_POINTS: u8 = 0;

/// What becomes of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// rustls with this one of the keys.
    Modern(usize),
    Legacy(Why),
    /// The client tries a lower version than it could, and we could too (RFC 7507 section 3).
    InappropriateFallback,
}

/// Why rustls would not come to an end with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The hello has the format of SSL 2.0.
    Ssl2Format,
    /// No version from TLS 1.2 on.
    Version,
    /// The form of the hello: compression, extensions, names, kinds of certificates.
    Form,
    SignatureAlgorithms,
    Groups,
    KeyShares,
    PointFormats,
    /// No suite for a key that the client could verify.
    SuiteAndKey,
}

/// What rustls can do.
#[derive(Debug)]
pub(super) struct Abilities {
    suites: Vec<SupportedCipherSuite>,
    groups12: Vec<u16>,
    groups13: Vec<u16>,
}

impl Abilities {
    pub(super) fn of(provider: &CryptoProvider) -> Self {
        let groups = |version: RustlsVersion| {
            let usable = provider.kx_groups.iter().filter(move |group| group.usable_for_version(version));
            usable.map(|group| group.name().into()).collect()
        };
        Self {
            suites: provider.cipher_suites.clone(),
            groups12: groups(RustlsVersion::TLSv1_2),
            groups13: groups(RustlsVersion::TLSv1_3),
        }
    }
}

/// What a key of ours can sign, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyAbilities {
    algorithm: SignatureAlgorithm,
    schemes: Vec<SignatureScheme>,
    /// Of an ECDSA key; before TLS 1.3 the client's groups rule it too (RFC 8422 section 5.1).
    curve: Option<u16>,
}

const SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA256,
];

impl KeyAbilities {
    pub(super) fn of(key: &dyn SigningKey) -> Self {
        let schemes: Vec<_> = SCHEMES.into_iter().filter(|scheme| key.choose_scheme(&[*scheme]).is_some()).collect();
        let curve = schemes.iter().find_map(|scheme| match *scheme {
            SignatureScheme::ECDSA_NISTP256_SHA256 => Some(NamedGroup::secp256r1),
            SignatureScheme::ECDSA_NISTP384_SHA384 => Some(NamedGroup::secp384r1),
            SignatureScheme::ECDSA_NISTP521_SHA512 => Some(NamedGroup::secp521r1),
            _ => None,
        });
        Self { algorithm: key.algorithm(), schemes, curve: curve.map(u16::from) }
    }

    fn can_sign(&self, accepted: &[u16], permitted: fn(SignatureScheme) -> bool) -> bool {
        self.schemes.iter().any(|scheme| permitted(*scheme) && accepted.contains(&u16::from(*scheme)))
    }
}

/// RFC 8446 section 4.2.3.
fn is_for_tls13(scheme: SignatureScheme) -> bool {
    use SignatureScheme::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512};
    ![RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512].contains(&scheme)
}

/// Decides. `keys` are those that rustls may show to this client, the preferred one first.
pub(super) fn route(hello: &ClientHello, keys: &[&KeyAbilities], abilities: &Abilities) -> Route {
    let highest = hello.max_version();
    if hello.cipher_suites.contains(&FALLBACK_SCSV) && highest < Some(ProtocolVersion::Tls1_3) {
        return Route::InappropriateFallback;
    }
    match modern_key(hello, highest, keys, abilities) {
        Ok(key) => Route::Modern(key),
        Err(why) => Route::Legacy(why),
    }
}

fn modern_key(
    hello: &ClientHello,
    highest: Option<ProtocolVersion>,
    keys: &[&KeyAbilities],
    abilities: &Abilities,
) -> Result<usize, Why> {
    if highest < Some(ProtocolVersion::Tls1_2) {
        return Err(Why::Version);
    }
    if hello.rustls_would_refuse || !hello.compression.contains(&NO_COMPRESSION) || hello.certificate_types {
        return Err(Why::Form);
    }
    let signatures = hello.signature_algorithms.as_deref().ok_or(Why::SignatureAlgorithms)?;
    let groups = hello.groups.as_deref().ok_or(Why::Groups)?;
    if highest == Some(ProtocolVersion::Tls1_3) {
        tls13_key(hello, signatures, groups, keys, abilities)
    } else {
        tls12_key(hello, signatures, groups, keys, abilities)
    }
}

fn tls13_key(
    hello: &ClientHello,
    signatures: &[u16],
    groups: &[u16],
    keys: &[&KeyAbilities],
    abilities: &Abilities,
) -> Result<usize, Why> {
    if hello.key_shares.is_none() {
        return Err(Why::KeyShares);
    }
    if !have_common(groups, &abilities.groups13) {
        return Err(Why::Groups);
    }
    let is_common = |suite: &SupportedCipherSuite| suite.tls13().is_some() && offers(hello, *suite);
    if !abilities.suites.iter().any(is_common) {
        return Err(Why::SuiteAndKey);
    }
    keys.iter().position(|key| key.can_sign(signatures, is_for_tls13)).ok_or(Why::SignatureAlgorithms)
}

fn tls12_key(
    hello: &ClientHello,
    signatures: &[u16],
    groups: &[u16],
    keys: &[&KeyAbilities],
    abilities: &Abilities,
) -> Result<usize, Why> {
    if !have_common(groups, &abilities.groups12) {
        return Err(Why::Groups);
    }
    if hello.point_formats.as_ref().is_some_and(|formats| !formats.contains(&UNCOMPRESSED_POINTS)) {
        return Err(Why::PointFormats);
    }
    let fits = |key: &&KeyAbilities| {
        let is_for_key = |suite: &&SupportedCipherSuite| {
            suite.tls13().is_none() && suite.usable_for_signature_algorithm(key.algorithm) && offers(hello, **suite)
        };
        key.can_sign(signatures, |_| true)
            && key.curve.is_none_or(|curve| groups.contains(&curve))
            && abilities.suites.iter().any(|suite| is_for_key(&suite))
    };
    keys.iter().position(fits).ok_or(Why::SuiteAndKey)
}

fn offers(hello: &ClientHello, suite: SupportedCipherSuite) -> bool {
    hello.cipher_suites.contains(&suite.suite().into())
}

fn have_common(one: &[u16], other: &[u16]) -> bool {
    one.iter().any(|item| other.contains(item))
}
