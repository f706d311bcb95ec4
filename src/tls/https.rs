//! TLS for HTTP: requests of our own to web servers, whose names must be vouched for, and the dashboard's pages.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};

use crate::policy::settings::KeyPair;

use super::certificates::{CertificateError, CertificatePaths, ServerCertificate};
use super::failure::SetupError;
use super::provider::provider;
use super::roots::Roots;

/// Verifies chain, name and dates inside the handshake.
pub fn https_client(roots: &Roots) -> Result<Arc<ClientConfig>, SetupError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots.shared())
        .with_no_client_auth();
    // A resumed session shows no certificate, and each answer must come from who has a valid one now
    // (RFC 8461 section 3.3).
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// TLS 1.2 and later with one certificate: browsers have spoken nothing older for years.
pub fn https_server(pair: &KeyPair) -> Result<Arc<ServerConfig>, HttpsError> {
    let certificate = ServerCertificate::read_pair(&CertificatePaths::new(&pair.chain, &pair.key))?;
    let resolver = SingleCertAndKey::from(CertifiedKey::clone(&certificate.key));
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(SetupError::from)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    Ok(Arc::new(config))
}

/// Why no page can be served over TLS.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    #[error("{0}")]
    Setup(#[from] SetupError),
}
