//! The server side of OpenSSL, for clients that rustls cannot serve: a context for each group of our certificates.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use openssl::bn::BigNum;
use openssl::dh::Dh;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslSessionCacheMode, SslVerifyMode,
};
use openssl::x509::X509;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_openssl::SslStream;

use crate::clock;
use crate::model::time::Instant;
use crate::tls::certificates::ServerCertificate;
use crate::tls::failure::{HandshakeFailure, SetupError};
use crate::tls::openssl::{self as shared, context, native};
use crate::tls::rewind::Rewind;
use crate::tls::store::{CertificateStore, Group};
use crate::tls::stream::TlsStream;

use super::modern::SESSIONS_MAX;
use super::{Accepted, ServerTlsOptions};

/// Keys of tickets are renewed after this time; tickets made with older ones lead to a full handshake.
const TICKET_KEYS_LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);
/// Sessions are for one listener; this tells OpenSSL that they need not be told apart further.
const SESSION_CONTEXT: &[u8] = b"gatepost";
/// The group of DHE before TLS 1.3 is the one of RFC 3526 with this size: smaller ones are within reach of attackers.
const DH_BITS: u32 = 2048;
const DH_GENERATOR: u32 = 2;

#[derive(Debug)]
pub(super) struct Legacy {
    store: Arc<CertificateStore>,
    options: ServerTlsOptions,
    current: ArcSwap<Contexts>,
    renewing: Mutex<()>,
}

#[derive(Debug)]
struct Contexts {
    made: Instant,
    /// By place of the group in the store.
    of_groups: Vec<Context>,
}

struct Context(SslContext);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

impl Legacy {
    pub(super) fn new(store: Arc<CertificateStore>, options: &ServerTlsOptions) -> Result<Self, SetupError> {
        let contexts = Contexts::new(&store, options)?;
        Ok(Self { store, options: options.clone(), current: ArcSwap::from_pointee(contexts), renewing: Mutex::new(()) })
    }

    /// Shakes hands with the certificates of one group.
    pub(super) async fn accept<S>(
        &self,
        stream: Rewind<S>,
        group: usize,
        sni: Option<&str>,
    ) -> Result<Accepted<S>, HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.renew_ticket_keys();
        let contexts = self.current.load_full();
        let context = contexts.of_groups.get(group).ok_or_else(HandshakeFailure::without_facts)?;
        let setup = |error: ErrorStack| HandshakeFailure::of_setup(&error.into());
        let ssl = Ssl::new(&context.0).map_err(setup)?;
        let mut stream = SslStream::new(ssl, stream).map_err(setup)?;
        Pin::new(&mut stream).accept().await.map_err(|error| shared::failure(&error))?;
        let ssl = stream.ssl();
        let mut facts = shared::facts(ssl, sni).ok_or_else(HandshakeFailure::without_facts)?;
        if facts.cipher.starts_with("TLS_DHE_") && !facts.resumed {
            facts.group = Some(format!("dh-{DH_BITS}"));
        }
        let (chain, signature) = (shared::peer_chain(ssl), shared::peer_signature(ssl));
        Ok(Accepted { stream: TlsStream::OpensslServer(Box::new(stream)), facts, chain, signature })
    }

    /// OpenSSL keeps the keys of its tickets as long as a context lives.
    fn renew_ticket_keys(&self) {
        let is_old = || clock::now().saturating_since(self.current.load().made) >= TICKET_KEYS_LIFETIME;
        if !is_old() {
            return;
        }
        // One does it, the others go on with what there is.
        let Ok(_renewing) = self.renewing.try_lock() else { return };
        if is_old()
            && let Ok(contexts) = Contexts::new(&self.store, &self.options)
        {
            self.current.store(Arc::new(contexts));
        }
    }
}

impl Contexts {
    fn new(store: &CertificateStore, options: &ServerTlsOptions) -> Result<Self, SetupError> {
        let context = |group: &Group| build(store, group, options).map(Context);
        let of_groups = store.groups().iter().map(context).collect::<Result<_, _>>()?;
        Ok(Self { made: clock::now(), of_groups })
    }
}

fn build(store: &CertificateStore, group: &Group, options: &ServerTlsOptions) -> Result<SslContext, SetupError> {
    let mut builder = context::builder(SslMethod::tls_server(), options.lowest)?;
    builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    let prime = BigNum::get_rfc3526_prime_2048()?;
    builder.set_tmp_dh(&*Dh::from_pqg(prime, None, BigNum::from_u32(DH_GENERATOR)?)?)?;
    builder.set_session_id_context(SESSION_CONTEXT)?;
    // All groups together have the bound. To OpenSSL 0 means none.
    let sessions_max = (SESSIONS_MAX / store.groups().len().max(1)).max(1);
    builder.set_session_cache_size(i32::try_from(sessions_max).unwrap_or(i32::MAX));
    if options.client_certificates.is_some() {
        // Asks for a certificate and does not insist.
        builder.set_verify(SslVerifyMode::PEER);
        // A resumed session proves nobody's key.
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        builder.set_options(SslOptions::NO_TICKET);
        builder.set_num_tickets(0)?;
    }
    let certificates: Vec<&ServerCertificate> =
        group.old.iter().filter_map(|place| store.certificates().get(*place)).collect();
    for certificate in &certificates {
        add(&mut builder, certificate)?;
    }
    staple(&mut builder, &certificates)?;
    Ok(builder.build())
}

/// One certificate for each kind of key; OpenSSL chooses by suite.
fn add(builder: &mut SslContextBuilder, certificate: &ServerCertificate) -> Result<(), ErrorStack> {
    let mut chain = certificate.chain().iter();
    if let Some(leaf) = chain.next() {
        builder.set_certificate(&*X509::from_der(leaf)?)?;
        builder.set_private_key(&*PKey::private_key_from_der(certificate.key_der().secret_der())?)?;
    }
    for issuer in chain {
        native::add_issuer(builder, &*X509::from_der(issuer)?)?;
    }
    Ok(())
}

fn staple(builder: &mut SslContextBuilder, certificates: &[&ServerCertificate]) -> Result<(), ErrorStack> {
    let response =
        |certificate: &&ServerCertificate| Some((certificate.chain().first()?.to_vec(), certificate.ocsp()?.to_vec()));
    let responses: Vec<(Vec<u8>, Vec<u8>)> = certificates.iter().filter_map(response).collect();
    if responses.is_empty() {
        return Ok(());
    }
    builder.set_status_callback(move |ssl: &mut SslRef| {
        let shown = ssl.certificate().and_then(|shown| shown.to_der().ok());
        match responses.iter().find(|(leaf, _)| Some(leaf) == shown.as_ref()) {
            Some((_, response)) => ssl.set_ocsp_status(response).map(|()| true),
            None => Ok(false),
        }
    })
}
