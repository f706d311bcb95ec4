//! A handshake that takes keys of one kind alone: to see the other certificate of a server that has two.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::model::domain::Domain;
use crate::tls::failure::HandshakeFailure;
use crate::tls::provider::provider;
use crate::tls::stream::TlsStream;

use super::Peer;
use super::with_rustls::{AnyCertificate, Offer};

/// Kinds of key that servers have side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Rsa,
    Ecdsa,
}

impl KeyKind {
    const fn signs(self, scheme: SignatureScheme) -> bool {
        use SignatureScheme as S;
        match self {
            Self::Rsa => matches!(
                scheme,
                S::RSA_PSS_SHA256
                    | S::RSA_PSS_SHA384
                    | S::RSA_PSS_SHA512
                    | S::RSA_PKCS1_SHA256
                    | S::RSA_PKCS1_SHA384
                    | S::RSA_PKCS1_SHA512
            ),
            Self::Ecdsa => {
                matches!(scheme, S::ECDSA_NISTP256_SHA256 | S::ECDSA_NISTP384_SHA384 | S::ECDSA_NISTP521_SHA512)
            }
        }
    }
}

/// Shakes hands by TLS 1.2 or 1.3, as the server prefers. The certificate is handed out unjudged. Nothing is resumed.
pub async fn shake<S>(
    stream: S,
    kind: KeyKind,
    server_name: Option<&Domain>,
    timeout: Duration,
) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let provider = provider();
    let verifier = OneKind { any: AnyCertificate(provider.signature_verification_algorithms), kind };
    let offer = Offer::judging(Arc::new(verifier), provider, rustls::ALL_VERSIONS, None)
        .map_err(|error| HandshakeFailure::of_setup(&error))?;
    offer.connect(stream, server_name, timeout).await
}

/// Takes every certificate with a key of one kind; says so in the hello, so that the server can choose.
#[derive(Debug)]
struct OneKind {
    any: AnyCertificate,
    kind: KeyKind,
}

impl ServerCertVerifier for OneKind {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.any.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.any.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.any.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let all = self.any.supported_verify_schemes().into_iter();
        all.filter(|scheme| self.kind.signs(*scheme)).collect()
    }
}
