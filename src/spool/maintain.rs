//! What the spool needs done from time to time: space is looked at, memory relieved, segments and files are removed.

use std::sync::atomic::Ordering;

use crate::journal::RemoveError;

use super::entry::Entry;
use super::intake::body_path;
use super::{Fault, Spool, lock};

/// Segments removed in one round at most.
const REMOVALS_MAX: usize = 64;

/// Free space as last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSpace {
    pub bytes: u64,
    pub enough: bool,
}

/// What a round of maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintenance {
    pub free: Option<FreeSpace>,
    pub segments_removed: u64,
    /// Messages that were written anew, so that their segments can go.
    pub messages_moved: u64,
    /// Segments that could not be removed, in words.
    pub problems: Vec<String>,
}

impl Spool {
    /// One round. To be called about once a second by one task only. File work is done off the runtime's threads.
    pub async fn maintain(&self) -> Maintenance {
        let mut done = Maintenance { free: self.look_at_space().await, ..Maintenance::default() };
        let budget = &self.shared.budget;
        lock(&self.shared.index).relieve(|| budget.is_tight());
        let _round = self.shared.tidying.lock().await;
        if !self.is_still() {
            self.shared.journal.set_append_only(false);
            self.tidy(&mut done).await;
        }
        done
    }

    async fn tidy(&self, done: &mut Maintenance) {
        self.remove_dropped_files().await;
        match self.compact_some().await {
            Ok(moved) => done.messages_moved = moved,
            Err(fault) => done.problems.push(format!("messages could not be moved: {fault}")),
        }
        self.remove_segments(done).await;
    }

    async fn look_at_space(&self) -> Option<FreeSpace> {
        let shared = self.shared.clone();
        let bytes = tokio::task::spawn_blocking(move || shared.fs.free_bytes(&shared.bodies)).await.ok()?.ok()?;
        self.shared.free_bytes.store(bytes, Ordering::Relaxed);
        let enough = bytes >= self.shared.min_free_bytes;
        if enough {
            self.shared.full.store(false, Ordering::Relaxed);
        }
        Some(FreeSpace { bytes, enough })
    }

    async fn remove_dropped_files(&self) {
        let dropped = lock(&self.shared.index).take_dropped_files();
        if dropped.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        let removal = move || {
            for id in dropped {
                // What cannot be removed now is found and removed at the next start.
                _ = shared.fs.remove(&body_path(&shared.bodies, id));
            }
        };
        _ = tokio::task::spawn_blocking(removal).await;
    }

    async fn remove_segments(&self, done: &mut Maintenance) {
        let (candidates, mark) = {
            let index = lock(&self.shared.index);
            (index.removable(&self.shared.journal.segments()), index.mark_unwritten())
        };
        // Records go only when a start knows that the log has them. On a full disk room comes first.
        if let Some(mark) = mark.filter(|_| !candidates.is_empty()) {
            _ = self.shared.journal.commit(vec![Entry::Mark(mark)]).await;
        }
        for segment in candidates.into_iter().take(REMOVALS_MAX) {
            if let Err(fault) = self.carry_forward(segment).await {
                // Others may leave nothing behind, and make room on a full disk.
                done.problems.push(format!("segment {segment:016x}: {fault}"));
                continue;
            }
            let journal = self.shared.journal.clone();
            match tokio::task::spawn_blocking(move || journal.remove_segment(segment)).await {
                Ok(Ok(()) | Err(RemoveError::Unknown)) => {
                    lock(&self.shared.index).forget_segment(segment);
                    done.segments_removed += 1;
                }
                Ok(Err(error)) => done.problems.push(format!("segment {segment:016x}: {error}")),
                Err(_) => return,
            }
        }
    }

    /// Writes what other segments need of this one into the current one.
    async fn carry_forward(&self, segment: u64) -> Result<(), Fault> {
        let (needed, mark, holds) = {
            let index = lock(&self.shared.index);
            (index.needed_of(segment), index.mark_of(segment), index.holds_of(segment))
        };
        for part in needed.parts(self.shared.sizes.carried_bytes_max) {
            self.shared.journal.commit(vec![Entry::Carried(part)]).await?;
        }
        if let Some(mark) = mark {
            self.shared.journal.commit(vec![Entry::Mark(mark)]).await?;
        }
        if let Some(holds) = holds {
            self.shared.journal.commit(vec![Entry::Holds(holds)]).await?;
        }
        Ok(())
    }
}
