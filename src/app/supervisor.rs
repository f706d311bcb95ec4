//! What the service manager that started us is told: sd_notify(3). Without one nothing is said.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::admin::protocol::Response;
use crate::model::human;

use super::running::Running;

const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// How often the line of `systemctl status` is brought up to date, and the watchdog told.
const PULSE: Duration = Duration::from_secs(30);
/// A watchdog hears from us twice in its time, in case one is late.
const PINGS_IN_TIME: u32 = 2;
const PULSE_MIN: Duration = Duration::from_millis(10);
/// A manager that does not read must not stop the daemon.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The way to the service manager.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: Option<OsString>,
    /// How long it waits for a sign of life.
    patience: Option<Duration>,
}

impl Supervisor {
    pub(super) fn of_environment() -> Self {
        Self { socket: std::env::var_os(NOTIFY_SOCKET), patience: sd_notify::watchdog_enabled() }
    }

    /// When to call [`Supervisor::alive`].
    pub(super) fn pulse(&self) -> Interval {
        let own = self.patience.map_or(PULSE, |patience| PULSE.min(patience / PINGS_IN_TIME));
        let mut pulse = interval(own.max(PULSE_MIN));
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pulse
    }

    /// Everything listens.
    pub(super) fn ready(&self, running: &Running) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&standing(running))]);
    }

    /// The loop that all signals come to has turned, and no part of the daemon has ended.
    pub(super) fn alive(&self, running: &Running) {
        let status = standing(running);
        let ping = self.patience.map(|_| NotifyState::Watchdog);
        self.tell(&[Some(NotifyState::Status(&status)), ping].into_iter().flatten().collect::<Vec<_>>());
    }

    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the service manager was not told of the reload"),
        }
    }

    /// A reload has come to its end, for good or ill.
    pub(super) fn reloaded(&self, running: &Running, response: &Response) {
        match response {
            Response::NotReloaded { .. } => {
                let status = "Not reloaded: the configuration has errors, and the one before stays in force";
                self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
            }
            _ => self.ready(running),
        }
    }

    pub(super) fn stopping(&self) {
        let status = "Stopping: sessions and deliveries come to their end";
        self.tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let text: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = send(socket, &text) {
            tracing::warn!(%error, "the service manager could not be told how the daemon does");
        }
    }
}

/// A name that begins with `@` is one of the abstract namespace.
fn send(socket: &OsString, text: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(SEND_TIMEOUT))?;
    sender.send_to_addr(text.as_bytes(), &address).map(drop)
}

/// One line for people.
fn standing(running: &Running) -> String {
    let spool = running.spool();
    match spool.admission() {
        Ok(()) => format!("Takes mail; {} in the queue", human::count(spool.message_count(), "message")),
        Err(fault) => format!("Takes no mail: {fault}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_us_by_either_kind_of_name_and_one_that_does_not_read_costs_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("gatepost-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (manager, socket) in [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}").into()),
        ] {
            let supervisor = Supervisor { socket: Some(socket.clone()), patience: None };
            supervisor.stopping();
            let mut told = [0; 256];
            let length = manager.recv(&mut told).unwrap();
            assert!(told[..length].starts_with(b"STOPPING=1\nSTATUS=Stopping: "), "{told:?}");
            // The kernel keeps some; the first that it does not keep is given up.
            let refused = (0..100_000).find_map(|_| send(&socket, "STATUS=x\n").err());
            assert_eq!(refused.unwrap().kind(), io::ErrorKind::WouldBlock);
        }
        assert!(send(&folder.path().join("nobody").into(), "READY=1\n").is_err());
    }
}
