//! A look at mail hosts that take no mail while others do: without it nobody would know what they show, and a domain
//! with a backup host could never be held to what it has shown. Nothing is sent there.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::task::JoinSet;

use crate::clock;
use crate::model::domain::Domain;
use crate::outbound::targets::NextHost;

use super::{Attempt, Note};

/// Looks under way at once; further ones are left for a later delivery.
const LOOKS_AT_ONCE_MAX: usize = 4;
/// Hosts of one domain that are looked at.
const HOSTS_MAX: usize = 8;

/// The looks under way. They outlive the attempts that they come from, and end with the dispatcher.
#[derive(Debug, Default)]
pub struct Looks(Mutex<JoinSet<()>>);

impl Looks {
    /// Begins a look, if there is room for one.
    pub(super) fn begin(&self, look: impl Future<Output = ()> + Send + 'static) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while under_way.try_join_next().is_some() {}
        if under_way.len() < LOOKS_AT_ONCE_MAX {
            under_way.spawn(look);
        }
    }

    /// Breaks off all of them: nothing waits for what they find.
    pub(in crate::outbound) async fn end(&self) {
        let mut under_way = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        under_way.shutdown().await;
    }
}

/// What is to be looked at once the attempt has ended.
pub(super) struct Look {
    attempt: Attempt,
    hosts: Vec<NextHost>,
}

impl Attempt {
    /// What deliveries have shown too little of; `None` mostly.
    pub(super) fn look(&self) -> Option<Look> {
        let unseen: &[Domain] = self.unseen.get()?;
        let is_unseen = |host: &&NextHost| host.name.as_ref().is_some_and(|name| unseen.contains(name));
        let hosts = self.hosts.iter().filter(is_unseen).take(HOSTS_MAX).cloned().collect();
        let attempt = Self {
            outbound: Arc::clone(&self.outbound),
            snapshot: Arc::clone(&self.snapshot),
            stored: self.stored.clone(),
            decision: self.decision.clone(),
            subject: self.subject.clone(),
            began: clock::now(),
            domain: self.domain.clone(),
            hosts: self.hosts.clone(),
            mail_hosts: self.mail_hosts.clone(),
            sts: None,
            unseen: OnceLock::new(),
            recorded: None,
            // On behalf of nobody, so nothing of it is on record.
            open: Vec::new(),
            outcomes: Vec::new(),
            is_look: true,
            note: Note::default(),
            teller: None,
        };
        Some(Look { attempt, hosts })
    }
}

impl Look {
    /// Connects to each host as a delivery would, and leaves.
    pub(super) async fn run(mut self) {
        let facts = self.attempt.domain_facts().await;
        for host in &self.hosts {
            let Ok(targets) = self.attempt.aim(host, &facts).await else { continue };
            let Some(target) = targets.first() else { continue };
            if let Ok(connection) = self.attempt.connect_anew(target).await {
                connection.quit().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn few_looks_are_under_way_at_once_and_none_outlives_the_end() {
        let (looks, alive) = (Looks::default(), Arc::new(()));
        let look = |alive: Arc<()>| async move {
            let _alive = alive;
            pending().await
        };
        for _ in 0..2 * LOOKS_AT_ONCE_MAX {
            looks.begin(look(alive.clone()));
        }
        assert_eq!(Arc::strong_count(&alive), 1 + LOOKS_AT_ONCE_MAX);
        looks.end().await;
        assert_eq!(Arc::strong_count(&alive), 1);
        looks.begin(async {});
        tokio::task::yield_now().await;
        for _ in 0..2 * LOOKS_AT_ONCE_MAX {
            looks.begin(look(alive.clone()));
        }
        assert_eq!(Arc::strong_count(&alive), 1 + LOOKS_AT_ONCE_MAX, "one that has ended leaves its place");
    }
}
