//! TLS of the demo's own clients and next hops: old and new versions on purpose, which the relay's own stack would not
//! choose.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, CommonState, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::model::cipher::CipherSuite;
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::tls::failure::SetupError;
use crate::tls::rewind::Rewind;
use crate::tls::self_signed::IssuedCertificate;
use crate::tls::stream::TlsStream;

#[cfg(feature = "legacy-tls")]
use super::old_hop::OldHop;

/// What a next hop shakes hands with. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum HopTls {
    Modern(Arc<ServerConfig>),
    #[cfg(feature = "legacy-tls")]
    Old(OldHop),
}

impl HopTls {
    /// A server that speaks these versions of TLS 1.2 and 1.3 with this certificate.
    pub(super) fn modern(versions: &[ProtocolVersion], certificate: &IssuedCertificate) -> Result<Self, SetupError> {
        let key = PrivateKeyDer::from(certificate.private_key()).clone_key();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&supported(versions))?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.certificate_der.clone()], key)?;
        Ok(Self::Modern(Arc::new(config)))
    }

    /// Shakes hands as a server.
    pub(super) async fn accept(self, tcp: TcpStream) -> io::Result<(TlsStream<TcpStream>, TlsFacts)> {
        let tcp = Rewind::new(Vec::new(), tcp);
        let (stream, facts) = match self {
            Self::Modern(config) => {
                let stream = TlsAcceptor::from(config).accept(tcp).await?;
                let facts = negotiated(stream.get_ref().1);
                (TlsStream::RustlsServer(Box::new(stream)), facts)
            }
            #[cfg(feature = "legacy-tls")]
            Self::Old(old) => old.accept(tcp).await?,
        };
        Ok((stream, facts.ok_or(io::ErrorKind::InvalidData)?))
    }
}

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
