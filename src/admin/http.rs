//! HTTP over a bounded number of connections, each with a bounded time, with TLS or without.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
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

/// Serves until it is dropped.
///
/// `tls` is asked for each connection; `None` is plain HTTP.
pub(super) async fn serve(listener: TcpListener, router: Router, tls: impl Fn() -> Option<TlsAcceptor>) {
    let service = TowerToHyperService::new(router);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (service, tls) = (service.clone(), tls());
        connections.spawn(async move {
            let _permit = permit;
            // A client that breaks off harms only itself.
            _ = timeout(CONNECTION_TIMEOUT, connection(stream, service, tls)).await;
        });
    }
}

async fn connection(stream: TcpStream, service: TowerToHyperService<Router>, tls: Option<TlsAcceptor>) {
    match tls {
        None => exchange(stream, service).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                exchange(stream, service).await;
            }
        }
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, service: TowerToHyperService<Router>) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    _ = connection.await;
}
