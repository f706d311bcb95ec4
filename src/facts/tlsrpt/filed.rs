//! What became of one report, for each place that it goes to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::address::Address;
use crate::model::destination::WebhookUrl;
use crate::model::id::MessageId;
use crate::model::time::Timestamp;
use crate::policy::tlsrpt_record::ReportTarget;

/// How long after the first try a report is tried again (RFC 8460 section 5.5).
pub const TRIED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Between the tries; the last one repeats.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(4 * 60 * 60),
];

/// A report that was begun to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filed {
    /// When it was tried first.
    pub at: Timestamp,
    /// Empty if the domain asks for no reports any more, or in a way that nobody understands.
    pub targets: Vec<FiledTarget>,
}

/// One place that the report goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiledTarget {
    pub to: Place,
    pub state: TargetState,
}

/// A place as its URI names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    Mailto(Address),
    /// The whole URL.
    Https(String),
}

/// How far the report is on its way there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum TargetState {
    /// To be tried.
    Waiting {
        tries: u32,
        next: Timestamp,
        /// Why the last try failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// About to be put into the queue as this message. Found at a start, it tells that nobody knows whether it was.
    Queuing {
        message: MessageId,
        tries: u32,
    },
    /// Taken by the web server, or put into the queue.
    Sent {
        at: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<MessageId>,
    },
    GivenUp {
        at: Timestamp,
        error: String,
    },
}

impl Filed {
    pub fn new(at: Timestamp, targets: &[ReportTarget]) -> Self {
        let state = TargetState::Waiting { tries: 0, next: at, error: None };
        let target = |target: &ReportTarget| FiledTarget { to: Place::of(target), state: state.clone() };
        Self { at, targets: targets.iter().map(target).collect() }
    }

    /// Leaves it at the tries that were made.
    pub fn give_up_waiting(&mut self, now: Timestamp) {
        for target in &mut self.targets {
            if let TargetState::Waiting { error, .. } = &mut target.state {
                let error = error.take().unwrap_or_else(|| "it was not tried".to_owned());
                target.state = TargetState::GivenUp { at: now, error };
            }
        }
    }

    /// Whether nothing is left to try.
    pub fn is_done(&self) -> bool {
        self.targets.iter().all(|target| target.state.is_over())
    }
}

impl TargetState {
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Sent { .. } | Self::GivenUp { .. })
    }

    /// Whether it is to be tried at this moment.
    pub fn is_due(&self, now: Timestamp) -> bool {
        matches!(self, Self::Waiting { next, .. } if *next <= now)
    }

    pub const fn tries(&self) -> u32 {
        match self {
            Self::Waiting { tries, .. } | Self::Queuing { tries, .. } => *tries,
            Self::Sent { .. } | Self::GivenUp { .. } => 0,
        }
    }

    /// What follows on a failure: another try after a pause, or none when it has been tried for long enough since
    /// `first`.
    pub fn failed(&self, error: String, now: Timestamp, first: Timestamp) -> Self {
        let tries = self.tries() + 1;
        let pause = usize::try_from(tries - 1).ok().and_then(|place| PAUSES.get(place)).or(PAUSES.last());
        let next = now + pause.copied().unwrap_or_default();
        if next.saturating_since(first) > TRIED_FOR {
            return Self::GivenUp { at: now, error };
        }
        Self::Waiting { tries, next, error: Some(error) }
    }
}

impl Place {
    pub fn of(target: &ReportTarget) -> Self {
        match target {
            ReportTarget::Mail(address) => Self::Mailto(address.clone()),
            ReportTarget::Https(url) => Self::Https(url.whole()),
        }
    }

    /// `None` for a URL that this release does not read.
    pub fn target(&self) -> Option<ReportTarget> {
        match self {
            Self::Mailto(address) => Some(ReportTarget::Mail(address.clone())),
            Self::Https(url) => WebhookUrl::parse(url).ok().filter(WebhookUrl::tls).map(ReportTarget::Https),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailto(address) => write!(f, "mailto:{address}"),
            Self::Https(url) => f.write_str(url),
        }
    }
}
