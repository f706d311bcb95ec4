//! Servers of OpenSSL with narrow abilities, and odd certificates: what tests shake hands with.

use std::pin::Pin;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::dh::Dh;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslVerifyMode};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_openssl::SslStream;

use crate::model::tls::ProtocolVersion;

use super::client::Peer;
use super::failure::HandshakeFailure;
use super::openssl::{context, ssl_version};
use super::stream::TlsStream;

const PIPE_BYTES: usize = 64 * 1024;
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The kind of the server's certificate, all self-signed for `mx.example`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa(u32),
    /// X.509 version 1, RSA-2048.
    RsaV1,
    P256,
}

/// What a server can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OldServer {
    pub(crate) versions: (ProtocolVersion, ProtocolVersion),
    /// Before TLS 1.3; empty for all that there are.
    pub(crate) suites: &'static str,
    /// Empty for what OpenSSL offers.
    pub(crate) groups: &'static str,
    pub(crate) certificate: Kind,
    /// Size of the group of DHE suites before TLS 1.3.
    pub(crate) dh_bits: u32,
}

pub(crate) const ALL: OldServer = OldServer {
    versions: (ProtocolVersion::Ssl3, ProtocolVersion::Tls1_3),
    suites: "",
    groups: "",
    certificate: Kind::Rsa(2048),
    dh_bits: 2048,
};

impl OldServer {
    pub(crate) fn only(version: ProtocolVersion) -> Self {
        Self { versions: (version, version), ..ALL }
    }

    pub(crate) fn builder(&self) -> SslContextBuilder {
        let mut builder = context::builder(SslMethod::tls_server(), self.versions.0).unwrap();
        builder.set_max_proto_version(Some(ssl_version(self.versions.1))).unwrap();
        if !self.suites.is_empty() {
            builder.set_cipher_list(&format!("{}:@SECLEVEL=0", self.suites)).unwrap();
        }
        if !self.groups.is_empty() {
            builder.set_groups_list(self.groups).unwrap();
        }
        let dh = if self.dh_bits == 1024 { Dh::get_1024_160() } else { Dh::get_2048_256() };
        builder.set_tmp_dh(&dh.unwrap()).unwrap();
        let (certificate, key) = self_signed(self.certificate);
        builder.set_certificate(&certificate).unwrap();
        builder.set_private_key(&key).unwrap();
        builder.set_session_id_context(b"old").unwrap();
        builder
    }

    pub(crate) fn context(&self) -> SslContext {
        self.builder().build()
    }

    /// With a wish for a certificate of the client, any one.
    pub(crate) fn asking_for_a_certificate(&self) -> SslContext {
        let mut builder = self.builder();
        builder.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
        builder.build()
    }
}

/// Lets a client shake hands with a server and passes one byte, so that it also sees the tickets. Gives what the client
/// saw and the certificate that it showed.
pub(crate) async fn meet<F>(
    server: &SslContext,
    client: impl FnOnce(DuplexStream) -> F,
) -> (Result<Peer, HandshakeFailure>, Option<X509>)
where
    F: Future<Output = Result<(TlsStream<DuplexStream>, Peer), HandshakeFailure>>,
{
    let (near, far) = duplex(PIPE_BYTES);
    let mut accepting = SslStream::new(Ssl::new(server).unwrap(), far).unwrap();
    let serve = async {
        Pin::new(&mut accepting).accept().await.ok()?;
        accepting.write_all(b"!").await.ok()?;
        accepting.flush().await.ok()?;
        let shown = accepting.ssl().peer_certificate();
        _ = accepting.read(&mut [0]).await;
        // A session that is not closed in order is not resumed (RFC 2246 section 7.2.1), and OpenSSL keeps to that.
        _ = accepting.shutdown().await;
        shown
    };
    let visit = async {
        let (mut stream, peer) = client(near).await?;
        assert_eq!(stream.read_u8().await.unwrap(), b'!');
        stream.shutdown().await.unwrap();
        Ok(peer)
    };
    let (shown, met) = tokio::join!(serve, visit);
    (met, shown)
}

pub(crate) fn self_signed(kind: Kind) -> (X509, PKey<Private>) {
    let key = match kind {
        Kind::Rsa(bits) => PKey::from_rsa(Rsa::generate(bits).unwrap()),
        Kind::RsaV1 => PKey::from_rsa(Rsa::generate(2048).unwrap()),
        Kind::P256 => {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
            PKey::from_ec_key(EcKey::generate(&group).unwrap())
        }
    };
    let key = key.unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "mx.example").unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(if kind == Kind::RsaV1 { 0 } else { 2 }).unwrap();
    builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}
