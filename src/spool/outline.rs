//! What planning and listings need of a queued message. The whole envelope stays on disk.

use std::net::IpAddr;

use serde::Deserialize;

use crate::model::address::{Address, ReversePath};
use crate::model::envelope::{Envelope, Origin, Recipient, Sender, Trust};
use crate::model::id::{MessageId, SessionId};
use crate::model::time::Timestamp;

use super::entry::BodyFile;
use super::index::Stored;
use super::state::RecipientState;

/// A queued message as it is known without a look at the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    pub id: MessageId,
    pub received_at: Timestamp,
    /// Octets of header and body.
    pub size: u64,
    pub sender: ReversePath,
    /// In the order of the envelope.
    pub recipients: Vec<Address>,
    /// The client that brought it, if a client did.
    pub client: Option<IpAddr>,
    pub trust: Trust,
    /// It carries a TLS report of ours.
    pub tls_report: bool,
    /// One for each recipient.
    pub states: Vec<RecipientState>,
}

impl Outline {
    /// Of an envelope, with no states yet.
    pub(super) fn of(envelope: &Envelope) -> Self {
        Self {
            id: envelope.id,
            received_at: envelope.received_at,
            size: envelope.size,
            sender: envelope.sender.path.clone(),
            recipients: envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
            client: envelope.origin.ip,
            trust: envelope.origin.trust,
            tls_report: envelope.tls_report,
            states: Vec::new(),
        }
    }

    /// An envelope of what is known here, to show where the stored one cannot be read.
    pub fn stand_in(&self) -> Envelope {
        let origin = Origin {
            session: SessionId::from_u128(0),
            listener: String::new(),
            ip: self.client,
            port: 0,
            helo: String::new(),
            trust: self.trust,
            tls: None,
        };
        Envelope {
            id: self.id,
            received_at: self.received_at,
            sender: Sender::plain(self.sender.clone()),
            recipients: self.recipients.iter().cloned().map(Recipient::plain).collect(),
            origin,
            size: self.size,
            eight_bit: false,
            tls_required_no: false,
            tls_report: self.tls_report,
        }
    }
}

impl Stored {
    pub fn outline(&self) -> Outline {
        Outline { states: self.states.clone(), ..Outline::of(&self.envelope) }
    }
}

/// The part of a message's metadata that the index wants. All else is passed over, which is quicker than to read it.
#[derive(Debug, Deserialize)]
pub(super) struct MetaSketch {
    envelope: EnvelopeSketch,
    #[serde(default)]
    file: Option<BodyFile>,
    #[serde(default)]
    states: Vec<RecipientState>,
}

#[derive(Debug, Deserialize)]
struct EnvelopeSketch {
    id: MessageId,
    received_at: Timestamp,
    sender: SenderSketch,
    recipients: Vec<RecipientSketch>,
    origin: OriginSketch,
    size: u64,
    #[serde(default)]
    tls_report: bool,
}

#[derive(Debug, Deserialize)]
struct SenderSketch {
    path: ReversePath,
}

#[derive(Debug, Deserialize)]
struct RecipientSketch {
    address: Address,
}

#[derive(Debug, Deserialize)]
struct OriginSketch {
    #[serde(default)]
    ip: Option<IpAddr>,
    trust: Trust,
}

impl MetaSketch {
    /// The outline with the states that were written with it, none for a new message, and the file of the content.
    pub(super) fn read(meta: &[u8]) -> serde_json::Result<(Outline, Option<BodyFile>)> {
        let Self { envelope, file, states } = serde_json::from_slice(meta)?;
        let EnvelopeSketch { id, received_at, sender, recipients, origin, size, tls_report } = envelope;
        let recipients = recipients.into_iter().map(|recipient| recipient.address).collect();
        let OriginSketch { ip: client, trust } = origin;
        let sender = sender.path;
        Ok((Outline { id, received_at, size, sender, recipients, client, trust, tls_report, states }, file))
    }
}
