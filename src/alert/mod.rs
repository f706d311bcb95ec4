//! L3: tells the administrator at once what cannot wait for somebody to look: by a webhook, and by a program of theirs.
//!
//! Each way has a bounded queue and a task of its own, so that neither waits for the other and nobody waits for them.
//! What does not arrive is tried again a few times, told in the log, and given up. What waits is lost with the process.
//!
//! Must not: decide what is worth an alert, or hold up mail.

mod command;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::audit::ship::{SendError, webhook};
use crate::model::destination::WebhookUrl;
use crate::model::domain::Domain;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

use command::CommandError;

/// Alerts that wait for one way. Further ones are given up: whoever gets so many knows enough.
pub const QUEUE_ALERTS_MAX: usize = 256;
/// For one request, from the look-up of the name to the answer.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// For one run of the program; then it is killed, with all that it has started.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Before the second and each later try; behind the last one the alert is given up.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(300)];

/// What somebody is told. Its JSON is the body of the webhook's POST and the standard input of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    pub alert: Subject,
    pub state: State,
    pub time: Timestamp,
    /// The relay that it comes from.
    pub node: Arc<str>,
    /// All of it in words.
    pub text: String,
    /// The recipient domain that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// The mail host that was connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mx: Option<String>,
    /// The level that holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Violations since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violations: Option<u64>,
    /// Destinations that have lost TLS, some of them by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<Domain>,
}

/// What it is about, as the audit log calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Subject {
    #[serde(rename = "learned.violation")]
    LearnedViolation,
    #[serde(rename = "path.interference")]
    PathInterference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Raised,
    /// It still lasts.
    Reminder,
    /// So many stand that further ones are not told.
    Crowded,
    Cleared,
}

impl Alert {
    /// With nothing but its head.
    pub fn new(alert: Subject, state: State, time: Timestamp, node: Arc<str>, text: String) -> Self {
        Self {
            alert,
            state,
            time,
            node,
            text,
            domain: None,
            mx: None,
            wanted: None,
            reason: None,
            since: None,
            violations: None,
            count: None,
            destinations: Vec::new(),
        }
    }
}

/// Where alerts go. Without any, nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    pub webhook: Option<WebhookUrl>,
    /// A program by its absolute path, and its arguments.
    pub command: Option<Vec<String>>,
}

/// The way to the administrator. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Alerts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ways: Mutex<Ways>,
    /// Of webhooks: must verify the server.
    tls: Arc<ClientConfig>,
    webhook: Queue,
    command: Queue,
    pauses: Vec<Duration>,
}

#[derive(Debug, Default)]
struct Queue {
    /// JSON.
    waiting: Mutex<VecDeque<Arc<str>>>,
    bell: Notify,
}

/// Why an alert did not arrive.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("webhook: {0}")]
    Webhook(#[from] SendError),
    #[error("command: {0}")]
    Command(#[from] CommandError),
}

impl Alerts {
    /// Nothing is told before [`Self::run`] is polled; what is put before waits.
    pub fn new(tls: Arc<ClientConfig>, ways: Ways) -> Self {
        Self::with_pauses(tls, ways, &PAUSES)
    }

    fn with_pauses(tls: Arc<ClientConfig>, ways: Ways, pauses: &[Duration]) -> Self {
        let (webhook, command, pauses) = (Queue::default(), Queue::default(), pauses.to_vec());
        Self(Arc::new(Shared { ways: Mutex::new(ways), tls, webhook, command, pauses }))
    }

    /// From now on alerts go there.
    pub fn configure(&self, ways: Ways) {
        *self.ways() = ways;
    }

    /// Never blocks.
    pub fn put(&self, alert: &Alert) {
        let ways = self.ways().clone();
        // Strings and numbers by names only: this cannot fail.
        let text: Arc<str> = serde_json::to_string(alert).unwrap_or_default().into();
        if ways.webhook.is_some() {
            self.0.webhook.put(text.clone(), "webhook");
        }
        if ways.command.is_some() {
            self.0.command.put(text, "command");
        }
    }

    /// Tells until it is dropped.
    pub async fn run(self) {
        let webhook = self.serve(&self.0.webhook, |text| self.post(text));
        let command = self.serve(&self.0.command, |text| self.start(text));
        tokio::join!(webhook, command);
    }

    async fn serve<F: Future<Output = Result<(), Lost>>>(&self, queue: &Queue, send: impl Fn(Arc<str>) -> F) {
        loop {
            let Some(text) = queue.take() else {
                queue.bell.notified().await;
                continue;
            };
            let mut pauses = self.0.pauses.iter();
            while let Err(error) = send(text.clone()).await {
                let Some(pause) = pauses.next() else {
                    tracing::error!(%error, alert = %text, "an alert did not arrive and is given up");
                    break;
                };
                tracing::warn!(%error, "an alert did not arrive; tried again");
                tokio::time::sleep(*pause).await;
            }
        }
    }

    async fn post(&self, text: Arc<str>) -> Result<(), Lost> {
        let Some(url) = self.ways().webhook.clone() else { return Ok(()) };
        let sent = timeout(WEBHOOK_TIMEOUT, webhook::post(&url, &self.0.tls, &text)).await;
        Ok(sent.unwrap_or(Err(SendError::Timeout))?)
    }

    async fn start(&self, text: Arc<str>) -> Result<(), Lost> {
        let Some(words) = self.ways().command.clone() else { return Ok(()) };
        Ok(command::run(&words, &text, COMMAND_TIMEOUT).await?)
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.0.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn put(&self, text: Arc<str>, way: &'static str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < QUEUE_ALERTS_MAX {
            waiting.push_back(text);
            self.bell.notify_one();
        } else {
            tracing::error!(way, alert = %text, "too many alerts wait: this one is given up");
        }
    }

    fn take(&self) -> Option<Arc<str>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}
