//! The server side of TLS: reads the hello, sends the client to the stack that can serve it, and tells what came of it.
//!
//! Every client gets the best handshake that it can do, down to the listener's lowest version. What that is worth, and
//! for whom, is the policy's to say.

#[cfg(feature = "legacy-tls")]
mod legacy;
mod modern;
mod route;

#[cfg(all(test, feature = "legacy-tls"))]
mod legacy_tests;
#[cfg(test)]
mod route_tests;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::clock;
use crate::model::time::Timestamp;
use crate::model::tls::{PeerCertificate, ProtocolVersion, SignatureHash, TlsFacts};

use super::evaluate::evaluate_client;
use super::failure::{FailureKind, HandshakeFailure, SetupError};
use super::hello::{BadHello, ClientHello, HelloReader, Progress};
use super::peer::peer_certificate;
use super::rewind::Rewind;
use super::roots::Roots;
use super::store::CertificateStore;
use super::stream::TlsStream;
use modern::Modern;
use route::{Route, Why, route};

/// Read at once while a hello comes in; most fit.
const HELLO_READ_BYTES: usize = 2 << 10;
/// RFC 7507 section 3.
const ALERT_INAPPROPRIATE_FALLBACK: u8 = 86;

/// What a listener offers.
#[derive(Clone, Debug)]
pub struct ServerTlsOptions {
    /// The lowest version. What the stacks of this build lack is served by none.
    pub lowest: ProtocolVersion,
    /// Clients are asked for a certificate, which none need show; it is held against these roots.
    pub client_certificates: Option<Roots>,
}

impl Default for ServerTlsOptions {
    fn default() -> Self {
        Self { lowest: ProtocolVersion::Tls1_2, client_certificates: None }
    }
}

/// One listener's TLS. Its ticket keys are its own, so sessions do not cross listeners, and end with a reload. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct ServerTls {
    store: Arc<CertificateStore>,
    modern: Arc<Modern>,
    #[cfg(feature = "legacy-tls")]
    legacy: Arc<legacy::Legacy>,
    client_roots: Option<Roots>,
}

/// A finished handshake of either stack.
struct Accepted<S> {
    stream: TlsStream<S>,
    facts: TlsFacts,
    /// The client's, its own certificate first; empty if it showed none.
    chain: Vec<CertificateDer<'static>>,
    signature: Option<SignatureHash>,
}

/// What a client says first.
enum FirstWords {
    Hello(Box<ClientHello>),
    /// A hello in the format of SSL 2.0, which may ask for a later version.
    Ssl2Format,
}

impl ServerTls {
    pub fn new(store: Arc<CertificateStore>, options: ServerTlsOptions) -> Result<Self, SetupError> {
        Ok(Self {
            modern: Arc::new(Modern::new(&store, &options)?),
            #[cfg(feature = "legacy-tls")]
            legacy: Arc::new(legacy::Legacy::new(store.clone(), &options)?),
            store,
            client_roots: options.client_certificates,
        })
    }

    /// What the certificates of clients are held against; `None` where none is asked for.
    pub fn client_roots(&self) -> Option<&Roots> {
        self.client_roots.as_ref()
    }

    /// Shakes hands; hello and handshake together have until `deadline`. On failure the peer has been sent an alert
    /// where there is one to send, and the stream is gone.
    pub async fn accept<S>(&self, stream: S, deadline: Duration) -> Result<(TlsStream<S>, TlsFacts), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut hello = None;
        let handshake = self.shake(stream, &mut hello);
        let done = tokio::time::timeout(deadline, handshake).await;
        let accepted = done.unwrap_or_else(|_| Err(HandshakeFailure::timeout(deadline)));
        let accepted = accepted.map_err(|failure| match &hello {
            Some(hello) => HandshakeFailure { offer: Some(Box::new(hello.offer())), ..failure },
            None => failure,
        })?;
        let Accepted { stream, mut facts, chain, signature } = accepted;
        if let Some(roots) = &self.client_roots {
            facts.peer = client_certificate(&chain, signature, roots, clock::timestamp());
        }
        Ok((stream, facts))
    }

    async fn shake<S>(
        &self,
        mut stream: S,
        seen: &mut Option<Box<ClientHello>>,
    ) -> Result<Accepted<S>, HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (words, bytes) = listen(&mut stream).await?;
        let hello = match words {
            FirstWords::Hello(hello) => Some(&*seen.insert(hello)),
            FirstWords::Ssl2Format => None,
        };
        let sni = hello.and_then(|hello| hello.sni.name()).map(str::to_ascii_lowercase);
        let group = self.store.group_of(sni.as_deref());
        match hello.map_or(Route::Legacy(Why::Ssl2Format), |hello| self.route(hello, group)) {
            Route::Modern(key) => self.modern.accept(Rewind::new(bytes, stream), key).await,
            Route::Legacy(why) => self.accept_old(Rewind::new(bytes, stream), group, sni, why).await,
            Route::InappropriateFallback => {
                alert(&mut stream, ALERT_INAPPROPRIATE_FALLBACK).await;
                let detail = "the client tries a lower version than it could, and we could too";
                Err(HandshakeFailure::new(FailureKind::InappropriateFallback, detail))
            }
        }
    }

    /// With the place of the key in the store.
    fn route(&self, hello: &ClientHello, group: usize) -> Route {
        let places = self.store.any(group);
        let keys: Vec<(usize, _)> = places.filter_map(|place| Some((place, self.modern.key(place)?))).collect();
        let abilities: Vec<_> = keys.iter().map(|(_, key)| *key).collect();
        match route(hello, &abilities, &self.modern.abilities) {
            Route::Modern(chosen) => {
                keys.get(chosen).map_or(Route::Legacy(Why::SuiteAndKey), |(place, _)| Route::Modern(*place))
            }
            other => other,
        }
    }

    #[cfg(feature = "legacy-tls")]
    async fn accept_old<S>(
        &self,
        stream: Rewind<S>,
        group: usize,
        sni: Option<String>,
        why: Why,
    ) -> Result<Accepted<S>, HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        tracing::debug!(?why, "served by OpenSSL");
        self.legacy.accept(stream, group, sni.as_deref()).await
    }

    /// Without OpenSSL rustls tries what it can, and says to the client what is missing.
    #[cfg(not(feature = "legacy-tls"))]
    async fn accept_old<S>(
        &self,
        stream: Rewind<S>,
        group: usize,
        _sni: Option<String>,
        _why: Why,
    ) -> Result<Accepted<S>, HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let key = self.store.any(group).next().unwrap_or_default();
        self.modern.accept(stream, key).await
    }
}

/// What the client's certificate is worth. A chain is public: without a signature by its key it says nothing of who
/// shows it.
fn client_certificate(
    chain: &[CertificateDer<'static>],
    signature: Option<SignatureHash>,
    roots: &Roots,
    now: Timestamp,
) -> Option<PeerCertificate> {
    let mut certificate = PeerCertificate { signature, ..peer_certificate(chain.first()?) };
    if signature.is_none() {
        certificate.error =
            Some("the client did not prove that it holds the key, or by nothing that can be checked".to_owned());
        return Some(certificate);
    }
    let evaluation = evaluate_client(chain, roots, now);
    certificate.chain = evaluation.chain;
    certificate.verified = evaluation.verified;
    certificate.error = evaluation.error.map(|reason| format!("{reason}: {}", evaluation.detail));
    Some(certificate)
}

/// Reads until the hello is whole. What is no hello gets an alert.
async fn listen<S>(stream: &mut S) -> Result<(FirstWords, Vec<u8>), HandshakeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut reader = HelloReader::new();
    let mut buffer = [0; HELLO_READ_BYTES];
    loop {
        let count = stream.read(&mut buffer).await.map_err(|error| HandshakeFailure::from_io(&error))?;
        if count == 0 {
            return Err(HandshakeFailure::new(FailureKind::Closed, "the client closed before its hello was whole"));
        }
        match reader.push(buffer.get(..count).unwrap_or_default()) {
            Progress::More => {}
            Progress::Hello(hello) => return Ok((FirstWords::Hello(hello), reader.into_bytes())),
            Progress::SslV2 => return Ok((FirstWords::Ssl2Format, reader.into_bytes())),
            Progress::Bad(bad) => {
                alert(stream, bad.alert()).await;
                return Err(bad.into());
            }
        }
    }
}

impl From<BadHello> for HandshakeFailure {
    fn from(bad: BadHello) -> Self {
        let kind = match bad {
            BadHello::NotTls => FailureKind::NotTls,
            _ => FailureKind::Protocol,
        };
        Self::new(kind, &bad.to_string())
    }
}

/// A fatal alert in the clear (RFC 8446 section 6), and the end. Whether it arrives changes nothing.
async fn alert<S: AsyncWrite + Unpin>(stream: &mut S, description: u8) {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    _ = stream.write_all(&[ALERT, 3, 1, 0, 2, FATAL, description]).await;
    _ = stream.shutdown().await;
}
