//! The port for Prometheus and health checks: `/metrics`, `/healthz`, `/readyz`, nothing else and nothing that changes.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::http;

/// What the pages show.
#[derive(Clone)]
pub struct Page {
    /// The exposition text.
    pub metrics: Arc<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>,
    /// `Err` says why mail is not accepted.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, page: Page) {
    http::serve(listener, router(page), || None).await;
}

fn router(page: Page) -> Router {
    let Page { metrics, ready } = page;
    let metrics = move || async move {
        match metrics() {
            Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
        }
    };
    let ready = move || async move {
        match ready() {
            Ok(()) => "ready\n".into_response(),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
        }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
}
