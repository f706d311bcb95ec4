//! What a run tells the dispatcher while it goes on, for the operator: where it is, and how it went.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;
use crate::model::domain::Domain;
use crate::outbound::books::{RunEnd, Trouble};
use crate::outbound::outcome::{Failure, Outcome};
use crate::outbound::signal::{of_further_host, together};
use crate::outbound::targets::Target;
use crate::schedule::job::Signal;
use crate::schedule::site::SiteKey;

/// Shared by a run and the dispatcher.
#[derive(Clone, Debug, Default)]
pub(in crate::outbound) struct Note(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    /// The host that is being talked to.
    host: Option<(Option<Domain>, IpAddr)>,
    is_delivered: bool,
    /// Whose hosts they are, and whether the one that is talked to is of those that mail goes to first.
    site: Option<Arc<SiteKey>>,
    is_further: bool,
    /// What all hosts together have shown so far.
    signal: Option<Signal>,
    /// The failure, where it says that nobody can be reached.
    unreachable: Option<Box<Failure>>,
    trouble: Option<Trouble>,
}

impl Note {
    pub(super) fn talks_to(&self, target: &Target) {
        self.change(|noted| noted.host = Some((target.name.clone(), target.address.ip())));
    }

    pub(super) fn is_about(&self, site: Option<Arc<SiteKey>>) {
        self.change(|noted| noted.site = site);
    }

    /// What is shown from now on is that of such a host.
    pub(super) fn goes_on(&self, is_further: bool) {
        self.change(|noted| noted.is_further = is_further);
    }

    pub(super) fn shows(&self, signal: Signal) {
        self.change(|noted| {
            let signal = if noted.is_further { of_further_host(signal) } else { signal };
            noted.signal = Some(noted.signal.map_or(signal, |before| together(before, signal)));
        });
    }

    pub(super) fn ends(&self, outcomes: &[(u32, Outcome)]) {
        let is_delivered = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Delivered { .. }));
        let failure = outcomes.iter().find_map(|(_, outcome)| match outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Delivered { .. } => None,
        });
        let trouble = failure.map(|failure| Trouble::of(failure, clock::timestamp()));
        self.change(|noted| {
            noted.unreachable = failure.filter(|_| noted.signal == Some(Signal::Unreachable)).cloned().map(Box::new);
            noted.is_delivered = is_delivered;
            noted.trouble = trouble;
        });
    }

    /// The name of the host, or the address where there is none.
    pub(in crate::outbound) fn host(&self) -> Option<String> {
        let host = self.change(|noted| noted.host.clone())?;
        Some(host.0.map_or_else(|| format!("[{}]", host.1), |name| name.to_string()))
    }

    pub(in crate::outbound) fn end(&self, is_deferred: bool) -> RunEnd {
        let (is_delivered, trouble) = self.change(|noted| (noted.is_delivered, noted.trouble.take()));
        RunEnd { is_delivered, is_deferred, trouble }
    }

    /// What the run showed of the hosts of this site, and the failure if that is that none can be reached. It tells
    /// nothing of a site that is not the one it found.
    pub(in crate::outbound) fn showed(&self, site: Option<&SiteKey>) -> (Signal, Option<Box<Failure>>) {
        self.change(|noted| match (noted.signal, noted.site.as_deref() == site) {
            (Some(signal), true) => (signal, noted.unreachable.take()),
            _ => (Signal::Neutral, None),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Noted) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_hosts_that_come_after_others_is_not_booked_on_those_others() {
        use Signal::{Answers, Busy, Good, Neutral, Unreachable};
        let site = Arc::new(SiteKey::new("mx.victim.example"));
        for (first, further, expected) in [
            (None, Some(Unreachable), Neutral),
            (None, Some(Busy), Answers),
            (None, Some(Good), Good),
            (Some(Unreachable), None, Unreachable),
            (Some(Unreachable), Some(Unreachable), Unreachable),
            (Some(Unreachable), Some(Answers), Answers),
            (Some(Unreachable), Some(Good), Good),
            (Some(Answers), Some(Busy), Answers),
            (Some(Busy), Some(Unreachable), Busy),
            (None, None, Neutral),
        ] {
            let note = Note::default();
            note.is_about(Some(site.clone()));
            first.into_iter().for_each(|signal| note.shows(signal));
            note.goes_on(true);
            further.into_iter().for_each(|signal| note.shows(signal));
            assert_eq!(note.showed(Some(&site)).0, expected, "{first:?}, then {further:?}");
        }
    }

    #[test]
    fn a_run_tells_nothing_of_a_site_that_its_lane_has_moved_to_since() {
        let note = Note::default();
        note.is_about(Some(Arc::new(SiteKey::new("dead.example"))));
        note.shows(Signal::Unreachable);
        assert_eq!(note.showed(Some(&SiteKey::new("mx.victim.example"))).0, Signal::Neutral);
        assert_eq!(note.showed(None).0, Signal::Neutral);
        assert_eq!(note.showed(Some(&SiteKey::new("dead.example"))).0, Signal::Unreachable);
    }
}
