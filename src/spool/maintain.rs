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
    /// Segments that could not be removed, in words.
    pub problems: Vec<String>,
}

impl Spool {
    /// One round. To be called about once a second by one task only. File work is done off the runtime's threads.
    pub async fn maintain(&self) -> Maintenance {
        let mut done = Maintenance { free: self.look_at_space().await, ..Maintenance::default() };
        let budget = &self.shared.budget;
        lock(&self.shared.index).relieve(|| budget.is_tight());
        self.remove_dropped_files().await;
        self.remove_segments(&mut done).await;
        done
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
        let candidates = lock(&self.shared.index).removable(&self.shared.journal.segments());
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
        let (needed, mark) = {
            let index = lock(&self.shared.index);
            (index.needed_of(segment), index.mark_of(segment))
        };
        for part in needed.parts(self.shared.sizes.carried_bytes_max) {
            self.shared.journal.commit(vec![Entry::Carried(part)]).await?;
        }
        if let Some(mark) = mark {
            self.shared.journal.commit(vec![Entry::Mark(mark)]).await?;
        }
        Ok(())
    }
}
