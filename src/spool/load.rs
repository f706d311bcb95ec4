//! A queued message as a whole: from memory while it is there, else read back from the journal and checked.

use std::io;
use std::sync::Arc;

use crate::journal::ReadError;
use crate::model::envelope::Envelope;
use crate::model::id::MessageId;

use super::entry::MessageMeta;
use super::index::{Found, Stored};
use super::packed::Lies;
use super::{Spool, lock};

/// Why a message that is in the queue cannot be had whole. Its outline can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are not those that were stored. Trying again does not help.
    #[error("the stored envelope is damaged")]
    Damaged,
    #[error("the stored envelope cannot be read: {0}")]
    Io(io::ErrorKind),
}

impl Spool {
    /// A message with the state of its recipients; `None` if it is not here (any more). May read the disk.
    pub async fn load(&self, id: MessageId) -> Result<Option<Stored>, LoadError> {
        loop {
            let Some(lies) = self.locate(id) else { return Ok(None) };
            let lies = match lies {
                Found::InMemory(stored) => return Ok(Some(stored)),
                Found::OnDisk(lies) => lies,
            };
            let spool = self.clone();
            let read = tokio::task::spawn_blocking(move || spool.read_envelope(id, &lies));
            let read = read.await.unwrap_or(Err(LoadError::Io(io::ErrorKind::Other)));
            // What it lay in may have been removed meanwhile, because it is finished or lies elsewhere now.
            let index = lock(&self.shared.index);
            match (index.find(id), index.states(id)) {
                (Some(Found::OnDisk(now)), Some(states)) if now == lies => {
                    let stored = |envelope| Some(Stored { envelope, states, place: lies.place, cached: None });
                    return read.map(stored);
                }
                (Some(_), _) => {}
                (None, _) => return Ok(None),
            }
        }
    }

    /// A message as far as it is known: where its envelope cannot be read, what the outline has of it. For what an
    /// operator wants to see or to end, never to be delivered.
    pub async fn load_known(&self, id: MessageId) -> Option<Stored> {
        match self.load(id).await {
            Ok(found) => found,
            Err(_) => {
                let index = lock(&self.shared.index);
                let (outline, lies) = (index.outline(id)?, index.lies(id)?);
                let envelope = Arc::new(outline.stand_in());
                Some(Stored { envelope, states: outline.states, place: lies.place, cached: None })
            }
        }
    }

    fn locate(&self, id: MessageId) -> Option<Found> {
        lock(&self.shared.index).find(id)
    }

    fn read_envelope(&self, id: MessageId, lies: &Lies) -> Result<Arc<Envelope>, LoadError> {
        let meta = self.shared.journal.read_body(&lies.meta).map_err(|error| match error {
            ReadError::Gone | ReadError::Damaged => LoadError::Damaged,
            ReadError::Io(kind) => LoadError::Io(kind),
        })?;
        envelope_of(id, &meta).ok_or(LoadError::Damaged)
    }
}

/// The envelope of this message from its metadata.
pub(super) fn envelope_of(id: MessageId, meta: &[u8]) -> Option<Arc<Envelope>> {
    let meta: MessageMeta = serde_json::from_slice(meta).ok()?;
    Some(meta.envelope).filter(|envelope| envelope.id == id)
}
