//! A look at mail hosts that take no mail while others do: without it nobody would know what they show, and a domain
//! with a backup host could never be held to what it has shown. Nothing is sent there.

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

use crate::clock;
use crate::model::domain::Domain;
use crate::outbound::targets::NextHost;

use super::Attempt;

/// Looks under way at once; further ones are left for a later delivery.
const LOOKS_AT_ONCE_MAX: usize = 4;
/// Hosts of one domain that are looked at.
const HOSTS_MAX: usize = 8;

static LOOKS: Semaphore = Semaphore::const_new(LOOKS_AT_ONCE_MAX);

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
        };
        Some(Look { attempt, hosts })
    }
}

impl Look {
    /// Connects to each host as a delivery would, and leaves.
    pub(super) async fn run(mut self) {
        let Ok(_permit) = LOOKS.try_acquire() else { return };
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
