//! Replaying on two threads: one reads the journal, the other makes sense of what it reads.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::journal::{Location, Replayed};

use super::open::Replay;

/// Metadata is handed over in pieces of about this size, and so many of them may wait.
const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS_WAITING_MAX: usize = 8;

/// Entries in the order of the journal.
#[derive(Debug, Default)]
struct Chunk {
    /// The metadata of all of them.
    bytes: Vec<u8>,
    heads: Vec<Head>,
}

#[derive(Debug)]
struct Head {
    kind: u8,
    location: Location,
    meta_offset: u64,
    meta_bytes: usize,
    sequence: u64,
}

/// Where the thread that reads leaves what it has.
struct Feed {
    chunk: Chunk,
    sender: SyncSender<Chunk>,
}

/// Calls `read` with the function that takes each entry, and gives what it gave and the state that the entries tell.
pub(super) fn replaying<T>(read: impl FnOnce(&mut dyn FnMut(Replayed<'_>)) -> T) -> (T, Replay) {
    let (sender, receiver) = sync_channel(CHUNKS_WAITING_MAX);
    thread::scope(|scope| {
        let decoding = scope.spawn(move || decode(&receiver));
        let mut feed = Feed { chunk: Chunk::default(), sender };
        let read = read(&mut |replayed| feed.push(&replayed));
        feed.send();
        drop(feed);
        match decoding.join() {
            Ok(replay) => (read, replay),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn decode(chunks: &Receiver<Chunk>) -> Replay {
    let mut replay = Replay::default();
    for chunk in chunks {
        let mut rest: &[u8] = &chunk.bytes;
        for Head { kind, location, meta_offset, meta_bytes, sequence } in chunk.heads {
            let Some((meta, behind)) = rest.split_at_checked(meta_bytes) else { break };
            rest = behind;
            replay.entry(Replayed { kind, meta, location, meta_offset, sequence });
        }
    }
    replay
}

impl Feed {
    fn push(&mut self, replayed: &Replayed<'_>) {
        let Replayed { kind, meta, location, meta_offset, sequence } = *replayed;
        self.chunk.bytes.extend_from_slice(meta);
        self.chunk.heads.push(Head { kind, location, meta_offset, meta_bytes: meta.len(), sequence });
        if self.chunk.bytes.len() >= CHUNK_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        // Nobody listens only after a panic, which is passed on at the end.
        _ = self.sender.send(std::mem::take(&mut self.chunk));
    }
}
