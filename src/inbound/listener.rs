//! Accepts connections: a permit first, then the client's share, then a session that is owned until it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::model::reason::Reason;
use crate::model::reply::{Code, EnhancedCode, Reply};
use crate::net::dial::set_nodelay;
use crate::net::listener::{accept_error_is_shortage, accept_error_is_transient};

use super::Inbound;
use super::clients::client_key;
use super::session::{self, Start};

/// How long accepting rests when the system has run out of something.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// One bound socket with what it serves.
#[derive(Debug)]
pub struct Serving {
    pub inbound: Arc<Inbound>,
    /// Name of the listener in the configuration.
    pub listener: Arc<str>,
    pub socket: TcpListener,
    /// The bound on connections of all listeners together.
    pub permits: Arc<Semaphore>,
    /// Turns true when no new connection is wanted.
    pub drain: watch::Receiver<bool>,
}

/// Serves until `drain` turns true and every session has ended.
pub async fn serve(mut serving: Serving) {
    let mut sessions = JoinSet::new();
    while !*serving.drain.borrow() {
        tokio::select! {
            accepted = accept(&serving.socket, &serving.permits) => {
                if let Some((tcp, address, permit)) = accepted {
                    admit(&serving, &mut sessions, tcp, address, permit);
                }
            }
            Some(ended) = sessions.join_next(), if !sessions.is_empty() => note(ended),
            _ = serving.drain.changed() => {}
        }
    }
    drop(serving.socket);
    while let Some(ended) = sessions.join_next().await {
        note(ended);
    }
}

/// A connection, once there is a permit for it.
async fn accept(
    socket: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.ok()?;
    match socket.accept().await {
        Ok((tcp, address)) => Some((tcp, address, permit)),
        Err(error) => {
            if accept_error_is_shortage(&error) || !accept_error_is_transient(&error) {
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(SHORTAGE_PAUSE).await;
            }
            None
        }
    }
}

fn admit(
    serving: &Serving,
    sessions: &mut JoinSet<()>,
    tcp: TcpStream,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let inbound = serving.inbound.clone();
    let snapshot = inbound.snapshot.load();
    let Some(listener) = snapshot.listeners.get(&serving.listener).cloned() else { return };
    _ = set_nodelay(&tcp);
    let max = if snapshot.trusts(address.ip()) { u32::MAX } else { snapshot.connections_per_client_max };
    let place = inbound.clients.enter(client_key(address.ip()), max);
    drop(snapshot);
    inbound.metrics.connection_opened(&listener.name);
    let drain = serving.drain.clone();
    sessions.spawn(async move {
        let _open = Open { inbound: inbound.clone(), listener: listener.name.clone(), _permit: permit };
        match place {
            Some(_place) => session::serve(Start { inbound, listener, tcp, address, drain }).await,
            None => {
                tracing::info!(client = %address.ip(), "too many connections");
                inbound.metrics.failures.refused(&listener.name, Reason::TooMany);
                let text = "Too many connections from your address; try again later";
                session::refuse(&listener, tcp, &Reply::new(Code::UNAVAILABLE, EnhancedCode::new(4, 7, 0), text)).await;
            }
        }
    });
}

/// Counts a connection down however its session ends.
struct Open {
    inbound: Arc<Inbound>,
    listener: Arc<str>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.inbound.metrics.connection_closed(&self.listener);
    }
}

/// A panic ends one session and no more; it is a bug to be heard of.
fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a session ended by a panic");
    }
}
