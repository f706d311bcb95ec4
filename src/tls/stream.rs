//! One byte stream to a peer, in plaintext or under TLS of either stack: a session is driven the same way before and
//! after STARTTLS.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::rewind::Rewind;

/// A connection under TLS, whichever side of it and whichever library.
#[derive(Debug)]
pub enum TlsStream<S> {
    RustlsServer(Box<server::TlsStream<Rewind<S>>>),
    RustlsClient(Box<client::TlsStream<S>>),
    #[cfg(feature = "legacy-tls")]
    OpensslServer(Box<tokio_openssl::SslStream<Rewind<S>>>),
    #[cfg(feature = "legacy-tls")]
    OpensslClient(Box<tokio_openssl::SslStream<S>>),
}

impl<S> TlsStream<S> {
    /// The stream below. To read or write there would break the TLS session.
    pub fn get_ref(&self) -> &S {
        match self {
            Self::RustlsServer(tls) => tls.get_ref().0.get_ref(),
            Self::RustlsClient(tls) => tls.get_ref().0,
            #[cfg(feature = "legacy-tls")]
            Self::OpensslServer(tls) => tls.get_ref().get_ref(),
            #[cfg(feature = "legacy-tls")]
            Self::OpensslClient(tls) => tls.get_ref(),
        }
    }

    fn has_unsent_answer(&self) -> bool {
        match self {
            Self::RustlsServer(tls) => tls.get_ref().1.wants_write(),
            Self::RustlsClient(tls) => tls.get_ref().1.wants_write(),
            #[cfg(feature = "legacy-tls")]
            Self::OpensslServer(_) | Self::OpensslClient(_) => false,
        }
    }
}

/// A connection and the layer that protects it.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(TlsStream<TcpStream>),
}

impl Stream {
    /// The socket below, for its addresses and options. To read or write there would break the TLS session.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref(),
        }
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().local_addr()
    }

    pub fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// The socket, to begin a handshake on it. `None` if it is under TLS already: nothing strips TLS from a connection.
    pub fn into_plain(self) -> Option<TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Tls(_) => None,
        }
    }
}

/// OpenSSL has one queue of errors for each thread, and takes what stands in it for the outcome of the next call, be it
/// of another session.
#[cfg(feature = "legacy-tls")]
fn forget_errors() {
    drop(openssl::error::ErrorStack::get());
}

/// Calls one method of the stream that is there.
macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            TlsStream::RustlsServer(inner) => {
                let $inner = inner.as_mut();
                $call
            }
            TlsStream::RustlsClient(inner) => {
                let $inner = inner.as_mut();
                $call
            }
            #[cfg(feature = "legacy-tls")]
            TlsStream::OpensslServer(inner) => {
                forget_errors();
                let $inner = inner.as_mut();
                $call
            }
            #[cfg(feature = "legacy-tls")]
            TlsStream::OpensslClient(inner) => {
                forget_errors();
                let $inner = inner.as_mut();
                $call
            }
        }
    };
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = each!(this, inner => Pin::new(inner).poll_read(cx, buf));
        // What rustls answers by itself (an alert to a renegotiation, a key update) goes out only with a write. An
        // error of it comes again with the next write.
        if this.has_unsent_answer() {
            _ = Pin::new(this).poll_flush(cx);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::RustlsServer(tls) => tls.is_write_vectored(),
            Self::RustlsClient(tls) => tls.is_write_vectored(),
            #[cfg(feature = "legacy-tls")]
            Self::OpensslServer(_) | Self::OpensslClient(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    async fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    async fn tls_pair() -> (Stream, Stream) {
        let certified = rcgen::generate_simple_self_signed(["mx.example".to_owned()]).unwrap();
        let certificate = certified.cert.der().clone();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(default_provider());
        let server =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let server = server.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let (near, far) = tcp_pair().await;
        let (near, far) = tokio::join!(
            TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("mx.example").unwrap(), near),
            TlsAcceptor::from(Arc::new(server)).accept(Rewind::new(Vec::new(), far)),
        );
        let near = TlsStream::RustlsClient(Box::new(near.unwrap()));
        let far = TlsStream::RustlsServer(Box::new(far.unwrap()));
        (Stream::Tls(near), Stream::Tls(far))
    }

    /// Says something in two pieces at once and ends; the other side gets all of it and then the end.
    async fn check_one_way(from: &mut Stream, to: &mut Stream) {
        assert!(from.is_write_vectored());
        let written = from.write_vectored(&[IoSlice::new(b"250-a\r\n"), IoSlice::new(b"250 b\r\n")]).await.unwrap();
        assert_eq!(written, 14);
        from.shutdown().await.unwrap();
        let mut heard = Vec::new();
        to.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"250-a\r\n250 b\r\n");
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_in_plaintext_and_under_tls() {
        let (near, far) = tcp_pair().await;
        for (mut near, mut far, tls) in [(Stream::Plain(near), Stream::Plain(far), false), {
            let (near, far) = tls_pair().await;
            (near, far, true)
        }] {
            assert_eq!(near.peer_addr().unwrap(), far.local_addr().unwrap());
            check_one_way(&mut near, &mut far).await;
            check_one_way(&mut far, &mut near).await;
            assert_eq!((near.is_tls(), far.is_tls()), (tls, tls));
            assert_eq!((near.into_plain().is_none(), far.into_plain().is_none()), (tls, tls));
        }
    }
}
