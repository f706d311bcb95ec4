//! Checkpoints sent elsewhere: a file, a syslog, a webhook. What is kept there is what makes the log strong against
//! whoever rules this host.
//!
//! Each destination has a task of its own, so that none waits for another. Nothing here holds up mail or the log.

mod file;
mod report;
mod syslog;
mod tray;
pub(crate) mod webhook;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::clock;
use crate::model::destination::{SyslogTarget, WebhookUrl};
use crate::model::time::Timestamp;

pub use self::report::{Report, Standing};
use self::tray::{News, Tray, Wants};
pub use self::tray::{Shipment, Trouble};

/// For one datagram or one request, from the look-up of the name to the answer.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Where checkpoints go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Gets every checkpoint; the others get the newest.
    File(PathBuf),
    Syslog(SyslogTarget),
    Webhook(WebhookUrl),
}

impl Destination {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Syslog(_) => "syslog",
            Self::Webhook(_) => "webhook",
        }
    }

    const fn wants(&self) -> Wants {
        match self {
            Self::File(_) => Wants::Every,
            Self::Syslog(_) | Self::Webhook(_) => Wants::Newest,
        }
    }
}

/// Without what may be a secret.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Syslog(target) => target.fmt(f),
            Self::Webhook(url) => url.fmt(f),
        }
    }
}

/// Why a checkpoint did not arrive. Nobody's fault here; each is tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("{0}")]
    Io(String),
    #[error("no answer in time")]
    Timeout,
    #[error("the name has no address")]
    NoAddress,
    #[error("HTTP: {0}")]
    Http(String),
    #[error("it answers with status {0}")]
    Status(u16),
}

impl SendError {
    fn http(error: impl fmt::Display) -> Self {
        Self::Http(error.to_string())
    }
}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// What the senders say about themselves and trust.
#[derive(Clone, Debug)]
pub struct Sender {
    /// In syslog.
    pub hostname: Arc<str>,
    /// Of webhooks with TLS: must verify the server.
    pub tls: Arc<ClientConfig>,
    /// Usually [`SEND_TIMEOUT`].
    pub timeout: Duration,
}

/// The way to the destinations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shipper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sender: Sender,
    state: Mutex<State>,
    /// The destinations have changed.
    changed: Notify,
    /// A try has ended.
    settled: Notify,
    started: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Shipment>,
    slots: Vec<Arc<Slot>>,
}

/// One destination.
#[derive(Debug)]
struct Slot {
    destination: Destination,
    tray: Mutex<Tray>,
    /// Something was put into the tray.
    bell: Notify,
    since: Timestamp,
}

impl Slot {
    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shipper {
    /// Nothing is sent before [`Self::run`] is polled; what is put before waits.
    pub fn new(sender: Sender, destinations: Vec<Destination>) -> Self {
        let (state, changed, settled) = (Mutex::default(), Notify::new(), Notify::new());
        let shipper = Self(Arc::new(Shared { sender, state, changed, settled, started: clock::timestamp() }));
        shipper.configure(destinations);
        shipper
    }

    /// Takes a checkpoint that is durable in the log. Never blocks for long.
    pub fn put(&self, shipment: &Shipment) {
        let mut state = self.state();
        state.newest = Some(shipment.clone());
        for slot in &state.slots {
            slot.tray().put(shipment.clone());
            slot.bell.notify_one();
        }
    }

    /// Replaces the destinations. One that stays keeps what waits for it; a new one gets the newest checkpoint.
    pub fn configure(&self, destinations: Vec<Destination>) {
        let mut state = self.state();
        let slots = destinations.into_iter().map(|destination| {
            let known = state.slots.iter().find(|slot| slot.destination == destination);
            known.cloned().unwrap_or_else(|| {
                let mut tray = Tray::new(destination.wants());
                state.newest.iter().for_each(|newest| tray.put(newest.clone()));
                Arc::new(Slot { destination, tray: Mutex::new(tray), bell: Notify::new(), since: clock::timestamp() })
            })
        });
        state.slots = slots.collect();
        self.0.changed.notify_one();
    }

    /// Sends until it is dropped.
    pub async fn run(self) {
        let mut tasks = JoinSet::new();
        let mut running: Vec<(Arc<Slot>, AbortHandle)> = Vec::new();
        loop {
            let wanted = self.state().slots.clone();
            running.retain(|(slot, task)| {
                let stays = wanted.iter().any(|one| Arc::ptr_eq(one, slot)) && !task.is_finished();
                if !stays {
                    task.abort();
                }
                stays
            });
            for slot in wanted {
                if !running.iter().any(|(one, _)| Arc::ptr_eq(one, &slot)) {
                    let task = tasks.spawn(self.clone().serve(slot.clone()));
                    running.push((slot, task));
                }
            }
            tokio::select! {
                () = self.0.changed.notified() => {}
                // Aborted, or a fault of ours: it is started anew if it is still wanted.
                Some(_) = tasks.join_next() => {}
            }
        }
    }

    /// Returns when nothing waits any more, or nothing but what fails.
    pub async fn drained(&self) {
        loop {
            let settled = self.0.settled.notified();
            let is_idle = |slot: &Arc<Slot>| {
                let tray = slot.tray();
                tray.waiting() == 0 || tray.trouble().is_some()
            };
            if self.state().slots.iter().all(is_idle) {
                return;
            }
            settled.await;
        }
    }

    /// How the destinations stand.
    pub fn report(&self) -> Report {
        let state = self.state();
        let standings = state.slots.iter().map(|slot| Standing::of(&slot.destination, &slot.tray(), slot.since));
        Report {
            newest: state.newest.as_ref().map(|newest| (newest.seq, newest.time)),
            started: self.0.started,
            destinations: standings.collect(),
        }
    }

    async fn serve(self, slot: Arc<Slot>) {
        loop {
            let Some(shipment) = slot.tray().next() else {
                slot.bell.notified().await;
                continue;
            };
            let outcome = match &slot.destination {
                Destination::File(path) => self.append(&slot, path.clone(), &shipment).await,
                other => {
                    let sent = timeout(self.0.sender.timeout, self.send(other, &shipment)).await;
                    sent.unwrap_or(Err(SendError::Timeout))
                }
            };
            let pause = match outcome {
                Ok(()) => {
                    tell(&slot, slot.tray().sent(&shipment), "");
                    None
                }
                Err(error) => {
                    let error = error.to_string();
                    let (pause, news) = slot.tray().failed(error.clone(), clock::timestamp());
                    tell(&slot, news, &error);
                    Some(pause)
                }
            };
            self.0.settled.notify_waiters();
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }

    async fn send(&self, destination: &Destination, shipment: &Shipment) -> Result<(), SendError> {
        match destination {
            Destination::Syslog(target) => {
                let datagram = syslog::frame(&self.0.sender.hostname, std::process::id(), shipment);
                syslog::send(target, &datagram).await
            }
            Destination::Webhook(url) => webhook::post(url, &self.0.sender.tls, &shipment.line).await,
            Destination::File(_) => Ok(()),
        }
    }

    /// A disk far away may hang. It cannot be called off: it is told, and waited for, so that no line is there twice.
    async fn append(&self, slot: &Slot, path: PathBuf, shipment: &Shipment) -> Result<(), SendError> {
        let line = shipment.line.clone();
        let mut work = tokio::task::spawn_blocking(move || file::append(&path, &line));
        let ended = match timeout(self.0.sender.timeout, &mut work).await {
            Ok(ended) => ended,
            Err(_) => {
                let error = SendError::Timeout.to_string();
                let news = slot.tray().troubled(error.clone(), clock::timestamp());
                tell(slot, news, &error);
                work.await
            }
        };
        ended.map_err(io::Error::other)?.map_err(SendError::from)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Once when it begins and once when it ends.
fn tell(slot: &Slot, news: Option<News>, error: &str) {
    let (kind, destination) = (slot.destination.kind(), &slot.destination);
    match news {
        Some(News::Failed) => {
            tracing::error!(kind, %destination, error, "checkpoints of the audit log do not arrive; tried again")
        }
        Some(News::Recovered) => tracing::info!(kind, %destination, "checkpoints of the audit log arrive again"),
        None => {}
    }
}
