//! HTTP over a bounded number of connections, each with a bounded time, with TLS or without.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 64;
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A whole connection, so that nobody holds a place for ever.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whose connection a request came by.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    address: IpAddr,
    stays: Arc<AtomicUsize>,
}

impl Caller {
    fn new(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), stays: Arc::default() }
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// While this lasts, the connection may last longer than others: what was asked for has its own end.
    pub(super) fn stay(&self) -> Stay {
        self.stays.fetch_add(1, Ordering::Relaxed);
        Stay(self.stays.clone())
    }

    fn stays(&self) -> bool {
        self.stays.load(Ordering::Relaxed) > 0
    }
}

/// A reason to keep a connection.
#[derive(Debug)]
pub(super) struct Stay(Arc<AtomicUsize>);

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves until it is dropped.
///
/// `tls` is asked for each connection; `None` is plain HTTP. Each request has its [`Caller`] as an extension.
pub(super) async fn serve(listener: TcpListener, router: Router, tls: impl Fn() -> Option<TlsAcceptor>) {
    let service = TowerToHyperService::new(router);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (service, tls) = (service.clone(), tls());
        connections.spawn(async move {
            let _permit = permit;
            let caller = Caller::new(peer.ip());
            let mut connection = std::pin::pin!(connection(stream, (service, caller.clone()), tls));
            // A client that breaks off harms only itself.
            while timeout(CONNECTION_TIMEOUT, &mut connection).await.is_err() && caller.stays() {}
        });
    }
}

type Serving = (TowerToHyperService<Router>, Caller);

async fn connection(stream: TcpStream, serving: Serving, tls: Option<TlsAcceptor>) {
    match tls {
        None => exchange(stream, serving).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                exchange(stream, serving).await;
            }
        }
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, (service, caller): Serving) {
    let with_caller = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        service.call(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), with_caller);
    _ = connection.await;
}
