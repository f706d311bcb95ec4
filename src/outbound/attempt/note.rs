//! What a run tells the dispatcher while it goes on, for the operator: where it is, and how it went.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;
use crate::model::domain::Domain;
use crate::outbound::books::{RunEnd, Trouble};
use crate::outbound::outcome::{Failure, Outcome};
use crate::outbound::signal::together;
use crate::outbound::targets::Target;
use crate::schedule::job::Signal;

/// Shared by a run and the dispatcher.
#[derive(Clone, Debug, Default)]
pub(in crate::outbound) struct Note(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    /// The host that is being talked to.
    host: Option<(Option<Domain>, IpAddr)>,
    is_delivered: bool,
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

    pub(super) fn shows(&self, signal: Signal) {
        self.change(|noted| noted.signal = Some(noted.signal.map_or(signal, |before| together(before, signal))));
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

    /// What the run showed of its hosts, and the failure if that is that none can be reached.
    pub(in crate::outbound) fn showed(&self) -> (Signal, Option<Box<Failure>>) {
        self.change(|noted| (noted.signal.unwrap_or(Signal::Neutral), noted.unreachable.take()))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Noted) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
