//! All jobs by the number that the caller gave, in pages, so that growth copies nothing and numbers that stand close
//! together, as those of a long queue do, cost little more than the jobs themselves.

use std::collections::BTreeMap;

use super::job::{Entry, JobId};

/// Numbers on a page.
const PAGE: u64 = 256;

#[derive(Debug, Default)]
pub(super) struct Pages {
    pages: BTreeMap<u64, Page>,
}

#[derive(Debug)]
struct Page {
    used: usize,
    entries: Vec<Option<Entry>>,
}

impl Pages {
    /// False if the number is taken; then nothing changes.
    pub(super) fn insert(&mut self, id: JobId, entry: Entry) -> bool {
        let page = self.pages.entry(id.0 / PAGE).or_insert_with(Page::new);
        let Some(slot) = page.entries.get_mut(place(id)).filter(|slot| slot.is_none()) else { return false };
        *slot = Some(entry);
        page.used += 1;
        true
    }

    pub(super) fn get(&self, id: JobId) -> Option<&Entry> {
        self.pages.get(&(id.0 / PAGE))?.entries.get(place(id))?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: JobId) -> Option<&mut Entry> {
        self.pages.get_mut(&(id.0 / PAGE))?.entries.get_mut(place(id))?.as_mut()
    }

    pub(super) fn remove(&mut self, id: JobId) {
        let Some(page) = self.pages.get_mut(&(id.0 / PAGE)) else { return };
        let taken = page.entries.get_mut(place(id)).and_then(Option::take);
        page.used -= usize::from(taken.is_some());
        if page.used == 0 {
            self.pages.remove(&(id.0 / PAGE));
        }
    }
}

impl Page {
    fn new() -> Self {
        Self { used: 0, entries: (0..PAGE).map(|_| None).collect() }
    }
}

fn place(id: JobId) -> usize {
    usize::try_from(id.0 % PAGE).unwrap_or(usize::MAX)
}
