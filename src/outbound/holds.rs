//! The destinations that the operator holds, as each delivery asks for them.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Mutex;

use crate::model::domain::Domain;
use crate::model::record::AuditEntry;
use crate::model::time::Timestamp;
use crate::spool::holds::{DestinationHold, HOLDS_MAX, Held, HeldPlace, Holds};
use crate::spool::{Fault, Spool};

/// What is held now.
#[derive(Debug, Default)]
pub struct InForce {
    version: u64,
    domains: HashMap<Domain, Held>,
    routes: HashMap<String, Held>,
}

impl InForce {
    pub fn of(holds: Holds) -> Self {
        let mut table = Self { version: holds.version, ..Self::default() };
        for DestinationHold { place, held } in holds.list {
            match place {
                HeldPlace::Domain(domain) => table.domains.insert(domain, held),
                HeldPlace::Route(route) => table.routes.insert(route, held),
            };
        }
        table
    }

    /// The hold that keeps mail to this domain, by this route, from going out.
    pub fn catches(&self, domain: Option<&Domain>, route: Option<&str>) -> Option<&Held> {
        let by_domain = domain.and_then(|domain| self.domains.get(domain));
        by_domain.or_else(|| route.and_then(|route| self.routes.get(route)))
    }

    /// The same, with what is held.
    pub fn caught(&self, domain: Option<&Domain>, route: Option<&str>) -> Option<DestinationHold> {
        let by_domain = domain.map(|domain| HeldPlace::Domain(domain.clone()));
        let by_route = route.map(|route| HeldPlace::Route(route.to_owned()));
        let hold = |place: HeldPlace| Some(DestinationHold { held: self.find(&place)?.clone(), place });
        [by_domain, by_route].into_iter().flatten().find_map(hold)
    }

    pub fn count(&self) -> usize {
        self.domains.len() + self.routes.len()
    }

    /// In the order of their names, domains first.
    pub fn list(&self) -> Vec<DestinationHold> {
        let domains = self.domains.iter().map(|(domain, held)| (HeldPlace::Domain(domain.clone()), held));
        let routes = self.routes.iter().map(|(route, held)| (HeldPlace::Route(route.clone()), held));
        let hold = |(place, held): (HeldPlace, &Held)| DestinationHold { place, held: held.clone() };
        let mut list: Vec<DestinationHold> = domains.chain(routes).map(hold).collect();
        list.sort_by(|one, other| one.place.cmp(&other.place));
        list
    }

    pub fn find(&self, place: &HeldPlace) -> Option<&Held> {
        match place {
            HeldPlace::Domain(domain) => self.domains.get(domain),
            HeldPlace::Route(route) => self.routes.get(route),
        }
    }

    /// Those whose time is over.
    pub fn expired(&self, now: Timestamp) -> Vec<HeldPlace> {
        self.list().into_iter().filter(|hold| hold.is_over(now)).map(|hold| hold.place).collect()
    }
}

/// Why a hold is not put.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    #[error("{HOLDS_MAX} destinations are held already: release some")]
    TooMany,
    #[error("not done, because it could not be recorded: {0}")]
    Fault(#[from] Fault),
}

/// The holds in force, and their changes one after the other.
#[derive(Debug, Default)]
pub struct HoldTable {
    now: ArcSwap<InForce>,
    changing: Mutex<()>,
}

impl HoldTable {
    /// As the spool has kept them.
    pub fn new(spool: &Spool) -> Self {
        Self { now: ArcSwap::from_pointee(InForce::of(spool.holds())), changing: Mutex::new(()) }
    }

    pub fn load(&self) -> Guard<Arc<InForce>> {
        self.now.load()
    }

    /// Holds a destination, or holds it on other terms. It is durable when this returns, and nothing that is begun
    /// afterwards goes there.
    pub async fn put(&self, spool: &Spool, hold: DestinationHold, audit: Vec<AuditEntry>) -> Result<(), HoldError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut list = self.load().list();
        list.retain(|other| other.place != hold.place);
        if list.len() >= HOLDS_MAX {
            return Err(HoldError::TooMany);
        }
        list.push(hold);
        self.change(spool, list, audit).await
    }

    /// Ends the holds that are meant, as they are now. Gives how many there were; none: nothing is recorded.
    pub async fn end(
        &self,
        spool: &Spool,
        is_meant: impl Fn(&DestinationHold) -> bool,
        audit: Vec<AuditEntry>,
    ) -> Result<usize, HoldError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut list = self.load().list();
        let before = list.len();
        list.retain(|hold| !is_meant(hold));
        let ended = before - list.len();
        if ended > 0 {
            self.change(spool, list, audit).await?;
        }
        Ok(ended)
    }

    async fn change(&self, spool: &Spool, list: Vec<DestinationHold>, audit: Vec<AuditEntry>) -> Result<(), HoldError> {
        let holds = Holds { version: self.load().version + 1, list };
        spool.record_holds(holds.clone(), audit).await?;
        self.now.store(Arc::new(InForce::of(holds)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::actor::Actor;

    fn hold(place: HeldPlace, until: Option<i64>) -> DestinationHold {
        let until = until.map(Timestamp::from_secs);
        DestinationHold {
            place,
            held: Held { reason: None, until, by: Actor::Account(0), at: Timestamp::from_secs(1) },
        }
    }

    #[test]
    fn a_destination_is_held_by_its_domain_or_by_its_route() {
        let domain = |name| Domain::parse(name).unwrap();
        let list = vec![
            hold(HeldPlace::Route("escrow".into()), Some(10)),
            hold(HeldPlace::Domain(domain("bank.example")), None),
        ];
        let table = InForce::of(Holds { version: 1, list });
        for (name, route, expected) in [
            (Some("bank.example"), None, true),
            (Some("bank.example"), Some("smart"), true),
            (Some("www.bank.example"), None, false),
            (Some("other.example"), Some("escrow"), true),
            (Some("escrow"), None, false),
            (None, Some("escrow"), true),
            (None, None, false),
        ] {
            let name = name.map(domain);
            assert_eq!(table.catches(name.as_ref(), route).is_some(), expected, "{name:?} {route:?}");
            let held = table.caught(name.as_ref(), route).map(|hold| hold.held);
            assert_eq!(held.as_ref(), table.catches(name.as_ref(), route));
        }
        assert_eq!(table.expired(Timestamp::from_secs(9)), []);
        assert_eq!(table.expired(Timestamp::from_secs(10)), [HeldPlace::Route("escrow".into())]);
        assert_eq!(table.list().len(), table.count());
    }
}
