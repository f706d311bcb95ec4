//! The audit log as the demo reads it: the same file that an operator would look at, read again until it tells enough.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::audit::segments::segments;
use crate::model::reason::Reason;
use crate::model::tls::TlsFacts;

/// How often the log is looked at. Records of refusals and ends are written within a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// One record, as far as the demo shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) event: String,
    #[serde(default)]
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) from: Option<String>,
    #[serde(default)]
    pub(super) to: Vec<String>,
    #[serde(default)]
    pub(super) tls: Option<TlsFacts>,
    #[serde(default)]
    pub(super) policy: Option<PolicyEntry>,
    #[serde(default)]
    pub(super) reply: Option<String>,
    #[serde(default)]
    pub(super) detail: Option<String>,
    #[serde(default)]
    pub(super) mx: Option<String>,
    #[serde(default)]
    pub(super) remote: Option<String>,
    #[serde(default)]
    pub(super) requirement: Option<RequirementEntry>,
    #[serde(default)]
    pub(super) reason: Option<Reason>,
}

/// The verdict of the inbound policy.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PolicyEntry {
    pub(super) verdict: String,
    pub(super) rule: String,
    /// Of an acceptance: why the rule was not asked, if it was not.
    #[serde(default)]
    pub(super) because: Vec<String>,
}

/// What a delivery had to meet.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RequirementEntry {
    pub(super) tls: String,
    #[serde(default)]
    pub(super) min_version: Option<String>,
    #[serde(default)]
    pub(super) because: Vec<String>,
}

impl RequirementEntry {
    /// `domains.d/bank.toml:14`, where the level of TLS was written.
    pub(super) fn rule(&self) -> &str {
        let line = self.because.iter().find(|line| line.starts_with("tls = "));
        let place = line.and_then(|line| line.rsplit_once('(')).map(|(_, place)| place.trim_end_matches(')'));
        place.unwrap_or("built-in")
    }
}

/// The log's folder and when to stop waiting for it.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) folder: PathBuf,
    pub(super) deadline: Instant,
}

impl Ledger {
    /// Every complete record so far; a line that is being written is left out.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let files = segments(&self.folder).unwrap_or_default();
        let texts = files.iter().filter_map(|segment| std::fs::read_to_string(&segment.path).ok());
        texts
            .flat_map(|text| text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<_>>())
            .collect()
    }

    /// Looks until `is_enough`. `false`: the deadline came first.
    pub(super) async fn wait(&self, mut is_enough: impl FnMut(&[Entry]) -> bool) -> bool {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        while !is_enough(&self.entries()) {
            if timeout_at(self.deadline, look.tick()).await.is_err() {
                return false;
            }
        }
        true
    }
}
