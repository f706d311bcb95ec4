//! The client side of TLS, by either library: one request, one answer, and the sessions to resume.
//!
//! Must not: judge a certificate, or choose between the libraries.

pub mod by_key;
pub mod certificate;
#[cfg(feature = "legacy-tls")]
mod sessions;
#[cfg(all(test, feature = "legacy-tls"))]
mod tests;
#[cfg(feature = "legacy-tls")]
pub(super) mod with_openssl;
pub(super) mod with_rustls;

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::tls::{ChainTrust, ProtocolVersion, Stack, TlsFacts};
use crate::policy::names::Fingerprint;

use self::certificate::ClientCertificate;
#[cfg(feature = "legacy-tls")]
use self::with_openssl::Contexts;
#[cfg(test)]
pub(super) use self::with_rustls::AnyCertificate;
use self::with_rustls::{Hello, Offer};
use super::evaluate::Evaluation;
#[cfg(not(feature = "legacy-tls"))]
use super::failure::FailureKind;
use super::failure::{HandshakeFailure, SetupError};
use super::provider::provider;
use super::stream::TlsStream;

/// What the server's certificate is for. Whoever asks for more can do with less, not the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateUse {
    /// Nobody looks at it, so the session of an earlier connection may be resumed, with the chain of then.
    Ignored,
    /// Somebody takes note of it, so it must be the one of today: no session is resumed.
    Noted,
    /// It must prove who the server is. Besides, servers older than RFC 5746 are refused: who stands between could put
    /// something of his own before what we say.
    Required,
}

impl CertificateUse {
    /// What a finished handshake by this library serves. Rustls makes no difference where the certificate is fresh.
    pub const fn served_by(self, stack: Stack) -> Self {
        match (self, stack) {
            (Self::Noted, Stack::Rustls) => Self::Required,
            (asked, _) => asked,
        }
    }
}

/// What to ask of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHandshake {
    /// The library to do it with. A build without OpenSSL fails with [`FailureKind::Unsupported`] if asked for it.
    ///
    /// [`FailureKind::Unsupported`]: super::failure::FailureKind::Unsupported
    pub stack: Stack,
    /// The name to ask for (SNI) and to resume sessions by; with `None` neither is done.
    pub server_name: Option<Domain>,
    pub certificate: CertificateUse,
    /// Where the server listens: another port may be another server.
    pub port: u16,
    /// The lowest version to offer; below what the library has it changes nothing.
    pub min_version: Option<ProtocolVersion>,
    /// The lowest grade of a suite to offer.
    pub min_grade: CipherGrade,
    pub timeout: Duration,
}

/// The other end of a finished handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// With the server's certificate, not yet verified.
    pub facts: TlsFacts,
    /// As the server sent it, or as it was when the resumed session began; its own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
}

impl Peer {
    /// Writes the judgement of the certificate into the facts. What it did not look at stays as it was.
    pub fn record(&mut self, evaluation: &Evaluation) {
        if evaluation.chain != ChainTrust::Unknown {
            self.record_chain(evaluation.chain);
        }
        if let Some(certificate) = &mut self.facts.peer {
            certificate.verified = evaluation.verified;
            certificate.error = evaluation.error.map(|reason| format!("{reason}: {}", evaluation.detail));
            if evaluation.dane.is_some() {
                certificate.dane.clone_from(&evaluation.dane);
            }
        }
    }

    /// Writes what the chain is worth into the facts, where nobody's identity was asked for.
    pub fn record_chain(&mut self, chain: ChainTrust) {
        if let Some(certificate) = &mut self.facts.peer {
            certificate.chain = chain;
        }
    }
}

/// TLS to servers, with one identity of ours or none. Sessions are kept per instance and server name. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientTls {
    tls12_and_13: Offer,
    tls13: Offer,
    #[cfg(feature = "legacy-tls")]
    openssl: Contexts,
    identity: Option<Fingerprint>,
}

impl ClientTls {
    /// `certificate` is shown to servers that ask for one.
    pub fn new(certificate: Option<&ClientCertificate>) -> Result<Self, SetupError> {
        let offer = |versions: &[_]| Offer::new(provider(), versions, certificate);
        Ok(Self {
            tls12_and_13: offer(&[&rustls::version::TLS13, &rustls::version::TLS12])?,
            tls13: offer(&[&rustls::version::TLS13])?,
            #[cfg(feature = "legacy-tls")]
            openssl: Contexts::new(certificate.cloned()),
            identity: certificate.map(ClientCertificate::fingerprint),
        })
    }

    /// Who we are to servers: the hash of our certificate. Connections of different identities are not the same.
    pub fn identity(&self) -> Option<Fingerprint> {
        self.identity
    }

    /// Shakes hands within the timeout. Success says nothing about who the server is: hold the chain against names with
    /// [`super::evaluate::evaluate`] before anything that must stay secret is sent.
    pub async fn connect<S>(
        &self,
        stream: S,
        handshake: ClientHandshake,
    ) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match handshake.stack {
            Stack::Rustls => {
                // Every suite of rustls has the highest grade.
                let offer = match handshake.min_version {
                    Some(ProtocolVersion::Tls1_3) => &self.tls13,
                    _ => &self.tls12_and_13,
                };
                let hello = Hello {
                    server_name: handshake.server_name.as_ref(),
                    resumes: handshake.certificate == CertificateUse::Ignored,
                    timeout: handshake.timeout,
                };
                offer.connect(stream, hello).await
            }
            #[cfg(feature = "legacy-tls")]
            Stack::Openssl => self.openssl.connect(stream, handshake).await,
            #[cfg(not(feature = "legacy-tls"))]
            Stack::Openssl => Err(HandshakeFailure::new(FailureKind::Unsupported, "this build has no OpenSSL")),
        }
    }
}
