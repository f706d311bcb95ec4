//! The control socket: reads one request, answers it, closes. Who asked is known by the kernel's word.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::model::actor::Actor;

use super::desk::{self, Desk};
use super::protocol::{REQUEST_BYTES_MAX, Request, Response};
use super::queue::steering::Asker;

const CONNECTIONS_MAX: usize = 32;
/// For each of: the request, and each line of the answer.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped.
pub async fn serve(listener: UnixListener, desk: Desk) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let desk = desk.clone();
        connections.spawn(async move {
            let _permit = permit;
            _ = exchange(stream, &desk).await;
        });
    }
}

async fn exchange(stream: UnixStream, desk: &Desk) -> std::io::Result<()> {
    let actor = Actor::Account(stream.peer_cred()?.uid());
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    timeout(EXCHANGE_TIMEOUT, (&mut stream).take(REQUEST_BYTES_MAX as u64).read_line(&mut line)).await??;
    let response = match serde_json::from_str::<Request>(&line) {
        Ok(request) => follow(&mut stream, desk, (request, actor)).await,
        Err(error) => Response::wrong(format!("this request is not understood: {error}")),
    };
    write(&mut stream, &response).await
}

async fn write(stream: &mut BufReader<UnixStream>, response: &Response) -> std::io::Result<()> {
    // Only maps with string keys and numbers: serialisation cannot fail.
    let mut text = serde_json::to_string(response).unwrap_or_default();
    text.push('\n');
    timeout(EXCHANGE_TIMEOUT, stream.write_all(text.as_bytes())).await??;
    stream.flush().await
}

/// Has it done, with a line now and then on how far it is. Ends early when nobody reads them any more.
async fn follow(stream: &mut BufReader<UnixStream>, desk: &Desk, (request, actor): (Request, Actor)) -> Response {
    let (progress, mut steps) = mpsc::channel(1);
    let mut work = std::pin::pin!(desk::answer(desk, request, Asker { actor, progress }));
    loop {
        tokio::select! {
            response = &mut work => return response,
            Some(step) = steps.recv() => {
                if write(stream, &Response::Walking(step.into())).await.is_err() {
                    steps.close();
                }
            }
        }
    }
}
