//! A webhook: each checkpoint, or alert, is the body of a POST. Redirects are not followed, the answer's body is not
//! read.

use std::sync::Arc;

use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::model::address::Host;
use crate::model::destination::WebhookUrl;

use super::SendError;

/// The head of the answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Success is any 2xx.
pub(crate) async fn post(url: &WebhookUrl, tls: &Arc<ClientConfig>, line: &str) -> Result<(), SendError> {
    let request = Request::post(url.target())
        .header(HOST, url.authority())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("gatepost/", env!("CARGO_PKG_VERSION")))
        .body(line.to_owned())
        .map_err(SendError::http)?;
    let stream = match url.host() {
        Host::Literal(ip) => TcpStream::connect((*ip, url.port())).await?,
        Host::Name(name) => TcpStream::connect((name.as_str(), url.port())).await?,
    };
    let status = if url.tls() {
        let name = match url.host() {
            Host::Literal(ip) => ServerName::from(*ip),
            Host::Name(name) => ServerName::try_from(name.as_str().to_owned()).map_err(|_| SendError::NoAddress)?,
        };
        exchange(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?, request).await?
    } else {
        exchange(stream, request).await?
    };
    if status.is_success() { Ok(()) } else { Err(SendError::Status(status.as_u16())) }
}

async fn exchange<S>(stream: S, request: Request<String>) -> Result<StatusCode, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(ANSWER_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(SendError::http)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It has handed out what came before it ended.
        _ = &mut connection => answer.await,
    };
    Ok(answer.map_err(SendError::http)?.status())
}
