//! What both sides of OpenSSL share: the library made ready once, ciphers by grade, facts and failures in our words.
//!
//! OpenSSL serves only those whom rustls cannot serve: versions before TLS 1.2, and key exchanges, ciphers and
//! certificates that rustls has left behind.

pub(crate) mod context;
mod failures;
pub(super) mod native;

pub(super) use failures::failure;
pub(super) use native::{peer_signature, resume};

use openssl::ssl::{SslRef, SslVersion};
use rustls::pki_types::CertificateDer;

use crate::model::cipher::CipherSuite;
use crate::model::domain::DOMAIN_BYTES_MAX;
use crate::model::escape::peer_text;
use crate::model::tls::{ProtocolVersion, Stack, TlsFacts};

/// The facts without a peer; `None` only before the handshake is over.
pub(crate) fn facts(ssl: &SslRef, sni: Option<&str>) -> Option<TlsFacts> {
    let version = known_version(ssl.version2()?)?;
    let cipher = ssl.current_cipher()?;
    let (name, openssl, bits) = match CipherSuite::by_number(u16::from_be_bytes(cipher.protocol_id())) {
        Some(row) => (row.name.to_owned(), row.openssl.to_owned(), row.bits),
        None => (cipher.standard_name().unwrap_or("unknown").to_owned(), cipher.name().to_owned(), 0),
    };
    Some(TlsFacts {
        version,
        cipher: name,
        cipher_openssl: openssl,
        bits,
        // The library tells the group of the session that is resumed.
        group: native::group(ssl).filter(|_| version == ProtocolVersion::Tls1_3 || !ssl.session_reused()),
        stack: Stack::Openssl,
        sni: sni.map(|name| peer_text(name, DOMAIN_BYTES_MAX).into_owned()),
        resumed: ssl.session_reused(),
        peer: None,
    })
}

/// The peer's chain, its own certificate first. A server's view of its client's chain leaves that first one out.
pub(super) fn peer_chain(ssl: &SslRef) -> Vec<CertificateDer<'static>> {
    let der = |certificate: &openssl::x509::X509Ref| certificate.to_der().ok().map(CertificateDer::from);
    let own = ssl.peer_certificate().and_then(|own| der(&own));
    let rest = ssl.peer_cert_chain().into_iter().flatten().filter_map(der);
    let rest = rest.filter(|certificate| Some(certificate) != own.as_ref());
    own.iter().cloned().chain(rest).collect()
}

fn known_version(version: SslVersion) -> Option<ProtocolVersion> {
    ProtocolVersion::ALL.into_iter().find(|known| ssl_version(*known) == version)
}

pub(crate) const fn ssl_version(version: ProtocolVersion) -> SslVersion {
    match version {
        ProtocolVersion::Ssl3 => SslVersion::SSL3,
        ProtocolVersion::Tls1_0 => SslVersion::TLS1,
        ProtocolVersion::Tls1_1 => SslVersion::TLS1_1,
        ProtocolVersion::Tls1_2 => SslVersion::TLS1_2,
        ProtocolVersion::Tls1_3 => SslVersion::TLS1_3,
    }
}
