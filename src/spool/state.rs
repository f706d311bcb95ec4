//! How far each recipient of a message has come: values and their changes, as the journal keeps them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::actor::Actor;
use crate::model::id::MessageId;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

use super::holds::Held;

/// The last failed attempt, for `queue why` and for notices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAttempt {
    pub at: Timestamp,
    pub reason: Reason,
    /// The next hop that it failed at, if one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mx: Option<String>,
    /// The remote's reply or our own words, escaped and bounded.
    pub detail: String,
    /// Who asks for the TLS that was lacking: places in files, and the kinds of facts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_by: Vec<String>,
    /// The other hosts that it failed at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherHost>,
}

/// Why another host of the same attempt did not take the message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OtherHost {
    pub mx: String,
    pub reason: Reason,
    /// As of the attempt.
    pub detail: String,
}

/// How a recipient ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Settled {
    Delivered,
    Bounced,
    Expired,
    /// Failed, and nobody is to be told (null sender, or NOTIFY=NEVER).
    Dropped,
}

/// The state of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::large_enum_variant, reason = "most are pending, and few are alive at once")]
pub enum RecipientState {
    Pending(Pending),
    Settled(Settled),
}

/// A recipient that is still to be served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Finished attempts.
    #[serde(default)]
    pub attempts: u32,
    /// `None`: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastAttempt>,
    /// The sender has been told that it takes long.
    #[serde(default)]
    pub delay_notified: bool,
    /// The sender has been told that it waits for TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls_notified: bool,
    /// When the sender was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
    /// The first attempt at which TLS did not meet the policy, if none has met it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks_tls_since: Option<Timestamp>,
    /// The `[[route]]` that it goes by since TLS could not be met for too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The operator wants it to stay where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Arc<Held>>,
    /// The operator's choice of a way, as long as the policy lets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Arc<Via>>,
}

/// A `[[route]]` that the operator has chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Via {
    pub route: String,
    pub by: Actor,
    pub at: Timestamp,
}

impl RecipientState {
    pub fn pending(&self) -> Option<&Pending> {
        match self {
            Self::Pending(pending) => Some(pending),
            Self::Settled(_) => None,
        }
    }
}

impl Default for RecipientState {
    fn default() -> Self {
        Self::Pending(Pending::default())
    }
}

/// One new state for some recipients of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Places in the envelope's list of recipients.
    pub recipients: Vec<u32>,
    pub state: RecipientState,
}

/// What an attempt changed. When every recipient is settled, the message is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub message: MessageId,
    pub changes: Vec<Change>,
}

/// The states of some recipients, given by place, as one `Progress`; recipients in the same state together.
pub fn summary<'a>(message: MessageId, states: impl Iterator<Item = (u32, &'a RecipientState)>) -> Progress {
    let mut changes: Vec<Change> = Vec::new();
    for (place, state) in states {
        match changes.iter_mut().find(|change| change.state == *state) {
            Some(change) => change.recipients.push(place),
            None => changes.push(Change { recipients: vec![place], state: state.clone() }),
        }
    }
    Progress { message, changes }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies the changes to the states of a message; places that it does not have are ignored.
    fn apply(states: &mut [RecipientState], changes: &[Change]) {
        for change in changes {
            for place in &change.recipients {
                if let Some(state) = usize::try_from(*place).ok().and_then(|place| states.get_mut(place)) {
                    state.clone_from(&change.state);
                }
            }
        }
    }

    #[test]
    fn states_of_older_versions_are_read() {
        let text = r#"{"pending":{"attempts":2,"last":{"at":"2027-01-02T03:04:05.000000Z",
                       "reason":"certificate-expired","mx":"mx.b.example","detail":"d"},"delay_notified":true,
                       "lacks_tls_since":"2027-01-02T03:04:05.000000Z"}}"#;
        let state: RecipientState = serde_json::from_str(text).unwrap();
        let last = state.pending().unwrap().last.clone().unwrap();
        assert_eq!((last.reason, last.asked_by.len(), last.others.len()), (Reason::CertificateExpired, 0, 0));
        let pending = state.pending().unwrap();
        assert_eq!((pending.told_at, &pending.held, &pending.via), (None, &None, &None));
    }

    #[test]
    fn a_summary_restores_what_the_changes_made() {
        let delivered = RecipientState::Settled(Settled::Delivered);
        let deferred = RecipientState::Pending(Pending { attempts: 2, ..Pending::default() });
        let mut states = vec![RecipientState::default(); 4];
        apply(
            &mut states,
            &[
                Change { recipients: vec![0, 3, 99], state: delivered.clone() },
                Change { recipients: vec![1], state: deferred.clone() },
            ],
        );
        assert_eq!(states, [delivered.clone(), deferred, RecipientState::default(), delivered]);
        let mut restored = vec![RecipientState::default(); 4];
        let summary = summary(MessageId::from_u128(1), (0..).zip(&states));
        let json = serde_json::to_string(&summary).unwrap();
        apply(&mut restored, &serde_json::from_str::<Progress>(&json).unwrap().changes);
        assert_eq!(restored, states);
    }
}
