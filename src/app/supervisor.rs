//! What the service manager that started us is told: sd_notify(3). Without one nothing is said.

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

/// The way to the service manager.
#[derive(Debug)]
pub(super) struct Supervisor {
    is_there: bool,
    /// How long it waits for a sign of life.
    patience: Option<Duration>,
}

impl Supervisor {
    pub(super) fn of_environment() -> Self {
        Self { is_there: std::env::var_os(NOTIFY_SOCKET).is_some(), patience: sd_notify::watchdog_enabled() }
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
        if !self.is_there {
            return;
        }
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, "the service manager could not be told how the daemon does");
        }
    }
}

/// One line for people.
fn standing(running: &Running) -> String {
    let spool = running.spool();
    match spool.admission() {
        Ok(()) => format!("Takes mail; {} in the queue", human::count(spool.message_count(), "message")),
        Err(fault) => format!("Takes no mail: {fault}"),
    }
}
