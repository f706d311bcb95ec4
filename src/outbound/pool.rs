//! Idle connections that may carry another message, if they meet what that message requires.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::model::domain::Domain;
use crate::model::time::Instant;
use crate::policy::names::Fingerprint;

use super::session::Connection;

/// Idle connections in all, and to one host.
const IDLE_CONNECTIONS_MAX: usize = 500;
const IDLE_PER_HOST_MAX: usize = 50;
/// How long a connection may be idle before it is closed: servers close them, too.
const IDLE_TIME_MAX: Duration = Duration::from_secs(5);
/// Messages over one connection.
const MESSAGES_MAX: u32 = 500;

/// What must be the same for a connection to be looked at. Whether it is good enough is checked each time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) address: SocketAddr,
    /// The host's name: certificate and MTA-STS are judged by it.
    pub(super) name: Option<Domain>,
    /// The name that is asked for in the handshake: it may be the TLSA base domain.
    pub(super) sni: Option<Domain>,
    pub(super) source: Option<IpAddr>,
    pub(super) ehlo: Domain,
    /// The certificate of ours that the connection may have been opened with.
    pub(super) identity: Option<Fingerprint>,
    /// Who never uses TLS leaves plaintext behind, which others would have used TLS instead of.
    pub(super) permits_tls: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// The idle connections of the daemon.
#[derive(Debug, Default)]
pub struct Pool(Mutex<HashMap<Key, Vec<Idle>>>);

impl Pool {
    /// The connection that became idle last, if one is there and still alive.
    pub(super) fn take(&self, key: &Key) -> Option<Box<Connection>> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(key)?;
        let mut alive = std::iter::from_fn(|| connections.pop()).filter(|idle| !idle.connection.is_stale());
        let found = alive.next().map(|idle| idle.connection);
        if connections.is_empty() {
            idle.remove(key);
        }
        found
    }

    /// Keeps a connection for another message. Gives it back if there is no room or it has served enough.
    pub(super) fn put(&self, key: Key, connection: Box<Connection>) -> Result<(), Box<Connection>> {
        if connection.messages >= MESSAGES_MAX {
            return Err(connection);
        }
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.values().map(Vec::len).sum::<usize>() >= IDLE_CONNECTIONS_MAX {
            return Err(connection);
        }
        let connections = idle.entry(key).or_default();
        if connections.len() >= IDLE_PER_HOST_MAX {
            return Err(connection);
        }
        connections.push(Idle { connection, since: clock::now() });
        Ok(())
    }

    /// Takes out what has been idle for too long, or everything.
    fn expire(&self, everything: bool) -> Vec<Idle> {
        let now = clock::now();
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut expired = Vec::new();
        idle.retain(|_, connections| {
            let is_old = |idle: &mut Idle| everything || now.saturating_since(idle.since) >= IDLE_TIME_MAX;
            expired.extend(connections.extract_if(.., is_old));
            !connections.is_empty()
        });
        expired
    }

    /// Says QUIT on connections that have been idle for too long. To be called about once a second.
    pub async fn tidy(&self) {
        quit_all(self.expire(false)).await;
    }

    /// Says QUIT on all of them.
    pub async fn close(&self) {
        quit_all(self.expire(true)).await;
    }
}

async fn quit_all(expired: Vec<Idle>) {
    let mut quitting = tokio::task::JoinSet::new();
    for idle in expired {
        quitting.spawn(idle.connection.quit());
    }
    quitting.join_all().await;
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Idle connections of one host, told apart by the messages that they have carried, from 1 on. The hosts' ends of
    /// those that are alive.
    async fn idle(pool: &Pool, alive: &[bool]) -> (Key, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ehlo = Domain::parse("relay.example").unwrap();
        let key = Key { address, name: None, sni: None, source: None, ehlo, identity: None, permits_tls: true };
        let mut ends = Vec::new();
        for (messages, is_alive) in (1..).zip(alive) {
            let ours = TcpStream::connect(address).await.unwrap();
            let (end, _) = listener.accept().await.unwrap();
            if *is_alive {
                ends.push(end);
            } else {
                drop(end);
                ours.readable().await.unwrap();
            }
            assert!(pool.put(key.clone(), Connection::idle(ours, messages)).is_ok());
        }
        (key, ends)
    }

    async fn taken(alive: &[bool]) -> Vec<u32> {
        let pool = Pool::default();
        let (key, _ends) = idle(&pool, alive).await;
        std::iter::from_fn(|| pool.take(&key)).map(|connection| connection.messages).collect()
    }

    #[tokio::test]
    async fn taking_a_connection_leaves_the_other_idle_ones() {
        assert_eq!(taken(&[true; 4]).await, [4, 3, 2, 1]);
    }

    #[tokio::test]
    async fn a_connection_that_the_host_has_closed_is_passed_over_and_the_others_are_kept() {
        assert_eq!(taken(&[true, false, true, false]).await, [3, 1]);
    }
}
