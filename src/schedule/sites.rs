//! All sites: found by name and by number, with their lanes and alarms, and those that are remembered without a lane.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::lane::LaneId;
use super::moment::Moment;
use super::site::{Site, SiteId, SiteKey};
use super::slab::Slab;

/// How long a site without lanes is remembered, if there is something to remember.
pub(super) const SITE_KEPT: Duration = Duration::from_secs(15 * 60);
/// Sites without lanes that are remembered.
pub(super) const SITES_IDLE_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Sites {
    slab: Slab<Site>,
    by_key: BTreeMap<SiteKey, SiteId>,
    members: BTreeSet<(SiteId, LaneId)>,
    alarms: BTreeSet<(Moment, SiteId)>,
    /// Sites without lanes by the moment when they are forgotten.
    idle: BTreeSet<(Moment, SiteId)>,
}

impl Sites {
    pub(super) const fn new() -> Self {
        Self {
            slab: Slab::new(),
            by_key: BTreeMap::new(),
            members: BTreeSet::new(),
            alarms: BTreeSet::new(),
            idle: BTreeSet::new(),
        }
    }

    /// A site of one lane, of which nobody has told the name.
    pub(super) fn insert(&mut self, initial: u32) -> SiteId {
        SiteId(self.slab.insert(Site::new(None, initial)))
    }

    /// The site of this name, if it is known.
    pub(super) fn find(&self, key: &SiteKey) -> Option<SiteId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn insert_named(&mut self, key: &SiteKey, initial: u32) -> SiteId {
        let id = SiteId(self.slab.insert(Site::new(Some(key.clone()), initial)));
        self.by_key.insert(key.clone(), id);
        id
    }

    /// Names a site that has none; what it has learned is learned of this name.
    pub(super) fn name(&mut self, id: SiteId, key: &SiteKey) {
        if let Some(site) = self.slab.get_mut(id.0) {
            site.key = Some(key.clone());
            self.by_key.insert(key.clone(), id);
        }
    }

    pub(super) fn get(&self, id: SiteId) -> Option<&Site> {
        self.slab.get(id.0)
    }

    pub(super) fn get_mut(&mut self, id: SiteId) -> Option<&mut Site> {
        self.slab.get_mut(id.0)
    }

    /// Those with lanes: first by name, then those without a name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Site> {
        let named = self.by_key.values().filter_map(|id| self.get(*id)).filter(|site| site.lanes > 0);
        let nameless = self.members.iter().filter_map(|(id, _)| self.get(*id)).filter(|site| site.key.is_none());
        named.chain(nameless)
    }

    pub(super) fn lanes(&self, id: SiteId) -> Vec<LaneId> {
        self.members.range(all_of(id)).map(|(_, lane)| *lane).collect()
    }

    pub(super) fn join(&mut self, id: SiteId, lane: LaneId) {
        let Some(site) = self.slab.get_mut(id.0) else { return };
        site.lanes += 1;
        self.members.insert((id, lane));
        if let Some(until) = site.idle_until.take() {
            self.idle.remove(&(until, id));
        }
    }

    /// A lane leaves. A site without lanes goes, unless something of it is worth remembering.
    pub(super) fn part(&mut self, id: SiteId, lane: LaneId, now: Moment, initial: u32) {
        self.members.remove(&(id, lane));
        let Some(site) = self.slab.get_mut(id.0) else { return };
        site.lanes = site.lanes.saturating_sub(1);
        if site.lanes > 0 {
            return;
        }
        if site.is_worth_remembering(initial) {
            let until = now.after(SITE_KEPT);
            site.idle_until = Some(until);
            self.idle.insert((until, id));
            if self.idle.len() > SITES_IDLE_MAX
                && let Some((_, oldest)) = self.idle.pop_first()
            {
                self.remove(oldest);
            }
        } else {
            self.remove(id);
        }
    }

    /// Forgets the sites whose time without lanes is over.
    pub(super) fn forget(&mut self, now: Moment) {
        while let Some((_, id)) = self.idle.first().copied().filter(|(until, _)| *until <= now) {
            self.idle.pop_first();
            self.remove(id);
        }
    }

    /// Puts the site into the alarm list as its state says.
    pub(super) fn settle_alarm(&mut self, id: SiteId, now: Moment) {
        let Some(site) = self.slab.get_mut(id.0) else { return };
        let at = site.next_alarm(now).filter(|_| site.lanes > 0);
        if site.alarm == at {
            return;
        }
        if let Some(before) = site.alarm {
            self.alarms.remove(&(before, id));
        }
        if let Some(at) = at {
            self.alarms.insert((at, id));
        }
        site.alarm = at;
    }

    /// Takes a site out of the alarm list whose moment has come.
    pub(super) fn take_alarm(&mut self, now: Moment) -> Option<SiteId> {
        let (at, id) = *self.alarms.first().filter(|(at, _)| *at <= now)?;
        self.alarms.remove(&(at, id));
        self.slab.get_mut(id.0)?.alarm = None;
        Some(id)
    }

    pub(super) fn next_alarm(&self) -> Option<Moment> {
        self.alarms.first().map(|(at, _)| *at)
    }

    fn remove(&mut self, id: SiteId) {
        let Some(site) = self.slab.remove(id.0) else { return };
        if let Some(key) = site.key {
            self.by_key.remove(&key);
        }
        if let Some(at) = site.alarm {
            self.alarms.remove(&(at, id));
        }
    }
}

const fn all_of(site: SiteId) -> RangeInclusive<(SiteId, LaneId)> {
    (site, LaneId(0))..=(site, LaneId(u32::MAX))
}
