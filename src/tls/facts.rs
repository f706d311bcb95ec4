//! A finished rustls handshake told in the words of the model.

use rustls::{CommonState, HandshakeKind};

use crate::model::cipher::CipherSuite;
use crate::model::domain::DOMAIN_BYTES_MAX;
use crate::model::escape::peer_text;
use crate::model::tls::{ProtocolVersion, Stack, TlsFacts};

/// The facts without a peer; `None` only before the handshake is over.
pub(super) fn facts(connection: &CommonState, sni: Option<&str>) -> Option<TlsFacts> {
    let version = match connection.protocol_version()? {
        rustls::ProtocolVersion::TLSv1_2 => ProtocolVersion::Tls1_2,
        rustls::ProtocolVersion::TLSv1_3 => ProtocolVersion::Tls1_3,
        _ => return None,
    };
    let suite = connection.negotiated_cipher_suite()?.suite();
    // rustls has names of its own for the suites of TLS 1.3; the number leads to the IANA name.
    let (cipher, cipher_openssl, bits) = match CipherSuite::by_number(suite.into()) {
        Some(row) => (row.name.to_owned(), row.openssl.to_owned(), row.bits),
        None => (format!("{suite:?}"), format!("{suite:?}"), 0),
    };
    Some(TlsFacts {
        version,
        cipher,
        cipher_openssl,
        bits,
        group: connection
            .negotiated_key_exchange_group()
            .map(|group| format!("{:?}", group.name()).to_ascii_lowercase()),
        stack: Stack::Rustls,
        sni: sni.map(|name| peer_text(name, DOMAIN_BYTES_MAX).into_owned()),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        peer: None,
    })
}
