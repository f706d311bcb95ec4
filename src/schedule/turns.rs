//! Whose turn it is: sites take turns, and in a site its lanes.
//!
//! A turn is a number that grows for ever, so that the smallest is next. Whoever had a turn and has more to do takes
//! the next number.

use std::collections::BTreeMap;

use super::lane::{Lane, LaneId};
use super::site::{Site, SiteId, Way};

#[derive(Debug, Default)]
pub(super) struct Turns {
    last: u64,
    lanes: BTreeMap<(SiteId, u64), LaneId>,
    connecting: BTreeMap<u64, SiteId>,
    concluding: BTreeMap<u64, SiteId>,
}

impl Turns {
    /// Puts the lane into the round of its site or takes it out.
    pub(super) fn settle_lane(&mut self, site: &mut Site, id: LaneId, lane: &mut Lane, stands: bool) {
        match (stands, lane.turn) {
            (true, None) => {
                self.last += 1;
                self.lanes.insert((lane.site, self.last), id);
                lane.turn = Some(self.last);
                site.offers += 1;
            }
            (false, Some(turn)) => {
                self.lanes.remove(&(lane.site, turn));
                lane.turn = None;
                site.offers = site.offers.saturating_sub(1);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Puts the site into one of the rounds of sites or takes it out.
    pub(super) fn settle_site(&mut self, id: SiteId, site: &mut Site, way: Option<Way>) {
        if site.turn.map(|(way, _)| way) == way {
            return;
        }
        if let Some((before, turn)) = site.turn.take() {
            self.round(before).remove(&turn);
        }
        if let Some(way) = way {
            self.last += 1;
            let turn = self.last;
            self.round(way).insert(turn, id);
            site.turn = Some((way, turn));
        }
    }

    pub(super) fn next_site(&self, way: Way) -> Option<SiteId> {
        let round = match way {
            Way::Connect => &self.connecting,
            Way::Conclude => &self.concluding,
        };
        round.first_key_value().map(|(_, site)| *site)
    }

    pub(super) fn next_lane(&self, site: SiteId) -> Option<LaneId> {
        self.lanes.range((site, 0)..=(site, u64::MAX)).next().map(|(_, lane)| *lane)
    }

    const fn round(&mut self, way: Way) -> &mut BTreeMap<u64, SiteId> {
        match way {
            Way::Connect => &mut self.connecting,
            Way::Conclude => &mut self.concluding,
        }
    }
}
