//! TLS of the demo's own clients and next hops: old and new versions on purpose, which the relay's own stack would not
//! choose.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, CommonState, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::model::cipher::CipherSuite;
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::tls::self_signed::IssuedCertificate;

/// A client that speaks one version only and trusts one authority only.
pub(super) fn client(
    version: ProtocolVersion,
    authority: &CertificateDer<'_>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&supported(&[version]))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A server that speaks these versions with this certificate.
pub(super) fn server(
    versions: &[ProtocolVersion],
    certificate: &IssuedCertificate,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certificate.key_der.clone()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&supported(versions))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.certificate_der.clone()], key)?;
    Ok(Arc::new(config))
}

/// What a finished handshake agreed on.
pub(super) fn negotiated(connection: &CommonState) -> Option<TlsFacts> {
    let version = match connection.protocol_version()? {
        rustls::ProtocolVersion::TLSv1_2 => ProtocolVersion::Tls1_2,
        rustls::ProtocolVersion::TLSv1_3 => ProtocolVersion::Tls1_3,
        _ => return None,
    };
    let suite = CipherSuite::by_number(connection.negotiated_cipher_suite()?.suite().into())?;
    Some(TlsFacts::assumed(version, suite))
}

fn supported(versions: &[ProtocolVersion]) -> Vec<&'static SupportedProtocolVersion> {
    let known = |version: &ProtocolVersion| match version {
        ProtocolVersion::Tls1_3 => Some(&rustls::version::TLS13),
        ProtocolVersion::Tls1_2 => Some(&rustls::version::TLS12),
        _ => None,
    };
    versions.iter().filter_map(known).collect()
}
