//! The client side of OpenSSL: reaches the servers that rustls has left behind and hands out their chains unjudged.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslSession, SslSessionCacheMode, SslVerifyMode,
};
use openssl_sys::SSL_OP_LEGACY_SERVER_CONNECT;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_openssl::SslStream;

use crate::clock;
use crate::model::cipher::CipherGrade;
use crate::model::domain::Domain;
use crate::model::tls::{ProtocolVersion, TlsFacts};
use crate::tls::failure::{HandshakeFailure, SetupError};
use crate::tls::openssl::{context, facts, failure, peer_chain, peer_signature, resume};
use crate::tls::peer::peer_certificate;
use crate::tls::stream::TlsStream;

use super::certificate::ClientCertificate;
use super::sessions::{Floor, Key, Sessions};
use super::{CertificateUse, ClientHandshake, Peer};

/// Reading SSL 3.0 takes an attacker in the middle a few hundred requests (POODLE), so it protects too little to be
/// worth its code: who can do no more is served in plaintext, where that is permitted.
const LOWEST: ProtocolVersion = ProtocolVersion::Tls1_0;
/// Without a post-quantum share the hello stays in one segment: some old servers cannot read one that does not.
const GROUPS: &str = "X25519:P-256:P-384:P-521:X448:ffdhe2048:ffdhe3072:ffdhe4096";

/// The most that a session takes with its ticket and the chain of the server.
const SESSION_BYTES_MAX: usize = 24 << 10;

/// The contexts and sessions of one identity of ours. Cheap to clone.
#[derive(Clone)]
pub(super) struct Contexts(Arc<Shared>);

struct Shared {
    certificate: Option<ClientCertificate>,
    /// Made when first wanted: one for each of four versions and four grades, and one more for old servers.
    contexts: Mutex<HashMap<Floor, SslContext>>,
    sessions: Arc<Mutex<Sessions<SslSession>>>,
}

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contexts").field("certificate", &self.0.certificate).finish_non_exhaustive()
    }
}

impl Contexts {
    pub(super) fn new(certificate: Option<ClientCertificate>) -> Self {
        let (contexts, sessions) = (Mutex::default(), Arc::default());
        Self(Arc::new(Shared { certificate, contexts, sessions }))
    }

    /// Shakes hands within the timeout, by the session of an earlier connection if there is one.
    pub(super) async fn connect<S>(
        &self,
        stream: S,
        handshake: ClientHandshake,
    ) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ssl = self.0.prepare(&handshake).map_err(|error| HandshakeFailure::of_setup(&error))?;
        let shake = Shake { ssl, server_name: handshake.server_name.as_ref(), timeout: handshake.timeout };
        let (stream, peer) = shake.run(stream).await?;
        // A session of TLS 1.2 and older may be used again and again; a new one comes by the callback.
        if peer.facts.resumed
            && peer.facts.version < ProtocolVersion::Tls1_3
            && let TlsStream::OpensslClient(stream) = &stream
        {
            keep(&self.0.sessions, stream.ssl(), stream.ssl().session().map(ToOwned::to_owned));
        }
        Ok((stream, peer))
    }
}

impl Shared {
    fn prepare(&self, handshake: &ClientHandshake) -> Result<Ssl, SetupError> {
        let floor = floor(handshake);
        let context = self.context(floor)?;
        let mut ssl = Ssl::new(&context)?;
        let resumes = handshake.certificate == CertificateUse::Ignored;
        if let Some(server_name) = handshake.server_name.clone().filter(|_| resumes) {
            let key = Key { floor, server_name, port: handshake.port };
            let session = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).take(&key, clock::now());
            if let Some(session) = session {
                resume(&mut ssl, &session)?;
            }
            ssl.set_ex_data(key_index()?, key);
        }
        Ok(ssl)
    }

    fn context(&self, floor: Floor) -> Result<SslContext, SetupError> {
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = contexts.get(&floor) {
            return Ok(context.clone());
        }
        let mut builder = builder(floor.version)?;
        builder.set_cipher_list(&context::cipher_list(floor.grade))?;
        if !floor.renegotiates_safely {
            builder.set_options(SslOptions::from_bits_retain(SSL_OP_LEGACY_SERVER_CONNECT));
        }
        if let Some(own) = &self.certificate {
            builder.set_certificate(&own.for_openssl.leaf)?;
            builder.set_private_key(&own.for_openssl.key)?;
            for intermediate in &own.for_openssl.intermediates {
                builder.add_extra_chain_cert(intermediate.clone())?;
            }
        }
        builder.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let sessions = self.sessions.clone();
        builder.set_new_session_callback(move |ssl, session| keep(&sessions, ssl, Some(session)));
        let context = builder.build();
        contexts.insert(floor, context.clone());
        Ok(context)
    }
}

/// The least to offer. Old servers are good enough only where nothing is asked for.
pub(super) fn floor(handshake: &ClientHandshake) -> Floor {
    let version = handshake.min_version.unwrap_or(LOWEST).max(LOWEST);
    let grade = handshake.min_grade;
    let asks = version > LOWEST || grade > CipherGrade::Any || handshake.certificate == CertificateUse::Required;
    Floor { version, grade, renegotiates_safely: asks }
}

/// Keeps a session of this connection. Connections that are not to be resumed have no key to keep it by.
fn keep(sessions: &Mutex<Sessions<SslSession>>, ssl: &SslRef, session: Option<SslSession>) {
    let key = key_index().ok().and_then(|index| ssl.ex_data(index)).cloned();
    if let (Some(key), Some(session)) = (key, session)
        && is_small(ssl, &session)
    {
        let lifetime = Duration::from_secs(u64::try_from(session.timeout()).unwrap_or(0));
        let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.put(key, session, lifetime, clock::now());
    }
}

/// A server chooses how much a session of it takes here; what is larger than any honest one is not kept.
fn is_small(ssl: &SslRef, session: &SslSession) -> bool {
    let chain = ssl.peer_cert_chain().into_iter().flatten();
    let chain_bytes: usize =
        chain.map(|one| one.to_der().map_or(usize::MAX, |der| der.len())).fold(0, usize::saturating_add);
    let session_bytes = session.to_der().map_or(usize::MAX, |der| der.len());
    chain_bytes.saturating_add(session_bytes) <= SESSION_BYTES_MAX
}

/// Where a connection carries the key of its sessions.
fn key_index() -> Result<Index<Ssl, Key>, ErrorStack> {
    static INDEX: OnceLock<Result<Index<Ssl, Key>, ErrorStack>> = OnceLock::new();
    INDEX.get_or_init(Ssl::new_ex_index).clone()
}

/// A context that offers all from `lowest` on.
pub(in crate::tls) fn builder(lowest: ProtocolVersion) -> Result<SslContextBuilder, SetupError> {
    let mut builder = context::builder(SslMethod::tls_client(), lowest)?;
    // Who the server is, is judged after the handshake; that it holds its key is proved in it.
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_groups_list(GROUPS)?;
    Ok(builder)
}

/// What one handshake is done with.
#[derive(Debug)]
pub(in crate::tls) struct Shake<'a> {
    /// Of a client context.
    pub(in crate::tls) ssl: Ssl,
    /// The name to ask for (SNI).
    pub(in crate::tls) server_name: Option<&'a Domain>,
    pub(in crate::tls) timeout: Duration,
}

impl Shake<'_> {
    pub(in crate::tls) async fn run<S>(mut self, stream: S) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(name) = self.server_name {
            self.ssl.set_hostname(name.as_str()).map_err(|error| HandshakeFailure::of_setup(&error.into()))?;
        }
        let stream = SslStream::new(self.ssl, stream).map_err(|error| HandshakeFailure::of_setup(&error.into()))?;
        let mut stream = Box::new(stream);
        match tokio::time::timeout(self.timeout, Pin::new(stream.as_mut()).connect()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(failure(&error)),
            Err(_) => return Err(HandshakeFailure::timeout(self.timeout)),
        }
        let peer = peer(stream.ssl(), self.server_name).ok_or_else(HandshakeFailure::without_facts)?;
        Ok((TlsStream::OpensslClient(stream), peer))
    }
}

fn peer(ssl: &SslRef, server_name: Option<&Domain>) -> Option<Peer> {
    let chain = peer_chain(ssl);
    let mut facts = facts(ssl, server_name.map(Domain::as_str))?;
    facts.group = facts.group.take().or_else(|| finite_field_group(ssl, &facts));
    facts.peer = chain.first().map(peer_certificate);
    if let Some(certificate) = &mut facts.peer {
        certificate.signature = peer_signature(ssl);
    }
    Some(Peer { facts, chain })
}

/// Before TLS 1.3 the server makes up the group of a DHE suite, and its size is all there is to tell. For other suites
/// the library may give the share of another exchange, so they are not asked for.
fn finite_field_group(ssl: &SslRef, facts: &TlsFacts) -> Option<String> {
    let is_dhe = facts.version < ProtocolVersion::Tls1_3 && facts.cipher.starts_with("TLS_DHE_");
    is_dhe.then(|| ssl.peer_tmp_key().ok())?.map(|key| format!("dh-{}", key.bits()))
}
