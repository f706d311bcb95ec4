//! TLS for requests of our own to web servers: the server's name must be vouched for, or nothing is sent.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;

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
