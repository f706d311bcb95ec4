//! What the spool writes to the journal, and how its metadata is encoded (JSON, see `docs/QUEUE_FORMAT.md`).

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::journal;
use crate::model::envelope::Envelope;
use crate::model::id::{MessageId, RecordId};
use crate::model::record::AuditEntry;

use super::NewMessage;
use super::brief::Brief;
use super::holds::Holds;
use super::intake::{Content, OrphanFile, Sealed};
use super::state::{Progress, RecipientState};

pub(super) const KIND_MESSAGE: u8 = 1;
pub(super) const KIND_PROGRESS: u8 = 2;
pub(super) const KIND_AUDIT: u8 = 3;
pub(super) const KIND_MARK: u8 = 4;
pub(super) const KIND_CARRIED: u8 = 5;
pub(super) const KIND_HOLDS: u8 = 8;

/// One entry of the journal.
#[derive(Debug)]
pub(super) enum Entry {
    Message(NewMessage),
    Progress(Progress),
    Audit(AuditEntry),
    Mark(Mark),
    Carried(Carried),
    Again(Again),
    Holds(Holds),
}

/// A message that was queued before: moved from another segment, or brought back from outside.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) meta: MessageMeta,
    /// Empty if it has a file of its own.
    pub(super) content: Vec<Bytes>,
    /// A file that no message names yet.
    pub(super) orphan: Option<OrphanFile>,
}

/// The audit log is durable up to and including this batch of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub sequence: u64,
    /// What the log wants to know at its next start.
    pub note: String,
}

/// Facts of a segment that is about to be removed, which messages of other segments still need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Carried {
    /// That segment. States that were written behind it are newer.
    pub(super) from: u64,
    /// Messages that are finished although their segment still exists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) finished: Vec<MessageId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) progress: Vec<Progress>,
}

/// The metadata of a message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MessageMeta {
    pub(super) envelope: Arc<Envelope>,
    /// The content has a file of its own; otherwise it is the entry's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<BodyFile>,
    /// States at the time of writing; absent for a new message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) states: Vec<RecipientState>,
}

/// The metadata of a new message as it is written. Whoever reads all of it does not need the brief.
#[derive(Debug, Serialize)]
struct NewMeta<'a> {
    /// Stands first.
    #[serde(skip_serializing_if = "Option::is_none")]
    brief: Option<String>,
    envelope: &'a Envelope,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<BodyFile>,
}

/// Content in a file of its own, named by the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BodyFile {
    pub(super) length: u64,
    pub(super) crc: u32,
}

/// An id with its quotes and comma in JSON.
const ID_JSON_BYTES: usize = 29;

impl Carried {
    /// The same in parts of about `bytes_max`: what a segment full of facts leaves behind is too much for one entry.
    pub(super) fn parts(self, bytes_max: usize) -> Vec<Self> {
        let from = self.from;
        let ids = self.finished.chunks((bytes_max / ID_JSON_BYTES).max(1));
        let mut parts: Vec<Self> = ids.map(|ids| Self { from, finished: ids.to_vec(), ..Self::default() }).collect();
        let mut bytes = usize::MAX;
        for Progress { message, changes } in self.progress {
            for change in changes {
                let progress = Progress { message, changes: vec![change] };
                let more = serde_json::to_vec(&progress).map_or(0, |json| json.len());
                bytes = bytes.saturating_add(more);
                match parts.last_mut() {
                    Some(part) if bytes <= bytes_max => part.progress.push(progress),
                    _ => {
                        bytes = more;
                        parts.push(Self { from, finished: Vec::new(), progress: vec![progress] });
                    }
                }
            }
        }
        parts
    }
}

impl Entry {
    /// The file that goes with the message, if it has one.
    pub(super) fn take_file(&mut self) -> Option<OrphanFile> {
        match self {
            Self::Message(message) => message.content.orphan.take(),
            Self::Again(again) => again.orphan.take(),
            _ => None,
        }
    }
}

impl journal::Entry for Entry {
    fn kind(&self) -> u8 {
        match self {
            Self::Message(_) | Self::Again(_) => KIND_MESSAGE,
            Self::Progress(_) => KIND_PROGRESS,
            Self::Audit(_) => KIND_AUDIT,
            Self::Mark(_) => KIND_MARK,
            Self::Carried(_) => KIND_CARRIED,
            Self::Holds(_) => KIND_HOLDS,
        }
    }

    fn encode_meta(&self, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail, and these types have no key that is no string.
        _ = match self {
            Self::Message(NewMessage { envelope, content: Sealed { content, .. } }) => {
                let file = match content {
                    Content::File(file) => Some(*file),
                    Content::Memory(_) => None,
                };
                // What says that the content is the body and that all are pending is that there is a brief.
                let brief = if file.is_none() { Brief::of(envelope).words() } else { None };
                serde_json::to_writer(out, &NewMeta { brief, envelope, file })
            }
            Self::Progress(progress) => serde_json::to_writer(out, progress),
            Self::Audit(entry) => {
                out.extend_from_slice(&entry.id.as_u128().to_be_bytes());
                Ok(())
            }
            Self::Mark(mark) => serde_json::to_writer(out, mark),
            Self::Carried(carried) => serde_json::to_writer(out, carried),
            Self::Again(again) => serde_json::to_writer(out, &again.meta),
            Self::Holds(holds) => serde_json::to_writer(out, holds),
        };
    }

    fn body(&self) -> Vec<Bytes> {
        match self {
            Self::Message(NewMessage { content: Sealed { content: Content::Memory(chunks), .. }, .. }) => {
                chunks.clone()
            }
            // The text lives as long as the entry; one copy here spares a restart from reading records as metadata.
            Self::Audit(entry) => vec![Bytes::copy_from_slice(entry.json.as_bytes())],
            Self::Again(again) => again.content.clone(),
            _ => Vec::new(),
        }
    }
}

/// The id of an audit entry from its metadata.
pub(super) fn record_id(meta: &[u8]) -> Option<RecordId> {
    meta.try_into().ok().map(u128::from_be_bytes).map(RecordId::from_u128)
}
