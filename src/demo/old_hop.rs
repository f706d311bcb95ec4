//! TLS of the next hop that was never renewed: one old version, the suites of its time, by OpenSSL.

use std::io;
use std::pin::Pin;

use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslContext, SslMethod};
use openssl::x509::X509;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::tls::failure::SetupError;
use crate::tls::openssl::{context, facts, ssl_version};
use crate::tls::rewind::Rewind;
use crate::tls::self_signed::IssuedCertificate;
use crate::tls::stream::TlsStream;

/// RSA key exchange only: servers of that age know no curves. Level 0 lets OpenSSL do it.
const SUITES: &str = "AES128-SHA:AES256-SHA:DES-CBC3-SHA:@SECLEVEL=0";

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct OldHop(SslContext);

impl OldHop {
    /// A server that speaks this version alone. The certificate's key must be RSA.
    pub(super) fn new(version: ProtocolVersion, certificate: &IssuedCertificate) -> Result<Self, SetupError> {
        let mut builder = context::builder(SslMethod::tls_server(), version)?;
        builder.set_max_proto_version(Some(ssl_version(version)))?;
        builder.set_cipher_list(SUITES)?;
        builder.set_certificate(&*X509::from_der(&certificate.certificate_der)?)?;
        builder.set_private_key(&*PKey::private_key_from_der(&certificate.key_der)?)?;
        Ok(Self(builder.build()))
    }

    /// Shakes hands; the facts are `None` only if the library has none.
    pub(super) async fn accept(self, tcp: Rewind<TcpStream>) -> io::Result<(TlsStream<TcpStream>, Option<TlsFacts>)> {
        let mut stream = SslStream::new(Ssl::new(&self.0)?, tcp)?;
        Pin::new(&mut stream).accept().await.map_err(io::Error::other)?;
        let facts = facts(stream.ssl(), None);
        Ok((TlsStream::OpensslServer(Box::new(stream)), facts))
    }
}
